package broker

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/vaultfile"
)

// desk is a second device of the fixture's vault.
func (f *fixture) desk() (id *vaultfile.Identity, memory vaultfile.Memory) {
	f.Helper()
	id, err := vaultfile.NewIdentity("desk", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.edit(func(tx *vaultfile.Tx) error {
		return tx.PutDevice(vaultfile.Device{ID: id.ID(), Name: "desk", Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: vaultfile.KindDevice})
	})
	memory = vaultfile.NewMemory()
	if err := vaultfile.FirstTrust(f.Context(), memory, f.broker.selected.file.ID(), f.broker.DeviceID(), f.broker.identity.SignKey()); err != nil {
		f.Fatal(err)
	}
	if _, err := vaultfile.Open(f.Context(), f.broker.vaultPath, id, memory); err != nil {
		f.Fatal(err)
	}
	return id, memory
}

// apart has desk and this device each change the vault without the other's
// change, and leaves desk's file in place.
func (f *fixture) apart(byDesk, byLaptop func(*vaultfile.Tx) error) {
	f.Helper()
	id, memory := f.desk()
	base, err := os.ReadFile(f.broker.vaultPath)
	if err != nil {
		f.Fatal(err)
	}
	copied := filepath.Join(f.TempDir(), "vault.age")
	if err := os.WriteFile(copied, base, 0o600); err != nil {
		f.Fatal(err)
	}
	if _, err := vaultfile.Edit(f.Context(), copied, id, memory, byDesk); err != nil {
		f.Fatal(err)
	}
	f.edit(byLaptop)
	theirs, err := os.ReadFile(copied)
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(f.broker.vaultPath, theirs, 0o600); err != nil {
		f.Fatal(err)
	}
	f.broker = f.open()
}

func put(p vaultfile.Provider) func(*vaultfile.Tx) error {
	return func(tx *vaultfile.Tx) error { return tx.PutProvider(p) }
}

// TestDefinitionInDisputeIsNotUsed: two devices gave a provider two sets of
// hosts. Neither gets a credential, its hosts are refused and not sent bare,
// and all else goes on.
func TestDefinitionInDisputeIsNotUsed(t *testing.T) {
	const host = "eu.forge.acme.example"
	clash := strings.ReplaceAll(ownProvider, "acme-forge", "acme-two")
	for name, c := range map[string]struct {
		byDesk, byLaptop vaultfile.Provider
		settle           func(b *Broker) error
	}{
		"changed on both": {
			vaultfile.Provider{Name: "acme-forge", TOML: ownProvider + "\n# desk\n"},
			vaultfile.Provider{Name: "acme-forge", TOML: ownProvider + "\n# laptop\n"},
			func(b *Broker) error {
				return b.AddProvider(t.Context(), vaultfile.Provider{Name: "acme-forge", TOML: ownProvider})
			},
		},
		"two for the same hosts": {
			vaultfile.Provider{Name: "acme-two", TOML: clash},
			vaultfile.Provider{Name: "acme-forge", TOML: ownProvider + "\n# laptop\n"},
			func(b *Broker) error {
				return b.Edit(t.Context(), func(tx *vaultfile.Tx) error { return tx.DeleteProvider("acme-two") })
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			api := f.world.Serve(host, testkit.OriginConfig{Handler: testkit.Echo()})
			f.edit(put(vaultfile.Provider{Name: "acme-forge", TOML: ownProvider}))
			token := testkit.NewCanary("acme_", 36)
			f.edit(func(tx *vaultfile.Tx) error {
				return tx.PutLogin(vaultfile.Login{Profile: "work", Provider: "acme-forge", Method: "token", Secrets: map[string]secret.Value{"token": secret.New(token)}})
			})
			ask := func() answer {
				t.Helper()
				s := f.start(f.workDir)
				defer s.Close()
				return f.get(s, "", http.MethodGet, "https://"+host+"/x", nil)
			}
			// Control: undisputed, the credential arrives.
			if a := ask(); a.status != http.StatusOK || api.Requests()[0].Header.Get("X-Acme-Token") != token {
				t.Fatalf("control: %d", a.status)
			}
			f.apart(put(c.byDesk), put(c.byLaptop))
			before := len(api.Requests())
			if a := ask(); a.status == http.StatusOK || len(api.Requests()) != before {
				t.Errorf("a request reached the host, status %d", a.status)
			}
			s := f.start(f.workDir)
			if a := f.get(s, "", http.MethodGet, "https://api.github.com/user", nil); a.status != http.StatusOK {
				t.Errorf("another provider: %d", a.status)
			}
			s.Close()
			said := false
			for _, state := range f.broker.LoginStates() {
				if state.Login.Provider == "acme-forge" {
					said = state.State == StateNeedsLogin && strings.Contains(state.Reason, "kb provider")
				}
			}
			if !said {
				t.Error("kb status does not say how to settle it")
			}
			if err := c.settle(f.broker); err != nil {
				t.Fatal(err)
			}
			if a := ask(); a.status != http.StatusOK {
				t.Errorf("after it was settled: %d", a.status)
			}
		})
	}
}
