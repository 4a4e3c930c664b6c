package demo

import (
	"bytes"
	"io"
	"strings"
)

// Widths of a page, in columns.
const (
	narrowest  = 60
	usual      = 80
	widest     = 120
	labelWidth = 14
	gap        = 2
)

// style is an ECMA-48 "select graphic rendition" parameter. No meaning hangs
// on it alone: a page reads the same without.
type style string

const (
	plainText style = ""
	bold      style = "1"
	dim       style = "2"
	red       style = "31"
	green     style = "32"
	cyan      style = "36"
)

// page lays text out: paragraphs, and rows of a label and two columns.
type page struct {
	out   io.Writer
	buf   bytes.Buffer
	width int
	color bool
}

func newPage(o Options) *page {
	width := o.Width
	if width <= 0 {
		width = usual
	}
	return &page{out: o.Out, width: max(narrowest, min(width, widest)), color: o.Color}
}

// flush writes what was laid out.
func (p *page) flush() error {
	_, err := p.out.Write(p.buf.Bytes())
	p.buf.Reset()
	return err
}

func (p *page) blank() { p.buf.WriteByte('\n') }

// heading begins a part.
func (p *page) heading(text string) {
	p.blank()
	p.text(text, bold, 0, 0)
}

// text is a paragraph. Lines after the first are indented by hang more.
func (p *page) text(text string, s style, indent, hang int) {
	width := p.width - indent
	for i, line := range wrap(text, width, width-hang) {
		if i == 1 {
			indent += hang
		}
		p.buf.WriteString(strings.Repeat(" ", indent))
		p.buf.WriteString(p.paint(line, s))
		p.blank()
	}
}

// row is a label and what each side has under it.
func (p *page) row(label string, left, right string, s style) {
	width := (p.width - labelWidth - 2*gap) / 2
	a, b := wrap(left, width, width), wrap(right, width, width)
	for i := range max(len(a), len(b), 1) {
		line := [3]string{label}
		label = ""
		if i < len(a) {
			line[1] = a[i]
		}
		if i < len(b) {
			line[2] = b[i]
		}
		text := p.paint(pad(line[0], labelWidth+gap), dim) + p.paint(pad(line[1], width+gap), s) + p.paint(line[2], s)
		p.buf.WriteString(strings.TrimRight(text, " "))
		p.blank()
	}
}

func (p *page) paint(text string, s style) string {
	if !p.color || s == plainText || strings.TrimSpace(text) == "" {
		return text
	}
	return "\x1b[" + string(s) + "m" + text + "\x1b[0m"
}

func pad(text string, width int) string {
	return text + strings.Repeat(" ", max(0, width-len([]rune(text))))
}

// wrap breaks text into lines: the first at most first columns wide, the others
// rest. It breaks at spaces, and inside a word only where the word is longer
// than a line. The demo's texts are of single-width characters.
func wrap(text string, first, rest int) []string {
	var lines []string
	width := first
	for _, part := range strings.Split(text, "\n") {
		line := []rune{}
		for i, word := range strings.Split(part, " ") {
			runes := []rune(word)
			if i > 0 {
				if len(line)+1+len(runes) <= width {
					line = append(append(line, ' '), runes...)
					continue
				}
				lines, width = append(lines, strings.TrimRight(string(line), " ")), rest
				line = nil
			}
			for len(runes) > width {
				lines, runes = append(lines, string(runes[:width])), runes[width:]
				width = rest
			}
			line = append(line, runes...)
		}
		lines, width = append(lines, strings.TrimRight(string(line), " ")), rest
	}
	return lines
}
