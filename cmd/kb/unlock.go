package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/internal/term"
)

func newUnlock(a *app) *cobra.Command {
	var lifetime time.Duration
	var from string
	cmd := &cobra.Command{
		Use: "unlock", Short: "open a passphrase-wrapped identity for a while", Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			if !wrapped(paths) {
				return hint.Exit(hint.Failure, errors.New("unlock: this device's identity has no passphrase, there is nothing to unlock"), "run kb status to see what there is")
			}
			var passphrase secret.Value
			if from != "" {
				if err := broker.CheckReference(from); err != nil {
					return usage(cmd, err)
				}
				passphrase, err = broker.Passphrase(cmd.Context(), broker.Options{Paths: paths, Getenv: a.getenv}, from)
			} else {
				passphrase, err = askPassphrase(cmd.Context())
			}
			if err != nil {
				return err
			}
			scope, err := broker.Unlock(paths, passphrase, lifetime)
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "unlocked until %s\n", time.Now().Add(lifetime).Format("Mon 15:04"))
			if scope == state.ScopeUser {
				fmt.Fprintln(a.err, "note: there is no login session here, so every process of this user can read the key meanwhile, an agent's too")
			}
			return nil
		}),
	}
	cmd.Flags().DurationVar(&lifetime, "for", 8*time.Hour, "how long")
	cmd.Flags().StringVar(&from, "from", "", "reference to the passphrase (docs/references.md), in place of typing it")
	return cmd
}

// wrapped reports whether the device's identity is in a file that a passphrase
// opens. A device without any is told so by the broker.
func wrapped(p broker.Paths) bool {
	_, err := os.Stat(p.IdentityFile())
	return err != nil
}

func askPassphrase(ctx context.Context) (secret.Value, error) {
	tty, err := term.OpenTTY()
	if err != nil {
		return secret.Value{}, hint.Exit(hint.Human, errors.New("unlock: no terminal to ask on"), "run kb unlock in a terminal")
	}
	defer tty.Close()
	passphrase, err := tty.AskSecret(ctx, "Passphrase: ")
	return passphrase, hint.Exit(hint.Cancelled, err, "")
}

func newLock(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "lock", Short: "forget the unlocked identity", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			if err := broker.Lock(paths); err != nil {
				return err
			}
			if wrapped(paths) {
				fmt.Fprintln(a.err, "locked; kb unlock asks for the passphrase. Sessions that run go on with what they have")
			} else {
				fmt.Fprintln(a.err, "nothing to lock: this device's identity has no passphrase")
			}
			return nil
		},
	}
}
