package main

import (
	"fmt"
	"slices"
	"strings"
)

// theme is the colours of a terminal: its own two, and the 16 that programs
// name by number.
type theme struct {
	fg, bg string
	ansi   [16]string
}

// themes are a dark and a light terminal. Every colour has a contrast of 4.5 and
// more against its background (WCAG 2.2, 1.4.3), but for the one of the
// background itself.
var themes = map[string]theme{
	"dark": {"#d8dee4", "#16191d", [16]string{
		"#16191d", "#f2777a", "#8cc98f", "#e0b84c", "#7fb2f0", "#d09af0", "#5cc8c8", "#d8dee4",
		"#8b949e", "#ff9599", "#a5e0a8", "#f5d06b", "#a3caff", "#e0b8fa", "#82e0e0", "#ffffff",
	}},
	"light": {"#24292f", "#ffffff", [16]string{
		"#24292f", "#b3261e", "#1a6b32", "#7a5200", "#0b5cad", "#7b3aa8", "#0a6b75", "#5b636b",
		"#5b636b", "#c4322a", "#1c7a3a", "#8a5d00", "#0f6bc8", "#8c46bd", "#0b7681", "#ffffff",
	}},
}

// The cell, in pixels: most monospaced fonts are 0.6 em wide.
const (
	cellWidth  = 8.4
	cellHeight = 18.0
	fontSize   = 14.0
	baseline   = 13.5
	margin     = 10.0
)

// colour is how a colour of a style looks.
func (t theme) colour(c int, own string) string {
	switch {
	case c == 0:
		return own
	case c >= rgb:
		return fmt.Sprintf("#%06x", c&0xffffff)
	case c <= 16:
		return t.ansi[c-1]
	case c >= 233: // 24 greys (xterm's 256colres.h)
		v := 8 + 10*(c-233)
		return fmt.Sprintf("#%02x%02x%02x", v, v, v)
	}
	level := func(n int) int { // of the 6x6x6 cube
		if n == 0 {
			return 0
		}
		return 55 + 40*n
	}
	n := c - 17
	return fmt.Sprintf("#%02x%02x%02x", level(n/36), level(n/6%6), level(n%6))
}

// draw makes an SVG of a grid. The same grid makes the same bytes.
func draw(grid [][]cell, t theme, title string) string {
	var b strings.Builder
	width, height := 2*margin+cellWidth*float64(len(grid[0])), 2*margin+cellHeight*float64(len(grid))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%s" height="%s" viewBox="0 0 %s %s" role="img">`+"\n", px(width), px(height), px(width), px(height))
	fmt.Fprintf(&b, "<title>%s</title>\n", escape(title))
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" rx="6" fill="%s"/>`+"\n", t.bg)
	fmt.Fprintf(&b, `<g font-family="ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="%s" fill="%s" xml:space="preserve">`+"\n", px(fontSize), t.fg)
	for y, row := range grid {
		for _, r := range runs(row, func(s style) string { _, bg := t.colours(s); return bg }) {
			if r.key != t.bg {
				fmt.Fprintf(&b, `<rect x="%s" y="%s" width="%s" height="%s" fill="%s"/>`+"\n", x(r.from), px(margin+cellHeight*float64(y)), px(cellWidth*float64(r.to-r.from)), px(cellHeight), r.key)
			}
		}
		row = slices.Clone(row)
		b.WriteString(strokes(row, y, t))
		var line strings.Builder
		for _, r := range runs(row, t.attributes) {
			for _, piece := range words(row[r.from:r.to]) {
				from := r.from + piece.from
				fmt.Fprintf(&line, `<tspan x="%s"`, x(from))
				if n := piece.to - piece.from; n > 1 {
					fmt.Fprintf(&line, ` textLength="%s" lengthAdjust="spacingAndGlyphs"`, px(cellWidth*float64(n)))
				}
				fmt.Fprintf(&line, `%s>%s</tspan>`, r.key, escape(piece.text))
			}
		}
		if line.Len() > 0 {
			fmt.Fprintf(&b, `<text y="%s">%s</text>`+"\n", px(margin+baseline+cellHeight*float64(y)), line.String())
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.String()
}

// colours of a cell, with what is reversed put the other way round.
func (t theme) colours(s style) (fg, bg string) {
	fg, bg = t.colour(s.fg, t.fg), t.colour(s.bg, t.bg)
	if s.reverse {
		return bg, fg
	}
	return fg, bg
}

// attributes are the SVG attributes of a cell's text.
func (t theme) attributes(s style) string {
	var b strings.Builder
	if fg, _ := t.colours(s); fg != t.fg {
		fmt.Fprintf(&b, ` fill="%s"`, fg)
	}
	if s.bold {
		b.WriteString(` font-weight="bold"`)
	}
	if s.dim {
		b.WriteString(` fill-opacity="0.65"`)
	}
	if s.italic {
		b.WriteString(` font-style="italic"`)
	}
	switch {
	case s.underline && s.strike:
		b.WriteString(` text-decoration="underline line-through"`)
	case s.underline:
		b.WriteString(` text-decoration="underline"`)
	case s.strike:
		b.WriteString(` text-decoration="line-through"`)
	}
	return b.String()
}

// span is a part of a row, in cells.
type span struct {
	from, to  int
	key, text string
}

// runs are the parts of a row whose styles look the same.
func runs(row []cell, look func(style) string) []span {
	var out []span
	for i, c := range row {
		if key := look(c.style); len(out) == 0 || out[len(out)-1].key != key {
			out = append(out, span{from: i, to: i + 1, key: key})
			continue
		}
		out[len(out)-1].to = i + 1
	}
	return out
}

// words are the texts of a run, each where it stands: two spaces and more, and a
// wide character, part them, so that no font moves what follows.
func words(row []cell) []span {
	var out []span
	open := false
	for i := 0; i < len(row); i++ {
		c := row[i]
		switch {
		case c.width == 0:
			continue
		case c.width > 1:
			out = append(out, span{from: i, to: i + c.width, text: c.text})
			open = false
		case c.text == " " && (!open || i+1 == len(row) || row[i+1].text == " " || row[i+1].width != 1):
			open = false
		case open:
			out[len(out)-1].text += c.text
			out[len(out)-1].to = i + 1
		default:
			out = append(out, span{from: i, to: i + 1, text: c.text})
			open = true
		}
	}
	return out
}

func x(cells int) string { return px(margin + cellWidth*float64(cells)) }

// px writes a length, without more digits than it needs.
func px(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

var escape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;").Replace
