package vaultfile

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"kb/internal/secret"
	"kb/profile"
)

// The driver's law: two devices that merge the same pair end at the same
// content, and where they exchange the results, at the same bytes.
func TestMergeOfFiles(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", note1("a"))
	byA := l.read()
	l.put(base)
	l.edit("b", func(tx *Tx) error { return tx.PutProfile(profile.Profile{Name: "work"}) })
	byB := l.read()

	atA, report, err := Merge(ctx, byA, byB, l.ids["a"], l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Changes) != 1 || report.Changes[0].Key != "work" || report.Changes[0].Op != Added || report.Changes[0].Device != l.ids["b"].id {
		t.Errorf("report: %+v", report)
	}
	atB, _, err := Merge(ctx, byB, byA, l.ids["b"], l.mems["b"])
	if err != nil {
		t.Fatal(err)
	}
	x, _, err := Merge(ctx, atA, atB, l.ids["a"], l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	y, _, err := Merge(ctx, atB, atA, l.ids["b"], l.mems["b"])
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(x, y) {
		t.Error("two devices that merged the same pair keep different files")
	}
	// Nothing was accepted: the file on the disk is still judged by what was.
	if f := l.open("b"); f.Unsaved() {
		t.Error("the driver had its device accept something")
	}
	for _, c := range []struct {
		name         string
		ours, theirs []byte
		want         []byte
	}{
		{"theirs is older", byA, base, byA},
		{"theirs is newer", base, byA, byA},
		{"the same", byA, byA, byA},
	} {
		if got, _, err := Merge(ctx, c.ours, c.theirs, l.ids["a"], l.mems["a"]); err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v, other bytes: %v", c.name, err, !bytes.Equal(got, c.want))
		}
	}
	// The result is a successor of both.
	l.put(x)
	for _, who := range []string{"a", "b", "c"} {
		if c := l.open(who).Contents(); c.Setting("note") != "a" || len(c.Profiles) != 1 {
			t.Errorf("%s sees %q and %d profiles", who, c.Setting("note"), len(c.Profiles))
		}
	}
}

// The vault was replaced by one that was edited apart: it is merged with what
// this device had, in memory until the next edit.
func TestOpenMergesWithWhatWasKept(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", note1("a"))
	l.put(base)
	l.edit("b", func(tx *Tx) error { return tx.PutProfile(profile.Profile{Name: "work"}) })
	byB := l.read()

	f := l.open("a")
	if c := f.Contents(); !f.Unsaved() || c.Setting("note") != "a" || len(c.Profiles) != 1 {
		t.Errorf("a sees %q and %d profiles, unsaved %v", c.Setting("note"), len(c.Profiles), f.Unsaved())
	}
	if !bytes.Equal(l.read(), byB) {
		t.Error("opening wrote the file")
	}
	count := f.Clock()[l.ids["a"].id]
	// An edit that changes nothing writes the merge, and is not counted.
	f = l.edit("a", func(*Tx) error { return nil })
	if f.Unsaved() || f.Clock()[l.ids["a"].id] != count {
		t.Errorf("unsaved %v, count %d, want %d", f.Unsaved(), f.Clock()[l.ids["a"].id], count)
	}
	for _, who := range []string{"a", "b"} {
		if c := l.open(who).Contents(); c.Setting("note") != "a" || len(c.Profiles) != 1 {
			t.Errorf("%s sees %q and %d profiles", who, c.Setting("note"), len(c.Profiles))
		}
	}
	// A job has nothing to merge with: it reads what is newer than its floor,
	// and merges nothing.
	if _, err := Open(ctx, l.path, l.ids["c"], l.mems["c"]); err != nil {
		t.Error(err)
	}
}

// A merge of what a removed device wrote: what a trusted device had accepted
// stays, what it signed itself is left out.
func TestRemovedDeviceInAMerge(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	removed := l.read()

	// c goes on beside its removal.
	l.put(base)
	l.edit("c", note1("c"))
	byC := l.read()
	// b had accepted what c wrote, and wrote something itself.
	l.open("b")
	l.edit("b", func(tx *Tx) error { return tx.PutProfile(profile.Profile{Name: "work"}) })
	byB := l.read()

	merged, report, err := Merge(ctx, removed, byC, l.ids["a"], l.mems["a"])
	if err != nil || !bytes.Equal(merged, removed) || len(report.Quarantined) != 1 || report.Quarantined[0].Key != "note" {
		t.Errorf("what c signed: %v, %+v", err, report)
	}
	merged, _, err = Merge(ctx, removed, byB, l.ids["a"], l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	l.put(merged)
	f := l.open("a")
	if c := f.Contents(); c.Setting("note") != "c" || len(c.Profiles) != 1 || len(c.Devices) != 2 {
		t.Errorf("%q, %d profiles, %d devices", c.Setting("note"), len(c.Profiles), len(c.Devices))
	}
	l.open("b")
	if _, err := l.tryOpen("c"); !errors.Is(err, ErrWrongKey) {
		t.Errorf("c opens the merged vault: %v", err)
	}
}

// A device that was added by one that is removed elsewhere at the same time
// stays, vouched for by who merges.
func TestDeviceAddedByTheRemoved(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["b"].id) })
	removed := l.read()
	l.put(base)
	l.add("b", "mallory")
	l.open("c")
	l.edit("c", note1("c"))
	merged, _, err := Merge(ctx, removed, l.read(), l.ids["a"], l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	l.put(merged)
	for _, who := range []string{"a", "c", "mallory"} {
		l.open(who)
	}
	if _, err := l.tryOpen("b"); !errors.Is(err, ErrWrongKey) {
		t.Errorf("b opens the merged vault: %v", err)
	}
}

