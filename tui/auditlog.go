package tui

import (
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/audit"
	"kb/internal/hint"
	"kb/tui/draw"
)

var auditBindings = []binding{
	{id: "audit.follow", keys: []string{"f"}, does: "follow", help: "go with the end as it grows, or stay where you are", verb: "kb audit -f"},
	{id: "audit.denied", keys: []string{"!"}, does: "denied only", help: "refusals only, or all again", verb: "kb audit --denied"},
	{id: "audit.session", keys: []string{"s"}, does: "session", help: "only the session of the event, or all again", verb: "kb audit --session"},
	{id: "audit.profile", keys: []string{"p"}, does: "profile", help: "only the profile of the event, or all again", verb: "kb audit --profile"},
	{id: "audit.write", keys: []string{"w"}, does: "write to file", help: "write what session, profile and denied only let through to a new file, whole", verb: "kb audit export"},
	{id: "audit.verify", keys: []string{"v"}, does: "verify", help: "check that no line was changed, removed or added", verb: "kb audit verify"},
}

// showAudit is the message that opens the Audit screen on what a filter takes, or
// on a row of all.
type showAudit struct {
	filter audit.Filter
	row    int64
	toRow  bool
}

// auditLog is the screen of the audit. Its rows are the requests of a stream, by
// time; the view goes with the end while the cursor is there.
type auditLog struct {
	*shared
	all    *stream // that Home looks at too
	shown  *stream // all, or a stream of its own with a filter
	rates  rates
	cursor int64 // row
	top    int64 // first row on the screen
	stick  bool  // the cursor is at the end and goes with it
	paused bool  // and does not, since f
	left   int64 // where the end was when the cursor left it
	head   int   // lines above the rows, as of the last view
	height int   // rows on the screen then
	ended  error // why nothing is followed; nil while it is
}

func newAuditLog(s *shared) *auditLog {
	all := newStream(s, audit.Filter{})
	return &auditLog{shared: s, all: all, shown: all, rates: rates{}, stick: true}
}

func (s *auditLog) name() string { return "Audit" }
func (s *auditLog) rows() rows   { return s }
func (s *auditLog) panels() int  { return 1 }
func (s *auditLog) focus(int)    {}
func (s *auditLog) changed()     {}

func (s *auditLog) opened() tea.Cmd {
	if s.shown.request == 0 || s.shown.err != nil {
		return s.shown.ask()
	}
	return nil
}

// update takes the audit's own messages.
func (s *auditLog) update(msg tea.Msg) tea.Cmd {
	var cmds []tea.Cmd
	switch msg := msg.(type) {
	case auditBatch:
		s.ended = nil
		for i := range msg {
			s.rates.add(&msg[i])
		}
	case auditEnded:
		s.ended = msg.err
	case auditTail:
		if msg.request == s.all.request {
			s.rates = rates{}
			for i := range msg.events {
				s.rates.add(&msg.events[i])
			}
		}
		if msg.request == s.shown.request {
			defer s.toEnd()
		}
	case showAudit:
		cmds = append(cmds, s.filterBy(msg.filter), func() tea.Msg { return goTo{screen: screenAudit} })
		if msg.toRow {
			s.stick, s.cursor, s.left = false, msg.row, s.shown.trail.end()
			s.settle()
			s.move(0)
		}
	}
	if s.all.request == 0 { // the first message there is
		cmds = append(cmds, s.all.ask())
	}
	changed, cmd := s.all.update(msg)
	cmds = append(cmds, cmd)
	if s.shown != s.all {
		changed, cmd = s.shown.update(msg)
		cmds = append(cmds, cmd)
	}
	if changed {
		s.settle()
	}
	cmds = append(cmds, s.moved())
	return tea.Batch(cmds...)
}

// moved goes on with a filter, and asks for earlier lines.
func (s *auditLog) moved() tea.Cmd { return tea.Batch(s.shown.lookOn(), s.older()) }

