package broker

import (
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

// startled is a source of randomness that calls f at its second reading.
type startled struct {
	reads int
	f     func()
}

func (s *startled) Read(p []byte) (int, error) {
	if s.reads++; s.reads == 2 {
		s.f()
	}
	return io.ReadFull(rand.Reader, p)
}

// TestChangeWhileASessionStarts: another process changes the vault after the
// session has read it, and before it watches.
func TestChangeWhileASessionStarts(t *testing.T) {
	f := newFixture(t)
	next := testkit.NewCanary("ghp_", 36)
	random := &startled{f: func() { f.login("work", "github", "", next) }}
	o := f.options
	o.Random = random
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	random.reads = 0
	s, err := b.StartSession(t.Context(), SessionSpec{Dir: f.workDir, Environ: f.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if random.reads < 2 {
		t.Fatalf("nothing was changed: %d readings", random.reads)
	}
	testkit.Eventually(t, 5*time.Second, "the change to be in effect", func() bool {
		f.get(s, "", http.MethodGet, apiUser, nil)
		token, _ := f.arrived()
		return token == next
	})
}

// TestOlderReadingIsNotTaken: one goroutine reads the vault, or writes it, while
// another one writes it and is the first to be done.
func TestOlderReadingIsNotTaken(t *testing.T) {
	f := newFixture(t)
	b, v := f.broker, f.broker.primary
	rule := func(remote string) func(*vaultfile.Tx) error {
		return func(tx *vaultfile.Tx) error {
			_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: remote})
			return err
		}
	}
	began := b.takenOf(v)
	old, err := vaultfile.Open(t.Context(), v.path, b.identity, v.memory)
	if err != nil {
		t.Fatal(err)
	}
	f.edit(rule("github.com/newer/*"))
	if err := b.take(v, began, old); !errors.Is(err, errLate) || !hasRule(b.Contents(), "github.com/newer/*") {
		t.Errorf("an older reading took the place of an edit: %v", err)
	}
	if b.fail(v, began, io.ErrUnexpectedEOF) || b.available(v) != nil {
		t.Error("an older reading that failed counts after an edit")
	}
	err = b.write(t.Context(), v, func() (*vaultfile.File, error) {
		file, err := vaultfile.Edit(t.Context(), v.path, b.identity, v.memory, rule("github.com/first/*"))
		f.edit(rule("github.com/second/*"))
		return file, err
	})
	if c := b.Contents(); err != nil || !hasRule(c, "github.com/first/*") || !hasRule(c, "github.com/second/*") {
		t.Errorf("of two edits one is not held: %v", err)
	}
	// The control: what nobody was faster than is taken.
	began = b.takenOf(v)
	if old, err = vaultfile.Open(t.Context(), v.path, b.identity, v.memory); err == nil {
		err = b.take(v, began, old)
	}
	if err != nil || !b.fail(v, b.takenOf(v), io.ErrUnexpectedEOF) || b.available(v) == nil {
		t.Errorf("control: %v", err)
	}
}
