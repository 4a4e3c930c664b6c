package vaultfile

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"kb/internal/atomicfile"
	"kb/profile"
)

// File is a vault as it was when it was opened. It does not change; after an
// Edit, use the File that Edit returns.
type File struct {
	path        string // of the file itself, links followed
	stat        fs.FileInfo
	payload     *payload
	contents    atomic.Pointer[Contents] // what checking decoded, until someone takes it
	acc         *accepted
	unsaved     bool    // it is a merge, or a save that was cut off, that the disk does not hold
	interrupted bool    // it is such a save
	former      bool    // no device that is trusted now answers for the signer: a version of the past
	report      *Report // of that merge
}

// ID is the vault's own id: 32 hexadecimal digits, the same for its lifetime.
func (f *File) ID() string { return f.payload.vaultID }

// Name is what the vault was called when it was made, or "".
func (f *File) Name() string { return f.payload.name }

// Clock is the vault's version vector.
func (f *File) Clock() Clock { return f.payload.clock.Clone() }

// Signer is the device that saved the vault.
func (f *File) Signer() string { return f.payload.signer }

// Unsaved reports whether this is a merge of the file with what this device
// last accepted, which the file does not hold yet, or a save of this device's
// that was cut off before it was in the file. An Edit writes it, even one that
// changes nothing.
func (f *File) Unsaved() bool { return f.unsaved }

// Report says what a merge did; nil without one.
func (f *File) Report() *Report { return f.report }

// SignerRemoved reports whether the vault was signed by a device that this one
// knows to be removed, or by one that only such devices vouch for. Only
// ReadRevision returns such a File, and nothing says whether it was made before
// the removal.
func (f *File) SignerRemoved() bool { return f.former }

// Path is the file itself, with symbolic links followed.
func (f *File) Path() string { return f.path }

// Stat is what the file system said of the opened file. A watcher compares it
// with Replaced.
func (f *File) Stat() fs.FileInfo { return f.stat }

// Trusted lists the ids of the devices whose signature this device accepts.
func (f *File) Trusted() []string { return slices.Sorted(maps.Keys(f.acc.Trusted)) }

// Replaced reports whether the file is another one by now, or gone. It costs
// one stat(2); a replaced file may still hold an equal vault.
func (f *File) Replaced() bool {
	fi, err := os.Stat(f.path)
	return err != nil || !sameFile(f.stat, fi)
}

func sameFile(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// Contents returns the vault's records, decoded. Each call makes a copy.
func (f *File) Contents() Contents {
	if c := f.contents.Swap(nil); c != nil {
		return *c
	}
	c, err := decode(f.payload.records)
	if err != nil {
		panic(err) // the same records were decoded before, and nothing changed them
	}
	return *c
}

// Format shows the vault's id and none of its content.
func (f *File) Format(s fmt.State, _ rune) { _, _ = fmt.Fprintf(s, "vault %s", f.payload.vaultID) }

// Login returns the login of a profile at a provider; as is empty for the
// default one.
func (c *Contents) Login(profileName, provider, as string) (Login, bool) {
	id := LoginID(profileName, provider, as)
	for _, l := range c.Logins {
		if l.ID == id {
			return l, true
		}
	}
	return Login{}, false
}

// Profile returns the profile of that name.
func (c *Contents) Profile(name string) (profile.Profile, bool) {
	for _, p := range c.Profiles {
		if p.Name == name {
			return p, true
		}
	}
	return profile.Profile{}, false
}

// Setting returns the value of a synced setting, "" when it is not set.
func (c *Contents) Setting(name string) string {
	for _, s := range c.Settings {
		if s.Name == name {
			return s.Value
		}
	}
	return ""
}

// Options are for Create.
type Options struct {
	// Name is what a person calls the vault; empty is none.
	Name string
	// Rand makes the vault's id. Nil means crypto/rand.
	Rand io.Reader
	// Recovery are age recipients (age1...) that can read the vault beside
	// this device: a key on paper.
	Recovery []string
}

// Create makes a new vault at path whose one device is id. It refuses to
// replace anything.
func Create(ctx context.Context, path string, id *Identity, mem Memory, opt Options) (*File, error) {
	if opt.Name != "" && !validName(opt.Name) {
		return nil, fmt.Errorf("name vault %q: %w", opt.Name, ErrInvalid)
	}
	if id.sign == nil {
		return nil, ErrReadOnly
	}
	random := opt.Rand
	if random == nil {
		random = rand.Reader
	}
	var vid [16]byte
	if _, err := io.ReadFull(random, vid[:]); err != nil {
		return nil, err
	}
	unlock, err := mem.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	target, err := atomicfile.Target(path)
	if err != nil {
		return nil, err
	}
	if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
		if err == nil {
			err = fmt.Errorf("create %q: %w", path, ErrExists)
		}
		return nil, err
	}
	p := &payload{clock: Clock{}, name: opt.Name, vaultID: newHex(vid[:])}
	tx := newTx(p, id, time.Now())
	self := Device{ID: id.id, Name: id.name, Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: KindDevice, Created: id.created}
	if err := tx.PutDevice(self); err != nil {
		return nil, err
	}
	for n, r := range opt.Recovery {
		if err := tx.AddRecovery(fmt.Sprintf("recovery %d", n+1), r); err != nil {
			return nil, err
		}
	}
	acc := &accepted{VaultID: p.vaultID, Trusted: map[string][]byte{id.id: id.SignKey()}, Removed: map[string]bool{}}
	gone := func() error {
		if _, err := os.Lstat(target); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("create %q: %w", path, ErrExists)
		}
		return nil
	}
	was := remembered{}
	if was.acc, err = load(ctx, mem); err != nil {
		return nil, err
	}
	if was.file, err = mem.Kept(ctx); err != nil {
		return nil, err
	}
	return tx.save(ctx, target, acc, [32]byte{}, mem, was, gone)
}

