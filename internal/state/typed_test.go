package state_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"kb/internal/state"
	"kb/vaultfile"
)

var (
	ctx  = context.Background()
	noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
)

// The state's memory is the one that a vault asks for.
var _ vaultfile.Memory = (*state.VaultMemory)(nil)

func TestPins(t *testing.T) {
	s := newStore(t)
	p := state.Pin{CommonDir: "/home/me/src/api/.git", Remotes: []string{"github.com/acme/api"}, Profile: "work", Rule: "r1", Time: noon}
	q := state.Pin{CommonDir: "/home/me/a", Profile: "oss", Time: noon}
	for _, pin := range []state.Pin{p, q} {
		if err := s.PutPin(pin); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok, err := s.Pin(p.CommonDir); !ok || err != nil || !cmp.Equal(got, p) {
		t.Errorf("Pin = %+v, %v, %v", got, ok, err)
	}
	if _, ok, err := s.Pin("/home/me"); ok || err != nil {
		t.Errorf("no pin: %v, %v", ok, err)
	}
	if got, err := s.Pins(); err != nil || !cmp.Equal(got, []state.Pin{q, p}) {
		t.Errorf("Pins = %+v, %v", got, err)
	}
	if err := s.RemovePin(p.CommonDir); err != nil {
		t.Fatal(err)
	}
	if err := s.RemovePin(p.CommonDir); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	for _, dir := range []string{"", "rel", "/a/../b", "/a/", "/" + strings.Repeat("x", 5000)} {
		if err := s.PutPin(state.Pin{CommonDir: dir, Profile: "work"}); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("pin of %.20q: %v", dir, err)
		}
	}
	if err := s.PutPin(state.Pin{CommonDir: "/a"}); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("pin to nobody: %v", err)
	}
}

