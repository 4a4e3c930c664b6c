package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
	"kb/vaultfile"
)

func newVaultAccept(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "accept",
		Short: "take a vault that this device refuses as older or foreign",
		Long: `Take the vault as it is on the disk as the one to believe from now on, although
it is older than what this device saw last, or another vault. Whoever could write
the file may have chosen what it says: which hosts get which credential. It is
therefore confirmed by typing on the terminal.`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			b, err := a.device(ctx)
			if err != nil {
				return err
			}
			doubt := b.Doubt(ctx)
			a.sayNotes(b)
			switch {
			case doubt == nil:
				fmt.Fprintln(a.err, "this device accepts the vault as it is; there is nothing to confirm")
				return nil
			case !broker.CanAccept(doubt):
				return doubt
			}
			tty, err := term.OpenTTY()
			if err != nil {
				return hint.Exit(hint.Human, fmt.Errorf("accept vault: no terminal to confirm on: %w", doubt), "run kb vault accept in a terminal")
			}
			defer tty.Close()
			word, what := "older", "What was added since then is lost, unless another device has it."
			switch {
			case errors.Is(doubt, vaultfile.ErrForeignVault):
				word, what = "foreign", "Its rules and hosts are somebody's who may not be you."
			case errors.Is(doubt, vaultfile.ErrForked):
				word, what = "forked", "What this device saved last is lost, unless the file has it."
			}
			tty.Printf("%s\n%s\n", plain.Clean(doubt.Error()), what)
			answer, err := tty.AskLine(ctx, fmt.Sprintf("Type %q to take it: ", word))
			if err != nil {
				return hint.Exit(hint.Cancelled, err, "")
			}
			if answer != word {
				return hint.Exit(hint.Cancelled, fmt.Errorf("accept vault: %w", broker.ErrDeclined), "run kb vault accept again")
			}
			if err := b.AcceptVault(ctx); err != nil {
				return err
			}
			fmt.Fprintf(a.err, "vault %s is accepted as it is\n", plain.Clean(b.VaultPath()))
			return nil
		}),
	}
}
