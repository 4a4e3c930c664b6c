package vaultfile_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kb/internal/secret"
	"kb/profile"
	"kb/vaultfile"
)

// world is a vault with one device.
type world struct {
	path string
	id   *vaultfile.Identity
	mem  vaultfile.Memory
}

func newWorld(t testing.TB) *world {
	t.Helper()
	id, err := vaultfile.NewIdentity("laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{path: filepath.Join(t.TempDir(), "vault.age"), id: id, mem: vaultfile.NewMemory()}
	if _, err := vaultfile.Create(context.Background(), w.path, id, w.mem, vaultfile.Options{Name: "test"}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open(t testing.TB) *vaultfile.File {
	t.Helper()
	f, err := vaultfile.Open(context.Background(), w.path, w.id, w.mem)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func (w *world) edit(t testing.TB, change func(*vaultfile.Tx) error) *vaultfile.File {
	t.Helper()
	f, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, change)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everything is one of each record, with every field set.
func everything() vaultfile.Contents {
	then := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	return vaultfile.Contents{
		Profiles: []profile.Profile{
			{Name: "oss"},
			{Name: "work", GitName: "Me \"M\" é", GitEmail: "me@acme.example", SigningKey: "ssh-ed25519 AAAA", Also: []string{"oss", "x"}, Egress: "listed", Expect: map[string]string{"github": "acme-me", "slack": "T1"}},
		},
		Rules: []profile.Rule{
			{ID: "r1", Profile: "work", Remote: "github.com/acme/*", Dir: "~/work/**", User: "me", Machine: "laptop", Agent: "claude"},
			{ID: "r2", Profile: "oss", Dir: "~/oss/**"},
		},
		Logins: []vaultfile.Login{
			{ID: "login/oss/github", Profile: "oss", Provider: "github", Method: "key", Refs: map[string]string{"token": "env:GH"}},
			{ID: "login/work/github", Profile: "work", Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New("t1\"\\é")}, Base: "https://ghe.acme.example", Account: "acme-me", Expires: then.AddDate(1, 0, 0), Created: then},
			{ID: "login/work/github/bot", Profile: "work", Provider: "github", As: "bot", Method: "basic", Secrets: map[string]secret.Value{"username": secret.New("u"), "password": secret.New("p")}, Created: then},
		},
		Providers: []vaultfile.Provider{{Name: "acme", TOML: "name = \"acme\"\n\thosts = []\n", Replaces: "github"}},
		Clients: []vaultfile.Client{{
			Name: "linear", Issuer: "https://mcp.linear.example", ClientID: "id", ClientSecret: secret.New("cs"), RegistrationToken: secret.New("rt"),
			RegistrationURI: "https://mcp.linear.example/r/1", Redirect: "http://127.0.0.1/", Expires: then,
		}, {Name: "slack", ClientID: "id", SecretRef: "awssm://oauth/slack#secret"}},
		Policies: []vaultfile.Policy{{ID: "p1", Profile: "work", Effect: "limit", PerMinute: 5, Provider: "github", Methods: []string{"POST", "GET"}, Host: "api.github.com", Path: "/repos/**"}, {ID: "p2", Profile: "work", Effect: "ask", Repository: "github.com/acme/*", Git: "write", Mint: true}},
		Settings: []vaultfile.Setting{{Name: "default_profile", Value: "oss"}, {Name: "empty"}},
	}
}

func putAll(tx *vaultfile.Tx, c vaultfile.Contents) error {
	var errs []error
	for _, p := range c.Profiles {
		errs = append(errs, tx.PutProfile(p))
	}
	for _, r := range c.Rules {
		_, err := tx.PutRule(r)
		errs = append(errs, err)
	}
	for _, l := range c.Logins {
		errs = append(errs, tx.PutLogin(l))
	}
	for _, p := range c.Providers {
		errs = append(errs, tx.PutProvider(p))
	}
	for _, cl := range c.Clients {
		errs = append(errs, tx.PutClient(cl))
	}
	for _, p := range c.Policies {
		_, err := tx.PutPolicy(p)
		errs = append(errs, err)
	}
	for _, s := range c.Settings {
		errs = append(errs, tx.PutSetting(s))
	}
	return errors.Join(errs...)
}

var compare = cmp.Options{
	cmp.Comparer(func(a, b secret.Value) bool { return a.Equal(b) }),
	cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Devices" }, cmp.Ignore()),
}

func TestWhatIsPutIsRead(t *testing.T) {
	w := newWorld(t)
	want := everything()
	f := w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, want) })
	for name, got := range map[string]vaultfile.Contents{"edited": f.Contents(), "edited, again": f.Contents(), "opened": w.open(t).Contents()} {
		if d := cmp.Diff(want, got, compare); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
		if len(got.Devices) != 1 || got.Devices[0].Name != "laptop" || got.Devices[0].Kind != vaultfile.KindDevice {
			t.Errorf("%s: devices are %+v", name, got.Devices)
		}
	}
	if f.Name() != "test" || f.ID() == "" {
		t.Errorf("vault is %q %q", f.Name(), f.ID())
	}
}

