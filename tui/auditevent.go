package tui

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/audit"
	"kb/tui/draw"
)

// requestEvent is a row: an event as all lines of its request tell it.
type requestEvent struct {
	audit.Event
	Ended time.Time // zero while there is no outcome
}

func requestEventOf(t *trail, row int64) requestEvent {
	e, ended := t.event(row)
	return requestEvent{e, ended}
}

// auditColumns are the columns in a table w cells wide.
func auditColumns(w int) []draw.Column {
	return []draw.Column{
		{Title: "TIME", Width: 8, Drop: 3},
		{Title: "SESSION", Width: 8, Drop: 2},
		{Title: "ACTION", Width: 7},
		{Title: "REQUEST", Width: 14, Grow: true},
		{Title: "STATUS", Width: 6, Right: true},
		{Title: "LOGIN, OR WHY", Width: max(14, min(w/5, 40)), Drop: 1},
	}
}

// auditCells is a row of that table.
func (s *shared) auditCells(e requestEvent) []draw.Cell {
	status, statusRole := "-", draw.Plain
	switch {
	case e.Status != 0:
		status = strconv.Itoa(e.Status)
		if e.Status >= 400 {
			statusRole = draw.Attention
		}
	case e.running():
		status = "..."
	}
	last := draw.Clean(e.login())
	if left, ok := s.waits(e); ok {
		last = "waits " + left
	} else if last == "" || e.Denied() || e.Error != "" {
		last = draw.Clean(e.inShort())
	}
	return []draw.Cell{
		{Text: clockTime(e.Time.In(s.zone()))},
		{Text: draw.Clean(e.Session)},
		{Text: draw.Clean(e.word()), Role: actionRole(e)},
		{Text: draw.Clean(s.shortIn(e.what()))},
		{Text: status, Role: statusRole},
		{Text: last},
	}
}

// word is what was done: the action, or what the line is.
func (e *requestEvent) word() string {
	if e.Action == "" {
		return e.Phase
	}
	return e.Action
}

// running reports whether the outcome is still to come, as far as is known.
func (e *requestEvent) running() bool {
	return e.Request != 0 && e.Ended.IsZero() && e.Phase != audit.PhaseOutcome && e.Phase != audit.PhaseRefused
}

// what is the request, or what the line tells of.
func (e *requestEvent) what() string {
	if e.Host == "" {
		return cmp.Or(e.Detail, e.Reason)
	}
	method := e.Method
	for len(method) < 4 {
		method += " "
	}
	return method + " " + e.host() + e.Path
}

func (e *requestEvent) host() string {
	if e.Port == 0 || e.Port == 443 {
		return e.Host
	}
	return e.Host + ":" + strconv.Itoa(int(e.Port))
}

// login is the credential that was used: "github", "github/ops".
func (e *requestEvent) login() string {
	if e.Login == "" || e.Provider == "" {
		return e.Provider
	}
	return e.Provider + "/" + e.Login
}

func (e *requestEvent) why() string {
	var words []string
	for _, s := range []string{e.Reason, e.Error} {
		if s != "" {
			words = append(words, s)
		}
	}
	return strings.Join(words, ": ")
}

// ends are what came of requests that waited for a person, by the broker's codes.
var ends = map[string]string{
	"approval-timeout":   "nobody answered in time",
	"approval-denied":    "a person said no",
	"approval-abandoned": "it ended while it waited",
	"approval-full":      "too many waited already",
}

// inShort is why in the column of a table, where the beginning is all that is seen:
// what came of a request that waited, or the policy line that denies.
func (e *requestEvent) inShort() string {
	if end := ends[e.Error]; end != "" {
		return end
	}
	if i := strings.LastIndex(e.Reason, "policy "); i >= 0 && e.Error == "policy-denied" {
		if _, line, ok := strings.Cut(e.Reason[i:], ": "); ok {
			return "policy: " + line
		}
	}
	return e.why()
}

func actionRole(e requestEvent) draw.Role {
	switch {
	case e.Denied():
		return draw.Failed
	case e.Phase == audit.PhaseAsk:
		return draw.Attention
	case e.Action == "inject":
		return draw.Good
	}
	return draw.Plain
}

