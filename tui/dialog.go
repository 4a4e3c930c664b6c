package tui

import (
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// dialog is what stands above a screen and gets every key but ctrl+c.
type dialog interface {
	title() string
	// update takes a key, or another message (every dialog gets those). over
	// takes it off the screen.
	update(tea.Msg) (cmd tea.Cmd, over bool)
	// view draws what is inside the frame, in lines of at most w cells.
	view(w, h int) []string
	// bar is what keys do: "enter stop  esc keep it".
	bar() string
}

// confirm asks before something that cannot be undone. No is the answer of enter
// and esc; yes is "y" alone.
type confirm struct {
	*shared
	about string // title
	// question has the consequence in it: "Stop session 7f3a? claude is ended and
	// what it has not saved is lost."
	question string
	yes      string // what "y" does: "stop it"
	act      func() tea.Cmd
}

func (d *confirm) title() string { return d.about }
func (d *confirm) bar() string   { return "y " + d.yes + "  enter or esc leave it" }

func (d *confirm) update(msg tea.Msg) (tea.Cmd, bool) {
	key, ok := msg.(tea.KeyMsg)
	if !ok {
		return nil, false
	}
	switch key.String() {
	case "y":
		return d.act(), true
	case "enter", "esc", "n", "q":
		return nil, true
	}
	return nil, false
}

func (d *confirm) view(w, _ int) []string {
	var lines []string
	for line := range strings.SplitSeq(d.question, "\n") {
		lines = append(lines, draw.Wrap(draw.Clean(line), w)...)
	}
	return lines
}
