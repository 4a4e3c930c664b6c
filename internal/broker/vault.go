package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"

	"kb/internal/policy"
	"kb/providers"
	"kb/vaultfile"
)

// vault is one of this device's vaults, and what it held when it was read last.
type vault struct {
	name   string // what the device calls it; unique on it
	path   string
	memory vaultfile.Memory

	// The rest is under Broker.mu. A vault that was read once and cannot be
	// read anew keeps what it held; err says why it cannot be.
	file     *vaultfile.File // nil: it was never read
	contents vaultfile.Contents
	catalog  *providers.Catalog
	disputes map[string]dispute // by provider, as logins name it
	err      error
	taken    uint64 // how often the above was replaced
}

// VaultInfo is a vault of this device.
type VaultInfo struct {
	Name    string
	Path    string
	Default bool
	Err     error // why it cannot be opened; nil when it is open, or was not tried
}

// UnknownVaultError names a vault that this device does not have.
type UnknownVaultError struct{ Name string }

func (e *UnknownVaultError) Error() string {
	return fmt.Sprintf("find vault %q: this device has none of that name", e.Name)
}

// MissingVaultError says that the file of a vault that this device knows is
// gone. It is an [ErrNoVault].
type MissingVaultError struct{ Vault, Path string }

func (e *MissingVaultError) Is(target error) bool { return target == ErrNoVault }

func (e *MissingVaultError) Error() string {
	return fmt.Sprintf("open vault %q: there is no %s", e.Vault, e.Path)
}

// UnavailableError says that a vault cannot be opened, whose rules or names
// have a say in what was asked: to go on without them would be a guess.
type UnavailableError struct {
	Vault string
	Path  string
	Err   error
}

func (e *UnavailableError) Error() string {
	return fmt.Sprintf("read vault %q, which has a say in this: %v", e.Vault, e.Err)
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// loadVaults lists the vaults of this device by its state. A device that has
// none gets the place of the first.
func (b *Broker) loadVaults() error {
	list, err := b.store.Vaults()
	if err != nil {
		return err
	}
	if len(list) == 0 {
		if list, err = b.firstVault(); err != nil {
			return err
		}
	} else {
		b.registered = true
	}
	for _, v := range list {
		memory, err := b.store.VaultMemory(v.Name)
		if err != nil {
			return err
		}
		b.vaults = append(b.vaults, &vault{name: v.Name, path: v.Path, memory: memory})
		if v.Default {
			b.primary = b.vaults[len(b.vaults)-1]
		}
	}
	return b.selectVault()
}

// selectVault makes the vault that Options.Vault names, or the default one,
// that which Contents and Edit are about.
func (b *Broker) selectVault() error {
	b.selected = b.primary
	if b.wanted != "" {
		var err error
		if b.selected, err = b.vault(b.wanted); err != nil {
			return err
		}
	}
	b.vaultPath, b.memory = b.selected.path, b.selected.memory
	return nil
}

// vault returns the vault of a name.
func (b *Broker) vault(name string) (*vault, error) {
	i := slices.IndexFunc(b.vaults, func(v *vault) bool { return v.name == name })
	if i < 0 {
		return nil, &UnknownVaultError{name}
	}
	return b.vaults[i], nil
}

// several reports whether names of profiles need a vault's name at times.
func (b *Broker) several() bool { return len(b.vaults) > 1 }

// openVaults reads every vault, several at once. What goes wrong with one is
// kept in its err.
func (b *Broker) openVaults(ctx context.Context) {
	if !b.several() {
		if err := b.openVault(ctx, b.primary); err == nil && b.ci && b.primary.file.Name() != "" {
			b.primary.name = b.primary.file.Name()
		}
		return
	}
	var reading sync.WaitGroup
	for _, v := range b.vaults {
		reading.Go(func() { _ = b.openVault(ctx, v) })
	}
	reading.Wait()
}

// read reads a vault anew, and keeps what went wrong. Where the vault was read or
// written by another goroutine meanwhile, what was read may be the older: it does
// not take the other's place, and is read again.
func (b *Broker) read(ctx context.Context, v *vault) error {
	for {
		began := b.takenOf(v)
		file, err := vaultfile.Open(ctx, v.path, b.identity, v.memory)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: there is no %s", ErrNoVault, v.path)
			if b.registered {
				err = &MissingVaultError{v.name, v.path}
			}
		}
		if err == nil {
			err = b.take(v, began, file)
		}
		if err == nil {
			b.keepMerge(ctx, v, file)
			return nil
		}
		if b.fail(v, began, err) {
			return err
		}
	}
}

