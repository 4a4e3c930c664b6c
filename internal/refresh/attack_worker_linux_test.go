package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"kb/internal/refresh"
)

// TestAttackWorkerIsStopped: an agent stops a worker that has new tokens in its
// memory, and holds the login's lock. Killing it would lose them; it is woken.
func TestAttackWorkerIsStopped(t *testing.T) {
	r := newRemote(t, true)
	halted := spawner(stop{Step: "answered", Whom: "halted"})
	var worker *exec.Cmd
	m := managerOf(r.store, func() (*exec.Cmd, error) {
		var err error
		worker, err = halted()
		return worker, err
	})
	m.SetPatience(2 * time.Second)
	m.SetStep(func(step string) {
		if step == "handed" { // the patience is over when it is stopped, however slow this machine is
			for !stopped(worker.Process.Pid) {
				time.Sleep(10 * time.Millisecond)
			}
		}
	})
	t.Cleanup(func() {
		if worker != nil && worker.Process != nil {
			_ = worker.Process.Kill()
		}
	})
	var offline *refresh.OfflineError
	if _, err := m.Token(t.Context(), remoteLogin(r.url)); !errors.As(err, &offline) {
		t.Fatalf("control: the worker was not stopped: %v", err)
	}
	m.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	next := managerOf(openStore(t, r.dir), nil)
	defer next.Wait()
	got, err := next.Token(ctx, remoteLogin(r.url))
	if err != nil || !r.accepts(got) {
		t.Errorf("the next process: a stale token, or %v", err)
	}
	if n := r.asked(); n != 1 || !r.alive() {
		t.Errorf("%d token requests; the family is alive: %v", n, r.alive())
	}
}

// stopped reads the state letter of /proc/PID/stat (proc(5)), after the command's
// name in parentheses.
func stopped(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, after, _ := strings.Cut(string(stat), ") ")
	return err != nil || strings.HasPrefix(after, "T")
}
