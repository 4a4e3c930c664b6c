package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
)

func newVaultRestore(a *app) *cobra.Command {
	var asJSON, all bool
	cmd := &cobra.Command{
		Use:   "restore REV [NAME]",
		Short: "bring back what was deleted, from a version in git",
		Long: `Bring a record back as the vault had it in a revision of its git repository: a
deleted login, rule or profile. NAME is as kb vault history prints it, such as
login/work/openai. Without NAME it lists what the revision has and the vault has
not; --all brings all of that back, after a question on the terminal.

The revision must be signed by a device of yours. If that device was removed
since, nobody can tell whether it was made before, so it is asked for.`,
		Args: cobra.MatchAll(minArgs(1, "a revision, as kb vault history prints it"), maxArgs(2)),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if all && len(args) == 2 {
				return usage(cmd, errors.New("kb vault restore takes a NAME or --all"))
			}
			b, err := a.broker(ctx)
			if err != nil {
				return err
			}
			rev, err := b.Revision(ctx, args[0])
			if err != nil {
				return err
			}
			lacks := b.Lacks(rev)
			names := args[1:]
			if len(names) == 0 && !all {
				if asJSON {
					return a.json(changesJSON(lacks, b.DeviceNames()))
				}
				if len(lacks) == 0 {
					fmt.Fprintln(a.err, "the vault has everything that this revision has")
				}
				for _, c := range lacks {
					fmt.Fprintln(a.out, plain.Clean(c.Type+"/"+c.Key))
				}
				return nil
			}
			if all {
				for _, c := range lacks {
					names = append(names, c.Type+"/"+c.Key)
				}
				if len(names) == 0 {
					fmt.Fprintln(a.err, "the vault has everything that this revision has")
					return nil
				}
				if err := confirm(ctx, "restore", fmt.Sprintf("Restore %s from %.10s?", plural(len(names), "record"), rev.Commit), "name what to restore: kb vault restore REV NAME"); err != nil {
					return err
				}
			}
			if rev.File.SignerRemoved() {
				who := deviceName(rev.File.Signer(), b.DeviceNames())
				if err := confirm(ctx, "restore",
					fmt.Sprintf("Revision %.10s was saved by device %s, which was removed since and could have made it after that. Restore from it?", rev.Commit, who),
					"choose a revision of another device: kb vault history; or answer in a terminal"); err != nil {
					return err
				}
			}
			if err := b.Restore(ctx, rev, names...); err != nil {
				return err
			}
			for _, name := range names {
				fmt.Fprintf(a.err, "restored %s from %.10s\n", plain.Clean(name), rev.Commit)
			}
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&all, "all", false, "restore all that the vault has no more")
	return cmd
}

// confirm asks on the terminal; without one, fix is what to do instead.
func confirm(ctx context.Context, verb, question, fix string) error {
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, fmt.Errorf("%s: no terminal to ask on: %s", verb, question), fix)
	}
	defer tty.Close()
	yes, err := tty.Confirm(ctx, question)
	if err != nil {
		return hint.Exit(hint.Cancelled, err, "")
	}
	if !yes {
		return hint.Exit(hint.Cancelled, fmt.Errorf("%s: %w", verb, broker.ErrDeclined), fix)
	}
	return nil
}

func minArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return usage(cmd, fmt.Errorf("%s needs %s", cmd.CommandPath(), what))
	}
}
