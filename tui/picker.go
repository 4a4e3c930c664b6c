package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// entry is a line of a picker.
type entry struct {
	key  string // at the left: a key, a name; may be empty
	text string
	off  string // why it cannot be picked; it is then grey
	also string // words that find it besides those that are shown
	fill string // what tab types for it; "" for nothing
	run  func() tea.Cmd
}

// picker is a list that a person types into to find an entry: the menu of keys,
// the palette, a choice. Letters always go into the line; the arrows move.
type picker struct {
	*shared
	about   string
	does    string // what enter does: "do it"
	none    string // what is said where nothing is found; "" is a sentence
	entries []entry
	found   []entry
	in      input
	cursor  int
	top     int
	// other makes a further entry of what was typed, the last of the list; nil
	// makes none.
	other func(typed string) (entry, bool)
	// ran is told of what was typed where an entry is run; nil is none.
	ran func(typed string, e entry)
	// strict says of what is typed that its words are to be found as they stand; nil
	// is never.
	strict func(typed string) bool
	// key takes a key before the line does; nil takes none.
	key func(*picker, tea.KeyMsg) bool
}

func newPicker(p picker) *picker {
	p.search()
	return &p
}

// newMenu is a choice of one of several.
func newMenu(s *shared, about string, choices []Choice, picked func(value string) tea.Cmd) *picker {
	entries := make([]entry, len(choices))
	for i, c := range choices {
		entries[i] = entry{text: c.Text, also: c.Value, run: func() tea.Cmd { return picked(c.Value) }}
	}
	return newPicker(picker{shared: s, about: about, does: "take it", entries: entries})
}

func (p *picker) title() string { return p.about }

func (p *picker) bar() string {
	if e, ok := p.selected(); ok && e.off != "" {
		return "not now: " + e.off + "  esc leave"
	}
	if e, ok := p.selected(); ok && e.fill != "" {
		return "enter " + p.does + "  tab complete  esc leave"
	}
	return "enter " + p.does + "  type to search  esc leave"
}

func (p *picker) selected() (entry, bool) {
	if p.cursor < 0 || p.cursor >= len(p.found) {
		return entry{}, false
	}
	return p.found[p.cursor], true
}

// name is an entry without its sentence, in which any letters are found in order.
func (e entry) name() string {
	does, _, _ := strings.Cut(e.text, ":")
	return e.key + " " + does
}

// begins reports whether an entry's key or text goes on from what is typed: for a
// command with or without the "kb" before it.
func (e entry) begins(typed string) bool {
	typed = strings.ToLower(typed)
	for _, text := range []string{e.key, strings.TrimPrefix(e.key, "kb "), e.text} {
		if strings.HasPrefix(strings.ToLower(text), typed) {
			return true
		}
	}
	return false
}

// search finds the entries that have all that is typed: those that begin with it
// first, then those with its words, then those whose name has its letters in order.
func (p *picker) search() {
	typed := p.in.value()
	p.found = p.found[:0]
	var words, loose []entry
	for _, e := range p.entries {
		text := e.key + " " + e.text + " " + e.also
		switch {
		case typed != "" && e.begins(typed):
			p.found = append(p.found, e)
		case matches(strings.TrimLeft(typed, "! "), text):
			words = append(words, e)
		case (p.strict == nil || !p.strict(typed)) && inOrder(typed, e.name()):
			loose = append(loose, e)
		}
	}
	p.found = append(append(p.found, words...), loose...)
	if p.other != nil {
		if e, ok := p.other(typed); ok {
			p.found = append(p.found, e)
		}
	}
	p.cursor, p.top = 0, 0
}

// inOrder reports whether text has the letters of typed in their order.
func inOrder(typed, text string) bool {
	rest := []rune(strings.ToLower(strings.Join(strings.Fields(typed), "")))
	for _, r := range strings.ToLower(text) {
		if len(rest) == 0 {
			break
		}
		if r == rest[0] {
			rest = rest[1:]
		}
	}
	return len(rest) == 0
}

func (p *picker) update(msg tea.Msg) (tea.Cmd, bool) {
	k, ok := msg.(tea.KeyMsg)
	if !ok {
		return nil, false
	}
	if p.key != nil && p.key(p, k) {
		p.search()
		return nil, false
	}
	switch k.Type {
	case tea.KeyEsc:
		return nil, true
	case tea.KeyEnter:
		return p.enter()
	case tea.KeyTab:
		if e, ok := p.selected(); ok && e.fill != "" {
			p.in.set(e.fill)
			p.search()
		} else {
			p.wheel(1)
		}
	case tea.KeyDown, tea.KeyCtrlN:
		p.wheel(1)
	case tea.KeyUp, tea.KeyCtrlP, tea.KeyShiftTab:
		p.wheel(-1)
	case tea.KeyPgDown:
		p.wheel(10)
	case tea.KeyPgUp:
		p.wheel(-10)
	default:
		was := p.in.value()
		p.in.key(k)
		if p.in.value() != was {
			p.search()
		}
	}
	return nil, false
}

func (p *picker) wheel(by int) { p.cursor = max(0, min(p.cursor+by, len(p.found)-1)) }

func (p *picker) enter() (tea.Cmd, bool) {
	e, ok := p.selected()
	switch {
	case !ok:
		return nil, false
	case e.off != "":
		return nil, false
	}
	if p.ran != nil {
		p.ran(p.in.value(), e)
	}
	return e.run(), true
}

func (p *picker) view(w, h int) []string {
	lines := []string{draw.Exact("> "+p.in.view(p.theme, max(1, w-2), true), w), draw.Exact("", w)}
	h = max(1, h-2)
	if len(p.found) == 0 {
		none := p.none
		if none == "" {
			none = "Nothing here is called that."
		}
		return append(lines, p.theme.Paint(draw.Muted, p.theme.Fit(none, w)))
	}
	key, text := 0, 0
	for _, e := range p.found {
		key, text = max(key, draw.Width(draw.Clean(e.key))), max(text, draw.Width(e.said()))
	}
	key = min(key, w/3)
	var below []string
	if 4+key+text > w && h > 8 {
		h -= 3
		below = p.whole(w)
	}
	p.top = max(0, min(p.top, p.cursor, len(p.found)-h))
	if p.cursor >= p.top+h {
		p.top = p.cursor - h + 1
	}
	for i, e := range p.found[p.top:min(len(p.found), p.top+h)] {
		lead, role := "  ", draw.Plain
		if p.top+i == p.cursor {
			lead, role = "> ", draw.Selected
		}
		text := e.said()
		if e.off != "" {
			role = draw.Muted
		}
		line := lead
		if key > 0 {
			line += p.theme.Fit(draw.Clean(e.key), key) + "  "
		}
		lines = append(lines, p.theme.Paint(role, p.theme.Fit(line+text, w)))
	}
	return append(lines, below...)
}

// said is the text of an entry in the list.
func (e entry) said() string {
	if e.off != "" {
		return draw.Clean(e.text) + "  (" + draw.Clean(e.off) + ")"
	}
	return draw.Clean(e.text)
}

// whole is the entry under the cursor without a cut, in the three lines below a list
// in which some are cut.
func (p *picker) whole(w int) []string {
	lines := []string{""}
	if e, ok := p.selected(); ok {
		lines = append(lines, draw.Wrap(e.said(), w)...)
	}
	for len(lines) < 3 {
		lines = append(lines, "")
	}
	for i, line := range lines[:3] {
		lines[i] = p.theme.Paint(draw.Muted, p.theme.Fit(line, w))
	}
	return lines[:3]
}