// Open reads the vault at path. It accepts one that is as new as the last
// accepted one or newer, and has Memory keep it. One that was edited apart is
// merged with what Memory keeps, in memory only: see [File.Unsaved].
func Open(ctx context.Context, path string, id *Identity, mem Memory) (*File, error) {
	return open(ctx, path, id, mem, time.Now())
}

func open(ctx context.Context, path string, id *Identity, mem Memory, now time.Time) (*File, error) {
	acc, err := load(ctx, mem)
	if err != nil {
		return nil, err
	}
	f, raw, err := read(ctx, path, id, acc, mem, now)
	if err != nil {
		return nil, err
	}
	if !f.interrupted && (f.acc == acc || f.unsaved) {
		return f, nil
	}
	// It is being saved just now, or was, and whoever has the lock knows. Or
	// it is news. Take the lock, so that of two that open at once the one
	// with the older vault does not have the last word.
	unlock, err := mem.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	again, err := load(ctx, mem)
	if err != nil {
		return nil, err
	}
	if again != nil && (acc == nil || again.File != acc.File || f.interrupted) {
		if f, raw, err = read(ctx, path, id, again, mem, now); err != nil {
			return nil, err
		}
		if f.acc == again || f.unsaved {
			return f, nil
		}
	}
	if err := mem.Accept(ctx, f.acc.encode(), raw); err != nil {
		return nil, fmt.Errorf("remember the vault: %w", err)
	}
	return f, nil
}

