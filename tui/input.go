package tui

import (
	"strings"
	"unicode"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// maxInput bounds what is typed into one line: longer than any path or URL that
// a person enters, short enough to be drawn at once.
const maxInput = 4096

// input is one line that a person types into. What is secret goes into a masked
// field instead.
type input struct {
	text []rune
	at   int // the cursor stands before text[at]
	off  int // first rune that is drawn
}

func newInput(text string) input {
	r := []rune(text)
	return input{text: r, at: len(r)}
}

func (in *input) value() string { return string(in.text) }

func (in *input) set(text string) { *in = newInput(text) }

// key takes a key and reports whether it meant the line. A key that means
// something to an editor of lines does so here; letters always do.
func (in *input) key(msg tea.KeyMsg) bool {
	switch msg.Type {
	case tea.KeyRunes, tea.KeySpace:
		if msg.Alt {
			return in.alt(msg.String())
		}
		in.insert(msg.Runes)
	case tea.KeyBackspace:
		if msg.Alt {
			in.cut(in.wordLeft(), in.at)
		} else {
			in.cut(in.left(), in.at)
		}
	case tea.KeyDelete:
		in.cut(in.at, in.right())
	case tea.KeyLeft:
		in.at = in.left()
	case tea.KeyRight:
		in.at = in.right()
	case tea.KeyCtrlLeft:
		in.at = in.wordLeft()
	case tea.KeyCtrlRight:
		in.at = in.wordRight()
	case tea.KeyHome, tea.KeyCtrlA:
		in.at = 0
	case tea.KeyEnd, tea.KeyCtrlE:
		in.at = len(in.text)
	case tea.KeyCtrlW:
		in.cut(in.wordLeft(), in.at)
	case tea.KeyCtrlU:
		in.cut(0, in.at)
	case tea.KeyCtrlK:
		in.cut(in.at, len(in.text))
	default:
		return false
	}
	return true
}

func (in *input) alt(key string) bool {
	switch key {
	case "alt+b":
		in.at = in.wordLeft()
	case "alt+f":
		in.at = in.wordRight()
	}
	return true
}

// insert puts runes where the cursor is. Line breaks and tabs of a paste become
// blanks, other control characters are dropped.
func (in *input) insert(runes []rune) {
	add := make([]rune, 0, len(runes))
	for _, r := range runes {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			add = append(add, ' ')
		case !unicode.IsControl(r):
			add = append(add, r)
		}
	}
	add = add[:min(len(add), max(0, maxInput-len(in.text)))]
	in.text = append(in.text[:in.at:in.at], append(add, in.text[in.at:]...)...)
	in.at += len(add)
}

func (in *input) cut(from, to int) {
	in.text = append(in.text[:from:from], in.text[to:]...)
	in.at = from
}

// left and right are the places beside the cursor; a mark that stands on a letter
// goes with it.
func (in *input) left() int {
	i := max(0, in.at-1)
	for i > 0 && joins(in.text[i]) {
		i--
	}
	return i
}

func (in *input) right() int {
	i := min(len(in.text), in.at+1)
	for i < len(in.text) && joins(in.text[i]) {
		i++
	}
	return i
}

// joins reports whether r is drawn in the cell of what stands before it.
func joins(r rune) bool { return r == 0x200d || unicode.In(r, unicode.Mn, unicode.Me) }

func (in *input) wordLeft() int {
	i := in.at
	for i > 0 && unicode.IsSpace(in.text[i-1]) {
		i--
	}
	for i > 0 && !unicode.IsSpace(in.text[i-1]) {
		i--
	}
	return i
}

func (in *input) wordRight() int {
	i := in.at
	for i < len(in.text) && unicode.IsSpace(in.text[i]) {
		i++
	}
	for i < len(in.text) && !unicode.IsSpace(in.text[i]) {
		i++
	}
	return i
}

// view draws the line in w cells, with the cursor where it has the focus.
func (in *input) view(t *draw.Theme, w int, focused bool) string {
	if w <= 0 {
		return ""
	}
	in.off = min(in.off, in.at)
	for in.off < in.at && draw.Width(draw.Clean(string(in.text[in.off:in.at]))) >= w {
		in.off++
	}
	if !focused {
		return t.Fit(draw.Clean(string(in.text)), w)
	}
	under, end := " ", in.at
	if in.at < len(in.text) {
		end = in.right()
		under = draw.Clean(string(in.text[in.at:end]))
	}
	return draw.Exact(draw.Clean(string(in.text[in.off:in.at]))+t.Cursor(under)+draw.Clean(string(in.text[end:])), w)
}

// words are the words of a line, by blanks and commas.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == ',' })
}
