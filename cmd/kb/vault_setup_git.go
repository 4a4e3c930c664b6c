package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/spf13/cobra"

	"kb/internal/plain"
)

func newVaultSetupGit(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "setup-git",
		Short: "have git merge the vault with kb, and show it in diffs",
		Long: `Have git merge the vault with kb, and show it in diffs by names. This writes one
line to .gitattributes, for the vault's own path and no other, and to the
repository's own configuration how kb is started. The line is to be committed
(kb sync does it); the configuration is each clone's own, so run this once in each.

A clone without it works too: git then leaves the vault unmerged, and the next kb
that opens it merges both sides.`,
		Args: noArgs,
		RunE: a.guarded(func(cmd *cobra.Command, _ []string) error {
			b, err := a.device(cmd.Context())
			if err != nil {
				return err
			}
			self, err := stableExecutable(a.getenv("PATH"))
			if err != nil {
				return fmt.Errorf("find kb's own path: %w", err)
			}
			s, err := b.SetUpGit(cmd.Context(), self)
			if err != nil {
				return err
			}
			if asJSON {
				return a.json(struct {
					Attributes string            `json:"attributes"`
					Line       string            `json:"line"`
					Config     map[string]string `json:"config"`
					Changed    bool              `json:"changed"`
				}{s.Attributes, s.Line, s.Config, s.Changed})
			}
			if !s.Changed {
				fmt.Fprintln(a.err, "git is set up already; nothing was written")
				return nil
			}
			verb, next := "found in", "next: nothing; this clone is set up"
			if s.LineIsNew {
				verb, next = "wrote", "next: kb sync commits the line; run kb vault setup-git once in each other clone"
			}
			fmt.Fprintf(a.err, "%s %s:\n    %s\n", verb, plain.Clean(s.Attributes), plain.Clean(s.Line))
			fmt.Fprintln(a.err, "wrote to this clone's own configuration:")
			for _, key := range sortedNames(s.Config) {
				fmt.Fprintf(a.err, "    %s = %s\n", key, plain.Clean(s.Config[key]))
			}
			fmt.Fprintln(a.err, next)
			return nil
		}),
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// stableExecutable is the absolute path of this program: the one in PATH where
// that leads here, for a package manager's link outlives the version that it
// points to, and otherwise the file itself.
func stableExecutable(path string) (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	real, err := filepath.EvalSymlinks(self)
	if err != nil {
		return "", err
	}
	for _, dir := range filepath.SplitList(path) {
		if !filepath.IsAbs(dir) {
			continue
		}
		found, err := exec.LookPath(filepath.Join(dir, "kb"))
		if err != nil {
			continue
		}
		if to, err := filepath.EvalSymlinks(found); err == nil && to == real {
			return found, nil
		}
		break // another kb comes first: not by name
	}
	return real, nil
}
