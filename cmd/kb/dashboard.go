package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"golang.org/x/term"

	"kb/internal/broker"
	"kb/internal/desk"
	"kb/internal/hint"
	"kb/internal/refresh"
	"kb/tui"
)

type dashboardOptions struct{ ascii bool }

// runDashboard opens the dashboard, or prints the status where there is no
// terminal for it. Inside a session it prints the status too: what an agent runs
// is no place to approve an agent's requests.
func runDashboard(ctx context.Context, a *app, o dashboardOptions) error {
	if !a.onScreen() {
		return runStatus(ctx, a, statusOptions{})
	}
	if a.getenv("KB_SESSION") != "" {
		fmt.Fprintln(a.err, "kb: the dashboard is not for use inside a session; this is kb status")
		return runStatus(ctx, a, statusOptions{})
	}
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find kb itself: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return fmt.Errorf("find working directory: %w", err)
	}
	d := desk.New(desk.Options{
		Paths: paths, Getenv: a.getenv, Environ: childEnviron(a.environ), Dir: dir,
		Spawn: refresh.Self, Executable: executable, Advise: advise,
	})
	looks := tui.Looks{ASCII: o.ascii, NoColor: a.getenv("NO_COLOR") != "", ReduceMotion: a.getenv("KB_REDUCE_MOTION") != ""}
	err = tui.Run(ctx, tui.Options{Backend: d, Looks: looks})
	if ctx.Err() != nil && (err == nil || errors.Is(err, ctx.Err())) {
		return hint.Exit(hint.Cancelled, quietError{ctx.Err()}, "") // ended by a signal, in good order
	}
	return err
}

// onScreen reports whether kb has a terminal that a dashboard can be drawn on.
func (a *app) onScreen() bool {
	out, ok := a.out.(*os.File)
	return ok && a.in != nil && a.getenv("TERM") != "dumb" && a.getenv("TERM") != "" &&
		term.IsTerminal(int(a.in.Fd())) && term.IsTerminal(int(out.Fd()))
}
