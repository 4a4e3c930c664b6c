package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

var doctorBindings = []binding{
	{id: "doctor.run", keys: []string{"r"}, does: "run again", help: "look at everything again", verb: "kb doctor"},
}

// doctor is the screen of the checks. They are run when a person comes to it, and
// each is shown as it ends.
type doctor struct {
	*shared
	list   list[Check]
	detail pager
	panel  int
	row    string // that the detail was drawn of

	number uint64 // of the run that is shown; 0 before the first
	busy   bool
	cancel context.CancelFunc
	err    error // of the run
}

// checked is what a run has told: a check, or that it is over.
type checked struct {
	run   uint64
	check Check
	over  bool
	err   error
	next  tea.Cmd // waits for what comes then
}

func newDoctor(s *shared) *doctor {
	return &doctor{shared: s, list: newList(
		func(c Check) string { return c.Name },
		func(c Check) string { return strings.Join([]string{c.Name, checkWord(c.State), c.Line}, " ") },
	)}
}

func (s *doctor) name() string    { return "Doctor" }
func (s *doctor) panels() int     { return 2 }
func (s *doctor) focus(panel int) { s.panel = panel }
func (s *doctor) changed()        {}

func (s *doctor) rows() rows {
	if s.panel == 1 || s.inDetail {
		return &s.detail
	}
	return &s.list
}

func (s *doctor) current() string {
	c, _ := s.list.selected()
	return c.Name
}

// opened runs the checks, where they have not been run yet. Who comes back sees
// what was found, and runs them again with r.
func (s *doctor) opened() tea.Cmd {
	if s.number != 0 {
		return nil
	}
	return s.begin()
}