// write has change write a vault, and takes what it wrote.
func (b *Broker) write(ctx context.Context, v *vault, change func() (*vaultfile.File, error)) error {
	began := b.takenOf(v)
	file, err := change()
	if err == nil {
		err = b.take(v, began, file)
	}
	if errors.Is(err, errLate) {
		return b.read(ctx, v)
	}
	return err
}

// errLate says that the vault was taken by another goroutine since.
var errLate = errors.New("vault was taken meanwhile")

func (b *Broker) takenOf(v *vault) uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return v.taken
}

// take makes an opened file what a vault holds, if nothing was taken since began.
func (b *Broker) take(v *vault, began uint64, file *vaultfile.File) error {
	contents := file.Contents()
	if _, err := policy.Compile(rulesOf(contents.Policies), grammar); err != nil {
		return err // a line that cannot be enforced is not passed over
	}
	own := make([]*providers.Provider, 0, len(contents.Providers))
	for _, p := range contents.Providers {
		definition, err := providers.Parse([]byte(p.TOML))
		if err != nil {
			return fmt.Errorf("read own provider %q: %w", p.Name, err)
		}
		own = append(own, definition)
	}
	catalog, disputes, err := catalogWithout(own, contents)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.taken != began {
		return errLate
	}
	v.taken++
	v.file, v.contents, v.catalog, v.disputes, v.err = file, contents, catalog, disputes, nil
	return nil
}

// fail keeps why a vault cannot be read, and reports whether it did: not where
// something was taken since began.
func (b *Broker) fail(v *vault, began uint64, why error) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v.taken != began {
		return false
	}
	v.taken++
	v.err = why
	return true
}

// edit changes a vault.
func (b *Broker) edit(ctx context.Context, v *vault, change func(*vaultfile.Tx) error) error {
	return b.write(ctx, v, func() (*vaultfile.File, error) { return vaultfile.Edit(ctx, v.path, b.identity, v.memory, change) })
}

// reopen reads every vault anew. Those that cannot be read keep what they
// held; changed says that some were.
func (b *Broker) reopen(ctx context.Context) (changed bool, err error) {
	var failed []error
	for _, v := range b.vaults {
		if err := b.read(ctx, v); err != nil {
			if b.several() {
				err = fmt.Errorf("vault %q: %w", v.name, err)
			}
			failed = append(failed, err)
			continue
		}
		changed = true
	}
	return changed, errors.Join(failed...)
}

// noneOpen reports whether no vault could be opened.
func (b *Broker) noneOpen() bool {
	return !slices.ContainsFunc(b.vaults, func(v *vault) bool { return v.file != nil })
}

// available returns an *UnavailableError if a vault cannot be opened.
func (b *Broker) available(v *vault) error {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if v.err != nil {
		return &UnavailableError{v.name, v.path, v.err}
	}
	return nil
}

// whole returns an *UnavailableError if some vault cannot be opened. Rules of
// every vault have a say in which profile a directory or a repository gets, so
// without one of them there is no answer.
func (b *Broker) whole() error {
	for _, v := range b.vaults {
		if err := b.available(v); err != nil {
			return err
		}
	}
	return nil
}

