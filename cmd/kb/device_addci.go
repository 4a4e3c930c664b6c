package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

func newDeviceAddCI(a *app) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "add-ci NAME",
		Short: "make an identity for a CI job or a container",
		Long: `Make an identity for a CI job or a container: one file that holds all that the job
needs to open the vault and to trust it. Keep it as a secret of the CI system and
name it in KB_IDENTITY_FILE.`,
		Args: exactArgs(1, "a name for the job"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			b, err := a.broker(cmd.Context())
			if err != nil {
				return err
			}
			if out == "" {
				out = "kb-" + args[0] + ".identity"
			}
			// Opened first, so that no device is added for a file that cannot be.
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return fmt.Errorf("write CI identity: %w", err)
			}
			text, err := b.AddCI(cmd.Context(), args[0])
			if err == nil {
				_, err = f.WriteString(text.Reveal())
			}
			if closeErr := f.Close(); err == nil {
				err = closeErr
			}
			if err != nil {
				_ = os.Remove(out)
				return err
			}
			fmt.Fprintf(a.err, "%s holds the identity of %s: store it as a secret of the CI system, then delete it here\n", out, args[0])
			return nil
		}),
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write; default kb-NAME.identity")
	return cmd
}
