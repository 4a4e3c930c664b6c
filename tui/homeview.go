package tui

import (
	"fmt"
	"strings"

	"kb/tui/draw"
)

// homeHeights is how the height of Home is shared out: a quarter to the audit, to
// the sessions what they need up to half of the rest, to the logins what is left.
func homeHeights(h, sessions int) (top, middle, bottom int) {
	bottom = max(5, h/4)
	rest := h - bottom
	least := 7
	if h < 20 {
		least = 6
	}
	top = max(least, min(sessions+3, (rest+1)/2))
	top = min(top, (rest+1)/2)
	return top, rest - top, bottom
}

// homePlace is where a panel stands.
type homePlace struct{ panel, y, w, h int }

// point implements pointed: a click on a panel focuses it, and one on a row of it goes
// there.
func (s *home) point(x, y int) (panel int, hit bool) {
	for _, p := range s.places {
		if x < p.w && y >= p.y && y < p.y+p.h {
			s.focus(p.panel)
			s.rows().click(y - p.y - 1)
			return p.panel, true
		}
	}
	return 0, false
}

func (s *home) view(w, h int) []string {
	if s.here == layoutOne {
		s.places = []homePlace{{s.panel, 0, w, h}}
		switch s.panel {
		case homeLogins:
			return s.loginPanel(w, h)
		case homeAudit:
			return s.eventPanel(w, h)
		}
		return s.sessionPanel(w, h)
	}
	top, middle, bottom := homeHeights(h, len(s.sessions.shown))
	left := w
	if s.here == layoutFull {
		left = w - w*36/100
	}
	s.places = []homePlace{{homeSessions, 0, left, top}, {homeLogins, top, left, middle}, {homeAudit, top + middle, w, bottom}}
	lines := append(s.sessionPanel(left, top), s.loginPanel(left, middle)...)
	if left < w {
		lines = draw.Beside(lines, s.detailPanel(w-left, top+middle))
	}
	return append(lines, s.eventPanel(w, bottom)...)
}

// panelAt draws one panel of a list: its table, or what is said in its place.
func (s *home) panelAt(panel int, title string, rows rows, say []string, w, h int, table func(w, h int) []string) []string {
	p := draw.Panel{Title: title, Focused: s.panel == panel}
	if f := rows.filtered(); f != "" {
		p.Title += ", filter: " + draw.Clean(f)
		if rows.count() == 0 && say == nil {
			say = []string{"Nothing has " + draw.Clean(f) + " in it. esc clears the filter."}
		}
	}
	if say == nil {
		p.Lines = table(draw.Inner(w), h-2)
		p.Foot = rows.place()
	}
	var lines []string
	for _, text := range say {
		lines = append(lines, draw.Wrap(draw.Clean(text), draw.Inner(w))...)
	}
	if say != nil {
		p.Lines = s.fit(lines, draw.Inner(w), h-2)
	}
	return s.theme.Panel(p, w, h)
}

// standsFor says what stands in place of the rows of a source: nil where it has
// some.
func standsFor[T any](what string, src *source[[]T], none ...string) []string {
	switch {
	case src.err != nil && len(src.value) == 0:
		return []string{"x could not read the " + what, src.err.Error(), "ctrl+r reads them again"}
	case !src.loaded:
		return []string{"~ reading the " + what}
	case len(src.value) == 0:
		return none
	}
	return nil
}

// stale is put to the title of a panel whose source failed: the rows are those of
// before.
func stale[T any](title string, src *source[[]T]) string {
	if src.err != nil && len(src.value) > 0 {
		return title + " (x not up to date)"
	}
	return title
}

func (s *home) sessionPanel(w, h int) []string {
	columns := []draw.Column{
		{Title: "SESSION", Width: 8},
		{Title: "PROFILE", Width: 8},
		{Title: "AGENT", Width: 7, Drop: 5},
		{Title: "STATE", Width: 11},
		{Title: "DIRECTORY", Width: 10, Grow: true, Drop: 4},
		{Title: "REQ", Width: 5, Right: true, Drop: 2},
		{Title: "LOGIN", Width: 5, Right: true, Drop: 1},
		{Title: "DENY", Width: 4, Right: true, Drop: 3},
	}
	src := &s.world.sessions
	say := standsFor("sessions", src, "No session runs.", "kb exec -- claude starts one: with the profile of the directory that you are in.")
	return s.panelAt(homeSessions, stale("Sessions", src), &s.sessions, say, w, h, func(w, h int) []string {
		return s.sessions.table(s.theme, columns, w, h, func(one Session) []draw.Cell {
			role := sessionRole(&one)
			deny := draw.Plain
			if one.Denied > 0 {
				deny = draw.Attention
			}
			return []draw.Cell{
				{Text: draw.Clean(one.ID)},
				{Text: draw.Clean(one.Profile)},
				{Text: draw.Clean(one.Agent)},
				{Text: sessionState(&one), Role: role},
				{Text: draw.Clean(dir(s.short(one.Dir), w))},
				{Text: fmt.Sprint(one.Requests)},
				{Text: fmt.Sprint(one.Injected)},
				{Text: fmt.Sprint(one.Denied), Role: deny},
			}
		})
	})
}

// dir is a directory in a table of w cells: where there is little room its end,
// which tells one from another.
func dir(path string, w int) string {
	parts := strings.Split(path, "/")
	if n := len(parts); w < 90 && n > 3 {
		return parts[n-2] + "/" + parts[n-1]
	}
	return path
}

func (s *home) loginPanel(w, h int) []string {
	columns := []draw.Column{
		{Title: "LOGIN", Width: 14, Grow: true},
		{Title: "PROFILE", Width: 8, Drop: 2},
		{Title: "STATE", Width: 11},
		{Title: "EXPIRES", Width: 7},
		{Title: "SYNC", Width: 6, Drop: 1},
	}
	src := &s.world.logins
	say := standsFor("logins", src, "No login yet.", "l logs in to a provider; 3 opens Logins, where i takes over those of claude-code, codex, gemini-cli or gh.")
	return s.panelAt(homeLogins, stale("Logins", src), &s.logins, say, w, h, func(w, h int) []string {
		return s.logins.table(s.theme, columns, w, h, func(l Login) []draw.Cell {
			role := stateRole(l.State)
			return []draw.Cell{
				{Text: draw.Mark(role) + " " + draw.Clean(loginName(l.LoginKey)), Role: role},
				{Text: draw.Clean(l.Profile)},
				{Text: draw.Clean(l.State), Role: role},
				{Text: s.expires(&l)},
				{Text: keptWhere(&l), Role: draw.Muted},
			}
		})
	})
}

func (s *home) eventPanel(w, h int) []string {
	st := s.audit.all
	var say []string
	switch {
	case st.trail.len() > 0:
	case st.err != nil:
		say = []string{"x could not read the audit", st.err.Error(), "ctrl+r reads it again"}
	case !st.loaded:
		say = []string{"~ reading the audit"}
	default:
		say = []string{"Nothing is recorded yet. What a session requests shows here as it happens."}
	}
	title := "Audit (live)"
	if s.audit.ended != nil {
		title = "Audit (not followed)"
	}
	return s.panelAt(homeAudit, title, &s.events, say, w, h, func(w, h int) []string {
		return s.events.table(s.theme, auditColumns(w), w, h, func(e homeEvent) []draw.Cell { return s.auditCells(e.requestEvent) })
	})
}
