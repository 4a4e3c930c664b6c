package main

import (
	"context"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/creack/pty"
	"golang.org/x/term"

	"kb/internal/testkit"
)

// shown is kb on a terminal of 100 by 30, all that it wrote, and how the terminal
// was set before.
type shown struct {
	t      *testing.T
	tty    *os.File
	slave  *os.File
	cmd    *exec.Cmd
	before *term.State

	mu    sync.Mutex
	wrote []byte
	more  chan struct{}
}

func onTerminal(t *testing.T, home *testkit.Home, environ []string, args ...string) *shown {
	t.Helper()
	tty, slave, err := pty.Open()
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	t.Cleanup(func() { _, _ = tty.Close(), slave.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Cols: 100, Rows: 30}); err != nil {
		t.Fatal(err)
	}
	program, err := exec.LookPath("kb")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	s := &shown{t: t, tty: tty, slave: slave, cmd: exec.CommandContext(ctx, program, args...), more: make(chan struct{}, 1)}
	if s.before, err = term.GetState(int(slave.Fd())); err != nil {
		t.Fatal(err)
	}
	s.cmd.Dir, s.cmd.Env = home.Dir, home.With(append([]string{"TERM=xterm-256color", "NO_COLOR=1"}, environ...)...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = slave, slave, slave
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := tty.Read(buf)
			s.mu.Lock()
			s.wrote = append(s.wrote, buf[:n]...)
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	return s
}

func (s *shown) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.wrote)
}

// until waits until what is written from a place on has a text, and returns the
// place behind it.
func (s *shown) until(from int, text string) int {
	s.t.Helper()
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	for {
		if all := s.text(); strings.Contains(ansi.Strip(all[from:]), text) {
			return len(all)
		}
		select {
		case <-s.more:
		case <-patience.C:
			s.t.Fatalf("%q is not shown:\n%s", text, ansi.Strip(s.text()[from:]))
		}
	}
}

// end waits for the program, which ends with a code, and for all that it wrote.
func (s *shown) end(code int, last string) {
	s.t.Helper()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != code {
		s.t.Errorf("exit code %d, want %d:\n%s", got, code, ansi.Strip(s.text()))
	}
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for !strings.Contains(s.text(), last) {
		select {
		case <-s.more:
		case <-patience.C:
			s.t.Fatalf("%q was not written: %q", last, s.text())
		}
	}
}

// restored wants the terminal as it was, and the screen left.
func (s *shown) restored() {
	s.t.Helper()
	after, err := term.GetState(int(s.slave.Fd()))
	if err != nil {
		s.t.Fatal(err)
	}
	if !reflect.DeepEqual(s.before, after) {
		s.t.Errorf("the terminal's settings were %+v and are %+v", s.before, after)
	}
	for enter, leave := range map[string]string{
		ansi.SetModeAltScreenSaveCursor: ansi.ResetModeAltScreenSaveCursor, ansi.HideCursor: ansi.ShowCursor,
		ansi.SetModeMouseButtonEvent: ansi.ResetModeMouseButtonEvent, ansi.SetModeBracketedPaste: ansi.ResetModeBracketedPaste,
	} {
		if all := s.text(); strings.LastIndex(all, leave) < strings.LastIndex(all, enter) {
			s.t.Errorf("%q was written and not taken back by %q", enter, leave)
		}
	}
}

// running makes a home with a vault and the profile "work".
func running(t *testing.T) *testkit.Home {
	t.Helper()
	home := testkit.NewHome(t)
	for _, args := range [][]string{{"kb", "init"}, {"kb", "profile", "add", "work"}} {
		if r := testkit.Run(t, home.Dir, home.Env, args...); r.Code != 0 {
			t.Fatalf("%q: %s", args, r.All())
		}
	}
	return home
}

// TestDashboard: kb alone on a terminal shows a session that begins elsewhere, and
// that it crashed; q and TERM leave the terminal as it was.
func TestDashboard(t *testing.T) {
	plainRun(t)
	t.Parallel()
	home := running(t)
	s := onTerminal(t, home, nil)
	s.until(0, "8 Vault")
	at := s.until(0, "0 sessions")

	var agent *exec.Cmd
	program, err := exec.LookPath("kb")
	if err != nil {
		t.Fatal(err)
	}
	agent = exec.CommandContext(t.Context(), program, "exec", "-p", "work", "--", "cat")
	agent.Dir, agent.Env = home.Dir, home.Env
	stdin, err := agent.StdinPipe() // cat ends with it
	if err != nil {
		t.Fatal(err)
	}
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = stdin.Close(), agent.Wait() }()
	at = s.until(at, "1 session ")
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	s.until(at, "crashed")

	if _, err := s.tty.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	s.end(0, ansi.ResetModeAltScreenSaveCursor)
	s.restored()

	s = onTerminal(t, home, nil)
	s.until(0, "8 Vault")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.end(3, ansi.ResetModeAltScreenSaveCursor)
	s.restored()
}

// TestStatusInPlaceOfTheDashboard: where nothing can be drawn, and where nobody
// should be asked, kb alone prints its status.
func TestStatusInPlaceOfTheDashboard(t *testing.T) {
	plainRun(t)
	t.Parallel()
	home := running(t)
	for _, c := range []struct{ environ, want string }{
		{"TERM=dumb", "0 logins"},
		{"KB_SESSION=0011aabb", "the dashboard is not for use inside a session"},
	} {
		s := onTerminal(t, home, []string{c.environ})
		s.end(0, "0 logins")
		if all := s.text(); !strings.Contains(all, c.want) || strings.Contains(all, "\x1b") {
			t.Errorf("%s: %q", c.environ, all)
		}
	}
	if r := testkit.Run(t, home.Dir, home.With("TERM=xterm-256color"), "kb"); r.Code != 0 || !strings.Contains(r.Stdout, "0 logins") {
		t.Errorf("without a terminal: %s", r.All())
	}
}

// TestNoQueryAtTheStart: a verb writes its own lines to the terminal and asks it
// nothing. bubbletea would, in each kb; internal/charmquiet keeps it from that.
func TestNoQueryAtTheStart(t *testing.T) {
	plainRun(t)
	t.Parallel()
	s := onTerminal(t, testkit.NewHome(t), nil, "version")
	s.end(0, "\n")
	all := s.text()
	if !strings.HasPrefix(all, "kb dev ") || strings.Count(all, "\n") != 1 || strings.Contains(all, "\x1b") {
		t.Errorf("kb version wrote %q", all)
	}
}
