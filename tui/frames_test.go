package tui

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"

	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/testkit"
)

// openers open each dialog that is not a screen's own.
var openers = map[string]func(*board){
	"help":    func(b *board) { b.press("?") },
	"palette": func(b *board) { b.press(":") },
	"filter":  func(b *board) { b.press("/") },
	"confirm": func(b *board) {
		b.m.show(&confirm{shared: b.m.shared, about: hostileText(1), question: "Stop it?\n" + hostileText(2), yes: "stop it", act: func() tea.Cmd { return nil }})
		b.m.raise()
	},
	"form": func(b *board) { b.m.show(sample(b.m.shared)); b.m.raise() },
	"reader": func(b *board) {
		b.m.show(&reader{shared: b.m.shared, about: hostileText(3), text: append(hostile, strings.Repeat("long ", 400))})
		b.m.raise()
	},
	"menu": func(b *board) {
		b.m.show(newMenu(b.m.shared, "Which", []Choice{{"a", hostileText(4)}, {"b", "b"}}, func(string) tea.Cmd { return nil }))
		b.m.raise()
	},
	"error": func(b *board) {
		b.send(done{what: hostileText(5), err: hint.Wrap(errors.New(strings.Join(hostile, "\n")), "run kb doctor")})
	},
}

// exact checks that every line of a frame has just as many cells as the screen, and
// that there are just as many lines.
func exact(m *Model) error {
	view := m.View()
	lines := strings.Split(view, "\n")
	if want := m.h; m.here != layoutTiny && len(lines) != want {
		return fmt.Errorf("%d lines, want %d", len(lines), want)
	}
	for i, line := range lines {
		if n := ansi.StringWidth(line); n != m.w {
			return fmt.Errorf("line %d has %d cells: %q", i, n, line)
		}
	}
	return harmless(view)
}

// harmless checks that a frame has no characters that a terminal would obey, but
// for colours.
func harmless(view string) error {
	var text strings.Builder
	for rest := view; ; {
		before, after, found := strings.Cut(rest, "\x1b[")
		text.WriteString(before)
		if !found {
			break
		}
		end := strings.IndexFunc(after, func(r rune) bool { return (r < '0' || r > '9') && r != ';' })
		if end < 0 || after[end] != 'm' {
			return fmt.Errorf("an escape sequence that is no colour: %q", after[:min(len(after), 20)])
		}
		rest = after[end+1:]
	}
	for line := range strings.SplitSeq(text.String(), "\n") {
		if clean := plain.Clean(line); clean != line {
			return fmt.Errorf("an unsafe character in %q", line)
		}
	}
	if !utf8.ValidString(view) {
		return errors.New("the frame is no UTF-8")
	}
	return nil
}

// TestHarmlessSees is the control of harmless.
func TestHarmlessSees(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"\x1b[2J", "\x1b]0;x\x07", "\u202e", "a\rb", "\x9b", "bad\xff", "\x1b[31"} {
		if harmless(s) == nil {
			t.Errorf("%q passes", s)
		}
	}
	if err := harmless("\x1b[1;31mx\x1b[0m\ny"); err != nil {
		t.Error(err)
	}
}

// edges are sizes at which the layout changes, and odd ones.
var edges = [][2]int{
	{1, 1},
	{39, 12},
	{40, 11},
	{40, 12},
	{41, 13},
	{59, 20},
	{60, 19},
	{60, 20},
	{61, 21},
	{95, 26},
	{96, 25},
	{96, 26},
	{100, 30},
	{120, 40},
	{40, 60},
	{200, 12},
	{200, 60},
	{250, 80},
}

// boardsOf are boards with each screen, and each dialog over the first.
func boardsOf(t *testing.T, say func(int) string, o Options) map[string]*board {
	boards := map[string]*board{}
	for i := range screenCount {
		b := newBoardWith(t, crowd(4, say), o, 100, 30)
		b.press(fmt.Sprint(i + 1))
		boards[fmt.Sprint("screen ", i+1)] = b
	}
	for name, opener := range openers {
		b := newBoardWith(t, crowd(4, say), o, 100, 30)
		opener(b)
		boards[name] = b
	}
	return boards
}

