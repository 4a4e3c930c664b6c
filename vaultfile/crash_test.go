package vaultfile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
	"kb/internal/state"
	"kb/vaultfile"
)

// wreck is a device with its vault and its real state in one directory, which
// is put back to how it was made before each accident.
type wreck struct {
	root    string
	id      *vaultfile.Identity
	other   *vaultfile.Identity // a second device of the vault
	start   map[string][]byte   // path -> content at the start
	scratch string              // a file beside it all
}

const pair = "old" // value of both settings of the vault at the start

func newWreck(t testing.TB) *wreck {
	t.Helper()
	w := &wreck{root: t.TempDir(), scratch: filepath.Join(t.TempDir(), "v.age"), id: newIdentity(t, "laptop"), other: newIdentity(t, "desk")}
	ctx := w.calm(t)
	if err := os.Mkdir(filepath.Join(w.root, "dotfiles"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Create(ctx, w.path(), w.id, w.memory(t), vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Edit(ctx, w.path(), w.id, w.memory(t), func(tx *vaultfile.Tx) error {
		d := vaultfile.Device{ID: w.other.ID(), Name: "desk", Recipient: w.other.Recipient(), SignKey: w.other.SignKey(), Kind: vaultfile.KindDevice}
		return errors.Join(tx.PutDevice(d), both(pair)(tx))
	}); err != nil {
		t.Fatal(err)
	}
	w.keep(t)
	return w
}

// keep takes what is in the directory now as the start.
func (w *wreck) keep(t testing.TB) {
	t.Helper()
	w.start = map[string][]byte{}
	if err := filepath.WalkDir(w.root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		w.start[path], err = os.ReadFile(path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func (w *wreck) reset(t testing.TB) {
	t.Helper()
	entries, err := os.ReadDir(w.root)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(w.root, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	for path, b := range w.start {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *wreck) path() string { return filepath.Join(w.root, "dotfiles", "vault.age") }

func (w *wreck) memory(t testing.TB) *state.VaultMemory {
	t.Helper()
	s, err := state.Open(filepath.Join(w.root, "state"), w.id.DeriveKey("state"))
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.VaultMemory("default")
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// disk makes a disk of what is there now, and a context that saves to it.
func (w *wreck) disk(t testing.TB, fault *faultdisk.Fault) (context.Context, *faultdisk.Disk) {
	t.Helper()
	d, err := faultdisk.New(w.root, fault)
	if err != nil {
		t.Fatal(err)
	}
	return atomicfile.WithDisk(t.Context(), d), d
}

// calm is a disk that does not fail, and does not wait either.
func (w *wreck) calm(t testing.TB) context.Context {
	ctx, _ := w.disk(t, nil)
	return ctx
}

// both sets two settings to one value: a mixture of two vaults would show.
func both(value string) func(*vaultfile.Tx) error {
	return func(tx *vaultfile.Tx) error {
		return errors.Join(tx.PutSetting(vaultfile.Setting{Name: "a", Value: value}), tx.PutSetting(vaultfile.Setting{Name: "z", Value: value}))
	}
}

// save sets both to a value on a disk with that fault.
func (w *wreck) save(t testing.TB, fault *faultdisk.Fault, value string) (*faultdisk.Disk, error) {
	t.Helper()
	mem := w.memory(t)
	ctx, d := w.disk(t, fault)
	_, err := vaultfile.Edit(ctx, w.path(), w.id, mem, both(value))
	return d, err
}

// found opens the vault after an accident and returns the value of both.
func (w *wreck) found(t testing.TB, what string) string {
	t.Helper()
	f, err := vaultfile.Open(w.calm(t), w.path(), w.id, w.memory(t))
	if err != nil {
		t.Fatalf("%s: the vault does not open: %v", what, err)
	}
	c := f.Contents()
	if a, z := c.Setting("a"), c.Setting("z"); a != z {
		t.Fatalf("%s: a mixture: %q and %q", what, a, z)
	}
	return c.Setting("a")
}

// mend checks what must hold after any accident to a save of "new" over "old"
// that ended with err, and returns what was found.
func (w *wreck) mend(t testing.TB, what string, err error) string {
	t.Helper()
	w.promise(t, what)
	got := w.found(t, what)
	if got != pair && got != "new" || err == nil && got != "new" {
		t.Fatalf("%s: found %q after %v", what, got, err)
	}
	// The next edit works, and nothing is lost by it.
	mem := w.memory(t)
	if _, err := vaultfile.Edit(w.calm(t), w.path(), w.id, mem, func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: "next", Value: "1"})
	}); err != nil {
		t.Fatalf("%s: the next edit: %v", what, err)
	}
	if again := w.found(t, what); again != got {
		t.Fatalf("%s: %q became %q", what, got, again)
	}
	left, err := filepath.Glob(filepath.Join(w.root, "*", ".*.kb-tmp-*"))
	inState, err2 := filepath.Glob(filepath.Join(w.root, "state", "*", ".*.kb-tmp-*"))
	if err := errors.Join(err, err2); err != nil || len(left)+len(inState) != 0 {
		t.Fatalf("%s: after the next edit there still are %q %q, %v", what, left, inState, err)
	}
	return got
}

// promise checks that the note does not tell of a save that nobody has: of
// the vault and the copy in the state, one knows all that the note's clock
// counts.
func (w *wreck) promise(t testing.TB, what string) {
	t.Helper()
	mem := w.memory(t)
	note, err := mem.Accepted(t.Context())
	if err != nil {
		t.Fatalf("%s: the note: %v", what, err)
	}
	var n struct{ Clock vaultfile.Clock }
	if err := json.Unmarshal(note, &n); err != nil {
		t.Fatalf("%s: the note: %v", what, err)
	}
	kept, err := mem.Kept(t.Context())
	if err != nil {
		t.Fatalf("%s: the copy: %v", what, err)
	}
	for _, b := range [][]byte{kept, w.bytes(t)} {
		if f := w.read(t, b); f != nil {
			if o := n.Clock.Compare(f.Clock()); o == vaultfile.Equal || o == vaultfile.Before {
				return
			}
		}
	}
	t.Fatalf("%s: the note promises %v, which is nowhere", what, n.Clock)
}

func (w *wreck) bytes(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(w.path())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// read opens a vault's bytes as a device that only trusts this one.
func (w *wreck) read(t testing.TB, b []byte) *vaultfile.File {
	t.Helper()
	path := w.scratch
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := vaultfile.Open(t.Context(), path, w.id, w.stranger(t, b))
	if err != nil {
		return nil
	}
	return first
}

// stranger is a memory that trusts this device and remembers nothing.
func (w *wreck) stranger(t testing.TB, b []byte) vaultfile.Memory {
	t.Helper()
	mem := vaultfile.NewMemory()
	var n struct {
		VaultID string `json:"vault_id"`
	}
	note, err := w.memory(t).Accepted(t.Context())
	if err != nil || json.Unmarshal(note, &n) != nil {
		t.Fatalf("the note: %v", err)
	}
	if err := vaultfile.FirstTrust(t.Context(), mem, n.VaultID, w.id.ID(), w.id.SignKey()); err != nil {
		t.Fatal(err)
	}
	return mem
}

// A save goes through every fault at every step of the vault's file and of
// this device's state, and through every power cut after each: afterwards the
// vault is whole, old or new, the note promises nothing that is not there, and
// the next edit works and leaves nothing lying about. With KB_THOROUGH=1 through all
// power cuts, otherwise through a third of them.
func TestEveryFaultOfASave(t *testing.T) {
	w := newWreck(t)
	d, err := w.save(t, nil, "new")
	if err != nil {
		t.Fatal(err)
	}
	steps := d.Steps()
	faults := faultdisk.Faults(steps)
	cuts, second, ended := d.Cuts(), 0, map[string]int{}
	for cut := range cuts {
		w.reset(t)
		d, err := w.save(t, nil, "new")
		if err := errors.Join(err, d.Cut(cut)); err != nil {
			t.Fatal(err)
		}
		w.mend(t, "saved, and the power", nil)
	}
	for i, fault := range faults {
		what := fault.String() + " at " + steps[fault.Step].String()
		w.reset(t)
		d, err := w.save(t, &fault, "new")
		n := d.Cuts()
		if got := w.mend(t, what, err); verdict(err) == "failed" && !fault.Done && got != pair {
			t.Errorf("%s: it was said to have failed, and is %q", what, got)
		}
		ended[verdict(err)]++
		if fault.Err != nil {
			// What is done about the failure can be cut off as well.
			every := 3
			if thorough() {
				every = 1
			}
			for last := len(d.Steps()); last > fault.Step+1; last -= every {
				twice := fault
				twice.Then = &faultdisk.Fault{Step: last - 1}
				w.reset(t)
				_, err := w.save(t, &twice, "new")
				w.mend(t, fmt.Sprintf("%s, and killed at step %d", what, last-1), err)
				second++
			}
		}
		if op := steps[fault.Step].Op; fault.Err != nil && (op == "create" || op == "write") {
			n = 0 // what is unsynced is what a kill there leaves
		}
		for cut := range n {
			if !thorough() && (cut+i)%3 != 0 {
				continue // another third after each fault
			}
			w.reset(t)
			d, err := w.save(t, &fault, "new")
			if err := d.Cut(cut); err != nil {
				t.Fatal(err)
			}
			w.mend(t, what+", and the power", err)
			cuts++
		}
	}
	t.Logf("%d steps, %d faults, %d of them with a kill later, %d power cuts; the saves ended %v", len(steps), len(faults), second, cuts, ended)
	for _, v := range []string{"killed", "failed", "unconfirmed"} {
		if ended[v] == 0 {
			t.Errorf("no save ended %q: the test does not reach it", v)
		}
	}
}

// A save is killed, and so is the next one, which began with finding the first
// cut off, at every pair of steps (every fourth pair without KB_THOROUGH=1).
func TestKilledTwice(t *testing.T) {
	w := newWreck(t)
	d, err := w.save(t, nil, "new")
	if err != nil {
		t.Fatal(err)
	}
	n, pairs := len(d.Steps()), 0
	for i := range n {
		w.reset(t)
		_, _ = w.save(t, &faultdisk.Fault{Step: i}, "new")
		first := *w
		first.keep(t)
		for j := range n + 1 { // one more: what the first left is swept
			if !thorough() && (i+j)%4 != 0 {
				continue
			}
			pairs++
			first.reset(t)
			_, err := w.save(t, &faultdisk.Fault{Step: j}, "new")
			w.mend(t, fmt.Sprintf("killed before step %d, and the next before step %d", i, j), err)
		}
	}
	t.Logf("%d pairs of kills", pairs)
}

// The same for the first save of all. Afterwards there is a vault, which this
// device opens, or none, and then it can be made.
func TestEveryFaultOfCreate(t *testing.T) {
	w := &wreck{root: t.TempDir(), scratch: filepath.Join(t.TempDir(), "v.age"), id: newIdentity(t, "laptop")}
	if err := os.Mkdir(filepath.Join(w.root, "dotfiles"), 0o700); err != nil {
		t.Fatal(err)
	}
	w.memory(t)
	w.keep(t)
	create := func(fault *faultdisk.Fault) (*faultdisk.Disk, error) {
		w.reset(t)
		if err := os.MkdirAll(filepath.Dir(w.path()), 0o700); err != nil {
			t.Fatal(err)
		}
		mem := w.memory(t)
		ctx, d := w.disk(t, fault)
		_, err := vaultfile.Create(ctx, w.path(), w.id, mem, vaultfile.Options{})
		return d, err
	}
	found := map[string]int{}
	mend := func(what string, err error) {
		t.Helper()
		_, openErr := vaultfile.Open(w.calm(t), w.path(), w.id, w.memory(t))
		switch {
		case openErr == nil:
			found["a vault"]++
		case !vaultfile.IsNotExist(openErr), err == nil:
			t.Fatalf("%s: Create said %v, and Open %v", what, err, openErr)
		default:
			found["none"]++
			if _, err := vaultfile.Create(w.calm(t), w.path(), w.id, w.memory(t), vaultfile.Options{}); err != nil {
				t.Fatalf("%s: again: %v", what, err)
			}
		}
		if _, err := vaultfile.Edit(w.calm(t), w.path(), w.id, w.memory(t), both("new")); err != nil {
			t.Fatalf("%s: the next edit: %v", what, err)
		}
	}
	d, err := create(nil)
	if err != nil {
		t.Fatal(err)
	}
	steps := d.Steps()
	for cut := range d.Cuts() {
		d, err := create(nil)
		if err := errors.Join(err, d.Cut(cut)); err != nil {
			t.Fatal(err)
		}
		mend("created, and the power", nil)
	}
	for _, fault := range faultdisk.Faults(steps) {
		what := fault.String() + " at " + steps[fault.Step].String()
		d, err := create(&fault)
		cuts := d.Cuts()
		mend(what, err)
		if fault.Err != nil {
			continue // what is unsynced is what a kill there leaves
		}
		for cut := range cuts {
			if !thorough() && cut%7 != 0 {
				continue
			}
			d, err := create(&fault)
			if err := d.Cut(cut); err != nil {
				t.Fatal(err)
			}
			mend(what+", and the power", err)
		}
	}
	t.Logf("%d steps; found %v", len(steps), found)
	if found["none"] == 0 || found["a vault"] == 0 {
		t.Error("the test does not reach both ends")
	}
}

func verdict(err error) string {
	switch {
	case err == nil:
		return "saved"
	case errors.Is(err, faultdisk.ErrKilled):
		return "killed"
	case errors.Is(err, atomicfile.ErrUnconfirmed):
		return "unconfirmed"
	}
	return "failed"
}

// published is a vault that a killed save left in its place, where git may
// have taken it from.
type published struct {
	what string
	file []byte
}

// publish kills a save of "new" before each step, and returns what was to be
// seen in the vault's place then, when it was not the old one.
func (w *wreck) publish(t *testing.T, then func(published)) (seen int) {
	t.Helper()
	w.reset(t)
	d, err := w.save(t, nil, "new")
	if err != nil {
		t.Fatal(err)
	}
	old := w.start[w.path()]
	for i, s := range d.Steps() {
		w.reset(t)
		_, _ = w.save(t, &faultdisk.Fault{Step: i}, "new")
		p := published{"killed before " + s.String(), w.bytes(t)}
		if !bytes.Equal(p.file, old) {
			seen++
			then(p)
		}
	}
	return seen
}

// A save that was killed after it could be seen in the vault's place may be in
// git, and on other devices, by now. When this device then finds another
// vault there, its next save must not look newer than the first without
// knowing it, nor be as new with other content: devices that have the first
// would drop it, or never agree.
func TestAKilledSaveThatWasSeenIsNotForgotten(t *testing.T) {
	w := newWreck(t)
	old := w.start[w.path()]
	theirs := w.desk(t)
	outcomes := map[string]int{}
	for name, replacement := range map[string][]byte{"the old one": old, "another device's": theirs} {
		seen := w.publish(t, func(p published) {
			what := p.what + ", replaced by " + name
			first := w.read(t, p.file)
			if first == nil {
				t.Fatalf("%s: what was seen is no vault", what)
			}
			if err := os.WriteFile(w.path(), replacement, 0o600); err != nil {
				t.Fatal(err)
			}
			f, err := vaultfile.Edit(w.calm(t), w.path(), w.id, w.memory(t), func(tx *vaultfile.Tx) error {
				return tx.PutSetting(vaultfile.Setting{Name: "second", Value: "1"})
			})
			if errors.Is(err, vaultfile.ErrRollback) || errors.Is(err, vaultfile.ErrForked) {
				outcomes["refused"]++ // a person decides
				return
			}
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			order, c := f.Clock().Compare(first.Clock()), f.Contents()
			if knows := c.Setting("a") == "new"; !knows && (order == vaultfile.After || order == vaultfile.Equal) {
				t.Errorf("%s: the next save has clock %v over %v and does not have what was saved there", what, f.Clock(), first.Clock())
				return
			}
			outcomes["kept"]++
		})
		if seen == 0 {
			t.Errorf("%s: no kill left a new vault in place: the test does not reach it", name)
		}
	}
	t.Logf("after a kill that left the new vault in place: %v", outcomes)
}

// desk is the start vault with an edit of the other device.
func (w *wreck) desk(t *testing.T) []byte {
	t.Helper()
	w.reset(t)
	if _, err := vaultfile.Edit(t.Context(), w.path(), w.other, w.stranger(t, nil), func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: "desk", Value: "1"})
	}); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(w.bytes(t))
}
