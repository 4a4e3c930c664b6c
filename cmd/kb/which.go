package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
)

type whichOptions struct {
	dir       string
	json      bool
	ignorePin bool
}

func newWhich(a *app) *cobra.Command {
	var o whichOptions
	cmd := &cobra.Command{
		Use: "which [DIR]", Short: "say which profile a directory gets, and why", Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dir = first(args)
			return runWhich(cmd.Context(), a, o)
		},
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// whichJSON is the contract of kb which --json.
type whichJSON struct {
	Profile   *string  `json:"profile"` // as -p takes it: NAME, or VAULT/NAME where two vaults have one; null when none
	Vault     *string  `json:"vault"`   // that the profile is in; null when none
	Rule      *string  `json:"rule"`
	Reason    string   `json:"reason"`
	Matched   []string `json:"matched"`
	Pin       string   `json:"pin"` // none, same, changed
	Directory string   `json:"directory"`
	Remotes   []string `json:"remotes"`
	Providers []string `json:"providers"`
}

func runWhich(ctx context.Context, a *app, o whichOptions) error {
	b, err := a.open(ctx, broker.Options{Any: true})
	if err != nil {
		return err
	}
	d, err := b.Decide(ctx, broker.DecideSpec{Dir: o.dir, Environ: childEnviron(a.environ), IgnorePin: o.ignorePin, ReportOnly: true})
	if err != nil && d == nil {
		return err
	}
	if o.json {
		out := whichJSON{
			Reason: d.Match.Reason, Pin: d.PinState(), Directory: d.Workspace.Dir,
			Matched: []string{}, Remotes: []string{}, Providers: []string{},
		}
		if err == nil {
			shown, vault := b.Show(d.Match.Profile), b.VaultOf(d.Match.Profile)
			out.Profile, out.Vault = &shown, &vault
			out.Providers = append(out.Providers, b.ProvidersOf(d.Match.Profile)...)
		} else {
			out.Reason = err.Error()
		}
		if d.Match.Rule != nil {
			out.Rule = &d.Match.Rule.ID
		}
		for _, r := range d.Match.Matched {
			out.Matched = append(out.Matched, r.ID)
		}
		for _, r := range d.Workspace.Remotes {
			out.Remotes = append(out.Remotes, r.Shown())
		}
		if jsonErr := a.json(out); jsonErr != nil {
			return jsonErr
		}
		return quiet(err)
	}
	t := newTable(a.out)
	if err == nil {
		t.row("profile", b.Show(d.Match.Profile))
		if len(b.Vaults()) > 1 {
			t.row("vault", b.VaultOf(d.Match.Profile))
		}
		t.row("because", d.Match.Reason)
		t.row("logins", strings.Join(b.ProvidersOf(d.Match.Profile), " "))
	}
	t.row("directory", d.Workspace.Dir)
	for _, r := range d.Workspace.Remotes {
		mark := ""
		if r.Name == d.Workspace.Primary {
			mark = " (primary)"
		}
		t.row("remote", r.Name+" "+r.Shown()+mark)
	}
	for _, r := range d.Match.Matched {
		t.row("matched", r.ID+": "+r.Conditions()+" gets "+b.Show(r.Profile))
	}
	t.row("pin", d.PinState())
	if d.Workspace.Note != "" {
		t.row("note", d.Workspace.Note)
	}
	if flushErr := t.flush(); flushErr != nil {
		return flushErr
	}
	return err
}

// quietError ends kb with an exit code and no words: the output said it.
type quietError struct{ err error }

func (e quietError) Error() string { return e.err.Error() }
func (e quietError) Unwrap() error { return e.err }

func quiet(err error) error {
	if err == nil {
		return nil
	}
	return hint.Exit(hint.Code(advise(err)), quietError{err}, "")
}

func isQuiet(err error) bool {
	var q quietError
	return errors.As(err, &q)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
