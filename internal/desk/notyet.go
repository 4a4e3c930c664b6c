package desk

import (
	"context"
	"time"

	"kb/internal/audit"
	"kb/internal/secret"
	"kb/tui"
)

// Not there yet.
func (d *Desk) Watch(ctx context.Context, _ func(tui.Change)) error {
	<-ctx.Done()
	return nil
}

func (d *Desk) Sessions(context.Context) ([]tui.Session, error) { return nil, nil }

func (d *Desk) StopSession(context.Context, string) error { return errNotYet }

func (d *Desk) Answer(context.Context, tui.Request, tui.Answer) error { return errNotYet }

func (d *Desk) AlwaysLine(context.Context, tui.Request) (string, error) { return "", errNotYet }

func (d *Desk) AuditTail(_ context.Context, n int, f audit.Filter) ([]audit.Event, error) {
	events, err := audit.Tail(d.o.Paths.Audit(), n, f)
	return events, d.advise(err)
}

func (d *Desk) AuditBefore(context.Context, audit.Event, int, audit.Filter) ([]audit.Event, error) {
	return nil, errNotYet
}

func (d *Desk) AuditFollow(ctx context.Context, _ func([]audit.Event)) error {
	<-ctx.Done()
	return nil
}

func (d *Desk) AuditVerify(context.Context) (string, error) { return "", errNotYet }

func (d *Desk) AuditExport(context.Context, audit.Filter) (string, error) { return "", errNotYet }

func (d *Desk) Doctor(context.Context, func(tui.Check)) error { return errNotYet }

func (d *Desk) Unlock(context.Context, secret.Value, time.Duration) (string, error) {
	return "", errNotYet
}

func (d *Desk) Lock(context.Context) (string, error) { return "", errNotYet }

func (d *Desk) Init(context.Context, tui.NewVault) (string, error) { return "", errNotYet }
