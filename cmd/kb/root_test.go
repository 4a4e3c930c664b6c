package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// A verb's help is the same whether it was made alone or with all others, and
// each is found under the name that the table gives it.
func TestVerbAloneIsTheVerbAmongAll(t *testing.T) {
	t.Parallel()
	all := wholeRoot(newApp())
	helps := func(root *cobra.Command) map[string]string {
		found := map[string]string{}
		var walk func(*cobra.Command)
		walk = func(cmd *cobra.Command) {
			found[cmd.CommandPath()] = cmd.Long + cmd.UsageString()
			for _, sub := range cmd.Commands() {
				walk(sub)
			}
		}
		for _, cmd := range root.Commands() {
			walk(cmd)
		}
		return found
	}
	among := helps(all)
	if len(commands) != len(all.Commands()) {
		t.Errorf("the table has %d verbs, the tree %d", len(commands), len(all.Commands()))
	}
	for _, c := range commands {
		root := newRoot(newApp(), []string{c.name, "more"})
		if len(root.Commands()) != 1 || root.Commands()[0].Name() != c.name {
			t.Errorf("kb %s makes %d commands, the first %s", c.name, len(root.Commands()), root.Commands()[0].Name())
		}
		if aliases := root.Commands()[0].Aliases; len(aliases) > 0 {
			t.Errorf("kb %s is also called %q, which the table does not have", c.name, aliases)
		}
		for path, help := range helps(root) {
			if help != among[path] {
				t.Errorf("%s alone:\n%s\namong all:\n%s", path, help, among[path])
			}
		}
	}
}

// Whatever is no verb gets the whole tree: help, what a shell asks, a mistyped verb, a
// flag before it. kb alone gets none.
func TestWhatIsNoVerbGetsAll(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help", "exec"}, {"__complete", "ex"}, {"exce"}, {"--ascii"}, {"--version"}, {""}} {
		if got := len(newRoot(newApp(), args).Commands()); got != len(commands) {
			t.Errorf("kb %q makes %d commands, want %d", args, got, len(commands))
		}
	}
	if got := len(newRoot(newApp(), nil).Commands()); got != 0 {
		t.Errorf("kb alone makes %d commands", got)
	}
}

// The tables of completion name verbs and flags that there are, every verb has a
// heading in kb --help, and no word is left to be completed as a file by accident.
func TestCompletionTables(t *testing.T) {
	t.Parallel()
	root := wholeRoot(newApp())
	known := map[string]bool{}
	flags := map[string]bool{}
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		known[cmd.CommandPath()] = true
		for name := range offeredFlags {
			if cmd.LocalFlags().Lookup(name) != nil {
				flags[name] = true
				known[cmd.CommandPath()+" --"+name] = true
			}
		}
		if !cmd.HasSubCommands() && cmd.ValidArgsFunction == nil {
			t.Errorf("%s: a shell would complete its words as files", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
	}
	walk(root)
	for path := range offered {
		if !known[path] {
			t.Errorf("completion knows %s, kb does not", path)
		}
	}
	for path := range pathWords {
		if !known[path] {
			t.Errorf("completion knows %s, kb does not", path)
		}
	}
	for name := range offeredFlags {
		if !flags[name] {
			t.Errorf("completion knows --%s, no verb does", name)
		}
	}
	for _, cmd := range root.Commands() {
		if !slices.ContainsFunc(groups, func(g *cobra.Group) bool { return g.ID == cmd.GroupID }) {
			t.Errorf("kb %s has no heading in kb --help", cmd.Name())
		}
	}
}

// What kb config ls and the shell say of settings is about those that there are.
func TestSettingsAreExplained(t *testing.T) {
	t.Parallel()
	for _, s := range settingHelp {
		if !strings.Contains(newConfigSet(newApp()).Long, "\n  "+s.key+" ") {
			t.Errorf("kb config set --help does not explain %s", s.key)
		}
	}
}