// Contents are copies: what a caller does with them stays with the caller.
func TestContentsAreCopies(t *testing.T) {
	w := newWorld(t)
	f := w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	c := f.Contents()
	c.Profiles[1].Expect["github"] = "evil"
	c.Logins[1].Secrets["token"] = secret.New("evil")
	if d := cmp.Diff(everything(), f.Contents(), compare); d != "" {
		t.Error(d)
	}
}

// Equal content leaves the file alone, down to the inode: git stays quiet.
func TestUnchangedContentIsNotRewritten(t *testing.T) {
	w := newWorld(t)
	f := w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	before, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	again := w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	after, err := os.ReadFile(w.path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(before, after) || f.Replaced() || !os.SameFile(f.Stat(), again.Stat()) || again.Clock().Compare(f.Clock()) != vaultfile.Equal {
		t.Error("the vault was written again")
	}
	// Control: a change does replace it.
	w.edit(t, func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: "default_profile", Value: "work"})
	})
	if !f.Replaced() {
		t.Error("a change went unnoticed")
	}
}

func TestDelete(t *testing.T) {
	w := newWorld(t)
	w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	f := w.edit(t, func(tx *vaultfile.Tx) error {
		return errors.Join(tx.DeleteProfile("work"), tx.DeleteRule("r1"), tx.DeleteLogin("login/work/github/bot"),
			tx.DeleteProvider("acme"), tx.DeleteClient("linear"), tx.DeleteClient("slack"), tx.DeletePolicy("p1"), tx.DeletePolicy("p2"), tx.DeleteSetting("empty"))
	})
	c := f.Contents()
	if len(c.Profiles) != 1 || len(c.Rules) != 1 || len(c.Logins) != 2 || len(c.Providers)+len(c.Clients)+len(c.Policies) != 0 || len(c.Settings) != 1 {
		t.Errorf("left are %+v", c)
	}
	for _, del := range []func(*vaultfile.Tx) error{
		func(tx *vaultfile.Tx) error { return tx.DeleteProfile("work") },
		func(tx *vaultfile.Tx) error { return tx.DeleteRule("nope") },
	} {
		if _, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, del); !errors.Is(err, vaultfile.ErrNotFound) {
			t.Errorf("deleting what is gone: %v", err)
		}
	}
	// What is deleted may be made again.
	w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	if d := cmp.Diff(everything(), w.open(t).Contents(), compare); d != "" {
		t.Error(d)
	}
}

func TestInvalidPuts(t *testing.T) {
	w := newWorld(t)
	put := map[string]func(*vaultfile.Tx) error{
		"profile with a slash":   func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{Name: "a/b"}) },
		"profile without a name": func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{}) },
		"profile not in UTF-8":   func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{Name: "a", GitName: "\xff"}) },
		"rule without condition": func(tx *vaultfile.Tx) error { _, err := tx.PutRule(profile.Rule{Profile: "a"}); return err },
		"rule without profile":   func(tx *vaultfile.Tx) error { _, err := tx.PutRule(profile.Rule{Dir: "/"}); return err },
		"login of another id": func(tx *vaultfile.Tx) error {
			return tx.PutLogin(vaultfile.Login{ID: "login/x/y", Profile: "a", Provider: "b"})
		},
		"login without profile": func(tx *vaultfile.Tx) error { return tx.PutLogin(vaultfile.Login{Provider: "b"}) },
		"login with a slash":    func(tx *vaultfile.Tx) error { return tx.PutLogin(vaultfile.Login{Profile: "a", Provider: "b/c"}) },
		"device of no kind": func(tx *vaultfile.Tx) error {
			return tx.PutDevice(vaultfile.Device{ID: "0123456789abcdef", Name: "x", Recipient: w.id.Recipient()})
		},
	}
	for name, change := range put {
		if _, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, change); !errors.Is(err, vaultfile.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A secret that would write header lines of its own.
	_, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, func(tx *vaultfile.Tx) error {
		return tx.PutLogin(vaultfile.Login{Profile: "a", Provider: "b", Secrets: map[string]secret.Value{"token": secret.New("x\r\nY: z")}})
	})
	if !errors.Is(err, secret.ErrControl) || strings.Contains(err.Error(), "Y: z") {
		t.Errorf("a secret with a line break: %v", err)
	}
	_, err = vaultfile.Edit(context.Background(), w.path, w.id, w.mem, func(tx *vaultfile.Tx) error {
		return tx.AddRecovery("hw", "age1yubikey1qqqq")
	})
	if !errors.Is(err, vaultfile.ErrUnsupportedRecipient) {
		t.Errorf("a plugin's recipient: %v", err)
	}
	if c := w.open(t).Contents(); len(c.Profiles)+len(c.Rules)+len(c.Logins) != 0 || len(c.Devices) != 1 {
		t.Errorf("something was kept: %+v", c)
	}
}

