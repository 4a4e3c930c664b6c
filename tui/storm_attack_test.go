package tui

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"

	"kb/tui/draw"
)

// TestAttackResizedWhileRead: the terminal takes one size after the other while a
// request waits. Whatever the order, it is approved only when each part of its host
// and path, and its login, were on the screen at the width that it has.
func TestAttackResizedWhileRead(t *testing.T) {
	t.Parallel()
	r := request("a1", "api.linear.app")
	var parts []string
	for i := range 60 {
		parts = append(parts, fmt.Sprintf("part%02d", i))
	}
	r.Path = "/" + strings.Join(parts, "/")
	approved, refused := 0, 0
	for seed := range uint64(120) {
		random := rand.New(rand.NewPCG(seed, 5))    //nolint:gosec // a test's order
		at := [][2]int{{60, 14}, {100, 30}}[seed%2] // too small for it, and not
		c := asked(t, at[0], at[1], r)
		screen := c.m.screens[screenApprovals].(*approvals)
		frames := map[int]*strings.Builder{} // by their width
		for range 60 {
			switch random.IntN(8) {
			case 0, 1:
				c.resize(1+random.IntN(120), 1+random.IntN(40))
			case 2:
				c.press("6")
			default:
				c.press([]string{"enter", "enter", "G", "k", "ctrl+d", "esc"}[random.IntN(6)])
			}
			frame := ansi.Strip(c.m.View())
			if frames[c.m.w] == nil {
				frames[c.m.w] = &strings.Builder{}
			}
			frames[c.m.w].WriteString(frame)
			c.time = c.time.Add(time.Second / 100)
			c.press("a")
			if len(c.f.done()) == 0 {
				refused++
				continue
			}
			approved++
			if !strings.Contains(frame, "a1") && !strings.Contains(frame, "linear") {
				t.Fatalf("seed %d: approved at %dx%d, where nothing of it is on the screen:\n%s", seed, c.m.w, c.m.h, frame)
			}
			lines, needs := screen.describe(r, draw.Inner(c.m.w))
			for _, line := range lines[:needs] {
				if line = strings.TrimSpace(ansi.Strip(line)); !strings.Contains(frames[c.m.w].String(), line) {
					t.Fatalf("seed %d: approved at %dx%d, and %q was not on the screen", seed, c.m.w, c.m.h, line)
				}
			}
			break
		}
	}
	if approved == 0 || refused == 0 { // the positive control: both happen
		t.Errorf("%d times approved, %d refused", approved, refused)
	}
}
