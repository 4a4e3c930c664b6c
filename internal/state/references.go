package state

import (
	"context"
	"slices"
)

// A vault that others write can hold references: what to read on this device,
// and use at a host that the vault names too. AcceptReference keeps that a
// person on this device wanted one; use says what for, in the caller's words.
func (s *Store) AcceptReference(ctx context.Context, vault, use string) error {
	name := "reference/" + vault
	return s.locked(ctx, name, func() error {
		uses, err := s.References(vault)
		if err != nil {
			return err
		}
		if slices.Contains(uses, use) {
			return nil
		}
		uses = append(uses, use)
		slices.Sort(uses)
		return s.putJSON(name, uses)
	})
}

// References lists what AcceptReference kept for a vault.
func (s *Store) References(vault string) (uses []string, err error) {
	_, err = s.getJSON("reference/"+vault, &uses)
	return uses, err
}

// anchorsName is the blob of what references depend on besides their text.
const anchorsName = "anchors/references"

// Anchor returns what was kept under a name: where a program was when this
// device first used it, which server a token is for.
func (s *Store) Anchor(name string) (value string, ok bool, err error) {
	anchors, err := s.Anchors()
	value, ok = anchors[name]
	return value, ok, err
}

// Anchors lists what SetAnchor kept, by name.
func (s *Store) Anchors() (anchors map[string]string, err error) {
	_, err = s.getJSON(anchorsName, &anchors)
	return anchors, err
}

// SetAnchor keeps a value under a name; an empty one forgets it.
func (s *Store) SetAnchor(ctx context.Context, name, value string) error {
	return s.locked(ctx, anchorsName, func() error {
		anchors, err := s.Anchors()
		if err != nil {
			return err
		}
		if anchors == nil {
			anchors = map[string]string{}
		}
		if anchors[name] == value {
			return nil
		}
		if anchors[name] = value; value == "" {
			delete(anchors, name)
		}
		return s.putJSON(anchorsName, anchors)
	})
}
