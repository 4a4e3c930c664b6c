package desk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/hint"
)

// gather is how long events are gathered before they are handed over: a screen
// shows twenty changes a second and no more, and at a thousand events a second
// each would else be a message of its own.
const gather = 50 * time.Millisecond

// AuditTail implements tui.Backend.
func (d *Desk) AuditTail(_ context.Context, n int, f audit.Filter) ([]audit.Event, error) {
	events, err := audit.Tail(d.o.Paths.Audit(), n, f)
	return events, d.advise(err)
}

// AuditBefore implements tui.Backend.
func (d *Desk) AuditBefore(_ context.Context, e audit.Event, n int, f audit.Filter) ([]audit.Event, error) {
	events, err := audit.Before(d.o.Paths.Audit(), e, n, f)
	return events, d.advise(err)
}

// AuditFollow implements tui.Backend.
func (d *Desk) AuditFollow(ctx context.Context, events func([]audit.Event)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var batch []audit.Event
	some := make(chan struct{}, 1)
	followed := make(chan error, 1)
	d.beside(func() {
		defer close(followed)
		followed <- audit.FollowFrom(ctx, d.o.Paths.Audit(), audit.Filter{}, func() { events(nil) }, func(e audit.Event) error {
			mu.Lock()
			batch = append(batch, e)
			mu.Unlock()
			select {
			case some <- struct{}{}:
			default:
			}
			return nil
		})
	})
	for {
		select {
		case err := <-followed: // nil where it has panicked
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return d.advise(err)
		case <-some:
		}
		pause := time.NewTimer(gather)
		select {
		case <-ctx.Done():
			pause.Stop()
			_ = error(<-followed) // it was told to end
			return nil
		case <-pause.C:
		}
		mu.Lock()
		all := batch
		batch = nil
		mu.Unlock()
		events(all)
	}
}

// errAltered says that the audit is not as kb wrote it.
var errAltered = errors.New("verify audit: it is not what kb wrote")

// AuditVerify implements tui.Backend.
func (d *Desk) AuditVerify(ctx context.Context) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	report, err := b.VerifyAudit()
	if err != nil {
		return "", d.advise(err)
	}
	for _, f := range report.Files {
		if f.Status != audit.Intact {
			return "", hint.Wrap(fmt.Errorf("%w: %s: %s: %s", errAltered, f.Status, f.File, f.Reason), "run kb audit verify: it names each file and line")
		}
	}
	return fmt.Sprintf("audit is whole: %d lines in %d files", report.Lines, len(report.Files)), nil
}

// AuditExport implements tui.Backend. The file is beside the audit, which no
// repository holds: paths and hosts of one client are nothing for another's.
func (d *Desk) AuditExport(ctx context.Context, f audit.Filter) (string, error) {
	folder := filepath.Join(d.o.Paths.State, "export")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", d.advise(fmt.Errorf("export audit: %w", err))
	}
	path := filepath.Join(folder, "audit-"+d.o.Now().Format("20060102-150405")+".jsonl")
	if _, _, err := audit.Export(ctx, d.o.Paths.Audit(), f, path, true, nil); err != nil {
		return "", d.advise(err)
	}
	return path, nil
}
