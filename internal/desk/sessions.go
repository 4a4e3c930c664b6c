package desk

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"kb/internal/audit"
	"kb/internal/broker"
	"kb/internal/control"
	"kb/internal/hint"
	"kb/tui"
)

// statusPatience bounds the wait for a session that does not answer: it is
// suspended, or the machine is busy.
const statusPatience = time.Second

// controlDir is the folder of the sessions' sockets.
func (d *Desk) controlDir() string { return d.o.Paths.Control() }

// sessions are those that Watch follows.
type sessions struct {
	mu    sync.Mutex
	known map[control.Entry]tui.Session
}

// followSessions keeps the sessions as they tell of themselves.
func (d *Desk) followSessions(ctx context.Context, tell func(tui.Change)) {
	for ctx.Err() == nil {
		// Of sessions that end while nobody watches nobody tells: each run begins anew.
		s := &sessions{known: map[control.Entry]tui.Session{}}
		_ = control.WatchAll(ctx, d.controlDir(), func(c control.Change) {
			d.take(s, c)
			tell(tui.ChangedSessions)
		})
		d.mu.Lock()
		d.sessions = nil
		d.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		// The folder cannot be watched, or is not safe: Sessions says why when it
		// is asked. It is tried again.
		tell(tui.ChangedSessions)
		select {
		case <-ctx.Done():
		case <-time.After(blindly):
		}
	}
}

// take keeps what happened to a session.
func (d *Desk) take(s *sessions, c control.Change) {
	var now tui.Session
	switch c.Kind {
	case control.Up, control.Changed:
		now = sessionOf(c.Status)
	case control.HasCrashed:
		now = d.crashed(c.Entry)
	case control.Strange:
		now = tui.Session{ID: c.Entry.ID, PID: c.Entry.PID, Trouble: c.Err.Error()}
	}
	s.mu.Lock()
	switch {
	case c.Kind == control.Ended:
		delete(s.known, c.Entry)
	case c.Kind == control.Silent:
		now = s.known[c.Entry]
		now.ID, now.PID, now.Trouble = c.Entry.ID, c.Entry.PID, control.ErrSilent.Error()
		s.known[c.Entry] = now
	default:
		s.known[c.Entry] = now
	}
	s.mu.Unlock()
	d.mu.Lock()
	d.sessions = s
	d.mu.Unlock()
}

// Sessions implements tui.Backend: those that run, and those that crashed.
func (d *Desk) Sessions(ctx context.Context) ([]tui.Session, error) {
	d.mu.Lock()
	s := d.sessions
	d.mu.Unlock()
	var list []tui.Session
	if s != nil {
		s.mu.Lock()
		for _, one := range s.known {
			list = append(list, one)
		}
		s.mu.Unlock()
	} else {
		var err error
		if list, err = d.askSessions(ctx); err != nil {
			return nil, d.adviseControl(err)
		}
	}
	sort.Slice(list, func(i, j int) bool {
		return cmp.Or(list[i].Started.Compare(list[j].Started), strings.Compare(list[i].ID, list[j].ID)) < 0
	})
	return list, nil
}

// askSessions asks each session, for who does not watch.
func (d *Desk) askSessions(ctx context.Context) ([]tui.Session, error) {
	entries, err := control.List(d.controlDir())
	if err != nil {
		return nil, err
	}
	list := make([]tui.Session, len(entries))
	var all sync.WaitGroup
	for i, e := range entries {
		if e.State == control.Crashed {
			list[i] = d.crashed(e)
			continue
		}
		all.Go(func() {
			defer d.caught()
			asking, cancel := context.WithTimeout(ctx, statusPatience)
			defer cancel()
			status, err := control.NewClient(d.controlDir(), e).Status(asking)
			if err != nil {
				list[i] = tui.Session{ID: e.ID, PID: e.PID, Trouble: err.Error()}
				return
			}
			list[i] = sessionOf(status)
		})
	}
	all.Wait()
	return list, nil
}

