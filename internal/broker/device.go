package broker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/internal/state"
	"kb/vaultfile"
)

// Errors of a device's identity.
var (
	ErrNoIdentity = errors.New("find identity: this device has none yet")
	ErrLocked     = errors.New("identity is wrapped by a passphrase and locked")
	ErrIdentity   = errors.New("make identity: this device has one already")
)

// wrapWorkFactor is scrypt's N as a power of two: 2^18 takes 1.3 s and 256 MB,
// which is what age uses for passphrases.
const wrapWorkFactor = 18

// defaultVault is what the device calls its vault when nobody named it.
const defaultVault = "default"

// openIdentity finds who this process is, and opens what it remembers.
func (b *Broker) openIdentity(ctx context.Context) error {
	text, path, err := b.ciIdentity(ctx)
	if err != nil {
		return err
	}
	if text != nil {
		return b.openCI(text, path)
	}
	if b.identity, err = loadIdentity(b.paths); err != nil {
		return err
	}
	return b.openState(b.paths.State)
}

// ciIdentity is the text that KB_IDENTITY_FILE or KB_IDENTITY gives, if any.
// KB_IDENTITY may be a reference. Whoever sets it could as well run what it
// names, so nobody is asked.
func (b *Broker) ciIdentity(ctx context.Context) (text []byte, path string, err error) {
	if path = b.getenv("KB_IDENTITY_FILE"); path != "" {
		if text, err = os.ReadFile(path); err != nil {
			return nil, "", fmt.Errorf("read KB_IDENTITY_FILE: %w", err)
		}
		return text, path, nil
	}
	value := b.getenv("KB_IDENTITY")
	if secretref.Named(value) {
		fetched, err := b.refs().Resolve(ctx, value, nil)
		if err != nil {
			return nil, "", fmt.Errorf("read KB_IDENTITY: %w", err)
		}
		value = fetched.Reveal()
	}
	if value != "" {
		return []byte(value), "KB_IDENTITY", nil
	}
	return nil, "", nil
}

// openCI takes an identity that knows its vault and whom to trust. It keeps
// nothing but the audit's heads.
func (b *Broker) openCI(text []byte, path string) error {
	ci, err := vaultfile.ParseCI(text)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	b.identity, b.ci = ci.Identity, true
	at := b.vaultPath
	if path := b.getenv("KB_VAULT"); path != "" {
		at = path
	}
	b.primary = &vault{name: defaultVault, path: at, memory: ci.Memory()}
	if b.wanted != "" {
		b.primary.name = b.wanted // it has one vault, whatever that is called
	}
	b.vaults = []*vault{b.primary}
	store, err := state.Open(filepath.Join(b.paths.State, "ci-"+ci.Identity.ID()), ci.Identity.DeriveKey("state"))
	if err != nil {
		return err
	}
	b.useStore(store)
	return b.selectVault()
}

// openState opens the device's own state, and finds the vaults by it.
func (b *Broker) openState(dir string) error {
	store, err := state.Open(filepath.Join(dir, "state"), b.identity.DeriveKey("state"))
	if err != nil {
		return err
	}
	b.useStore(store)
	return b.loadVaults()
}

func (b *Broker) useStore(store *state.Store) {
	b.store = store
	b.auditKey = b.identity.DeriveKey("audit")
	b.auditIndex = auditIndex{store}
	b.tokens = refresh.New(refresh.Options{
		Store: store, Flows: b.oauth, Now: b.now, Elapsed: b.elapsed, Random: b.random, Spawn: b.spawn,
		Warn: func(k state.LoginKey, what string) {
			if v, err := b.vault(k.Vault); err == nil {
				b.say(v, "the login of %s at %s: %s", b.Show(b.full(v, k.Profile)), k.Provider, what)
			}
		},
	})
}

// identityFile is where this device's identity is.
func (b *Broker) identityFile() string {
	if _, err := os.Stat(b.paths.IdentityFile()); err == nil {
		return b.paths.IdentityFile()
	}
	return b.paths.WrappedIdentityFile()
}

// maxIdentity bounds an identity's file, in bytes: some hundred times what it has.
const maxIdentity = 64 << 10

