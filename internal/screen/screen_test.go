package screen_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/screen"
)

// start runs a shell script on a terminal.
func start(t *testing.T, script string, o screen.Options) *screen.Screen {
	t.Helper()
	o.Args = []string{"sh", "-c", script}
	o.Env = append(o.Env, "PATH="+os.Getenv("PATH"), "HOME="+t.TempDir())
	return screen.Start(t, o)
}

func TestFramesAndKeys(t *testing.T) {
	t.Parallel()
	s := start(t, `printf 'a\033[31;1mé日本\033[0m|  \n'; read -r line; printf 'got <%s>\n' "$line"; cat`, screen.Options{Width: 40, Height: 5})
	s.WaitFor(`aé日本\|`)
	s.Type(`it's "$HOME"; #{x} \`)
	s.Send("Enter")
	if frame := s.WaitFor(`(?m)^got .*>$`); !strings.Contains(frame, `got <it's "$HOME"; #{x} \>`) {
		t.Errorf("the program got something else:\n%s", frame)
	}
	if styled := s.FrameStyled(); !strings.Contains(styled, "a\x1b[1m\x1b[31mé日本\x1b[0m") {
		t.Errorf("the styled frame is %q", styled)
	}
	s.Type("two\n")
	s.WaitFor(`(?m)^two\ntwo$`)
	s.Type("lines")
	s.Paste("pasted\n")
	s.WaitFor(`linespasted`)
	s.WaitGone(`got`) // five lines: it has scrolled away
	s.Send("C-d")
	s.Restored(0)
}

// TestAnswersAreNotTakenForFrames: a program may show what tmux's own protocol
// looks like.
func TestAnswersAreNotTakenForFrames(t *testing.T) {
	t.Parallel()
	s := start(t, `printf '%%end 1 2 3\n%%begin 1 2 3\n%%output x\nlast\n'; cat`, screen.Options{})
	s.WaitFor(`(?m)^%end 1 2 3\n%begin 1 2 3\n%output x\nlast$`)
}

func TestSize(t *testing.T) {
	t.Parallel()
	s := start(t, `trap 'stty size' WINCH; stty size; echo "$TERM"; while :; do read -r x || :; done`, screen.Options{Width: 61, Height: 17, Term: "xterm-256color"})
	s.WaitFor("17 61\nxterm-256color")
	s.Resize(200, 60)
	s.WaitFor("60 200")
	if state := s.State(); state.Width != 200 || state.Height != 60 || state.Alternate || !state.Cursor {
		t.Errorf("the state is %+v", state)
	}
}

// TestWhatIsLeftOn: each thing that a program may leave switched on is told,
// and nothing is where it switches all off.
func TestWhatIsLeftOn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ on, off, want string }{
		{`\033[?1049h`, `\033[?1049l`, "the alternate screen is on"},
		{`\033[?25l`, `\033[?25h`, "the cursor is hidden"},
		{`\033[?1002h\033[?1006h`, `\033[?1002l\033[?1006l`, "the mouse is reported"},
		{"", "", ""},
	} {
		for _, tidy := range []bool{true, false} {
			script, want := "printf '"+c.on+"'", c.want
			if tidy {
				script, want = script+"; printf '"+c.off+"'", ""
			}
			s := start(t, script, screen.Options{})
			s.Ends(0)
			if left, err := s.T.Left(); left != want || err != nil {
				t.Errorf("%q left %q, %v; want %q", script, left, err, want)
			}
		}
	}
	s := start(t, "stty -echo raw", screen.Options{})
	s.Ends(0)
	if left, err := s.T.Left(); !strings.HasPrefix(left, "the terminal's settings are ") || err != nil {
		t.Errorf("stty -echo raw left %q, %v", left, err)
	}
}

// TestEndsWithAllThatWasWritten: a program is gone sooner than its terminal has
// drawn what it wrote, here screens full of E (DECALN).
func TestEndsWithAllThatWasWritten(t *testing.T) {
	t.Parallel()
	s := start(t, `yes "$(printf '\033#8')" | head -n 3000; printf 'the last word'`, screen.Options{Width: 250, Height: 80})
	s.Ends(0)
	if frame := s.Frame(); !strings.Contains(frame, "the last word") {
		t.Errorf("the screen shows\n%s", frame)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "exit 7", screen.Options{})
	s.Restored(7)
	s = start(t, "echo ready; exec sleep 100", screen.Options{})
	s.WaitFor("ready")
	if state := s.State(); state.Alternate {
		t.Error("nobody switched to the alternate screen")
	}
	s.Signal(syscall.SIGTERM)
	s.Restored(128 + int(syscall.SIGTERM))
	s = start(t, "echo ready; exec sleep 100", screen.Options{})
	s.WaitFor("ready")
	s.Send("C-c")
	s.Restored(128 + int(syscall.SIGINT))
}

// TestClick: what a program that listens for the mouse gets.
func TestClick(t *testing.T) {
	t.Parallel()
	s := start(t, `stty raw -echo; printf 'ready'; head -c 18 | od -An -c; stty sane`, screen.Options{Width: 100})
	s.WaitFor("ready")
	s.Click(4, 11)
	s.WaitFor(`033 +\[ +< +0 +; +5 +; +1 +2 +M +033 +\[ +< +0 +;`)
}

// TestBackground: a program that asks is told.
func TestBackground(t *testing.T) {
	t.Parallel()
	for background, want := range map[string]string{"light": "ffff", "dark": "0000"} {
		s := start(t, `stty raw -echo; printf '\033]11;?\033\\'; head -c 23 | tr -d '\033'; stty sane; cat`, screen.Options{Background: background})
		s.WaitFor("11;rgb:" + want + "/" + want + "/" + want)
	}
}

// TestCloseEndsItsServerAlone: the program is hung up, the folder is gone, and
// another server goes on.
func TestCloseEndsItsServerAlone(t *testing.T) {
	t.Parallel()
	other := start(t, "echo other; cat", screen.Options{})
	other.WaitFor("other")
	s, err := screen.Open(t.Context(), screen.Options{Args: []string{"sh", "-c", "echo ready; cat"}})
	if err != nil {
		t.Fatal(err)
	}
	pid, err := s.PID()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); syscall.Kill(pid, 0) == nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the program goes on")
		}
	}
	if _, err := s.Frame(); err == nil {
		t.Error("a closed terminal has a frame")
	}
	other.Type("still here\n")
	other.WaitFor("still here\nstill here")
}

func TestWaitTells(t *testing.T) {
	t.Parallel()
	s := start(t, "echo something else; cat", screen.Options{})
	s.WaitFor("something")
	frame, err := s.T.WaitFor("what never comes", 50*time.Millisecond)
	if err == nil || !strings.Contains(frame, "something else") {
		t.Errorf("%v, the frame is %q", err, frame)
	}
}

func TestWithoutTmux(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := screen.Open(t.Context(), screen.Options{Args: []string{"true"}}); !errors.Is(err, screen.ErrMissing) {
		t.Errorf("%v", err)
	}
	// A tmux that starts nothing is an error, and leaves nothing behind.
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	t.Setenv("TMPDIR", t.TempDir())
	if err := os.WriteFile(filepath.Join(bin, "tmux"), []byte("#!/bin/sh\necho no space >&2; exit 1\n"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	if _, err := screen.Open(t.Context(), screen.Options{Args: []string{"true"}}); err == nil || !strings.Contains(err.Error(), "no space") || errors.Is(err, exec.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if left, err := os.ReadDir(os.Getenv("TMPDIR")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
