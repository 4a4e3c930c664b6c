package state

import (
	"time"
	"unicode/utf8"
)

const (
	// pastMost bounds what is kept of a login's past: eight refreshes of a token
	// that lives an hour are a working day.
	pastMost = 8
	// pastText bounds one of them, in bytes: servers' own words are among them.
	pastText = 160
)

// Words for what came of a login.
const (
	PastRefreshed = "refreshed"
	PastLoggedIn  = "logged in"
)

// Outcome is what came of a refresh, or of a login: PastRefreshed, PastLoggedIn, or
// why there are no new tokens.
type Outcome struct {
	When time.Time `json:"when"`
	What string    `json:"what"`
}

// Remember puts an outcome before those of the past and keeps the newest. A failure
// that is the one before again takes its place: a night without a network is one
// line.
func Remember(past []Outcome, when time.Time, what string) []Outcome {
	if len(what) > pastText {
		end := pastText
		for end > 0 && !utf8.RuneStart(what[end]) {
			end--
		}
		what = what[:end] + "…"
	}
	if len(past) > 0 && past[0].What == what && what != PastRefreshed && what != PastLoggedIn {
		past = past[1:]
	}
	return append([]Outcome{{wall(when), what}}, past[:min(len(past), pastMost-1)]...)
}
