package tui

import "kb/tui/draw"

// pager is lines that are read rather than picked from: the cursor keys scroll
// them. It knows how far they were on the screen without a gap.
type pager struct {
	top  int
	n    int // lines there were when they were drawn last
	h    int // and how many were on the screen
	seen int // the lines before this one were on the screen
}

func (p *pager) move(by int)      { p.top = max(0, min(p.top+by, p.n-p.h)) }
func (p *pager) mark()            {}
func (p *pager) setFilter(string) {}
func (p *pager) filtered() string { return "" }
func (p *pager) count() int       { return p.n }
func (p *pager) seek(string) bool { return false }
func (p *pager) place() string    { return p.more() }

func (p *pager) click(int) (hit, again bool) { return false, false }

// window is the lines that are drawn in h lines.
func (p *pager) window(lines []string, h int) []string {
	p.n, p.h = len(lines), max(0, h)
	p.move(0)
	shown := lines[p.top:min(len(lines), p.top+p.h)]
	if p.top <= p.seen {
		p.seen = max(p.seen, p.top+len(shown))
	}
	return shown
}

// more says at a panel's foot that there is more than is shown.
func (p *pager) more() string {
	if p.n <= p.h {
		return ""
	}
	return place(p.top+p.h-1, p.n)
}

// field is a name and a text in lines of w cells, of which nothing is left out.
func field(t *draw.Theme, r draw.Role, name, text string, w int) []string {
	const indent = 10
	var lines []string
	for i, part := range draw.Chop(draw.Clean(text), w-indent) {
		if i > 0 {
			name = ""
		}
		lines = append(lines, t.Paint(draw.Muted, t.Fit(name, min(w, indent)))+t.Paint(r, part))
	}
	return lines
}

// instead is what a screen shows in place of its list: that it has nothing, or why.
func (s *shared) instead(title string, w, h int, r draw.Role, texts ...string) []string {
	inner := draw.Inner(w)
	var lines []string
	for i, text := range texts {
		role := draw.Plain
		if i == 0 {
			role = r
		}
		for _, line := range draw.Wrap(draw.Clean(text), inner) {
			line = s.theme.Fit(line, min(inner, draw.Width(line)))
			pad := (inner - draw.Width(line)) / 2
			lines = append(lines, s.theme.Fit("", pad)+s.theme.Paint(role, line))
		}
		lines = append(lines, "")
	}
	above := make([]string, max(0, (h-2-len(lines))/2))
	return s.theme.Panel(draw.Panel{Title: title, Focused: true, Lines: append(above, lines...)}, w, h)
}
