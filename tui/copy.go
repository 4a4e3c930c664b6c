package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// copied asks the terminal to take a text into its clipboard.
func copied(text string) tea.Cmd { return func() tea.Msg { return clip{text} } }

// clip is the message that a text is to be copied.
type clip struct{ text string }

// copyLine copies the command that does the same as a use of the screen; where
// there are several, a person chooses.
func (m *Model) copyLine() tea.Cmd {
	var choices []Choice
	for _, u := range m.own() {
		if u.line != "" {
			choices = append(choices, Choice{Value: u.line, Text: u.line})
		}
	}
	if len(choices) == 1 {
		return copied(choices[0].Value)
	}
	return m.show(newMenu(m.shared, "Copy which command", choices, copied))
}

// copy gives a text to the clipboard and tells what it was: no terminal says whether
// it took it, and a person can still take it from the line. What is copied is pasted,
// into a shell for one: it holds nothing but text and the line breaks of a report.
func (s *shared) copy(text string) tea.Cmd {
	put := s.clipboard
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = draw.Clean(lines[i])
	}
	text = strings.Join(lines, "\n")
	return func() tea.Msg {
		if put == nil {
			return done{note: "this terminal takes no copies: " + text, told: true}
		}
		if err := put(text); err != nil {
			return done{what: "copy", err: err, told: true}
		}
		return done{note: "copied: " + text, told: true}
	}
}
