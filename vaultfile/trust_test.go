package vaultfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"filippo.io/age"

	"kb/internal/secret"
)

// A lab is a vault with devices a (who made it), b (added by a) and c (added
// by b), each with a memory of its own that knows the vault.
type lab struct {
	t     *testing.T
	path  string
	ids   map[string]*Identity
	mems  map[string]Memory
	vault string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, path: filepath.Join(t.TempDir(), "vault.age"), ids: map[string]*Identity{}, mems: map[string]Memory{}}
	for _, n := range []string{"a", "b", "c", "mallory"} {
		id, err := NewIdentity(n, nil)
		if err != nil {
			t.Fatal(err)
		}
		l.ids[n], l.mems[n] = id, NewMemory()
	}
	f, err := Create(context.Background(), l.path, l.ids["a"], l.mems["a"], Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.vault = f.ID()
	l.add("a", "b")
	l.add("b", "c")
	l.open("a")
	return l
}

func (l *lab) device(name string) Device {
	id := l.ids[name]
	return Device{ID: id.ID(), Name: name, Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: KindDevice}
}

// add has by add the device name, which then trusts by and opens the vault.
func (l *lab) add(by, name string) {
	l.t.Helper()
	l.edit(by, func(tx *Tx) error { return tx.PutDevice(l.device(name)) })
	if err := FirstTrust(context.Background(), l.mems[name], l.vault, l.ids[by].ID(), l.ids[by].SignKey()); err != nil {
		l.t.Fatal(err)
	}
	l.open(name)
}

func (l *lab) tryOpen(who string) (*File, error) {
	return Open(context.Background(), l.path, l.ids[who], l.mems[who])
}

func (l *lab) open(who string) *File {
	l.t.Helper()
	f, err := l.tryOpen(who)
	if err != nil {
		l.t.Fatalf("%s opens: %v", who, err)
	}
	return f
}

func (l *lab) edit(who string, change func(*Tx) error) *File {
	l.t.Helper()
	f, err := Edit(context.Background(), l.path, l.ids[who], l.mems[who], change)
	if err != nil {
		l.t.Fatalf("%s edits: %v", who, err)
	}
	return f
}

func note1(value string) func(*Tx) error {
	return func(tx *Tx) error { return tx.PutSetting(Setting{Name: "note", Value: value}) }
}

// forge writes a vault as someone with the recipients and a key of his own
// would: change alters the payload of the present one, and signer signs.
func (l *lab) forge(signer *Identity, change func(p *payload)) {
	l.t.Helper()
	raw, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	var plain []byte
	for _, id := range l.ids {
		if b, err := unseal(raw, id.age); err == nil {
			plain = b
		}
	}
	p, _, err := parsePayload(plain)
	if err != nil {
		l.t.Fatal(err)
	}
	p.signer = signer.id
	p.clock[signer.id]++
	change(p)
	l.write(p.encode(func(d [32]byte) []byte { return signer.sign.sign(sigMessage(d)) }))
}

