package screen

import (
	"context"
	"errors"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for a frame or an end: not a figure of
// kb's, but of a machine on which everything else runs too.
const patience = 20 * time.Second

// Screen is a terminal of a test, which fails when something does not work.
type Screen struct {
	T *Terminal
	t testing.TB
}

// Start opens a terminal that lasts as long as the test, or skips the test.
func Start(t testing.TB, o Options) *Screen {
	t.Helper()
	terminal, err := Open(context.Background(), o)
	if errors.Is(err, ErrMissing) {
		t.Skip("skipped: tmux is not installed")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = terminal.Close() })
	return &Screen{terminal, t}
}

func (s *Screen) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// Send types keys by their names; see [Terminal.Send].
func (s *Screen) Send(keys ...string) {
	s.t.Helper()
	s.check(s.T.Send(keys...))
}

// Type types text as it is; line breaks are enter.
func (s *Screen) Type(text string) {
	s.t.Helper()
	s.check(s.T.Type(text))
}

// Paste pastes text, in brackets where the program asked for them.
func (s *Screen) Paste(text string) {
	s.t.Helper()
	s.check(s.T.Paste(text))
}

// Click presses the left button at a cell.
func (s *Screen) Click(x, y int) {
	s.t.Helper()
	s.check(s.T.Click(x, y))
}

// Resize changes the terminal's size.
func (s *Screen) Resize(width, height int) {
	s.t.Helper()
	s.check(s.T.Resize(width, height))
}

// Frame is the screen's text.
func (s *Screen) Frame() string {
	s.t.Helper()
	frame, err := s.T.Frame()
	s.check(err)
	return frame
}

// FrameStyled is the screen with its colours; see [Terminal.FrameStyled].
func (s *Screen) FrameStyled() string {
	s.t.Helper()
	frame, err := s.T.FrameStyled()
	s.check(err)
	return frame
}

// State is what the program has switched on.
func (s *Screen) State() State {
	s.t.Helper()
	state, err := s.T.State()
	s.check(err)
	return state
}

// WaitFor waits until the screen shows what matches the regular expression, and
// returns the frame.
func (s *Screen) WaitFor(pattern string) string {
	s.t.Helper()
	want := regexp.MustCompile(pattern)
	return s.waitUntil("to show "+pattern, want.MatchString)
}

// WaitGone waits until the screen shows nothing that matches, and returns the
// frame.
func (s *Screen) WaitGone(pattern string) string {
	s.t.Helper()
	not := regexp.MustCompile(pattern)
	return s.waitUntil("not to show "+pattern, func(frame string) bool { return !not.MatchString(frame) })
}

func (s *Screen) waitUntil(what string, so func(string) bool) string {
	s.t.Helper()
	frame, err := s.T.WaitUntil(so, patience)
	if err != nil {
		s.t.Fatalf("waited for the screen %s: %v; it shows:\n%s", what, err, frame)
	}
	return frame
}

// Signal sends the program a signal.
func (s *Screen) Signal(signal syscall.Signal) {
	s.t.Helper()
	s.check(s.T.Signal(signal))
}

// Ends waits for the program to end with a code, 128 and more for a signal.
func (s *Screen) Ends(code int) {
	s.t.Helper()
	got, err := s.T.WaitEnd(patience)
	if err != nil {
		s.t.Fatalf("the program goes on: %v; the screen shows:\n%s", err, s.Frame())
	}
	if got != code {
		s.t.Errorf("the program ended with %d, want %d; the screen shows:\n%s", got, code, s.Frame())
	}
}

// Restored waits for the program to end with a code, and fails where the
// terminal is not as it was before.
func (s *Screen) Restored(code int) {
	s.t.Helper()
	s.Ends(code)
	left, err := s.T.Left()
	s.check(err)
	if left != "" {
		s.t.Errorf("the program left the terminal so: %s", left)
	}
}
