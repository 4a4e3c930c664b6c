package state

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// getJSON reads a typed blob into v and reports whether there was one. A field
// that this kb does not know means that a newer one wrote it.
func (s *Store) getJSON(name string, v any) (bool, error) {
	b, ok, err := s.Get(name)
	if err != nil || !ok {
		return false, err
	}
	return true, decodeJSON(name, b, v)
}

func decodeJSON(name string, b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("read %q: written by a newer kb, or damaged", name)
	}
	return nil
}

// putJSON keeps a typed blob durably.
func (s *Store) putJSON(name string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.Put(name, b, true)
}

// locked runs f with the lock of that name held.
func (s *Store) locked(ctx context.Context, name string, f func() error) error {
	unlock, err := s.Lock(ctx, name)
	if err != nil {
		return err
	}
	return errors.Join(f(), unlock())
}
