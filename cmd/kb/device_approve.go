package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
	"kb/vaultfile"
)

// maxRequest bounds what is read of a request; a post-quantum one has 3 KB.
const maxRequest = 16 << 10

func newDeviceApprove(a *app) *cobra.Command {
	var fingerprint string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "approve REQUEST",
		Short: "let the machine that printed a request into the vault",
		Long: `Let the machine that printed a request (kb device join) into the vault.

It shows the request's fingerprint, and asks whether the new machine shows the same:
whoever swaps the request on the way cannot make it show these words. Then it shows
six words of its own, which the new machine asks for: by them it knows that the
vault it gets is yours, and not one that the git host made up.

A REQUEST of - is read from standard input.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usage(cmd, fmt.Errorf("%s needs the request that kb device join printed", cmd.CommandPath()))
			}
			return nil
		},
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			text := strings.Join(args, "") // a pasted line may have been broken
			if text == "-" {
				data, err := io.ReadAll(io.LimitReader(a.in, maxRequest+1))
				if err != nil {
					return fmt.Errorf("read standard input: %w", err)
				}
				text = string(data)
			}
			request, err := vaultfile.ParseJoinRequest(text)
			if err != nil {
				return err
			}
			return runApprove(cmd.Context(), a, request, fingerprint, asJSON)
		}),
	}
	cmd.Flags().StringVar(&fingerprint, "fingerprint", "", "the words that the new machine shows; answers the question")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func runApprove(ctx context.Context, a *app, request *vaultfile.JoinRequest, fingerprint string, asJSON bool) error {
	b, err := a.broker(ctx)
	if err != nil {
		return err
	}
	if err := compareFingerprint(ctx, request, fingerprint); err != nil {
		return err
	}
	approval, err := b.Approve(ctx, request)
	if err != nil {
		return err
	}
	if asJSON {
		return a.json(struct {
			Device      string `json:"device"`
			ID          string `json:"id"`
			Fingerprint string `json:"fingerprint"`
			Code        string `json:"code"`
		}{approval.Device, approval.ID, request.Fingerprint(), approval.Code})
	}
	fmt.Fprintf(a.err, "%s is in the vault %s\nits code, six words (say them by a way that you trust, and not with the vault):\n", plain.Clean(approval.Device), b.VaultPath())
	fmt.Fprintln(a.out, strings.ReplaceAll(approval.Code, "-", " "))
	fmt.Fprintln(a.err, "next: bring the vault there (kb sync here, git pull there), and run kb device join on it again")
	return nil
}

// compareFingerprint has a person compare the request that came with the one
// that the new machine shows.
func compareFingerprint(ctx context.Context, request *vaultfile.JoinRequest, typed string) error {
	if typed != "" {
		if !request.HasFingerprint(typed) {
			return hint.Exit(hint.Refused, fmt.Errorf("approve device %q: this request's fingerprint is %s: it is not the one that the new machine shows",
				request.Name, request.Fingerprint()), "the request was swapped or mixed up on its way: bring it anew, from the new machine's own screen (kb device join)")
		}
		return nil
	}
	tty, err := term.OpenTTY()
	if err != nil {
		return hint.Exit(hint.Human, errors.New("approve device: no terminal to compare the fingerprint on"),
			"run it in a terminal, or add --fingerprint 'WORDS' as the new machine shows them")
	}
	defer tty.Close()
	tty.Printf("device      %s\nfingerprint %s\n", plain.Clean(request.Name), request.Fingerprint())
	yes, err := tty.Confirm(ctx, "Does the new machine show the same fingerprint?")
	if err != nil {
		return hint.Exit(hint.Cancelled, fmt.Errorf("approve device: %w", err), "")
	}
	if !yes {
		return hint.Exit(hint.Cancelled, errors.New("approve device: declined"), "")
	}
	return nil
}
