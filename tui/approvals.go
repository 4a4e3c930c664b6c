package tui

import (
	"context"
	"fmt"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/hint"
)

var approvalBindings = []binding{
	{id: "approvals.once", keys: []string{"a"}, does: "once", help: "let this request pass, and no other", verb: "kb approve", grants: true},
	{id: "approvals.session", keys: []string{"s"}, does: "session", help: "let it pass, and all like it until the session ends", verb: "kb approve", grants: true},
	{id: "approvals.always", keys: []string{"A"}, does: "always...", help: "let it pass and write a policy line, which is shown first", verb: "kb approve", grants: true},
	{id: "approvals.deny", keys: []string{"d"}, does: "deny", help: "refuse this request", verb: "kb deny"},
	{id: "approvals.denysession", keys: []string{"D"}, does: "deny for session", help: "refuse it, and all like it until the session ends", verb: "kb deny"},
}

// answerTime bounds an answer: a session that does not take it by then is shown
// as an error. 10 s: it is on this machine, and writes at most one line of the
// vault.
const answerTime = 10 * time.Second

// approvals is the screen of the requests that wait for a person.
//
// An answer goes to the request that a person looked at, or to none. What was
// drawn last is kept; a key counts when the request under the cursor is that
// one in every field, and not soon after the cursor's request has
// changed by itself. A request is let pass only when it was on the screen
// whole, with every letter of its host and path.
type approvals struct {
	*shared
	list  list[Request]
	sent  map[string]bool    // answered from here; not in the list
	known map[string]Request // that waited when the sessions were told last
	fresh unread             // the request under the cursor

	open  bool // the detail has the whole screen
	pager pager
	drawn Request // selected when the screen was drawn last
	width int     // of its detail then; 0 when it was not drawn
	needs int     // how many of the detail's lines must have been on the screen

	notices []string // of what has happened by itself
	line    uint64   // number of the last question for a policy line
}

func newApprovals(s *shared) *approvals {
	return &approvals{
		shared: s, sent: map[string]bool{}, known: map[string]Request{},
		list: newList(requestKey, func(r Request) string {
			return strings.Join([]string{r.ID, r.Session, r.Profile, r.Provider, r.Method, r.Host, r.Path, r.Agent, r.Repository}, " ")
		}),
	}
}

func requestKey(r Request) string { return r.Session + "\x00" + r.ID }

func (s *approvals) name() string { return "Approvals" }

func (s *approvals) opened() tea.Cmd {
	s.fresh.begin(s.now())
	return ask(s.ctx, &s.world.sessions, s.backend.Sessions)
}

func (s *approvals) panels() int { return 1 }
func (s *approvals) focus(int)   {}

func (s *approvals) rows() rows {
	if s.open {
		return &s.pager
	}
	return &s.list
}

func (s *approvals) current() string {
	r, _ := s.list.selected()
	return r.ID
}

// changed takes what waits by now.
func (s *approvals) changed() {
	if !s.world.sessions.loaded || s.world.sessions.err != nil {
		return
	}
	now := s.now()
	waiting, all := map[string]Request{}, s.world.waiting()
	shown := all[:0:0]
	for _, r := range all {
		if !r.Deadline.IsZero() && !now.Before(r.Deadline) {
			continue // its time is over, whatever the session has said of it
		}
		waiting[requestKey(r)] = r
		if !s.sent[requestKey(r)] {
			shown = append(shown, r)
		}
	}
	for key, r := range s.known {
		if _, ok := waiting[key]; ok {
			continue
		}
		if !s.sent[key] {
			s.notices = append(s.notices, s.gone(r, now))
		}
		delete(s.sent, key)
		delete(s.list.marked, key)
	}
	s.known = waiting
	before, _ := s.list.selected()
	s.list.set(shown)
	after, ok := s.list.selected()
	if ok && !before.Same(after) {
		s.fresh.begin(now)
	}
	if !ok || requestKey(before) != requestKey(after) {
		s.open = false
	}
}

// gone says why a request does not wait any more.
func (s *approvals) gone(r Request, now time.Time) string {
	what := r.Method + " " + target(r)
	alive := false
	for i := range s.world.sessions.value {
		one := &s.world.sessions.value[i]
		alive = alive || one.ID == r.Session && !one.Crashed
	}
	switch {
	case !alive:
		return "session " + r.Session + " has ended: " + what + " waits no more"
	case !r.Deadline.IsZero() && !now.Before(r.Deadline):
		return "nobody answered in time, denied: " + what
	}
	return "answered elsewhere, or given up: " + what
}

// target is where a request goes. The path comes last: what it says cannot be
// taken for a host.
func target(r Request) string { return authority(r) + r.Path }

func authority(r Request) string {
	if r.Port == 0 || r.Port == 443 {
		return r.Host
	}
	return fmt.Sprintf("%s:%d", r.Host, r.Port)
}

// answered says how answers ended.
type answered struct {
	requests []Request
	failed   []error // of each; nil where it was taken
	what     string
}

// askedLine is the policy line that "always" would write.
type askedLine struct {
	question uint64
	request  Request
	line     string
	err      error
}

