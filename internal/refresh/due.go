package refresh

import (
	"encoding/binary"
	"io"
	"time"

	"kb/internal/state"
)

const (
	// A token is due when this part of its life is left: 80 % of it is used,
	// and what is left serves while the server is asked, some times if need be.
	dueShare = 5
	// dueMost bounds that: five minutes are enough for every retry of a back-off.
	dueMost = 5 * time.Minute
	// jitterShare: up to a quarter of the margin is taken off at random, so that
	// the sessions of a machine do not all come at once.
	jitterShare = 4

	// A token in its last seconds may be over when it arrives, and by the
	// server's own clock already is: a newer one is waited for. Of a short life
	// it is less.
	lastWait  = 10 * time.Second
	lastShare = 3 // of the margin

	// Waiting after a failure is full jitter over 1, 2, 4 … 60 s.
	backoffFirst = time.Second
	backoffLast  = time.Minute
	// retryAfterMost bounds what a server may ask for. A longer wait is more
	// often a mistake than a wish.
	retryAfterMost = 10 * time.Minute
	// A refusal that is about the client or the clock and not about the refresh
	// token may end by itself; it is looked at again after 1, 2, 4, 8, 10 minutes.
	refusedFirst = time.Minute
	refusedLast  = 10 * time.Minute
)

// margin is how long before its end a token is due, without jitter; 0 where
// nobody knows the end.
func margin(t *state.Token) time.Duration {
	life := t.Expires.Sub(t.Obtained)
	if t.Expires.IsZero() || t.Obtained.IsZero() || life <= 0 {
		return 0
	}
	return min(life/dueShare, dueMost)
}

// DueAt is when a token is due, without jitter; zero where nobody knows.
func DueAt(t *state.Token) time.Time {
	if t.Expires.IsZero() {
		return time.Time{}
	}
	return t.Expires.Add(-margin(t))
}

// Owns reports whether tokens are those of a login made then by that account,
// or of a later one of the same account.
func Owns(t *state.Token, made time.Time, account string) bool {
	return !t.Made.Before(made) && (!t.Made.After(made) || t.Account == account)
}

// skewed reports whether a token comes from the future: the clock was set
// back since, and what is left of its life cannot be told from the clock. Half
// a margin is tolerated, because clocks are corrected all the time.
func skewed(t *state.Token, now time.Time) bool {
	return !t.Expires.IsZero() && t.Obtained.Sub(now) > margin(t)/2
}

// worn reports whether a token has lived half its life, so that a refresh is not
// out of proportion when an API refuses it.
func worn(t *state.Token, now time.Time) bool {
	life := t.Expires.Sub(t.Obtained)
	return !t.Expires.IsZero() && !t.Obtained.IsZero() && life > 0 && now.Sub(t.Obtained) >= life/2
}

// mayRetry reports whether the wait after a failure is over. One that is
// longer than any that is given is the clock's fault, and over.
func mayRetry(t *state.Token, now time.Time) bool {
	wait := t.Retry.Sub(now)
	return t.Retry.IsZero() || wait <= 0 || wait > retryAfterMost
}

// backoff is the wait after so many failures in a row, at least 1, of full
// jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
func backoff(failures int, random io.Reader) time.Duration {
	return time.Duration(fraction(random) * float64(doubled(backoffFirst, failures, backoffLast)))
}

// doubled is first, doubled for every failure after the first, up to last.
func doubled(first time.Duration, failures int, last time.Duration) time.Duration {
	d := first
	for i := 1; i < failures && d < last; i++ {
		d *= 2
	}
	return min(d, last)
}

// fraction is a random number from 0 to below 1.
func fraction(random io.Reader) float64 {
	var b [8]byte
	_, _ = io.ReadFull(random, b[:]) // of crypto/rand, which never fails; a test's may end, at 0
	return float64(binary.BigEndian.Uint64(b[:])>>11) / (1 << 53)
}
