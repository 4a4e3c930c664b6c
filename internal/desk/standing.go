package desk

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/profile"
	"kb/tui"
)

// Standing implements tui.Backend. That there is no vault, or none that can be
// opened, is an answer and no error.
func (d *Desk) Standing(ctx context.Context) (tui.Standing, error) {
	s := tui.Standing{Path: d.o.Paths.Vault(), Dir: d.o.Dir}
	b, err := d.open(ctx)
	if err == nil && b.Locked() {
		d.drop(time.Time{})
		b, err = d.open(ctx)
	}
	if err == nil {
		err = d.advise(closed(b))
	}
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return s, err
		}
		s.State, s.Reason, s.Fix = stateOf(err), err.Error(), hint.Fix(err)
		s.Wrapped = s.State == tui.VaultLocked
		if s.State == tui.VaultNone {
			d.suggest(ctx, &s)
		}
		return s, nil
	}
	s.State, s.Path, s.Device, s.Wrapped = tui.VaultOpen, b.VaultPath(), b.DeviceName(), b.IdentityHeld()
	d.mu.Lock()
	if s.Wrapped && d.until.After(d.o.Now()) {
		s.Locks = d.until
	}
	notes := slices.Clone(d.notes)
	d.mu.Unlock()
	decision, err := b.Decide(ctx, broker.DecideSpec{Dir: d.o.Dir, Environ: d.o.Environ, ReportOnly: true})
	if err != nil {
		s.Why = err.Error()
	} else {
		s.Profile, s.Why = b.Show(decision.Match.Profile), decision.Match.Reason
	}
	if len(b.All().Profiles) == 0 {
		d.suggest(ctx, &s)
	}
	s.Attention = append(notes, d.looking.at(b.Attention)...)
	return s, nil
}

// suggest fills in what a first profile could be made of.
func (d *Desk) suggest(ctx context.Context, s *tui.Standing) {
	git, err := exec.LookPath("git")
	if err != nil {
		return
	}
	config := func(key string) string {
		cmd := exec.CommandContext(ctx, git, "config", "--get", key)
		cmd.Dir, cmd.Env = d.o.Dir, d.o.Environ
		out, _ := cmd.Output()
		return strings.TrimSpace(string(out))
	}
	s.GitName, s.GitEmail = config("user.name"), config("user.email")
	env := profile.Env{Home: d.o.Paths.Home, Environ: d.o.Environ, Git: git}
	if at, err := profile.ReadWorkspace(ctx, d.o.Dir, env); err == nil {
		if r, ok := at.Remote(at.Primary); ok {
			s.Remote = r.Normal
		}
	}
}

// closed is why no vault can be used any more that was open once: the file is
// gone, or is not one that this device trusts. While one of several can be, the
// others are what Attention tells of.
func closed(b *broker.Broker) error {
	var why error
	for _, v := range b.Vaults() {
		if v.Err == nil {
			return nil
		}
		if why == nil || v.Default {
			why = v.Err
		}
	}
	return why
}

// stateOf is what an error of opening the vault means. A vault that this device
// knows and whose file is gone is no first run, nor is one that it asked to be
// let into.
func stateOf(err error) tui.VaultState {
	var missing *broker.MissingVaultError
	switch {
	case errors.As(err, &missing), errors.Is(err, broker.ErrNotApproved), errors.Is(err, broker.ErrNeedsCode):
		return tui.VaultRefused
	case errors.Is(err, broker.ErrNoIdentity), errors.Is(err, broker.ErrNoVault):
		return tui.VaultNone
	case errors.Is(err, broker.ErrLocked):
		return tui.VaultLocked
	}
	return tui.VaultRefused
}

// attentionPatience is how long Standing waits for what a person should see to.
// Logins whose secrets are in another manager may take seconds to be looked at;
// the rest is there within it.
const attentionPatience = 50 * time.Millisecond

// attention looks at what a person should see to, one look at a time.
type attention struct {
	beside func(func()) // runs a look

	mu      sync.Mutex
	lines   []string
	looking chan struct{}   // nil: nobody looks
	next    func() []string // asked for during a look, which may have passed what changed
	told    func()          // is told when the lines are others than were given; may be nil
}

// at is what a person should see to, as far as it is known soon.
func (a *attention) at(see func() []string) []string {
	a.mu.Lock()
	if a.looking == nil {
		a.looking = make(chan struct{})
		a.beside(func() { a.look(see) })
	} else {
		a.next = see
	}
	done := a.looking
	a.mu.Unlock()
	patience := time.NewTimer(attentionPatience)
	defer patience.Stop()
	select {
	case <-done:
	case <-patience.C:
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines
}

// look looks until nobody has asked since a look began.
func (a *attention) look(see func() []string) {
	for see != nil {
		lines := see()
		a.mu.Lock()
		changed, told, done := !slices.Equal(a.lines, lines), a.told, a.looking
		a.lines, a.looking = lines, nil
		if see, a.next = a.next, nil; see != nil {
			a.looking = make(chan struct{})
		}
		a.mu.Unlock()
		close(done)
		if changed && told != nil {
			told()
		}
	}
}
