package tui

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a pseudo terminal with a dashboard on it.
type terminal struct {
	t            *testing.T
	ours, theirs *os.File
	before       unix.Termios

	mu   sync.Mutex
	seen strings.Builder
	more chan struct{} // something was written
	end  chan error    // of Run
}

func runOnTerminal(t *testing.T, ctx context.Context, b Backend) *terminal {
	t.Helper()
	ours, theirs, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(ours, &pty.Winsize{Rows: 30, Cols: 100}); err != nil {
		t.Fatal(err)
	}
	tm := &terminal{t: t, ours: ours, theirs: theirs, more: make(chan struct{}, 1), end: make(chan error, 1), before: termios(t, theirs)}
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 4096)
		for {
			n, err := ours.Read(buf)
			tm.mu.Lock()
			tm.seen.Write(buf[:n])
			tm.mu.Unlock()
			select {
			case tm.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		tm.end <- Run(ctx, Options{Backend: b, Looks: Looks{NoColor: true}, In: theirs, Out: theirs})
	}()
	t.Cleanup(func() {
		_ = theirs.Close()
		_ = ours.Close()
		<-read
	})
	return tm
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}

func (tm *terminal) text() string {
	tm.mu.Lock()
	defer tm.mu.Unlock()
	return tm.seen.String()
}

// wait waits until the dashboard has written a text.
func (tm *terminal) wait(text string) {
	tm.t.Helper()
	tm.until(fmt.Sprintf("%q is shown", text), func(seen string) bool { return strings.Contains(seen, text) })
}

func (tm *terminal) until(what string, so func(seen string) bool) {
	tm.t.Helper()
	deadline := time.After(20 * time.Second)
	for !so(tm.text()) {
		select {
		case <-tm.more:
		case <-deadline:
			tm.t.Fatalf("never: %s; it showed:\n%q", what, tm.text())
		}
	}
}

func (tm *terminal) typed(keys string) {
	tm.t.Helper()
	if _, err := io.WriteString(tm.ours, keys); err != nil {
		tm.t.Fatal(err)
	}
}

// ended waits for the end of Run and looks at what it left.
func (tm *terminal) ended() error {
	tm.t.Helper()
	var err error
	select {
	case err = <-tm.end:
	case <-time.After(20 * time.Second):
		tm.t.Fatalf("the dashboard does not end; it showed\n%q", tm.text())
	}
	if now := termios(tm.t, tm.theirs); now != tm.before {
		tm.t.Errorf("the terminal's modes are others: %+v, were %+v", now, tm.before)
	}
	// What was switched on is off: alternate screen, mouse, bracketed paste, and the
	// cursor is shown.
	for _, m := range []struct{ on, off string }{
		{"\x1b[?1049h", "\x1b[?1049l"},
		{"\x1b[?1002h", "\x1b[?1002l"},
		{"\x1b[?1006h", "\x1b[?1006l"},
		{"\x1b[?2004h", "\x1b[?2004l"},
		{"\x1b[?25l", "\x1b[?25h"},
	} {
		tm.until(fmt.Sprintf("%q is switched on, and off by %q in the end", m.on, m.off), func(seen string) bool {
			on := strings.LastIndex(seen, m.on)
			return on >= 0 && on < strings.LastIndex(seen, m.off)
		})
	}
	return err
}

func TestTerminalIsRestored(t *testing.T) {
	for _, key := range []string{"q", "\x03"} {
		tm := runOnTerminal(t, t.Context(), &fake{})
		tm.wait("quit")
		tm.typed(key)
		if err := tm.ended(); err != nil {
			t.Errorf("%q: %v", key, err)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGHUP} {
		tm := runOnTerminal(t, t.Context(), &fake{})
		tm.wait("quit")
		if err := syscall.Kill(os.Getpid(), s); err != nil {
			t.Fatal(err)
		}
		if err := tm.ended(); !errors.Is(err, context.Canceled) {
			t.Errorf("%v: %v", s, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	tm := runOnTerminal(t, ctx, &fake{})
	tm.wait("quit")
	cancel()
	if err := tm.ended(); !errors.Is(err, context.Canceled) {
		t.Errorf("end of the context: %v", err)
	}
}

// crashing panics where a test wants it.
type crashing struct {
	*fake
	sessions func() // may be nil
}

func (c *crashing) Sessions(ctx context.Context) ([]Session, error) {
	if c.sessions != nil {
		c.sessions()
	}
	return c.fake.Sessions(ctx)
}

func TestPanicRestoresTerminal(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		crash func()
		want  string
	}{
		{"index", func() { var none []int; _ = none[len(none)] }, "index out of range"},
		{"secret", func() { panic("the token is " + canary) }, "a panic with a string"},
	} {
		tm := runOnTerminal(t, t.Context(), &crashing{fake: &fake{}, sessions: c.crash})
		err := tm.ended()
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "(run_test.go:") {
			t.Errorf("%s: %v", c.name, err)
		}
		if strings.Contains(tm.text()+err.Error(), canary) {
			t.Errorf("%s: what was thrown is shown", c.name)
		}
	}
}

// faulty is a backend that panics in a goroutine of its own.
type faulty struct{ *fake }

func (faulty) Watch(context.Context, func(Change)) error {
	fault := make(chan error)
	go func() {
		defer func() { fault <- Fault(recover()) }()
		panic("the token is " + canary)
	}()
	return <-fault
}

func TestFaultOfTheBackendRestoresTerminal(t *testing.T) {
	t.Parallel()
	tm := runOnTerminal(t, t.Context(), faulty{&fake{}})
	err := tm.ended()
	if err == nil || !strings.Contains(err.Error(), "a panic with a string") || !strings.Contains(err.Error(), "(run_test.go:") {
		t.Errorf("it ends with %v", err)
	}
	if strings.Contains(tm.text()+err.Error(), canary) {
		t.Error("what was thrown is shown")
	}
}

func TestPanicInUpdateAndViewIsCaught(t *testing.T) {
	t.Parallel()
	ended := 0
	g := &guarded{m: &Model{}, end: func() { ended++ }} // a model without anything panics
	_, cmd := g.Update(ticked{})
	if cmd != nil || ended != 1 || g.crash() == nil {
		t.Errorf("Update: ended %d, %v", ended, g.crash())
	}
	g = &guarded{m: &Model{w: 100, h: 30}, end: func() { ended++ }}
	if g.View() != "" || ended != 2 || g.crash() == nil {
		t.Errorf("View: ended %d, %v", ended, g.crash())
	}
}

// hosted is a backend whose commands are a shell's.
type hosted struct {
	*fake
	script string
}

func (h *hosted) Command(...string) *exec.Cmd { return exec.Command("sh", "-c", h.script) }

func TestAnotherProgramHasTheTerminal(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	// The program finds a terminal as it was before the dashboard.
	tm := runOnTerminal(t, ctx, &hosted{&fake{}, `test -t 0 && test -t 1 && test -t 2 && read line && echo "read $line" && exit 3`})
	tm.wait("quit")
	tm.typed(":kb vault edit\r")
	tm.wait("$ kb vault edit")
	cancel() // as ctrl+c does there
	tm.typed("hello\n")
	tm.wait("read hello")
	tm.wait("[exit code 3] press enter")
	tm.typed("\n")
	tm.wait("x kb vault edit: exit status 3")
	tm.typed("q")
	if err := tm.ended(); err != nil {
		t.Error(err)
	}
}
