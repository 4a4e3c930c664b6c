package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"kb/internal/broker"
)

func newVault(a *app) *cobra.Command {
	return a.vaultFlag(group("vault", "where the vaults are and what is in them",
		newVaultPath(a), newVaultList(a), newVaultShow(a), newVaultEdit(a), newVaultForget(a), newVaultRecover(a),
		newVaultSetupGit(a), newVaultMerge(a), newVaultHistory(a), newVaultRestore(a), newVaultAccept(a)))
}

// findVaults lists this device's vaults, also those that cannot be opened.
func (a *app) findVaults(ctx context.Context) ([]broker.VaultInfo, error) {
	paths, err := broker.FindPaths(a.getenv)
	if err != nil {
		return nil, err
	}
	return broker.FindVaults(ctx, broker.Options{Paths: paths, Getenv: a.getenv, Vault: a.vault})
}

// vaultJSON is a vault in --json output.
type vaultJSON struct {
	Name    string `json:"name"`
	Path    string `json:"path"`
	Default bool   `json:"default"`
	Error   string `json:"error,omitempty"` // why it cannot be opened
}

func describeVault(v broker.VaultInfo) vaultJSON {
	out := vaultJSON{Name: v.Name, Path: v.Path, Default: v.Default}
	if v.Err != nil {
		out.Error = v.Err.Error()
	}
	return out
}

func newVaultList(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls", Short: "list the vaults of this device", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			found, err := a.findVaults(cmd.Context())
			if err != nil {
				return err
			}
			// Where some can be opened, each says how it stands.
			if b, err := a.open(cmd.Context(), broker.Options{Any: true}); err == nil && a.vault == "" {
				found = b.Vaults()
			} else if err != nil && len(found) == 1 {
				found[0].Err = err
			}
			list := []vaultJSON{}
			for _, v := range found {
				list = append(list, describeVault(v))
			}
			if asJSON {
				return a.json(list)
			}
			t := newTable(a.out, "VAULT", "PATH", "STATE")
			for _, v := range list {
				if v.Default {
					v.Name += " (default)"
				}
				state := "ok"
				if v.Error != "" {
					state = v.Error
				}
				t.row(v.Name, v.Path, state)
			}
			return t.flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newVaultForget(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "forget NAME",
		Short: "have this device forget a vault; its file stays",
		Long: `Have this device forget a vault, and what it remembers of it: which version it
accepted last, and whose signatures it trusts. The file stays where it is; to use
it on this device again, it must be approved anew.`,
		Args: exactArgs(1, "a vault's name"),
		RunE: a.guarded(func(cmd *cobra.Command, args []string) error {
			paths, err := broker.FindPaths(a.getenv)
			if err != nil {
				return err
			}
			path, err := broker.ForgetVault(cmd.Context(), broker.Options{Paths: paths, Getenv: a.getenv}, args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(a.err, "vault %s is forgotten on this device; its file stays: %s\n", args[0], path)
			return nil
		}),
	}
}
