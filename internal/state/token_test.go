package state_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"kb/internal/secret"
	"kb/internal/state"
)

var revealed = cmp.Transformer("reveal", func(v secret.Value) string { return v.Reveal() })

func TestTokens(t *testing.T) {
	s := newStore(t)
	k := state.LoginKey{Vault: "team", Profile: "work/a", Provider: "mcp:https://x.example/é", As: "b c"}
	if _, ok, err := s.Token(k); ok || err != nil {
		t.Errorf("none: %v, %v", ok, err)
	}
	if m, err := s.TokenMark(k); err != nil || m != (state.TokenMark{}) {
		t.Errorf("mark of none: %v, %v", m, err)
	}
	want := state.Token{
		Access: secret.New("a\xff"), Refresh: secret.New("r"), Type: "Bearer", Obtained: noon, Expires: noon.Add(time.Hour), Scopes: []string{"x"},
		Made: noon, Shared: "h", Server: []byte(`{}`), Client: "c", State: "offline", Since: noon, Reason: "why", Failures: 3, Retry: noon,
		Past: state.Remember(nil, noon, "why"),
	}
	if err := s.PutToken(ctx, k, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := open(t, s.Dir()).Token(k)
	if diff := cmp.Diff(want, got, revealed); !ok || err != nil || diff != "" {
		t.Errorf("%v, %v, %s", ok, err, diff)
	}
	first, err := s.TokenMark(k)
	if err != nil || first == (state.TokenMark{}) {
		t.Errorf("mark: %v, %v", first, err)
	}
	// The parts of a key do not run into each other.
	for _, other := range []state.LoginKey{
		{Vault: "team", Profile: "work", Provider: "a/mcp:https://x.example/é", As: "b c"}, {Vault: "team/work", Profile: "a", Provider: k.Provider, As: k.As}, {},
	} {
		if _, ok, err := s.Token(other); ok || err != nil {
			t.Errorf("%+v: %v, %v", other, ok, err)
		}
	}
	if err := s.PutToken(ctx, state.LoginKey{Profile: "oss", Provider: "github"}, state.Token{Expires: time.Date(1_000_000, 1, 1, 0, 0, 0, 0, time.UTC)}); err != nil {
		t.Error(err)
	}
	keys, err := s.Tokens()
	if want := []state.LoginKey{{Profile: "oss", Provider: "github"}, k}; err != nil || !cmp.Equal(keys, want) {
		t.Errorf("Tokens = %+v, %v", keys, err)
	}
	if err := s.PutToken(ctx, k, want); err != nil {
		t.Fatal(err)
	}
	if second, err := s.TokenMark(k); err != nil || second == first {
		t.Errorf("the mark of another version is the same, %v", err)
	}
	if err := s.PutJournal(ctx, k, state.JournalEntry{Old: state.TokenHash(want.Refresh), Time: noon}); err != nil {
		t.Fatal(err)
	}
	if j, ok, err := s.Journal(k); !ok || err != nil || j.Old == "" || j.Old == "r" || !j.Time.Equal(noon) {
		t.Errorf("journal: %+v, %v, %v", j, ok, err)
	}
	if err := s.DeleteToken(k); err != nil {
		t.Error(err)
	}
	_, token, _ := s.Token(k)
	_, journal, _ := s.Journal(k)
	if token || journal {
		t.Errorf("deleted, and there is a token %v, a journal %v", token, journal)
	}
	if state.TokenHash(secret.Value{}) != "" {
		t.Error("no token has a hash")
	}
	if err := s.PutPending(ctx, k, secret.New("device")); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := s.Pending(k); v.Reveal() != "device" || !ok || err != nil {
		t.Errorf("pending: %v, %v", ok, err)
	}
	if err := s.DeletePending(k); err != nil {
		t.Error(err)
	}
	if _, ok, err := s.Pending(k); ok || err != nil {
		t.Errorf("deleted pending: %v, %v", ok, err)
	}
}

// A lock that a child was given is held until the child ends, whatever becomes
// of who took it.
func TestTokenLockIsInherited(t *testing.T) {
	s := newStore(t)
	k := state.LoginKey{Profile: "work", Provider: "linear"}
	// busy reports whether the lock cannot be had in a time: a short one where it is
	// held, and one that no machine needs where it is free.
	const held, free = 20 * time.Millisecond, 20 * time.Second
	busy := func(limit time.Duration) bool {
		t.Helper()
		soon, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		l, err := open(t, s.Dir()).LockToken(soon, k)
		if errors.Is(err, context.DeadlineExceeded) {
			return true
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Unlock(); err != nil {
			t.Error(err)
		}
		return false
	}
	if busy(free) {
		t.Fatal("locked by nobody")
	}
	l, err := s.LockToken(ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), "cat")
	child.Stdin, child.ExtraFiles = in, []*os.File{l.File()}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	_ = in.Close()
	if err := l.Leave(); err != nil {
		t.Error(err)
	}
	if !busy(held) {
		t.Error("the child does not hold the lock")
	}
	_ = out.Close()
	if err := child.Wait(); err != nil {
		t.Error(err)
	}
	if busy(free) {
		t.Error("the lock outlived the child")
	}
}

// A worker takes no file for the lock that is another.
func TestInheritedTokenLockIsChecked(t *testing.T) {
	s := newStore(t)
	k := state.LoginKey{Profile: "work", Provider: "linear"}
	l, err := s.LockToken(ctx, k)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Unlock() }()
	if _, err := s.InheritedTokenLock(k, l.File()); err != nil {
		t.Errorf("its own file: %v", err)
	}
	other, err := s.LockToken(ctx, state.LoginKey{Profile: "work", Provider: "jira"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Unlock() }()
	if _, err := s.InheritedTokenLock(k, other.File()); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("another login's lock: %v", err)
	}
	again, err := os.Open(l.File().Name())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if _, err := s.InheritedTokenLock(k, again); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("the lock's file, opened anew while it is held: %v", err)
	}
}

func TestPastIsShort(t *testing.T) {
	long := strings.Repeat("é", 200)
	past := state.Remember(nil, noon, long)
	if what := past[0].What; len(what) > 170 || !utf8.ValidString(what) || !strings.HasSuffix(what, "é…") {
		t.Errorf("a long word is kept as %q", what)
	}
	for range 3 {
		past = state.Remember(past, noon, state.PastRefreshed)
	}
	if len(past) != 4 {
		t.Errorf("refreshes are not kept apart: %+v", past)
	}
}