// A secret is to be rotated for a removed device exactly if the device could
// read it: also one that was written beside the removal.
func TestExposed(t *testing.T) {
	l := newLab(t)
	login := func(profileName, token string) func(*Tx) error {
		return func(tx *Tx) error {
			return tx.PutLogin(Login{Profile: profileName, Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New(token)}})
		}
	}
	l.edit("a", login("before", "t0"))
	base := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	l.edit("a", login("after", "t1"))
	byA := l.read()
	l.open("b")
	l.put(base)
	l.mems["b"] = l.mems["c"] // b as it was before it heard of the removal
	l.edit("b", login("beside", "t2"))
	merged, _, err := Merge(context.Background(), byA, l.read(), l.ids["a"], l.mems["a"])
	if err != nil {
		t.Fatal(err)
	}
	l.put(merged)
	open := func() (keys []string) {
		for _, e := range l.open("a").Exposed() {
			if e.Device != l.ids["c"].id || e.Type != "login" {
				t.Errorf("%+v", e)
			}
			keys = append(keys, e.Key)
		}
		return keys
	}
	if got := open(); !slices.Equal(got, []string{"before/github", "beside/github"}) {
		t.Fatalf("to rotate: %v", got)
	}
	l.edit("a", login("before", "t0"))
	if got := open(); len(got) != 2 {
		t.Errorf("the same secret put again counts as rotated: %v", got)
	}
	l.edit("a", login("before", "t3"))
	if got := open(); !slices.Equal(got, []string{"beside/github"}) {
		t.Errorf("to rotate: %v", got)
	}
	l.edit("a", func(tx *Tx) error {
		return tx.Dismiss(Exposed{Device: l.ids["c"].id, Type: "login", Key: "beside/github"})
	})
	if got := open(); got != nil {
		t.Errorf("to rotate: %v", got)
	}
}

// History is read and restored from, whoever is trusted or removed since, and
// nothing else is.
func TestRevisions(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	l.edit("c", func(tx *Tx) error {
		_, err := tx.PutRule(profile.Rule{ID: "r1", Profile: "work", Remote: "x"})
		return errors.Join(err, tx.PutLogin(Login{Profile: "work", Provider: "github", Secrets: map[string]secret.Value{"token": secret.New("t")}}))
	})
	old := l.read()
	l.open("a")
	l.edit("a", func(tx *Tx) error {
		return errors.Join(tx.DeleteDevice(l.ids["c"].id), tx.DeleteRule("r1"), tx.DeleteLogin(LoginID("work", "github", "")))
	})
	f, err := ReadRevision(ctx, old, l.ids["a"], l.mems["a"])
	if err != nil || !f.SignerRemoved() {
		t.Fatalf("%v, signer removed: %v", err, f != nil && f.SignerRemoved())
	}
	var names []string
	for _, c := range Diff(f, l.open("a")) {
		names = append(names, c.Op.String()+c.Type+"/"+c.Key)
	}
	if want := []string{"-device/" + l.ids["c"].id, "-login/work/github", "-rule/r1"}; !slices.Equal(names, want) {
		t.Errorf("diff %v, want %v", names, want)
	}
	got := l.edit("a", func(tx *Tx) error {
		return errors.Join(tx.Restore(f, "login", "work/github"), tx.Restore(f, "rule", "r1"))
	})
	if c := got.Contents(); len(c.Logins) != 1 || c.Logins[0].Secrets["token"].Reveal() != "t" || len(c.Rules) != 1 {
		t.Errorf("restored %+v", c)
	}
	if err := newTx(got.payload, l.ids["a"], testTime).Restore(f, "device", l.ids["c"].id); !errors.Is(err, ErrInvalid) {
		t.Errorf("a device was restored: %v", err)
	}
	// A version that somebody made with the recipients alone.
	l.forge(l.ids["mallory"], func(p *payload) { inject(p, l.device("mallory"), l.ids["mallory"]) })
	if _, err := ReadRevision(ctx, l.read(), l.ids["a"], l.mems["a"]); err == nil {
		t.Error("a forged version was read")
	}
}

// A removed device cannot come back beside its removal: neither by its own
// signature, nor as a device that it adds, nor through one that it added.
func TestAttackRemovedDeviceComesBackThroughAFork(t *testing.T) {
	ctx := context.Background()
	l := newLab(t)
	base := l.read()
	l.edit("a", func(tx *Tx) error { return tx.DeleteDevice(l.ids["c"].id) })
	removed := l.read()
	l.put(base)
	l.forge(l.ids["mallory"], func(p *payload) { inject(p, l.device("mallory"), l.ids["c"]) })
	forged := l.read()

	if _, _, err := Merge(ctx, removed, forged, l.ids["a"], l.mems["a"]); !errors.Is(err, ErrUnknownSigner) {
		t.Errorf("git merges it: %v", err)
	}
	l.refused("a", ErrUnknownSigner)

	// Control: the same device, added by one that was not removed, is merged.
	l.put(base)
	l.forge(l.ids["mallory"], func(p *payload) { inject(p, l.device("mallory"), l.ids["b"]) })
	if _, _, err := Merge(ctx, removed, l.read(), l.ids["a"], l.mems["a"]); err != nil {
		t.Errorf("control: %v", err)
	}
}
