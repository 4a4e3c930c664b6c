package tui

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/plain"
)

// binding is a thing that a key does.
type binding struct {
	id   string   // "logins.refresh": the screen, or "any", and the thing
	keys []string // as tea.KeyMsg calls them; config.toml replaces them
	does string   // in the bar: a word or two
	help string   // in the menu of "?" and docs/keys.md: a sentence
	verb string   // the verb of the command line that does the same: "kb refresh"; "" for none

	grants bool // its key alone lets an agent do something
}

// bindings are all of them, in the order of docs/keys.md. Each screen's are in its
// own file.
var bindings = slices.Concat(anyBindings, homeBindings, profileBindings, loginBindings, providerBindings,
	auditBindings, approvalBindings, doctorBindings, vaultBindings, startBindings)

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
	{id: "any.settings", keys: []string{"O"}, does: "settings", help: "change a setting of this device; those that carry trust are confirmed on the terminal", verb: "kb config set"},
	{id: "any.suspend", keys: []string{"ctrl+z"}, does: "suspend", help: "back to the shell; fg comes back here"},
	{id: "any.screen1", keys: []string{"1"}, does: "Home", help: "sessions, logins and the newest events"},
	{id: "any.screen2", keys: []string{"2"}, does: "Profiles", help: "identities, their rules and policy, remembered directories"},
	{id: "any.screen3", keys: []string{"3"}, does: "Logins", help: "logins and how they stand"},
	{id: "any.screen4", keys: []string{"4"}, does: "Providers", help: "where kb can log in, and how a credential goes on their requests"},
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
	run  func() tea.Cmd
}

// keymap finds bindings by name and by key.
type keymap struct{ byID map[string]binding }

// newKeymap takes the bindings, with the keys that config.toml gives in place of
// theirs. Keys of one's own are refused where they would mean two things on one
// screen, or are no keys.
func newKeymap(own map[string][]string) (keymap, error) {
	m := keymap{byID: map[string]binding{}}
	for _, b := range bindings {
		if keys, ok := own[b.id]; ok {
			b.keys = make([]string, len(keys))
			for i, k := range keys {
				b.keys[i] = unlabel(k)
			}
		}
		m.byID[b.id] = b
	}
	for _, id := range slices.Sorted(maps.Keys(own)) {
		b, ok := m.byID[id]
		if !ok {
			return keymap{}, &keyError{id, fmt.Sprintf("there is no action %q", plain.Clean(id)), "docs/keys.md lists the actions"}
		}
		for _, key := range b.keys {
			if err := m.check(b, key); err != nil {
				return keymap{}, err
			}
		}
	}
	return m, nil
}

// keyError is what is wrong with the keys of an action.
type keyError struct{ id, what, fix string }

func (e *keyError) Error() string { return e.what }

// check says why a key is not to be had for a binding.
func (m keymap) check(b binding, key string) error {
	switch {
	case key == "ctrl+c" && b.id != "any.quit":
		return &keyError{b.id, b.id + " is put on ctrl+c, which always quits", "choose another key"}
	case !isKey(key):
		return &keyError{b.id, fmt.Sprintf("%s is put on %q, which is no key", b.id, plain.Clean(key)), `keys are called "x", "X", "ctrl+x", "alt+x", "enter", "space", "f5" and the like`}
	}
	for _, other := range bindings {
		if other.id != b.id && slices.Contains(m.byID[other.id].keys, key) && together(b.id, other.id) && !alternatives(b.id, other.id) {
			return &keyError{b.id, fmt.Sprintf("%s and %s are both on %q", b.id, other.id, label(key)), "give one of them another key"}
		}
		// Whoever else can write config.toml has no habit of a person's say yes.
		if b.grants && other.id != b.id && slices.Contains(other.keys, key) && together(b.id, other.id) {
			return &keyError{
				b.id, fmt.Sprintf("%s is put on %q, which a person knows as %s", b.id, label(key), other.id),
				"what lets a request pass gets no key that does something else without config.toml: choose another",
			}
		}
	}
	return nil
}

// together reports whether two actions can meet on a screen.
func together(a, b string) bool {
	a, _, _ = strings.Cut(a, ".")
	b, _, _ = strings.Cut(b, ".")
	return a == b || a == "any" || b == "any"
}

// alternatives reports whether two actions share a built-in key: then they are never
// offered at the same time, or one stands for the other on its screen.
func alternatives(a, b string) bool {
	var keys [2][]string
	for _, one := range bindings {
		switch one.id {
		case a:
			keys[0] = one.keys
		case b:
			keys[1] = one.keys
		}
	}
	return slices.ContainsFunc(keys[0], func(k string) bool { return slices.Contains(keys[1], k) })
}

// hides reports whether an action of a screen has a key of one that works
// everywhere.
func (m keymap) hides(own, everywhere string) bool {
	return slices.ContainsFunc(m.byID[own].keys, func(k string) bool { return m.is(k, everywhere) })
}

// isKey reports whether bubbletea can tell of a key by this name.
func isKey(key string) bool {
	key = strings.TrimPrefix(key, "alt+")
	if r := []rune(key); len(r) == 1 {
		return unicode.IsGraphic(r[0])
	}
	// Its key types are small numbers, of either sign.
	for t := tea.KeyType(-128); t < 128; t++ {
		if name := t.String(); name != "" && name == key {
			return true
		}
	}
	return false
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

// unlabel is the key that is shown as label.
func unlabel(label string) string {
	if label == "space" {
		return " "
	}
	return label
}

// label is how a key is shown: "space" for " ".
func label(key string) string {
	if key == " " {
		return "space"
	}
	return key
}
