package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/policy"
	"kb/vaultfile"
)

func newPolicy(a *app) *cobra.Command {
	return group("policy", "say what the sessions of a profile may ask with its logins",
		newPolicyAdd(a), newPolicyList(a), newPolicyRemove(a), newPolicyTest(a))
}

func newPolicyAdd(a *app) *cobra.Command {
	var line vaultfile.Policy
	cmd := &cobra.Command{
		Use:   "add PROFILE (allow|deny|ask|limit N/min)",
		Short: "add a line; its conditions must all hold",
		Long: `Adds a line to a profile's policy. Of the lines that fit a request the one with
more conditions decides, then the one whose path says more, then whose host; a
tie goes to the stricter one. What no line fits is allowed, but for requests that
make a new credential: those need a line with --mint.

A limit counts beside all that: each that fits, in each session.`,
		Example: `  kb policy add work ask --provider linear --method POST
  kb policy add work deny --repo 'github.com/acme/*' --git write
  kb policy add work limit 30/min --provider github`,
		Args: cobra.ArbitraryArgs,
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			if err := readEffect(cmd, args, &line); err != nil {
				return err
			}
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			if line.Profile, err = b.Find(args[0]); err != nil {
				return err
			}
			for i, m := range line.Methods {
				line.Methods[i] = strings.ToUpper(m)
			}
			line.Host = strings.ToLower(line.Host)
			if err := broker.CheckPolicy(line); err != nil {
				return usage(cmd, err)
			}
			id, err := b.AddPolicy(cmd.Context(), line)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "policy %s: profile %s: %s\n", id, b.Show(line.Profile), broker.PolicyWords(line))
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&line.Provider, "provider", "", "name of a provider: linear")
	flags.StringSliceVar(&line.Methods, "method", nil, "HTTP methods: POST,DELETE")
	flags.StringVar(&line.Host, "host", "", "host: api.github.com, *.acme.dev, either with :PORT")
	flags.StringVar(&line.Path, "path", "", "pattern on the path: /repos/acme/**, * is within one segment")
	flags.StringVar(&line.Repository, "repo", "", "pattern on the repository that the request names: github.com/acme/*")
	flags.StringVar(&line.Git, "git", "", "git's own requests: read (clone, fetch) or write (push)")
	flags.BoolVar(&line.Mint, "mint", false, "requests that make a new credential")
	return cmd
}

// readEffect reads the words behind kb policy add.
func readEffect(cmd *cobra.Command, args []string, line *vaultfile.Policy) error {
	if len(args) < 2 {
		return usage(cmd, fmt.Errorf("%s needs a profile and allow, deny, ask or limit N/min", cmd.CommandPath()))
	}
	line.Effect = args[1]
	words := 2
	if line.Effect == string(policy.Limit) {
		words = 3
		number, ok := strings.CutSuffix(first(args[2:]), "/min")
		n, err := strconv.Atoi(number)
		if !ok || err != nil || n < 1 {
			return usage(cmd, fmt.Errorf("%s needs a number of requests behind limit: limit 30/min", cmd.CommandPath()))
		}
		line.PerMinute = n
	}
	if len(args) > words {
		return usage(cmd, fmt.Errorf("%s takes no further argument, got %q", cmd.CommandPath(), args[words]))
	}
	return nil
}

// policyJSON is the contract of kb policy ls --json.
type policyJSON struct {
	ID         string   `json:"id"`
	Profile    string   `json:"profile"` // as -p takes it
	Vault      string   `json:"vault"`
	Effect     string   `json:"effect"`
	PerMinute  int      `json:"per_minute,omitempty"`
	Provider   string   `json:"provider,omitempty"`
	Methods    []string `json:"methods,omitempty"`
	Host       string   `json:"host,omitempty"`
	Path       string   `json:"path,omitempty"`
	Repository string   `json:"repository,omitempty"`
	Git        string   `json:"git,omitempty"`
	Mint       bool     `json:"mint,omitempty"`
	Line       string   `json:"line"` // all of it in words
}

func policyToJSON(b *broker.Broker, r *policy.Rule) policyJSON {
	return policyJSON{
		r.ID, b.Show(r.Profile), b.VaultOf(r.Profile), string(r.Effect), r.PerMinute, r.Provider, r.Methods,
		r.Host, r.Path, r.Repository, r.Git, r.Mint, r.String(),
	}
}

func newPolicyList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list policy lines, in the order in which they decide", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			lines := b.Policies()
			if asJSON {
				list := []policyJSON{}
				for i := range lines {
					list = append(list, policyToJSON(b, &lines[i].Rule))
				}
				return a.json(list)
			}
			if len(lines) == 0 {
				fmt.Fprintln(a.err, "no policy yet, all that a login may do is allowed: run kb policy add PROFILE ask --method POST,PUT,PATCH,DELETE")
				return nil
			}
			t := newTable(a.out, "ID", "PROFILE", "LINE")
			for _, l := range lines {
				t.row(l.ID, b.Show(l.Profile), l.Words)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newPolicyRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm ID", Short: "remove a policy line", Args: exactArgs(1, "a policy line's id"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			if err := b.RemovePolicy(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "policy %s is removed\n", args[0])
			return nil
		}),
	}
}

// advisePolicy knows what can be wrong with a policy.
func advisePolicy(err error) (error, bool) {
	var (
		invalid *policy.InvalidError
		unknown *broker.UnknownPolicyError
		same    *broker.SamePolicyError
	)
	switch {
	case errors.As(err, &unknown):
		return hint.Exit(hint.Failure, err, "run kb policy ls"), true
	case errors.As(err, &same):
		return hint.Exit(hint.Failure, err, "run kb policy ls"), true
	case errors.Is(err, broker.ErrAmbiguousPolicy):
		return hint.Exit(hint.Human, err, "run kb policy rm VAULT/ID with one of them"), true
	case errors.As(err, &invalid) && invalid.ID != "":
		return hint.Exit(hint.Failure, err, "install a newer kb, which may know what the line means; until then the vault is not used"), true
	}
	return err, false
}