// older asks for earlier lines where the cursor comes near the first, and where
// words are looked for and found in too few lines to fill the screen.
func (s *auditLog) older() tea.Cmd {
	h := &s.shown.hits
	before := h.find(s.cursor)
	switch {
	case !h.done():
		return nil
	case h.all() && (s.stick || before > nearFirst):
		return nil
	case !h.all() && before > s.height:
		return nil
	}
	return s.shown.askOlder()
}

// settle puts the cursor on a row that is there.
func (s *auditLog) settle() {
	h := &s.shown.hits
	n := h.len()
	switch {
	case n == 0:
		s.cursor = 0
	case s.stick:
		s.cursor = h.at(n - 1)
	default:
		s.cursor = h.at(min(h.find(s.cursor), n-1))
	}
}

func (s *auditLog) toEnd() {
	s.stick = !s.paused
	if n := s.shown.hits.len(); n > 0 {
		s.cursor = s.shown.hits.at(n - 1)
	}
	s.left = s.shown.trail.end()
}

// move and what follows are the rows of the screen.
func (s *auditLog) move(by int) {
	h := &s.shown.hits
	n := h.len()
	if n == 0 {
		return
	}
	pos := max(0, min(h.find(s.cursor)+by, n-1))
	s.cursor = h.at(pos)
	switch {
	case pos == n-1:
		s.stick = !s.paused
	case s.stick:
		s.stick, s.left = false, s.shown.trail.end()
	}
}

func (s *auditLog) mark() {}

// seek goes to the newest row that has a word; the rows have no keys that others
// know.
func (s *auditLog) seek(row string) bool {
	look := hits{t: s.shown.trail, zone: s.shown.hits.zone}
	look.set(row)
	for look.len() == 0 && !look.done() {
		look.step()
	}
	if row == "" || look.len() == 0 {
		return false
	}
	s.cursor = look.at(look.len() - 1)
	s.move(0)
	return true
}

// click moves the cursor to the row in a line of the table. again: it was there.
func (s *auditLog) click(line int) (hit, again bool) {
	h := &s.shown.hits
	i := h.find(s.top) + line - s.head
	if line < s.head || line >= s.head+s.height || i >= h.len() {
		return false, false
	}
	was := s.cursor
	s.move(i - h.find(s.cursor))
	return true, s.cursor == was
}

func (s *auditLog) place() string {
	return place(s.shown.hits.find(s.cursor), s.shown.hits.len())
}

func (s *auditLog) setFilter(filter string) {
	s.shown.look(filter)
	s.settle()
}

func (s *auditLog) filtered() string { return s.shown.hits.filter }
func (s *auditLog) count() int       { return s.shown.hits.len() }

// filterBy shows the stream of another filter.
func (s *auditLog) filterBy(f audit.Filter) tea.Cmd {
	words := s.shown.hits.filter
	if s.shown != s.all {
		s.shown.close()
	}
	var cmd tea.Cmd
	if s.shown = s.all; f != (audit.Filter{}) {
		s.shown = newStream(s.shared, f)
		cmd = s.shown.ask()
	} else {
		words = ""
	}
	s.shown.look(words)
	s.paused = false
	s.toEnd()
	return tea.Batch(cmd, s.shown.lookOn())
}

// selected is the event under the cursor.
func (s *auditLog) selected() (requestEvent, bool) {
	h := &s.shown.hits
	pos := h.find(s.cursor)
	if pos >= h.len() || h.at(pos) != s.cursor {
		return requestEvent{}, false
	}
	return requestEventOf(s.shown.trail, s.cursor), true
}

// unseen is how many rows came after the cursor left the end.
func (s *auditLog) unseen() int {
	h := &s.shown.hits
	if s.stick {
		return 0
	}
	return h.len() - h.find(s.left)
}

func (s *auditLog) current() string {
	e, ok := s.selected()
	if !ok {
		return ""
	}
	return audit.Line(&e.Event, s.zone())
}