func (l *lab) write(plain []byte) {
	l.t.Helper()
	var to []age.Recipient
	for _, id := range l.ids {
		to = append(to, id.age.Recipient())
	}
	raw, err := seal(plain, to...)
	if err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(l.path, raw, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

// inject puts a device record into a payload, signed by whom it likes.
func inject(p *payload, d Device, by *Identity) {
	by.vouch(p.vaultID, &d)
	tx := newTx(p, by, testTime)
	tx.put("device", d.ID, encodeDevice(&d))
	*p = *tx.p
	sortRecords(p)
}

func (l *lab) read() []byte {
	l.t.Helper()
	b, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

// put replaces the file, as git would.
func (l *lab) put(b []byte) {
	l.t.Helper()
	if err := os.WriteFile(l.path, b, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) refused(who string, want error) {
	l.t.Helper()
	before, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	if _, err := l.tryOpen(who); !errors.Is(err, want) {
		l.t.Errorf("%s opens: %v, want %v", who, err, want)
	}
	f, err := Edit(context.Background(), l.path, l.ids[who], l.mems[who], note1("x"))
	if f != nil || !errors.Is(err, want) {
		l.t.Errorf("%s edits: %v, want %v", who, err, want)
	}
	if after, _ := os.ReadFile(l.path); string(after) != string(before) {
		l.t.Error("the refused vault was written over")
	}
}

func TestChainOfDevices(t *testing.T) {
	l := newLab(t)
	l.edit("c", note1("by c"))
	for _, who := range []string{"a", "b", "c"} {
		f := l.open(who)
		c := f.Contents()
		if c.Setting("note") != "by c" || f.Signer() != l.ids["c"].ID() || len(f.Trusted()) != 3 {
			t.Errorf("%s sees %q by %s, trusting %d", who, c.Setting("note"), f.Signer(), len(f.Trusted()))
		}
	}
}

func TestAttackForgedWithThePublicRecipientsOnly(t *testing.T) {
	l := newLab(t)
	l.forge(l.ids["mallory"], func(*payload) {})
	l.refused("a", ErrUnknownSigner)
}

func TestAttackForgerAddsHimself(t *testing.T) {
	l := newLab(t)
	m := l.ids["mallory"]
	l.forge(m, func(p *payload) { inject(p, l.device("mallory"), m) })
	l.refused("a", ErrUnknownSigner)
	// As if a had added him, with a signature that is not a's.
	l = newLab(t)
	m = l.ids["mallory"]
	l.forge(m, func(p *payload) {
		d := l.device("mallory")
		posing := *m
		posing.id = l.ids["a"].id
		posing.vouch(p.vaultID, &d)
		tx := newTx(p, m, testTime)
		tx.put("device", d.ID, encodeDevice(&d))
		*p = *tx.p
		sortRecords(p)
	})
	l.refused("a", ErrUnknownSigner)
}

func TestAttackSignatureOfAnother(t *testing.T) {
	l := newLab(t)
	posing := *l.ids["mallory"]
	posing.id = l.ids["a"].id
	l.forge(&posing, func(*payload) {})
	l.refused("b", ErrBadSignature)
}

// A trusted device's file into which a recipient was smuggled without a
// trusted device's signature on it.
func TestAttackUnsignedDevice(t *testing.T) {
	l := newLab(t)
	l.forge(l.ids["b"], func(p *payload) { inject(p, l.device("mallory"), l.ids["mallory"]) })
	l.refused("a", ErrUntrustedDevice)
	// Control: the same record, signed by b, is taken.
	l = newLab(t)
	l.forge(l.ids["b"], func(p *payload) { inject(p, l.device("mallory"), l.ids["b"]) })
	l.open("a")
}

// A device's signature on a record holds for one vault, id, recipient and key.
func TestAttackRecordOfADeviceIsReused(t *testing.T) {
	for name, alter := range map[string]func(*Device){
		"recipient": func(d *Device) { d.Recipient = "age1other" },
		"key":       func(d *Device) { d.SignKey = make([]byte, 32) },
		"id":        func(d *Device) { d.ID = "00000000000000ff" },
	} {
		l := newLab(t)
		l.forge(l.ids["b"], func(p *payload) {
			d := l.device("mallory")
			l.ids["b"].vouch(p.vaultID, &d)
			alter(&d)
			tx := newTx(p, l.ids["b"], testTime)
			tx.put("device", d.ID, encodeDevice(&d))
			*p = *tx.p
			sortRecords(p)
		})
		if _, err := l.tryOpen("a"); !errors.Is(err, ErrUntrustedDevice) {
			t.Errorf("%s altered: %v", name, err)
		}
	}
	l := newLab(t)
	d := l.device("mallory")
	l.ids["b"].vouch("ffffffffffffffffffffffffffffffff", &d) // for another vault
	l.forge(l.ids["b"], func(p *payload) {
		tx := newTx(p, l.ids["b"], testTime)
		tx.put("device", d.ID, encodeDevice(&d))
		*p = *tx.p
		sortRecords(p)
	})
	l.refused("a", ErrUntrustedDevice)
}

func TestAttackKeyOfAKnownDeviceIsSwapped(t *testing.T) {
	l := newLab(t)
	l.forge(l.ids["b"], func(p *payload) {
		d := l.device("mallory")
		d.ID = l.ids["c"].id
		inject(p, d, l.ids["b"])
	})
	l.refused("a", ErrUntrustedDevice)
}

func TestRemovedDevice(t *testing.T) {
	l := newLab(t)
	// b removes a: c, whom b had added, and b, whom a had added, stay.
	l.edit("b", func(tx *Tx) error { return tx.DeleteDevice(l.ids["a"].ID()) })
	if f := l.open("c"); len(f.Trusted()) != 2 {
		t.Errorf("c trusts %v", f.Trusted())
	}
	if _, err := l.tryOpen("a"); !errors.Is(err, ErrWrongKey) {
		t.Errorf("the removed device opens the vault: %v", err)
	}
	// Someone new who trusts only b can still walk the chain.
	l.add("b", "mallory")
	if f := l.open("mallory"); len(f.Trusted()) != 3 {
		t.Errorf("the new device trusts %v", f.Trusted())
	}
	// What a signs now counts for nothing, even if it undoes its removal.
	l.forge(l.ids["a"], func(*payload) {})
	l.refused("c", ErrRemovedSigner)
	l.forge(l.ids["a"], func(p *payload) {
		for i := range p.records {
			if r := &p.records[i]; r.id == "device/"+l.ids["a"].id {
				*r = record{id: r.id, typ: "device", stamp: stamp{tick(testTime, r.stamp.hlc), l.ids["a"].id}}
				d := l.device("a")
				l.ids["a"].vouch(p.vaultID, &d)
				r.fields = encodeDevice(&d)
			}
		}
	})
	l.refused("c", ErrRemovedSigner)
}

func TestRemovedDeviceCannotComeBack(t *testing.T) {
	l := newLab(t)
	l.edit("b", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].ID()) })
	l.open("a")
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	// Not even in a vault that a trusted device vouches for and signs.
	l.forge(l.ids["b"], func(p *payload) {
		for i := range p.records {
			if r := &p.records[i]; r.id == "device/"+l.ids["c"].id {
				d := l.device("c")
				l.ids["b"].vouch(p.vaultID, &d)
				*r = record{id: r.id, typ: "device", stamp: r.stamp, fields: encodeDevice(&d)}
			}
		}
	})
	l.refused("a", ErrUntrustedDevice)
	if err := os.WriteFile(l.path, whole, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Edit(context.Background(), l.path, l.ids["b"], l.mems["b"], func(tx *Tx) error { return tx.PutDevice(l.device("c")) })
	if !errors.Is(err, ErrInvalid) {
		t.Errorf("the same id came back: %v", err)
	}
	if _, err := Edit(context.Background(), l.path, l.ids["b"], l.mems["b"], func(tx *Tx) error { return tx.DeleteDevice(l.ids["b"].ID()) }); !errors.Is(err, ErrInvalid) {
		t.Errorf("a device removed itself: %v", err)
	}
}

func TestFirstTrust(t *testing.T) {
	l := newLab(t)
	if _, err := l.tryOpen("mallory"); !errors.Is(err, ErrWrongKey) {
		t.Errorf("a stranger opens: %v", err)
	}
	l.edit("a", func(tx *Tx) error { return tx.PutDevice(l.device("mallory")) })
	if _, err := l.tryOpen("mallory"); !errors.Is(err, ErrNoTrust) {
		t.Errorf("a device that trusts nobody opens: %v", err)
	}
	ctx := context.Background()
	if err := FirstTrust(ctx, l.mems["mallory"], l.vault, l.ids["a"].ID(), l.ids["mallory"].SignKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.tryOpen("mallory"); !errors.Is(err, ErrBadSignature) {
		t.Errorf("trusting another key for a, it opens: %v", err)
	}
	if err := FirstTrust(ctx, l.mems["mallory"], l.vault, l.ids["a"].ID(), l.ids["a"].SignKey()); !errors.Is(err, ErrExists) {
		t.Errorf("first trust twice: %v", err)
	}
	l.mems["mallory"] = NewMemory()
	if err := FirstTrust(ctx, l.mems["mallory"], "ffffffffffffffffffffffffffffffff", l.ids["a"].ID(), l.ids["a"].SignKey()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.tryOpen("mallory"); !errors.Is(err, ErrForeignVault) {
		t.Errorf("trusting another vault, it opens: %v", err)
	}
}

func TestRollbackAndForeign(t *testing.T) {
	l := newLab(t)
	old := l.read()
	l.edit("a", note1("one"))
	l.open("b")

	l.put(old)
	l.refused("a", ErrRollback)
	l.refused("b", ErrRollback)

	// c has not seen "one": it edits the old one, apart.
	l.edit("c", note1("other"))
	other := l.read()
	if f := l.open("a"); !f.Unsaved() {
		t.Error("a vault that was edited apart is not merged")
	}

	// Another vault in its place.
	m := l.ids["mallory"]
	l.forge(m, func(p *payload) { p.vaultID = "ffffffffffffffffffffffffffffffff" })
	l.refused("a", ErrForeignVault)

	// Accept takes each knowingly, and then that one is the one to be.
	l.put(other)
	if f, err := Accept(context.Background(), l.path, l.ids["a"], l.mems["a"]); err != nil {
		t.Fatal(err)
	} else if c := f.Contents(); c.Setting("note") != "other" {
		t.Errorf("accepted %q", c.Setting("note"))
	}
	f := l.edit("a", note1("after"))
	// a had counted to 3 (made it, added b, "one"); other's clock knows 2.
	if got := f.Clock()[l.ids["a"].ID()]; got != 4 {
		t.Errorf("a counts %d after accepting an older vault, want 4: a count is never given twice", got)
	}
	l.open("c")
}

func TestAcceptForeignStillChecksTheVault(t *testing.T) {
	l := newLab(t)
	m := l.ids["mallory"]
	// Signed by one who is no device of it.
	l.forge(m, func(p *payload) { p.vaultID = "ffffffffffffffffffffffffffffffff" })
	if _, err := Accept(context.Background(), l.path, l.ids["a"], l.mems["a"]); err == nil {
		t.Error("accepted a vault whose signer is none of its devices")
	}
	other := filepath.Join(t.TempDir(), "other.age")
	if _, err := Create(context.Background(), other, m, NewMemory(), Options{}); err != nil {
		t.Fatal(err)
	}
	f, err := Accept(context.Background(), other, m, l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	if g, err := Open(context.Background(), other, m, l.mems["a"]); err != nil || g.ID() != f.ID() {
		t.Errorf("the accepted vault does not open: %v", err)
	}
}

// Records of an older save put back, or moved to another profile's id, under
// the signature of the present one.
func TestAttackSwappedAndReplayedRecords(t *testing.T) {
	l := newLab(t)
	put := func(secretText string) func(*Tx) error {
		return func(tx *Tx) error {
			return tx.PutLogin(Login{Profile: "work", Provider: "github", Secrets: map[string]secret.Value{"token": secret.New(secretText)}})
		}
	}
	l.edit("a", put("old"))
	f := l.edit("a", func(*Tx) error { return nil })
	old := f.payload.records
	l.edit("a", put("new"))
	for name, alter := range map[string]func(p *payload){
		"replayed record": func(p *payload) { p.records = old },
		"record moved to another profile": func(p *payload) {
			for i := range p.records {
				if r := &p.records[i]; r.typ == "login" {
					r.id = "login/oss/github"
				}
			}
		},
		"record dropped": func(p *payload) { p.records = p.records[:len(p.records)-1] },
		"later clock":    func(p *payload) { p.clock[l.ids["a"].id] += 5 },
		"other signer":   func(p *payload) { p.signer = l.ids["b"].id },
	} {
		l.resign(t, name, alter)
	}
	l.open("a") // control: unaltered, the same way, it opens
}

// resign alters the payload, keeps its signature, and wants that noticed.
func (l *lab) resign(t *testing.T, name string, alter func(*payload)) {
	t.Helper()
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := unseal(whole, l.ids["a"].age)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := parsePayload(plain)
	if err != nil {
		t.Fatal(err)
	}
	sig := p.sig
	alter(p)
	l.write(p.encode(func([32]byte) []byte { return sig }))
	if _, err := l.tryOpen("b"); !errors.Is(err, ErrBadSignature) {
		t.Errorf("%s: %v", name, err)
	}
	l.write(plain)
}
