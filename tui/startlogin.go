package tui

import tea "github.com/charmbracelet/bubbletea"

// startLogin opens the dialog that makes a login.
func startLogin(_ *shared, key LoginKey, _ bool) tea.Cmd {
	return func() tea.Msg {
		return goTo{screen: screenLogins, row: key.Profile + "\x00" + key.Provider + "\x00" + key.As}
	}
}
