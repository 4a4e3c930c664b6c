package demo

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/hint"
)

// buildDir holds the program; TestMain removes it.
var buildDir string

// build makes the program once for all tests of this file.
var build = sync.OnceValues(func() (path string, err error) {
	if buildDir, err = os.MkdirTemp("", "kb-build-"); err != nil {
		return "", err
	}
	path = filepath.Join(buildDir, "kb")
	out, err := exec.Command("go", "build", "-o", path, "kb/cmd/kb").CombinedOutput()
	if err != nil {
		err = errors.New(string(out))
	}
	return path, err
})

// kb is a command of the built binary, in an environment where much would lead
// it astray if it listened.
func kb(t *testing.T, args ...string) (cmd *exec.Cmd, homeDir, temp string) {
	t.Helper()
	if testing.Short() {
		t.Skip("skipped: -short, and this builds the program")
	}
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("skipped: there is no go program here")
	}
	options(t, io.Discard) // skips without git
	path, err := build()
	if err != nil {
		t.Fatalf("build kb: %v", err)
	}
	homeDir, temp = emptyPlaces(t)
	cmd = exec.CommandContext(t.Context(), path, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + homeDir, "TMPDIR=" + temp, "TERM=xterm-256color",
		"FORGE_TOKEN=ambient", "KB_IDENTITY_FILE=/nonexistent", "KB_VAULT=/nonexistent",
		"GIT_DIR=/nonexistent", "GIT_CONFIG_GLOBAL=/nonexistent", "GIT_CONFIG_COUNT=1",
		"GIT_CONFIG_KEY_0=user.name", "GIT_CONFIG_VALUE_0=Somebody Else", "GIT_AUTHOR_NAME=Somebody Else", "GIT_SSH_COMMAND=false",
		"HTTPS_PROXY=http://127.0.0.1:1", "https_proxy=http://127.0.0.1:1", "NO_PROXY=*", "SSL_CERT_FILE=/nonexistent",
		"XDG_CONFIG_HOME=" + filepath.Join(homeDir, "x"),
	}
	return cmd, homeDir, temp
}

func TestBuiltDemo(t *testing.T) {
	cmd, _, _ := kb(t, "demo")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("kb demo: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	for _, want := range []string{"200, you are you-work", "Bearer forge_oss_", "profile-not-granted", "none changed, removed or added"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("the output has no %q", want)
		}
	}
	if strings.Contains(stdout.String(), "\x1b") || strings.Contains(stdout.String(), "Somebody") || stderr.Len() > 0 {
		t.Errorf("colours in a file, somebody else's name, or talk on stderr:\n%s\n%s", stdout.String(), stderr.String())
	}
}

func TestBuiltDemoOnATerminal(t *testing.T) {
	for _, noColor := range []bool{false, true} {
		cmd, _, _ := kb(t, "demo")
		if noColor {
			cmd.Env = append(cmd.Env, "NO_COLOR=1")
		}
		tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 50, Cols: 110})
		if err != nil {
			t.Skipf("skipped: no pseudo-terminal here: %v", err)
		}
		out, _ := io.ReadAll(tty) // Linux ends a closed terminal with EIO
		_ = tty.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatalf("kb demo: %v\n%s", err, out)
		}
		if colored := bytes.Contains(out, []byte("\x1b[")); colored == noColor {
			t.Errorf("NO_COLOR %v: colours %v", noColor, colored)
		}
		widest := 0
		if noColor {
			for line := range strings.Lines(string(out)) {
				widest = max(widest, len([]rune(strings.TrimRight(line, "\r\n"))))
			}
			if widest <= usual || widest > 110 {
				t.Errorf("the longest line has %d columns on a terminal of 110", widest)
			}
		}
	}
}

// TestInterruptedDemoLeavesNothing presses ctrl+c, closes the terminal, and ends
// the process as a runner would, while the agents work.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		cmd, _, temp := kb(t, "demo")
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		atWork(t, temp)
		if err := cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		wantCancelled(t, s.String(), cmd.Wait(), &stderr)
	}
	cmd, _, temp := kb(t, "demo")
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	defer tty.Close()
	atWork(t, temp)
	if _, err := tty.Write([]byte{3}); err != nil { // ctrl+c
		t.Fatal(err)
	}
	var out bytes.Buffer
	_, _ = io.Copy(&out, tty) // Linux ends a closed terminal with EIO
	wantCancelled(t, "ctrl+c", cmd.Wait(), &out)
}

// atWork waits for an audit file: the first session is open then.
func atWork(t *testing.T, temp string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for !exists(filepath.Join(temp, "kb-demo-*", ".local/state/kb/audit/*")) {
		if time.Now().After(deadline) {
			t.Fatal("the demo opened no session")
		}
		time.Sleep(time.Millisecond) // polls: there is no event to wait for
	}
}

func wantCancelled(t *testing.T, how string, err error, out *bytes.Buffer) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != hint.Cancelled {
		t.Errorf("%s: kb demo = %v, want exit %d: %s", how, err, hint.Cancelled, out)
	}
}

func exists(pattern string) bool {
	found, _ := filepath.Glob(pattern)
	return len(found) > 0
}

func TestBuiltClientIsOfNoOtherUse(t *testing.T) {
	for _, args := range [][]string{{"demo", "agent", "/user"}, {"demo", "agent", "/admin"}, {"demo", "agent"}, {"demo", "--resolver", "x"}} {
		cmd, _, _ := kb(t, args...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != hint.Usage {
			t.Errorf("kb %s = %v, want exit %d: %s", strings.Join(args, " "), err, hint.Usage, out)
		}
	}
}

// TestNextStepsWork types the commands that the demo ends with.
func TestNextStepsWork(t *testing.T) {
	first, homeDir, _ := kb(t, "version")
	defer func() { // this test is about what is left behind
		for _, path := range []string{".config", ".local"} {
			_ = os.RemoveAll(filepath.Join(homeDir, path))
		}
	}()
	repository := t.TempDir()
	for _, args := range [][]string{{"init", "-q"}, {"remote", "add", "origin", "https://github.com/acme/api.git"}} {
		git := exec.CommandContext(t.Context(), "git", args...)
		git.Dir = repository
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	for _, step := range nextSteps {
		step = strings.Replace(step, "-- claude", "-- true", 1) // an agent that is there
		if strings.HasPrefix(step, "kb login ") {
			step += " --stdin --no-verify" // no terminal, no network
		}
		cmd := exec.CommandContext(t.Context(), "sh", "-c", strings.Replace(step, "kb ", `"$0" `, 1), first.Path)
		cmd.Dir = repository
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + homeDir}
		cmd.Stdin = strings.NewReader("ghp_" + strings.Repeat("x", 36) + "\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", step, err, out)
		}
	}
}
