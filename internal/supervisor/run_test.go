package supervisor_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/supervisor"
)

// The test binary is its own child: with KB_TEST_SUPERVISE it runs its
// arguments as kb exec would and exits with their code.
func TestMain(m *testing.M) {
	switch os.Getenv("KB_TEST_SUPERVISE") {
	case "harden":
		if err := supervisor.Harden(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(99)
		}
		fallthrough
	case "run", "stoppable":
		spec := supervisor.Spec{Command: os.Args[1:], Env: os.Environ()}
		if os.Getenv("KB_TEST_SUPERVISE") == "stoppable" {
			spec.Stop, spec.StopTime = stopWhenTold(), 500*time.Millisecond
		}
		code, err := supervisor.Run(spec)
		var start *supervisor.StartError
		if errors.As(err, &start) {
			fmt.Fprintln(os.Stderr, start)
			code = start.Code
		}
		os.Exit(code)
	}
	os.Exit(m.Run())
}

func supervise(t *testing.T, mode string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "KB_TEST_SUPERVISE="+mode)
	return cmd
}

func exitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

func TestExitCodesAreTheChilds(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, code := range []int{0, 1, 2, 100, 126, 127, 128, 255} {
		if got := exitCode(supervise(t, "run", "sh", "-c", "exit "+strconv.Itoa(code)).Run()); got != code {
			t.Errorf("exit %d arrived as %d", code, got)
		}
	}
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL, syscall.SIGSEGV} {
		got := exitCode(supervise(t, "run", "sh", "-c", fmt.Sprintf("kill -%d $$", s)).Run())
		if got != 128+int(s) {
			t.Errorf("signal %d arrived as %d", s, got)
		}
	}
	for command, want := range map[string]int{
		"no-such-command-kb": 127, "/no/such/file": 127, plain: 126, t.TempDir(): 126,
	} {
		if got := exitCode(supervise(t, "run", command).Run()); got != want {
			t.Errorf("running %q gave %d, want %d", command, got, want)
		}
	}
}

func TestPipesAreByteExact(t *testing.T) {
	in := make([]byte, 1<<20)
	for i := range in {
		in[i] = byte(i * 7)
	}
	cmd := supervise(t, "run", "cat")
	cmd.Stdin = bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil || !bytes.Equal(in, out) {
		t.Fatalf("cat changed %d bytes into %d: %v", len(in), len(out), err)
	}
}

