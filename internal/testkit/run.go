package testkit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// runLimit ends a program that hangs. The slowest honest one is a build of kb
// on a cold cache with two cores; tests of long transfers set their own with
// [Exec].
const runLimit = 3 * time.Minute

// builds keeps one build of kb a test process.
var builds struct {
	sync.Mutex
	dir, err string
}

// BuildKB builds cmd/kb of the module that the test belongs to, once a test
// process, and returns the program's path. KB_TEST_BINARY names a program to be
// used instead.
func BuildKB(t testing.TB) string {
	t.Helper()
	if path := os.Getenv("KB_TEST_BINARY"); path != "" {
		return path
	}
	builds.Lock()
	defer builds.Unlock()
	if builds.dir == "" && builds.err == "" {
		builds.dir, builds.err = buildKB()
	}
	if builds.err != "" {
		t.Fatal(builds.err)
	}
	return filepath.Join(builds.dir, "kb")
}

func buildKB() (dir, failed string) {
	root, err := moduleRoot()
	if err != nil {
		return "", err.Error()
	}
	if dir, err = os.MkdirTemp(os.Getenv(dirVar), "kb-build-"); err != nil {
		return "", err.Error()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, "kb"), "./cmd/kb")
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return "", fmt.Sprintf("build kb: %v\n%s", err, out)
	}
	return dir, ""
}

// run runs the tests and removes what BuildKB made for them.
func run(m interface{ Run() int }) int {
	defer removeBuild()
	return m.Run()
}

func removeBuild() {
	builds.Lock()
	defer builds.Unlock()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
		builds.dir = ""
	}
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find go.mod: none above the test's folder")
		}
		dir = up
	}
}

// FreeAddress is an address of this machine at which nothing listens, for a
// program that must be told its port. The kernel gives it to nobody else by
// itself: it is below the ports that Linux and macOS choose from.
func FreeAddress(t testing.TB) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.IntN(10_000)))
		if l, err := net.Listen("tcp4", address); err == nil {
			_ = l.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// Home is the home folder of a user who has just been made: no configuration,
// no credentials, folders of its own for all that XDG names and for temporary
// files.
type Home struct {
	Dir string
	// Env is a whole environment with this home and nothing else of the
	// test's own but PATH.
	Env []string
}

// NewHome makes a home that lasts as long as the test.
func NewHome(t testing.TB) *Home {
	t.Helper()
	// Not t.TempDir, whose long names do not leave room for a socket's path
	// (108 bytes, unix(7)).
	dir, err := os.MkdirTemp("", "kbh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	h := &Home{Dir: dir, Env: []string{"HOME=" + dir, "PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "TERM=dumb", "USER=me", "LOGNAME=me"}}
	for name, sub := range map[string]string{
		"XDG_CONFIG_HOME": ".config", "XDG_STATE_HOME": ".local/state", "XDG_DATA_HOME": ".local/share",
		"XDG_CACHE_HOME": ".cache", "XDG_RUNTIME_DIR": "run", "TMPDIR": "tmp",
	} {
		at := filepath.Join(dir, sub)
		if err := os.MkdirAll(at, 0o700); err != nil {
			t.Fatal(err)
		}
		h.Env = append(h.Env, name+"="+at)
	}
	return h
}

// With is h's environment with more variables, "NAME=value"; they win.
func (h *Home) With(more ...string) []string {
	env := make([]string, 0, len(h.Env)+len(more))
	for _, kv := range h.Env {
		name, _, _ := strings.Cut(kv, "=")
		replaced := false
		for _, m := range more {
			replaced = replaced || strings.HasPrefix(m, name+"=")
		}
		if !replaced {
			env = append(env, kv)
		}
	}
	return append(env, more...)
}

// Result is how a program ended.
type Result struct {
	Stdout, Stderr string
	Code           int // 128+n when signal n ended it
}

// All is both outputs, for a failure's message.
func (r Result) All() string {
	return fmt.Sprintf("exit %d\n--- stdout\n%s--- stderr\n%s", r.Code, r.Stdout, r.Stderr)
}

// Run runs a program in dir with exactly env and no input, and waits for it.
// Only a program that cannot be started fails the test.
func Run(t testing.TB, dir string, env []string, args ...string) Result {
	t.Helper()
	return Exec(t, Command{Dir: dir, Env: env, Args: args})
}

// Command is a program to be run by [Exec].
type Command struct {
	Dir   string
	Env   []string
	Args  []string
	Stdin io.Reader     // nil means none
	Limit time.Duration // 0 means 3 minutes

	// Watch, if set, is called again and again with the program's process id
	// while it runs, for what can be seen of it from outside.
	Watch func(pid int)
}

// watchEvery is how often Command.Watch is called: often enough to meet a child
// that lives as long as one HTTP request over a real network would.
const watchEvery = 20 * time.Millisecond

// Exec runs c and waits for it. A program that exceeds its limit is killed with
// all that it started, and fails the test.
func Exec(t testing.TB, c Command) Result {
	t.Helper()
	if c.Limit == 0 {
		c.Limit = runLimit
	}
	ctx, cancel := context.WithTimeout(t.Context(), c.Limit)
	defer cancel()
	program, err := lookPath(c.Args[0], c.Env)
	if err != nil {
		t.Fatalf("run %q: %v", c.Args[0], err)
	}
	cmd := exec.CommandContext(ctx, program, c.Args[1:]...)
	cmd.Args[0] = c.Args[0]
	cmd.Dir, cmd.Env, cmd.Stdin = c.Dir, c.Env, c.Stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	// A group of its own, so that a kill reaches what it started.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 2 * time.Second // for a daemon that keeps the pipe open
	if err = cmd.Start(); err == nil {
		stop := c.watch(cmd.Process.Pid)
		err = cmd.Wait()
		stop()
	}
	r := Result{Stdout: stdout.String(), Stderr: stderr.String()}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		t.Fatalf("%q did not end within %v\n%s", c.Args, c.Limit, r.All())
	case errors.As(err, &exit):
		r.Code = exit.ExitCode()
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			r.Code = 128 + int(ws.Signal())
		}
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		t.Fatalf("run %q: %v", c.Args, err)
	}
	return r
}

// watch calls c.Watch until the function it returns is called.
func (c Command) watch(pid int) (stop func()) {
	if c.Watch == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(watchEvery)
		defer tick.Stop()
		for {
			c.Watch(pid)
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

// lookPath finds a program in the PATH of env instead of the test's own.
func lookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for _, kv := range env {
		if path, ok := strings.CutPrefix(kv, "PATH="); ok {
			for _, dir := range filepath.SplitList(path) {
				if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
					return p, nil
				}
			}
			return "", exec.ErrNotFound
		}
	}
	return exec.LookPath(name)
}
