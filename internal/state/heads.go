package state

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// AuditHead is how far a session's audit chain has come. It is sealed here so
// that an audit file whose end was cut off is found out.
type AuditHead struct {
	Session string    `json:"session"`
	Count   uint64    `json:"count"` // lines
	Head    [32]byte  `json:"head"`  // hash of the last line
	Time    time.Time `json:"time"`
	Stopped bool      `json:"stopped,omitempty"` // the session ended in order
}

// AuditSession is an entry of the index of audit files, written when a session
// starts, so that a deleted file is found out.
type AuditSession struct {
	Session string    `json:"session"`
	Start   time.Time `json:"start"`
}

func checkSession(id string) error {
	if id == "" || len(id) > 128 || strings.ContainsFunc(id, func(r rune) bool { return r <= 0x20 || r >= 0x7f || r == '/' }) {
		return fmt.Errorf("session %q: %w", id, ErrInvalid)
	}
	return nil
}

// PutAuditHead seals a chain's count and head. It waits for the disk only at
// the stop: once a second it must be cheap.
func (s *Store) PutAuditHead(h AuditHead) error {
	if err := checkSession(h.Session); err != nil {
		return err
	}
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	return s.Put("head/"+h.Session, b, h.Stopped)
}

// AuditHead returns a session's sealed head, and whether there is one.
func (s *Store) AuditHead(session string) (AuditHead, bool, error) {
	var h AuditHead
	if err := checkSession(session); err != nil {
		return h, false, err
	}
	ok, err := s.getJSON("head/"+session, &h)
	return h, ok, err
}

const auditIndex = "audit/index"

// AuditSessions returns the index: every session whose audit file must be
// there, by start.
func (s *Store) AuditSessions() ([]AuditSession, error) {
	var v []AuditSession
	_, err := s.getJSON(auditIndex, &v)
	return v, err
}

// AddAuditSession puts a session into the index, before its first line.
func (s *Store) AddAuditSession(ctx context.Context, a AuditSession) error {
	if err := checkSession(a.Session); err != nil {
		return err
	}
	return s.editAuditIndex(ctx, func(v []AuditSession) []AuditSession {
		v = slices.DeleteFunc(v, func(b AuditSession) bool { return b.Session == a.Session })
		return append(v, a)
	})
}

// PruneAuditSessions takes sessions out of the index, and their heads with
// them: their files are about to be deleted on purpose.
func (s *Store) PruneAuditSessions(ctx context.Context, sessions ...string) error {
	if err := s.editAuditIndex(ctx, func(v []AuditSession) []AuditSession {
		return slices.DeleteFunc(v, func(a AuditSession) bool { return slices.Contains(sessions, a.Session) })
	}); err != nil {
		return err
	}
	for _, id := range sessions {
		if err := s.Delete("head/" + id); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) editAuditIndex(ctx context.Context, change func([]AuditSession) []AuditSession) error {
	return s.locked(ctx, auditIndex, func() error {
		v, err := s.AuditSessions()
		if err != nil {
			return err
		}
		v = change(v)
		slices.SortStableFunc(v, func(a, b AuditSession) int {
			return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.Session, b.Session))
		})
		return s.putJSON(auditIndex, v)
	})
}