// Vaults lists this device's vaults by name.
func (b *Broker) Vaults() []VaultInfo {
	b.mu.RLock()
	defer b.mu.RUnlock()
	list := make([]VaultInfo, len(b.vaults))
	for i, v := range b.vaults {
		list[i] = VaultInfo{Name: v.name, Path: v.path, Default: v == b.primary, Err: v.err}
	}
	return list
}

// VaultName is what this device calls the vault that Contents and Edit are
// about.
func (b *Broker) VaultName() string { return b.selected.name }

// FindVaults lists the vaults of this device and opens none of them.
func FindVaults(ctx context.Context, o Options) ([]VaultInfo, error) {
	b := newBroker(o)
	if err := b.openIdentity(ctx); err != nil {
		return nil, err
	}
	if !b.registered {
		if _, err := os.Stat(b.vaultPath); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("%w: there is no %s", ErrNoVault, b.vaultPath)
		}
	}
	list := b.Vaults()
	if o.Vault != "" {
		list = slices.DeleteFunc(list, func(v VaultInfo) bool { return v.Name != o.Vault })
	}
	return list, nil
}

// ForgetVault has this device forget a vault, and what it remembers of it. The
// file stays.
func ForgetVault(ctx context.Context, o Options, name string) (path string, err error) {
	b := newBroker(o)
	if err := b.openIdentity(ctx); err != nil {
		return "", err
	}
	v, err := b.vault(name)
	if err != nil {
		return "", err
	}
	return v.path, b.store.RemoveVault(ctx, name)
}

// All is the records of every vault that is open. A profile of another vault
// than the default one is VAULT/NAME in it, also where a rule, a login or
// another profile of that vault names it. It must not be changed.
func (b *Broker) All() vaultfile.Contents {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if !b.several() {
		return b.primary.contents
	}
	var all vaultfile.Contents
	for _, v := range b.vaults {
		full := func(name string) string { return b.full(v, name) }
		for _, p := range v.contents.Profiles {
			p.Name = full(p.Name)
			also := make([]string, len(p.Also))
			for i, name := range p.Also {
				also[i] = full(name)
			}
			p.Also = also
			all.Profiles = append(all.Profiles, p)
		}
		for _, r := range v.contents.Rules {
			r.Profile = full(r.Profile)
			all.Rules = append(all.Rules, r)
		}
		for _, l := range v.contents.Logins {
			l.Profile = full(l.Profile)
			all.Logins = append(all.Logins, l)
		}
		for _, p := range v.contents.Policies {
			p.Profile = full(p.Profile)
			all.Policies = append(all.Policies, p)
		}
		all.Providers = append(all.Providers, v.contents.Providers...)
	}
	return all
}

// full is the name by which the broker knows a profile of a vault: its own in
// the default vault, else VAULT/NAME. It does not depend on what else there is.
func (b *Broker) full(v *vault, name string) string {
	if v == b.primary || name == "" {
		return name
	}
	return v.name + "/" + name
}

// split is the reverse of full. Names of profiles hold no slash.
func (b *Broker) split(full string) (*vault, string) {
	i := strings.LastIndexByte(full, '/')
	if i < 0 {
		return b.primary, full
	}
	v, err := b.vault(full[:i])
	if err != nil {
		return nil, full
	}
	return v, full[i+1:]
}

// catalogOf is the definitions that a profile's logins are joined with: those
// that ship and those of the profile's own vault. A definition in one vault
// says nothing of the logins of another: whoever can write a shared vault could
// else have a personal token sent to a host of theirs.
func (b *Broker) catalogOf(full string) *providers.Catalog {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if v, _ := b.split(full); v != nil && v.catalog != nil {
		return v.catalog
	}
	none, _ := providers.NewCatalog() // without definitions of its own it does not fail
	return none
}

// catalogs are those of every open vault.
func (b *Broker) catalogs() []*providers.Catalog {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []*providers.Catalog
	for _, v := range b.vaults {
		if v.catalog != nil {
			list = append(list, v.catalog)
		}
	}
	return list
}
