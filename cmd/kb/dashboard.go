package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kb/internal/atomicfile"
	"kb/internal/broker"
	"kb/internal/desk"
	"kb/internal/hint"
	"kb/internal/refresh"
	"kb/internal/supervisor"
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
	d, paths, err := a.desk()
	if err != nil {
		return err
	}
	looks, err := a.looks(paths)
	if err != nil {
		return err
	}
	looks.ASCII = looks.ASCII || o.ascii
	// It stays open beside sessions, as these do beside each other. Not at once: the
	// collection that it sets off would slow the first frame.
	saving := time.AfterFunc(time.Second, func() { debug.SetGCPercent(sessionGC) })
	defer saving.Stop()
	err = tui.Run(ctx, tui.Options{Backend: d, Looks: looks, Home: paths.Home, Verbs: sync.OnceValue(func() []tui.Verb { return verbs(a) })})
	if errors.Is(err, context.Canceled) {
		return hint.Exit(hint.Cancelled, quietError{err}, "") // ended by a signal, in good order
	}
	return err
}

// desk is what the dashboard and the doctor work at.
func (a *app) desk() (*desk.Desk, broker.Paths, error) {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return nil, paths, err
	}
	executable, err := os.Executable()
	if err != nil {
		return nil, paths, fmt.Errorf("find kb itself: %w", err)
	}
	dir, err := os.Getwd()
	if err != nil {
		return nil, paths, fmt.Errorf("find working directory: %w", err)
	}
	return desk.New(desk.Options{
		Paths: paths, Getenv: a.getenv, Environ: childEnviron(a.environ), Dir: dir, Spawn: refresh.Self, Executable: executable,
		Advise: advise, Traced: supervisor.Traced, GitAttention: attentionOfGit,
	}), paths, nil
}

// looks are those of config.toml.
func (a *app) looks(paths broker.Paths) (tui.Looks, error) {
	path := filepath.Join(paths.Config, "config.toml")
	data, err := atomicfile.ReadSmall(path, tui.MaxLooks)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return tui.Looks{}, hint.Wrap(fmt.Errorf("read looks: %w", err), "mend that file, or take it away")
	}
	return tui.ReadLooks(data, a.getenv)
}

// verbs are the commands that the palette offers: those that are whole as they
// stand, or begin a line that a person completes.
func verbs(a *app) []tui.Verb {
	var list []tui.Verb
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			switch {
			case sub.Hidden || sub.Name() == "help" || sub.Name() == "completion":
			case sub.HasAvailableSubCommands():
				walk(sub)
			default:
				list = append(list, tui.Verb{Line: sub.CommandPath(), Short: sub.Short})
			}
		}
	}
	walk(wholeRoot(a))
	return list
}

// onScreen reports whether kb has a terminal that a dashboard can be drawn on.
func (a *app) onScreen() bool {
	out, ok := a.out.(*os.File)
	return ok && a.in != nil && a.getenv("TERM") != "dumb" && a.getenv("TERM") != "" &&
		term.IsTerminal(int(a.in.Fd())) && term.IsTerminal(int(out.Fd()))
}
