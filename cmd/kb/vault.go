package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newVault(a *app) *cobra.Command {
	return group("vault", "where the vault is and what is in it", newVaultPath(a), newVaultShow(a), newVaultRecover(a))
}

func newVaultPath(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "print where the vault is", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			fmt.Fprintln(a.out, b.VaultPath())
			return nil
		},
	}
}

func newVaultShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "list what the vault holds: names and kinds, never a secret", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			c := b.Contents()
			t := newTable(a.out)
			for _, p := range c.Profiles {
				t.row("profile", p.Name, p.GitEmail)
			}
			for _, r := range c.Rules {
				t.row("rule", r.ID, describeRule(r)+" gets "+r.Profile)
			}
			for _, l := range c.Logins {
				t.row("login", l.Profile+" at "+loginName(l), l.Account)
			}
			for _, p := range c.Providers {
				t.row("provider", p.Name, "")
			}
			for _, d := range c.Devices {
				t.row("device", d.Name, d.Kind)
			}
			for _, s := range c.Settings {
				t.row("setting", s.Name, s.Value)
			}
			return t.flush()
		},
	}
}
