package main

import (
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

// Whatever is no verb gets the whole tree: help, completion, a mistyped verb, a
// flag before it. kb alone gets none.
func TestWhatIsNoVerbGetsAll(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help", "exec"}, {"__complete", "ex"}, {"completion", "bash"}, {"exce"}, {"--ascii"}, {""}} {
		if got := len(newRoot(newApp(), args).Commands()); got != len(commands) {
			t.Errorf("kb %q makes %d commands, want %d", args, got, len(commands))
		}
	}
	if got := len(newRoot(newApp(), nil).Commands()); got != 0 {
		t.Errorf("kb alone makes %d commands", got)
	}
}
