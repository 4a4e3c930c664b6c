package state

import (
	"fmt"
	"path/filepath"
	"sort"
	"time"
)

// Pin is a remembered decision: this directory, with these remotes, is that
// profile.
type Pin struct {
	// CommonDir is the real path of the repository's common directory, or of
	// the directory itself outside git. It is the pin's key.
	CommonDir string    `json:"common_dir"`
	Remotes   []string  `json:"remotes"` // normal forms, as the caller orders them
	Profile   string    `json:"profile"`
	Vault     string    `json:"vault,omitempty"` // that the profile is in; "" is the default one
	Rule      string    `json:"rule"`            // id of the deciding rule, "" for the default profile
	Time      time.Time `json:"time"`
}

// Pin returns the pin of a directory, and whether there is one.
func (s *Store) Pin(commonDir string) (Pin, bool, error) {
	var p Pin
	if err := checkPinDir(commonDir); err != nil {
		return p, false, err
	}
	ok, err := s.getJSON("pin/"+commonDir, &p)
	return p, ok, err
}

// PutPin remembers a decision, replacing an earlier one for the directory.
func (s *Store) PutPin(p Pin) error {
	if err := checkPinDir(p.CommonDir); err != nil {
		return err
	}
	if p.Profile == "" {
		return fmt.Errorf("pin %q to no profile: %w", p.CommonDir, ErrInvalid)
	}
	return s.putJSON("pin/"+p.CommonDir, p)
}

// RemovePin forgets the decision for a directory.
func (s *Store) RemovePin(commonDir string) error {
	_, ok, err := s.Pin(commonDir)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("pin of %q: %w", commonDir, ErrNotFound)
	}
	return s.Delete("pin/" + commonDir)
}

// Pins lists all pins by directory.
func (s *Store) Pins() ([]Pin, error) {
	var ps []Pin
	err := s.each("pin/", func(name string, data []byte) error {
		var p Pin
		ps = append(ps, p)
		return decodeJSON(name, data, &ps[len(ps)-1])
	})
	sort.Slice(ps, func(i, j int) bool { return ps[i].CommonDir < ps[j].CommonDir })
	return ps, err
}

// checkPinDir wants the one spelling of a directory, lest two pins answer for
// it. Whether it is the real path only the caller can know.
func checkPinDir(dir string) error {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || len(dir) > maxName-8 {
		return fmt.Errorf("pin directory %q is not a clean absolute path: %w", dir, ErrInvalid)
	}
	return nil
}
