package main

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"kb/tui"
)

// noActions are the commands that the dashboard needs no key for: they tell of
// something that a screen shows, or are for other programs.
var noActions = map[string]string{
	"kb status":        "Home is it",
	"kb which":         "the first line says it for this directory, Profiles for any other",
	"kb version":       "it tells",
	"kb completion":    "a shell's start reads it",
	"kb config ls":     "it tells; the form of kb config set shows it on the terminal",
	"kb config get":    "it tells",
	"kb device ls":     "Vault shows it",
	"kb pin ls":        "Profiles shows it",
	"kb policy ls":     "Profiles shows it",
	"kb profile ls":    "Profiles shows it",
	"kb profile show":  "Profiles shows it",
	"kb provider ls":   "Providers shows it",
	"kb provider show": "Providers shows it",
	"kb reference ls":  "Logins shows it",
	"kb rule ls":       "Profiles shows it",
	"kb session ls":    "Home shows it",
	"kb vault ls":      "Vault shows it",
	"kb vault path":    "Vault shows it",
	"kb vault show":    "the screens show what is in it",
	"kb vault merge":   "git runs it",
	"kb exec":          "it is another program's beginning, in a terminal of its own",
	"kb demo":          "it shows kb to who has none yet; the palette runs it",
	"kb vault forget":  "of a second vault, which the dashboard does not look into; the palette runs it",
}

// TestEveryVerbThatActsHasAKey walks the command line. Each verb has a key of a
// screen in the dashboard, or stands above with the reason why it needs none; and
// what a key is said to do on the command line is there.
func TestEveryVerbThatActsHasAKey(t *testing.T) {
	keys := map[string][]string{} // verb -> actions
	for _, action := range tui.Actions() {
		for _, verb := range strings.Split(action.Verb, ", ") {
			verb, _, _ = strings.Cut(verb, " -")
			keys[verb] = append(keys[verb], action.ID)
		}
	}
	verbs := map[string]bool{"kb audit": true} // it has verbs below it, and acts itself
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			if sub.HasAvailableSubCommands() {
				walk(sub)
				continue
			}
			verb := sub.CommandPath()
			verbs[verb] = true
			_, excused := noActions[verb]
			switch {
			case excused && len(keys[verb]) > 0:
				t.Errorf("%s has a key (%s) and is excused from having one", verb, keys[verb])
			case !excused && len(keys[verb]) == 0:
				t.Errorf("%s has no key in the dashboard", verb)
			}
		}
	}
	walk(wholeRoot(&app{}))
	for verb, ids := range keys {
		if verb != "" && !verbs[verb] {
			t.Errorf("%s: there is no verb %q", ids, verb)
		}
	}
	for verb := range noActions {
		if !verbs[verb] {
			t.Errorf("%s is excused and does not exist", verb)
		}
	}
}
