package refresh

import (
	"context"
	"time"
)

// keepMost is how long the background loop sleeps at most: logins are added,
// clocks are set and laptops sleep. It costs one look at a file for each login.
const keepMost = 20 * time.Second

// keepLeast spares the processor where something is due and cannot be done.
const keepLeast = 250 * time.Millisecond

// Keep refreshes, ahead of their ends, the tokens of the logins that logins
// names, until ctx is done. It gets no first token: who uses a login for the
// first time on this device does. Refreshes that are on their way then go on
// ([Manager.Wait]).
func (m *Manager) Keep(ctx context.Context, logins func() []Login) {
	for {
		sleep := keepMost
		for _, l := range logins() {
			sleep = min(sleep, m.upkeep(l))
		}
		again := time.NewTimer(max(sleep, keepLeast))
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// upkeep starts a refresh if one is due, and returns when to look again.
func (m *Manager) upkeep(l Login) time.Duration {
	v, err := m.look(l)
	if err != nil || v.life == none {
		return keepMost
	}
	if v.life == fresh {
		if t := &v.token; !t.Expires.IsZero() {
			return DueAt(t).Sub(m.o.Now())
		}
		return keepMost
	}
	if m.stays(&v, l, false) != nil {
		if v.token.Retry.IsZero() {
			return keepMost
		}
		return v.token.Retry.Sub(m.o.Now())
	}
	if wait := m.entry(l.Key).brokenFor(m.o.Elapsed()); wait > 0 {
		return wait
	}
	m.fly(l, func(v *view) bool { return v.life != fresh }, false)
	return time.Second
}
