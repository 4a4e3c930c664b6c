package draw

import "strings"

// Panel is a frame with a title and what is in it.
type Panel struct {
	Title   string // plain
	Foot    string // plain, at the right of the lower edge: "1 of 5"
	Focused bool   // drawn heavy
	Lines   []string
}

// Panel draws a panel of w by h cells. Lines are fitted by who made them to
// [Inner] cells; there are at most h-2.
func (t *Theme) Panel(p Panel, w, h int) []string {
	if w < 4 || h < 2 {
		return blank(w, h)
	}
	b, role := t.glyphs.thin, Muted
	if p.Focused {
		b, role = t.glyphs.heavy, Accent
	}
	lines := make([]string, 0, h)
	lines = append(lines, t.edge(role, b.topLeft, b.top, b.topRight, p.Title, false, w))
	side := t.Paint(role, b.side)
	for i := range h - 2 {
		line := ""
		if i < len(p.Lines) {
			line = p.Lines[i]
		}
		lines = append(lines, side+" "+Pad(line, Inner(w))+" "+side)
	}
	return append(lines, t.edge(role, b.bottomLeft, b.bottom, b.bottomRight, p.Foot, true, w))
}

// Inner is the width inside a panel of w cells.
func Inner(w int) int { return max(0, w-4) }

// edge is an upper or lower edge with a text in it.
func (t *Theme) edge(r Role, left, line, right, text string, atEnd bool, w int) string {
	room := w - 2
	if text == "" || room < 6 {
		return t.Paint(r, left+strings.Repeat(line, room)+right)
	}
	n := min(Width(text), room-4)
	text = " " + t.Fit(text, n) + " "
	rest := room - n - 3
	if atEnd {
		return t.Paint(r, left+strings.Repeat(line, rest)+text+line+right)
	}
	return t.Paint(r, left+line) + t.Paint(r, text) + t.Paint(r, strings.Repeat(line, rest)+right)
}

func blank(w, h int) []string {
	lines := make([]string, max(0, h))
	for i := range lines {
		lines[i] = strings.Repeat(" ", max(0, w))
	}
	return lines
}
