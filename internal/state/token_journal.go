package state

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/secret"
)

// JournalEntry says that a refresh was begun, so that one that was cut short
// is known for what it is.
type JournalEntry struct {
	Old  string    `json:"old"`  // hash of the refresh token that was sent ([TokenHash])
	Time time.Time `json:"time"` // when it was sent
	// Unanswered is the time of the first request with the same refresh token
	// whose answer never came; zero if there was none.
	Unanswered time.Time `json:"unanswered,omitzero"`
}

// TokenHash is the hash by which tokens are compared without being kept. It is
// empty for no token.
func TokenHash(v secret.Value) string {
	if v.IsZero() {
		return ""
	}
	h := sha256.Sum256([]byte("kb token\x00" + v.Reveal()))
	return hex.EncodeToString(h[:])
}

// Journal returns the entry of a login, and whether there is one.
func (s *Store) Journal(k LoginKey) (e JournalEntry, ok bool, err error) {
	ok, err = s.getJSON(k.blob("journal"), &e)
	return e, ok, err
}

// journalRoom is what an entry takes on the disk beside twice its login's tokens,
// in bytes: servers have given tokens of 4 KiB where they gave short ones before.
const journalRoom = 8 << 10

// PutJournal writes the entry of a login; it is on the disk when it returns. It
// is made larger than the tokens that are about to come: a disk, a quota or a
// limit that has no room for those refuses the entry already, before anything is
// asked, and on a disk that fills up meanwhile the entry is the room for them.
func (s *Store) PutJournal(ctx context.Context, k LoginKey, e JournalEntry) error {
	e.Time, e.Unanswered = wall(e.Time), wall(e.Unanswered)
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	mark, err := s.TokenMark(k)
	if err != nil {
		return err
	}
	b = append(b, bytes.Repeat([]byte{' '}, journalRoom+2*int(mark.size))...) // to JSON it is nothing
	return s.put(k.blob("journal"), b, atomicfile.Options{Durable: true, Disk: atomicfile.DiskOf(ctx)})
}

// ClearJournal removes the entry of a login.
func (s *Store) ClearJournal(k LoginKey) error { return s.Delete(k.blob("journal")) }

// PutPending keeps what a login that was begun and not waited for needs to be
// finished: the device code of kb login --no-wait.
func (s *Store) PutPending(ctx context.Context, k LoginKey, v secret.Value) error {
	return s.put(k.blob("pending"), []byte(v.Reveal()), atomicfile.Options{Durable: true, Disk: atomicfile.DiskOf(ctx)})
}

// Pending returns what PutPending kept, and whether there is any.
func (s *Store) Pending(k LoginKey) (secret.Value, bool, error) {
	b, ok, err := s.Get(k.blob("pending"))
	if err != nil || !ok {
		return secret.Value{}, false, err
	}
	return secret.New(string(b)), true, nil
}

// DeletePending forgets it: the login was made, refused, or is too old.
func (s *Store) DeletePending(k LoginKey) error { return s.Delete(k.blob("pending")) }

// Handover is what another process of kb needs to open the same store. It is
// given to one over a pipe, never in arguments or environment.
func (s *Store) Handover() (dir string, key secret.Value) {
	return s.dir, secret.New(string(s.key[:]))
}
