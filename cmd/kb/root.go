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
	name  string
	make  func(*app) *cobra.Command
	group string
}{
	{"exec", newExec, "use"},
	{"which", newWhich, "use"},
	{"status", newStatus, "use"},
	{"session", newSession, "use"},
	{"approve", newApprove, "use"},
	{"deny", newDeny, "use"},
	{"init", newInit, "vault"},
	{"unlock", newUnlock, "vault"},
	{"lock", newLock, "vault"},
	{"profile", newProfile, "who"},
	{"rule", newRule, "who"},
	{"policy", newPolicy, "who"},
	{"pin", newPin, "who"},
	{"login", newLogin, "logins"},
	{"logout", newLogout, "logins"},
	{"refresh", newRefresh, "logins"},
	{"import", newImport, "logins"},
	{"reference", newReference, "logins"},
	{"provider", newProvider, "logins"},
	{"vault", newVault, "vault"},
	{"sync", newSync, "vault"},
	{"device", newDevice, "vault"},
	{"audit", newAudit, "use"},
	{"config", newConfig, "here"},
	{"doctor", newDoctor, "here"},
	{"demo", newDemo, "here"},
	{"completion", newCompletion, "here"},
	{"version", newVersion, "here"},
}

// groups are the headings of kb --help, in order.
var groups = []*cobra.Group{
	{ID: "use", Title: "Run agents, and see what they do:"},
	{ID: "who", Title: "Identities, and where each is used:"},
	{ID: "logins", Title: "Logins:"},
	{ID: "vault", Title: "The vault and its devices:"},
	{ID: "here", Title: "This device:"},
}

// newRoot makes the tree of commands for a command line. Where that begins with
// a verb, the others stay away, and kb alone needs none; help, completion and a
// mistyped verb need all.
func newRoot(a *app, args []string) *cobra.Command {
	if len(args) == 0 {
		return bareRoot(a)
	}
	for _, c := range commands {
		if args[0] == c.name {
			root := bareRoot(a)
			root.AddCommand(c.make(a))
			return root
		}
	}
	return wholeRoot(a)
}

// wholeRoot is the tree of all commands.
func wholeRoot(a *app) *cobra.Command {
	root := bareRoot(a)
	root.AddGroup(groups...)
	root.SetHelpCommandGroupID("here")
	for _, c := range commands {
		cmd := c.make(a)
		cmd.GroupID = c.group
		root.AddCommand(cmd)
	}
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	completes(a, root)
	return root
}

// bareRoot is kb without its verbs.
func bareRoot(a *app) *cobra.Command {
	var o dashboardOptions
	var versionOnly bool
	root := &cobra.Command{
		Use:           "kb",
		Short:         "credential broker for AI agents",
		Long:          rootLong,
		Args:          noArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if versionOnly {
				fmt.Fprintln(a.out, versionLine())
				return nil
			}
			return runDashboard(cmd.Context(), a, o)
		},
	}
	root.Flags().BoolVar(&o.ascii, "ascii", false, "draw the dashboard with ASCII characters only")
	// Not cobra's own: its templates have the linker keep every method of every type.
	root.Flags().BoolVarP(&versionOnly, "version", "v", false, "print kb's version")
	root.CompletionOptions.DisableDefaultCmd = true // newCompletion's is another
	root.SetHelpCommand(newHelp())
	root.SuggestionsMinimumDistance = 2
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usage(cmd, err)
	})
	return root
}

// newHelp is kb help. Cobra's own ends with 0 where there is no such verb.
func newHelp() *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB...]", Short: "say what a verb does, with its flags",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usage(cmd.Root(), unknownCommand(cmd.Root(), strings.Join(args, " ")))
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
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
