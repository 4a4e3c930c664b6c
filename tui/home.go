package tui

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/audit"
	"kb/tui/draw"
)

var homeBindings = []binding{
	{id: "home.login", keys: []string{"l"}, does: "log in", help: "log in again: the login under the cursor, else the one that needs it most", verb: "kb login"},
	{id: "home.logindevice", keys: []string{"L"}, does: "log in by code", help: "log in again with a code that is typed on another machine", verb: "kb login"},
	{id: "home.refresh", keys: []string{"r"}, does: "refresh", help: "get new tokens of the login under the cursor now", verb: "kb refresh"},
	{id: "home.stop", keys: []string{"d"}, does: "stop", help: "stop the session: its agent is ended; asks first", verb: "kb session stop"},
}

// The panels of Home.
const (
	homeSessions = iota
	homeLogins
	homeAudit
	homePanels
)

// homeEvents is how many of the newest events Home holds rows for: more is on the
// Audit screen.
const homeEvents = 100

// home says who uses what as whom, and whether anything waits for a person.
type home struct {
	*shared
	audit *auditLog
	// loginScreen knows what there is to say of a login.
	loginScreen *logins
	sessions    list[Session]
	logins      list[Login]
	events      list[homeEvent]
	panel       int
	places      []homePlace // of the panels, as of the last view
	// What the lists were made of.
	seen struct {
		sessions []Session
		logins   []Login
		events   uint64
	}
}

// homeEvent is a row of the audit by its number.
type homeEvent struct {
	row int64
	requestEvent
}

func newHome(s *shared, l *logins, a *auditLog) *home {
	h := &home{
		shared: s, audit: a, loginScreen: l,
		sessions: newList(func(s Session) string { return s.ID }, func(s Session) string {
			return strings.Join([]string{s.ID, s.Profile, s.Agent, s.Dir, s.Remote, sessionState(&s)}, " ")
		}),
		logins: newList(func(l Login) string { return l.row() }, func(l Login) string {
			return strings.Join([]string{l.Profile, loginName(l.LoginKey), l.State, l.Account, l.Kind}, " ")
		}),
		events: newList(func(e homeEvent) string { return strconv.FormatInt(e.row, 10) }, func(e homeEvent) string {
			return audit.Line(&e.Event, s.zone())
		}),
	}
	h.events.bare = true
	h.focus(homeSessions)
	return h
}

func (s *home) name() string           { return "Home" }
func (s *home) opened() tea.Cmd        { return s.audit.opened() }
func (s *home) update(tea.Msg) tea.Cmd { return nil }
func (s *home) panels() int            { return homePanels }

func (s *home) focus(panel int) {
	s.panel = panel
	s.sessions.away, s.logins.away, s.events.away = panel != homeSessions, panel != homeLogins, panel != homeAudit
}

func (s *home) rows() rows {
	switch s.panel {
	case homeLogins:
		return &s.logins
	case homeAudit:
		return &s.events
	}
	return &s.sessions
}

// changed makes the lists anew of what is new.
func (s *home) changed() {
	w := &s.world
	if now := w.sessions.value; !sameSlice(now, s.seen.sessions) {
		s.seen.sessions = now
		s.sessions.set(now)
	}
	if now := w.logins.value; !sameSlice(now, s.seen.logins) {
		s.seen.logins = now
		sorted := slices.Clone(now)
		sort.SliceStable(sorted, func(i, j int) bool { return worse(sorted[i]) < worse(sorted[j]) })
		s.logins.set(sorted)
	}
	st := s.audit.all
	if now := st.trail.version; now != s.seen.events {
		s.seen.events = now
		atEnd := s.events.cursor >= len(s.events.shown)-1
		var last []homeEvent
		for row := max(st.trail.first(), st.trail.end()-homeEvents); row < st.trail.end(); row++ {
			last = append(last, homeEvent{row, requestEventOf(st.trail, row)})
		}
		s.events.set(last)
		if atEnd {
			s.events.move(len(last))
		}
	}
}

// worse orders logins by how much they need a person.
func worse(l Login) int {
	order := []string{"needs login", "unknown", "offline", "expiring", "refreshing"}
	if i := slices.Index(order, l.State); i >= 0 {
		return i
	}
	return len(order)
}

// sessionState is a session's state: a mark and a word.
func sessionState(s *Session) string {
	word := "running"
	switch n := len(s.Waiting); {
	case s.Crashed:
		word = "crashed"
	case n > 0:
		word = fmt.Sprintf("%d waiting", n)
	}
	return draw.Mark(sessionRole(s)) + " " + word
}

func sessionRole(s *Session) draw.Role {
	switch {
	case s.Crashed:
		return draw.Failed
	case len(s.Waiting) > 0:
		return draw.Attention
	}
	return draw.Good
}

func (s *home) current() string {
	switch s.panel {
	case homeLogins:
		l, _ := s.logins.selected()
		return l.Provider
	case homeAudit:
		e, ok := s.events.selected()
		if !ok {
			return ""
		}
		return audit.Line(&e.Event, s.zone())
	}
	session, _ := s.sessions.selected()
	return session.ID
}

// loginToDo is the login that l is for: the one under the cursor, else the worst
// that needs it.
func (s *home) loginToDo() (Login, bool) {
	if s.panel == homeLogins {
		return s.logins.selected()
	}
	if all := s.logins.all; len(all) > 0 && all[0].State == "needs login" { // the worst first
		return all[0], true
	}
	return Login{}, false
}

