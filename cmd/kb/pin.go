package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newPin(a *app) *cobra.Command {
	return group("pin", "show and forget remembered decisions", newPinList(a), newPinRemove(a))
}

func newPinList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list pins", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			pins, err := b.Pins()
			if err != nil {
				return err
			}
			if asJSON {
				type pinJSON struct {
					Directory string    `json:"directory"`
					Remotes   []string  `json:"remotes"`
					Profile   string    `json:"profile"`
					Since     time.Time `json:"since"`
				}
				list := []pinJSON{}
				for _, p := range pins {
					list = append(list, pinJSON{p.CommonDir, p.Remotes, p.Profile, p.Time})
				}
				return a.json(list)
			}
			t := newTable(a.out, "DIRECTORY", "PROFILE", "REMOTES")
			for _, p := range pins {
				t.row(p.CommonDir, p.Profile, strings.Join(p.Remotes, " "))
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newPinRemove(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "rm DIR", Short: "forget the pin of a directory", Args: exactArgs(1, "a directory"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.brokerOfAny(cmd.Context())
			if err != nil {
				return err
			}
			where, err := b.RemovePin(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "pin of %s forgotten; the next kb exec there pins anew\n", where)
			return nil
		}),
	}
}
