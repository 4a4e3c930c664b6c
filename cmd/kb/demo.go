package main

import (
	"github.com/spf13/cobra"
)

func newDemo(_ *app) *cobra.Command {
	return &cobra.Command{Use: "demo", Short: "show the whole idea in five seconds, and leave nothing behind", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return nil }}
}
