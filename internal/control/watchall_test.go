package control

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// watching is a run of WatchAll whose changes a test takes one by one.
type watching struct {
	changes chan Change
	ended   chan error
	cancel  context.CancelFunc
}

func watchAll(t *testing.T, dir string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watching{changes: make(chan Change, 100), ended: make(chan error, 1), cancel: cancel}
	go func() { w.ended <- WatchAll(ctx, dir, func(c Change) { w.changes <- c }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-w.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
	return w
}

// next takes changes until one of the kind and session comes.
func (w *watching) next(t *testing.T, kind Kind, id string) Change {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		select {
		case c := <-w.changes:
			if c.Kind == kind && c.Entry.ID == id {
				return c
			}
			if c.Kind != Changed && c.Kind != Silent { // on a busy machine one is silent before it is up
				t.Fatalf("told of %s %s %v, want %s %s", c.Kind, c.Entry.ID, c.Err, kind, id)
			}
		case err := <-w.ended:
			w.ended <- err
			t.Fatalf("it ended with %v", err)
		case <-limit:
			t.Fatalf("nothing told of %s %s in 10 s", kind, id)
		}
	}
}

func TestWatchAll(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	before := startSession(t, part(t, "session", dir, "00000001"))
	w := watchAll(t, dir)
	if c := w.next(t, Up, "00000001"); c.Status.PID != before.pid {
		t.Errorf("told of %+v", c)
	}
	f, s := serve(t, dir, "00000002")
	w.next(t, Up, "00000002")
	f.change(func(s *Status) { s.Waiting = nil })
	if c := w.next(t, Changed, "00000002"); len(c.Status.Waiting) != 0 {
		t.Errorf("told of %+v", c)
	}
	s.Close()
	w.next(t, Ended, "00000002")

	before.kill()
	crashed := w.next(t, HasCrashed, "00000001")
	if err := Clear(dir, crashed.Entry); err != nil {
		t.Fatal(err)
	}
	w.next(t, Ended, "00000001")

	// Nobody listens in a name that says who does: the process is this one.
	own, err := look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	stale := Entry{ID: "00000003", PID: own.pid, Start: own.start}
	if err := os.WriteFile(filepath.Join(dir, stale.name()), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.next(t, Strange, "00000003")

	// A session in the name of another.
	f, s = serve(t, dir, "00000004")
	w.next(t, Up, "00000004")
	f.change(func(s *Status) { s.ID = "00000005" })
	if c := w.next(t, Strange, "00000004"); c.Err == nil {
		t.Error("it does not say why")
	}
	s.Close()
	w.next(t, Ended, "00000004")

	// The folder is taken away, and made again by the next session.
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	w.next(t, Ended, "00000003")
	_, s = serve(t, dir, "00000006")
	w.next(t, Up, "00000006")
	s.Close()
	w.next(t, Ended, "00000006")
}

// TestWatchAllTellsOfTheSilent: a suspended session is there, and comes up when it
// is continued.
func TestWatchAllTellsOfTheSilent(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := startSession(t, part(t, "session", dir, "00000001"))
	resume := s.suspend(t)
	w := watchAll(t, dir)
	w.next(t, Silent, "00000001")
	resume()
	w.next(t, Up, "00000001")
}

// TestIdleWatchAllDoesNothing: nothing is read and nobody asked while nothing
// changes.
func TestIdleWatchAllDoesNothing(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, _ := serve(t, dir, "00000001")
	w := watchAll(t, dir)
	w.next(t, Up, "00000001")
	// Something else in the folder wakes it, and is none of its business.
	if err := os.WriteFile(filepath.Join(dir, "other"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	select {
	case c := <-w.changes:
		t.Errorf("told of %+v", c)
	case <-time.After(300 * time.Millisecond):
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.asked != 1 {
		t.Errorf("the session was asked %d times", f.asked)
	}
}