// command is the command line that shows the same.
func command(verb string, f audit.Filter) string {
	words := []string{verb}
	if f.Profile != "" {
		words = append(words, "--profile", shellWord(f.Profile))
	}
	if f.Session != "" {
		words = append(words, "--session", shellWord(f.Session))
	}
	if f.Denied {
		words = append(words, "--denied")
	}
	return strings.Join(words, " ")
}

// shellWord is a name as a word of a command line that is shown: profiles are
// named by whoever wrote the vault.
func shellWord(s string) string { return hint.Word(draw.Clean(s)) }

func (s *auditLog) uses() []use {
	e, any := s.selected()
	f := s.shown.filter
	follow := use{id: "audit.follow", line: command("kb audit -f", f), run: func() tea.Cmd {
		if s.stick {
			s.stick, s.paused, s.left = false, true, s.shown.trail.end()
			return nil
		}
		s.paused = false
		s.toEnd()
		return nil
	}}
	denied := use{id: "audit.denied", run: func() tea.Cmd {
		f.Denied = !f.Denied
		return s.filterBy(f)
	}}
	denied.line = command("kb audit", audit.Filter{Profile: f.Profile, Session: f.Session, Denied: true})
	session := use{id: "audit.session", line: command("kb audit", audit.Filter{Session: e.Session}), run: func() tea.Cmd {
		if f.Session != "" {
			f.Session = ""
		} else {
			f.Session = e.Session
		}
		return s.filterBy(f)
	}}
	profile := use{id: "audit.profile", line: command("kb audit", audit.Filter{Profile: e.Profile}), run: func() tea.Cmd {
		if f.Profile != "" {
			f.Profile = ""
		} else {
			f.Profile = e.Profile
		}
		return s.filterBy(f)
	}}
	write := use{id: "audit.write", line: command("kb audit export", f), run: func() tea.Cmd {
		return s.act("write the audit to a file", func(ctx context.Context) (string, error) {
			path, err := s.backend.AuditExport(ctx, f)
			return "written to " + path, err
		})
	}}
	verify := use{id: "audit.verify", line: "kb audit verify", run: func() tea.Cmd {
		return s.act("verify the audit", s.backend.AuditVerify)
	}}
	detail := use{id: "any.enter", line: command("kb audit", audit.Filter{Session: e.Session}), run: func() tea.Cmd { return s.detail(e) }}
	if !any {
		const none = "there is no event"
		detail.off, write.off = none, none
		if f.Session == "" {
			session.off = none
		}
		if f.Profile == "" {
			profile.off = none
		}
	} else if f.Profile == "" && e.Profile == "" {
		profile.off = "the event is of no profile"
	}
	uses := []use{follow, detail, denied, session, profile, write, verify}
	if f != (audit.Filter{}) && s.filtered() == "" {
		uses = append(uses, use{id: "any.back", run: func() tea.Cmd { return s.filterBy(audit.Filter{}) }})
	}
	return uses
}

func (s *auditLog) hint() string {
	switch {
	case s.shown.err != nil:
		return "x could not read the audit: " + draw.Clean(s.shown.err.Error()) + "; press ctrl+r"
	case s.ended != nil:
		return "x not followed: " + draw.Clean(s.ended.Error())
	case s.paused:
		return "Paused. Press f to follow."
	case !s.stick && s.shown.trail.full() && s.shown.hits.find(s.cursor) < nearFirst:
		return fmt.Sprintf("%d lines are held here; kb audit shows those before them.", s.shown.trail.lines)
	case !s.stick:
		return "The view stays here. Press f or G to follow the end."
	}
	return "Following. Press f to pause. Header values, bodies and query strings are never recorded."
}

