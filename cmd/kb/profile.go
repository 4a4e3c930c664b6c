package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/profile"
	"kb/vaultfile"
)

func newProfile(a *app) *cobra.Command {
	return group("profile", "make and list identities",
		newProfileAdd(a), newProfileSet(a), newProfileList(a), newProfileShow(a), newProfileRemove(a), newProfileDefault(a))
}

// profileFlags are the fields of a profile on the command line.
type profileFlags struct {
	gitName, gitEmail, signingKey, egress string
	also, expect                          []string
}

func (f *profileFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.gitName, "git-name", "", "user.name of the session's git")
	flags.StringVar(&f.gitEmail, "git-email", "", "user.email of the session's git")
	flags.StringVar(&f.signingKey, "signing-key", "", "user.signingkey of the session's git")
	flags.StringSliceVar(&f.also, "also", nil, "profile that its sessions may use as well (repeatable)")
	flags.StringVar(&f.egress, "egress", "", "open: hosts without a login pass unread; listed: they are refused")
	flags.StringSliceVar(&f.expect, "expect", nil, "PROVIDER=ACCOUNT that a login must answer as (repeatable)")
}

// apply changes the fields whose flags were given.
func (f *profileFlags) apply(cmd *cobra.Command, p *profile.Profile) error {
	flags := cmd.Flags()
	set := func(name string, field *string, value string) {
		if flags.Changed(name) {
			*field = value
		}
	}
	set("git-name", &p.GitName, f.gitName)
	set("git-email", &p.GitEmail, f.gitEmail)
	set("signing-key", &p.SigningKey, f.signingKey)
	set("egress", &p.Egress, f.egress)
	if flags.Changed("also") {
		p.Also = f.also
	}
	if flags.Changed("expect") {
		p.Expect = map[string]string{}
		for _, pair := range f.expect {
			provider, account, ok := strings.Cut(pair, "=")
			if !ok || provider == "" || account == "" {
				return usage(cmd, fmt.Errorf("--expect needs PROVIDER=ACCOUNT, got %q", pair))
			}
			p.Expect[provider] = account
		}
	}
	if err := profile.ValidateProfile(*p); err != nil {
		return usage(cmd, err)
	}
	return nil
}

func newProfileAdd(a *app) *cobra.Command {
	var f profileFlags
	cmd := a.vaultFlag(&cobra.Command{
		Use: "add NAME", Short: "make a profile", Args: exactArgs(1, "a profile name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			p := profile.Profile{Name: args[0]}
			if err := f.apply(cmd, &p); err != nil {
				return err
			}
			contents := b.Contents()
			if _, ok := contents.Profile(p.Name); ok {
				return hint.Wrap(fmt.Errorf("add profile %q: it exists", p.Name), "run kb profile set "+p.Name+" … to change it")
			}
			if err := b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error { return tx.PutProfile(p) }); err != nil {
				return err
			}
			name := p.Name
			if _, err := b.Find(name); err != nil {
				name = b.VaultName() + "/" + name
				var ambiguous *broker.AmbiguousProfileError
				if errors.As(err, &ambiguous) {
					fmt.Fprintf(a.err, "note: it is not the only profile %s: say %s\n", p.Name, name)
				}
			}
			fmt.Fprintf(a.err, "profile %s added; give it a rule (kb rule add %s --remote …) and logins (kb login PROVIDER -p %s)\n", name, name, name)
			return nil
		}),
	})
	f.register(cmd)
	return cmd
}

func newProfileSet(a *app) *cobra.Command {
	var f profileFlags
	cmd := &cobra.Command{
		Use: "set NAME", Short: "change a profile", Args: exactArgs(1, "a profile name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			full, err := b.Find(args[0])
			if err != nil {
				return err
			}
			return b.ChangeProfile(cmd.Context(), full, cmd.Flags().Changed("also"), func(p *profile.Profile) error { return f.apply(cmd, p) })
		}),
	}
	f.register(cmd)
	return cmd
}

// profileJSON is a profile in --json output.
type profileJSON struct {
	Name       string            `json:"name"` // as -p takes it
	Vault      string            `json:"vault"`
	GitName    string            `json:"git_name,omitempty"`
	GitEmail   string            `json:"git_email,omitempty"`
	SigningKey string            `json:"signing_key,omitempty"`
	Also       []string          `json:"also,omitempty"`
	Egress     string            `json:"egress"`
	Expect     map[string]string `json:"expect,omitempty"`
	Default    bool              `json:"default,omitempty"`
	Rules      []string          `json:"rules"`
	Logins     []string          `json:"logins"`
	Policy     []string          `json:"policy"`
}

