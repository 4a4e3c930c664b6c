package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

func newPin(a *app) *cobra.Command {
	return group("pin", "which profile each directory got, and is to get again", newPinList(a), newPinRemove(a))
}

func newPinList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list the directories whose profile is remembered", Args: noArgs,
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
			if len(pins) == 0 {
				fmt.Fprintln(a.err, "nothing is pinned yet: the first kb exec in a directory remembers which profile it got")
				return nil
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
		Use: "rm DIR", Short: "forget which profile a directory got", Args: exactArgs(1, "a directory"),
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
