package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/control"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/supervisor"
)

const (
	// answerPatience is how long a session has to say what it is doing. It takes
	// a millisecond; what takes longer is suspended.
	answerPatience = 2 * time.Second
	// stopPatience is how long a session that was told to stop has for it: its
	// child's time, and as much for the rest.
	stopPatience = 2 * supervisor.DefaultStopTime
	// wakeEvery is how often a suspended session that is to stop is continued: in
	// the background of its terminal it may be suspended anew.
	wakeEvery = 100 * time.Millisecond
)

func newSession(a *app) *cobra.Command {
	return group("session", "see and stop what runs", newSessionList(a), newSessionStop(a))
}

// sessionJSON is one session in kb session ls --json and kb status --json.
type sessionJSON struct {
	State          string `json:"state"` // live, suspended, crashed, elsewhere
	control.Status        // of one that is not live: id and pid alone
	Problem        string `json:"problem,omitempty"` // why a live one says nothing
}

func newSessionList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list the sessions of this device, also those that were killed", Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			found, err := a.sessions(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(found)
			}
			if len(found) == 0 {
				fmt.Fprintln(a.err, "no session runs: kb exec -- COMMAND starts one")
				return nil
			}
			return a.showSessions(found)
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// sessions are those of this user, each asked what it is doing. Who is in a
// session itself gets control.ErrRefused.
func (a *app) sessions(ctx context.Context) ([]sessionJSON, error) {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return nil, err
	}
	entries, err := control.List(paths.Control())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerPatience)
	defer cancel()
	all, refused := make([]sessionJSON, len(entries)), make([]error, len(entries))
	var asking sync.WaitGroup
	for i, e := range entries {
		all[i] = sessionJSON{State: string(e.State), Status: control.Status{ID: e.ID, PID: e.PID}}
		if e.State != control.Live {
			continue
		}
		asking.Go(func() {
			status, err := control.NewClient(paths.Control(), e).Status(ctx)
			switch {
			case errors.Is(err, control.ErrRefused):
				refused[i] = err
			case err != nil:
				all[i].Problem = err.Error()
			default:
				all[i].Status = status
			}
		})
	}
	asking.Wait()
	for _, err := range refused {
		if err != nil {
			return nil, err
		}
	}
	shown := all[:0]
	for i, s := range all {
		// One that ended since it was listed is none.
		if s.Problem == "" || stillThere(paths.Control(), entries[i]) {
			shown = append(shown, s)
		}
	}
	return shown, nil
}

func stillThere(dir string, e control.Entry) bool {
	entries, err := control.List(dir)
	if err != nil {
		return true
	}
	return slices.ContainsFunc(entries, func(now control.Entry) bool {
		return now.ID == e.ID && now.PID == e.PID && now.Start == e.Start
	})
}

func (a *app) showSessions(sessions []sessionJSON) error {
	now := time.Now()
	t := newTable(a.out, "SESSION", "PROFILE", "AGENT", "DIRECTORY", "ISOLATION", "STARTED", "REQUESTS", "DENIED", "WAITING", "STATE")
	for _, s := range sessions {
		state := s.State
		if s.Problem != "" {
			state = s.Problem
		}
		if s.Agent == "" {
			t.row(s.ID, "", "", "", "", "", "", "", "", state)
			continue
		}
		t.row(s.ID, s.Profile, s.Agent, s.Dir, s.Isolation, when(s.Started, now),
			strconv.FormatUint(s.Requests, 10), strconv.FormatUint(s.Denied, 10), strconv.Itoa(len(s.Waiting)+s.Unlisted), state)
	}
	return t.flush()
}

func newSessionStop(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "stop ID", Short: "end a session; of one that was killed, remove what it left",
		Long: `End a session: its agent is asked to (SIGTERM), and after 5 s made to. Its proxy and with
it every credential is gone at once when the agent is; what the agent left running
goes on without. The beginning of the id is enough where it is one session's.`,
		Args: exactArgs(1, "a session's id (kb session ls)"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			return a.stopSession(cmd.Context(), args[0])
		}),
	}
}

