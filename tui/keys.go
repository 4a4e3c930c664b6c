package tui

import (
	"fmt"
	"slices"
)

// binding is a thing that a key does.
type binding struct {
	id   string   // "logins.refresh": the screen, or "any", and the thing
	keys []string // as tea.KeyMsg calls them; config.toml replaces them
	does string   // in the bar: a word or two
	help string   // in the menu of "?" and docs/keys.md: a sentence
	verb string   // the verb of the command line that does the same: "kb refresh"; "" for none
}

// bindings are all of them, in the order of docs/keys.md. Each screen's are in its
// own file.
var bindings = slices.Concat(anyBindings, homeBindings, profileBindings, loginBindings, providerBindings,
	auditBindings, approvalBindings, doctorBindings, vaultBindings)

// anyBindings work on every screen.
var anyBindings = []binding{
	{id: "any.quit", keys: []string{"q", "ctrl+c"}, does: "quit", help: "leave the dashboard; ctrl+c does from anywhere"},
	{id: "any.help", keys: []string{"?"}, does: "help", help: "what the keys do here; enter does it"},
	{id: "any.palette", keys: []string{":"}, does: "command", help: "go to a screen, a profile, or type a command"},
	{id: "any.filter", keys: []string{"/"}, does: "filter", help: "show rows with these words; /! those without"},
	{id: "any.next", keys: []string{"tab", "right"}, does: "next", help: "next screen, or panel where there are several"},
	{id: "any.previous", keys: []string{"shift+tab", "left"}, does: "previous", help: "previous screen or panel"},
	{id: "any.down", keys: []string{"j", "down"}, does: "down", help: "a row down"},
	{id: "any.up", keys: []string{"k", "up"}, does: "up", help: "a row up"},
	{id: "any.top", keys: []string{"g", "home"}, does: "top", help: "first row"},
	{id: "any.end", keys: []string{"G", "end"}, does: "end", help: "last row"},
	{id: "any.pagedown", keys: []string{"ctrl+d", "pgdown"}, does: "page down", help: "half a screen down"},
	{id: "any.pageup", keys: []string{"ctrl+u", "pgup"}, does: "page up", help: "half a screen up"},
	{id: "any.enter", keys: []string{"enter"}, does: "open", help: "into the row; it never approves and never deletes"},
	{id: "any.back", keys: []string{"esc"}, does: "back", help: "clears the filter, then the message, then goes back"},
	{id: "any.mark", keys: []string{" "}, does: "mark", help: "mark the row; actions are then on all that are marked"},
	{id: "any.copy", keys: []string{"y"}, does: "copy", help: "copy the row's name"},
	{id: "any.copyline", keys: []string{"Y"}, does: "copy command", help: "copy the command that does the same"},
	{id: "any.reload", keys: []string{"ctrl+r"}, does: "reload", help: "look at everything again"},
	{id: "any.error", keys: []string{"E"}, does: "what went wrong", help: "the error of the line above in full, with what mends it"},
	{id: "any.suspend", keys: []string{"ctrl+z"}, does: "suspend", help: "back to the shell; fg comes back here"},
	{id: "any.screen1", keys: []string{"1"}, does: "Home", help: "sessions, logins and the newest events"},
	{id: "any.screen2", keys: []string{"2"}, does: "Profiles", help: "identities, their rules and policy, remembered directories"},
	{id: "any.screen3", keys: []string{"3"}, does: "Logins", help: "logins and how they stand"},
	{id: "any.screen4", keys: []string{"4"}, does: "Providers", help: "services, and how a credential goes on their requests"},
	{id: "any.screen5", keys: []string{"5"}, does: "Audit", help: "what was done with logins"},
	{id: "any.screen6", keys: []string{"6"}, does: "Approvals", help: "requests that wait for you"},
	{id: "any.screen7", keys: []string{"7"}, does: "Doctor", help: "checks of this device"},
	{id: "any.screen8", keys: []string{"8"}, does: "Vault", help: "the vault, its devices and history"},
}

// use is a binding that a screen offers at the moment.
type use struct {
	id   string
	off  string // why it cannot be used now; "" if it can
	line string // the command line that does the same to this row; "" for none
	run  func() teaCmd
}

// keymap finds bindings by name and by key.
type keymap struct{ byID map[string]binding }

// newKeymap takes the bindings, with the keys that config.toml gives in place of
// theirs.
func newKeymap(own map[string][]string) (keymap, error) {
	m := keymap{byID: map[string]binding{}}
	for _, b := range bindings {
		if keys, ok := own[b.id]; ok {
			b.keys = keys
		}
		m.byID[b.id] = b
	}
	for id := range own {
		if _, ok := m.byID[id]; !ok {
			return keymap{}, fmt.Errorf("keys: there is no action %q", id)
		}
	}
	return m, nil
}

// is reports whether a key means a binding.
func (m keymap) is(key, id string) bool { return slices.Contains(m.byID[id].keys, key) }

// find is the use that a key means.
func (m keymap) find(uses []use, key string) (use, bool) {
	for _, u := range uses {
		if m.is(key, u.id) {
			return u, true
		}
	}
	return use{}, false
}

// label is how a key is shown: "space" for " ".
func label(key string) string {
	if key == " " {
		return "space"
	}
	return key
}
