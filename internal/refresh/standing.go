package refresh

import (
	"fmt"
	"time"

	"kb/internal/state"
)

// States of a login, in the words of status and dashboard.
const (
	StateOK         = "ok"
	StateExpiring   = "expiring"
	StateRefreshing = "refreshing"
	StateOffline    = "offline"
	StateNeedsLogin = "needs login"
	StateUnknown    = "unknown"
)

// NeedsLoginError says that no more tokens come without a person.
type NeedsLoginError struct {
	Key    state.LoginKey
	Reason string
	Since  time.Time // zero where there never were tokens
}

func (e *NeedsLoginError) Error() string {
	return fmt.Sprintf("refresh %s: needs login: %s", e.Key.Provider, e.Reason)
}

// OfflineError says that a new token could not be got now, and when it is
// tried again.
type OfflineError struct {
	Key    state.LoginKey
	Reason string
	Since  time.Time
	Retry  time.Time // zero where nothing is waited for
}

func (e *OfflineError) Error() string {
	return fmt.Sprintf("refresh %s: %s", e.Key.Provider, e.Reason)
}

// RejectedError says that the provider's API does not take a token that the
// provider gave only just now: another one would not help.
type RejectedError struct{ Key state.LoginKey }

func (e *RejectedError) Error() string {
	return fmt.Sprintf("refresh %s: the API refuses a token that was just made", e.Key.Provider)
}

// Standing is what status and dashboard say of a login: its state, why, since
// when, and when it is refreshed next (zero: at its use, or not). t is what the
// store holds, the zero Token where it holds nothing; j its journal entry or
// nil.
func Standing(t state.Token, j *state.JournalEntry, now time.Time) (st, reason string, since, next time.Time) {
	// An entry that is older than what was written of a token is one of a request
	// that ended.
	began := j != nil && !j.Time.Before(t.Since) && !j.Time.Before(t.Obtained) && !j.Time.Before(t.Retry)
	switch {
	case began && now.Sub(j.Time) < workerPatience && j.Time.Sub(now) < workerPatience:
		return StateRefreshing, "new tokens were asked for", j.Time, time.Time{}
	case t.State == StateNeedsLogin:
		return StateNeedsLogin, t.Reason, t.Since, t.Retry
	case t.Access.IsZero() && t.State == "":
		return StateUnknown, "no tokens on this device yet", time.Time{}, time.Time{}
	case began:
		return StateUnknown, "a refresh was cut short, and what the provider answered is not known", j.Time, time.Time{}
	case t.State == StateOffline:
		return StateOffline, t.Reason, t.Since, t.Retry
	case t.Expires.IsZero():
		return StateOK, t.Reason, t.Since, time.Time{}
	}
	next = DueAt(&t)
	switch {
	case skewed(&t, now):
		return StateExpiring, "the clock was set back since the token was made", t.Since, next
	case !now.Before(t.Expires):
		return StateExpiring, "the token is over; a new one is made at its next use", t.Expires, next
	case !now.Before(next):
		return StateExpiring, "a new token is due", next, next
	}
	return StateOK, t.Reason, t.Since, next
}
