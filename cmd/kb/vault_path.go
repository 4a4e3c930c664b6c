package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newVaultPath(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "path", Short: "print where the vault is", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			list, err := a.findVaults(cmd.Context())
			if err != nil {
				return err
			}
			for _, v := range list {
				if v.Default || a.vault != "" {
					fmt.Fprintln(a.out, v.Path)
				}
			}
			return nil
		},
	}
}