// Accept takes the vault at path as the one to believe from now on, although
// it is older than what this device accepted, was edited apart from it, or is
// another vault. It must be whole, encrypted to this device and signed by a
// device of its own. That is a decision for a person: whoever could write the
// file may have chosen what it says.
func Accept(ctx context.Context, path string, id *Identity, mem Memory) (*File, error) {
	unlock, err := mem.Lock(ctx)
	if err != nil {
		return nil, fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	acc, err := load(ctx, mem)
	if err != nil {
		return nil, err
	}
	f, raw, err := readWhole(path, func(raw []byte) (*File, error) { return force(raw, id, acc) })
	if err != nil {
		return nil, err
	}
	if err := mem.Accept(ctx, f.acc.encode(), raw); err != nil {
		return nil, fmt.Errorf("remember the vault: %w", err)
	}
	return f, nil
}

// FirstTrust has a device that never saw a vault trust one signer of it, named
// by the vault's id and the signer's id and key: what an approved device or a
// CI file knows. It refuses where something is remembered already.
func FirstTrust(ctx context.Context, mem Memory, vaultID, signer string, key ed25519.PublicKey) error {
	if !isVaultID(vaultID) || !isDeviceID(signer) || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("trust signer %q of vault %q: %w", signer, vaultID, ErrInvalid)
	}
	unlock, err := mem.Lock(ctx)
	if err != nil {
		return fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	if acc, err := load(ctx, mem); err != nil || acc != nil {
		if err == nil {
			err = fmt.Errorf("trust signer %q: %w", signer, ErrExists)
		}
		return err
	}
	a := &accepted{VaultID: vaultID, Clock: Clock{}, Trusted: map[string][]byte{signer: key}, Removed: map[string]bool{}}
	return mem.Accept(ctx, a.encode(), []byte{})
}

// readFile reads at most the limit, and says which file it was.
func readFile(path string) (target string, b []byte, fi fs.FileInfo, err error) {
	if target, err = atomicfile.Target(path); err != nil {
		return "", nil, nil, err
	}
	// Without O_NONBLOCK, a FIFO in the vault's place would hold kb up for good.
	f, err := os.OpenFile(target, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return "", nil, nil, err
	}
	defer func() { _ = f.Close() }()
	if fi, err = f.Stat(); err != nil {
		return "", nil, nil, err
	}
	switch {
	case !fi.Mode().IsRegular():
		return "", nil, nil, fmt.Errorf("open %q: not a regular file: %w", path, ErrNotVault)
	case fi.Size() > maxFile:
		return "", nil, nil, fmt.Errorf("open %q: %w", path, ErrTooLarge)
	}
	b = make([]byte, 0, fi.Size()+bytes.MinRead)
	buf := bytes.NewBuffer(b)
	if _, err = buf.ReadFrom(io.LimitReader(f, maxFile+1)); err != nil {
		return "", nil, nil, err
	}
	return target, buf.Bytes(), fi, nil
}

// maxReads bounds how often a file that is being replaced in place is read
// again. Git writes a file anew where it was, and can be met in the middle.
const maxReads = 3

// readWhole reads the file at path and has check judge it. A file that was
// replaced meanwhile is read again.
func readWhole(path string, check func(raw []byte) (*File, error)) (*File, []byte, error) {
	for n := 1; ; n++ {
		target, raw, fi, err := readFile(path)
		if err != nil {
			return nil, nil, err
		}
		f, err := check(raw)
		if err == nil {
			f.path, f.stat = target, fi
			return f, raw, nil
		}
		if now, statErr := os.Stat(target); n == maxReads || statErr != nil || sameFile(fi, now) {
			return nil, nil, fmt.Errorf("open vault %q: %w", path, err)
		}
	}
}

// read opens a vault against what is remembered. The File's acc is acc itself
// if there is nothing new to remember.
func read(ctx context.Context, path string, id *Identity, acc *accepted, mem Memory, now time.Time) (*File, []byte, error) {
	return readWhole(path, func(raw []byte) (*File, error) { return check(ctx, raw, id, acc, mem, now) })
}

// check judges a file by what is remembered.
func check(ctx context.Context, raw []byte, id *Identity, acc *accepted, mem Memory, now time.Time) (*File, error) {
	o, err := openRaw(raw, id)
	if err != nil {
		return nil, err
	}
	switch sum := sha256.Sum256(raw); {
	case acc == nil:
		return nil, ErrNoTrust
	case acc.VaultID != o.p.vaultID:
		return nil, ErrForeignVault
	case acc.Replacing == sum:
		return interrupted(ctx, id, acc, mem)
	case acc.File == sum:
		// These very bytes were verified when they were accepted.
		f := &File{payload: o.p, acc: acc}
		f.contents.Store(o.c)
		return f, nil
	case o.p.clock.leaps(acc.Clock):
		return nil, fmt.Errorf("%w: a count in its clock that no device can have reached", ErrMalformed)
	}
	t, err := o.verify(trust{acc.Trusted, acc.Removed})
	order := o.p.clock.Compare(acc.Clock)
	apart := order == Apart || order == Equal && acc.known() && acc.Payload != o.digest
	switch {
	case errors.Is(err, ErrRemovedSigner):
		return nil, err
	case err != nil && !apart:
		return nil, err
	case order == Before:
		return nil, ErrRollback
	}
	if apart || acc.known() && o.p.ahead(now) {
		merged, mergeErr := mergeKept(ctx, o, id, acc, mem, now)
		switch {
		case mergeErr == nil && merged != nil:
			return merged, nil
		case err != nil:
			return nil, err
		case apart && merged == nil:
			return nil, errors.Join(ErrForked, mergeErr)
		}
	}
	return o.file(id, acc, t, raw), nil
}

// interrupted is the save that was to replace the file in the vault's place,
// from what this device keeps of it. Where a later save that began with it was
// cut off as well, what is kept is that one, and newer than the note.
func interrupted(ctx context.Context, id *Identity, acc *accepted, mem Memory) (*File, error) {
	raw, err := mem.Kept(ctx)
	if err != nil {
		return nil, err
	}
	o, err := openRaw(raw, id)
	if err != nil {
		return nil, fmt.Errorf("read the vault that this device kept: %w", err)
	}
	f := &File{payload: o.p, acc: acc}
	f.contents.Store(o.c)
	if sha256.Sum256(raw) != acc.File {
		t, err := o.verify(trust{acc.Trusted, acc.Removed})
		if err != nil {
			return nil, fmt.Errorf("read the vault that this device kept: %w", err)
		}
		if o.p.vaultID != acc.VaultID || o.digest != acc.Payload && o.p.clock.Compare(acc.Clock) != After {
			return nil, ErrRollback // not what the note is about
		}
		f = o.file(id, acc, t, raw)
	}
	f.unsaved, f.interrupted, f.report = true, true, &Report{}
	return f, nil
}

// file is the vault as it was opened, with what is to be remembered of it.
func (o *opened) file(id *Identity, acc *accepted, t trust, raw []byte) *File {
	f := &File{payload: o.p, acc: &accepted{
		VaultID: o.p.vaultID, Clock: o.p.clock.Clone(), Counter: o.p.clock[id.id],
		File: sha256.Sum256(raw), Payload: o.digest, Trusted: t.keys, Removed: t.gone,
	}}
	if acc != nil && acc.VaultID == o.p.vaultID {
		f.acc.Counter = max(f.acc.Counter, acc.Counter)
		f.acc.Former = acc.follow(t.keys)
	}
	f.contents.Store(o.c)
	return f
}

// force judges a file for Accept. The person who accepts the vault vouches for
// whoever signed it, and for those that nobody else added.
func force(raw []byte, id *Identity, acc *accepted) (*File, error) {
	o, err := openRaw(raw, id)
	if err != nil {
		return nil, err
	}
	roots := map[string][]byte{}
	for i := range o.c.Devices {
		if d := &o.c.Devices[i]; len(d.SignKey) > 0 && (d.ID == o.p.signer || d.AddedBy == d.ID) {
			roots[d.ID] = d.SignKey
		}
	}
	t, err := o.verify(trust{keys: roots})
	if err != nil {
		return nil, err
	}
	return o.file(id, acc, t, raw), nil
}

// ahead reports whether the vault holds a change that is beyond the wall
// clock's horizon.
func (p *payload) ahead(now time.Time) bool {
	limit := horizon(now, &payload{})
	return slices.ContainsFunc(p.records, func(r record) bool { return r.stamp.hlc > limit })
}

// mergeKept merges a file with what this device last accepted. It returns nil
// where nothing is kept, as in a CI job, or where nothing had to be left out
// of a successor.
func mergeKept(ctx context.Context, o *opened, id *Identity, acc *accepted, mem Memory, now time.Time) (*File, error) {
	raw, err := mem.Kept(ctx)
	if err != nil || raw == nil {
		return nil, err
	}
	kept, err := openRaw(raw, id)
	if err != nil {
		return nil, fmt.Errorf("read the vault that this device kept: %w", err)
	}
	if kept.p.vaultID != acc.VaultID || kept.digest != acc.Payload && kept.p.clock.Compare(acc.Clock) != After {
		return nil, nil // not what the note is about
	}
	p, t, report, err := joinOpened(kept, o, acc, now)
	if err != nil {
		return nil, err
	}
	if p.sameContent(o.p) {
		return o.file(id, acc, t, o.raw), nil
	}
	c, err := decode(p.records)
	if err != nil {
		return nil, err
	}
	f := &File{payload: p, unsaved: true, report: report, acc: &accepted{
		VaultID: p.vaultID, Clock: acc.Clock, Counter: max(acc.Counter, p.clock[id.id]),
		File: acc.File, Payload: acc.Payload, Trusted: t.keys, Removed: t.gone, Former: acc.follow(t.keys),
	}}
	f.contents.Store(c)
	return f, nil
}
