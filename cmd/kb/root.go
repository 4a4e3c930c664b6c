package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"kb/internal/hint"
)

const rootLong = `kb is a credential broker for AI agents.

It finds the identity that belongs to the directory you stand in, runs the agent
with placeholders, and puts the right credential on each request as it leaves.

Alone on a terminal it opens the dashboard; elsewhere it prints kb status.

Start with:
  kb demo                 the whole idea in five seconds, nothing left behind
  kb init                 make this device's identity and a vault
  kb exec -- claude       run an agent with the profile of this directory`

// commands are the verbs. A command and its flags cost some ten allocations each
// and the pages of the code that makes them, which was an eighth of what a short
// kb does: so one is made when it is asked for.
var commands = []struct {
	name string
	make func(*app) *cobra.Command
}{
	{"exec", newExec},
	{"which", newWhich},
	{"status", newStatus},
	{"session", newSession},
	{"approve", newApprove},
	{"deny", newDeny},
	{"init", newInit},
	{"unlock", newUnlock},
	{"lock", newLock},
	{"profile", newProfile},
	{"rule", newRule},
	{"policy", newPolicy},
	{"pin", newPin},
	{"login", newLogin},
	{"logout", newLogout},
	{"refresh", newRefresh},
	{"import", newImport},
	{"reference", newReference},
	{"provider", newProvider},
	{"vault", newVault},
	{"sync", newSync},
	{"device", newDevice},
	{"audit", newAudit},
	{"config", newConfig},
	{"doctor", newDoctor},
	{"demo", newDemo},
	{"version", newVersion},
}

// newRoot makes the tree of commands for a command line. Where that begins with
// a verb, the others stay away, and kb alone needs none; help, completion and a
// mistyped verb need all.
func newRoot(a *app, args []string) *cobra.Command {
	if len(args) == 0 {
		root := bareRoot(a)
		root.CompletionOptions.DisableDefaultCmd = true // or cobra would make that command
		return root
	}
	for _, c := range commands {
		if args[0] == c.name {
			root := bareRoot(a)
			root.CompletionOptions.DisableDefaultCmd = true
			root.AddCommand(c.make(a))
			return root
		}
	}
	return wholeRoot(a)
}

// wholeRoot is the tree of all commands.
func wholeRoot(a *app) *cobra.Command {
	root := bareRoot(a)
	root.CompletionOptions.HiddenDefaultCmd = false
	for _, c := range commands {
		root.AddCommand(c.make(a))
	}
	return root
}

// bareRoot is kb without its verbs.
func bareRoot(a *app) *cobra.Command {
	var o dashboardOptions
	root := &cobra.Command{
		Use:           "kb",
		Short:         "credential broker for AI agents",
		Long:          rootLong,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return runDashboard(cmd.Context(), a, o)
		},
	}
	root.Flags().BoolVar(&o.ascii, "ascii", false, "draw the dashboard with ASCII characters only")
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, err)
	})
	return root
}

func usage(cmd *cobra.Command, err error) error {
	return hint.Exit(hint.Usage, err, "run "+cmd.CommandPath()+" --help")
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasSubCommands() {
		return usage(cmd, unknownCommand(cmd, args[0]))
	}
	return usage(cmd, fmt.Errorf("%s takes no arguments, got %q", cmd.CommandPath(), args[0]))
}

func unknownCommand(cmd *cobra.Command, name string) error {
	message := fmt.Sprintf("unknown command %q", cmd.CommandPath()+" "+name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		message += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return errors.New(message)
}

// exactArgs takes n arguments; what names them in the error.
func exactArgs(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return usage(cmd, fmt.Errorf("%s needs %s", cmd.CommandPath(), what))
	}
}

// group is a command that only has subcommands.
func group(use, short string, subcommands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use: use, Short: short, Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return usage(cmd, fmt.Errorf("%s needs a subcommand", cmd.CommandPath()))
		},
	}
	cmd.AddCommand(subcommands...)
	return cmd
}
