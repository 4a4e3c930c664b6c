package tui

import (
	"strconv"
	"strings"

	"kb/internal/hint"
	"kb/tui/draw"
)

// fact is what is said of the selected row under one word.
type fact struct {
	name, text string
	role       draw.Role
}

// facts draws what there is to say, w cells wide: the words in a column, long
// texts on several lines. Facts without text are left out; a text's own line
// breaks stay.
func (s *shared) facts(w int, all ...fact) []string {
	column := 0
	for _, f := range all {
		if f.text != "" {
			column = max(column, draw.Width(draw.Clean(f.name)))
		}
	}
	column = min(column+2, w/2)
	var lines []string
	for _, f := range all {
		if f.text == "" {
			continue
		}
		name := draw.Clean(f.name)
		for part := range strings.SplitSeq(f.text, "\n") {
			for _, line := range draw.Wrap(draw.Clean(part), w-column) {
				lines = append(lines, s.theme.Paint(draw.Muted, s.theme.Fit(name, column))+s.theme.Paint(f.role, s.theme.Fit(line, w-column)))
				name = ""
			}
		}
	}
	return lines
}

// scroll is lines that are read: the cursor keys move them. It implements rows.
type scroll struct{ top, n, h int }

func (p *scroll) move(by int)            { p.top = max(0, min(p.top+by, p.n-p.h)) }
func (p *scroll) mark()                  {}
func (p *scroll) setFilter(string)       {}
func (p *scroll) filtered() string       { return "" }
func (p *scroll) count() int             { return p.n }
func (p *scroll) seek(string) bool       { return false }
func (p *scroll) click(int) (bool, bool) { return false, false }

// place says that there is more than is shown; "" where there is not.
func (p *scroll) place() string {
	if p.n <= p.h {
		return ""
	}
	return place(p.top+p.h-1, p.n)
}

// window is the lines that are drawn in h lines.
func (p *scroll) window(lines []string, h int) []string {
	p.n, p.h = len(lines), max(0, h)
	p.move(0)
	return lines[p.top:min(len(lines), p.top+p.h)]
}

// blank is what stands in place of a list that has nothing: that, in a role, and
// what to press.
func (s *shared) blank(title string, w, h int, r draw.Role, texts ...string) []string {
	inner := draw.Inner(w)
	var lines []string
	for i, text := range texts {
		role := draw.Plain
		if i == 0 {
			role = r
		}
		for _, line := range draw.Wrap(draw.Clean(text), inner) {
			indent := max(0, (inner-draw.Width(line))/2)
			lines = append(lines, strings.Repeat(" ", indent)+s.theme.Paint(role, s.theme.Fit(line, inner-indent)))
		}
		lines = append(lines, "")
	}
	above := make([]string, max(0, (h-2-len(lines))/2))
	lines = append(above, lines...)
	return s.theme.Panel(draw.Panel{Title: title, Focused: true, Lines: lines[:min(len(lines), max(0, h-2))]}, w, h)
}

// failure is a page in place of a list that could not be read.
func (s *shared) failure(title, what string, err error, w, h int) []string {
	texts := []string{"x " + what, err.Error()}
	if fix := hint.Fix(err); fix != "" {
		texts = append(texts, fix)
	}
	return s.blank(title, w, h, draw.Failed, append(texts, "ctrl+r looks again")...)
}

// counted is a number of things: "1 login", "2 logins".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}
