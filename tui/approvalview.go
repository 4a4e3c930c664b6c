package tui

import (
	"fmt"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
	"kb/tui/draw"
)

func (s *approvals) view(w, h int) []string {
	r, any := s.list.selected()
	if !any || !r.Same(s.drawn) {
		s.pager = pager{}
	}
	s.drawn, s.needs = r, 1 // what is not drawn below is not read
	switch src := &s.world.sessions; {
	case !src.loaded:
		return s.instead("Approvals", w, h, draw.Working, "asking the sessions …")
	case src.err != nil:
		return s.failed("Approvals", src.err, w, h)
	case len(s.list.all) == 0:
		return s.instead("Approvals", w, h, draw.Good, "Nothing waits for you.",
			"A request comes here when a line of its profile's policy says ask. Press p on Profiles to add one.")
	case !any:
		return s.instead("Approvals", w, h, draw.Plain, "No request has these words.", "esc clears the filter")
	case s.open:
		s.split.w, s.split.h = w, 0
		return s.detail(r, w, h)
	case s.here == layoutOne:
		s.pager = pager{}
		s.split.w, s.split.h = w, h
		return s.table(w, h)
	}
	// The list is as high as it must be: the request has to be read whole.
	top := max(5, min(len(s.list.shown)+3, h/3))
	s.split.w, s.split.h = w, top
	return append(s.table(w, top), s.detail(r, w, h-top)...)
}

// failed shows an error in place of a list, with what mends it.
func (s *shared) failed(title string, err error, w, h int) []string {
	texts := []string{"x " + err.Error()}
	if fix := hint.Fix(err); fix != "" {
		texts = append(texts, fix)
	}
	return s.instead(title, w, h, draw.Failed, append(texts, "ctrl+r tries again")...)
}

func (s *approvals) table(w, h int) []string {
	columns := []draw.Column{
		{Title: "SESSION", Width: 8, Drop: 3},
		{Title: "PROFILE", Width: 10, Drop: 1},
		{Title: "METHOD", Width: 6},
		{Title: "REQUEST", Width: 14, Grow: true}, // the host, whatever else goes
		{Title: "LOGIN", Width: 10, Drop: 2},
		{Title: "LEFT", Width: 5, Right: true},
	}
	now := s.now()
	return s.theme.Panel(draw.Panel{
		Title: "Approvals", Focused: true, Foot: place(s.list.cursor, len(s.list.shown)),
		Lines: s.list.table(s.theme, columns, draw.Inner(w), h-2, func(r Request) []draw.Cell {
			left, role := s.countdown(r.Deadline), draw.Plain
			if !r.Deadline.IsZero() && r.Deadline.Sub(now) < 30*time.Second {
				role = draw.Attention
			}
			return []draw.Cell{
				{Text: draw.Clean(r.Session)},
				{Text: draw.Clean(r.Profile)},
				{Text: draw.Clean(r.Method)},
				{Text: draw.Clean(target(r))},
				{Text: draw.Clean(r.Provider), Role: draw.Muted},
				{Text: left, Role: role},
			}
		}),
	}, w, h)
}

// detail draws the request, and notes how much of it was on the screen.
func (s *approvals) detail(r Request, w, h int) []string {
	inner := draw.Inner(w)
	if s.width != inner { // it is broken into other lines now
		s.width, s.pager = inner, pager{}
	}
	lines, needs := s.describe(r, inner)
	s.needs = needs
	shown := s.pager.window(lines, h-2)
	foot := s.pager.more()
	if s.pager.seen < needs {
		foot = "not read to its end: " + foot
	}
	return s.theme.Panel(draw.Panel{Title: "Request " + draw.Clean(r.ID), Focused: s.open, Foot: foot, Lines: shown}, w, h)
}

