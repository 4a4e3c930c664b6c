package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
)

// noProcess is above what Linux (4,194,304, proc(5)) and macOS (99,998) give
// processes for ids. Process 1 may have begun in the first tick.
const noProcess = 1 << 30

// TestAttackNameBesideASessionsOwn: an agent puts a second name with its
// session's id into the folder, so that who stops the session, or answers it,
// speaks to the other one and hears that it has ended.
func TestAttackNameBesideASessionsOwn(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, _ := serve(t, dir, "00000009")
	entries, err := List(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	own := entries[0]
	if e, err := Find(entries, own.ID); err != nil || e != own {
		t.Fatalf("control: %v, %v", e, err)
	}
	put(t, dir, Entry{ID: own.ID, PID: noProcess, Start: 1}.name())
	entries, err = List(dir)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	for _, prefix := range []string{own.ID, own.ID[:7]} {
		if e, err := Find(entries, prefix); err != nil || e != own {
			t.Errorf("found by %q: %+v, %v; want %+v", prefix, e, err, own)
		}
	}
	// One whose process is there: nobody can tell by the names.
	other, err := look(startSession(t, part(t, "session", folder(t), "00000001")).pid)
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, Entry{ID: own.ID, PID: other.pid, Start: other.start}.name())
	entries, err = List(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ambiguous *AmbiguousError
	if e, err := Find(entries, own.ID); !errors.As(err, &ambiguous) {
		t.Errorf("found %+v, %v among two that run", e, err)
	}
	c, err := Dial(t.Context(), dir, own.ID)
	if err != nil {
		t.Fatalf("dialled: %v", err)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if f.stops != 1 {
		t.Errorf("the session heard of %d stops", f.stops)
	}
}

// put makes a socket that nobody listens on.
func put(t *testing.T, dir, name string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, name), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestAttackDeadSocketInASessionsPlace: a session that runs is not said to have
// ended because an agent put a dead socket in the place of its own.
func TestAttackDeadSocketInASessionsPlace(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := startSession(t, part(t, "session", dir, "00000009"))
	entries, err := List(dir)
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	client := NewClient(dir, entries[0])
	if _, err := client.Status(t.Context()); err != nil {
		t.Fatalf("control: %v", err)
	}
	name := entries[0].name()
	if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	put(t, dir, name)
	var false *FalseSocketError
	if err := client.Stop(t.Context()); !errors.As(err, &false) || errors.Is(err, ErrGone) {
		t.Errorf("stopped: %v", err)
	}
	// Killed, it is what it looks like.
	s.kill()
	if err := client.Stop(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("stopped after it was killed: %v", err)
	}
}

// TestAttackRequestOfAnotherSession: a session that lists another one's request
// as its own, with other words, is not believed: the answer would go to what
// nobody was shown.
func TestAttackRequestOfAnotherSession(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, _ := serve(t, dir, "00000007")
	if _, err := Dial(t.Context(), dir, "00000007"); err != nil {
		t.Fatalf("control: %v", err)
	}
	f.change(func(s *Status) { s.Waiting = []Request{{ID: "abcdef", Session: "00000008", Host: "harmless.example"}} })
	var false *FalseSocketError
	if _, err := Dial(t.Context(), dir, "00000007"); !errors.As(err, &false) {
		t.Errorf("asked: %v", err)
	}
}

// TestAttackFolderFullOfNames: an agent fills the folder with names that come
// before its session's. The session is listed all the same, and its child known
// by it.
func TestAttackFolderFullOfNames(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	serve(t, dir, "ffffffff")
	for i := range maxEntries + 200 {
		name := Entry{ID: fmt.Sprintf("%08x", i), PID: noProcess, Start: 1}.name()
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := named(dir)
	if err != nil || len(entries) != maxEntries {
		t.Fatalf("%d entries, %v", len(entries), err)
	}
	if _, err := Find(entries, "ffffffff"); err != nil {
		t.Errorf("the session that runs is not listed: %v", err)
	}
	own, err := look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	g := newGuard(dir)
	g.arguments = func(int) [][]byte { return nil } // the names alone
	g.environment = g.arguments
	line := []process{{pid: 1 << 30, parent: own.pid, start: own.start + 1}, own}
	if why := g.belongs(line); why == "" {
		t.Error("the child of a session is not known as one")
	}
}

// TestAttackFolderMovedAway: an agent moves the folder away, and a person's kb goes on
// seeing the sessions of the new one.
func TestAttackFolderMovedAway(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	w := watchAll(t, dir)
	_, s := serve(t, dir, "00000001")
	w.next(t, Up, "00000001") // the positive control
	s.Close()
	w.next(t, Ended, "00000001")
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	_, s = serve(t, dir, "00000002")
	w.next(t, Up, "00000002")
	s.Close()
	w.next(t, Ended, "00000002")
}
