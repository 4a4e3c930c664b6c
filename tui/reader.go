package tui

import (
	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// reader is a dialog with a text to be read: it scrolls where it is longer than
// the screen.
type reader struct {
	*shared
	about string
	text  []string // paragraphs; they are cleaned and wrapped here
	// now is the text at the moment, in place of text; nil where it stays as it is.
	now  func() []string
	copy string // what y copies; "" for nothing
	top  int
	over int // lines that do not fit, as of the last view
}

func (d *reader) title() string { return d.about }

func (d *reader) bar() string {
	bar := "esc leave"
	if d.copy != "" {
		bar = "y copy  " + bar
	}
	if d.over > 0 {
		bar = "j/k scroll  " + bar
	}
	return bar
}

func (d *reader) update(msg tea.Msg) (tea.Cmd, bool) {
	key, ok := msg.(tea.KeyMsg)
	if !ok {
		return nil, false
	}
	switch k := key.String(); {
	case k == "esc" || k == "enter" || k == "q":
		return nil, true
	case k == "y" && d.copy != "":
		return copied(d.copy), false
	case d.keys.is(k, "any.down"):
		d.wheel(1)
	case d.keys.is(k, "any.up"):
		d.wheel(-1)
	case d.keys.is(k, "any.pagedown") || k == " ":
		d.wheel(10)
	case d.keys.is(k, "any.pageup"):
		d.wheel(-10)
	case d.keys.is(k, "any.top"):
		d.top = 0
	case d.keys.is(k, "any.end"):
		d.top = d.over
	}
	return nil, false
}

func (d *reader) wheel(by int) { d.top = max(0, min(d.top+by, d.over)) }

func (d *reader) view(w, h int) []string {
	var lines []string
	text := d.text
	if d.now != nil {
		text = d.now()
	}
	for _, p := range text {
		lines = append(lines, draw.Wrap(draw.Clean(p), w)...)
	}
	d.over = max(0, len(lines)-max(1, h))
	d.top = min(d.top, d.over)
	return lines[d.top:min(len(lines), d.top+max(1, h))]
}