// describe is all that there is to know of a request; needs is how many of the
// lines say what it is.
func (s *approvals) describe(r Request, w int) (lines []string, needs int) {
	add := func(name, text string, role draw.Role) {
		if text != "" {
			lines = append(lines, field(s.theme, role, name, text, w)...)
		}
	}
	add("host", authority(r), draw.Accent)
	request := r.Method
	if r.Git != "" {
		request += ", git " + r.Git
	}
	add("method", request, draw.Plain)
	if r.Mint {
		add("! warning", "its answer is itself a credential", draw.Attention)
	}
	if r.Websocket {
		add("! warning", "opens a websocket: what goes over it is not read, and nobody is asked about it", draw.Attention)
	}
	login := r.Provider
	if r.Login != "" {
		login += " (" + r.Login + ")"
	}
	add("login", login+" of profile "+r.Profile, draw.Plain)
	add("path", r.Path, draw.Plain)
	add("repo", r.Repository, draw.Plain)
	needs = len(lines)
	add("left", s.countdown(r.Deadline)+"; no answer until then is a denial", draw.Plain)
	add("body", bodyWords(r), draw.Plain)
	policy := r.Rule
	if r.Policy != "" {
		policy += " (" + r.Policy + ")"
	}
	add("policy", policy, draw.Plain)
	add("agent", r.Agent+" in "+s.short(r.Dir), draw.Plain)
	add("session", r.Session, draw.Plain)
	lines = append(lines, "")
	for _, x := range [][2]string{
		{s.keyOf("once") + " once", "this request only"},
		{s.keyOf("session") + " session", "all with this line, login, method and host until " + r.Session + " ends"},
		{s.keyOf("always") + " always", "a line in the policy of profile " + r.Profile + "; you see it first"},
		{s.keyOf("deny") + " deny", "this request only; " + s.keyOf("denysession") + " all like it until " + r.Session + " ends"},
	} {
		add(x[0], x[1], draw.Muted)
	}
	return lines, needs
}

// keyOf is the key of an answer, as the bar has it.
func (s *approvals) keyOf(answer string) string {
	keys := s.keys.byID["approvals."+answer].keys
	if len(keys) == 0 {
		return "-"
	}
	return label(keys[0])
}

// bodyWords says how large a request's body is, and what it says to be.
func bodyWords(r Request) string {
	size := "of unknown size"
	switch {
	case r.Body == 0:
		return "none"
	case r.Body > 0:
		size = sizeWords(r.Body)
	}
	if r.Type != "" {
		size += " " + r.Type
	}
	return size + " (not read by kb)"
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}

// sizeWords is a number of bytes for people: "812 B", "1.2 kB", "3.4 MB".
func sizeWords(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1000*1000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1000*1000*1000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// askAlways shows the line that is written, and asks.
func (s *approvals) askAlways(r Request, line string) tea.Cmd {
	return openReading(s.shared, "Always allow?", "write it and approve", func(w int) []string {
		lines := draw.Wrap(draw.Clean("This line is written into the policy of profile "+r.Profile+". It is for all its sessions and agents, on all your devices:"), w)
		lines = append(lines, "")
		for _, part := range draw.Chop(draw.Clean(line), w-2) {
			lines = append(lines, s.theme.Paint(draw.Accent, "  "+part))
		}
		lines = append(lines, "")
		what, needs := s.describe(r, w)
		return append(lines, what[:needs]...)
	}, func() tea.Cmd { return s.sendWaiting([]Request{r}, Always) })
}

// askSeveral lists the requests that an answer would go to, and asks.
func (s *approvals) askSeveral(requests []Request, a Answer) tea.Cmd {
	title, yes := "Approve ", "approve"
	if a == Deny || a == DenySession {
		title, yes = "Deny ", "deny"
	}
	title += plural(len(requests), "request") + "?"
	if a == ForSession || a == DenySession {
		yes += ", with all like it"
	}
	return openReading(s.shared, title, yes, func(w int) []string {
		var lines []string
		for i, r := range requests {
			if i > 0 {
				lines = append(lines, "")
			}
			what, needs := s.describe(r, w)
			lines = append(lines, what[:needs]...)
		}
		return lines
	}, func() tea.Cmd { return s.sendWaiting(requests, a) })
}

// sendWaiting answers those of the requests that still wait as they were shown.
func (s *approvals) sendWaiting(requests []Request, a Answer) tea.Cmd {
	var left []Request
	for _, r := range requests {
		if now, ok := s.known[requestKey(r)]; ok && now.Same(r) && !s.sent[requestKey(r)] {
			left = append(left, r)
		}
	}
	if len(left) == 0 {
		return say(done{told: true, note: "nothing was answered: it does not wait any more"})
	}
	return s.send(left, a)
}
