package tui

import (
	"context"
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

var loginBindings = []binding{
	{id: "logins.refresh", keys: []string{"r"}, does: "refresh", help: "get new tokens of the login now", verb: "kb refresh"},
	{id: "logins.refreshall", keys: []string{"R"}, does: "refresh all", help: "get new tokens of every login that has some", verb: "kb refresh"},
}

// logins is the screen of logins and how they stand.
type logins struct {
	*shared
	list list[Login]
}

func newLogins(s *shared) *logins {
	return &logins{shared: s, list: newList(
		func(l Login) string { return l.Profile + "\x00" + l.Provider + "\x00" + l.As },
		func(l Login) string {
			return fmt.Sprint(l.Profile, " ", l.Provider, " ", l.As, " ", l.State, " ", l.Account, " ", l.Kind)
		})}
}

func (s *logins) name() string           { return "Logins" }
func (s *logins) opened() tea.Cmd        { return ask(s.ctx, &s.world.logins, s.backend.Logins) }
func (s *logins) changed()               { s.list.set(s.world.logins.value) }
func (s *logins) update(tea.Msg) tea.Cmd { return nil }
func (s *logins) rows() rows             { return &s.list }
func (s *logins) panels() int            { return 1 }
func (s *logins) focus(int)              {}
func (s *logins) hint() string           { return "" }

func (s *logins) current() string {
	l, _ := s.list.selected()
	return l.Provider
}

func (s *logins) uses() []use {
	l, any := s.list.selected()
	refresh := use{id: "logins.refresh", line: fmt.Sprintf("kb refresh %s -p %s", l.Provider, l.Profile), run: func() tea.Cmd {
		return s.act("refresh "+l.Provider, func(ctx context.Context) (string, error) { return s.backend.Refresh(ctx, l.LoginKey) })
	}}
	switch {
	case !any:
		refresh.off = "there is no login"
	case !l.OAuth:
		refresh.off = "a key is not refreshed"
	}
	return []use{refresh}
}

func (s *logins) view(w, h int) []string {
	columns := []draw.Column{
		{Title: "LOGIN", Width: 14, Grow: true},
		{Title: "PROFILE", Width: 8},
		{Title: "KIND", Width: 13, Drop: 1},
		{Title: "STATE", Width: 13},
		{Title: "EXPIRES", Width: 8},
	}
	return s.master(w, h, false, func(w, h int) []string {
		return s.theme.Panel(draw.Panel{Title: "Logins", Focused: true, Foot: place(s.list.cursor, len(s.list.shown)), Lines: s.list.table(s.theme, columns, draw.Inner(w), h-2, func(l Login) []draw.Cell {
			role := stateRole(l.State)
			return []draw.Cell{
				{Text: draw.Mark(role) + " " + draw.Clean(l.Provider), Role: role},
				{Text: draw.Clean(l.Profile)},
				{Text: l.Kind, Role: draw.Muted},
				{Text: l.State, Role: role},
				{Text: countdown(l.Expires, s.now())},
			}
		})}, w, h)
	}, func(w, h int) []string { return s.theme.Panel(panelOf("Details", nil), w, h) })
}

// stateRole is what a login's state is.
func stateRole(state string) draw.Role {
	switch state {
	case "ok":
		return draw.Good
	case "refreshing":
		return draw.Working
	case "expiring", "offline", "needs login":
		return draw.Attention
	}
	return draw.Muted
}
