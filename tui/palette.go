package tui

// palette is the line of ":".
func (m *Model) palette() *picker {
	return newPicker(picker{shared: m.shared, about: "Command", does: "do it"})
}
