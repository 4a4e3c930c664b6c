package broker

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/audit"
	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

// desk is a second device with its own copy of the vault.
type desk struct {
	*fixture
	id     *vaultfile.Identity
	memory vaultfile.Memory
	path   string
}

// addDesk adds a device to the vault.
func (f *fixture) addDesk() *desk {
	f.Helper()
	id, err := vaultfile.NewIdentity("desk", rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.edit(func(tx *vaultfile.Tx) error {
		return tx.PutDevice(vaultfile.Device{
			ID: id.ID(), Name: "desk", Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: vaultfile.KindDevice, Created: time.Now(),
		})
	})
	d := &desk{f, id, vaultfile.NewMemory(), filepath.Join(f.TempDir(), "vault.age")}
	file := f.broker.selected.file
	if err := vaultfile.FirstTrust(f.Context(), d.memory, file.ID(), f.broker.identity.ID(), f.broker.identity.SignKey()); err != nil {
		f.Fatal(err)
	}
	f.copyFile(f.broker.vaultPath, d.path)
	return d
}

func (f *fixture) copyFile(from, to string) {
	f.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		// By a new file, as git and synchronisers do.
		if err = os.WriteFile(to+".new", raw, 0o600); err == nil {
			err = os.Rename(to+".new", to)
		}
	}
	if err != nil {
		f.Fatal(err)
	}
}

// rule adds a rule on the desk.
func (d *desk) rule(remote string) {
	d.Helper()
	if _, err := vaultfile.Edit(d.Context(), d.path, d.id, d.memory, func(tx *vaultfile.Tx) error {
		_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: remote})
		return err
	}); err != nil {
		d.Fatal(err)
	}
}

func hasRule(c vaultfile.Contents, remote string) bool {
	for _, r := range c.Rules {
		if r.Remote == remote {
			return true
		}
	}
	return false
}

// TestSessionMergesAReplacedVault: a vault that was edited apart and put in the
// place of this device's last save while a session runs is merged with what the
// session holds, saved, and told in the audit.
func TestSessionMergesAReplacedVault(t *testing.T) {
	f := newFixture(t)
	d := f.addDesk()
	s := f.start(f.workDir)
	d.rule("github.com/desk/*")
	token := testkit.NewCanary("ghp_", 36)
	f.login("work", "github", "second", token) // here, beside it
	f.copyFile(d.path, f.broker.vaultPath)
	testkit.Eventually(t, 10*time.Second, "the session holds both", func() bool {
		c := f.broker.Contents()
		return hasRule(c, "github.com/desk/*") && len(c.Logins) == 3
	})
	onDisk := f.open().Contents()
	if !hasRule(onDisk, "github.com/desk/*") || len(onDisk.Logins) != 3 {
		t.Error("the merge is not on the disk")
	}
	testkit.Eventually(t, 10*time.Second, "the audit tells of the merge", func() bool {
		for e, err := range audit.Read(f.options.Paths.State+"/audit", audit.Filter{}) {
			if err == nil && e.Session == s.ID && strings.Contains(e.Reason, "edited apart; kb merged it: + rule") {
				return true
			}
		}
		return false
	})
}

// TestVaultIsGitsWhileGitIsBusy: in the middle of a rebase the merge stays in
// memory; when the rebase is over it is saved.
func TestVaultIsGitsWhileGitIsBusy(t *testing.T) {
	f := newFixture(t)
	d := f.addDesk()
	dir := filepath.Dir(f.broker.vaultPath)
	f.git("init", "-q", dir)
	f.git("-C", dir, "add", "vault.age")
	busy := filepath.Join(dir, ".git", "rebase-merge")
	if err := os.Mkdir(busy, 0o700); err != nil {
		t.Fatal(err)
	}
	d.rule("github.com/desk/*")
	f.login("work", "github", "second", testkit.NewCanary("ghp_", 36))
	f.copyFile(d.path, f.broker.vaultPath)
	copied := filepath.Join(dir, "vault.sync-conflict-20260102-150405-ABCDEFG.age")
	f.copyFile(d.path, copied)
	b := f.open()
	if c := b.Contents(); !hasRule(c, "github.com/desk/*") || len(c.Logins) != 3 {
		t.Error("not merged in memory")
	}
	same := func() bool {
		x, _ := os.ReadFile(d.path)
		y, _ := os.ReadFile(b.vaultPath)
		return bytes.Equal(x, y)
	}
	if !same() {
		t.Error("the vault was written in the middle of a rebase")
	}
	if _, err := os.Stat(copied); err != nil {
		t.Error("a conflicted copy was taken in the middle of a rebase")
	}
	if _, err := b.Sync(t.Context()); !isOperation(err) {
		t.Errorf("Sync in the middle of a rebase = %v", err)
	}
	if err := os.Remove(busy); err != nil {
		t.Fatal(err)
	}
	f.open()
	if same() {
		t.Error("the merge is not saved when the rebase is over")
	}
}

func isOperation(err error) bool {
	var e *OperationError
	return errors.As(err, &e) && e.Operation.Name == "rebase"
}