// describeProfile describes a profile with the records of its vault.
func describeProfile(b *broker.Broker, full string, c vaultfile.Contents, p profile.Profile) profileJSON {
	out := profileJSON{
		Name: b.Show(full), Vault: b.VaultOf(full), GitName: p.GitName, GitEmail: p.GitEmail, SigningKey: p.SigningKey,
		Also: p.Also, Egress: p.Egress, Expect: p.Expect, Default: b.DefaultProfile() == full,
		Rules: []string{}, Logins: []string{}, Policy: []string{},
	}
	if out.Egress == "" {
		out.Egress = "open"
	}
	for _, r := range c.Rules {
		if r.Profile == p.Name {
			out.Rules = append(out.Rules, r.ID+": "+r.Conditions())
		}
	}
	for _, l := range c.Logins {
		if l.Profile == p.Name {
			out.Logins = append(out.Logins, loginName(l))
		}
	}
	for _, l := range c.Policies {
		if l.Profile == p.Name {
			out.Policy = append(out.Policy, l.ID+": "+broker.PolicyWords(l))
		}
	}
	return out
}

func newProfileList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list profiles", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			list := []profileJSON{}
			for _, named := range b.All().Profiles {
				p, c, err := b.Profile(named.Name)
				if err != nil {
					return err
				}
				list = append(list, describeProfile(b, named.Name, c, p))
			}
			if asJSON {
				return a.json(list)
			}
			if len(list) == 0 {
				fmt.Fprintln(a.err, "no profiles yet: run kb profile add NAME")
				return nil
			}
			t := newTable(a.out, "PROFILE", "GIT", "RULES", "LOGINS")
			for _, p := range list {
				name := p.Name
				if p.Default {
					name += " (default)"
				}
				t.row(name, p.GitEmail, fmt.Sprint(len(p.Rules)), strings.Join(p.Logins, " "))
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newProfileShow(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show NAME", Short: "show a profile with its rules, logins and policy", Args: exactArgs(1, "a profile name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			full, err := b.Find(args[0])
			if err != nil {
				return err
			}
			p, c, err := b.Profile(full)
			if err != nil {
				return err
			}
			d := describeProfile(b, full, c, p)
			if asJSON {
				return a.json(d)
			}
			t := newTable(a.out)
			t.row("profile", d.Name)
			for _, field := range []struct{ name, value string }{
				{"git name", d.GitName},
				{"git email", d.GitEmail},
				{"signing key", d.SigningKey},
				{"also", strings.Join(d.Also, " ")},
				{"egress", d.Egress},
			} {
				if field.value != "" {
					t.row(field.name, field.value)
				}
			}
			for _, provider := range sortedNames(d.Expect) {
				t.row("expect", provider+" answers as "+d.Expect[provider])
			}
			for _, r := range d.Rules {
				t.row("rule", r)
			}
			for _, l := range d.Logins {
				t.row("login", l)
			}
			for _, l := range d.Policy {
				t.row("policy", l)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newProfileRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm NAME", Short: "remove a profile, its rules and its logins", Args: exactArgs(1, "a profile name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			full, err := b.Find(args[0])
			if err != nil {
				return err
			}
			shown := b.Show(full)
			if err := b.RemoveProfile(cmd.Context(), full); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "profile %s is removed, with its rules, policy and logins\n", shown)
			return nil
		}),
	}
}

func newProfileDefault(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "default NAME|none", Short: "set the profile for directories that no rule matches", Args: exactArgs(1, "a profile name, or none"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			name := args[0]
			if name == "none" {
				name = ""
			} else if name, err = b.Find(name); err != nil {
				return err
			} else if strings.Contains(name, "/") {
				return hint.Wrap(fmt.Errorf("set default profile: %s is not in vault %s, whose setting it is", name, b.VaultName()),
					"name a profile of that vault (kb profile ls), or give the directory a rule: kb rule add "+name+" --dir …")
			}
			err = b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error {
				return tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile, Value: name})
			})
			switch {
			case err != nil:
				return err
			case name == "":
				fmt.Fprintln(a.err, "where no rule matches there is no profile: kb exec refuses there")
			default:
				fmt.Fprintf(a.err, "where no rule matches, profile %s is used\n", name)
			}
			return nil
		}),
	}
}
