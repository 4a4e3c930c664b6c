package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kb/profile"
)

func newRule(a *app) *cobra.Command {
	return group("rule", "map git remotes and directories to profiles",
		newRuleAdd(a), newRuleList(a), newRuleRemove(a), newRuleTest(a))
}

func newRuleAdd(a *app) *cobra.Command {
	var r profile.Rule
	cmd := &cobra.Command{
		Use:   "add PROFILE",
		Short: "add a rule; its conditions must all hold",
		Example: `  kb rule add work --remote 'github.com/acme/*'
  kb rule add oss --dir '~/oss/**'`,
		Args: exactArgs(1, "a profile name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			full, err := b.Find(args[0])
			if err != nil {
				return err
			}
			p, _, err := b.Profile(full)
			if err != nil {
				return err
			}
			r.Profile = p.Name
			if err := profile.ValidateRule(r); err != nil {
				return usage(cmd, err)
			}
			r.Profile = full
			id, err := b.AddRule(cmd.Context(), r)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "rule %s: %s gets profile %s\n", id, r.Conditions(), b.Show(r.Profile))
			return nil
		}),
	}
	flags := cmd.Flags()
	flags.StringVar(&r.Remote, "remote", "", "pattern on the git remote: github.com/acme/*, gitlab.acme.dev/**")
	flags.StringVar(&r.Dir, "dir", "", "pattern on the directory: ~/work/**")
	flags.StringVar(&r.User, "user", "", "login name of the user who runs kb")
	flags.StringVar(&r.Machine, "machine", "", "host name of the machine")
	flags.StringVar(&r.Agent, "agent", "", "name of the program that kb exec starts")
	return cmd
}

type ruleJSON struct {
	ID      string `json:"id"`
	Profile string `json:"profile"` // as -p takes it
	Vault   string `json:"vault"`
	Remote  string `json:"remote,omitempty"`
	Dir     string `json:"dir,omitempty"`
	User    string `json:"user,omitempty"`
	Machine string `json:"machine,omitempty"`
	Agent   string `json:"agent,omitempty"`
}

func newRuleList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list rules", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			rules := b.All().Rules
			if asJSON {
				list := []ruleJSON{}
				for _, r := range rules {
					list = append(list, ruleJSON{r.ID, b.Show(r.Profile), b.VaultOf(r.Profile), r.Remote, r.Dir, r.User, r.Machine, r.Agent})
				}
				return a.json(list)
			}
			if len(rules) == 0 {
				fmt.Fprintln(a.err, "no rules yet: run kb rule add PROFILE --remote 'github.com/acme/*'")
				return nil
			}
			t := newTable(a.out, "ID", "PROFILE", "CONDITIONS")
			for _, r := range rules {
				t.row(r.ID, b.Show(r.Profile), r.Conditions())
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newRuleRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm ID", Short: "remove a rule", Args: exactArgs(1, "a rule's id"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			if err := b.RemoveRule(cmd.Context(), args[0]); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "rule %s is removed\n", args[0])
			return nil
		}),
	}
}

func newRuleTest(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "test [DIR]", Short: "say which profile a directory would get, without pinning it", Args: maxArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runWhich(cmd.Context(), a, whichOptions{dir: first(args), json: asJSON, ignorePin: true})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
