package tui

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// screen is one of the eight. It looks at the world through shared and keeps of
// its own only where a person is in it.
type screen interface {
	name() string
	// opened is called when a person comes to the screen; the command asks for
	// what it shows.
	opened() tea.Cmd
	// changed is called after the world or the clock has changed.
	changed()
	// update takes messages that are no keys: those of the screen's own commands.
	// Every screen gets them all.
	update(tea.Msg) tea.Cmd
	// uses are the actions of the screen at the moment, the most wanted first.
	uses() []use
	// rows is the list that the cursor keys, the filter and the wheel are for.
	rows() rows
	// panels is how many the screen has to tab through; panel the focused one.
	panels() int
	// focus moves to a panel.
	focus(panel int)
	// current is what y copies of the selected row: a name, never a secret.
	current() string
	// view draws h lines of w cells.
	view(w, h int) []string
	// hint is the line above the bar: what matters here now.
	hint() string
}

// rows is a list, whatever is in it.
type rows interface {
	move(by int)
	mark()
	setFilter(string)
	filtered() string
	count() int
	seek(row string) bool
	click(line int) (hit, again bool)
	place() string
}

// shared is what the root gives to screens and dialogs.
type shared struct {
	clock
	ctx      context.Context // the dashboard's life
	backend  Backend
	theme    *draw.Theme
	keys     keymap
	world    world
	here     layout        // how much room there is
	second   time.Duration // how often what is drawn of the time is looked at
	requests uint64
	home     string // drawn as "~"
	typing   typing
	jobs     jobs
	shown    []dialog    // by show, not on top yet
	hosting  atomic.Bool // another program has the terminal
	inDetail bool        // in layoutOne: the detail is shown in place of the list
	// clipboard takes a text; nil where there is none.
	clipboard func(string) error
	// wait makes the command that sends a message after a time. Tests do not wait.
	wait func(time.Duration, tea.Msg) tea.Cmd
	// split is how much of the open screen is the list, as master drew it.
	split struct{ w, h int }
}

// layout is how much room there is.
type layout uint8

// Layouts, by the size of the whole screen.
const (
	layoutFull    layout = iota // from 96 by 26: list and detail side by side
	layoutCompact               // from 60 by 20: one above the other
	layoutOne                   // from 40 by 12: the list; enter opens the detail
	layoutTiny                  // one sentence
)

func layoutOf(w, h int) layout {
	switch {
	case w < 40 || h < 12:
		return layoutTiny
	case w < 60 || h < 20:
		return layoutOne
	case w < 96 || h < 26:
		return layoutCompact
	}
	return layoutFull
}

// master draws a list with its detail, by how much room there is. List and detail
// each draw a panel of the size that they are given. atSide puts the detail beside
// the list on a full screen, else it stands below.
func (s *shared) master(w, h int, atSide bool, list, detail func(w, h int) []string) []string {
	s.split.w, s.split.h = w, h
	switch {
	case s.here == layoutOne && s.inDetail:
		s.split.h = 0
		return detail(w, h)
	case s.here == layoutOne:
		return list(w, h)
	case s.here == layoutFull && atSide:
		left := w * 2 / 5
		s.split.w = left
		return draw.Beside(list(left, h), detail(w-left, h))
	}
	below := max(6, h*2/5)
	s.split.h = h - below
	return append(list(w, h-below), detail(w, below)...)
}

// done says how an action on the backend ended.
type done struct {
	what string // "stop session 7f3a"
	note string // what came of it, for the hint line
	err  error
	told bool // nothing was done: nothing is to be looked at anew
}

// finished is done of a job.
type finished struct {
	done
	job uint64
}

// act makes the command of an action on the backend, which is under way from then
// on and can be cancelled by esc: it is for Update, and its command must be run. It
// comes to all as done: the root shows it and asks for the world anew.
func (s *shared) act(what string, f func(context.Context) (string, error)) tea.Cmd {
	ctx, cancel := context.WithCancel(s.ctx)
	s.requests++
	number := s.requests
	s.jobs = append(s.jobs, job{number, what, cancel})
	return func() tea.Msg {
		note, err := f(ctx)
		return finished{done{what: what, note: note, err: err}, number}
	}
}

// short is a path with "~" for the home folder.
func (s *shared) short(path string) string {
	if rest, ok := strings.CutPrefix(path, s.home); ok && s.home != "" && (rest == "" || rest[0] == '/') {
		return "~" + rest
	}
	return path
}

// shortIn is a sentence, whose words that are paths below the home folder begin
// with "~". What only has that path inside stays: it is another one.
func (s *shared) shortIn(text string) string {
	if s.home == "" {
		return text
	}
	return strings.ReplaceAll(" "+text, " "+s.home+"/", " ~/")[1:]
}

// openDialog is the message that puts a dialog on top.
type openDialog struct{ dialog dialog }

func open(d dialog) tea.Cmd { return func() tea.Msg { return openDialog{d} } }

// show puts a dialog on top at once: the next key is for it, however soon it comes.
// It is for Update, where a key opens something; the command is nil.
func (s *shared) show(d dialog) tea.Cmd {
	s.shown = append(s.shown, d)
	return nil
}

// goTo is the message that changes the screen.
type goTo struct {
	screen int
	row    string // that the cursor goes to, by its key or a word of it; "" for none
}

// The screens by number.
const (
	screenHome = iota
	screenProfiles
	screenLogins
	screenProviders
	screenAudit
	screenApprovals
	screenDoctor
	screenVault
	screenCount
)
