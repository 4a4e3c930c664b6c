package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/policy"
)

// probeJSON is the contract of kb policy test --json.
type probeJSON struct {
	Verdict    string       `json:"verdict"` // allow, ask, deny
	Line       *string      `json:"line"`    // id of the line that decides; null when none fits
	Reason     string       `json:"reason"`
	Profile    string       `json:"profile"`
	Method     string       `json:"method"`
	Host       string       `json:"host"`
	Port       uint16       `json:"port"`
	Path       string       `json:"path"`     // normalised
	Provider   string       `json:"provider"` // "" for none
	Repository string       `json:"repository,omitempty"`
	Git        string       `json:"git,omitempty"`
	Mint       bool         `json:"mint,omitempty"`
	Read       bool         `json:"read"`   // kb reads such requests: a login of the profile has a rule for the host
	Fits       []policyJSON `json:"fits"`   // lines that fit, the deciding one first
	Limits     []policyJSON `json:"limits"` // that count it
}

func newPolicyTest(a *app) *cobra.Command {
	var asJSON bool
	var named string
	cmd := &cobra.Command{
		Use:   "test METHOD URL",
		Short: "say what policy makes of a request, and which line decides",
		Long: `Says what policy makes of a request, and which line decides. Nothing is sent.
It ends with 0 for allow and ask, and with 5 for deny.`,
		Example: `  kb policy test DELETE https://api.github.com/repos/acme/api
  kb policy test POST https://api.linear.app/graphql -p work --json`,
		Args: exactArgs(2, "a method and an https address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.open(cmd.Context(), broker.Options{Any: true})
			if err != nil {
				return err
			}
			d, err := b.Decide(cmd.Context(), broker.DecideSpec{Environ: childEnviron(a.environ), Explicit: named, ReportOnly: true})
			if err != nil {
				return err
			}
			probe := broker.PolicyProbe{Profile: d.Match.Profile, Method: strings.ToUpper(args[0]), URL: args[1]}
			t, err := b.TestPolicy(cmd.Context(), probe)
			if err != nil {
				return usage(cmd, err)
			}
			if asJSON {
				err = a.json(probeToJSON(b, &probe, t))
			} else {
				err = a.showProbe(b, &probe, t)
			}
			if err == nil && t.Verdict.Effect == policy.Deny {
				return hint.Exit(hint.Refused, quietError{errors.New(t.Verdict.Reason)}, "")
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&named, "profile", "p", "", "profile; default: that of the working directory")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func probeToJSON(b *broker.Broker, p *broker.PolicyProbe, t *broker.PolicyTest) probeJSON {
	out := probeJSON{
		Verdict: string(t.Verdict.Effect), Reason: t.Verdict.Reason, Profile: b.Show(p.Profile), Method: p.Method,
		Host: t.Host, Port: t.Port, Path: t.Path, Provider: t.Provider, Repository: t.Repository, Git: t.Git, Mint: t.Mint,
		Read: t.Read, Fits: []policyJSON{}, Limits: []policyJSON{},
	}
	if t.Verdict.Rule != nil {
		out.Line = &t.Verdict.Rule.ID
	}
	for i := range t.Fitting {
		if r := &t.Fitting[i]; r.Effect == policy.Limit {
			out.Limits = append(out.Limits, policyToJSON(b, r))
		} else {
			out.Fits = append(out.Fits, policyToJSON(b, r))
		}
	}
	return out
}

func (a *app) showProbe(b *broker.Broker, p *broker.PolicyProbe, t *broker.PolicyTest) error {
	table := newTable(a.out)
	table.row("verdict", string(t.Verdict.Effect))
	table.row("because", t.Verdict.Reason)
	table.row("profile", b.Show(p.Profile))
	where := t.Host
	if t.Port != 443 {
		where = fmt.Sprintf("%s:%d", t.Host, t.Port)
	}
	table.row("request", p.Method+" https://"+where+t.Path)
	for _, f := range [...][2]string{{"provider", t.Provider}, {"repository", t.Repository}, {"git", t.Git}} {
		if f[1] != "" {
			table.row(f[0], f[1])
		}
	}
	if t.Mint {
		table.row("mint", "its answer is a new credential")
	}
	if !t.Read {
		table.row("note", "no login of this profile has a rule for the host: the connection is not read, and only lines whose one condition is the host count")
	}
	for i := range t.Fitting {
		r := &t.Fitting[i]
		word := "fits"
		switch {
		case t.Verdict.Rule != nil && r.ID == t.Verdict.Rule.ID:
			word = "decides"
		case r.Effect == policy.Limit:
			word = "counts"
		}
		table.row(word, r.ID+": "+r.String())
	}
	return table.flush()
}
