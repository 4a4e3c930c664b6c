package broker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"kb/internal/secret"
	"kb/internal/state"
	"kb/vaultfile"
)

// Where a join stands.
const (
	JoinWaiting  = "waiting"    // the vault here is not encrypted to this device yet, or not here
	JoinApproved = "needs code" // it is; whose signature to believe is not said yet
	JoinDone     = "joined"
)

// Errors of joining.
var (
	// ErrNotApproved: the vault does not open yet, and this device has asked to
	// be let in.
	ErrNotApproved = errors.New("this device asked to join the vault and is not in it yet")
	// ErrNeedsCode: it opens, and nobody said whose signature to believe.
	ErrNeedsCode = errors.New("this vault needs the code that kb device approve showed")
	// ErrJoined: there is nothing to join.
	ErrJoined = errors.New("this device has that vault already")
	// ErrNotAsked: a code for a request that was not made.
	ErrNotAsked = errors.New("this device did not ask to join that vault, or has joined it")
)

// KindError says that this device's identity is of another kind than the
// vault's keys.
type KindError struct {
	PostQuantum bool // the vault's; the identity is the other
	NoIdentity  bool // there is none yet: it is made by asking for it
}

func (e *KindError) Error() string {
	switch {
	case e.PostQuantum && e.NoIdentity:
		return "join vault: it is post-quantum, and age mixes such keys with no others"
	case e.NoIdentity:
		return "join vault: it is not post-quantum, and age mixes such keys with no others"
	case e.PostQuantum:
		return "this device's identity is not post-quantum and the vault is, and age encrypts no file to both kinds"
	}
	return "this device's identity is post-quantum and the vault is not, and age encrypts no file to both kinds"
}

// JoinOptions are for Join.
type JoinOptions struct {
	Options
	VaultPath   string // empty means the config folder, or where the first request said
	VaultName   string // what this device calls the vault; empty means "default"
	Device      string // name of the device; empty means the identity's, or the host's name
	Passphrase  secret.Value
	PostQuantum bool // make the identity post-quantum
}

// JoinResult is how a join stands.
type JoinResult struct {
	State       string
	Request     string // empty once joined
	Fingerprint string
	Device      string // name
	DeviceID    string
	Identity    string // path
	Vault       string // path
}

// Join asks for this device to be let into a vault: it makes its identity, if
// it has none, and a request. Called again it returns the same request, and
// how it stands. The vault is one of this device's once the code was given, and
// not before: a vault that cannot be opened would stop kb exec.
func Join(ctx context.Context, o JoinOptions) (JoinResult, error) {
	b := newBroker(o.Options)
	var result JoinResult
	name := joinName(o.VaultName)
	if err := CheckVaultName(name); err != nil {
		return result, err
	}
	path, err := b.joinPath(o.VaultPath)
	if err != nil {
		return result, err
	}
	if b.identity, err = loadIdentity(b.paths); errors.Is(err, ErrNoIdentity) {
		if err := kindFits(path, o.PostQuantum, true); err != nil {
			return result, err
		}
		b.identity, err = b.newIdentity(InitOptions{Device: o.Device, Passphrase: o.Passphrase, PostQuantum: o.PostQuantum})
	} else if err == nil && !o.Passphrase.IsZero() {
		err = ErrIdentity
	}
	if err != nil {
		return result, err
	}
	if o.PostQuantum && !b.identity.PostQuantum() {
		return result, &KindError{PostQuantum: true}
	}
	if err := b.openState(b.paths.State); err != nil {
		return result, err
	}
	if err := b.notYet(ctx, name); err != nil {
		return result, err
	}
	waiting, asked, err := b.store.Join(name)
	if err != nil {
		return result, err
	}
	if asked && o.VaultPath == "" {
		path = waiting.Path
	}
	if err := kindFits(path, b.identity.PostQuantum(), false); err != nil {
		return result, err
	}
	if !asked || waiting.Path != path {
		waiting.Path = path
		if waiting, err = b.ask(ctx, name, o.Device, waiting); err != nil {
			return result, err
		}
	}
	request, err := vaultfile.ParseJoinRequest(waiting.Request)
	if err != nil {
		return result, err
	}
	result = JoinResult{
		State: JoinWaiting, Request: waiting.Request, Fingerprint: request.Fingerprint(),
		Device: request.Name, DeviceID: b.identity.ID(), Identity: b.identityFile(), Vault: path,
	}
	readable, err := vaultfile.Readable(path, b.identity)
	if err != nil && !vaultfile.IsNotExist(err) {
		return result, err
	}
	if readable {
		result.State = JoinApproved
	}
	return result, nil
}

// ask keeps a request until it is answered, and makes it if there is none.
func (b *Broker) ask(ctx context.Context, name, device string, j state.Join) (state.Join, error) {
	if j.Request == "" {
		if device == "" {
			device = b.identity.Name()
		}
		request, err := vaultfile.NewJoinRequest(b.identity, device, b.random)
		if err != nil {
			return j, err
		}
		j.Request = request.String()
	}
	return j, b.store.PutJoin(ctx, name, j)
}

