package supervisor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit codes of a command that did not start, as in POSIX sh.
const (
	CodeNotExecutable = 126
	CodeNotFound      = 127
)

// Spec is what to run.
type Spec struct {
	Command []string   // program and arguments; the program is looked up in the PATH of Env
	Env     []string   // the whole environment, NAME=value
	Dir     string     // working directory; empty means kb's own
	Files   []*os.File // descriptors 0, 1, 2, …; nil means kb's own three
	// BeforeStart, if set, is called on the thread that forks the child, which
	// inherits what it changes there.
	BeforeStart func() error
	// Caught, if set, is called once Run catches signals: who did so until then
	// lets go, and none falls between.
	Caught func()
	// Started, if set, is told the child's process.
	Started func(pid int)
	// Stop, when it is closed, has the child asked to end, and made to after
	// StopTime. Nil never does.
	Stop     <-chan struct{}
	StopTime time.Duration // 0 means DefaultStopTime
	// Privileges lets the child gain privileges by exec (sudo). The zero value
	// sets no_new_privs on Linux.
	Privileges bool
}

// StartError says why the command did not start.
type StartError struct {
	Command string
	Code    int // CodeNotFound or CodeNotExecutable
	Err     error
}

func (e *StartError) Error() string {
	if e.Code == CodeNotFound {
		return fmt.Sprintf("find command %q: not in PATH", e.Command)
	}
	return fmt.Sprintf("start command %q: %v", e.Command, e.Err)
}

func (e *StartError) Unwrap() error { return e.Err }

// Lookup finds the program that Run would start, in the PATH of env.
func Lookup(name string, env []string, dir string) (string, error) {
	if strings.ContainsRune(name, '/') {
		path := name
		if !filepath.IsAbs(path) && dir != "" {
			path = filepath.Join(dir, path)
		}
		if err := executable(path); err != nil {
			return "", startError(name, err)
		}
		return path, nil
	}
	var denied error
	for _, folder := range filepath.SplitList(variable(env, "PATH")) {
		if !filepath.IsAbs(folder) {
			continue // a relative PATH entry would let a repository choose the program
		}
		path := filepath.Join(folder, name)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if errors.Is(err, fs.ErrPermission) {
			denied = err
		}
	}
	if denied != nil {
		return "", startError(name, denied)
	}
	return "", startError(name, exec.ErrNotFound)
}

func executable(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.IsDir() {
		return syscall.EISDIR
	}
	if err := unix.Access(path, unix.X_OK); err != nil {
		return fs.ErrPermission
	}
	return nil
}

func startError(name string, err error) error {
	code := CodeNotExecutable
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, exec.ErrNotFound) || errors.Is(err, syscall.ENOTDIR) {
		code = CodeNotFound
	}
	return &StartError{Command: name, Code: code, Err: err}
}

func variable(env []string, name string) string {
	for i := len(env) - 1; i >= 0; i-- {
		if v, ok := strings.CutPrefix(env[i], name+"="); ok {
			return v
		}
	}
	return ""
}

// Run starts the command, waits for its end, and returns its exit code. The
// error is a *StartError when there was nothing to wait for.
func Run(spec Spec) (int, error) {
	path, err := Lookup(spec.Command[0], spec.Env, spec.Dir)
	if err != nil {
		return 0, err
	}
	files := spec.Files
	if files == nil {
		files = []*os.File{os.Stdin, os.Stdout, os.Stderr}
	}
	terminal := inForeground()

	// Signals are caught before the child exists, so that none falls between.
	// The buffer holds a burst; a signal kind that is pending is merged anyway.
	caught := make(chan os.Signal, 64)
	signal.Notify(caught, relayed(terminal)...)
	defer signal.Stop(caught)
	if terminal {
		// Not signal.Ignore: an ignored signal stays ignored across exec.
		dropped := make(chan os.Signal, 1)
		signal.Notify(dropped, syscall.SIGINT, syscall.SIGQUIT)
		defer signal.Stop(dropped)
	}
	if spec.Caught != nil {
		spec.Caught()
	}

	// no_new_privs and the parent-death signal belong to a thread, so the
	// thread that forks stays ours until the child has ended.
	// Nor is it given back: what the child inherited stays on it.
	runtime.LockOSThread()
	if err := prepare(spec); err != nil {
		return 0, &StartError{Command: spec.Command[0], Code: CodeNotExecutable, Err: err}
	}
	if spec.BeforeStart != nil {
		if err := spec.BeforeStart(); err != nil {
			return 0, &StartError{Command: spec.Command[0], Code: CodeNotExecutable, Err: err}
		}
	}
	process, err := os.StartProcess(path, spec.Command, &os.ProcAttr{
		Dir: spec.Dir, Env: spec.Env, Files: files, Sys: attributes(terminal),
	})
	if err != nil {
		return 0, startError(spec.Command[0], err)
	}
	started(process.Pid)
	if spec.Started != nil {
		spec.Started(process.Pid)
	}

	done := make(chan struct{})
	go relay(caught, process.Pid, done)
	var stopping atomic.Bool
	go stop(spec, &stopping, process.Pid, terminal, done)
	status := wait(process.Pid, terminal, &stopping)
	close(done)
	_ = process.Release()
	if status.Signaled() {
		return 128 + int(status.Signal()), nil
	}
	return status.ExitStatus(), nil
}

