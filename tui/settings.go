package tui

import tea "github.com/charmbracelet/bubbletea"

// settings asks for a setting of this device and its value; kb config set changes
// it, on the terminal: what carries trust is confirmed there.
func (m *Model) settings() *form {
	return newForm(form{
		shared: m.shared, about: "Change a setting", does: "change it",
		note: "An empty name lists the settings and what they are.",
		fields: []formField{
			{name: "key", label: "Setting"},
			{name: "value", label: "Value", help: "empty: what it is without being set"},
		},
		act: func(v values) tea.Cmd {
			if v.text("key") == "" {
				return m.handOver("config", "ls")
			}
			return m.handOver("config", "set", v.text("key"), v.text("value"))
		},
	})
}
