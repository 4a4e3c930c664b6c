package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
	cmd := &cobra.Command{
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
			if _, ok := findProfile(b.Contents(), p.Name); ok {
				return hint.Wrap(fmt.Errorf("add profile %q: it exists", p.Name), "run kb profile set "+p.Name+" … to change it")
			}
			if err := b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error { return tx.PutProfile(p) }); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "profile %s added; give it a rule (kb rule add %s --remote …) and logins (kb login PROVIDER -p %s)\n", p.Name, p.Name, p.Name)
			return nil
		}),
	}
	f.register(cmd)
	return cmd
}

func newProfileSet(a *app) *cobra.Command {
	var f profileFlags
	cmd := &cobra.Command{
		Use: "set NAME", Short: "change a profile", Args: exactArgs(1, "a profile name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			p, ok := findProfile(b.Contents(), args[0])
			if !ok {
				return noProfile(args[0])
			}
			if err := f.apply(cmd, &p); err != nil {
				return err
			}
			return b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error { return tx.PutProfile(p) })
		}),
	}
	f.register(cmd)
	return cmd
}

// profileJSON is a profile in --json output.
type profileJSON struct {
	Name       string            `json:"name"`
	GitName    string            `json:"git_name,omitempty"`
	GitEmail   string            `json:"git_email,omitempty"`
	SigningKey string            `json:"signing_key,omitempty"`
	Also       []string          `json:"also,omitempty"`
	Egress     string            `json:"egress"`
	Expect     map[string]string `json:"expect,omitempty"`
	Default    bool              `json:"default,omitempty"`
	Rules      []string          `json:"rules"`
	Logins     []string          `json:"logins"`
}

func describeProfile(c vaultfile.Contents, p profile.Profile) profileJSON {
	out := profileJSON{
		Name: p.Name, GitName: p.GitName, GitEmail: p.GitEmail, SigningKey: p.SigningKey,
		Also: p.Also, Egress: p.Egress, Expect: p.Expect, Default: c.Setting(vaultfile.SettingDefaultProfile) == p.Name,
		Rules: []string{}, Logins: []string{},
	}
	if out.Egress == "" {
		out.Egress = "open"
	}
	for _, r := range c.Rules {
		if r.Profile == p.Name {
			out.Rules = append(out.Rules, r.ID+": "+describeRule(r))
		}
	}
	for _, l := range c.Logins {
		if l.Profile == p.Name {
			out.Logins = append(out.Logins, loginName(l))
		}
	}
	return out
}

func newProfileList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list profiles", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			c := b.Contents()
			list := []profileJSON{}
			for _, p := range c.Profiles {
				list = append(list, describeProfile(c, p))
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
		Use: "show NAME", Short: "show a profile with its rules and logins", Args: exactArgs(1, "a profile name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			p, ok := findProfile(b.Contents(), args[0])
			if !ok {
				return noProfile(args[0])
			}
			d := describeProfile(b.Contents(), p)
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
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			name := args[0]
			if _, ok := findProfile(b.Contents(), name); !ok {
				return noProfile(name)
			}
			return b.RemoveProfile(cmd.Context(), name)
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
			} else if _, ok := findProfile(b.Contents(), name); !ok {
				return noProfile(name)
			}
			return b.Edit(cmd.Context(), func(tx *vaultfile.Tx) error {
				return tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile, Value: name})
			})
		}),
	}
}

func findProfile(c vaultfile.Contents, name string) (profile.Profile, bool) {
	i := slices.IndexFunc(c.Profiles, func(p profile.Profile) bool { return p.Name == name })
	if i < 0 {
		return profile.Profile{}, false
	}
	return c.Profiles[i], true
}

func noProfile(name string) error {
	return hint.Wrap(fmt.Errorf("find profile %q: there is none of that name", name), "run kb profile ls, or kb profile add "+name)
}
