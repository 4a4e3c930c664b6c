package tui

import (
	tea "github.com/charmbracelet/bubbletea"
)

// reading asks about a text that has to be read: "y" counts when all of it was on
// the screen, and not while a person still types what was meant for something
// else. Enter and esc mean no.
type reading struct {
	*shared
	about string
	yes   string // what "y" does
	text  func(w int) []string
	act   func() tea.Cmd
	pager pager
	width int
}

func openReading(s *shared, about, yes string, text func(w int) []string, act func() tea.Cmd) tea.Cmd {
	d := &reading{shared: s, about: about, yes: yes, text: text, act: act}
	return s.show(d)
}

// sudden: it may come up some time after the key that asked for it.
func (d *reading) sudden() bool { return true }

func (d *reading) title() string { return d.about }

func (d *reading) bar() string {
	if !d.whole() {
		return "j and k read on  enter or esc leave it"
	}
	return "y " + d.yes + "  enter or esc leave it"
}

func (d *reading) whole() bool { return d.pager.n > 0 && d.pager.seen >= d.pager.n }

func (d *reading) update(msg tea.Msg) (tea.Cmd, bool) {
	key, ok := msg.(tea.KeyMsg)
	if !ok {
		return nil, false
	}
	switch k := key.String(); k {
	case "y":
		if d.whole() {
			return d.act(), true
		}
	case "enter", "esc", "n", "q":
		return nil, true
	case "G", "end":
		d.pager.move(d.pager.n)
	case "g", "home":
		d.pager.move(-d.pager.n)
	case "ctrl+d", "pgdown", " ":
		d.pager.move(max(1, d.pager.h-1))
	case "ctrl+u", "pgup":
		d.pager.move(-max(1, d.pager.h-1))
	case "j", "down":
		d.pager.move(1)
	case "k", "up":
		d.pager.move(-1)
	}
	return nil, false
}

func (d *reading) wheel(by int) { d.pager.move(by) }

func (d *reading) view(w, h int) []string {
	if d.width != w {
		d.width, d.pager = w, pager{}
	}
	return d.pager.window(d.text(w), h)
}
