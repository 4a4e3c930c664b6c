package tui

import (
	"strings"

	"kb/tui/draw"
)

var loginColumns = []draw.Column{
	{Title: "LOGIN", Width: 14, Grow: true},
	{Title: "PROFILE", Width: 10, Drop: 5},
	{Title: "KIND", Width: 16, Drop: 1},
	{Title: "STATE", Width: 13},
	{Title: "EXPIRES", Width: 8, Drop: 4},
	{Title: "REFRESH", Width: 10, Drop: 2},
	{Title: "SYNC", Width: 6, Drop: 3},
}

func (s *logins) view(w, h int) []string {
	switch logins := &s.world.logins; {
	case !logins.loaded:
		return s.instead("Logins", w, h, draw.Working, "~ reading the logins")
	case logins.err != nil && len(logins.value) == 0:
		return s.failed("Logins", logins.err, w, h)
	case len(logins.value) == 0:
		where := "No logins yet"
		if p := s.world.standing.value.Profile; p != "" {
			where = "No logins in profile " + p + " yet"
		}
		return s.instead("Logins", w, h, draw.Accent, where, "l  log in at a provider", "i  import from claude-code, codex, gemini-cli or gh")
	}
	return s.master(w, h, false, s.viewList, s.viewDetail)
}

func (s *logins) viewList(w, h int) []string {
	title := "Logins"
	if s.world.logins.err != nil {
		title = "Logins, as they stood " + s.ago(s.world.logins.at)
	}
	return s.theme.Panel(draw.Panel{
		Title: title, Focused: s.panel == 0, Foot: place(s.list.cursor, len(s.list.shown)),
		Lines: s.list.table(s.theme, loginColumns, draw.Inner(w), h-2, func(l Login) []draw.Cell {
			role := stateRole(l.State)
			return []draw.Cell{
				{Text: draw.Mark(role) + " " + draw.Clean(loginName(l.LoginKey)), Role: role},
				{Text: draw.Clean(l.Profile)},
				{Text: draw.Clean(l.Kind), Role: draw.Muted},
				{Text: draw.Clean(l.State), Role: role},
				{Text: s.expires(&l)},
				{Text: nextRefresh(&l, func() string { return s.countdown(l.Next) })},
				{Text: keptWhere(&l), Role: draw.Muted},
			}
		}),
	}, w, h)
}

// expires is what a login has left.
func (c *clock) expires(l *Login) string {
	if l.Expires.IsZero() && l.State == "ok" {
		return "never"
	}
	return c.countdown(l.Expires)
}

// nextRefresh is when a login's tokens are got anew.
func nextRefresh(l *Login, left func() string) string {
	switch {
	case l.State == "refreshing":
		return "running"
	case l.Next.IsZero():
		return "-"
	}
	in := left()
	switch {
	case in == "over":
		return "due"
	case l.State == "offline", l.State == "needs login":
		return "retry " + in
	}
	return "in " + in
}

// keptWhere is where a login is kept: in the vault, for every device, or on this
// device alone.
func keptWhere(l *Login) string {
	if l.DeviceOnly {
		return "device"
	}
	return "vault"
}

func (s *logins) viewDetail(w, h int) []string {
	l, any := s.list.selected()
	if !any {
		return s.theme.Panel(draw.Panel{Title: "Details", Focused: s.panel == 1, Lines: []string{s.theme.Fit("no login has these words", draw.Inner(w))}}, w, h)
	}
	if row := s.list.key(l); row != s.row {
		s.row, s.detail = row, pager{}
	}
	lines := s.detail.window(s.loginFacts(&l, draw.Inner(w)), h-2)
	return s.theme.Panel(draw.Panel{
		Title: draw.Clean(loginName(l.LoginKey) + " (" + l.Profile + ")"), Focused: s.panel == 1, Lines: lines, Foot: s.detail.place(),
	}, w, h)
}

// loginFacts is all that is known of a login, what is asked for most first.
func (s *logins) loginFacts(l *Login, w int) []string {
	role := stateRole(l.State)
	state := draw.Mark(role) + " " + l.State
	if !l.Since.IsZero() {
		state += " since " + s.moment(l.Since)
	}
	expires := ""
	if !l.Expires.IsZero() {
		expires = s.moment(l.Expires) + "  (" + s.countdown(l.Expires) + ")"
		if r := nextRefresh(l, func() string { return s.countdown(l.Next) }); r != "-" {
			expires += "  refresh " + r
		}
	}
	kept := "in the vault, for every device"
	if l.DeviceOnly {
		kept = "on this device alone; another makes its own"
	}
	if l.Missing {
		kept = "each device makes its own; this one has still to"
	}
	return s.facts(w,
		fact{"state", state, role},
		fact{"reason", l.Reason, draw.Plain},
		fact{"account", l.Account, draw.Plain},
		fact{"used by", s.usedBy(l), draw.Plain},
		fact{"expires", expires, draw.Plain},
		fact{"scopes", strings.Join(l.Scopes, " "), draw.Plain},
		fact{"history", s.pastLines(l.History), draw.Plain},
		fact{"fix", l.Fix, draw.Attention},
		fact{"kind", l.Kind, draw.Plain},
		fact{"kept", kept, draw.Plain},
		fact{"vault", l.Vault, draw.Plain},
		fact{"server", l.Base, draw.Plain},
		fact{"client", l.Client, draw.Plain},
		fact{"value", strings.Join(l.Refs, "\n"), draw.Plain},
	)
}

// pastLines is what happened to a login, newest first.
func (c *clock) pastLines(all []Past) string {
	var lines []string
	for _, p := range all {
		lines = append(lines, c.moment(p.When)+"  "+p.What)
	}
	return strings.Join(lines, "\n")
}

// usedBy names the sessions that have a login, and whether one waits because of
// it.
func (s *logins) usedBy(l *Login) string {
	var names []string
	for i := range s.world.sessions.value {
		session := &s.world.sessions.value[i]
		for _, h := range session.Hosts {
			if h.Provider != l.Provider || h.Profile != l.Profile {
				continue
			}
			name := session.ID
			waits := 0
			for _, r := range session.Waiting {
				if r.Provider == l.Provider && r.Profile == l.Profile {
					waits++
				}
			}
			if waits > 0 {
				name += " (" + plural(waits, "request") + " waiting)"
			}
			names = append(names, name)
			break
		}
	}
	if names == nil && s.world.sessions.loaded {
		return "no session"
	}
	return strings.Join(names, ", ")
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
