package broker

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"kb/internal/vaultrepo"
	"kb/vaultfile"
)

// OpenDevice opens what this device is and what it remembers, and no vault. It
// is for git's merge driver, for which the file at the vault's place is not
// the question, and for a vault that Open refuses.
func OpenDevice(ctx context.Context, o Options) (*Broker, error) {
	b := newBroker(o)
	return b, b.openIdentity(ctx)
}

// repository finds the git repository that a vault is in. Close it.
func (b *Broker) repository(v *vault) (*vaultrepo.Repo, error) {
	values, err := b.store.Settings()
	if err != nil {
		return nil, err
	}
	return vaultrepo.Find(v.path, vaultrepo.Options{
		Git: program("git"), Home: b.paths.Home, Getenv: b.getenv, GitDir: values.GitDir, Scratch: b.paths.Runtime,
	})
}

// SetUpGit has git merge and show the selected vault with the program kb, an
// absolute path.
func (b *Broker) SetUpGit(ctx context.Context, kb string) (vaultrepo.Setup, error) {
	repo, err := b.repository(b.selected)
	if err != nil {
		return vaultrepo.Setup{}, err
	}
	defer repo.Close()
	return repo.SetUp(ctx, kb)
}

// GitState is how a vault's repository stands to it.
type GitState struct {
	Vault      string
	Repository string   // its work tree
	Words      []string // after "git", to reach it
	vaultrepo.State
}

// GitStates are those of the vaults that are in a git repository, and what
// went wrong with others that are.
func (b *Broker) GitStates(ctx context.Context) ([]GitState, error) {
	var states []GitState
	var failed []error
	for _, v := range b.vaults {
		repo, err := b.repository(v)
		if errors.Is(err, vaultrepo.ErrNone) {
			continue
		}
		if err == nil {
			var s vaultrepo.State
			raw, _ := readFile(v.path) // a file that is gone is not modified
			s, err = repo.State(ctx, raw)
			states = append(states, GitState{v.name, repo.Root, repo.Words(), s})
			repo.Close()
		}
		if err != nil && !errors.Is(err, vaultrepo.ErrNoGit) {
			failed = append(failed, fmt.Errorf("read the repository of %s: %w", v.path, err))
		}
	}
	return states, errors.Join(failed...)
}

// MergeVaults joins two versions of one of this device's vaults, given as whole
// files. It is what git's merge driver does; it accepts neither.
func (b *Broker) MergeVaults(ctx context.Context, ours, theirs []byte) (merged []byte, report *vaultfile.Report, err error) {
	err = b.eachVault(func(v *vault) error {
		merged, report, err = vaultfile.Merge(ctx, ours, theirs, b.identity, v.memory)
		return err
	})
	return merged, report, err
}

// ReadVault reads a version of one of this device's vaults, given as a whole
// file, to be shown.
func (b *Broker) ReadVault(ctx context.Context, raw []byte) (f *vaultfile.File, err error) {
	err = b.eachVault(func(v *vault) error {
		f, err = vaultfile.ReadRevision(ctx, raw, b.identity, v.memory)
		return err
	})
	return f, err
}

// eachVault tries the vaults of this device, the selected one first, until one
// is not foreign.
func (b *Broker) eachVault(try func(*vault) error) error {
	err := try(b.selected)
	for _, v := range b.vaults {
		if !errors.Is(err, vaultfile.ErrForeignVault) {
			return err
		}
		if v != b.selected {
			err = try(v)
		}
	}
	return err
}

// DeviceNames are what devices are called, or were before they were removed, by
// id.
func (b *Broker) DeviceNames() map[string]string {
	names := map[string]string{b.identity.ID(): b.identity.Name()}
	for _, v := range b.vaults {
		b.mu.RLock()
		maps.Copy(names, v.contents.DeviceNames())
		b.mu.RUnlock()
	}
	return names
}
