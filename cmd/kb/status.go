package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/plain"
)

// upkeepPatience bounds what kb status does besides: it gives back the tokens
// of logins that another device removed, and tries again later what takes
// longer.
const upkeepPatience = 3 * time.Second

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
	Profile     string     `json:"profile"`
	Vault       string     `json:"vault"`
	Provider    string     `json:"provider"`
	As          string     `json:"as,omitempty"`
	Account     string     `json:"account,omitempty"`
	Method      string     `json:"method"`
	State       string     `json:"state"`           // ok, expiring, refreshing, offline, needs login, unknown
	Since       *time.Time `json:"since,omitempty"` // of the state
	Reason      string     `json:"reason"`
	Expires     *time.Time `json:"expires,omitempty"`      // of the token, or of the key
	NextRefresh *time.Time `json:"next_refresh,omitempty"` // absent: it is not refreshed
	Scopes      []string   `json:"scopes,omitempty"`
	DeviceOnly  bool       `json:"device_only"` // each device makes it for itself
	Missing     bool       `json:"missing"`     // this device has still to make it
	Base        string     `json:"base,omitempty"`
	Fix         string     `json:"fix,omitempty"` // the command that mends it
}

func runStatus(ctx context.Context, a *app, o statusOptions) error {
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	a.upkeep(ctx, b)
	type statusJSON struct {
		Vault     string        `json:"vault"` // the default one's path
		Vaults    []vaultJSON   `json:"vaults"`
		Device    string        `json:"device"`
		Sessions  []sessionJSON `json:"sessions"`
		Logins    []loginJSON   `json:"logins"`
		Git       []gitJSON     `json:"git"` // of the vaults that are in a repository
		Attention []string      `json:"attention"`
	}
	out := statusJSON{
		Vault: b.VaultPath(), Device: b.DeviceName(),
		Sessions: []sessionJSON{}, Logins: []loginJSON{}, Git: []gitJSON{}, Attention: []string{},
	}
	for _, v := range b.Vaults() {
		out.Vaults = append(out.Vaults, describeVault(v))
	}
	tidying, cancel := context.WithTimeout(ctx, upkeepPatience)
	for _, line := range b.Upkeep(tidying) {
		fmt.Fprintf(a.err, "kb: %s\n", plain.Clean(line))
	}
	cancel()
	states := b.LoginStates()
	for _, s := range states {
		out.Logins = append(out.Logins, describeLogin(s))
	}
	// A session is told nothing of others.
	if a.getenv("KB_SESSION") == "" {
		sessions, err := a.sessions(ctx)
		if err != nil {
			out.Attention = append(out.Attention, adviceLine(err))
		}
		out.Sessions = append(out.Sessions, sessions...)
		out.Attention = append(out.Attention, attentionOfSessions(sessions)...)
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
	if len(out.Sessions) > 0 {
		fmt.Fprintln(a.out)
		if err := a.showSessions(out.Sessions); err != nil {
			return err
		}
	}
	if len(out.Logins) > 0 {
		fmt.Fprintln(a.out)
		now := time.Now()
		t := newTable(a.out, "PROFILE", "LOGIN", "ACCOUNT", "STATE", "SINCE", "EXPIRES", "NEXT REFRESH", "REASON")
		for _, s := range states {
			t.row(s.Login.Profile, loginName(s.Login), s.Login.Account, stateMark(s.State)+" "+s.State,
				when(s.Since, now), when(s.Expires, now), when(s.Next, now), s.Reason)
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

func describeLogin(s broker.LoginState) loginJSON {
	return loginJSON{
		Profile: s.Login.Profile, Vault: s.Vault, Provider: s.Login.Provider, As: s.Login.As, Account: s.Login.Account,
		Method: s.Login.Method, State: s.State, Since: moment(s.Since), Reason: s.Reason, Expires: moment(s.Expires),
		NextRefresh: moment(s.Next), Scopes: s.Login.Scopes, DeviceOnly: s.Login.DeviceOnly, Missing: s.Missing,
		Base: s.Login.Base, Fix: s.Fix,
	}
}

// when is a time as a person thinks of it: near ones by how far off they are,
// others by their date.
func when(t, now time.Time) string {
	if t.IsZero() {
		return ""
	}
	d := t.Sub(now)
	far := d.Abs()
	// To the nearest: a token of ten minutes is not one of nine a moment later.
	in := func(unit time.Duration) time.Duration { return far.Round(unit) / unit }
	var size string
	switch {
	case far < time.Second:
		return "now"
	case in(time.Second) < 60:
		size = fmt.Sprintf("%ds", in(time.Second))
	case in(time.Minute) < 60:
		size = fmt.Sprintf("%dm", in(time.Minute))
	case in(time.Hour) < 48:
		size = fmt.Sprintf("%dh", in(time.Hour))
	case in(24*time.Hour) < 14:
		size = fmt.Sprintf("%dd", in(24*time.Hour))
	default:
		return t.Local().Format(time.DateOnly)
	}
	if d < 0 {
		return size + " ago"
	}
	return "in " + size
}

// stateMark is the mark that goes with a state's word.
func stateMark(state string) string {
	switch state {
	case broker.StateOK:
		return "+"
	case broker.StateRefreshing:
		return "~"
	case broker.StateExpiring, broker.StateOffline, broker.StateNeedsLogin:
		return "!"
	}
	return "?"
}
