package vaultfile_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"
	"github.com/google/go-cmp/cmp"

	"kb/internal/secret"
	"kb/profile"
	"kb/vaultfile"
)

// Format 1 is read by every kb from the first on. testdata/v1 holds the proof,
// and is never edited: what it holds was written by the first kb,
//
//	go test ./vaultfile -run TestMakeFixtures -make-fixtures
//
// which refuses to replace a file. The keys in it open nothing else.
var makeFixtures = flag.Bool("make-fixtures", false, "write the missing files of testdata/v1")

const v1 = "testdata/v1"

const fixturePassphrase = "correct horse battery staple"

func TestMakeFixtures(t *testing.T) {
	if !*makeFixtures {
		t.Skip("only with -make-fixtures, once for each format")
	}
	ctx := context.Background()
	write := func(name string, b []byte) {
		f, err := os.OpenFile(filepath.Join(v1, name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil || f.Close() != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(v1, 0o700); err != nil {
		t.Fatal(err)
	}
	laptop, desk, gone := newIdentity(t, "laptop"), newIdentity(t, "desk"), newIdentity(t, "gone")
	paper, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vault.age")
	w := &world{path: path, id: laptop, mem: vaultfile.NewMemory()}
	if _, err := vaultfile.Create(ctx, path, laptop, w.mem, vaultfile.Options{Name: "personal"}); err != nil {
		t.Fatal(err)
	}
	empty, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	device := func(id *vaultfile.Identity) vaultfile.Device {
		return vaultfile.Device{ID: id.ID(), Name: id.Name(), Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: vaultfile.KindDevice}
	}
	w.edit(t, func(tx *vaultfile.Tx) error {
		return errors.Join(tx.PutDevice(device(desk)), tx.PutDevice(device(gone)), tx.AddRecovery("paper", paper.Recipient().String()),
			tx.PutProfile(profile.Profile{Name: "work", GitName: "Old Name", Also: []string{"tmp"}}), tx.PutProfile(profile.Profile{Name: "temporary"}))
	})
	_, job, err := vaultfile.AddCI(ctx, path, laptop, w.mem, "build")
	if err != nil {
		t.Fatal(err)
	}
	w2 := &world{path: path, id: desk, mem: vaultfile.NewMemory()}
	if err := vaultfile.FirstTrust(ctx, w2.mem, job.VaultID, laptop.ID(), laptop.SignKey()); err != nil {
		t.Fatal(err)
	}
	w2.edit(t, func(tx *vaultfile.Tx) error {
		return errors.Join(tx.DeleteDevice(gone.ID()), tx.DeleteProfile("temporary"), putAll(tx, fixtureContents()))
	})
	full, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	// Both change what only one may: the allow-lists of a profile and a provider.
	w.open(t)
	apart := func(w *world, also, toml string) []byte {
		if err := os.WriteFile(path, full, 0o600); err != nil {
			t.Fatal(err)
		}
		w.edit(t, func(tx *vaultfile.Tx) error {
			return errors.Join(tx.PutProfile(profile.Profile{Name: "oss", GitName: "Me", GitEmail: "me@oss.example", Also: []string{also, "work"}}),
				tx.PutProvider(vaultfile.Provider{Name: "acme", TOML: toml}))
		})
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	byLaptop, byDesk := apart(w, "a", "name = \"acme\"\n# laptop\n"), apart(w2, "b", "name = \"acme\"\n# desk\n")
	merged, _, err := vaultfile.Merge(ctx, byDesk, byLaptop, desk, w2.mem)
	if err != nil {
		t.Fatal(err)
	}
	write("merged.age", merged)
	wrapped, err := laptop.Wrap(secret.New(fixturePassphrase), 10)
	if err != nil {
		t.Fatal(err)
	}
	write("identity.txt", []byte(laptop.Text().Reveal()))
	write("identity.age", wrapped)
	write("ci.txt", []byte(job.Text().Reveal()))
	write("empty.age", empty)
	write("full.age", full)
	write("full-crlf.age", bytes.ReplaceAll(full, []byte("\n"), []byte("\r\n")))
}

// fixtureGone is the device that was removed before the secrets of full.age
// were written.
const fixtureGone = "7d4a1ebd18a753f6"

// fixtureContents is what testdata/v1/full.age holds, by hand.
func fixtureContents() vaultfile.Contents {
	created := time.Date(2026, 11, 1, 8, 30, 0, 0, time.UTC)
	return vaultfile.Contents{
		Profiles: []profile.Profile{
			{Name: "oss", GitName: "Me", GitEmail: "me@oss.example"},
			{Name: "work", GitName: "Me \"the\" Ünïcode 𝄞\\", GitEmail: "me@acme.example", SigningKey: "~/.ssh/id_ed25519.pub", Also: []string{"oss"}, Egress: "listed", Expect: map[string]string{"github": "acme-me"}},
		},
		Rules: []profile.Rule{
			{ID: "r0000000a", Profile: "work", Remote: "github.com/acme/*"},
			{ID: "r0000000b", Profile: "oss", Dir: "~/oss/**", User: "me", Machine: "laptop", Agent: "claude"},
		},
		Logins: []vaultfile.Login{
			{ID: "login/oss/github", Profile: "oss", Provider: "github", Method: "key", Refs: map[string]string{"token": "env:OSS_TOKEN"}, Created: created, After: []string{fixtureGone}},
			{ID: "login/work/github", Profile: "work", Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New("example-token-1")}, Account: "acme-me", Expires: created.AddDate(1, 0, 0), Created: created, After: []string{fixtureGone}},
			{ID: "login/work/jira", Profile: "work", Provider: "jira", Method: "oauth", Client: "linear", Scopes: []string{"write", "read"}, Base: "https://acme.example", Created: created, DeviceOnly: true, After: []string{fixtureGone}},
			{ID: "login/work/jira/bot", Profile: "work", Provider: "jira", As: "bot", Method: "basic", Base: "https://acme.example", Secrets: map[string]secret.Value{"username": secret.New("bot@acme.example"), "password": secret.New("pass\tword\x7f\u2028")}, Created: created, After: []string{fixtureGone}},
		},
		Providers: []vaultfile.Provider{{Name: "acme", TOML: "name = \"acme\"\r\n# \x01\n", Replaces: "github"}},
		Clients:   []vaultfile.Client{{Name: "linear", Issuer: "https://auth.acme.example", ClientID: "c1", ClientSecret: secret.New("example-client-secret"), RegistrationToken: secret.New("example-registration"), RegistrationURI: "https://auth.acme.example/c1", Redirect: "http://127.0.0.1/callback", Expires: created, After: []string{fixtureGone}}},
		Policies:  []vaultfile.Policy{{ID: "p0000000a", Profile: "work", Effect: "limit", PerMinute: 30, Provider: "github", Methods: []string{"GET", "POST"}, Host: "api.github.com", Path: "/repos/acme/**"}},
		Settings:  []vaultfile.Setting{{Name: "default_profile", Value: "work"}, {Name: "nothing"}},
	}
}

func fixture(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(v1, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestFixturesOfFormat1(t *testing.T) {
	ctx := context.Background()
	id, err := vaultfile.ParseIdentity(fixture(t, "identity.txt"))
	if err != nil {
		t.Fatal(err)
	}
	unwrapped, err := vaultfile.Unwrap(fixture(t, "identity.age"), secret.New(fixturePassphrase))
	if err != nil || unwrapped.Text().Reveal() != id.Text().Reveal() {
		t.Fatalf("identity.age: %v", err)
	}
	job, err := vaultfile.ParseCI(fixture(t, "ci.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"full.age", "full-crlf.age"} {
		path := filepath.Join(v1, name)
		mem := vaultfile.NewMemory()
		if err := vaultfile.FirstTrust(ctx, mem, job.VaultID, id.ID(), id.SignKey()); err != nil {
			t.Fatal(err)
		}
		byDevice, err := vaultfile.Open(ctx, path, id, mem)
		if err != nil {
			t.Fatal(err)
		}
		byJob, err := vaultfile.OpenCI(ctx, path, job)
		if err != nil {
			t.Fatal(err)
		}
		for who, f := range map[string]*vaultfile.File{"device": byDevice, "job": byJob} {
			c := f.Contents()
			if d := cmp.Diff(fixtureContents(), c, compare); d != "" {
				t.Errorf("%s, %s:\n%s", name, who, d)
			}
			kinds := map[string]string{}
			for _, d := range c.Devices {
				kinds[d.Name] = d.Kind
			}
			if d := cmp.Diff(map[string]string{"laptop": "device", "desk": "device", "build": "ci", "paper": "recovery"}, kinds); d != "" {
				t.Errorf("%s, %s: devices:\n%s", name, who, d)
			}
			if f.Name() != "personal" || len(f.Trusted()) != 2 {
				t.Errorf("%s, %s: vault %q trusting %v", name, who, f.Name(), f.Trusted())
			}
		}
		// It is older by now than the full one that this memory accepted.
		if _, err := vaultfile.Open(ctx, filepath.Join(v1, "empty.age"), id, mem); !errors.Is(err, vaultfile.ErrRollback) {
			t.Errorf("empty.age after %s: %v", name, err)
		}
	}
	// What two devices edited apart, merged: lists of what is allowed keep both
	// versions until someone settles it.
	mem := vaultfile.NewMemory()
	if err := vaultfile.FirstTrust(ctx, mem, job.VaultID, id.ID(), id.SignKey()); err != nil {
		t.Fatal(err)
	}
	f, err := vaultfile.Open(ctx, filepath.Join(v1, "merged.age"), id, mem)
	if err != nil {
		t.Fatal(err)
	}
	c := f.Contents()
	if p, _ := c.Profile("oss"); !slices.Equal(p.Also, []string{"work"}) {
		t.Errorf("merged.age: oss may also be %v, want what both said", p.Also)
	}
	var conflicts []string
	for _, conflict := range c.Conflicts {
		conflicts = append(conflicts, fmt.Sprintf("%s/%s %s: %d", conflict.Type, conflict.Key, conflict.Field, len(conflict.Versions)))
	}
	if d := cmp.Diff([]string{"profile/oss also: 2", "provider/acme definition: 2"}, conflicts); d != "" {
		t.Errorf("merged.age: conflicts:\n%s", d)
	}

	mem = vaultfile.NewMemory()
	if err := vaultfile.FirstTrust(ctx, mem, job.VaultID, id.ID(), id.SignKey()); err != nil {
		t.Fatal(err)
	}
	f, err = vaultfile.Open(ctx, filepath.Join(v1, "empty.age"), id, mem)
	if err != nil {
		t.Fatal(err)
	}
	if c := f.Contents(); len(c.Devices) != 1 || len(c.Profiles) != 0 {
		t.Errorf("empty.age holds %+v", c)
	}
}

// A second reader, written from docs/format.md with age and encoding/json
// alone: it checks the signature, each device's vouchers, and reads a secret.
func TestSecondReader(t *testing.T) {
	ids, err := age.ParseIdentities(bytes.NewReader(fixture(t, "identity.txt")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := age.Decrypt(armor.NewReader(bytes.NewReader(fixture(t, "full.age"))), ids...)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Format  int            `json:"format"`
		Clock   map[string]int `json:"clock"`
		Signer  string         `json:"signer"`
		VaultID string         `json:"vault_id"`
		Sig     string         `json:"sig"`
		Records []struct {
			ID      string `json:"id"`
			Type    string `json:"type"`
			Deleted bool   `json:"deleted"`
			HLC     int64  `json:"hlc"`
			Device  string `json:"device"`
			Stamps  map[string][2]any
			Value   struct {
				Grant struct {
					Recipient string `json:"recipient"`
					SignKey   string `json:"sign_key"`
				} `json:"grant"`
				Vouched    map[string]string `json:"vouched"`
				Credential struct {
					Secrets map[string]string `json:"secrets"`
				} `json:"credential"`
			} `json:"value"`
		} `json:"records"`
	}
	if err := json.Unmarshal(payload, &v); err != nil {
		t.Fatal(err)
	}
	if v.Format != 1 || v.Clock[v.Signer] == 0 {
		t.Errorf("format %d, signer %q, clock %v", v.Format, v.Signer, v.Clock)
	}
	keys := map[string]ed25519.PublicKey{}
	for _, rec := range v.Records {
		if rec.Type == "device" && rec.Value.Grant.SignKey != "" {
			k, err := base64.StdEncoding.DecodeString(rec.Value.Grant.SignKey)
			if err != nil {
				t.Fatal(err)
			}
			keys[strings.TrimPrefix(rec.ID, "device/")] = k
		}
	}
	sig, err := base64.StdEncoding.DecodeString(v.Sig)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(bytes.Replace(payload, []byte(`,"sig":"`+v.Sig+`"`), nil, 1))
	if !ed25519.Verify(keys[v.Signer], append([]byte("kb vault v1\n"), digest[:]...), sig) {
		t.Error("the signature does not verify")
	}
	tombstones, vouchers, found := 0, 0, false
	for _, rec := range v.Records {
		if rec.Deleted {
			tombstones++
		}
		if at := time.UnixMilli(rec.HLC >> 10); at.Year() < 2026 || at.Year() > 2030 {
			t.Errorf("%s was written at %v", rec.ID, at)
		}
		if rec.ID == "login/work/github" {
			found = rec.Value.Credential.Secrets["token"] == "example-token-1"
		}
		for by, s := range rec.Value.Vouched {
			raw, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				t.Fatal(err)
			}
			id := strings.TrimPrefix(rec.ID, "device/")
			msg := `{"id":"` + id + `","recipient":"` + rec.Value.Grant.Recipient + `","sign_key":"` + rec.Value.Grant.SignKey + `","vault_id":"` + v.VaultID + `"}`
			if rec.Value.Grant.SignKey == "" {
				msg = strings.Replace(msg, `"sign_key":"",`, "", 1)
			}
			if !ed25519.Verify(keys[by], []byte("kb device v1\n"+msg), raw) {
				t.Errorf("%s: the signature of %s does not verify", id, by)
			}
			vouchers++
		}
	}
	if tombstones != 2 || vouchers != 8 || !found {
		t.Errorf("%d tombstones, %d vouchers, secret found: %v", tombstones, vouchers, found)
	}
}
