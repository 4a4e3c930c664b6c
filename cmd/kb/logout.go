package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/term"
	"kb/vaultfile"
)

type logoutOptions struct {
	provider, profile, as   string
	everywhere, yes, asJSON bool
}

func newLogout(a *app) *cobra.Command {
	var o logoutOptions
	cmd := &cobra.Command{
		Use:   "logout PROVIDER",
		Short: "end a login: give its tokens back, or remove its key from the vault",
		Long: `End a login.

One that you granted in a browser ends on this device: its tokens are revoked at the
provider and deleted here. The login stays in the vault, and other devices go on with
it. With --everywhere it leaves the vault too, and each device gives its own tokens
back when it next opens the vault. Where the provider ends the whole grant with one
token, kb says so first and asks; --yes answers.

A key is always removed from the vault, and so from every device. It still works
where it was copied to: revoke it at the provider if it may be known.`,
		Example: `  kb logout linear -p work
  kb logout linear -p work --everywhere`,
		Args: exactArgs(1, "a provider's name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			o.provider = args[0]
			return runLogout(cmd.Context(), a, o)
		}),
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.profile, "profile", "p", "", "profile that loses the login; default: the one of this directory")
	flags.StringVar(&o.as, "as", "", "name of the login, where there are several")
	flags.BoolVar(&o.everywhere, "everywhere", false, "on every device, and not on this one alone")
	flags.BoolVar(&o.yes, "yes", false, "do it also where that ends the grant for other devices and programs")
	flags.BoolVar(&o.asJSON, "json", false, "print JSON")
	return cmd
}

// logoutJSON is kb logout --json.
type logoutJSON struct {
	Profile    string `json:"profile"`
	Provider   string `json:"provider"`
	As         string `json:"as,omitempty"`
	Removed    bool   `json:"removed"`     // from the vault, and so from every device
	Revoked    bool   `json:"revoked"`     // the provider took the tokens back
	EndedGrant bool   `json:"ended_grant"` // and with them all others of the same grant
	Note       string `json:"note,omitempty"`
}

func runLogout(ctx context.Context, a *app, o logoutOptions) error {
	b, err := a.brokerOfAny(ctx)
	if err != nil {
		return err
	}
	a.upkeep(ctx, b)
	spec := broker.LogoutSpec{Provider: o.provider, As: o.as, Everywhere: o.everywhere}
	if spec.Profile, err = profileOf(ctx, a, b, o.profile); err != nil {
		return err
	}
	plan, err := b.PlanLogout(spec)
	if err != nil {
		var unknown *broker.UnknownLoginError
		if errors.As(err, &unknown) {
			return hint.Wrap(fmt.Errorf("log out: profile %q has no login at %s", unknown.Profile, loginName(vaultfile.Login{Provider: o.provider, As: o.as})), "run kb status")
		}
		return err
	}
	name, shown := loginName(plan.Login), b.Show(spec.Profile)
	if plan.EndsGrant && !o.everywhere && !o.yes {
		if err := confirmEnd(ctx, name, "kb logout "+o.provider+loginFlags(shown, o.as)); err != nil {
			return err
		}
	}
	result, err := b.Logout(ctx, spec)
	if err != nil {
		return err
	}
	if o.asJSON {
		return a.json(logoutJSON{
			shown, o.provider, o.as, result.Removes, result.Revoked, result.Revoked && result.EndsGrant, result.Note,
		})
	}
	fmt.Fprintf(a.err, "profile %s is logged out of %s; %s\n", shown, name, result.Outcome())
	if result.Note != "" {
		fmt.Fprintf(a.err, "note: %s\n", cleanLines(result.Note))
	}
	return nil
}

// confirmEnd asks before a logout that reaches further than this device.
func confirmEnd(ctx context.Context, name, command string) error {
	const reach = "it ends the whole grant at the provider: your other devices and other logins of the account are logged out too"
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, fmt.Errorf("log out of %s: %s, and there is no terminal to ask on", name, reach), "if that is meant, run "+command+" --yes")
	}
	defer tty.Close()
	tty.Printf("log out of %s: %s\n", name, reach)
	yes, err := tty.Confirm(ctx, "Log out?")
	if err != nil {
		return hint.Exit(hint.Cancelled, fmt.Errorf("log out: %w", err), "")
	}
	if !yes {
		return hint.Exit(hint.Cancelled, errors.New("log out: declined, nothing was changed"), "")
	}
	return nil
}
