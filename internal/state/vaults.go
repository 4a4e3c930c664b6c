package state

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Vault is a vault that this device knows.
type Vault struct {
	Name    string `json:"name"` // unique on this device
	Path    string `json:"path"` // absolute; links are followed when it is opened
	Default bool   `json:"default,omitempty"`
}

func checkVaultName(name string) error {
	if name == "" || len(name) > 128 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return fmt.Errorf("vault name %q: %w", name, ErrInvalid)
	}
	return nil
}

const vaultsBlob = "vault/list"

// Vaults lists the vaults of this device by name. Exactly one is the default,
// unless there is none.
func (s *Store) Vaults() ([]Vault, error) {
	var vs []Vault
	if _, err := s.getJSON(vaultsBlob, &vs); err != nil {
		return nil, err
	}
	return vs, nil
}

// DefaultVault returns the vault that commands use when none is named.
func (s *Store) DefaultVault() (Vault, bool, error) {
	vs, err := s.Vaults()
	i := slices.IndexFunc(vs, func(v Vault) bool { return v.Default })
	if err != nil || i < 0 {
		return Vault{}, false, err
	}
	return vs[i], true, nil
}

// PutVault adds a vault or changes where the one of that name is. The first,
// and one that says so, is the default.
func (s *Store) PutVault(ctx context.Context, v Vault) error {
	if err := checkVaultName(v.Name); err != nil {
		return err
	}
	if !filepath.IsAbs(v.Path) || strings.ContainsRune(v.Path, 0) {
		return fmt.Errorf("vault path %q is not absolute: %w", v.Path, ErrInvalid)
	}
	return s.editVaults(ctx, func(vs []Vault) ([]Vault, error) {
		if i := slices.IndexFunc(vs, func(w Vault) bool { return w.Name == v.Name }); i >= 0 {
			v.Default = v.Default || vs[i].Default
			vs = slices.Delete(vs, i, i+1)
		}
		if v.Default = v.Default || len(vs) == 0; v.Default {
			for i := range vs {
				vs[i].Default = false
			}
		}
		return append(vs, v), nil
	})
}

// RemoveVault has this device forget a vault, and what it remembers of it.
// The file stays. If it was the default, the first by name is from now on.
func (s *Store) RemoveVault(ctx context.Context, name string) error {
	m, err := s.VaultMemory(name)
	if err != nil {
		return err
	}
	if err := s.editVaults(ctx, func(vs []Vault) ([]Vault, error) {
		i := slices.IndexFunc(vs, func(v Vault) bool { return v.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("vault %q: %w", name, ErrNotFound)
		}
		was := vs[i].Default
		if vs = slices.Delete(vs, i, i+1); was && len(vs) > 0 {
			vs[0].Default = true
		}
		return vs, nil
	}); err != nil {
		return err
	}
	if err := s.Delete("reference/" + name); err != nil {
		return err
	}
	return m.Forget()
}

func (s *Store) editVaults(ctx context.Context, change func([]Vault) ([]Vault, error)) error {
	return s.locked(ctx, vaultsBlob, func() error {
		vs, err := s.Vaults()
		if err != nil {
			return err
		}
		if vs, err = change(vs); err != nil {
			return err
		}
		sort.Slice(vs, func(i, j int) bool { return vs[i].Name < vs[j].Name })
		return s.putJSON(vaultsBlob, vs)
	})
}