func (s *approvals) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answered:
		return s.taken(msg)
	case askedLine:
		if msg.question != s.line {
			return nil
		}
		if msg.err != nil {
			return say(done{what: "approve " + msg.request.ID, err: msg.err})
		}
		return s.askAlways(msg.request, msg.line)
	}
	if len(s.notices) == 0 {
		return nil
	}
	note := s.notices[len(s.notices)-1]
	if n := len(s.notices); n > 1 {
		note = fmt.Sprintf("%d requests do not wait any more; %s", n, note)
	}
	s.notices = nil
	return say(done{told: true, note: note})
}

// say shows how something ended, or a notice.
func say(d done) tea.Cmd { return func() tea.Msg { return d } }

func (s *approvals) taken(a answered) tea.Cmd {
	d := done{what: a.what}
	ok := 0
	for i, r := range a.requests {
		if a.failed[i] == nil {
			ok++
			continue
		}
		delete(s.sent, requestKey(r))
		if d.err == nil {
			d.err = a.failed[i]
		}
	}
	switch {
	case d.err != nil && len(a.requests) > 1:
		d.err = hint.Wrap(fmt.Errorf("%d of %d taken: %w", ok, len(a.requests), d.err), hint.Fix(d.err))
	case d.err == nil && len(a.requests) == 1:
		d.note = a.what + ": " + a.requests[0].Method + " " + target(a.requests[0])
	}
	return say(d)
}

// send gives an answer to requests, which are out of the list until it is known
// that one did not take it.
func (s *approvals) send(requests []Request, a Answer) tea.Cmd {
	what := answerWords[a]
	if len(requests) > 1 {
		what += ": " + plural(len(requests), "request")
	}
	for _, r := range requests {
		s.sent[requestKey(r)] = true
		delete(s.list.marked, requestKey(r))
	}
	ctx, backend := s.ctx, s.backend
	return func() tea.Msg {
		failed := make([]error, len(requests))
		for i, r := range requests {
			failed[i] = func() error {
				ctx, cancel := context.WithTimeout(ctx, answerTime)
				defer cancel()
				return backend.Answer(ctx, r, a)
			}()
		}
		return answered{requests, failed, what}
	}
}

var answerWords = map[Answer]string{
	Once: "approved once", ForSession: "approved for the session", Always: "always approved", Deny: "denied", DenySession: "denied for the session",
}

// answer gives an answer to the request that was on the screen, if that is the
// one under the cursor, or asks about those that are marked.
func (s *approvals) answer(a Answer) tea.Cmd {
	r, ok := s.list.selected()
	switch {
	case !ok:
		return nil
	case !r.Same(s.drawn), !s.fresh.over(s.now(), &s.typing):
		return say(done{told: true, note: "nothing was answered: the request under the cursor has only just come; look at it first"})
	}
	if marked := s.marked(); len(marked) > 0 {
		if a == Always {
			return say(done{told: true, note: "always is for one request at a time: take the marks away (space)"})
		}
		return s.askSeveral(marked, a)
	}
	if a != Deny && a != DenySession && s.pager.seen < s.needs {
		return say(done{told: true, note: "nothing was answered: the request was not on the screen whole; read it to its end first (enter, then ctrl+d)"})
	}
	if a != Always {
		return s.send([]Request{r}, a)
	}
	s.line++
	question, ctx, backend := s.line, s.ctx, s.backend
	return func() tea.Msg {
		line, err := backend.AlwaysLine(ctx, r)
		return askedLine{question, r, line, err}
	}
}

// marked are the marked rows, but for a mark on the row under the cursor alone.
func (s *approvals) marked() []Request {
	if len(s.list.marked) == 0 {
		return nil
	}
	rows := s.list.chosen()
	if r, _ := s.list.selected(); len(rows) == 1 && requestKey(rows[0]) == requestKey(r) {
		return nil
	}
	return rows
}

func (s *approvals) uses() []use {
	r, any := s.list.selected()
	if s.world.sessions.err != nil {
		any = false
	}
	offer := func(id string, a Answer, line string) use {
		u := use{id: id, line: line, run: func() tea.Cmd { return s.answer(a) }}
		if !any {
			u.off = "nothing waits"
		}
		return u
	}
	id := shellWord(r.ID)
	uses := []use{
		offer("approvals.once", Once, "kb approve "+id),
		offer("approvals.session", ForSession, "kb approve "+id+" --session"),
		offer("approvals.always", Always, "kb approve "+id+" --always"),
		offer("approvals.deny", Deny, "kb deny "+id),
		offer("approvals.denysession", DenySession, "kb deny "+id+" --session"),
	}
	switch {
	case s.open:
		uses = append(uses, use{id: "any.back", run: func() tea.Cmd {
			s.open = false
			return nil
		}})
	case any:
		uses = append(uses, use{id: "any.enter", run: func() tea.Cmd {
			s.open = true
			return nil
		}})
	}
	return uses
}

// urgent says that keys do not count yet, also where a note of the request before
// stands.
func (s *approvals) urgent() string {
	if len(s.list.all) == 0 || s.fresh.over(s.now(), &s.typing) {
		return ""
	}
	return "A request has come; keys count in a moment."
}

func (s *approvals) hint() string {
	n := len(s.list.all)
	switch {
	case n == 0:
		return ""
	case s.open:
		return "j and k scroll; esc goes back to the list."
	case n == 1:
		return "1 request is waiting; without an answer it is denied."
	}
	return fmt.Sprintf("%d requests are waiting; without an answer they are denied.", n)
}
