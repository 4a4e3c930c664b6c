package refresh

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"kb/internal/secret"
	"kb/internal/state"
)

// A Spawner names the program that is a worker, and does not start it.
type Spawner func() (*exec.Cmd, error)

// Self is the worker that this very program is. On Linux also where its file
// was replaced since, by an update.
func Self() (*exec.Cmd, error) {
	path, err := selfPath()
	if err != nil {
		return nil, err
	}
	return &exec.Cmd{Path: path, Args: []string{"kb", WorkerArgument}}, nil
}

// readyPatience is how long a worker is waited for that has nothing to do yet.
const readyPatience = 5 * time.Second

// What became of a job that a worker did not do.
var (
	errNoWorker = errors.New("there is no worker") // it could not be started, or was killed: do it here
	errHung     = errors.New("the worker does not end")
)

// delegate has a worker do the job. It holds the lock as well and, if this
// process is killed now, alone. An [unsavedError] says why new tokens are in
// memory only.
func (m *Manager) delegate(lock *state.TokenLock, j job) (state.Token, error) {
	cmd, err := m.o.Spawn()
	if err != nil {
		return state.Token{}, errNoWorker
	}
	// Sockets and not pipes: a pipe could be opened by way of /proc/PID/fd in the
	// moment before the worker has closed itself to others.
	ours, theirs, err := socketPair()
	if err != nil {
		return state.Token{}, errNoWorker
	}
	defer func() { _ = ours.Close() }()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirs, theirs, nil
	cmd.ExtraFiles = []*os.File{lock.File()}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if cmd.Env == nil {
		cmd.Env = []string{} // not this process's
	}
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return state.Token{}, errNoWorker
	}
	// Its exit code says nothing, and a session's supervisor may have reaped it.
	go func() { _ = cmd.Wait() }()
	m.step("spawned")
	s := bufio.NewScanner(ours)
	s.Buffer(nil, wireMost)
	_ = ours.SetDeadline(time.Now().Add(readyPatience))
	request, err := encodeJob(m.o.Store, j)
	if err != nil || !s.Scan() || s.Text() != wireReady {
		_ = cmd.Process.Kill() // it was given nothing
		return state.Token{}, errNoWorker
	}
	_ = ours.SetDeadline(time.Now().Add(m.patience))
	if _, err := ours.Write(append(request, '\n')); err != nil {
		return m.aftermath(lock, j, err)
	}
	m.step("handed")
	if !s.Scan() {
		if errors.Is(s.Err(), os.ErrDeadlineExceeded) {
			// Somebody may have stopped it, with new tokens in its memory. Nobody
			// else can tell it from one that waits, and it holds the lock.
			_ = cmd.Process.Signal(syscall.SIGCONT)
		}
		return m.aftermath(lock, j, s.Err())
	}
	var a wireAnswer
	if json.Unmarshal(s.Bytes(), &a) != nil {
		return m.aftermath(lock, j, nil)
	}
	t, err := state.DecodeToken(secret.New(string(a.Token)))
	if err != nil {
		return m.aftermath(lock, j, nil)
	}
	if a.Unsaved != "" {
		_, _ = fmt.Fprintln(ours, wireTaken)
		return t, &unsavedError{a.Unsaved}
	}
	return t, nil
}

// unsavedError says why new tokens are not on the disk.
type unsavedError struct{ reason string }

func (e *unsavedError) Error() string { return e.reason }

// aftermath finds out how far a worker came that does not answer.
func (m *Manager) aftermath(lock *state.TokenLock, j job, why error) (state.Token, error) {
	if errors.Is(why, os.ErrDeadlineExceeded) {
		// It lives, may have new tokens, and holds the lock until it ends.
		_ = lock.Leave()
		return state.Token{}, errHung
	}
	t, ok, err := m.o.Store.Token(j.key)
	if err == nil && ok && !t.Access.IsZero() && !t.Access.Equal(j.old.Access) {
		_ = m.o.Store.ClearJournal(j.key)
		return t, nil
	}
	// Whether it had asked yet nobody knows. The journal does not forget that it
	// may have.
	return state.Token{}, errNoWorker
}

// exchange does the job: by a worker, or here where there is none. What is in
// memory only must not leave this process.
func (m *Manager) exchange(lock *state.TokenLock, j job) (state.Token, error) {
	if m.o.Spawn != nil && !j.memory {
		if t, err := m.delegate(lock, j); !errors.Is(err, errNoWorker) {
			return t, err
		}
	}
	p := performer{store: m.o.Store, ask: m.o.Exchange, now: m.o.Now, random: m.o.Random, step: m.step}
	return p.perform(context.WithoutCancel(m.ctx), j)
}

// socketPair is two ends of a socket. Reads from the first can be given a
// deadline.
func socketPair() (ours, theirs *os.File, err error) {
	// The lock of fork keeps a child that is started meanwhile from inheriting
	// them: macOS cannot make sockets that are closed on exec.
	syscall.ForkLock.RLock()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err == nil {
		unix.CloseOnExec(fds[0])
		unix.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	if err := unix.SetNonblock(fds[0], true); err != nil {
		_, _ = unix.Close(fds[0]), unix.Close(fds[1])
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "session"), nil
}