// A damaged pin is an error: taken for "no pin yet", it would pin anew what
// an attacker prefers.
func TestDamagedPinIsNotNoPin(t *testing.T) {
	s := newStore(t)
	if err := s.PutPin(state.Pin{CommonDir: "/a", Profile: "work"}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(files(t, s)[0], []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Pin("/a"); ok || !errors.Is(err, state.ErrTampered) {
		t.Errorf("Pin: %v, %v", ok, err)
	}
	if _, err := s.Pins(); !errors.Is(err, state.ErrTampered) {
		t.Errorf("Pins: %v", err)
	}
}

func certificate(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestSettings(t *testing.T) {
	s := newStore(t)
	if v, err := s.Settings(); err != nil || !cmp.Equal(v, state.Settings{}) {
		t.Errorf("at first: %+v, %v", v, err)
	}
	ca := certificate(t)
	good := map[string][]string{
		"git_dir":   {"/home/ada/.dotfiles", ""},
		"isolation": {"auto", "off", "hardened", "hidden", "locked", ""}, "resolver": {"9.9.9.9", "9.9.9.9:53", "::1", "[2620:fe::fe]:53", ""},
		"upstream_ca": {ca, ca + ca, ""}, "upstream_proxy": {"http://proxy.acme.example:3128", "https://u:p@proxy.acme.example", ""}, "hooks": {"claude", "claude,codex", ""},
	}
	bad := map[string][]string{
		"git_dir":   {".dotfiles", "~/.dotfiles", "/a\x00b"},
		"isolation": {"none", "Hidden"}, "resolver": {"dns.acme.example", "9.9.9.9:0", "9.9.9.9:x"},
		"upstream_ca":    {"/etc/ca.pem", ca + "x", strings.Replace(ca, "CERTIFICATE", "PRIVATE KEY", 2), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"},
		"upstream_proxy": {"proxy:3128", "socks5://x", "http://", "http://x/path", "http://x?q=1", "http://x:0", "http://x:"},
		"hooks":          {"/bin/sh", "a b", "a;b"},
	}
	for _, k := range state.SettingKeys() {
		for _, v := range good[k] {
			if err := s.PutSetting(ctx, k, v); err != nil {
				t.Errorf("%s = %.30q: %v", k, v, err)
			}
			all, err := s.Settings()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := all.Get(k); err != nil || got != v && !strings.Contains(v, "@") {
				t.Errorf("%s = %.30q reads %.30q, %v", k, v, got, err)
			}
		}
		if err := s.PutSetting(ctx, k, good[k][0]); err != nil {
			t.Fatal(err)
		}
		for _, v := range bad[k] {
			if err := s.PutSetting(ctx, k, v); !errors.Is(err, state.ErrInvalid) {
				t.Errorf("%s = %.30q: %v", k, v, err)
			}
		}
	}
	want := state.Settings{UpstreamCA: ca, UpstreamProxy: "http://proxy.acme.example:3128", Resolver: "9.9.9.9", Isolation: "auto", GitDir: "/home/ada/.dotfiles", Hooks: []string{"claude"}}
	if v, err := s.Settings(); err != nil || !cmp.Equal(v, want) {
		t.Errorf("at last: %s, %v", cmp.Diff(want, v), err)
	}
	if err := s.PutSetting(ctx, "upstream_proxy", "http://u:kb-canary@proxy.acme.example"); err != nil {
		t.Fatal(err)
	}
	v, err := s.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if shown, _ := v.Get("upstream_proxy"); strings.Contains(shown, "canary") || !strings.Contains(v.UpstreamProxy, "canary") {
		t.Errorf("the proxy is shown as %q", shown)
	}
	if err := s.PutSetting(ctx, "theme", "dark"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("a setting that is none: %v", err)
	}
}

func TestVaults(t *testing.T) {
	s := newStore(t)
	put := func(v state.Vault) {
		t.Helper()
		if err := s.PutVault(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(want ...state.Vault) {
		t.Helper()
		if got, err := s.Vaults(); err != nil || !cmp.Equal(got, want) {
			t.Errorf("vaults:\n%s %v", cmp.Diff(want, got), err)
		}
	}
	if _, ok, err := s.DefaultVault(); ok || err != nil {
		t.Errorf("at first: %v, %v", ok, err)
	}
	put(state.Vault{Name: "personal", Path: "/p"})
	put(state.Vault{Name: "acme", Path: "/a"})
	expect(state.Vault{Name: "acme", Path: "/a"}, state.Vault{Name: "personal", Path: "/p", Default: true})
	put(state.Vault{Name: "personal", Path: "/p2"}) // moved; still the default
	put(state.Vault{Name: "acme", Path: "/a", Default: true})
	expect(state.Vault{Name: "acme", Path: "/a", Default: true}, state.Vault{Name: "personal", Path: "/p2"})
	m, err := s.VaultMemory("acme")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Accept(ctx, []byte("note"), []byte("file")); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveVault(ctx, "acme"); err != nil {
		t.Fatal(err)
	}
	if note, err := m.Accepted(ctx); note != nil || err != nil {
		t.Errorf("what was remembered of it stays: %q, %v", note, err)
	}
	expect(state.Vault{Name: "personal", Path: "/p2", Default: true})
	if err := s.RemoveVault(ctx, "acme"); !errors.Is(err, state.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
	for _, v := range []state.Vault{{Name: "", Path: "/x"}, {Name: "x", Path: "rel"}, {Name: "a\nb", Path: "/x"}} {
		if err := s.PutVault(ctx, v); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("%+v: %v", v, err)
		}
	}
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { put(state.Vault{Name: string(rune('a' + i)), Path: "/x"}) })
	}
	wg.Wait()
	if vs, err := s.Vaults(); err != nil || len(vs) != 11 {
		t.Errorf("%d of 11 vaults, %v", len(vs), err)
	}
}

// The whole of it: a vault opened with what this device remembers on disk.
func TestVaultWithMemoryOnDisk(t *testing.T) {
	id, err := vaultfile.NewIdentity("laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	reopen := func() *state.VaultMemory {
		t.Helper()
		s, err := state.Open(filepath.Join(dir, "state"), id.DeriveKey("state"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := s.VaultMemory("personal")
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	path := filepath.Join(dir, "vault.age")
	if _, err := vaultfile.Create(ctx, path, id, reopen(), vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Edit(ctx, path, id, reopen(), func(tx *vaultfile.Tx) error {
		return tx.PutSetting(vaultfile.Setting{Name: "a", Value: "b"})
	}); err != nil {
		t.Fatal(err)
	}
	now, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := reopen().Kept(context.Background()); err != nil || !bytes.Equal(kept, now) {
		t.Errorf("the kept copy: %d bytes, %v", len(kept), err)
	}
	if err := os.WriteFile(path, old, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Open(ctx, path, id, reopen()); !errors.Is(err, vaultfile.ErrRollback) {
		t.Errorf("an older vault: %v", err)
	}
	if kept, err := reopen().Kept(context.Background()); err != nil || !bytes.Equal(kept, now) {
		t.Errorf("the rollback was written over the kept copy: %v", err)
	}
	// A note that was tampered with is an error, not a first time.
	matches, err := filepath.Glob(filepath.Join(dir, "state", "accepted", "*"))
	if err != nil || len(matches) != 2 {
		t.Fatalf("%q, %v", matches, err)
	}
	for _, m := range matches {
		if err := os.WriteFile(m, []byte("kbs1"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := vaultfile.Open(ctx, path, id, reopen()); !errors.Is(err, state.ErrTampered) {
		t.Errorf("a tampered note: %v", err)
	}
}

func TestAgents(t *testing.T) {
	s := newStore(t)
	k := state.LoginKey{Vault: "main", Profile: "work", Provider: "anthropic"}
	a := state.Agent{Source: "claude-code", Path: "/home/me/.claude/.credentials.json", Access: "a", Refresh: "r", Backup: "/b"}
	if _, ok, err := s.Agent(k); ok || err != nil {
		t.Errorf("no agent: %v, %v", ok, err)
	}
	if err := s.PutAgent(ctx, k, a); err != nil {
		t.Fatal(err)
	}
	if got, ok, err := s.Agent(k); !ok || err != nil || got != a {
		t.Errorf("Agent = %+v, %v, %v", got, ok, err)
	}
	other := k
	other.As = "two"
	if _, ok, err := s.Agent(other); ok || err != nil {
		t.Errorf("another login's: %v, %v", ok, err)
	}
	if all, err := s.Agents(); err != nil || len(all) != 1 || all[0] != a {
		t.Errorf("Agents = %+v, %v", all, err)
	}
	if err := s.DeleteAgent(k); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := s.Agent(k); ok || err != nil {
		t.Errorf("a deleted one: %v, %v", ok, err)
	}
}

func TestAnchors(t *testing.T) {
	s := newStore(t)
	if _, ok, err := s.Anchor("program/op"); ok || err != nil {
		t.Errorf("an empty store has an anchor: %v, %v", ok, err)
	}
	for _, a := range [][2]string{{"program/op", "/usr/bin/op"}, {"vault-address", "https://vault.example"}, {"program/op", "/opt/op"}} {
		if err := s.SetAnchor(t.Context(), a[0], a[1]); err != nil {
			t.Fatal(err)
		}
	}
	if got, ok, err := s.Anchor("program/op"); got != "/opt/op" || !ok || err != nil {
		t.Errorf("Anchor = %q, %v, %v", got, ok, err)
	}
	if err := s.SetAnchor(t.Context(), "program/op", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Anchors(); err != nil || len(got) != 1 {
		t.Errorf("after forgetting one: %v, %v", got, err)
	}
}