func (a *app) stopSession(ctx context.Context, id string) error {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return err
	}
	entries, err := control.List(paths.Control())
	if err != nil {
		return err
	}
	e, err := control.Find(entries, id)
	if err != nil {
		return err
	}
	switch e.State {
	case control.Crashed:
		if err := paths.ClearSession(e); err != nil {
			return err
		}
		fmt.Fprintf(a.err, "session %s was killed before: what it left is removed\n", e.ID)
		return nil
	case control.Suspended:
		defer wake(e)()
	}
	client := control.NewClient(paths.Control(), e)
	if err := client.Stop(ctx); err != nil && !errors.Is(err, control.ErrGone) {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	err = client.Watch(ctx, func(control.Status) error { return nil })
	if errors.Is(err, control.ErrGone) {
		err = ends(ctx, e) // what its socket says an agent can have it say
	}
	if err != nil {
		return hint.Wrap(fmt.Errorf("stop session %s: it was told to and has not ended: %w", e.ID, err),
			fmt.Sprintf("run kill -9 %d", e.PID))
	}
	fmt.Fprintf(a.err, "session %s has ended\n", e.ID)
	return nil
}

// ends waits until a session's process is gone.
func ends(ctx context.Context, e control.Entry) error {
	tick := time.NewTicker(wakeEvery)
	defer tick.Stop()
	for e.Runs() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// wake continues a suspended session until the function that it returns is
// called.
func wake(e control.Entry) (done func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		tick := time.NewTicker(wakeEvery)
		defer tick.Stop()
		for e.Runs() {
			_ = syscall.Kill(e.PID, syscall.SIGCONT)
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}()
	return cancel
}

// adviseControl knows what can be wrong with a session that is spoken to.
func adviseControl(err error) (advised error, ok bool) {
	var (
		ambiguous *control.AmbiguousError
		strange   *control.FalseSocketError
		folder    *control.FolderError
	)
	switch {
	case errors.As(err, &ambiguous):
		return hint.Exit(hint.Human, err, "name it in full: kb session ls"), true
	case errors.As(err, &strange):
		return hint.Exit(hint.Refused, err, "answer nothing that it asks; kb session ls shows its process"), true
	case errors.As(err, &folder):
		return hint.Exit(hint.Failure, err, "run chmod 700 "+shellWord(folder.Dir)+"; remove it if it is a link, or another user's"), true
	case errors.Is(err, control.ErrRefused):
		return hint.Exit(hint.Refused, err, "run it in a terminal of your own, outside kb exec"), true
	case errors.Is(err, control.ErrUnknown), errors.Is(err, control.ErrGone):
		return hint.Exit(hint.Failure, err, "run kb session ls"), true
	case errors.Is(err, control.ErrNoRequest):
		return hint.Exit(hint.Failure, err, "run kb approve to see what waits"), true
	case errors.Is(err, control.ErrSilent), errors.Is(err, control.ErrBusy):
		return hint.Exit(hint.Failure, err, "try again; if it is suspended, run fg in its terminal"), true
	}
	return err, false
}

// attentionOfSessions are the lines of kb status about what runs.
func attentionOfSessions(sessions []sessionJSON) (lines []string) {
	var waiting []control.Request
	unlisted := 0
	for _, s := range sessions {
		waiting = append(waiting, s.Waiting...)
		unlisted += s.Unlisted
		switch {
		case s.State == string(control.Crashed):
			lines = append(lines, fmt.Sprintf("session %s was killed: run kb session stop %s to remove what it left", s.ID, s.ID))
		case s.Problem != "":
			lines = append(lines, fmt.Sprintf("session %s cannot be asked: %s", s.ID, s.Problem))
		}
	}
	switch n := len(waiting) + unlisted; {
	case n == 1 && len(waiting) == 1:
		r := waiting[0]
		lines = append(lines, fmt.Sprintf("%s waits for an answer: %s %s; run kb approve %s or kb deny %s",
			plain.Clean(r.Agent), plain.Clean(r.Method), plain.Clean(r.Host), r.ID, r.ID))
	case n > 0:
		lines = append(lines, fmt.Sprintf("%s wait for an answer: run kb approve", plural(n, "request")))
	}
	return lines
}
