package tui

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestClockKnowsWhenItsTextsEnd: a text stays what it is until the moment that was
// noted, and is another one from then on.
func TestClockKnowsWhenItsTextsEnd(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for name, text := range map[string]func(*clock, time.Time) string{
		"countdown": (*clock).countdown, "ago": (*clock).ago, "lasted": (*clock).lasted, "moment": (*clock).moment,
	} {
		for i := range 2000 {
			d := time.Duration(r.Int64N(int64([]time.Duration{time.Minute, time.Hour, 96 * time.Hour}[i%3])))
			if i%5 == 0 {
				d = d.Truncate(time.Second)
			}
			about := at.Add(d - 3*time.Second)
			if i%2 == 0 {
				about = at.Add(3*time.Second - d)
			}
			now := at
			c := clock{read: func() time.Time { return now }}
			said, until := text(&c, about), c.right
			if until.IsZero() {
				if now = at.AddDate(100, 0, 0); text(&c, about) != said {
					t.Fatalf("%s of %v: %q is not for ever", name, about.Sub(at), said)
				}
				continue
			}
			for _, now = range []time.Time{at.Add(time.Duration(r.Int64N(int64(until.Sub(at))))), until.Add(-1)} {
				if got := text(&c, about); got != said {
					t.Fatalf("%s of %v: %q is %q after %v, before %v", name, about.Sub(at), said, got, now.Sub(at), until.Sub(at))
				}
			}
			if now = until; name != "moment" && text(&c, about) == said {
				t.Fatalf("%s of %v: %q is still right after %v", name, about.Sub(at), said, until.Sub(at))
			}
		}
	}
}

// TestAFrameThatHoldsIsTheFrameOfNow: whatever is on the screen, a second that draws
// nothing had nothing to draw.
func TestAFrameThatHoldsIsTheFrameOfNow(t *testing.T) {
	t.Parallel()
	steps := []time.Duration{
		time.Second, time.Second, 3 * time.Second, time.Second, 10 * time.Second, time.Second, 20 * time.Second, 25 * time.Second,
		time.Minute, time.Second, 10 * time.Minute, time.Hour, 6 * time.Hour, -time.Hour, time.Second, 12 * time.Hour, 100 * time.Hour,
	}
	held := 0
	for name, f := range map[string]*fake{"acme": acme(), "filed": filed(), "full": full()} {
		for i := range screenCount {
			for _, size := range sizes {
				b := newBoard(t, f, size.w, size.h)
				now := at
				b.m.read = func() time.Time { return now }
				b.press(fmt.Sprint(i + 1))
				b.send(done{note: "done"})
				b.m.View()
				for _, step := range steps {
					now = now.Add(step)
					got := b.m.frame.text
					if b.m.frame.right(now) {
						held++
					} else {
						b.send(ticked{})
						b.m.View()
						got = b.m.frame.text
					}
					if want := b.m.draw(); got != want {
						t.Fatalf("%s, screen %d, %v, after %v:\n%s\nis shown, and now it is\n%s", name, i+1, size, now.Sub(at), got, want)
					}
				}
			}
		}
	}
	if held == 0 {
		t.Error("every second was drawn")
	}
}

// TestAnIdleScreenIsLeftAlone: the audit tells times of day, and a rate in steps of
// rateStep.
func TestAnIdleScreenIsLeftAlone(t *testing.T) {
	t.Parallel()
	b := newBoard(t, &fake{standing: Standing{State: VaultOpen}, events: requests(40, at)}, 120, 40)
	now := at
	b.m.read = func() time.Time { return now }
	b.press("5")
	b.m.View()
	g, drawn := &guarded{m: b.m}, 0
	for range 60 {
		now = now.Add(time.Second)
		if g.sift(nil, ticked{}) != nil {
			drawn++
			b.send(ticked{})
			b.m.View()
		}
	}
	if want := int(time.Minute / rateStep); drawn > want {
		t.Errorf("drawn %d times in a minute, want %d at most", drawn, want)
	}
}
