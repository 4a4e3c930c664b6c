package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/plain"
)

func newDeviceAddRecovery(a *app) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:   "add-recovery",
		Short: "make a recovery key for paper",
		Long: `Make a recovery key, and print it once, on standard output. It is kept nowhere: write
it down or print it, and keep the paper away from your devices. Whoever has it can
read every secret of the vault.

With it, kb vault recover lets a new machine in when all others are gone; without kb,
age -d opens the vault.`,
		Args: noArgs,
		// No --json: a key for a person to write down is for no program.
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			id, recipient, key, err := b.AddPaper(cmd.Context(), name)
			if err != nil {
				return err
			}
			// The text is an age identity file as it stands.
			fmt.Fprintf(a.out, `# kb recovery key %q of vault %s, made %s on %s.
# Whoever has it can read every secret of the vault. Keep it on paper, away from
# your devices. It is shown this once.
# With kb, on a new machine:  kb vault recover --vault vault.age
# Without kb, typed into a file:  age -d -i FILE vault.age
# public key: %s
%s
`, plain.Clean(name), b.VaultID(), time.Now().Format(time.DateOnly), plain.Clean(b.DeviceName()), shortRecipient(recipient), key.Reveal())
			fmt.Fprintf(a.err, "recovery key %s is in the vault; kb device rm %s takes it out\n", plain.Clean(name), id)
			return nil
		}),
	}
	cmd.Flags().StringVar(&name, "name", "paper", "what to call the key")
	return cmd
}
