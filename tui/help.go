package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// help is the menu of "?": all that can be done here, by its keys.
func (m *Model) help() *picker {
	var entries []entry
	for _, u := range m.uses() {
		entries = append(entries, m.entryOf(u))
	}
	return newPicker(picker{shared: m.shared, about: "Keys of " + m.openName(), does: "do it", entries: entries})
}

// entryOf makes a use an entry of a picker.
func (m *Model) entryOf(u use) entry {
	b := m.keys.byID[u.id]
	labels := make([]string, len(b.keys))
	for i, k := range b.keys {
		labels[i] = label(k)
	}
	off := u.off
	if b.grants && off == "" {
		off = "enter never approves: leave this and press " + strings.Join(labels, " or ")
	}
	return entry{
		key: strings.Join(labels, " "), text: b.does + ": " + b.help, also: b.id + " " + b.verb, off: off,
		run: func() tea.Cmd { return m.run(u) },
	}
}

func (m *Model) openName() string {
	if p := m.page(); p != nil {
		return p.name()
	}
	return m.screens[m.at].name()
}
