package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/secret"
	"kb/internal/term"
	"kb/vaultfile"
)

func newVaultRecover(a *app) *cobra.Command {
	var o broker.RecoverOptions
	var passphrase, stdin bool
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "let this machine into the vault with the recovery key on paper",
		Long: `Let this machine into the vault with the recovery key on paper (kb device
add-recovery), when no other device is left to approve it.

The key is asked for without echo, or read from standard input with --stdin. The
paper vouches for the devices there were when it was made; if all of them were
removed since, nothing on it says that the vault is genuine, and kb asks you.`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			ctx := cmd.Context()
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			o.Paths, o.Getenv = paths, a.getenv
			key, err := readPaper(ctx, a, stdin)
			if err != nil {
				return err
			}
			recovery, err := broker.Recover(ctx, o, key)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "vault %s, saved last by %s on %s\n", recovery.VaultID, signerName(recovery.Signer), recovery.Saved.Local().Format("2006-01-02 15:04"))
			if recovery.Broken {
				if err := believeVault(ctx, recovery); err != nil {
					return err
				}
			}
			var wrap secret.Value
			if passphrase {
				if wrap, err = newPassphrase(ctx, "kb vault recover --passphrase"); err != nil {
					return err
				}
			}
			result, err := recovery.Finish(ctx, recovery.Broken, wrap)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "identity %s\nvault    %s\n", result.Identity, result.Vault)
			fmt.Fprintln(a.err, "this device is in the vault, vouched for by the recovery key; keep the paper: it stays valid")
			fmt.Fprintln(a.err, "next: kb device ls, and kb device rm NAME for each device that is lost")
			return nil
		}),
	}
	cmd.Flags().StringVar(&o.VaultPath, "vault", "", "where the vault is; default: the config folder")
	cmd.Flags().StringVar(&o.VaultName, "vault-name", "", "what this device calls the vault, where there are several")
	cmd.Flags().StringVar(&o.Device, "device", "", "name of this device; default: the host name")
	cmd.Flags().BoolVar(&passphrase, "passphrase", false, "wrap the identity with a passphrase")
	cmd.Flags().BoolVar(&stdin, "stdin", false, "read the recovery key from standard input")
	return cmd
}

// readPaper reads the key: the one line that begins with AGE-SECRET-KEY-, or
// the whole text that kb device add-recovery printed.
func readPaper(ctx context.Context, a *app, stdin bool) (secret.Value, error) {
	if !stdin {
		tty, err := term.OpenTTY()
		if err != nil {
			return secret.Value{}, hint.Exit(hint.Human, errors.New("recover vault: no terminal to ask for the recovery key on"), "pipe it in: kb vault recover --stdin")
		}
		defer tty.Close()
		key, err := tty.AskSecret(ctx, "Recovery key (AGE-SECRET-KEY-…): ")
		if err != nil {
			return secret.Value{}, hint.Exit(hint.Cancelled, fmt.Errorf("recover vault: %w", err), "")
		}
		return key, nil
	}
	text, err := io.ReadAll(io.LimitReader(a.in, maxSecretInput))
	if err != nil {
		return secret.Value{}, fmt.Errorf("read standard input: %w", err)
	}
	var key strings.Builder
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			key.WriteString(line)
		}
	}
	return secret.New(key.String()), nil
}

// believeVault asks for a typed confirmation of a vault that the paper does not
// vouch for.
func believeVault(ctx context.Context, r *broker.Recovery) error {
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, vaultfile.ErrBrokenChain, "run kb vault recover in a terminal, where you can say that it is yours")
	}
	defer tty.Close()
	tty.Printf(`No chain leads from the recovery key to who saved this vault: the devices that it
vouched for were removed since, or somebody else made this file.
  vault   %s %s
  signer  %s, id %s
  saved   %s
`, r.VaultID, plain.Clean(r.Name), signerName(r.Signer), r.Signer.ID, r.Saved.Local().Format("2006-01-02 15:04"))
	line, err := tty.AskLine(ctx, "If you know that device and trust the file, type its id: ")
	if err != nil {
		return hint.Exit(hint.Cancelled, fmt.Errorf("recover vault: %w", err), "")
	}
	if line != r.Signer.ID {
		return hint.Exit(hint.Cancelled, fmt.Errorf("recover vault: not confirmed: %w", vaultfile.ErrBrokenChain), "restore a version of the vault that you know (git log -- vault.age), and run kb vault recover again")
	}
	return nil
}

func signerName(d vaultfile.Device) string {
	if d.Name == "" {
		return "a device that is not in it (" + d.ID + ")"
	}
	return "device " + plain.Clean(d.Name)
}