// TestCopyWithQuarantinedChangesStays: what a merge leaves out is not lost with
// the copy that holds it.
func TestCopyWithQuarantinedChangesStays(t *testing.T) {
	f := newFixture(t)
	d := f.addDesk()
	d.rule("github.com/late/*")
	f.edit(func(tx *vaultfile.Tx) error { return tx.DeleteDevice(d.id.ID()) })
	copied := filepath.Join(filepath.Dir(f.broker.vaultPath), "vault (conflicted copy 2026-01-02 150405).age")
	f.copyFile(d.path, copied)
	b := f.open()
	if hasRule(b.Contents(), "github.com/late/*") {
		t.Error("the edit of a removed device was merged")
	}
	if notes := strings.Join(b.Notes(), "\n"); !strings.Contains(notes, "is not merged") || !strings.Contains(notes, "removed") {
		t.Errorf("notes = %q", notes)
	}
	if _, err := os.Stat(copied); err != nil {
		t.Errorf("the copy is gone: %v", err)
	}
}

// TestRevisionOfARemovedDevice is read, and marked.
func TestRevisionOfARemovedDevice(t *testing.T) {
	f := newFixture(t)
	d := f.addDesk()
	dir := filepath.Dir(f.broker.vaultPath)
	f.git("init", "-q", dir)
	commit := func(message string) {
		f.git("-C", dir, "add", "vault.age")
		f.git("-C", dir, "-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-q", "-m", message)
	}
	commit("one")
	d.rule("github.com/desk/*")
	f.copyFile(d.path, f.broker.vaultPath)
	f.broker = f.open()
	commit("two")
	f.edit(func(tx *vaultfile.Tx) error { return tx.DeleteDevice(d.id.ID()) })
	rules := f.broker.Contents().Rules
	f.edit(func(tx *vaultfile.Tx) error {
		for _, r := range rules {
			if err := tx.DeleteRule(r.ID); err != nil {
				return err
			}
		}
		return nil
	})
	commit("three")
	for rev, removed := range map[string]bool{"HEAD~2": false, "HEAD~1": true, "HEAD": false} {
		r, err := f.broker.Revision(t.Context(), rev)
		if err != nil || r.File.SignerRemoved() != removed {
			t.Errorf("Revision(%s) = %v, want removed %v", rev, err, removed)
		}
	}
	past, err := f.broker.History(t.Context(), 0)
	if err != nil || len(past) != 3 || past[1].Device != d.id.ID() {
		t.Fatalf("History = %+v, %v", past, err)
	}
	if c := past[1].Changes; len(c) != 1 || c[0].Type != "rule" || c[0].Op != vaultfile.Added || c[0].Device != d.id.ID() {
		t.Errorf("the desk's changes = %+v", c)
	}
	r, err := f.broker.Revision(t.Context(), "HEAD~1")
	if err != nil {
		t.Fatal(err)
	}
	if lacks := f.broker.Lacks(r); len(lacks) != len(rules) {
		t.Errorf("Lacks = %+v, want the %d rules and no device", lacks, len(rules))
	}
	if err := f.broker.Restore(t.Context(), r, "device/"+d.id.ID()); !errors.Is(err, ErrNotRestored) {
		t.Errorf("Restore of a device = %v", err)
	}
}

// TestSyncsThatRace: two devices that sync at once, each again and again, end
// at the same vault with all edits of both.
func TestSyncsThatRace(t *testing.T) {
	f := newFixture(t)
	d := f.addDesk()
	home := f.options.Paths.Home
	if err := os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("[user]\n\tname = t\n\temail = t@example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(f.broker.vaultPath)
	origin, clone := filepath.Join(home, "origin.git"), filepath.Join(home, "clone")
	f.git("init", "-q", "-b", "main", dir)
	f.git("init", "-q", "-b", "main", "--bare", origin)
	f.git("-C", dir, "remote", "add", "origin", origin)
	if _, err := f.broker.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.git("clone", "-q", origin, clone)
	d.path = filepath.Join(clone, "vault.age")
	other := newBroker(f.options)
	other.identity, other.store = d.id, f.broker.store
	other.vaults = []*vault{{name: defaultVault, path: d.path, memory: &keeping{Memory: d.memory}}}
	other.primary, other.selected, other.vaultPath = other.vaults[0], other.vaults[0], d.path
	if err := other.read(t.Context(), other.primary); err != nil {
		t.Fatal(err)
	}
	var racing sync.WaitGroup
	const rounds = 3
	for i, b := range []*Broker{f.broker, other} {
		racing.Go(func() {
			for n := range rounds {
				err := b.Edit(context.Background(), func(tx *vaultfile.Tx) error {
					_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: "github.com/" + string(rune('a'+i)) + string(rune('a'+n)) + "/*"})
					return err
				})
				if err == nil {
					_, err = b.Sync(context.Background())
				}
				if err != nil {
					t.Errorf("device %d, round %d: %v", i, n, err)
				}
			}
		})
	}
	racing.Wait()
	for _, b := range []*Broker{f.broker, other, f.broker} {
		if _, err := b.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	ours, theirs := f.broker.Contents(), other.Contents()
	for i := range 2 {
		for n := range rounds {
			if remote := "github.com/" + string(rune('a'+i)) + string(rune('a'+n)) + "/*"; !hasRule(ours, remote) || !hasRule(theirs, remote) {
				t.Errorf("rule %s is lost", remote)
			}
		}
	}
	a, _ := os.ReadFile(f.broker.vaultPath)
	z, _ := os.ReadFile(d.path)
	if !bytes.Equal(a, z) {
		t.Error("the two devices ended at different bytes")
	}
}

// keeping is a Memory that keeps the file too.
type keeping struct {
	vaultfile.Memory
	mu   sync.Mutex
	file []byte
}

func (k *keeping) Accept(ctx context.Context, note, file []byte) error {
	k.mu.Lock()
	k.file = file
	k.mu.Unlock()
	return k.Memory.Accept(ctx, note, file)
}

func (k *keeping) Kept(context.Context) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.file, nil
}
