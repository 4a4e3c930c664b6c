package tui

import (
	"fmt"
	"strings"
	"time"

	"kb/tui/draw"
)

// detailPanel tells of what is selected in the focused panel.
func (s *home) detailPanel(w, h int) []string {
	inside := draw.Inner(w)
	title, lines := "Details", []string(nil)
	switch s.panel {
	case homeLogins:
		if l, ok := s.logins.selected(); ok {
			title, lines = "Login "+draw.Clean(loginName(l)), s.loginDetail(l, inside)
		}
	case homeAudit:
		if e, ok := s.events.selected(); ok {
			title = fmt.Sprintf("Event %d of %s", e.Seq, draw.Clean(e.Session))
			l := labelled{w: inside}
			for _, f := range s.audit.facts(e.requestEvent, inside-30) {
				if f.label == "" {
					l.lines = append(l.lines, draw.Wrap(f.text, inside)...)
				}
				l.say(f.label, f.text)
			}
			lines = l.lines
		}
	default:
		if one, ok := s.sessions.selected(); ok {
			title, lines = "Session "+draw.Clean(one.ID), s.sessionDetail(&one, inside)
		}
	}
	return s.theme.Panel(draw.Panel{Title: title, Lines: s.fit(lines, inside, h-2)}, w, h)
}

// labelled makes lines of labels and texts; a text that is longer than a line goes
// on below.
type labelled struct {
	w     int
	lines []string
}

const labelWidth = 10

func (l *labelled) say(label, text string) {
	if label == "" || text == "" {
		return
	}
	for i, part := range draw.Wrap(draw.Clean(text), max(10, l.w-labelWidth)) {
		if i > 0 {
			label = ""
		}
		l.lines = append(l.lines, fmt.Sprintf("%-*s%s", labelWidth, label, part))
	}
}

func (l *labelled) head(text string) { l.lines = append(l.lines, "", text) }

func (s *home) sessionDetail(one *Session, w int) []string {
	l := labelled{w: w}
	now := s.now()
	switch {
	case one.Crashed:
		l.say("state", "x crashed: its kb exec is gone without a word")
	default:
		l.say("state", sessionState(one)+", up "+lasted(now.Sub(one.Started)))
	}
	agent := one.Agent
	if one.Child != 0 {
		agent += fmt.Sprintf(" (pid %d)", one.Child)
	}
	l.say("agent", agent)
	l.say("directory", s.short(one.Dir))
	l.say("remote", one.Remote)
	profile := one.Profile
	if len(one.Also) > 0 {
		profile += ", also " + strings.Join(one.Also, ", ")
	}
	l.say("profile", profile)
	l.say("why", one.Reason)
	l.say("isolation", one.Isolation)
	l.say("proxy", one.Proxy)
	l.say("requests", fmt.Sprintf("%d, %d with a login, %d denied", one.Requests, one.Injected, one.Denied))
	bars, _, minutes := s.audit.spark(one.ID, w-labelWidth)
	l.lines = append(l.lines, fmt.Sprintf("%-*s%s", labelWidth, minutes, bars))
	if len(one.Waiting) > 0 {
		l.head("Waits for you: press 6")
		for _, r := range one.Waiting {
			l.lines = append(l.lines, draw.Clean(fmt.Sprintf("! %s  %s %s%s", countdown(r.Deadline, now), r.Method, r.Host, r.Path)))
		}
	}
	if len(one.Hosts) > 0 {
		l.head("Hosts with a login")
		for _, host := range one.Hosts {
			role := s.loginRole(host.Profile, host.Provider)
			l.lines = append(l.lines, draw.Clean(fmt.Sprintf("%s %-20s %s", draw.Mark(role), host.Host, host.Provider)))
		}
	}
	return l.lines
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

func (s *home) loginDetail(login Login, w int) []string {
	l := labelled{w: w}
	now := s.now()
	state := draw.Mark(stateRole(login.State)) + " " + login.State
	if !login.Since.IsZero() {
		state += ", " + ago(login.Since, now)
	}
	l.say("state", state)
	l.say("why", login.Reason)
	l.say("fix", login.Fix)
	l.say("profile", login.Profile)
	l.say("account", login.Account)
	l.say("kind", login.Kind)
	l.say("expires", s.expires(login))
	if !login.Next.IsZero() {
		l.say("refresh", "in "+countdown(login.Next, now))
	}
	l.say("scopes", strings.Join(login.Scopes, " "))
	var users []string
	for i := range s.world.sessions.value {
		one := &s.world.sessions.value[i]
		for _, host := range one.Hosts {
			if host.Profile == login.Profile && host.Provider == login.Provider {
				users = append(users, one.ID+" ("+one.Agent+")")
				break
			}
		}
	}
	l.say("used by", strings.Join(users, ", "))
	if len(login.History) > 0 {
		l.head("History")
		for _, p := range login.History {
			l.lines = append(l.lines, draw.Clean(fmt.Sprintf("%-9s %s", ago(p.When, now), p.What)))
		}
	}
	return l.lines
}

// lasted is how long something has lasted: "41s", "12m", "1h02m", "3d".
func lasted(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(0, d).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
