package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/plain"
	"kb/vaultfile"
)

func newDeviceRemove(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "rm NAME|ID",
		Short: "take a device out of the vault, and list what it knew",
		Long: `Take a device out of the vault: what is saved from now on it cannot read, and what it
saves nobody accepts. What it has read it knows, and the repository's history stays
readable to it. So a checklist opens of every secret that it could read; kb device
checklist follows it until each was changed.`,
		Args: exactArgs(1, "a device's name or id (kb device ls)"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			d, err := b.FindDevice(args[0])
			if err != nil {
				return err
			}
			removed, err := b.RemoveDevice(cmd.Context(), d.ID)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(removedJSON(b, removed))
			}
			fmt.Fprintf(a.err, "%s is out of the vault here: kb sync tells the other devices\n", plain.Clean(d.Name))
			if len(removed.Open) == 0 {
				return nil
			}
			fmt.Fprintf(a.err, "it has read %s, and git's history stays readable to it: change each, and revoke the old one at its provider\n",
				plural(len(removed.Open), "secret"))
			return printChecklist(a, b, []vaultfile.RemovedDevice{removed})
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
