package desk

import (
	"context"
	"errors"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/tui"
)

// Standing implements tui.Backend. That there is no vault, or none that can be
// opened, is an answer and no error.
func (d *Desk) Standing(ctx context.Context) (tui.Standing, error) {
	s := tui.Standing{Path: d.o.Paths.Vault(), Dir: d.o.Dir}
	b, err := d.open(ctx)
	if err != nil {
		s.State, s.Reason, s.Fix = stateOf(err), err.Error(), hint.Fix(err)
		s.Wrapped = s.State == tui.VaultLocked
		return s, nil
	}
	s.State, s.Path, s.Device, s.Wrapped = tui.VaultOpen, b.VaultPath(), b.DeviceName(), b.IdentityHeld()
	decision, err := b.Decide(ctx, broker.DecideSpec{Dir: d.o.Dir, Environ: d.o.Environ, ReportOnly: true})
	if err != nil {
		s.Why = err.Error()
	} else {
		s.Profile, s.Why = b.Show(decision.Match.Profile), decision.Match.Reason
	}
	s.Attention = b.Attention()
	return s, nil
}

// stateOf is what an error of opening the vault means. A vault that this device
// knows and whose file is gone is no first run.
func stateOf(err error) tui.VaultState {
	var missing *broker.MissingVaultError
	switch {
	case errors.As(err, &missing):
		return tui.VaultRefused
	case errors.Is(err, broker.ErrNotApproved), errors.Is(err, broker.ErrNeedsCode):
		return tui.VaultRefused // it asked to be let in
	case errors.Is(err, broker.ErrNoIdentity), errors.Is(err, broker.ErrNoVault):
		return tui.VaultNone
	case errors.Is(err, broker.ErrLocked):
		return tui.VaultLocked
	}
	return tui.VaultRefused
}
