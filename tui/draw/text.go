package draw

import (
	"strings"
	"unicode"

	"github.com/charmbracelet/x/ansi"

	"kb/internal/plain"
)

// Clean makes text that others wrote safe to draw: one line, no control
// characters, tabs as blanks, and none of the format characters (Unicode category
// Cf) of which terminals and the tables of widths think differently. The joiners
// stay: scripts and emoji need them.
func Clean(s string) string {
	s = plain.Clean(strings.ReplaceAll(s, "\t", " "))
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return strings.Map(func(r rune) rune {
				if r != 0x200c && r != 0x200d && unicode.Is(unicode.Cf, r) {
					return plain.Mark
				}
				return r
			}, s)
		}
	}
	return s
}

// Width is how many cells s takes; escape sequences take none.
func Width(s string) int { return ansi.StringWidth(s) }

// Fit makes plain text exactly w cells wide: cut with an ellipsis, or filled with
// blanks. ASCII themes cut with "~".
func (t *Theme) Fit(s string, w int) string {
	if w <= 0 {
		return ""
	}
	n := Width(s)
	if n > w {
		s = ansi.Truncate(s, w, t.glyphs.ellipsis)
		n = Width(s)
	}
	return s + strings.Repeat(" ", w-n) // a wide character that was cut leaves a cell
}

// FitRight is Fit with the text at the right end.
func (t *Theme) FitRight(s string, w int) string {
	if n := Width(s); n < w {
		return strings.Repeat(" ", w-n) + s
	}
	return t.Fit(s, w)
}

// Pad fills a painted line with blanks to w cells. It does not cut: what is
// painted was fitted before.
func Pad(s string, w int) string {
	return s + strings.Repeat(" ", max(0, w-Width(s)))
}

// Wrap breaks plain text into lines of at most w cells: between words where it can,
// and a path that is longer than a line behind a slash.
func Wrap(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	if len(s) > w && strings.Contains(s, "/") {
		words := strings.Split(s, " ")
		for i, word := range words {
			if len(word) > w && Width(word) > w {
				words[i] = atSlashes(word, w)
			}
		}
		s = strings.Join(words, " ")
	}
	var lines []string
	for part := range strings.SplitSeq(s, "\n") {
		for i, line := range strings.Split(ansi.Wrap(part, w, ""), "\n") {
			if i > 0 { // the blank behind a line that is full
				line = strings.TrimLeft(line, " ")
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// atSlashes breaks a word behind those of its slashes that keep lines of at most w
// cells, where its parts allow it.
func atSlashes(word string, w int) string {
	var b strings.Builder
	used := 0
	for _, part := range strings.SplitAfter(word, "/") {
		n := Width(part)
		if used > 0 && used+n > w {
			b.WriteByte('\n')
			used = 0
		}
		b.WriteString(part)
		used += n
	}
	return b.String()
}

// Chop breaks plain text into lines of at most w cells, wherever they are full:
// every character of it is there, in its order, and nothing besides.
func Chop(s string, w int) []string {
	if w <= 0 {
		return nil
	}
	return strings.Split(ansi.Hardwrap(s, w, true), "\n")
}

// Beside joins two blocks of lines of the same height.
func Beside(left, right []string) []string {
	lines := make([]string, max(len(left), len(right)))
	for i := range lines {
		if i < len(left) {
			lines[i] = left[i]
		}
		if i < len(right) {
			lines[i] += right[i]
		}
	}
	return lines
}

// Exact makes painted text exactly w cells wide: cut without a mark, or filled with
// blanks.
func Exact(s string, w int) string {
	if w <= 0 {
		return ""
	}
	if Width(s) > w {
		s = ansi.Truncate(s, w, "")
	}
	return Pad(s, w)
}

// ASCII puts "?" for every character outside ASCII, as often as it has cells: a
// frame stays as wide as it was. Escape sequences are left alone.
func ASCII(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && s[i] < 0x80
	}
	if plain {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		if s[0] < 0x80 {
			// What joins an ASCII letter goes with it and has no cell of its own.
			cluster, _ := ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
			b.WriteByte(s[0])
			s = s[max(1, len(cluster)):]
			continue
		}
		cluster, w := ansi.FirstGraphemeCluster(s, ansi.GraphemeWidth)
		b.WriteString(strings.Repeat("?", w))
		s = s[max(1, len(cluster)):]
	}
	return b.String()
}
