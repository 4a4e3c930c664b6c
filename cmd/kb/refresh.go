package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
)

type refreshOptions struct {
	provider, profile, as string
	asJSON                bool
}

func newRefresh(a *app) *cobra.Command {
	var o refreshOptions
	cmd := &cobra.Command{
		Use:   "refresh [PROVIDER]",
		Short: "get new tokens for logins now",
		Long: `Get new tokens for logins now, due or not. Running sessions do it by themselves
before a token ends: this is for seeing that it works.

Without a provider it is every login that has tokens; without -p those of every
profile. Exit 4 when one has to be made again, 1 when one could not be asked for.`,
		Example: `  kb refresh
  kb refresh linear -p work --json`,
		Args: maxArgs(1),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			o.provider = first(args)
			return runRefresh(cmd.Context(), a, o)
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.profile, "profile", "p", "", "profile whose logins are refreshed; default: every one")
	flags.StringVar(&o.as, "as", "", "name of the login, where there are several")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// refreshJSON is one login in kb refresh --json.
type refreshJSON struct {
	Profile     string     `json:"profile"`
	Provider    string     `json:"provider"`
	As          string     `json:"as,omitempty"`
	Refreshed   bool       `json:"refreshed"`
	State       string     `json:"state"`
	Reason      string     `json:"reason"`
	Expires     *time.Time `json:"expires,omitempty"`
	NextRefresh *time.Time `json:"next_refresh,omitempty"`
	Error       string     `json:"error,omitempty"`
	Fix         string     `json:"fix,omitempty"`
}

func runRefresh(ctx context.Context, a *app, o refreshOptions) error {
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	a.upkeep(ctx, b)
	full := ""
	if o.profile != "" {
		if full, err = b.Find(o.profile); err != nil {
			return err
		}
	}
	results, err := b.RefreshLogins(ctx, full, o.provider, o.as)
	var unknown *broker.UnknownLoginError
	switch {
	case errors.Is(err, broker.ErrNothingToRefresh) && o.provider == "":
		results = nil // nothing was named that is not there
	case errors.Is(err, broker.ErrNothingToRefresh), errors.As(err, &unknown):
		return hint.Wrap(err, "run kb status")
	case err != nil:
		return err
	}
	list := make([]refreshJSON, 0, len(results))
	var verdict error
	for _, r := range results {
		j := refreshJSON{
			Profile: r.Login.Profile, Provider: r.Login.Provider, As: r.Login.As, Refreshed: r.Err == nil,
			State: r.State, Reason: r.Reason, Expires: moment(r.Expires), NextRefresh: moment(r.Next), Fix: r.Fix,
		}
		if r.Err != nil {
			j.Error = r.Err.Error()
			verdict = worse(verdict, r)
		}
		list = append(list, j)
	}
	if o.asJSON {
		if err := a.json(list); err != nil {
			return err
		}
		return quiet(verdict)
	}
	if len(list) == 0 {
		fmt.Fprintln(a.err, "no login has tokens that kb refreshes")
		return nil
	}
	now := time.Now()
	t := newTable(a.out, "PROFILE", "LOGIN", "STATE", "EXPIRES", "NEXT REFRESH", "REASON")
	for _, r := range results {
		reason := "refreshed"
		if r.Err != nil {
			reason = r.Reason
		}
		t.row(r.Login.Profile, loginName(r.Login), stateMark(r.State)+" "+r.State, when(r.Expires, now), when(r.Next, now), reason)
	}
	if err := t.flush(); err != nil {
		return err
	}
	return verdict
}

// worse is the error that kb ends with: a login that a person has to make goes
// before one that could not be asked for.
func worse(sofar error, r broker.RefreshResult) error {
	name := fmt.Sprintf("%s at %s", r.Login.Profile, loginName(r.Login))
	switch {
	case hint.Code(sofar) == hint.Human:
		return sofar
	case r.State == broker.StateNeedsLogin:
		return hint.Exit(hint.Human, fmt.Errorf("refresh %s: it has to be logged in again", name), "run "+r.Fix)
	case sofar != nil:
		return sofar
	}
	fix := "check the network, and run kb refresh again"
	if errors.Is(r.Err, broker.ErrNotLearned) {
		fix = "" // the error says what to do
	}
	return hint.Exit(hint.Failure, fmt.Errorf("refresh %s: %w", name, r.Err), fix)
}
