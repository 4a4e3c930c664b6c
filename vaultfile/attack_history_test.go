package vaultfile

import (
	"context"
	"errors"
	"slices"
	"testing"

	"kb/internal/secret"
)

// A removed device still has its keys and can push to the repository: it makes
// up a device, vouches for it, and has that one sign a "version of the past".
// Nobody can tell when that was made, and so a person must be asked before
// anything is restored from it, as from one that it signed itself.
func TestAttackRemovedDeviceSignsHistoryByAnother(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	l.edit("a", note1("before"))
	byA := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	now := l.read()

	l.put(byA)
	l.forge(l.ids["mallory"], func(p *payload) { inject(p, l.device("mallory"), l.ids["c"]) })
	forged := l.read()
	l.put(byA)
	l.forge(l.ids["c"], func(*payload) {})
	own := l.read()
	l.put(now)

	for _, c := range []struct {
		what    string
		raw     []byte
		removed bool
	}{
		{"by a device that the removed one made up", forged, true},
		{"by the removed one", own, true},
		{"control: by a trusted one, before the removal", byA, false},
	} {
		f, err := ReadRevision(ctx, c.raw, l.ids["a"], l.mems["a"])
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if f.SignerRemoved() != c.removed {
			t.Errorf("%s: a person is asked: %v", c.what, f.SignerRemoved())
		}
	}
}

// A device that expects to be removed lists itself as one that was gone when
// the secrets were written. It is to be told of all the same.
func TestAttackDeviceTakesItselfOffTheChecklist(t *testing.T) {
	for _, lie := range []bool{false, true} { // false is the control
		l := newLab(t)
		l.edit("a", putToken("work", "one"))
		l.open("c")
		if lie {
			l.edit("c", func(tx *Tx) error {
				i := tx.index["login/work/github"]
				login, _ := newDecoder().login(&tx.p.records[i], "work/github")
				login.After = []string{l.ids["c"].id}
				tx.put("login", "work/github", encodeLogin(&login))
				if err := tx.PutClient(Client{Name: "acme", ClientSecret: secret.New("two")}); err != nil {
					return err
				}
				client := newDecoder().client(&tx.p.records[tx.index["client/acme"]], "acme")
				client.After = []string{l.ids["c"].id}
				tx.put("client", "acme", encodeClient(&client))
				return nil
			})
			l.open("a")
		}
		l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
		exposed := l.open("a").Exposed()
		for _, key := range []string{"work/github", "acme"} {
			if key == "acme" && !lie {
				continue
			}
			if !slices.ContainsFunc(exposed, func(e Exposed) bool { return e.Device == l.ids["c"].id && e.Key == key }) {
				t.Errorf("lied %v: %s is not to be rotated: %+v", lie, key, exposed)
			}
		}
	}
}

// What a trusted device wrote and a removed one signed when it merged is left
// out with the rest, and a report that says nothing of it would have kb remove
// the only copy.
func TestAttackRemovedDeviceSwallowsAnEdit(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	removed := l.read()

	l.put(base)
	l.edit("b", note1("b"))
	byB := l.read()
	l.forge(l.ids["c"], func(*payload) {}) // c saves what b wrote, and nothing of its own
	byC := l.read()

	_, report, err := Merge(ctx, removed, byC, l.ids["a"], l.mems["a"])
	if err != nil || len(report.Quarantined) != 1 || report.Quarantined[0].Key != "note" || report.Quarantined[0].Device != l.ids["b"].id {
		t.Errorf("signed by the removed device: %v, %+v", err, report)
	}
	// Control: signed by b it is merged, and nothing is left out.
	merged, report, err := Merge(ctx, removed, byB, l.ids["a"], l.mems["a"])
	if err != nil || len(report.Quarantined) != 0 || len(report.Changes) != 1 {
		t.Errorf("signed by b: %v, %+v", err, report)
	}
	// What ours knows and theirs does not is not left out of theirs.
	_, report, err = Merge(ctx, merged, byC, l.ids["a"], l.mems["a"])
	if err != nil || len(report.Quarantined) != 0 {
		t.Errorf("nothing new in it: %v, %+v", err, report)
	}
}

// A version vector inside a guarded field says which changes a version follows.
// Whoever claims there to have seen what another device has yet to write would
// win over each of its edits, unseen.
func TestAttackGuardedFieldClaimsToHaveSeenTheFuture(t *testing.T) {
	ctx := context.Background()
	for _, lie := range []bool{false, true} { // false is the control
		l := newLab(t)
		l.edit("a", func(tx *Tx) error { return tx.PutProvider(Provider{Name: "own", TOML: "base"}) })
		l.open("b")
		l.forge(l.ids["b"], func(p *payload) {
			tx := newTx(p, l.ids["b"], testTime)
			r := &tx.p.records[tx.index["provider/own"]]
			r.set(encodeProvider(&Provider{Name: "own", TOML: "by b"}), tx.now, func(string) bool { return false })
			if lie {
				var seen, o object
				seen.integer(l.ids["a"].id, maxInt)
				o.raw("seen", seen.done())
				for i := range r.fields {
					if r.fields[i].name == apart {
						r.fields[i].raw = o.done()
					}
				}
			}
			*p = *tx.p
		})
		base := l.read()
		if _, err := l.tryOpen("a"); lie {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("a takes it: %v", err)
			}
			continue
		} else if err != nil {
			t.Fatal(err)
		}
		l.edit("a", func(tx *Tx) error { return tx.PutProvider(Provider{Name: "own", TOML: "a takes a host away"}) })
		byA := l.read()
		l.put(base)
		l.open("b")
		l.edit("b", func(tx *Tx) error { return tx.PutProvider(Provider{Name: "own", TOML: "by b again"}) })
		if _, report, err := Merge(ctx, byA, l.read(), l.ids["a"], l.mems["a"]); err != nil || len(report.Conflicts) != 1 {
			t.Errorf("an honest pair: %v, %+v", err, report)
		}
	}
}

// An older vault can be from before a device was removed. It is refused as what
// brings the device back, which nobody is asked to accept.
func TestAttackRollbackBringsADeviceBack(t *testing.T) {
	l := newLab(t)
	before := l.read()
	l.edit("a", note1("one"))
	old := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	l.put(old)
	l.refused("a", ErrUntrustedDevice)
	// Control: for who knows of no removal it is older and no more.
	l.open("b")
	l.put(before)
	l.refused("b", ErrRollback)
}

// A member of a shared vault counts for another device, up to the end of the
// clock: that device could never save again, and a merge keeps the greater
// count for good.
func TestAttackMemberUsesUpTheClock(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	l.open("b")
	base := l.read()
	count := func(n uint64) {
		l.put(base)
		l.forge(l.ids["b"], func(p *payload) { p.clock[l.ids["a"].id] = n })
	}
	count(maxInt)
	l.refused("a", ErrMalformed)
	if _, _, err := Merge(ctx, base, l.read(), l.ids["a"], l.mems["a"]); !errors.Is(err, ErrMalformed) {
		t.Errorf("the driver merges it: %v", err)
	}
	count(1000) // control: two machines may share an identity
	l.open("a")
	l.edit("a", note1("a saves"))
}
