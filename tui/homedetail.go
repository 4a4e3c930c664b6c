package tui

import (
	"fmt"
	"strings"

	"kb/tui/draw"
)

// detailPanel tells of what is selected in the focused panel.
func (s *home) detailPanel(w, h int) []string {
	inside := draw.Inner(w)
	title, lines := "Details", []string(nil)
	switch s.panel {
	case homeLogins:
		if l, ok := s.logins.selected(); ok {
			title, lines = "Login "+draw.Clean(loginName(l.LoginKey)), s.loginScreen.loginFacts(&l, inside)
		}
	case homeAudit:
		if e, ok := s.events.selected(); ok {
			title, lines = eventTitle(e.requestEvent), s.facts(inside, s.audit.eventFacts(e.requestEvent, inside-32)...)
		}
	default:
		if one, ok := s.sessions.selected(); ok {
			title, lines = "Session "+draw.Clean(one.ID), s.sessionFacts(&one, inside)
		}
	}
	return s.theme.Panel(draw.Panel{Title: title, Lines: lines[:max(0, min(len(lines), h-2))]}, w, h)
}

// sessionFacts is what is known of a session, what waits first.
func (s *home) sessionFacts(one *Session, w int) []string {
	state := sessionState(one) + ", up " + s.lasted(one.Started)
	if one.Crashed {
		state = "x crashed: its kb exec is gone without a word"
	}
	var waits []string
	for _, r := range one.Waiting {
		waits = append(waits, s.countdown(r.Deadline)+" left: "+r.Method+" "+r.Host+r.Path)
	}
	if waits != nil {
		waits = append(waits, "press 6 to answer")
	}
	agent := one.Agent
	if one.Child != 0 {
		agent += fmt.Sprintf(" (pid %d)", one.Child)
	}
	profile := one.Profile
	if len(one.Also) > 0 {
		profile += ", also " + strings.Join(one.Also, ", ")
	}
	bars, n, minutes := s.audit.spark(one.ID, w-11)
	if n == 0 {
		bars = "" // which would be a word with nothing behind it
	}
	lines := s.facts(w,
		fact{"state", state, sessionRole(one)},
		fact{"waits", strings.Join(waits, "\n"), draw.Attention},
		fact{"agent", agent, draw.Plain},
		fact{"cwd", s.short(one.Dir), draw.Plain},
		fact{"remote", one.Remote, draw.Plain},
		fact{"profile", profile, draw.Plain},
		fact{"why", one.Reason, draw.Plain},
		fact{"isolation", one.Isolation, draw.Plain},
		fact{"proxy", one.Proxy, draw.Plain},
		fact{"requests", fmt.Sprintf("%d, %d with a login, %d denied", one.Requests, one.Injected, one.Denied), draw.Plain},
		fact{minutes, bars, draw.Accent},
	)
	if len(one.Hosts) == 0 {
		return lines
	}
	lines = append(lines, "", s.theme.Paint(draw.Muted, s.theme.Fit("Hosts with a login", w)))
	wide := 0
	for _, host := range one.Hosts {
		wide = max(wide, draw.Width(draw.Clean(host.Host)))
	}
	wide = min(wide, max(1, w-14)) // the provider's name is behind it
	for _, host := range one.Hosts {
		role := s.loginRole(host.Profile, host.Provider)
		lines = append(lines, s.theme.Paint(role, s.theme.Fit(draw.Mark(role)+" "+s.theme.Fit(draw.Clean(host.Host), wide)+"  "+draw.Clean(host.Provider), w)))
	}
	return lines
}

// loginRole is how the login of a profile with a provider stands.
func (s *home) loginRole(profile, provider string) draw.Role {
	for i := range s.logins.all { // the worst first
		if l := &s.logins.all[i]; l.Profile == profile && l.Provider == provider {
			return stateRole(l.State)
		}
	}
	return draw.Plain
}
