package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
	"kb/internal/hint"
	"kb/internal/plain"
	"kb/internal/term"
)

func newReference(a *app) *cobra.Command {
	return group("reference", "see what references of the vaults read and run here, and agree to it", newReferenceList(a), newReferenceAccept(a))
}

func newReferenceList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list references, and whether they may be used on this device", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			references, err := b.References(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				type referenceJSON struct {
					Profile  string `json:"profile,omitempty"`
					Provider string `json:"provider"`
					As       string `json:"as,omitempty"`
					Client   string `json:"client,omitempty"`
					Vault    string `json:"vault"`
					Field    string `json:"field"`
					Ref      string `json:"reference"`
					Here     string `json:"here,omitempty"` // what it reads or runs
					Agreed   bool   `json:"agreed"`
					Problem  string `json:"problem,omitempty"`
				}
				list := []referenceJSON{}
				for _, r := range references {
					list = append(list, referenceJSON{r.Profile, r.Provider, r.As, r.Client, r.Vault, r.Field, r.Ref, r.Reads, r.Agreed, r.Problem})
				}
				return a.json(list)
			}
			t := newTable(a.out, "FOR", "FIELD", "REFERENCE", "HERE")
			for _, r := range references {
				t.row(referenceOwner(r), r.Field, r.Ref, referenceStands(r))
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// referenceOwner is what a reference is for, in talk.
func referenceOwner(r broker.Reference) string {
	switch {
	case r.Client != "":
		return "client " + r.Client
	case r.As != "":
		return r.Profile + " at " + r.Provider + " (" + r.As + ")"
	}
	return r.Profile + " at " + r.Provider
}

func referenceStands(r broker.Reference) string {
	switch {
	case r.Problem != "":
		return "cannot be used: " + r.Problem
	case !r.Agreed:
		return "not agreed to: kb reference accept " + r.Provider
	case r.Reads != "":
		return r.Reads
	}
	return "may be used"
}

func newReferenceAccept(a *app) *cobra.Command {
	var profileName string
	cmd := &cobra.Command{
		Use:   "accept [PROVIDER]",
		Short: "agree to references that came with a vault",
		Long: `Agree to references that came with a vault: each that nobody on this device has
agreed to is shown, with what it reads or runs here and where its value goes, and
asked about on the terminal. A program, or the address of a Vault server, that is no
longer what it was when it was first used here is asked about too.`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			b, err := a.brokerOfAny(ctx)
			if err != nil {
				return err
			}
			full := ""
			if profileName != "" {
				if full, err = b.Find(profileName); err != nil {
					return err
				}
			}
			references, err := b.References(ctx)
			if err != nil {
				return err
			}
			var waiting []broker.Reference
			for _, r := range references {
				if (!r.Agreed || r.Problem != "") && (len(args) == 0 || args[0] == r.Provider) && (full == "" || r.Client == "" && r.Profile == b.Show(full)) {
					waiting = append(waiting, r)
				}
			}
			if len(waiting) == 0 {
				fmt.Fprintln(a.err, "no reference waits for agreement")
				return nil
			}
			tty, err := term.OpenTTY()
			if err != nil {
				return hint.Exit(hint.Human, errors.New("agree to references: no terminal to ask on"), "run kb reference accept in a terminal")
			}
			defer tty.Close()
			refused := 0
			for _, r := range waiting {
				here, err := b.Afresh(ctx, r)
				if err != nil {
					fmt.Fprintf(a.err, "%s, %s: %s\n", plain.Clean(referenceOwner(r)), plain.Clean(r.Field), cleanLines(err.Error()))
					refused++
					continue
				}
				shown := here
				if shown == "" {
					shown = "reads no file and runs no program"
				}
				tty.Printf("%s, %s, of vault %s\n    %s\n    here it %s\n    its value goes to %s\n",
					plain.Clean(referenceOwner(r)), plain.Clean(r.Field), r.Vault, plain.Clean(r.Ref), plain.Clean(shown), plain.Clean(r.Goes))
				yes, err := tty.Confirm(ctx, "Agree to that on this device?")
				if err != nil {
					return hint.Exit(hint.Cancelled, err, "")
				}
				if !yes {
					refused++
					continue
				}
				if err := b.AcceptReference(ctx, r, here); err != nil {
					return err
				}
				fmt.Fprintf(a.err, "agreed: %s\n", plain.Clean(r.Ref))
			}
			if refused > 0 {
				return hint.Exit(hint.Human, fmt.Errorf("agree to references: not agreed to %d of %d", refused, len(waiting)), "run kb reference ls")
			}
			return nil
		}),
	}
	cmd.Flags().StringVarP(&profileName, "profile", "p", "", "only references of this profile's logins")
	return cmd
}
