package desk

import (
	"context"

	"kb/internal/doctor"
	"kb/tui"
)

// Doctor implements tui.Backend.
func (d *Desk) Doctor(ctx context.Context, found func(tui.Check)) error {
	states := map[doctor.State]tui.CheckState{
		doctor.OK: tui.CheckOK, doctor.Warning: tui.CheckWarning, doctor.Failed: tui.CheckFailed, doctor.Skipped: tui.CheckSkipped,
	}
	doctor.Run(ctx, d.Checkup(), func(name string, r *doctor.Result) {
		if r == nil {
			found(tui.Check{Name: name, State: tui.CheckRunning})
			return
		}
		found(tui.Check{Name: name, State: states[r.State], Line: r.Line, Why: r.Why, Fix: r.Fix})
	})
	return ctx.Err()
}

// Checkup is what the doctor looks at, for kb doctor as for the dashboard.
func (d *Desk) Checkup() doctor.Options {
	return doctor.Options{
		Paths: d.o.Paths, Getenv: d.o.Getenv, Open: d.open, Now: d.o.Now, Traced: d.o.Traced, GitAttention: d.o.GitAttention,
		Config: func(data []byte) error {
			_, err := tui.ReadLooks(data, d.o.Getenv)
			return err
		},
	}
}