// loadIdentity reads the device's identity: in the clear, or as the kernel
// holds it unlocked.
func loadIdentity(p Paths) (*vaultfile.Identity, error) {
	text, err := atomicfile.ReadSmall(p.IdentityFile(), maxIdentity)
	if err == nil {
		return vaultfile.ParseIdentity(text)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	if _, err := os.Stat(p.WrappedIdentityFile()); errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNoIdentity
	}
	held, err := state.HeldIdentity(p.WrappedIdentityFile())
	if errors.Is(err, state.ErrNotHeld) {
		return nil, ErrLocked
	}
	if err != nil {
		return nil, err
	}
	return vaultfile.ParseIdentity([]byte(held.Reveal()))
}

// IdentityHeld reports whether this device's identity is wrapped by a
// passphrase, so that the kernel holds what kb opened the vault with.
func (b *Broker) IdentityHeld() bool {
	return !b.ci && b.identityFile() == b.paths.WrappedIdentityFile()
}

// Unlock unwraps the identity and leaves it with the kernel for a while. It
// returns who can read it there.
func Unlock(p Paths, passphrase secret.Value, lifetime time.Duration) (state.Scope, error) {
	wrapped, err := atomicfile.ReadSmall(p.WrappedIdentityFile(), maxIdentity)
	if errors.Is(err, fs.ErrNotExist) {
		return "", ErrNoIdentity
	}
	if err != nil {
		return "", fmt.Errorf("read identity: %w", err)
	}
	identity, err := vaultfile.Unwrap(wrapped, passphrase)
	if err != nil {
		return "", err
	}
	return state.HoldIdentity(p.WrappedIdentityFile(), identity.Text(), lifetime)
}

// Passphrase is a passphrase that a reference names, which a person has just
// typed. No variable and no setting holds one: with it every kb, an agent's too,
// would unlock the identity by itself.
func Passphrase(ctx context.Context, o Options, ref string) (secret.Value, error) {
	return newBroker(o).refs().Resolve(ctx, ref, nil)
}

// Lock has the kernel forget the unlocked identity.
func Lock(p Paths) error {
	err := state.DropIdentity(p.WrappedIdentityFile())
	if errors.Is(err, state.ErrNotHeld) {
		return nil
	}
	return err
}

// InitOptions are for Init.
type InitOptions struct {
	Options
	VaultPath  string       // empty means the config folder
	Name       string       // name of the vault; may be empty for a device's first
	Device     string       // name of the device; empty means the host's name
	Passphrase secret.Value // wraps the identity; empty leaves it in the clear

	PostQuantum bool // make the identity post-quantum, and so the vault
}

// InitResult is what Init made.
type InitResult struct {
	Identity string // path of the identity file
	Vault    string // path of the vault
	Name     string // what the device calls it
	Added    bool   // the identity was there already
	Further  bool   // other vaults were

	PostQuantum bool // of both
}

// Errors of adding a vault.
var (
	ErrVaultName = errors.New("it may hold a-z, A-Z, 0-9 and, after the first, . _ -, and 64 of them")
	ErrUnnamed   = errors.New("add vault: this device has one already, so the new one needs a name")
)

