package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"kb/internal/demo"
)

func newDemo(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "show the whole idea in five seconds, and leave nothing behind",
		Long: `Show the whole idea in five seconds: no account, no network, nothing left behind.

Makes a vault with two profiles, two git repositories and a git host in a temporary
folder, runs an agent in each repository, and shows what the agent saw beside what
the host saw. Needs git.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			self, err := os.Executable()
			if err != nil {
				return fmt.Errorf("find kb's own program: %w", err)
			}
			o := demo.Options{Out: a.out, Path: a.getenv("PATH"), Client: []string{self, "demo", "agent"}}
			if f, ok := a.out.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
				// https://no-color.org: any value but the empty one.
				o.Color = a.getenv("NO_COLOR") == "" && a.getenv("TERM") != "dumb"
				if width, _, err := term.GetSize(int(f.Fd())); err == nil {
					o.Width = width
				}
			}
			return demo.Run(cmd.Context(), o)
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use: "agent PATH", Short: "the demo's API client", Hidden: true, Args: exactArgs(1, "a path"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return demo.Agent(cmd.Context(), childEnviron(a.environ), args[0], a.out)
		},
	})
	return cmd
}