// begin runs the checks. A run that is under way is given up: what it still tells
// is dropped.
func (s *doctor) begin() tea.Cmd {
	if s.cancel != nil {
		s.cancel()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	s.requests++
	s.number, s.busy, s.cancel, s.err = s.requests, true, cancel, nil
	s.list.set(nil)
	s.list.cursor, s.row = 0, ""
	number, backend := s.number, s.backend
	told := make(chan Check)
	ended := make(chan error, 1)
	var next tea.Cmd
	next = func() tea.Msg {
		if c, more := <-told; more {
			return checked{run: number, check: c, next: next}
		}
		err := <-ended
		if t := (thrown{}); errors.As(err, &t) {
			panic(t)
		}
		return checked{run: number, over: true, err: err}
	}
	return func() tea.Msg {
		go func() {
			defer close(told)
			defer func() {
				if value := recover(); value != nil {
					ended <- thrown{Fault(value)}
				}
			}()
			ended <- backend.Doctor(ctx, func(c Check) {
				select {
				case told <- c:
				case <-ctx.Done():
				}
			})
		}()
		return next()
	}
}

func (s *doctor) update(msg tea.Msg) tea.Cmd {
	c, ok := msg.(checked)
	if !ok || c.run != s.number {
		return nil
	}
	if c.over {
		s.busy, s.err = false, c.err
		s.cancel()
		return nil
	}
	all := append([]Check(nil), s.list.all...)
	found := false
	for i := range all {
		if all[i].Name == c.check.Name {
			all[i], found = c.check, true
		}
	}
	if !found {
		all = append(all, c.check)
	}
	s.list.set(all)
	return c.next
}

func (s *doctor) uses() []use {
	c, any := s.list.selected()
	none, noFix := "", ""
	if !any {
		none, noFix = "no check has ended yet", "no check has ended yet"
	} else if c.Fix == "" {
		noFix = "there is nothing to mend by a command"
	}
	explain := use{id: "any.enter", off: none, run: func() tea.Cmd { return s.shared.show(s.explain(c)) }}
	return []use{
		{id: "doctor.run", line: "kb doctor", run: s.begin},
		explain,
		{id: "any.copy", off: none, run: func() tea.Cmd { return copied(s.report()) }},
		{id: "any.copyline", off: noFix, run: func() tea.Cmd { return copied(c.Fix) }},
	}
}

// explain is a check in full.
func (s *doctor) explain(c Check) dialog {
	text := []string{checkMark(c.State) + " " + s.shortIn(c.Line)}
	for para := range strings.SplitSeq(c.Why, "\n") {
		if para != "" {
			text = append(text, "", para)
		}
	}
	if c.Fix != "" {
		text = append(text, "", "To mend it: "+c.Fix)
	}
	return &reader{shared: s.shared, about: c.Name, text: text, copy: c.Fix}
}

// report is all checks as text.
func (s *doctor) report() string {
	var b strings.Builder
	for _, c := range s.list.all {
		fmt.Fprintf(&b, "%s %-10s %s\n", checkMark(c.State), draw.Clean(c.Name), draw.Clean(c.Line))
		if c.Fix != "" {
			fmt.Fprintf(&b, "    %s\n", draw.Clean(c.Fix))
		}
	}
	b.WriteString(s.counts(0))
	return b.String()
}

func checkRole(state CheckState) draw.Role {
	switch state {
	case CheckRunning:
		return draw.Working
	case CheckOK:
		return draw.Good
	case CheckWarning:
		return draw.Attention
	case CheckFailed:
		return draw.Failed
	}
	return draw.Muted
}

func checkMark(state CheckState) string {
	if state >= CheckSkipped {
		return "-"
	}
	return draw.Mark(checkRole(state))
}

func checkWord(state CheckState) string {
	return [...]string{"running", "ok", "warning", "failed", "not checked"}[min(state, CheckSkipped)]
}

// counts is how many checks ended how, in w cells if it can be; 0 is as many as it
// takes.
func (s *doctor) counts(w int) string {
	var n [CheckSkipped + 1]int
	for _, c := range s.list.all {
		n[min(c.State, CheckSkipped)]++
	}
	var words []string
	for _, state := range []CheckState{CheckOK, CheckWarning, CheckFailed, CheckRunning, CheckSkipped} {
		if n[state] > 0 {
			word := fmt.Sprintf("%d %s", n[state], checkWord(state))
			if state == CheckWarning {
				word = plural(n[state], checkWord(state))
			}
			words = append(words, word)
		}
	}
	all := plural(len(s.list.all), "check") + ": " + strings.Join(words, ", ")
	if w == 0 || draw.Width(all) <= w {
		return all
	}
	short := fmt.Sprintf("+%d !%d x%d", n[CheckOK], n[CheckWarning], n[CheckFailed])
	if n[CheckRunning] > 0 {
		short += fmt.Sprintf(" ~%d", n[CheckRunning])
	}
	return short
}

func (s *doctor) hint() string {
	failed, warned := 0, 0
	for _, c := range s.list.all {
		switch c.State {
		case CheckFailed:
			failed++
		case CheckWarning:
			warned++
		}
	}
	switch {
	case s.busy:
		return "looking; what ends first is shown first"
	case failed > 0:
		return plural(failed, "check") + " failed; enter says what that means and what mends it"
	case warned > 0:
		return "nothing is broken; " + plural(warned, "check") + " should be looked at"
	case len(s.list.all) > 0:
		return "all is well"
	}
	return ""
}

var doctorColumns = []draw.Column{{Title: "CHECK", Width: 12}, {Title: "FOUND", Width: 20, Grow: true}}

func (s *doctor) view(w, h int) []string {
	switch {
	case s.err != nil && len(s.list.all) == 0:
		return s.failed("Doctor", s.err, w, h)
	case len(s.list.all) == 0:
		return s.instead("Doctor", w, h, draw.Working, "~ looking")
	}
	return s.master(w, h, false, s.viewList, s.viewDetail)
}

func (s *doctor) viewList(w, h int) []string {
	title := "Doctor"
	if s.err != nil {
		title = "Doctor, which was cut short"
	}
	return s.theme.Panel(draw.Panel{
		Title: title, Focused: s.panel == 0, Foot: s.counts(w - 6),
		Lines: s.list.table(s.theme, doctorColumns, draw.Inner(w), h-2, func(c Check) []draw.Cell {
			role := checkRole(c.State)
			line, mark := s.shortIn(c.Line), checkMark(c.State)
			switch c.State {
			case CheckSkipped:
				line = "not checked: " + line
			case CheckRunning:
				line = "looking"
			}
			cell := draw.Cell{Text: draw.Clean(line)}
			if c.State == CheckSkipped || c.State == CheckRunning {
				cell.Role = draw.Muted
			}
			return []draw.Cell{{Text: mark + " " + draw.Clean(c.Name), Role: role}, cell}
		}),
	}, w, h)
}

func (s *doctor) viewDetail(w, h int) []string {
	c, any := s.list.selected()
	if !any {
		return s.theme.Panel(draw.Panel{Title: "Details", Focused: s.panel == 1}, w, h)
	}
	if c.Name != s.row {
		s.row, s.detail = c.Name, pager{}
	}
	inner := draw.Inner(w)
	var lines []string
	add := func(role draw.Role, text string) {
		for _, line := range draw.Wrap(draw.Clean(text), inner) {
			lines = append(lines, s.theme.Paint(role, s.theme.Fit(line, inner)))
		}
	}
	add(checkRole(c.State), checkWord(c.State)+": "+s.shortIn(c.Line))
	if c.State == CheckRunning {
		lines = lines[:0]
		add(draw.Working, "~ looking")
	}
	for para := range strings.SplitSeq(c.Why, "\n") {
		if para != "" {
			add(draw.Plain, para)
		}
	}
	if c.Fix != "" {
		add(draw.Accent, c.Fix)
	}
	return s.theme.Panel(draw.Panel{
		Title: draw.Clean(c.Name), Focused: s.panel == 1, Lines: s.detail.window(lines, h-2), Foot: s.detail.place(),
	}, w, h)
}
