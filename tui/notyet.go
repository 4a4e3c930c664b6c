package tui

import tea "github.com/charmbracelet/bubbletea"

// plainScreen is a screen that is not written yet.
type plainScreen struct {
	*shared
	title string
	list  list[string]
}

func (s *plainScreen) name() string           { return s.title }
func (s *plainScreen) opened() tea.Cmd        { return nil }
func (s *plainScreen) changed()               {}
func (s *plainScreen) update(tea.Msg) tea.Cmd { return nil }
func (s *plainScreen) uses() []use            { return nil }
func (s *plainScreen) rows() rows             { return &s.list }
func (s *plainScreen) panels() int            { return 1 }
func (s *plainScreen) focus(int)              {}
func (s *plainScreen) current() string        { return "" }
func (s *plainScreen) hint() string           { return "" }
func (s *plainScreen) view(w, h int) []string {
	return s.theme.Panel(panelOf(s.title, nil), w, h)
}

var (
	profileBindings []binding
	vaultBindings   []binding
)
