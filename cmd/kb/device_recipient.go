package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/hint"
	"kb/internal/plain"
	"kb/vaultfile"
)

func newDeviceAddRecipient(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "add-recipient RECIPIENT",
		Short: "encrypt the vault to one more public key, which can only read",
		Long: `Encrypt the vault to one more public key, whose owner can read it with age and change
nothing:

  ssh-ed25519 AAAA…    read with age -d -i ~/.ssh/id_ed25519 vault.age
  age1NAME1…           of an age plugin (age1yubikey1…): each save runs age-plugin-NAME,
                       so every device that saves the vault needs it installed
  age1…, age1pq1…      an age key of your own

It is no device of kb: kb itself opens the vault with its own identity alone. In a
post-quantum vault (kb init --pq) only age1pq1… can be added, for age encrypts no
file both to such keys and to others.`,
		Example: `  kb device add-recipient "$(cat ~/.ssh/id_ed25519.pub)" --name ssh`,
		Args:    exactArgs(1, "a recipient: age1… or ssh-ed25519 AAAA… in quotes"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			recipient, err := vaultfile.NormalRecipient(args[0])
			if err != nil {
				return err
			}
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			for _, d := range b.Contents().Devices {
				if d.Recipient == recipient {
					return hint.Wrap(errors.New("add recipient: the vault is encrypted to it already"), "run kb device ls")
				}
			}
			plugin := vaultfile.RecipientPlugin(recipient)
			if name == "" {
				name = "recipient " + recipient[len(recipient)-6:]
				if plugin != "" {
					name = plugin
				}
			}
			if err := b.AddRecipient(cmd.Context(), name, recipient); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "the vault is encrypted to %s as well, which can read it and change nothing\n", plain.Clean(name))
			if plugin != "" {
				fmt.Fprintf(a.err, "note: each save runs age-plugin-%s, which must be installed on every device that changes the vault\n", plugin)
			}
			return nil
		}),
	}
	cmd.Flags().StringVar(&name, "name", "", "what to call it; default: a name made from the key")
	return cmd
}