// waits says how much time a request has left that waits for a person.
func (s *shared) waits(e requestEvent) (left string, ok bool) {
	if e.Phase != audit.PhaseAsk || !e.running() {
		return "", false
	}
	for i := range s.world.sessions.value {
		of := &s.world.sessions.value[i]
		if of.ID != e.Session {
			continue
		}
		for _, r := range of.Waiting {
			if e.Detail == "waits as "+r.ID { // the broker's words
				return s.countdown(r.Deadline), true
			}
		}
	}
	return "", false
}

// eventFacts are what is known of an event, the most wanted first; the bars of its
// session's rate take at most bars cells.
func (s *auditLog) eventFacts(e requestEvent, bars int) []fact {
	zone := s.zone()
	who := "session " + e.Session
	if e.Profile != "" {
		who += "  profile " + e.Profile
	}
	if login := e.login(); login != "" {
		who += "  login " + login
	}
	reason, detail := e.Reason, e.Detail
	if e.Host == "" { // the sentence has it
		if detail == "" {
			reason = ""
		}
		detail = ""
	}
	rate, n, minutes := s.spark(e.Session, bars)
	if rate != "" {
		rate += "  " + plural(n, "request") + " in " + minutes
	}
	when := e.Time.In(zone).Format("2006-01-02 15:04:05.000")
	if !e.Ended.IsZero() {
		when += " to " + e.Ended.In(zone).Format("15:04:05.000")
	}
	sizes := ""
	if e.Sent > 0 || e.Received > 0 {
		sizes = sizeWords(e.Sent) + " sent, " + sizeWords(e.Received) + " received"
	}
	return []fact{
		{draw.Clean(e.word()), s.sentence(e), actionRole(e)},
		{"who", who, draw.Plain},
		{"why", reason, draw.Plain},
		{"error", e.Error, draw.Failed},
		{"rate", rate, draw.Accent},
		{"time", when, draw.Plain},
		{"bytes", sizes, draw.Plain},
		{"detail", detail, draw.Plain},
	}
}

// spark draws the requests of a session over the last whole minutes, in at most w
// cells, and says how many there were in how long.
func (s *auditLog) spark(session string, w int) (bars string, n int, minutes string) {
	const perMinute = int(time.Minute / rateStep)
	steps := min(rateSteps, w) / perMinute * perMinute
	if session == "" || steps <= 0 {
		return "", 0, ""
	}
	now := s.read()
	s.until(now.Truncate(rateStep).Add(rateStep))
	counts := s.rates.last(session, now, steps)
	for _, c := range counts {
		n += c
	}
	return s.theme.Spark(counts, steps), n, fmt.Sprintf("%d min", steps/perMinute)
}

// sentence is a request and what came of it: "GET https://api.github.com/user ->
// 200 in 182 ms".
func (s *auditLog) sentence(e requestEvent) string {
	if e.Host == "" {
		return e.what()
	}
	text := e.Method + " "
	if e.Method == "CONNECT" {
		text += e.Host + ":" + strconv.Itoa(int(e.Port))
	} else {
		text += "https://" + e.host() + e.Path
	}
	if left, ok := s.waits(e); ok {
		return text + "  waits for you, " + left + " left: press 6"
	}
	if e.Status != 0 {
		text += " -> " + strconv.Itoa(e.Status)
	}
	switch {
	case e.Millis >= 10_000:
		text += fmt.Sprintf(" in %.1f s", e.Millis/1000)
	case e.Millis > 0:
		text += fmt.Sprintf(" in %.0f ms", e.Millis)
	case e.running():
		text += "  no outcome yet"
	}
	return text
}

// detail opens all that is known of an event.
func (s *auditLog) detail(e requestEvent) tea.Cmd {
	var text []string
	for _, f := range s.eventFacts(e, 30) {
		if f.text != "" {
			text = append(text, fmt.Sprintf("%-8s %s", draw.Clean(f.name), f.text))
		}
	}
	return s.shared.show(&reader{shared: s.shared, about: eventTitle(e), text: text, copy: s.current()})
}

func eventTitle(e requestEvent) string {
	return fmt.Sprintf("Event %d of %s", e.Seq, draw.Clean(e.Session))
}
