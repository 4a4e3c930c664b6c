package state

import (
	"context"
	"strings"
)

// Join is a request to be let into a vault that was not answered yet.
type Join struct {
	Request string `json:"request"` // the whole line, which the code is over
	Path    string `json:"path"`    // where the vault is, or will be; absolute
}

// PutJoin keeps the request for the vault that this device calls name.
func (s *Store) PutJoin(_ context.Context, name string, j Join) error {
	if err := checkVaultName(name); err != nil {
		return err
	}
	return s.putJSON("join/"+name, j)
}

// Join returns the request that waits for an answer, if there is one.
func (s *Store) Join(name string) (j Join, ok bool, err error) {
	ok, err = s.getJSON("join/"+name, &j)
	return j, ok, err
}

// Joins lists the names of the vaults whose answer is waited for.
func (s *Store) Joins() ([]string, error) {
	names, err := s.List("join/")
	for i := range names {
		names[i] = strings.TrimPrefix(names[i], "join/")
	}
	return names, err
}

// RemoveJoin forgets the request: it was answered.
func (s *Store) RemoveJoin(name string) error { return s.Delete("join/" + name) }
