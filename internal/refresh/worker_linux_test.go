package refresh_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kb/internal/refresh"
)

// childrenOf are the children of a process that are workers.
func childrenOf(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Error(err)
	}
	for _, task := range tasks {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", pid, task.Name()))
		for _, f := range strings.Fields(string(b)) {
			child, _ := strconv.Atoi(f)
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", child)); strings.Contains(string(line), asWorker) || strings.Contains(string(line), refresh.WorkerArgument) {
				pids = append(pids, child)
			}
		}
	}
	return pids
}

// Signals to a session's group are not its worker's: it has a session of its
// own, and ignores them.
func TestWorkerSurvivesSignals(t *testing.T) {
	r := newRemote(t, true)
	r.answer = func(http.ResponseWriter, *http.Request) bool {
		// While the worker waits for this answer, it is the only child.
		for _, pid := range childrenOf(t, os.Getpid()) {
			if sid, _ := unix.Getsid(pid); sid != pid {
				t.Errorf("worker %d is in session %d", pid, sid)
			}
			for _, s := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGPIPE} {
				if err := syscall.Kill(pid, s); err != nil {
					t.Error(err)
				}
			}
		}
		return false
	}
	got, err := r.next(spawner(none))
	if err != nil || !r.accepts(got) || r.asked() != 1 {
		t.Errorf("stale, or %v, after %d requests", err, r.asked())
	}
}

// Neither arguments nor environment of a worker hold anything.
func TestWorkerIsStartedWithNothing(t *testing.T) {
	t.Setenv("KB_TEST_CANARY", "kb-canary-of-environment")
	r := newRemote(t, true)
	looked := 0
	r.answer = func(http.ResponseWriter, *http.Request) bool {
		for _, pid := range childrenOf(t, os.Getpid()) {
			looked++
			for _, file := range []string{"environ", "cmdline"} {
				b, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
				if err != nil {
					t.Error(err)
				}
				for _, word := range []string{"canary", "refresh-0", "client-secret", r.dir, string(storeKey[:])} {
					if strings.Contains(string(b), word) {
						t.Errorf("%s of the worker holds %q", file, word)
					}
				}
			}
		}
		return false
	}
	if _, err := r.next(spawner(none)); err != nil {
		t.Fatal(err)
	}
	if looked == 0 {
		t.Error("no worker was looked at")
	}
}

// An update has replaced kb's file since the session was started: its worker is
// the program that the session is, and not what lies there now.
func TestWorkerIsThisVeryProgram(t *testing.T) {
	r := newRemote(t, true)
	cmd, in := r.start(sessionSpec{Users: 1, Self: true, Wait: true})
	b, err := os.ReadFile(cmd.Path)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Path = filepath.Join(t.TempDir(), "kb")
	var session, workers atomic.Int64
	r.answer = func(http.ResponseWriter, *http.Request) bool {
		workers.Add(int64(len(childrenOf(t, int(session.Load())))))
		return false
	}
	if err := os.WriteFile(cmd.Path, b, 0o755); err != nil {
		t.Fatal(err)
	}
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	session.Store(int64(cmd.Process.Pid))
	out := bufio.NewReader(pipe)
	if line, err := out.ReadString('\n'); line != "ready\n" {
		t.Fatalf("%q, %v", line, err)
	}
	if err := os.Remove(cmd.Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cmd.Path, []byte("#!/bin/sh\necho another program >&2\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	rest, _ := io.ReadAll(out)
	if err := cmd.Wait(); err != nil || !strings.Contains(string(rest), "spawned\nok ") {
		t.Errorf("%v: %s", err, rest)
	}
	if workers.Load() != 1 || r.asked() != 1 {
		t.Errorf("%d workers asked %d times", workers.Load(), r.asked())
	}
}