func TestCreateReplacesNothing(t *testing.T) {
	w := newWorld(t)
	if _, err := vaultfile.Create(context.Background(), w.path, w.id, vaultfile.NewMemory(), vaultfile.Options{}); !errors.Is(err, vaultfile.ErrExists) {
		t.Errorf("Create over a vault: %v", err)
	}
	w.open(t)
	fi, err := os.Stat(w.path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("the vault's mode is %v, %v", fi.Mode(), err)
	}
}

// A vault in a dotfiles repository is reached by a link, which stays.
func TestSymlinkIsReplacedAtItsTarget(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "dotfiles"), 0o700); err != nil {
		t.Fatal(err)
	}
	link, target := filepath.Join(dir, "vault.age"), filepath.Join(dir, "dotfiles", "vault.age")
	if err := os.Symlink("dotfiles/vault.age", link); err != nil {
		t.Fatal(err)
	}
	id, err := vaultfile.NewIdentity("laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{path: link, id: id, mem: vaultfile.NewMemory()}
	if _, err := vaultfile.Create(context.Background(), link, id, w.mem, vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	w.edit(t, func(tx *vaultfile.Tx) error { return putAll(tx, everything()) })
	if to, err := os.Readlink(link); err != nil || to != "dotfiles/vault.age" {
		t.Errorf("the link is %q, %v", to, err)
	}
	if fi, err := os.Lstat(target); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("the target: %v", err)
	}
	es, err := os.ReadDir(filepath.Dir(target))
	if err != nil || len(es) != 1 {
		t.Errorf("beside the vault: %v %v", es, err)
	}
}

// git pull takes no lock: an edit over which it comes starts again on what it
// brought, and loses nothing of it.
func TestVaultReplacedDuringAnEdit(t *testing.T) {
	w := newWorld(t)
	tries := 0
	f, err := vaultfile.Edit(context.Background(), w.path, w.id, w.mem, func(tx *vaultfile.Tx) error {
		tries++
		if tries == 1 {
			// Another kb of this device that does not take the same lock.
			other := vaultfile.NewMemory()
			c, err := tx.Contents()
			if err != nil {
				return err
			}
			if err := vaultfile.FirstTrust(context.Background(), other, vaultID(t, w), w.id.ID(), c.Devices[0].SignKey); err != nil {
				return err
			}
			if _, err := vaultfile.Edit(context.Background(), w.path, w.id, other, func(tx *vaultfile.Tx) error {
				return tx.PutSetting(vaultfile.Setting{Name: "theirs", Value: "1"})
			}); err != nil {
				return err
			}
		}
		return tx.PutSetting(vaultfile.Setting{Name: "ours", Value: "1"})
	})
	if err != nil {
		t.Fatal(err)
	}
	c := f.Contents()
	if tries != 2 || c.Setting("ours") != "1" || c.Setting("theirs") != "1" {
		t.Errorf("after %d tries: ours %q, theirs %q", tries, c.Setting("ours"), c.Setting("theirs"))
	}
}

func vaultID(t *testing.T, w *world) string {
	t.Helper()
	return w.open(t).ID()
}

// Nothing prints a secret: not the vault, an edit, nor an identity.
func TestNothingPrintsASecret(t *testing.T) {
	w := newWorld(t)
	var out bytes.Buffer
	f := w.edit(t, func(tx *vaultfile.Tx) error {
		if err := tx.PutLogin(vaultfile.Login{Profile: "a", Provider: "b", Secrets: map[string]secret.Value{"token": secret.New("kb-canary")}}); err != nil {
			return err
		}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
			fmt.Fprintf(&out, verb, tx)
		}
		return nil
	})
	c := f.Contents()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x"} {
		fmt.Fprintf(&out, verb, f)
		fmt.Fprintf(&out, verb, c)
		fmt.Fprintf(&out, verb, w.id)
	}
	key := strings.TrimPrefix(strings.Fields(w.id.Text().Reveal()[strings.Index(w.id.Text().Reveal(), "AGE-SECRET"):])[0], "AGE-SECRET-KEY-1")
	for _, s := range []string{"kb-canary", fmt.Sprintf("%x", "kb-canary"), key} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q was printed", s[:4])
		}
	}
	if l, _ := c.Login("a", "b", ""); l.Secrets["token"].Reveal() != "kb-canary" {
		t.Error("the control does not hold")
	}
}