func (s *home) uses() []use {
	uses := []use{s.useEnter()}
	login, device := use{id: "home.login"}, use{id: "home.logindevice"}
	switch l, ok := s.loginToDo(); {
	case ok:
		login.line = loginLine("login", l.LoginKey)
		login.run = func() tea.Cmd { return startLogin(s.shared, l.LoginKey, false) }
		device.run = func() tea.Cmd { return startLogin(s.shared, l.LoginKey, true) }
		if !l.OAuth {
			device.off = "nobody grants this login in a browser"
		}
	case len(s.logins.all) == 0:
		login.line = "kb login PROVIDER"
		login.run = func() tea.Cmd { return newLogin(s.shared, "", s.world.standing.value.Profile) }
		device.off = "there is no login"
	default:
		login.off = "no login needs it; on the panel of logins, l is for the one under the cursor"
		device.off = login.off
	}
	uses = append(uses, login)
	if n := len(s.world.waiting()); n > 0 {
		uses = append(uses, use{id: "any.screen6", line: "kb status", run: func() tea.Cmd {
			return func() tea.Msg { return goTo{screen: screenApprovals} }
		}})
	}
	switch s.panel {
	case homeSessions:
		uses = append(uses, s.useStop())
	case homeLogins:
		l, ok := s.logins.selected()
		refresh := use{id: "home.refresh", line: loginLine("refresh", l.LoginKey), run: func() tea.Cmd {
			return s.act("refresh "+l.Provider, func(ctx context.Context) (string, error) { return s.backend.Refresh(ctx, l.LoginKey) })
		}}
		switch {
		case !ok:
			refresh.off = "there is no login"
		case !l.Renews:
			refresh.off = "this login has no tokens that end"
		}
		uses = append(uses, refresh)
	}
	return append(uses, device)
}

// useEnter opens the screen that has more of the selected row.
func (s *home) useEnter() use {
	u := use{id: "any.enter"}
	switch s.panel {
	case homeLogins:
		l, ok := s.logins.selected()
		if !ok {
			u.off = "there is no login"
		}
		u.run = func() tea.Cmd { return func() tea.Msg { return goTo{screen: screenLogins, row: l.row()} } }
	case homeAudit:
		e, ok := s.events.selected()
		if !ok {
			u.off = "there is no event"
		}
		u.run = func() tea.Cmd { return func() tea.Msg { return showAudit{row: e.row, toRow: true} } }
	default:
		session, ok := s.sessions.selected()
		if !ok {
			u.off = "there is no session"
		}
		f := audit.Filter{Session: session.ID}
		u.line = command("kb audit", f)
		u.run = func() tea.Cmd { return func() tea.Msg { return showAudit{filter: f} } }
	}
	return u
}

func (s *home) useStop() use {
	session, ok := s.sessions.selected()
	u := use{id: "home.stop", line: "kb session stop " + shellWord(session.ID)}
	switch {
	case !ok:
		u.off = "there is no session"
	case session.Crashed:
		u.off = "session " + session.ID + " is over: nothing runs that could be stopped"
	}
	question := fmt.Sprintf("Stop session %s? %s in %s is ended, and what it has not saved is lost.", session.ID, session.Agent, s.short(session.Dir))
	if n := len(session.Waiting); n > 0 {
		question += fmt.Sprintf(" %s of it that %s for you %s refused.", plural(n, "request"), verbOf(n, "waits", "wait"), verbOf(n, "is", "are"))
	}
	u.run = func() tea.Cmd {
		return s.shared.show(&confirm{shared: s.shared, about: "Stop session", question: question, yes: "stop it", act: func() tea.Cmd {
			return s.act("stop session "+session.ID, func(ctx context.Context) (string, error) {
				return "session " + session.ID + " was told to stop", s.backend.StopSession(ctx, session.ID)
			})
		}})
	}
	return u
}

func verbOf(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func waitText(n int) string { return plural(n, "request") + " " + verbOf(n, "waits", "wait") }

// hint is what is most urgent, with the key that does something about it.
func (s *home) hint() string {
	if waiting := s.world.waiting(); len(waiting) > 0 {
		first := slices.MinFunc(waiting, func(a, b Request) int { return a.Deadline.Compare(b.Deadline) })
		what := fmt.Sprintf("! %s, %s left, press 6: %s of %s wants %s %s%s", waitText(len(waiting)), s.countdown(first.Deadline),
			first.Agent, first.Session, first.Method, first.Host, first.Path)
		return draw.Clean(what)
	}
	for i := range s.world.sessions.value {
		if one := &s.world.sessions.value[i]; one.Crashed {
			return draw.Clean("x " + one.Agent + " of session " + one.ID + " crashed, press enter on it for its last requests")
		}
	}
	if all := s.logins.all; len(all) > 0 && all[0].State == "needs login" { // the worst first
		why := all[0].Reason
		if why == "" {
			why = "it has no token on this device"
		}
		return draw.Clean("! " + loginName(all[0].LoginKey) + " needs login, press l: " + why)
	}
	if all := s.world.standing.value.Attention; len(all) > 0 {
		return draw.Clean("! " + all[0])
	}
	for _, err := range []error{s.world.sessions.err, s.world.logins.err} {
		if err != nil {
			return draw.Clean("x " + err.Error() + "; ctrl+r looks again")
		}
	}
	if s.world.sessions.loaded && len(s.world.sessions.value) == 0 {
		return "Nothing runs and nothing waits for you. kb exec -- claude starts a session."
	}
	if s.world.sessions.loaded && s.world.logins.loaded {
		return "Nothing waits for you."
	}
	return ""
}
