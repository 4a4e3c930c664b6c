package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// maxHistory is how many lines the palette remembers while the dashboard runs.
const maxHistory = 50

// palette is the line of ":": screens, what they do, profiles, and every command
// of the command line, which gets the terminal while it runs.
func (m *Model) palette() *picker {
	var entries []entry
	for i, s := range m.screens {
		entries = append(entries, entry{
			key: s.name(), text: m.keys.byID[screenID(i)].help, fill: strings.ToLower(s.name()),
			run: func() tea.Cmd { return m.open(goTo{screen: i}) },
		})
	}
	entries = append(entries, m.actions()...)
	for _, p := range m.world.profiles.value.Profiles {
		entries = append(entries, entry{
			key: "profile", text: p.Name, fill: "profile " + p.Name,
			run: func() tea.Cmd { return m.open(goTo{screen: screenProfiles, row: p.Name}) },
		})
	}
	for _, v := range m.verbs() {
		entries = append(entries, entry{key: v.Line, text: v.Short, fill: v.Line + " ", run: func() tea.Cmd { return m.runLine(v.Line) }})
	}
	past := len(m.history)
	p := picker{
		shared: m.shared, about: "Command", does: "do it", entries: entries, strict: isLine,
		none: "Nothing is called that. A line that begins with kb is run as it stands.",
		other: func(typed string) (entry, bool) {
			return entry{key: "run", text: strings.TrimSpace(typed), run: func() tea.Cmd { return m.runLine(typed) }}, isLine(typed)
		},
		ran: m.remember,
	}
	p.key = func(pick *picker, k tea.KeyMsg) bool {
		if k.Type != tea.KeyUp || pick.cursor > 0 || past == 0 || pick.in.value() != "" && past == len(m.history) {
			return false
		}
		past--
		pick.in.set(m.history[past])
		return true
	}
	return newPicker(p)
}

// actions are what the open screen and the others do. One of another screen goes
// there first, and is done if it can be done to the row that is selected there.
func (m *Model) actions() []entry {
	var here, there []entry
	for _, u := range m.own() {
		if slices.Contains(moves, u.id) {
			continue
		}
		e := m.entryOf(u)
		e.key, e.text = m.openName(), m.keys.byID[u.id].does+": "+m.keys.byID[u.id].help
		here = append(here, e)
	}
	for _, b := range bindings {
		i := m.screenOf(b.id)
		if i < 0 || i == m.at {
			continue
		}
		there = append(there, entry{
			key: m.screens[i].name(), text: b.does + ": " + b.help, also: b.id + " " + strings.TrimPrefix(b.verb, "kb "), // a line that begins with kb is run as it stands
			run: func() tea.Cmd {
				cmd := m.open(goTo{screen: i})
				for _, u := range m.own() {
					if u.id == b.id && !b.grants { // enter never approves
						return tea.Batch(cmd, m.run(u))
					}
				}
				return cmd
			},
		})
	}
	return append(here, there...)
}

// screenOf is the screen that an action belongs to; -1 for none.
func (m *Model) screenOf(id string) int {
	group, _, _ := strings.Cut(id, ".")
	for i, s := range m.screens {
		if strings.EqualFold(s.name(), group) {
			return i
		}
	}
	return -1
}

// remember keeps what was typed for an entry: the line to have again by the up
// arrow.
func (m *Model) remember(typed string, e entry) {
	line := strings.TrimSpace(typed)
	if e.fill != "" && !isLine(line) {
		line = strings.TrimSpace(e.fill)
	}
	if line == "" || len(m.history) > 0 && m.history[len(m.history)-1] == line {
		return
	}
	m.history = append(m.history, line)
	m.history = m.history[max(0, len(m.history)-maxHistory):]
}

// isLine reports whether what is typed is a line of the command line.
func isLine(typed string) bool { return strings.HasPrefix(strings.TrimLeft(typed, " ")+" ", "kb ") }

// runLine hands the terminal to a line of the command line.
func (m *Model) runLine(line string) tea.Cmd {
	args, err := splitLine(line)
	switch {
	case err != nil:
		m.notices.tell(done{what: strings.TrimSpace(line), err: err}, m.now())
		return nil
	case len(args) < 2:
		m.notices.tell(done{note: "this is kb: type what it should do, as in kb which"}, m.now())
		return nil
	}
	return m.handOver(args[1:]...)
}

// splitLine splits a line into words as a shell does, of whose language it knows
// quotes and the backslash only.
func splitLine(line string) ([]string, error) {
	var args []string
	var word strings.Builder
	in, quote, escaped := false, rune(0), false
	for _, r := range line {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t':
			if in {
				args = append(args, word.String())
				word.Reset()
				in = false
			}
		case strings.ContainsRune("|&;<>`", r):
			return nil, fmt.Errorf("read command: %q is for a shell, and there is none here", r)
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("read command: a quote is not closed")
	}
	if in {
		args = append(args, word.String())
	}
	return args, nil
}
