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