// CheckVaultName wants a name that can stand before the slash in VAULT/NAME.
func CheckVaultName(name string) error {
	good := name != "" && len(name) <= 64
	for i := range len(name) {
		c := name[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		good = good && (letter || i > 0 && strings.IndexByte("._-", c) >= 0)
	}
	if !good {
		return fmt.Errorf("name vault %q: %w", name, ErrVaultName)
	}
	return nil
}

// Init makes this device's identity, unless it has one, and a vault that it
// can open: its first, or one more under another name.
func Init(ctx context.Context, o InitOptions) (InitResult, error) {
	b := newBroker(o.Options)
	var result InitResult
	name := o.Name
	if name == "" {
		name = defaultVault
	}
	if err := CheckVaultName(name); err != nil {
		return result, err
	}
	identity, err := loadIdentity(b.paths)
	switch {
	case err == nil && !o.Passphrase.IsZero():
		return result, ErrIdentity
	case err == nil && o.PostQuantum && !identity.PostQuantum():
		return result, &KindError{PostQuantum: true}
	case err == nil:
		result.Added = true
	case errors.Is(err, ErrNoIdentity):
		if identity, err = b.newIdentity(o); err != nil {
			return result, err
		}
	default:
		return result, err
	}
	b.identity, result.PostQuantum = identity, identity.PostQuantum()
	result.Identity = b.identityFile()
	if err := b.openState(b.paths.State); err != nil {
		return result, err
	}
	path, err := b.place(o, name)
	if err != nil {
		return result, err
	}
	result.Vault, result.Name, result.Further = path, name, b.registered && b.primary.name != name
	if err := atomicfile.MkdirAll(filepath.Dir(path), nil); err != nil {
		return result, fmt.Errorf("place vault: %w", err)
	}
	memory, err := b.store.VaultMemory(name)
	if err != nil {
		return result, err
	}
	_, err = vaultfile.Create(ctx, path, identity, memory, vaultfile.Options{Name: o.Name})
	if errors.Is(err, vaultfile.ErrExists) && b.unlisted(path) {
		// An Init that was cut off before the vault was listed. If it is not
		// that, this device does not know the vault and cannot open it.
		if _, openErr := vaultfile.Open(ctx, path, identity, memory); openErr == nil {
			err = nil
		}
	}
	if err != nil {
		return result, err
	}
	return result, b.store.PutVault(ctx, state.Vault{Name: name, Path: path})
}

// unlisted reports whether this device does not know a vault at path.
func (b *Broker) unlisted(path string) bool {
	vaults, err := b.store.Vaults()
	return err == nil && !slices.ContainsFunc(vaults, func(v state.Vault) bool { return v.Path == path })
}

// place says where a new vault goes. One that the device knows is not replaced,
// nor is its name given to another, also while its file is gone.
func (b *Broker) place(o InitOptions, name string) (string, error) {
	path := o.VaultPath
	switch {
	case path != "":
	case b.registered && name != b.primary.name:
		path = filepath.Join(b.paths.Config, name+".age")
	default:
		path = b.paths.Vault()
	}
	path, err := filepath.Abs(path)
	if err != nil || !b.registered {
		return path, err
	}
	if v, err := b.vault(name); err == nil {
		if _, err := os.Lstat(v.path); errors.Is(err, fs.ErrNotExist) {
			// To begin anew would drop the copy that this device keeps of it.
			return "", &MissingVaultError{v.name, v.path}
		}
		return "", fmt.Errorf("add vault %q: %w: %s", name, vaultfile.ErrExists, v.path)
	}
	if o.Name == "" {
		return "", ErrUnnamed
	}
	for _, v := range b.vaults {
		if v.path == path {
			return "", fmt.Errorf("add vault %q: %w: vault %q is at %s", name, vaultfile.ErrExists, v.name, path)
		}
	}
	return path, nil
}

func (b *Broker) newIdentity(o InitOptions) (*vaultfile.Identity, error) {
	device := o.Device
	if device == "" {
		var err error
		if device, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("name device: %w", err)
		}
	}
	newIdentity := vaultfile.NewIdentity
	if o.PostQuantum {
		newIdentity = vaultfile.NewHybridIdentity
	}
	identity, err := newIdentity(device, b.random)
	if err != nil {
		return nil, err
	}
	path, data := b.paths.IdentityFile(), []byte(identity.Text().Reveal())
	if !o.Passphrase.IsZero() {
		path = b.paths.WrappedIdentityFile()
		if data, err = identity.Wrap(o.Passphrase, wrapWorkFactor); err != nil {
			return nil, err
		}
	}
	if err := atomicfile.MkdirAll(b.paths.State, nil); err != nil {
		return nil, fmt.Errorf("keep identity: %w", err)
	}
	return identity, atomicfile.Write(path, data, atomicfile.Options{Durable: true})
}

// AddCI adds a device for a job and returns the text of its identity, which is
// nowhere else.
func (b *Broker) AddCI(ctx context.Context, name string) (secret.Value, error) {
	var text secret.Value
	err := b.write(ctx, b.selected, func() (*vaultfile.File, error) {
		file, ci, err := vaultfile.AddCI(ctx, b.vaultPath, b.identity, b.memory, name)
		if err == nil {
			text = ci.Text()
		}
		return file, err
	})
	return text, err
}

// Pins lists the remembered decisions of this device.
func (b *Broker) Pins() ([]state.Pin, error) {
	pins, err := b.store.Pins()
	names := b.names()
	for i := range pins {
		pins[i].Profile = names.show(b.pinned(pins[i]))
	}
	return pins, err
}

// RemovePin forgets the decision for a directory, and returns what it was
// remembered by.
func (b *Broker) RemovePin(ctx context.Context, dir string) (string, error) {
	if abs, err := filepath.Abs(dir); err == nil {
		if err := b.store.RemovePin(abs); err == nil {
			return abs, nil // as kb pin ls shows it; the directory may be gone
		}
	}
	query, err := b.query(ctx, DecideSpec{Dir: dir, Environ: os.Environ()})
	if err != nil {
		return "", err
	}
	key := pinKey(query.Workspace)
	return key, b.store.RemovePin(key)
}