// TestEverySize draws every screen and every dialog at the sizes where something
// changes, and every size from 1x1 to 200x60 with one of them in turn: with all of
// them if KB_THOROUGH is set, and under the race detector, which has nothing to
// find here, some sizes only.
func TestEverySize(t *testing.T) {
	t.Parallel()
	for name, say := range map[string]func(int) string{"tame": tame, "hostile": hostileText} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			boards := boardsOf(t, say, Options{})
			names := slices.Sorted(maps.Keys(boards))
			draw := func(name string, w, h int) {
				b := boards[name]
				b.resize(w, h)
				if err := exact(b.m); err != nil {
					t.Fatalf("%s, %dx%d: %v", name, w, h, err)
				}
			}
			for _, name := range names {
				for _, size := range edges {
					draw(name, size[0], size[1])
				}
			}
			thorough := os.Getenv("KB_THOROUGH") != ""
			for w := 1; w <= 200; w++ {
				for h := 1; h <= 60; h++ {
					turn := w*61 + h
					switch {
					case thorough:
						for _, name := range names {
							draw(name, w, h)
						}
					case name == "hostile" && (!testkit.RaceEnabled || turn%7 == 0):
						draw(names[turn%len(names)], w, h)
					}
				}
			}
		})
	}
}

// resize sends a size; what it makes the screens do is not waited for.
func (b *board) resize(w, h int) { b.m.Update(tea.WindowSizeMsg{Width: w, Height: h}) }

// TestASCII draws everything with a theme of ASCII alone.
func TestASCII(t *testing.T) {
	t.Parallel()
	for name, b := range boardsOf(t, hostileText, Options{Looks: Looks{ASCII: true}}) {
		for _, size := range [][2]int{{100, 30}, {60, 20}, {40, 12}, {30, 5}} {
			b.resize(size[0], size[1])
			if err := exact(b.m); err != nil {
				t.Errorf("%s, %v: %v", name, size, err)
			}
			if i := strings.IndexFunc(b.m.View(), func(r rune) bool { return r >= 0x80 }); i >= 0 {
				t.Errorf("%s, %v: not ASCII: %q", name, size, b.m.View()[i:i+10])
			}
		}
	}
}

// FuzzKeys presses keys, in any order, at any size, in a world of hostile texts.
func FuzzKeys(f *testing.F) {
	for _, seed := range []string{"?jk\r", ":prof\r", "/x\r\x1b", "3rRd\x1b", "12345678\t\t\tjjj\r", ":kb vault\x1b", "E\x1b yY", "6aAsdD", "\x00\x01\x02\x03\x04"} {
		f.Add([]byte(seed), uint8(100), uint8(30))
	}
	f.Fuzz(func(t *testing.T, keys []byte, w, h uint8) {
		b := newBoard(t, crowd(3, hostileText), int(w), int(h))
		now := at
		b.m.read = func() time.Time { return now }
		for _, k := range keys[:min(len(keys), 40)] {
			now = now.Add(time.Second) // no dialog ignores a key
			b.send(byteKey(k))
			if err := exact(b.m); err != nil {
				t.Fatalf("after %q: %v", k, err)
			}
		}
	})
}

// byteKey makes a byte a key: control characters are what terminals send for them,
// and bytes outside ASCII are arrows, sizes and pastes.
func byteKey(k byte) tea.Msg {
	switch {
	case k == 0x03 || k == 0x1a: // they end or suspend it
		return tea.KeyMsg{Type: tea.KeyEnter}
	case k < 0x20 || k == 0x7f:
		return tea.KeyMsg{Type: tea.KeyType(k)}
	case k == ' ':
		return tea.KeyMsg{Type: tea.KeySpace, Runes: []rune{' '}}
	case k < 0x80:
		return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune{rune(k)}}
	case k < 0x90:
		return tea.KeyMsg{Type: tea.KeyUp - tea.KeyType(k-0x80)}
	case k < 0xa0:
		return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(hostileText(int(k))), Paste: true}
	case k < 0xc0:
		return tea.MouseMsg{X: int(k-0xa0) * 3, Y: int(k - 0xa0), Button: tea.MouseButtonLeft}
	}
	return tea.WindowSizeMsg{Width: int(k-0xc0) * 4, Height: int(k - 0xc0)}
}
