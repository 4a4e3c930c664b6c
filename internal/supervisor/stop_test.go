package supervisor_test

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

// stopWhenTold is closed when descriptor 3 says so.
func stopWhenTold() <-chan struct{} {
	told := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.NewFile(3, "stop"))
		close(told)
	}()
	return told
}

// stoppable is a supervised command, and what has it stop.
func stoppable(t *testing.T, args ...string) (*exec.Cmd, func()) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := supervise(t, "stoppable", args...)
	cmd.ExtraFiles = []*os.File{r}
	return cmd, func() {
		_ = r.Close()
		_ = w.Close()
	}
}

func TestStopAsksThenKills(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		script string
		want   int
	}{
		"one that does nothing about it": {"echo ready; read x <> <(:)", 128 + 15},
		"one that tidies up":             {"trap 'exit 7' TERM; echo ready; while :; do read -t 0.02 x <> <(:); done", 7},
		"one that ignores it":            {"trap '' TERM HUP; echo ready; while :; do read -t 0.02 x <> <(:); done", 128 + 9},
		"one that is suspended":          {"trap 'exit 7' TERM; echo ready; kill -STOP $$; while :; do read -t 0.02 x <> <(:); done", 7},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, stop := stoppable(t, "bash", "-c", c.script)
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // no terminal
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if !bufio.NewScanner(out).Scan() {
				t.Fatal("it does not start")
			}
			stop()
			if got := exitCode(cmd.Wait()); got != c.want {
				t.Errorf("it ended with %d, want %d", got, c.want)
			}
		})
	}
}

// TestStopOfAnInteractiveShell: it ignores TERM, and its terminal is kb's. Its
// job must not keep the terminal either.
func TestStopOfAnInteractiveShell(t *testing.T) {
	t.Parallel()
	cmd, stop := stoppable(t, "bash", "--norc", "-i")
	cmd.Env = append(cmd.Env, "PS1=PROMPT ", "HISTFILE=")
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	defer tty.Close()
	in := bufio.NewReader(tty)
	until := func(want string) {
		var got strings.Builder
		for !strings.HasSuffix(got.String(), want) {
			b, err := in.ReadByte()
			if err != nil {
				t.Fatalf("the terminal ended after %q", got.String())
			}
			got.WriteByte(b)
		}
	}
	until("PROMPT ")
	if _, err := io.WriteString(tty, "sh -c 'echo ru''nning; exec sleep 60'\n"); err != nil {
		t.Fatal(err)
	}
	until("running\r\n")
	stop()
	go func() { _, _ = io.Copy(io.Discard, in) }()
	ended := make(chan int, 1)
	go func() { ended <- exitCode(cmd.Wait()) }()
	select {
	case got := <-ended:
		if got != 128+int(syscall.SIGHUP) {
			t.Errorf("it ended with %d, want the hang-up's 129", got)
		}
	case <-time.After(10 * time.Second):
		t.Error("it goes on")
		_ = cmd.Process.Kill()
	}
}
