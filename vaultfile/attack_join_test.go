package vaultfile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// The attacker here holds the git host and the way that requests take: he reads
// and replaces both at will, and knows every public key. He does not hold a
// device, nor what its screen shows.

// swapVault puts another vault in the place of the lab's, and returns what puts
// it back.
func (l *lab) swapVault(with []byte) (back func()) {
	l.t.Helper()
	whole, err := os.ReadFile(l.path)
	if err != nil {
		l.t.Fatal(err)
	}
	put := func(b []byte) {
		if err := os.WriteFile(l.path, b, 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	put(with)
	return func() { put(whole) }
}

// malloryVault is a vault of mallory's own making that also the joiner can
// decrypt, with the id that the real one has.
func (l *lab) malloryVault(j *joiner, change func(tx *Tx)) []byte {
	l.t.Helper()
	path := filepath.Join(l.t.TempDir(), "vault.age")
	m, mem := l.ids["mallory"], NewMemory()
	if _, err := Create(context.Background(), path, m, mem, Options{}); err != nil {
		l.t.Fatal(err)
	}
	acc, err := load(context.Background(), mem)
	if err != nil {
		l.t.Fatal(err)
	}
	_, raw, _, err := readFile(path)
	if err != nil {
		l.t.Fatal(err)
	}
	o, err := openRaw(raw, m)
	if err != nil {
		l.t.Fatal(err)
	}
	// With the same id: vouched for anew by mallory.
	o.p.vaultID = l.vault
	tx := newTx(o.p, m, testTime)
	for _, d := range tx.devices() {
		m.vouch(l.vault, &d)
		tx.put("device", d.ID, encodeDevice(&d))
	}
	if err := tx.PutDevice(Device{ID: j.id.id, Name: j.id.name, Recipient: j.id.Recipient(), SignKey: j.id.SignKey(), Kind: KindDevice}); err != nil {
		l.t.Fatal(err)
	}
	if change != nil {
		change(tx)
	}
	if err := tx.count(acc.Counter); err != nil {
		l.t.Fatal(err)
	}
	tx.p.signer = m.id
	sortRecords(tx.p)
	plain := tx.p.encode(func(d [32]byte) []byte { return m.sign.sign(sigMessage(d)) })
	sealed, err := seal(plain, m.age.Recipient(), j.id.age.Recipient())
	if err != nil {
		l.t.Fatal(err)
	}
	return sealed
}

// record is a device's record as the lab's vault holds it.
func (l *lab) record(name string) Device {
	l.t.Helper()
	for _, d := range l.open("a").Contents().Devices {
		if d.ID == l.ids[name].id {
			return d
		}
	}
	l.t.Fatalf("no record of %s", name)
	return Device{}
}

// The new device is served a vault that was made with public recipients only:
// it must not take it for the one that was approved.
func TestAttackForgedVaultAtFirstOpen(t *testing.T) {
	l := newLab(t)
	j := newJoiner(t, "desk")
	code := l.approve("b", j.req)

	back := l.swapVault(l.malloryVault(j, nil))
	if _, err := l.enter(j, code); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a vault of mallory's own: %v", err)
	}
	j.knowsNothing(t)
	back()

	// He copies the approver's record into it, so that the code names it: trust
	// begins at the approver then, and from there no chain leads to mallory.
	record := l.record("b")
	forged := l.malloryVault(j, func(tx *Tx) { tx.put("device", record.ID, encodeDevice(&record)) })
	back = l.swapVault(forged)
	if f, err := l.enter(j, code); f != nil || !errors.Is(err, ErrUnknownSigner) {
		t.Errorf("with the approver's record in it: %v", err)
	}
	if _, err := Edit(context.Background(), l.path, j.id, j.mem, note1("x")); !errors.Is(err, ErrUnknownSigner) {
		t.Errorf("an edit of it: %v", err)
	}
	back()

	// Control: the vault that was approved, by the same steps.
	f, err := Open(context.Background(), l.path, j.id, j.mem)
	if err != nil || len(f.Trusted()) != 4 {
		t.Errorf("the approved vault: %v", err)
	}
	k := newJoiner(t, "box")
	code = l.approve("a", k.req)
	if _, err := l.enter(k, code); err != nil {
		t.Errorf("control: %v", err)
	}
}

// A device that was trusted signs a vault into which a recipient was put that
// nobody vouches for: a new device must not encrypt to it either.
func TestAttackUnsignedDeviceAtFirstOpen(t *testing.T) {
	l := newLab(t)
	j := newJoiner(t, "desk")
	code := l.approve("a", j.req)
	l.ids["desk"] = j.id // so that the forgery is encrypted to it
	l.forge(l.ids["a"], func(p *payload) { inject(p, l.device("mallory"), l.ids["mallory"]) })
	if _, err := l.enter(j, code); !errors.Is(err, ErrUntrustedDevice) {
		t.Errorf("with a device that nobody vouches for: %v", err)
	}
	// Control: vouched for, by the same steps.
	l = newLab(t)
	j = newJoiner(t, "desk")
	code = l.approve("a", j.req)
	l.ids["desk"] = j.id
	l.forge(l.ids["a"], func(p *payload) { inject(p, l.device("mallory"), l.ids["a"]) })
	if _, err := l.enter(j, code); err != nil {
		t.Errorf("control: %v", err)
	}
}

func TestAttackRemovedDeviceWritesOn(t *testing.T) {
	l := newLab(t)
	// Control: as long as it is a device, what it writes is taken.
	l.edit("c", note1("by c, a device"))
	if c := l.open("a").Contents(); c.Setting("note") != "by c, a device" {
		t.Errorf("control: a sees %q", c.Setting("note"))
	}
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	l.open("b")
	l.forge(l.ids["c"], func(p *payload) { p.name = "written by c after its removal" })
	for _, who := range []string{"a", "b"} {
		l.refused(who, ErrRemovedSigner)
	}
}

// A removed device does what it can to be one again: it adds itself, and it
// asks to be let in with the keys that it has.
func TestAttackRemovedDeviceAddsItselfAgain(t *testing.T) {
	l := newLab(t)
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	l.open("b")
	whole, err := os.ReadFile(l.path)
	if err != nil {
		t.Fatal(err)
	}
	readd := func(by *Identity) {
		l.forge(by, func(p *payload) {
			for i := range p.records {
				if r := &p.records[i]; r.id == "device/"+l.ids["c"].id {
					d := l.device("c")
					by.vouch(p.vaultID, &d)
					*r = record{id: r.id, typ: "device", stamp: r.stamp, fields: encodeDevice(&d)}
				}
			}
		})
	}
	readd(l.ids["c"])
	l.refused("b", ErrRemovedSigner)
	l.swapVault(whole)
	readd(l.ids["a"]) // as if a had taken it back
	l.refused("b", ErrUntrustedDevice)
	l.swapVault(whole)

	req, err := NewJoinRequest(l.ids["c"], "c", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Approve(context.Background(), l.path, l.ids["a"], l.mems["a"], req); !errors.Is(err, ErrDeviceRemoved) {
		t.Errorf("approving the old keys: %v", err)
	}
	// Control: the same machine with new keys is let in.
	j := newJoiner(t, "c")
	if _, err := l.enter(j, l.approve("a", j.req)); err != nil {
		t.Errorf("control: %v", err)
	}
}

// Mallory puts his keys into the request on its way. The approving device
// shows other words then; and where a person did not compare them, the new
// device does not take the code.
func TestAttackJoinRequestSwapped(t *testing.T) {
	l := newLab(t)
	j := newJoiner(t, "desk")
	m := newJoiner(t, "desk")
	for name, alter := range map[string]func(r *JoinRequest){
		"recipient":            func(r *JoinRequest) { r.Recipient = m.req.Recipient },
		"signing key":          func(r *JoinRequest) { r.SignKey = m.req.SignKey },
		"device id":            func(r *JoinRequest) { r.Device = m.req.Device },
		"name":                 func(r *JoinRequest) { r.Name = "phone" },
		"nonce":                func(r *JoinRequest) { r.Nonce = m.req.Nonce },
		"all keys, same nonce": func(r *JoinRequest) { r.Device, r.Recipient, r.SignKey = m.req.Device, m.req.Recipient, m.req.SignKey },
	} {
		swapped := *j.req
		alter(&swapped)
		arrived, err := ParseJoinRequest(swapped.String())
		if err != nil {
			t.Fatalf("%s: mallory's request is not even well-formed: %v", name, err)
		}
		if arrived.HasFingerprint(j.req.Fingerprint()) {
			t.Errorf("%s was swapped, and the fingerprint is the same", name)
		}
		// The person said yes all the same.
		l := newLab(t)
		code := l.approve("a", arrived)
		l.edit("a", func(tx *Tx) error {
			if j.req.Device == arrived.Device {
				return nil
			}
			return tx.PutDevice(Device{ID: j.id.id, Name: "desk", Recipient: j.id.Recipient(), SignKey: j.id.SignKey(), Kind: KindDevice})
		})
		fresh := &joiner{j.id, NewMemory(), j.req}
		if _, err := l.enter(fresh, code); !errors.Is(err, ErrWrongCode) && !errors.Is(err, ErrWrongKey) {
			t.Errorf("%s was swapped, and the code is taken: %v", name, err)
		}
		fresh.knowsNothing(t)
	}
	// Control: the request as it was.
	arrived, err := ParseJoinRequest(j.req.String())
	if err != nil || !arrived.HasFingerprint(j.req.Fingerprint()) {
		t.Fatalf("control: %v", err)
	}
	if _, err := l.enter(j, l.approve("a", arrived)); err != nil {
		t.Errorf("control: %v", err)
	}
}

// The git host swaps the approver's vault for one of mallory's, who poses as
// the approver in every way but its key. The code is another then.
func TestAttackApproversVaultSwapped(t *testing.T) {
	l := newLab(t)
	j := newJoiner(t, "desk")
	code := l.approve("a", j.req)
	m := l.ids["mallory"]
	posing := func(tx *Tx) {
		d := Device{ID: l.ids["a"].id, Name: "a", Recipient: m.Recipient(), SignKey: m.SignKey(), Kind: KindDevice}
		m.vouch(tx.p.vaultID, &d)
		tx.put("device", d.ID, encodeDevice(&d))
	}
	back := l.swapVault(l.malloryVault(j, posing))
	if _, err := l.enter(j, code); !errors.Is(err, ErrWrongCode) {
		t.Errorf("a vault of one who poses as the approver: %v", err)
	}
	j.knowsNothing(t)
	back()

	// Each thing that the code is over changes it.
	key := l.ids["a"].SignKey()
	other := newJoiner(t, "desk")
	for name, c := range map[string]string{
		"another vault":    j.req.code("ffffffffffffffffffffffffffffffff", l.ids["a"].id, key),
		"another approver": j.req.code(l.vault, l.ids["b"].id, key),
		"another key":      j.req.code(l.vault, l.ids["a"].id, m.SignKey()),
		"another request":  other.req.code(l.vault, l.ids["a"].id, key), // an earlier join's code, told again
	} {
		if sameWords(c, code) {
			t.Errorf("%s has the same code", name)
		}
	}
	// Control: the vault that was approved.
	if _, err := l.enter(j, code); err != nil {
		t.Errorf("control: %v", err)
	}
}
