package tui

import tea "github.com/charmbracelet/bubbletea"

// page stands in place of the screens that need the vault while it cannot be used:
// first run, locked, refused. What works without a vault stays reachable by its
// number.
type page interface {
	name() string
	// opened is called when it comes up.
	opened() tea.Cmd
	// update takes messages that are no keys.
	update(tea.Msg) tea.Cmd
	// uses are what it offers; a key of theirs, and "?" and ":", work as on a screen.
	uses() []use
	// view draws h lines of w cells.
	view(w, h int) []string
	// hint is the line above the bar.
	hint() string
}

// needsVault are the screens that show nothing without a vault.
var needsVault = [screenCount]bool{screenHome: true, screenProfiles: true, screenLogins: true, screenApprovals: true, screenVault: true}

// page is what stands in place of the open screen; nil where nothing does.
func (m *Model) page() page {
	if !needsVault[m.at] || !m.world.standing.loaded {
		return nil
	}
	return m.pages[m.world.standing.value.State]
}
