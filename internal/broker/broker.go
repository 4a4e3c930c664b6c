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
	"slices"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/refresh"
	"kb/internal/secretref"
	"kb/internal/state"
	"kb/profile"
	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// Options are what a Broker is opened with. The installed program sets Paths,
// Getenv, Vault, Any, Standing and Spawn and nothing else: no variable, flag or
// setting reaches the others, which are for the demo and for tests.
type Options struct {
	Paths  Paths
	Getenv func(string) string // kb's own environment; nil means os.Getenv
	// Vault is the vault that Contents, Catalog and Edit are about, and which
	// must be there to be opened. Empty means the default one.
	Vault string
	// Any opens what can be opened of several vaults, also where the one that
	// Vault means cannot be.
	Any bool
	// Standing is where a session will start, read while the vault is opened.
	// Nil means that it is read when it is decided on.
	Standing *DecideSpec
	// Spawn names the program that refreshes tokens and outlives a session that
	// is killed meanwhile: the installed one itself. Nil has it done in this
	// process, as does any of what follows, which another process has not.
	Spawn refresh.Spawner

	Resolver proxy.Resolver // nil means the system's
	Roots    *x509.CertPool // nil means the system's
	Bundle   []byte         // roots as PEM for the child's bundle; nil means the system's
	Now      func() time.Time
	Random   io.Reader
	Dial     func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// Broker holds the open vaults and this device's state.
type Broker struct {
	paths      Paths
	getenv     func(string) string
	identity   *vaultfile.Identity
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
	spawn      refresh.Spawner
	elapsed    func() time.Duration // nil: the system's
	tokens     *refresh.Manager     // of the logins that expire
	learned    learning             // the clients that agents' own requests named

	resolving   *secretref.Resolver // see refs
	resolveOnce sync.Once

	standing *standing // nil unless Options.Standing was given

	wanted     string           // Options.Vault
	registered bool             // the device's state knows its vaults
	vaults     []*vault         // by name, one at least once the identity is open
	primary    *vault           // the default one
	selected   *vault           // the one that Contents and Edit are about
	vaultPath  string           // of the selected one
	memory     vaultfile.Memory // of the selected one

	mu    sync.RWMutex // what the vaults hold, and notes
	notes []string     // for Notes
}

// ErrNoVault says that this device has no vault yet.
var ErrNoVault = errors.New("find vault: this device has none yet")

// Open opens this device's vaults with its identity, or the one vault of the
// identity that KB_IDENTITY_FILE or KB_IDENTITY gives. Of several, those that
// cannot be opened are named by [Broker.Vaults].
func Open(ctx context.Context, o Options) (*Broker, error) {
	b := newBroker(o)
	if o.Standing != nil {
		b.stand(ctx, *o.Standing)
	}
	if err := b.openIdentity(ctx); err != nil {
		return nil, err
	}
	b.openVaults(ctx)
	if b.selected.err != nil && (!o.Any || b.noneOpen()) {
		return nil, b.joining(b.selected.err)
	}
	return b, nil
}

func newBroker(o Options) *Broker {
	b := &Broker{
		paths: o.Paths, getenv: o.Getenv, vaultPath: o.Paths.Vault(), wanted: o.Vault,
		resolver: o.Resolver, roots: o.Roots, bundle: o.Bundle, now: o.Now, random: o.Random, dial: o.Dial,
	}
	if o.Resolver == nil && o.Roots == nil && o.Dial == nil && o.Now == nil {
		b.spawn = o.Spawn
	}
	if o.Now != nil {
		began := o.Now()
		b.elapsed = func() time.Duration { return o.Now().Sub(began) } // one clock, and a test moves it
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

// Contents are the records of the selected vault. They must not be changed.
func (b *Broker) Contents() vaultfile.Contents {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.selected.contents
}

// Catalog is the definitions that ship and the selected vault's own.
func (b *Broker) Catalog() *providers.Catalog {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.selected.catalog
}

// VaultPath is where the selected vault is.
func (b *Broker) VaultPath() string { return b.vaultPath }

// DeviceName is what this device is called, DeviceID its id in the vault.
func (b *Broker) DeviceName() string { return b.identity.Name() }

// DeviceID is this device's id in the vault.
func (b *Broker) DeviceID() string { return b.identity.ID() }

// Edit changes the selected vault.
func (b *Broker) Edit(ctx context.Context, change func(*vaultfile.Tx) error) error {
	return b.edit(ctx, b.selected, change)
}

// ChangeProfile changes a profile, in the vault that it is in. change is given
// what the vault holds under its lock, so that two kb that change two fields
// at once both do; settle says that it speaks of Also, and ends a conflict
// about it.
func (b *Broker) ChangeProfile(ctx context.Context, full string, settle bool, change func(*profile.Profile) error) error {
	v, name, err := b.home(full)
	if err != nil {
		return err
	}
	return b.edit(ctx, v, func(tx *vaultfile.Tx) error {
		c, err := tx.Contents()
		if err != nil {
			return err
		}
		p, ok := c.Profile(name)
		if !ok {
			return &UnknownProfileError{full}
		}
		if err := change(&p); err != nil {
			return err
		}
		if err := tx.PutProfile(p); err != nil {
			return err
		}
		if settle {
			tx.Settle("profile", name)
		}
		return nil
	})
}

// Profile is a profile as its own vault has it, with that vault's records.
func (b *Broker) Profile(full string) (profile.Profile, vaultfile.Contents, error) {
	v, name, err := b.home(full)
	if err != nil {
		return profile.Profile{}, vaultfile.Contents{}, err
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	p, _ := v.contents.Profile(name)
	return p, v.contents, nil
}

// SameRuleError says that another profile has a rule of the same conditions.
type SameRuleError struct {
	ID      string
	Profile string // as Show calls it
}

func (e *SameRuleError) Error() string {
	return fmt.Sprintf("add rule: rule %s gives the same to profile %q", e.ID, e.Profile)
}

// AddRule adds a rule to the vault of its profile, which r.Profile names in full,
// and returns the id that it got.
func (b *Broker) AddRule(ctx context.Context, r profile.Rule) (id string, err error) {
	v, name, err := b.home(r.Profile)
	if err != nil {
		return "", err
	}
	for _, other := range b.All().Rules {
		if other.Profile != r.Profile && other.Conditions() == r.Conditions() {
			return "", &SameRuleError{other.ID, b.Show(other.Profile)}
		}
	}
	r.Profile = name
	err = b.edit(ctx, v, func(tx *vaultfile.Tx) error {
		id, err = tx.PutRule(r)
		return err
	})
	return id, err
}

// RemoveRule removes a rule by its id, or by VAULT/ID.
func (b *Broker) RemoveRule(ctx context.Context, given string) error {
	v, id, err := b.findRule(given)
	if err != nil {
		return err
	}
	return b.edit(ctx, v, func(tx *vaultfile.Tx) error { return tx.DeleteRule(id) })
}

// RemoveProfile removes a profile with its rules, logins and policy, and as the
// default profile if it is that.
func (b *Broker) RemoveProfile(ctx context.Context, full string) error {
	v, name, err := b.home(full)
	if err != nil {
		return err
	}
	return b.edit(ctx, v, func(tx *vaultfile.Tx) error {
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
		for _, p := range c.Policies {
			if p.Profile == name {
				if err := tx.DeletePolicy(p.ID); err != nil {
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

// AddProvider keeps a definition of the user's own in the selected vault, if it
// fits beside all others there.
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
func (b *Broker) ProvidersOf(full string) []string {
	var names []string
	for _, l := range b.All().Logins {
		if l.Profile == full && !slices.Contains(names, l.Provider) {
			names = append(names, l.Provider)
		}
	}
	return names
}

// Definition is a provider's definition for a login of a profile, with a base
// URL ("" for the default).
func (b *Broker) Definition(full, provider, base string) (*providers.Provider, error) {
	definition, err := b.catalogOf(full).Get(provider)
	if err != nil {
		return nil, err
	}
	return definition.ForBase(base)
}

// OwnProvider is a definition of the user's own, and the vault that it is in.
type OwnProvider struct {
	Vault string
	*providers.Provider
}

// OwnElsewhere lists the definitions that other vaults than the selected one
// hold, for their own profiles' logins.
func (b *Broker) OwnElsewhere() []OwnProvider {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var list []OwnProvider
	for _, v := range b.vaults {
		if v == b.selected || v.catalog == nil {
			continue
		}
		for _, p := range v.contents.Providers {
			if definition, err := v.catalog.Get(p.Name); err == nil {
				list = append(list, OwnProvider{v.name, definition})
			}
		}
	}
	return list
}

// VerifyAudit checks every audit file of this device.
func (b *Broker) VerifyAudit() (audit.Report, error) {
	return audit.Verify(b.paths.Audit(), b.auditKey, b.auditIndex)
}

// complain tells of something that went wrong where nobody waits for an error.
func (b *Broker) complain(err error) { fmt.Fprintf(os.Stderr, "kb: %v\n", err) }
