package desk_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/broker"
	"kb/internal/desk"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/profile"
	"kb/tui"
	"kb/vaultfile"
)

// place is a home with a desk at it.
type place struct {
	t     *testing.T
	paths broker.Paths
	env   map[string]string
	desk  *desk.Desk
}

func newPlace(t *testing.T) *place {
	t.Helper()
	home := t.TempDir()
	p := &place{t: t, env: map[string]string{"HOME": home, "XDG_RUNTIME_DIR": filepath.Join(home, "run")}}
	var err error
	if p.paths, err = broker.FindPaths(func(name string) string { return p.env[name] }); err != nil {
		t.Fatal(err)
	}
	p.desk = desk.New(desk.Options{
		Paths: p.paths, Getenv: func(name string) string { return p.env[name] }, Environ: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH")},
		Dir: home, Executable: "/bin/true",
	})
	return p
}

// broker is another kb at the same vault.
func (p *place) broker() *broker.Broker {
	p.t.Helper()
	b, err := broker.Open(p.t.Context(), broker.Options{Paths: p.paths, Getenv: func(name string) string { return p.env[name] }})
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *place) make(passphrase string) {
	p.t.Helper()
	v := tui.NewVault{Device: "desk"}
	if passphrase != "" {
		v.Passphrase = secret.New(passphrase)
	}
	if note, err := p.desk.Init(p.t.Context(), v); err != nil || note == "" {
		p.t.Fatalf("Init: %q, %v", note, err)
	}
}

func (p *place) standing() tui.Standing {
	p.t.Helper()
	s, err := p.desk.Standing(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return s
}

// watched runs Watch and gathers what it tells.
type watched struct {
	mu   sync.Mutex
	more chan struct{}
	seen tui.Change
}

func (p *place) watch() *watched {
	w := &watched{more: make(chan struct{}, 100)}
	ctx, cancel := context.WithCancel(p.t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- p.desk.Watch(ctx, func(c tui.Change) {
			w.mu.Lock()
			w.seen |= c
			w.mu.Unlock()
			w.more <- struct{}{}
		})
	}()
	p.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			p.t.Errorf("Watch: %v", err)
		}
	})
	return w
}

// until waits for a change after which ok holds.
func (w *watched) until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for !ok() {
		select {
		case <-w.more:
		case <-patience.C:
			t.Fatalf("nobody told of it: %s", what)
		}
	}
}

func (p *place) addProfile(name string) {
	p.t.Helper()
	err := p.broker().Edit(p.t.Context(), func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{Name: name}) })
	if err != nil {
		p.t.Fatal(err)
	}
}

// profile reports whether the dashboard knows of a profile.
func (p *place) profile() bool {
	return !slices.ContainsFunc(p.standing().Attention, func(line string) bool { return strings.HasPrefix(line, "no profile yet") })
}

// told waits until the dashboard tells of something to see to: a busy machine may
// need more than one look.
func (p *place) told(begin string) {
	p.t.Helper()
	testkit.Eventually(p.t, 10*time.Second, "to be told: "+begin, func() bool {
		return slices.ContainsFunc(p.standing().Attention, func(line string) bool { return strings.HasPrefix(line, begin) })
	})
}

// TestStandingTellsWhatThereIs goes from nothing to a vault, and to one that is
// not the one this device trusts.
func TestStandingTellsWhatThereIs(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if s := p.standing(); s.State != tui.VaultNone || s.Path != p.paths.Vault() {
		t.Fatalf("without a vault: %+v", s)
	}
	p.make("")
	p.told("no profile yet")
	if s := p.standing(); s.State != tui.VaultOpen || s.Device != "desk" || s.Wrapped {
		t.Fatalf("with a new vault: %+v", s)
	}
	older, err := os.ReadFile(p.paths.Vault())
	if err != nil {
		t.Fatal(err)
	}
	w := p.watch()
	w.until(t, "the vault is open", func() bool { return p.standing().State == tui.VaultOpen })
	p.addProfile("work")
	w.until(t, "another process added a profile", p.profile)
	// An older version in its place: what is open is not taken for good.
	if err := os.WriteFile(p.paths.Vault(), older, 0o600); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the vault was put back", func() bool {
		s := p.standing()
		return s.State == tui.VaultRefused && s.Reason != ""
	})
	if err := os.Remove(p.paths.Vault()); err != nil {
		t.Fatal(err)
	}
	w.until(t, "the vault is gone, and that is no first run", func() bool {
		s := p.standing()
		return s.State == tui.VaultRefused && s.Reason != ""
	})
}

// TestVaultIsSeenThroughALink: dotfiles are often linked, and git writes to the
// file behind the link.
func TestVaultIsSeenThroughALink(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	real := filepath.Join(p.paths.Home, "dotfiles", "vault.age")
	if _, err := p.desk.Init(t.Context(), tui.NewVault{Path: real}); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(p.paths.Home, "link")
	if err := os.Symlink(filepath.Dir(real), link); err != nil {
		t.Fatal(err)
	}
	w := p.watch()
	w.until(t, "the vault is open", func() bool { return p.standing().State == tui.VaultOpen })
	p.told("no profile yet")
	p.addProfile("work")
	w.until(t, "another process added a profile", p.profile)
}

// TestInitElsewhereIsSeen: a vault that another kb makes ends the first run here,
// though neither of its folders was there.
func TestInitElsewhereIsSeen(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	w := p.watch()
	if s := p.standing(); s.State != tui.VaultNone {
		t.Fatalf("without a vault: %+v", s)
	}
	other := newPlace(t)
	other.paths, other.env = p.paths, p.env
	if _, err := broker.Init(t.Context(), broker.InitOptions{Options: broker.Options{Paths: p.paths, Getenv: func(n string) string { return p.env[n] }}, Device: "there"}); err != nil {
		t.Fatal(err)
	}
	w.until(t, "another process made a vault", func() bool { return p.standing().State == tui.VaultOpen })
}
