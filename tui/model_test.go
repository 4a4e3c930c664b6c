package tui

import (
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/x/ansi"
)

// at is the time that tests stand at.
var at = time.Date(2026, 11, 26, 14, 2, 11, 0, time.UTC)

// board is a dashboard under test: messages go in, commands are run at once, in
// order, but for those that would wait (ticks).
type board struct {
	t testing.TB
	m *Model
	f *fake
}

func newBoard(t testing.TB, f *fake, w, h int) *board {
	t.Helper()
	return newBoardWith(t, f, Options{Looks: Looks{NoColor: true}}, w, h)
}

func newBoardWith(t testing.TB, f *fake, o Options, w, h int) *board {
	t.Helper()
	o.Backend, o.Now = f, func() time.Time { return at }
	m, err := New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	m.wait = func(time.Duration, tea.Msg) tea.Cmd { return nil }
	b := &board{t, m, f}
	b.send(tea.WindowSizeMsg{Width: w, Height: h})
	b.run(m.everything())
	b.run(ask(m.ctx, &m.world.standing, f.Standing))
	return b
}

func (b *board) send(msg tea.Msg) {
	_, cmd := b.m.Update(msg)
	b.run(cmd)
}

// run runs a command and feeds what comes of it back.
func (b *board) run(cmd tea.Cmd) {
	if cmd == nil {
		return
	}
	switch msg := cmd().(type) {
	case nil:
	case tea.BatchMsg:
		for _, c := range msg {
			b.run(c)
		}
	default:
		b.send(msg)
	}
}

// press sends keys by their names: "j", "enter", "ctrl+d"; longer words are typed.
func (b *board) press(keys ...string) {
	for _, k := range keys {
		b.send(keyMsg(k))
	}
}

// paste pastes a text, as a terminal with bracketed paste does.
func (b *board) paste(text string) {
	b.send(tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(text), Paste: true})
}

func keyMsg(k string) tea.KeyMsg {
	special := map[string]tea.KeyType{
		"enter": tea.KeyEnter, "esc": tea.KeyEsc, "tab": tea.KeyTab, "shift+tab": tea.KeyShiftTab, "up": tea.KeyUp, "down": tea.KeyDown,
		"left": tea.KeyLeft, "right": tea.KeyRight, "ctrl+c": tea.KeyCtrlC, "ctrl+d": tea.KeyCtrlD, "ctrl+u": tea.KeyCtrlU, "ctrl+r": tea.KeyCtrlR,
		"ctrl+s": tea.KeyCtrlS, "ctrl+z": tea.KeyCtrlZ, "backspace": tea.KeyBackspace, "home": tea.KeyHome, "end": tea.KeyEnd, "pgup": tea.KeyPgUp, "pgdown": tea.KeyPgDown, " ": tea.KeySpace,
	}
	if t, ok := special[k]; ok {
		if t == tea.KeySpace {
			return tea.KeyMsg{Type: t, Runes: []rune{' '}}
		}
		return tea.KeyMsg{Type: t}
	}
	return tea.KeyMsg{Type: tea.KeyRunes, Runes: []rune(k)}
}

// frame is what is on the screen, without colours, and checks its size.
func (b *board) frame() string {
	b.t.Helper()
	text := ansi.Strip(b.m.View())
	lines := strings.Split(text, "\n")
	if len(lines) > b.m.h {
		b.t.Errorf("%dx%d: %d lines", b.m.w, b.m.h, len(lines))
	}
	for i, line := range lines {
		if n := ansi.StringWidth(line); n > b.m.w {
			b.t.Errorf("%dx%d: line %d has %d cells: %q", b.m.w, b.m.h, i, n, line)
		}
	}
	return text
}

func TestRefreshALogin(t *testing.T) {
	f := &fake{logins: []Login{{LoginKey: LoginKey{Profile: "work", Provider: "linear"}, State: "needs login", OAuth: true, Renews: true}}}
	b := newBoard(t, f, 100, 30)
	b.press("3")
	if frame := b.frame(); !strings.Contains(frame, "! linear") || !strings.Contains(frame, "needs login") {
		t.Errorf("the login is not shown:\n%s", frame)
	}
	b.press("r")
	if did := f.done(); len(did) != 1 || did[0] != "refresh work/linear" {
		t.Errorf("did %q", did)
	}
}

// quits reports whether a key leaves the dashboard.
func quits(m *Model, key string) bool {
	_, cmd := m.Update(keyMsg(key))
	if cmd == nil {
		return false
	}
	_, ok := cmd().(tea.QuitMsg)
	return ok
}
