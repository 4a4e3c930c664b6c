package audit

import (
	"cmp"
	"fmt"
	"sort"
	"strings"
	"sync"
	"time"
)

// Head is what device state remembers of one audit file: enough to notice that
// its tail was cut, that it is gone, or that it was put back.
type Head struct {
	File    string    `json:"file"`    // base name; the key of the index
	Session string    `json:"session"` //
	Part    int       `json:"part"`    // from 1
	Started time.Time `json:"started"` // of the session
	KeyID   string    `json:"key"`     // see KeyID
	Count   uint64    `json:"count"`   // lines of this file that are on disk; 0 until the first seal
	Last    MAC       `json:"last"`    // MAC of line Count
	Size    int64     `json:"size"`    // bytes of those lines
	At      time.Time `json:"at"`      // time of line Count; zero until the first seal
	Closed  bool      `json:"closed"`  // the writer ended the file in good order: nothing follows line Count
	Pruned  bool      `json:"pruned"`  // retention has decided to remove the file
}

// Sealer takes what a [Log] seals.
type Sealer interface {
	// Seal stores heads, each in place of the one with the same File, all of
	// them or none, and durably. A head whose Count is below the stored one is
	// an error. It is called from one goroutine of each session, and from
	// several processes.
	Seal(heads ...Head) error
}

// HeadReader gives the sealed index to [Verify].
type HeadReader interface {
	// Heads returns the stored heads in any order.
	Heads() ([]Head, error)
}

// Index is the part of device state that audit uses.
type Index interface {
	Sealer
	HeadReader
	// Forget drops the heads of files that have been pruned.
	Forget(files ...string) error
}

// MemoryIndex is an Index that ends with the process, for the demo and for
// tests. The zero MemoryIndex is ready for use.
type MemoryIndex struct {
	mu    sync.Mutex
	heads map[string]Head
}

// Seal implements Sealer.
func (m *MemoryIndex) Seal(heads ...Head) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.heads == nil {
		m.heads = make(map[string]Head)
	}
	for _, h := range heads {
		if err := CheckSeal(m.heads[h.File], h); err != nil {
			return err
		}
	}
	for _, h := range heads {
		m.heads[h.File] = h
	}
	return nil
}

// Heads implements HeadReader.
func (m *MemoryIndex) Heads() ([]Head, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := make([]Head, 0, len(m.heads))
	for _, h := range m.heads {
		out = append(out, h)
	}
	sortHeads(out)
	return out, nil
}

// Forget implements Index.
func (m *MemoryIndex) Forget(files ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range files {
		delete(m.heads, f)
	}
	return nil
}

func sortHeads(heads []Head) {
	sort.Slice(heads, func(i, j int) bool {
		a, b := &heads[i], &heads[j]
		return cmp.Or(a.Started.Compare(b.Started), strings.Compare(a.Session, b.Session), a.Part-b.Part) < 0
	})
}

// CheckSeal reports why next must not take the place of old in an index: a
// count never falls and a closed file gets no more lines. The zero old is the
// absence of one.
func CheckSeal(old, next Head) error {
	switch {
	case old.File == "":
		return nil
	case next.Count < old.Count:
		return fmt.Errorf("seal audit file %q: count falls from %d to %d", next.File, old.Count, next.Count)
	case next.Count == old.Count && old.Count > 0 && next.Last != old.Last:
		return fmt.Errorf("seal audit file %q: another line %d", next.File, next.Count)
	case old.Closed && (!next.Closed || next.Count != old.Count):
		return fmt.Errorf("seal audit file %q: already closed", next.File)
	}
	return nil
}
