package vaultfile_test

import (
	"context"
	"path/filepath"
	"testing"

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

func TestWhatIsPutIsRead(t *testing.T) {
	w := newWorld(t)
	w.edit(t, func(tx *vaultfile.Tx) error {
		if err := tx.PutProfile(profile.Profile{Name: "work", GitEmail: "me@acme.example", Also: []string{"oss"}, Expect: map[string]string{"github": "acme-me"}}); err != nil {
			return err
		}
		if _, err := tx.PutRule(profile.Rule{ID: "r1", Profile: "work", Remote: "github.com/acme/*"}); err != nil {
			return err
		}
		return tx.PutLogin(vaultfile.Login{Profile: "work", Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New("t\"\\\u00e9")}})
	})
	c := w.open(t).Contents()
	p, ok := c.Profile("work")
	if !ok || p.GitEmail != "me@acme.example" || p.Expect["github"] != "acme-me" || len(p.Also) != 1 {
		t.Errorf("profile is %+v", p)
	}
	if len(c.Rules) != 1 || c.Rules[0].Remote != "github.com/acme/*" {
		t.Errorf("rules are %+v", c.Rules)
	}
	l, ok := c.Login("work", "github", "")
	if !ok || l.Secrets["token"].Reveal() != "t\"\\\u00e9" {
		t.Errorf("login is %+v", l)
	}
}
