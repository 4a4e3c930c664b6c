package tui

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kb/internal/hint"
)

func TestProvidersFrames(t *testing.T) {
	t.Parallel()
	goldens(t, "providers-full", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.press("4")
		return b
	})
	goldens(t, "providers-loading", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.m.world.providers = source[[]Provider]{busy: true}
		b.send(ticked{})
		b.press("4")
		return b
	})
	goldens(t, "providers-error", func(w, h int) *board {
		f := full()
		f.fail = map[string]error{"providers": hint.Wrap(errors.New(`parse definition "wiki": inject[0].hosts: is not one of the provider's hosts`), "run kb provider lint FILE")}
		b := newBoard(t, f, w, h)
		b.press("4")
		return b
	})
	goldens(t, "provider-remove", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.press("4", "G", "d")
		return b
	})
}

func TestProvidersKeys(t *testing.T) {
	t.Parallel()
	f := full()
	f.lint = []string{"3: warning: nobody knows this key"}
	b := newBoard(t, f, 100, 30)
	b.press("4", "d", "t", "e")
	if did := f.done(); len(did) != 0 {
		t.Errorf("a built-in definition is no one's to change: did %q", did)
	}
	b.press("o", "G", "t")
	if frame := b.frame(); !strings.Contains(frame, "nobody knows this key") {
		t.Errorf("the findings are not shown:\n%s", frame)
	}
	b.press("esc", "d", "enter", "d", "y")
	want := []string{"open https://docs.github.com/apps/oauth-apps", "lint wiki", "rm provider wiki"}
	if did := f.done(); !reflect.DeepEqual(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
	b.press("g", "/", "acme", "enter")
	if s := b.m.screens[screenProviders].(*providerScreen); s.list.count() != 1 || s.current() != "wiki" {
		t.Errorf("the filter leaves %d, at %q", s.list.count(), s.current())
	}
}

// TestManyProvidersAreDrawnAtOnce: a frame costs what is on the screen, not what is
// in the catalogue.
func TestManyProvidersAreDrawnAtOnce(t *testing.T) {
	t.Parallel()
	with := func(n int) *board {
		f := full()
		for i := range n {
			p := f.providers[0]
			p.Name = fmt.Sprintf("service-%04d", i)
			f.providers = append(f.providers, p)
		}
		b := newBoard(t, f, 200, 60)
		b.press("4")
		return b
	}
	// Of a busy machine the quickest of many frames is one that was not
	// interrupted, and of the two kinds of frames one is as slow as the other.
	few, many := with(100), with(5000)
	quickest := map[*board]time.Duration{few: time.Hour, many: time.Hour}
	for range 20 {
		for b := range quickest {
			began := time.Now()
			b.m.View()
			quickest[b] = min(quickest[b], time.Since(began))
		}
	}
	if quickest[many] > 2*quickest[few] {
		t.Errorf("a frame of 5,000 takes %v, one of 100 %v", quickest[many], quickest[few])
	}
}