// crashed is a session that was killed, as its audit tells of it.
func (d *Desk) crashed(e control.Entry) tui.Session {
	s := tui.Session{ID: e.ID, PID: e.PID, Crashed: true}
	for event, err := range audit.Read(d.o.Paths.Audit(), audit.Filter{Session: e.ID}) {
		if err == nil && event.Phase == audit.PhaseStart {
			s.Started, s.Profile, s.Reason = event.Time, event.Profile, event.Reason
			s.Agent, s.Dir, _ = strings.Cut(event.Detail, " in ")
		}
		break
	}
	return s
}

func sessionOf(s control.Status) tui.Session {
	out := tui.Session{
		ID: s.ID, Profile: s.Profile, Also: s.Also, Agent: s.Agent, Dir: s.Dir, Remote: s.Remote, Reason: s.Reason,
		Isolation: s.Isolation, Proxy: s.Proxy, PID: s.PID, Child: s.Child, Started: s.Started,
		Requests: s.Requests, Injected: s.Injected, Denied: s.Denied,
	}
	for _, h := range s.Hosts {
		out.Hosts = append(out.Hosts, tui.Host(h))
	}
	for _, r := range s.Waiting {
		out.Waiting = append(out.Waiting, tui.Request(r))
	}
	return out
}

// StopSession implements tui.Backend. Of one that crashed it clears what is left.
func (d *Desk) StopSession(ctx context.Context, id string) error {
	entries, err := control.List(d.controlDir())
	if err != nil {
		return d.adviseControl(err)
	}
	e, err := control.Find(entries, id)
	if err != nil {
		return d.adviseControl(err)
	}
	if e.State == control.Crashed {
		return d.adviseControl(d.o.Paths.ClearSession(e))
	}
	return d.adviseControl(control.NewClient(d.controlDir(), e).Stop(ctx))
}

// errOther says that what a person would answer is not what was shown.
var errOther = errors.New("answer request: it is not the one that was shown")

// Answer implements tui.Backend.
func (d *Desk) Answer(ctx context.Context, r tui.Request, a tui.Answer) error {
	client, err := control.Dial(ctx, d.controlDir(), r.Session)
	if err != nil {
		return d.adviseControl(err)
	}
	status, err := client.Status(ctx)
	if err != nil {
		return d.adviseControl(err)
	}
	i := slices.IndexFunc(status.Waiting, func(w control.Request) bool { return w.ID == r.ID })
	if i < 0 {
		return d.adviseControl(fmt.Errorf("answer request %s: %w", r.ID, control.ErrNoRequest))
	}
	if !tui.Request(status.Waiting[i]).Same(r) {
		return hint.Wrap(errOther, "look at it again: it is shown as it is now")
	}
	if a == tui.Always {
		b, err := d.open(ctx)
		if err != nil {
			return err
		}
		if _, err := b.AllowAlways(ctx, control.Request(r)); err != nil {
			return d.advise(err)
		}
		a = tui.Once
	}
	return d.adviseControl(client.Answer(ctx, r.ID, control.Answer(a)))
}

// AlwaysLine implements tui.Backend.
func (d *Desk) AlwaysLine(ctx context.Context, r tui.Request) (string, error) {
	b, err := d.open(ctx)
	if err != nil {
		return "", err
	}
	line, err := b.AlwaysLine(control.Request(r))
	if err != nil {
		return "", d.advise(err)
	}
	return broker.PolicyWords(line), nil
}

// adviseControl adds what a person should do about an error of speaking to a
// session.
func (d *Desk) adviseControl(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, control.ErrGone), errors.Is(err, control.ErrUnknown):
		return hint.Wrap(err, "it has ended; kb audit --session ID shows what it did")
	case errors.Is(err, control.ErrNoRequest):
		return hint.Wrap(err, "it was answered, or its time is over: that is a denial")
	case errors.Is(err, control.ErrSilent):
		return hint.Wrap(err, "bring it back (fg in its terminal), or end its process")
	}
	return d.advise(err)
}