// relay passes signals on to the child until it has ended.
func relay(caught <-chan os.Signal, pid int, done <-chan struct{}) {
	for {
		select {
		case s := <-caught:
			if n, ok := s.(syscall.Signal); ok {
				_ = syscall.Kill(pid, n) // the child may be gone: nothing to tell
			}
		case <-done:
			return
		}
	}
}

// DefaultStopTime is how long a child that is to stop has for it. 5 s: agents
// save their state in less.
const DefaultStopTime = 5 * time.Second

// continueEvery is how often a child that stops itself while it is to end is
// continued: one that reads from a terminal that is not its own does so at once.
const continueEvery = 50 * time.Millisecond

// stop ends the child when asked is closed: it is told as by a signal to kb, and
// killed when it does not obey. Without a terminal it has a process group of its
// own, which is killed with it; with one that group is kb's.
func stop(spec Spec, stopping *atomic.Bool, pid int, terminal bool, done <-chan struct{}) {
	limit := spec.StopTime
	if limit == 0 {
		limit = DefaultStopTime
	}
	select {
	case <-spec.Stop:
	case <-done:
		return
	}
	stopping.Store(true)
	_ = syscall.Kill(pid, syscall.SIGTERM)
	_ = syscall.Kill(pid, syscall.SIGCONT) // one that is stopped hears nothing else
	kill := time.NewTimer(limit)
	defer kill.Stop()
	if terminal {
		// An interactive shell ignores TERM, and ends with its jobs when its
		// terminal hangs up.
		select {
		case <-time.After(limit / 5):
			_ = syscall.Kill(pid, syscall.SIGHUP)
		case <-done:
			return
		}
	}
	select {
	case <-kill.C:
		if !terminal {
			_ = syscall.Kill(-pid, syscall.SIGKILL)
		}
		_ = syscall.Kill(pid, syscall.SIGKILL)
	case <-done:
	}
}

// wait reaps children until pid has ended: kb is a subreaper, so processes that
// the agent leaves behind become its children and would stay as zombies.
func wait(pid int, terminal bool, stopping *atomic.Bool) syscall.WaitStatus {
	for {
		var status syscall.WaitStatus
		options := 0
		if terminal {
			options = syscall.WUNTRACED
		}
		got, err := syscall.Wait4(-1, &status, options, nil)
		switch {
		case err == syscall.EINTR:
			continue
		case err != nil:
			// No children at all: someone else reaped ours. There is no code
			// to report but failure.
			return syscall.WaitStatus(1 << 8)
		case got != pid:
			continue
		case status.Stopped() && stopping.Load():
			time.Sleep(continueEvery)
			_ = syscall.Kill(pid, syscall.SIGCONT) // it is to end, not to wait for its terminal
			continue
		case status.Stopped():
			stopWith(pid)
			continue
		}
		return status
	}
}

// stopWith stops kb as its child was stopped, so that the shell takes the
// terminal back, and continues the child when kb is continued. If the child
// runs again by now (the whole group was stopped and continued together),
// nothing is done.
func stopWith(pid int) {
	if !isStopped(pid) {
		return
	}
	_ = syscall.Kill(syscall.Getpid(), syscall.SIGSTOP)
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// inForeground reports whether kb has a controlling terminal and is in its
// foreground process group.
func inForeground() bool {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	defer tty.Close()
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

func relayed(terminal bool) []os.Signal {
	signals := []os.Signal{syscall.SIGTERM, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2}
	if !terminal {
		signals = append(signals, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGWINCH, syscall.SIGCONT, syscall.SIGALRM)
	}
	return signals
}
