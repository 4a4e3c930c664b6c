package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

type statusOptions struct{ json bool }

func newStatus(a *app) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use: "status", Short: "show logins and what needs attention", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStatus(cmd.Context(), a, o) },
	}
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// loginJSON is one login in kb status --json.
type loginJSON struct {
	Profile  string     `json:"profile"`
	Vault    string     `json:"vault"`
	Provider string     `json:"provider"`
	As       string     `json:"as,omitempty"`
	Account  string     `json:"account,omitempty"`
	Method   string     `json:"method"`
	State    string     `json:"state"` // ok, expiring, needs login, unknown
	Since    *time.Time `json:"since,omitempty"`
	Reason   string     `json:"reason"`
	Expires  *time.Time `json:"expires,omitempty"`
	Base     string     `json:"base,omitempty"`
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	type statusJSON struct {
		Vault     string      `json:"vault"` // the default one's path
		Vaults    []vaultJSON `json:"vaults"`
		Device    string      `json:"device"`
		Logins    []loginJSON `json:"logins"`
		Git       []gitJSON   `json:"git"` // of the vaults that are in a repository
		Attention []string    `json:"attention"`
	}
	out := statusJSON{Vault: b.VaultPath(), Device: b.DeviceName(), Logins: []loginJSON{}, Git: []gitJSON{}, Attention: []string{}}
	for _, v := range b.Vaults() {
		out.Vaults = append(out.Vaults, describeVault(v))
	}
	for _, s := range b.LoginStates() {
		l := loginJSON{
			Profile: s.Login.Profile, Vault: s.Vault, Provider: s.Login.Provider, As: s.Login.As, Account: s.Login.Account,
			Method: s.Login.Method, State: s.State, Reason: s.Reason, Base: s.Login.Base,
		}
		if !s.Login.Created.IsZero() {
			l.Since = &s.Login.Created
		}
		if !s.Login.Expires.IsZero() {
			l.Expires = &s.Login.Expires
		}
		out.Logins = append(out.Logins, l)
	}
	out.Attention = append(out.Attention, b.Attention()...)
	repositories, repositoryErr := b.GitStates(ctx)
	if repositoryErr != nil {
		out.Attention = append(out.Attention, adviceLine(repositoryErr))
	}
	for _, r := range repositories {
		j := gitJSON{
			Vault: r.Vault, Repository: r.Repository, Upstream: r.Upstream, Tracked: r.Tracked, Modified: r.Modified,
			Unmerged: r.Unmerged, Operation: r.Operation.Name, SetUp: r.SetUp,
		}
		if r.Known {
			j.Ahead, j.Behind = &r.Ahead, &r.Behind
		}
		out.Git = append(out.Git, j)
		out.Attention = append(out.Attention, attentionOfGit(r)...)
	}
	if o.json {
		return a.json(out)
	}
	fmt.Fprintf(a.out, "vault %s, device %s, %s\n", out.Vault, out.Device, plural(len(out.Logins), "login"))
	for _, v := range out.Vaults {
		if !v.Default {
			fmt.Fprintf(a.out, "vault %s %s\n", v.Name, v.Path)
		}
	}
	if len(out.Logins) > 0 {
		fmt.Fprintln(a.out)
		t := newTable(a.out, "PROFILE", "LOGIN", "ACCOUNT", "STATE", "REASON")
		for i, s := range b.LoginStates() {
			t.row(out.Logins[i].Profile, loginName(s.Login), s.Login.Account, stateMark(s.State)+" "+s.State, s.Reason)
		}
		if err := t.flush(); err != nil {
			return err
		}
	}
	for _, line := range out.Attention {
		fmt.Fprintf(a.out, "\n! %s\n", cleanLines(line))
	}
	return nil
}

// stateMark is the mark that goes with a state's word.
func stateMark(state string) string {
	switch state {
	case "ok":
		return "+"
	case "expiring", "needs login":
		return "!"
	}
	return "?"
}