func TestSignalsAreForwardedOnceWithoutTerminal(t *testing.T) {
	cmd := supervise(t, "run", "bash", "-c",
		`n=0; trap 'n=$((n+1)); echo got $n' INT; trap 'echo n=$n; exit 7' TERM; echo ready; while :; do read -t 0.05 <> <(:); done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(want string) {
		t.Helper()
		if !lines.Scan() || lines.Text() != want {
			t.Fatalf("read %q, want %q", lines.Text(), want)
		}
	}
	expect("ready")
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGINT) // the whole group, as a runner would
	expect("got 1")
	_ = syscall.Kill(cmd.Process.Pid, syscall.SIGTERM)
	expect("n=1")
	if got := exitCode(cmd.Wait()); got != 7 {
		t.Errorf("exit %d, want the trap's 7", got)
	}
}

func TestTerminalStaysWithTheChild(t *testing.T) {
	cmd := supervise(t, "run", "bash", "-c", `trap 'echo int; exit 9' INT; test -t 0 && stty size; echo ready; while :; do read -t 0.05 x; done`)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 33, Cols: 77})
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	defer tty.Close()
	lines := bufio.NewReader(tty)
	read := func(want string) {
		t.Helper()
		for {
			line, err := lines.ReadString('\n')
			if strings.HasSuffix(strings.TrimSpace(line), want) { // the echo of ^C comes before
				return
			}
			if err != nil {
				t.Fatalf("terminal ended before %q: %v", want, err)
			}
		}
	}
	read("33 77")
	read("ready")
	if _, err := tty.Write([]byte{3}); err != nil { // ctrl+c
		t.Fatal(err)
	}
	read("int")
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	if got := exitCode(cmd.Wait()); got != 9 {
		t.Errorf("exit %d, want the trap's 9", got)
	}
}

func TestStopAndContinueTogether(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: reads process states from /proc")
	}
	cmd := supervise(t, "run", "sh", "-c", "echo $$; kill -STOP $$; echo back; exit 5")
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	defer tty.Close()
	lines := bufio.NewReader(tty)
	if _, err := lines.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	eventually(t, "kb to stop with its child", func() bool { return state(cmd.Process.Pid) == 'T' })
	if err := syscall.Kill(cmd.Process.Pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	line, _ := lines.ReadString('\n')
	if strings.TrimSpace(line) != "back" {
		t.Errorf("after continue the child wrote %q, want back", line)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	if got := exitCode(cmd.Wait()); got != 5 {
		t.Errorf("exit %d, want 5", got)
	}
}

func TestOrphansAreReaped(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: macOS has no subreapers")
	}
	// The inner shell ends and leaves a short-lived orphan; if kb did not reap
	// it, it would stay as a zombie child of kb.
	cmd := supervise(t, "run", "sh", "-c", "(sh -c 'exit 0' & ) ; echo ready; read x; exit 0")
	in, _ := cmd.StdinPipe()
	out, _ := cmd.StdoutPipe()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("no line from the child")
	}
	eventually(t, "only the main child to be left", func() bool {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", cmd.Process.Pid, cmd.Process.Pid))
		if err != nil {
			return true // a kernel without CONFIG_PROC_CHILDREN
		}
		return len(strings.Fields(string(children))) <= 1
	})
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

func TestHardenedProcessIsClosedToItsUser(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: PR_SET_DUMPABLE is Linux")
	}
	if os.Getuid() == 0 {
		t.Log("running as root: the environ check is made from a child without capabilities")
	}
	probe := `cat /proc/$PPID/environ >/dev/null 2>&1 && echo READ || echo CLOSED`
	asUser := func(mode string) string {
		cmd := supervise(t, mode, "sh", "-c", probe)
		if os.Getuid() == 0 {
			// 65534 is nobody on Linux; the test binary must be reachable by it.
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
			cmd.Path = copyFor(t, os.Args[0])
		}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Skipf("skipped: cannot run as an ordinary user here: %v %s", err, out)
		}
		return strings.TrimSpace(string(out))
	}
	if got := asUser("run"); got != "READ" {
		t.Fatalf("positive control: an unhardened parent's environ was %q, want READ", got)
	}
	if got := asUser("harden"); got != "CLOSED" {
		t.Errorf("a hardened parent's environ was %q, want CLOSED", got)
	}
}

func TestNoNewPrivilegesOnTheChildOnly(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("skipped: no_new_privs is Linux")
	}
	out, err := supervise(t, "harden", "sh", "-c", "grep NoNewPrivs /proc/self/status; ulimit -S -c").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), "NoNewPrivs:\t1") {
		t.Errorf("child status says %q, want NoNewPrivs 1", out)
	}
	var own syscall.Rlimit
	if err := syscall.Getrlimit(4, &own); err != nil { // RLIMIT_CORE
		t.Fatal(err)
	}
	if own.Cur != 0 && strings.HasSuffix(strings.TrimSpace(string(out)), "\n0") {
		t.Errorf("the child lost its core limit: %q", out)
	}
}

func copyFor(t *testing.T, path string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kb-supervisor-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(dir, "test")
	if err := os.WriteFile(to, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

func state(pid int) byte {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	return stat[bytes.LastIndexByte(stat, ')')+2]
}

// eventually polls, because a process's state is only to be seen by looking.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(5 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("waited 5 s for %s", what)
		case <-tick.C:
		}
	}
}
