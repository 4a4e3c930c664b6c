package main

import (
	"bytes"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/atomicfile"
	"kb/internal/broker"
)

func newVaultMerge(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "merge BASE OURS THEIRS",
		Short: "merge two versions of the vault: git's merge driver",
		Long: `Merge two versions of the vault and leave the result in OURS. Git calls it after
kb vault setup-git. The vault's records say what came after what, so BASE is not
read. Where it cannot be done, OURS stays as it is and git reads a conflict: with
a locked key that is exit code 4, and the next kb after kb unlock merges the vault.`,
		Args: exactArgs(3, "three files: BASE OURS THEIRS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := a.device(cmd.Context())
			if err != nil {
				return err
			}
			ours, err := broker.ReadVaultFile(args[1])
			if err != nil {
				return fmt.Errorf("merge vault: %w", err)
			}
			theirs, err := broker.ReadVaultFile(args[2])
			if err != nil {
				return fmt.Errorf("merge vault: %w", err)
			}
			merged, report, err := b.MergeVaults(cmd.Context(), ours, theirs)
			if err != nil {
				return err
			}
			if !bytes.Equal(merged, ours) {
				target, err := atomicfile.Target(args[1])
				if err == nil {
					err = atomicfile.Write(target, merged, atomicfile.Options{Durable: true})
				}
				if err != nil {
					return fmt.Errorf("write the merged vault: %w", err)
				}
			}
			devices := b.DeviceNames()
			fmt.Fprintf(a.err, "kb: merged the vault, %s from the other side\n", plural(len(report.Changes), "change"))
			for _, c := range report.Changes {
				fmt.Fprintf(a.err, "    %s\n", describeChange(c, devices))
			}
			for _, q := range report.Quarantined {
				fmt.Fprintf(a.err, "    %s\n", describeQuarantined(q, devices))
			}
			for _, c := range report.Conflicts {
				fmt.Fprintf(a.err, "    %s\n", describeConflict(c, devices))
			}
			return nil
		},
	}
}
