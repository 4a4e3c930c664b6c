package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func newVault(a *app) *cobra.Command {
	return group("vault", "where the vault is and what is in it", newVaultPath(a), newVaultShow(a))
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

func newDevice(a *app) *cobra.Command {
	return group("device", "machines that can open the vault", newDeviceList(a), newDeviceAddCI(a))
}

func newDeviceList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list devices", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			type deviceJSON struct {
				ID        string `json:"id"`
				Name      string `json:"name"`
				Kind      string `json:"kind"`
				Recipient string `json:"recipient"`
				This      bool   `json:"this"`
			}
			list := []deviceJSON{}
			for _, d := range b.Contents().Devices {
				list = append(list, deviceJSON{d.ID, d.Name, d.Kind, d.Recipient, d.ID == b.DeviceID()})
			}
			if asJSON {
				return a.json(list)
			}
			t := newTable(a.out, "DEVICE", "KIND", "ID", "RECIPIENT")
			for _, d := range list {
				if d.This {
					d.Name += " (this one)"
				}
				t.row(d.Name, d.Kind, d.ID, d.Recipient)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newDeviceAddCI(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "add-ci NAME",
		Short: "make an identity for a CI job or a container",
		Long: `Make an identity for a CI job or a container: one file that holds all that the job
needs to open the vault and to trust it. Keep it as a secret of the CI system and
name it in KB_IDENTITY_FILE.`,
		Args: exactArgs(1, "a name for the job"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			if out == "" {
				out = "kb-" + args[0] + ".identity"
			}
			// Opened first, so that no device is added for a file that cannot be.
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("write CI identity: %w", err)
			}
			text, err := b.AddCI(cmd.Context(), args[0])
			if err == nil {
				_, err = f.WriteString(text.Reveal())
			}
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				_ = os.Remove(out)
				return err
			}
			fmt.Fprintf(a.err, "%s holds the identity of %s: store it as a secret of the CI system, then delete it here\n", out, args[0])
			return nil
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write; default kb-NAME.identity")
	return cmd
}
