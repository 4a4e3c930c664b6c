package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/secret"
	"kb/internal/term"
)

func newInit(a *app) *cobra.Command {
	var o broker.InitOptions
	var passphrase bool
	cmd := &cobra.Command{
		Use:   "init",
		Short: "make this device's identity and a vault",
		Long: `Make this device's identity, and a vault that it can open.

The vault is one age-encrypted file, meant to be kept with your dotfiles. On a
device that has one, --name NAME adds another, such as one that a team shares.
With --passphrase the identity is wrapped by one; kb unlock then opens it for a while.

With --pq the keys are age's hybrid of ML-KEM-768 and X25519, so that a copy of the
vault taken today stays closed to a quantum computer. age encrypts no file both to
such keys and to others: every device of such a vault joins with --pq, recovery keys
are of the same kind, and ssh keys and most age plugins cannot be added.`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			o.Paths, o.Getenv = paths, a.getenv
			if passphrase {
				if o.Passphrase, err = newPassphrase(cmd.Context(), "kb init --passphrase"); err != nil {
					return err
				}
			}
			result, err := broker.Init(cmd.Context(), o)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "identity %s\nvault    %s\n", result.Identity, result.Vault)
			if result.PostQuantum {
				fmt.Fprintln(a.err, "note: the vault is post-quantum, and age mixes such keys with no others: other devices join it with kb device join --pq")
			}
			if result.Further {
				fmt.Fprintf(a.err, "note: its profiles are %s/NAME where another vault has one of that name\n", result.Name)
				fmt.Fprintf(a.err, "next: kb profile add NAME --vault %s\n", result.Name)
				return nil
			}
			fmt.Fprintln(a.err, "note: only this identity opens the vault: run kb device add-recovery for a key on paper")
			fmt.Fprintln(a.err, "next: kb profile add NAME --git-email EMAIL")
			return nil
		}),
	}
	cmd.Flags().StringVar(&o.VaultPath, "vault", "", "where to put the vault (a dotfiles repository); default: the config folder")
	cmd.Flags().StringVar(&o.Name, "name", "", "name of the vault; needed where there are several")
	cmd.Flags().StringVar(&o.Device, "device", "", "name of this device; default: the host name")
	cmd.Flags().BoolVar(&o.PostQuantum, "pq", false, "make post-quantum keys (age1pq1…)")
	cmd.Flags().BoolVar(&passphrase, "passphrase", false, "wrap the identity with a passphrase")
	return cmd
}

// newPassphrase asks for a passphrase twice; verb is what to run again.
func newPassphrase(ctx context.Context, verb string) (secret.Value, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		return secret.Value{}, hint.Exit(hint.Human, errors.New("ask for a passphrase: no terminal"), "run "+verb+" in a terminal")
	}
	defer tty.Close()
	first, err := tty.AskSecret(ctx, "New passphrase: ")
	if err != nil {
		return secret.Value{}, hint.Exit(hint.Cancelled, err, "")
	}
	second, err := tty.AskSecret(ctx, "Once more: ")
	if err != nil {
		return secret.Value{}, hint.Exit(hint.Cancelled, err, "")
	}
	if first.IsZero() || !first.Equal(second) {
		return secret.Value{}, hint.Exit(hint.Cancelled, errors.New("set passphrase: the two differ, or are empty"), "run "+verb+" again")
	}
	return first, nil
}