// about says what the list shows.
func (s *auditLog) about() string {
	title := "Audit"
	if p := s.shown.filter.Profile; p != "" {
		title += " of profile " + draw.Clean(p)
	}
	if id := s.shown.filter.Session; id != "" {
		title += " of session " + draw.Clean(id)
	}
	if s.shown.filter.Denied {
		title += ", denied only"
	}
	switch {
	case s.ended != nil:
		return title + " (not followed)"
	case s.paused:
		return title + " (paused)"
	case !s.stick:
		return title + " (looking back)"
	}
	return title + " (following)"
}

// foot says where in the list the cursor is, and what is not seen.
func (s *auditLog) foot() string {
	h := &s.shown.hits
	foot := place(h.find(s.cursor), h.len())
	if n := s.unseen(); n > 0 {
		foot += fmt.Sprintf(", %d new", n)
	}
	if f := h.filter; f != "" {
		foot += ", filter: " + draw.Clean(f)
	}
	if !h.done() || s.shown.older != 0 {
		foot += ", looking further back"
	}
	return foot
}

func (s *auditLog) view(w, h int) []string {
	return s.master(w, h, false, s.list, func(w, h int) []string {
		p := draw.Panel{Title: "Event", Lines: nil}
		if e, ok := s.selected(); ok {
			p.Title = eventTitle(e)
			lines := s.facts(draw.Inner(w), s.eventFacts(e, draw.Inner(w)-32)...)
			p.Lines = lines[:max(0, min(len(lines), h-2))]
		}
		return s.theme.Panel(p, w, h)
	})
}

// fit makes lines of w cells of texts, at most h.
func (s *shared) fit(texts []string, w, h int) []string {
	lines := make([]string, 0, max(0, min(len(texts), h)))
	for _, text := range texts[:max(0, min(len(texts), h))] {
		lines = append(lines, s.theme.Fit(text, w))
	}
	return lines
}

func (s *auditLog) list(w, h int) []string {
	p := draw.Panel{Title: s.about(), Focused: true, Foot: s.foot()}
	inside := draw.Inner(w)
	if n := s.shown.hits.len(); n == 0 {
		p.Foot = ""
		p.Lines = s.fit(s.nothing(inside), inside, h-2)
	} else {
		p.Lines = s.table(inside, h-2)
	}
	return s.theme.Panel(p, w, h)
}

// nothing says why there is no row, and what to do.
func (s *auditLog) nothing(w int) []string {
	var lines []string
	say := func(text string) { lines = append(lines, draw.Wrap(text, w)...) }
	f, words := s.shown.filter, s.filtered()
	switch {
	case s.shown.err != nil:
		say("x could not read the audit")
		say(draw.Clean(s.shown.err.Error()))
		say("ctrl+r reads it again")
	case !s.shown.loaded:
		say("~ reading the audit")
	case !s.shown.hits.all() && (!s.shown.hits.done() || s.shown.older != 0):
		say("~ looking for " + draw.Clean(words))
	case !s.shown.hits.all():
		say("No line has " + draw.Clean(words) + " in it. esc clears the filter.")
	case f != (audit.Filter{}):
		say("No line is of that kind. esc shows all.")
	default:
		say("Nothing is recorded yet.")
		say("What a session requests shows here as it happens. kb exec -- claude starts one.")
	}
	return lines
}

// table draws the rows that are on the screen.
func (s *auditLog) table(w, h int) []string {
	b := draw.Table{Columns: auditColumns(w), Bare: h < 4, Cursor: -1}
	if s.head = 0; !b.Bare {
		s.head = 1
	}
	h = max(1, h-s.head)
	s.height = h
	hits := &s.shown.hits
	n, pos := hits.len(), hits.find(s.cursor)
	top := max(0, min(hits.find(s.top), pos, n-h))
	if pos >= top+h {
		top = pos - h + 1
	}
	s.top = hits.at(top)
	for i := top; i < min(n, top+h); i++ {
		row := hits.at(i)
		if row == s.cursor {
			b.Cursor = i - top
		}
		b.Rows = append(b.Rows, s.auditCells(requestEventOf(s.shown.trail, row)))
	}
	return s.theme.Table(b, w)
}
