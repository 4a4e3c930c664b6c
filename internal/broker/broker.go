package broker

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/state"
	"kb/profile"
	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// Options are what a Broker is opened with. The installed program sets Paths,
// Getenv and Standing and nothing else: no variable, flag or setting reaches the others,
// which are for the demo and for tests.
type Options struct {
	Paths  Paths
	Getenv func(string) string // kb's own environment; nil means os.Getenv
	// Standing is where a session will start, read while the vault is opened.
	// Nil means that it is read when it is decided on.
	Standing *DecideSpec

	Resolver proxy.Resolver // nil means the system's
	Roots    *x509.CertPool // nil means the system's
	Bundle   []byte         // roots as PEM for the child's bundle; nil means the system's
	Now      func() time.Time
	Random   io.Reader
	Dial     func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// Broker holds the open vault and this device's state.
type Broker struct {
	paths      Paths
	getenv     func(string) string
	vaultPath  string
	identity   *vaultfile.Identity
	memory     vaultfile.Memory
	store      *state.Store
	ci         bool // the identity is a CI job's: it remembers no decisions
	auditKey   [32]byte
	auditIndex audit.Index
	resolver   proxy.Resolver
	roots      *x509.CertPool
	bundle     []byte
	now        func() time.Time
	random     io.Reader
	dial       func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

	standing *standing // nil unless Options.Standing was given

	mu       sync.RWMutex
	file     *vaultfile.File
	contents vaultfile.Contents
	catalog  *providers.Catalog
}

// ErrNoVault says that this device has no vault yet.
var ErrNoVault = errors.New("find vault: this device has none yet")

// ErrPolicies says that the vault holds policy lines, which a newer kb wrote and
// this one does not enforce: to go on would allow what they deny.
var ErrPolicies = errors.New("vault holds policies, which this version of kb does not enforce")

// Open opens the vault with this device's identity, or with the one that
// KB_IDENTITY_FILE or KB_IDENTITY gives.
func Open(ctx context.Context, o Options) (*Broker, error) {
	b := newBroker(o)
	if o.Standing != nil {
		b.stand(ctx, *o.Standing)
	}
	if err := b.openIdentity(ctx); err != nil {
		return nil, err
	}
	if _, err := os.Stat(b.vaultPath); errors.Is(err, os.ErrNotExist) {
		return nil, b.joining(fmt.Errorf("%w: there is no %s", ErrNoVault, b.vaultPath))
	}
	if err := b.reopen(ctx); err != nil {
		return nil, b.joining(err)
	}
	return b, nil
}

func newBroker(o Options) *Broker {
	b := &Broker{
		paths: o.Paths, getenv: o.Getenv, vaultPath: o.Paths.Vault(),
		resolver: o.Resolver, roots: o.Roots, bundle: o.Bundle, now: o.Now, random: o.Random, dial: o.Dial,
	}
	if b.getenv == nil {
		b.getenv = os.Getenv
	}
	if b.now == nil {
		b.now = time.Now
	}
	if b.random == nil {
		b.random = rand.Reader
	}
	return b
}

// reopen reads the vault anew.
func (b *Broker) reopen(ctx context.Context) error {
	file, err := vaultfile.Open(ctx, b.vaultPath, b.identity, b.memory)
	if err != nil {
		return err
	}
	return b.adopt(file)
}

// adopt makes an opened vault the current one.
func (b *Broker) adopt(file *vaultfile.File) error {
	contents := file.Contents()
	if len(contents.Policies) > 0 {
		return ErrPolicies
	}
	own := make([]*providers.Provider, 0, len(contents.Providers))
	for _, p := range contents.Providers {
		definition, err := providers.Parse([]byte(p.TOML))
		if err != nil {
			return fmt.Errorf("read own provider %q: %w", p.Name, err)
		}
		own = append(own, definition)
	}
	catalog, err := providers.NewCatalog(own...)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.file, b.contents, b.catalog = file, contents, catalog
	return nil
}

// Contents are the vault's records. They must not be changed.
func (b *Broker) Contents() vaultfile.Contents {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.contents
}

// Catalog is the definitions that ship and the vault's own.
func (b *Broker) Catalog() *providers.Catalog {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.catalog
}

// VaultPath is where the vault is.
func (b *Broker) VaultPath() string { return b.vaultPath }

// DeviceName is what this device is called, DeviceID its id in the vault.
func (b *Broker) DeviceName() string { return b.identity.Name() }

// DeviceID is this device's id in the vault.
func (b *Broker) DeviceID() string { return b.identity.ID() }

// Edit changes the vault.
func (b *Broker) Edit(ctx context.Context, change func(*vaultfile.Tx) error) error {
	file, err := vaultfile.Edit(ctx, b.vaultPath, b.identity, b.memory, change)
	if err != nil {
		return err
	}
	return b.adopt(file)
}

// AddRule adds a rule and returns the id it got.
func (b *Broker) AddRule(ctx context.Context, r profile.Rule) (id string, err error) {
	err = b.Edit(ctx, func(tx *vaultfile.Tx) error {
		id, err = tx.PutRule(r)
		return err
	})
	return id, err
}

// RemoveProfile removes a profile with its rules and logins, and as the
// default profile if it is that.
func (b *Broker) RemoveProfile(ctx context.Context, name string) error {
	return b.Edit(ctx, func(tx *vaultfile.Tx) error {
		c, err := tx.Contents()
		if err != nil {
			return err
		}
		for _, r := range c.Rules {
			if r.Profile == name {
				if err := tx.DeleteRule(r.ID); err != nil {
					return err
				}
			}
		}
		for _, l := range c.Logins {
			if l.Profile == name {
				if err := tx.DeleteLogin(l.ID); err != nil {
					return err
				}
			}
		}
		if c.Setting(vaultfile.SettingDefaultProfile) == name {
			if err := tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile}); err != nil {
				return err
			}
		}
		return tx.DeleteProfile(name)
	})
}

// AddProvider keeps a definition of the user's own, if it fits beside all
// others.
func (b *Broker) AddProvider(ctx context.Context, p vaultfile.Provider) error {
	own := []*providers.Provider{}
	texts := []string{p.TOML}
	for _, other := range b.Contents().Providers {
		if other.Name != p.Name {
			texts = append(texts, other.TOML)
		}
	}
	for _, text := range texts {
		definition, err := providers.Parse([]byte(text))
		if err != nil {
			return err
		}
		own = append(own, definition)
	}
	if _, err := providers.NewCatalog(own...); err != nil {
		return err
	}
	return b.Edit(ctx, func(tx *vaultfile.Tx) error { return tx.PutProvider(p) })
}

// ProvidersOf names the providers that a profile has logins at.
func (b *Broker) ProvidersOf(name string) []string {
	var names []string
	seen := map[string]bool{}
	for _, l := range b.Contents().Logins {
		if l.Profile == name && !seen[l.Provider] {
			seen[l.Provider] = true
			names = append(names, l.Provider)
		}
	}
	return names
}

// Definition is a provider's definition for a base URL ("" for the default).
func (b *Broker) Definition(name, base string) (*providers.Provider, error) {
	definition, err := b.Catalog().Get(name)
	if err != nil {
		return nil, err
	}
	return definition.ForBase(base)
}

// VerifyAudit checks every audit file of this device.
func (b *Broker) VerifyAudit() (audit.Report, error) {
	return audit.Verify(b.paths.Audit(), b.auditKey, b.auditIndex)
}

// complain tells of something that went wrong where nobody waits for an error.
func (b *Broker) complain(err error) { fmt.Fprintf(os.Stderr, "kb: %v\n", err) }
