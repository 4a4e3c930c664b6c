package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"kb/internal/hint"
	"kb/internal/term"
)

// settingHelp says of each setting what it is, and what holds while it is not set.
var settingHelp = []struct{ key, unset, short string }{
	{"git_dir", "found", "git directory of the repository that holds the vault"},
	{"isolation", "auto", "tier of kb exec when no flag names one: auto, off, hardened"},
	{"upstream_ca", "the system's", "further certificates to trust, for the servers of logins"},
}

func newConfig(a *app) *cobra.Command {
	return group("config", "settings of this device: isolation, where git is, certificates", newConfigList(a), newConfigGet(a), newConfigSet(a))
}

func newConfigList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list the settings", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			values, err := settings(cmd, a)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(values)
			}
			t := newTable(a.out, "SETTING", "VALUE", "UNSET MEANS", "WHAT IT IS")
			for _, s := range settingHelp {
				value := values[s.key]
				if s.key == "upstream_ca" && value != "" {
					value = "set" // it is the certificates themselves
				}
				t.row(s.key, value, s.unset, s.short)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func settings(cmd *cobra.Command, a *app) (map[string]string, error) {
	b, err := a.brokerOfAny(cmd.Context())
	if err != nil {
		return nil, err
	}
	list, err := b.Settings()
	values := map[string]string{}
	for _, s := range list {
		values[s.Key] = s.Value
	}
	return values, err
}

func newConfigGet(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "print a setting", Args: exactArgs(1, "a setting's name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := settings(cmd, a)
			if err != nil {
				return err
			}
			value, ok := values[args[0]]
			if !ok {
				return hint.Wrap(fmt.Errorf("find setting %q: there is none of that name", args[0]), "run kb config ls")
			}
			fmt.Fprintln(a.out, value)
			return nil
		},
	}
}

func newConfigSet(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "set KEY VALUE",
		Short: "change a setting; it is confirmed on the terminal",
		Long: `Change a setting of this device. It carries trust, so it is confirmed on the
terminal and kept in the device's encrypted state.

  git_dir       git directory of the repository that holds the vault, absolute, where
                kb does not find it: a bare dotfiles repository in a place of your own
  isolation     tier of kb exec when no flag names one: auto, off, hardened
  upstream_ca   file of certificates (PEM) to trust for upstreams besides the system's;
                its content is kept, not its path

An empty VALUE unsets it.`,
		Args: exactArgs(2, "a setting's name and its value"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			key, value := args[0], args[1]
			shown := value
			if key == "upstream_ca" && value != "" {
				pem, err := os.ReadFile(value)
				if err != nil {
					return fmt.Errorf("read upstream CA: %w", err)
				}
				value = string(pem)
			}
			tty, err := term.OpenTTY()
			if err != nil {
				return hint.Exit(hint.Human, errors.New("change setting: no terminal to confirm on"), "run kb config set in a terminal")
			}
			defer tty.Close()
			yes, err := tty.Confirm(cmd.Context(), fmt.Sprintf("Set %s of this device to %q?", key, shown))
			if err != nil {
				return hint.Exit(hint.Cancelled, err, "")
			}
			if !yes {
				return hint.Exit(hint.Cancelled, errors.New("change setting: declined"), "")
			}
			return b.PutSetting(cmd.Context(), key, value)
		}),
	}
}