// notYet returns ErrJoined if this device has accepted a vault of that name.
func (b *Broker) notYet(ctx context.Context, name string) error {
	memory, err := b.store.VaultMemory(name)
	if err != nil {
		return err
	}
	note, err := memory.Accepted(ctx)
	if err == nil && note != nil {
		err = ErrJoined
	}
	return err
}

func (b *Broker) joinPath(path string) (string, error) {
	if path == "" {
		path = b.paths.Vault()
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("place vault: %w", err)
	}
	return path, nil
}

func joinName(name string) string {
	if name == "" {
		return defaultVault
	}
	return name
}

// firstVault is where a device that has no vault looks for one: where it asked
// to be let in, else in the config folder.
func (b *Broker) firstVault() ([]state.Vault, error) {
	first := state.Vault{Name: defaultVault, Path: b.vaultPath, Default: true}
	waiting, err := b.store.Joins()
	if err != nil {
		return nil, err
	}
	if len(waiting) > 0 {
		first.Name = waiting[0]
		if slices.Contains(waiting, defaultVault) {
			first.Name = defaultVault
		}
		j, _, err := b.store.Join(first.Name)
		if err != nil {
			return nil, err
		}
		first.Path = j.Path
	}
	return []state.Vault{first}, nil
}

// kindFits compares an identity's kind with that of the vault at path, if there
// is one: its header tells.
func kindFits(path string, postQuantum, noIdentity bool) error {
	vault, err := vaultfile.IsPostQuantum(path)
	if err != nil || vault == postQuantum {
		return nil // what else is wrong with the file is told when it is opened
	}
	return &KindError{PostQuantum: vault, NoIdentity: noIdentity}
}

// Trust has this device believe the signer whom the code of its join request
// names, and opens the vault. A wrong code changes nothing. An empty vaultName
// is the default vault, or the one that was asked for first.
func Trust(ctx context.Context, o Options, vaultName, code string) (*Broker, error) {
	b := newBroker(o)
	if err := b.openIdentity(ctx); err != nil {
		return nil, err
	}
	if b.ci {
		return nil, ErrJoined
	}
	name := vaultName
	if name == "" && b.registered {
		name = defaultVault
	} else if name == "" {
		name = b.primary.name
	}
	waiting, asked, err := b.store.Join(name)
	if err != nil {
		return nil, err
	}
	if !asked {
		return nil, ErrNotAsked
	}
	memory, err := b.store.VaultMemory(name)
	if err != nil {
		return nil, err
	}
	request, err := vaultfile.ParseJoinRequest(waiting.Request)
	if err != nil {
		return nil, err
	}
	switch err := vaultfile.TrustByCode(ctx, waiting.Path, b.identity, memory, request, code); {
	case errors.Is(err, vaultfile.ErrWrongKey), vaultfile.IsNotExist(err):
		return nil, fmt.Errorf("%w: %w", ErrNotApproved, err)
	case errors.Is(err, vaultfile.ErrExists): // trusted before, by a kb that died here
	case err != nil:
		return nil, err
	}
	if err := b.store.PutVault(ctx, state.Vault{Name: name, Path: waiting.Path}); err != nil {
		return nil, err
	}
	if err := b.store.RemoveJoin(name); err != nil {
		return nil, err
	}
	o.Vault = name
	return Open(ctx, o)
}

// joining tells a vault that does not open because this device only asked to
// join it from one that is wrong.
func (b *Broker) joining(err error) error {
	if b.ci || b.registered {
		return err
	}
	switch {
	case errors.Is(err, vaultfile.ErrNoTrust), errors.Is(err, vaultfile.ErrWrongKey), errors.Is(err, ErrNoVault):
	default:
		return err
	}
	if _, asked, joinErr := b.store.Join(b.primary.name); joinErr != nil || !asked {
		return err
	}
	if errors.Is(err, vaultfile.ErrNoTrust) {
		return ErrNeedsCode
	}
	return fmt.Errorf("%w: %w", ErrNotApproved, err)
}

// Approval is what Approve did.
type Approval struct {
	Device string // name
	ID     string
	Code   string // six words for the new device
}

// Approve lets the device that asks into the vault. Whoever calls it has
// compared the request's fingerprint.
func (b *Broker) Approve(ctx context.Context, r *vaultfile.JoinRequest) (Approval, error) {
	var done Approval
	err := b.write(ctx, b.selected, func() (*vaultfile.File, error) {
		file, code, err := vaultfile.Approve(ctx, b.vaultPath, b.identity, b.memory, r)
		if err == nil {
			done = Approval{r.Name, r.Device, code}
		}
		return file, err
	})
	return done, err
}
