package tui

import "kb/tui/draw"

// pager is a scroll that knows how far it was on the screen without a gap.
type pager struct {
	scroll
	seen int // the lines before this one were on the screen
}

// window is the lines that are drawn in h lines.
func (p *pager) window(lines []string, h int) []string {
	shown := p.scroll.window(lines, h)
	if p.top <= p.seen {
		p.seen = max(p.seen, p.top+len(shown))
	}
	return shown
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
