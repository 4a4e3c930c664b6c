package tui

import (
	"fmt"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// key takes a key message. What is typed faster than it is read comes as one message
// of several letters; each is a key of its own, for whom it then belongs to.
func (m *Model) key(msg tea.KeyMsg) tea.Cmd {
	defer func() { m.typing.key(m.now()) }()
	if msg.Type != tea.KeyRunes || msg.Paste || len(msg.Runes) < 2 {
		return m.oneKey(msg)
	}
	var cmds []tea.Cmd
	for i := range msg.Runes {
		cmds = append(cmds, m.oneKey(tea.KeyMsg{Type: tea.KeyRunes, Runes: msg.Runes[i : i+1], Alt: msg.Alt}))
	}
	return tea.Batch(cmds...)
}

// oneKey gives a key to whom it belongs: the dialog on top, the filter that is
// typed, the open screen, else what works everywhere. A key that goes to a dialog is
// not looked at here: it may be part of a secret.
func (m *Model) oneKey(msg tea.KeyMsg) tea.Cmd {
	defer m.raise()
	if msg.Type == tea.KeyCtrlC {
		return tea.Quit
	}
	if m.here == layoutTiny && (len(m.dialogs) > 0 || m.filter != nil || !m.keys.is(msg.String(), "any.quit")) {
		return nil // nobody sees what it would be for
	}
	if n := len(m.dialogs); n > 0 {
		top := m.dialogs[n-1]
		if !m.grace.over(top, m.now()) {
			return nil
		}
		cmd, over := top.update(msg)
		if over {
			m.close(top)
		}
		return cmd
	}
	if m.filter != nil {
		return m.filterKey(msg)
	}
	key := msg.String()
	if m.keys.is(key, "any.back") {
		return m.back()
	}
	if u, ok := m.keys.find(m.uses(), key); ok {
		return m.run(u)
	}
	return nil
}

// asker is a screen that may have to ask for more after a person has moved in its
// rows, or filtered them.
type asker interface{ moved() tea.Cmd }

func (m *Model) moved() tea.Cmd {
	if s, ok := m.screens[m.at].(asker); ok {
		return s.moved()
	}
	return nil
}

// run does what a use is for, or says why not.
func (m *Model) run(u use) tea.Cmd {
	if u.off != "" {
		m.notices.tell(done{note: m.keys.byID[u.id].does + ": " + u.off}, m.now())
		return nil
	}
	return u.run()
}

// uses are all that can be done now: what the screen offers, or the page in its
// place, and what works everywhere where the screen has nothing of its own on its
// key.
func (m *Model) uses() []use {
	own := m.own()
	all := own[:len(own):len(own)]
	for _, u := range m.everywhere() {
		taken := false
		for _, o := range own {
			taken = taken || o.id == u.id || m.keys.hides(o.id, u.id)
		}
		if !taken {
			all = append(all, u)
		}
	}
	return all
}

// own are the uses of what is open.
func (m *Model) own() []use {
	if p := m.page(); p != nil {
		return p.uses()
	}
	return m.screens[m.at].uses()
}

// everywhere are the uses that every screen has.
func (m *Model) everywhere() []use {
	s := m.screens[m.at]
	noRows, noRow := "", ""
	switch {
	case m.page() != nil:
		noRows, noRow = "there is no list here", "there is no list here"
	case s.rows().count() == 0:
		noRow = "there is no row"
	}
	half := max(1, (m.h-6)/2)
	move := func(id string, by int) use {
		return use{id: id, off: noRow, run: func() tea.Cmd { s.rows().move(by); return nil }}
	}
	name := use{id: "any.copy", off: noRow, run: func() tea.Cmd { return copied(draw.Clean(s.current())) }} // a name is one line
	if noRow == "" && s.current() == "" {
		name.off = "nothing here has a name"
	}
	line := use{id: "any.copyline", off: "nothing here has a command of its own"}
	for _, u := range m.own() {
		if u.line != "" {
			line.off, line.run = "", func() tea.Cmd { return m.copyLine() }
			break
		}
	}
	enter := use{id: "any.enter", off: noRow, run: func() tea.Cmd { m.inDetail = true; return nil }}
	if noRow == "" && m.here != layoutOne {
		enter.off = "it is shown already"
	}
	trouble := use{id: "any.error", off: "nothing went wrong", run: func() tea.Cmd { return m.showError() }}
	if _, ok := m.notices.newest(); ok {
		trouble.off = ""
	}
	uses := []use{
		enter,
		{id: "any.filter", off: noRows, run: func() tea.Cmd {
			in := newInput(s.rows().filtered())
			m.filter = &in
			return nil
		}},
		{id: "any.palette", run: func() tea.Cmd { return m.show(m.palette()) }},
		{id: "any.next", run: func() tea.Cmd { return m.step(1) }},
		{id: "any.previous", run: func() tea.Cmd { return m.step(-1) }},
		{id: "any.help", run: func() tea.Cmd { return m.show(m.help()) }},
		{id: "any.quit", run: func() tea.Cmd { return tea.Quit }},
		move("any.down", 1), move("any.up", -1), move("any.top", -s.rows().count()), move("any.end", s.rows().count()),
		move("any.pagedown", half), move("any.pageup", -half),
		{id: "any.mark", off: noRow, run: func() tea.Cmd { s.rows().mark(); return nil }},
		name, line, trouble,
		{id: "any.reload", run: func() tea.Cmd { return tea.Batch(m.everything(), s.opened()) }},
		{id: "any.settings", run: func() tea.Cmd { return m.show(m.settings()) }},
		{id: "any.suspend", run: func() tea.Cmd { return tea.Suspend }},
		{id: "any.back", run: m.back},
	}
	for i := range m.screens {
		uses = append(uses, use{id: screenID(i), run: func() tea.Cmd { return m.open(goTo{screen: i}) }})
	}
	return uses
}

// back is esc: the filter goes first, then what is under way, then what the line
// tells; then the screen goes back to where it was.
func (m *Model) back() tea.Cmd {
	s := m.screens[m.at]
	if m.page() == nil && s.rows().filtered() != "" {
		s.rows().setFilter("")
		return nil
	}
	if m.jobs.cancel() || m.notices.dismiss() {
		return nil
	}
	if m.inDetail {
		m.inDetail = false
		return nil
	}
	if u, ok := m.keys.find(m.own(), "esc"); ok && u.off == "" {
		return u.run()
	}
	return nil
}

// step goes to the next panel, and from the last one to the next screen; -1 goes
// the other way.
func (m *Model) step(by int) tea.Cmd {
	n := m.screens[m.at].panels()
	if m.page() != nil {
		n = 1
	}
	if to := m.panel + by; to >= 0 && to < n {
		m.panel = to
		m.screens[m.at].focus(to)
		return nil
	}
	cmd := m.open(goTo{screen: (m.at + by + screenCount) % screenCount})
	if by < 0 {
		m.panel = max(0, m.screens[m.at].panels()-1)
		m.screens[m.at].focus(m.panel)
	}
	return cmd
}

// filterKey takes a key while a filter is typed. Rows follow at once; the arrows
// move in them.
func (m *Model) filterKey(msg tea.KeyMsg) tea.Cmd {
	rows := m.screens[m.at].rows()
	switch msg.Type {
	case tea.KeyEnter:
		m.filter = nil
		return nil
	case tea.KeyEsc:
		m.filter = nil
		rows.setFilter("")
		return nil
	case tea.KeyUp:
		rows.move(-1)
	case tea.KeyDown:
		rows.move(1)
	default:
		m.filter.key(msg)
		rows.setFilter(m.filter.value())
	}
	return nil
}

func (m *Model) showError() tea.Cmd {
	d, ok := m.notices.newest()
	if !ok {
		return nil
	}
	text := errorText(d)
	return m.show(&reader{shared: m.shared, about: "What went wrong", text: text, copy: d.err.Error()})
}

func screenID(i int) string { return fmt.Sprintf("any.screen%d", i+1) }
