package tui

import "time"

// typing is when a person typed: the last key, and the last silence before it that
// was as long as quiet.
type typing struct{ last, from, to time.Time }

// key notes a key, after it was dealt with.
func (t *typing) key(now time.Time) {
	if now.Sub(t.last) >= quiet {
		t.from, t.to = t.last, now
	}
	t.last = now
}

// unread is what came under the cursor by itself: keys do not count until there
// was quiet, at most for patience. The zero value has been read.
type unread struct{ since time.Time }

func (u *unread) begin(now time.Time) { u.since = now }

// over reports whether a key that is pressed now counts.
func (u *unread) over(now time.Time, t *typing) bool {
	return now.Sub(u.since) >= patience || now.Sub(later(u.since, t.last)) >= quiet || t.to.Sub(later(u.since, t.from)) >= quiet
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
