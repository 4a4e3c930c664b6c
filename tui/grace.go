package tui

import "time"

// Grace of a dialog that appears by itself: keys are ignored until nobody has
// typed for quiet, at most for patience. A person who types into something else must
// not answer what comes up under the fingers.
const (
	quiet    = 400 * time.Millisecond
	patience = 1500 * time.Millisecond
)

// appearing is a dialog that may appear by itself.
type appearing interface{ sudden() bool }

// grace is how long the dialog on top has been there, and when a key was last
// pressed.
type grace struct{ since, last time.Time }

func (g *grace) begin(now time.Time) { g.since, g.last = now, now }

// over reports whether a key that is pressed now is for the dialog; it notes that
// there was one.
func (g *grace) over(d dialog, now time.Time) bool {
	a, ok := d.(appearing)
	if !ok || !a.sudden() || now.Sub(g.last) >= quiet || now.Sub(g.since) >= patience {
		return true
	}
	g.last = now
	return false
}
