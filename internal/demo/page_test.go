package demo

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestWrap(t *testing.T) {
	for _, c := range []struct {
		text        string
		first, rest int
		want        []string
	}{
		{"", 10, 10, []string{""}},
		{"one two three", 20, 20, []string{"one two three"}},
		{"one two three", 7, 7, []string{"one two", "three"}},
		{"one two three", 8, 5, []string{"one two", "three"}},
		{"a  b", 10, 10, []string{"a  b"}},
		{"abcdefghij", 4, 3, []string{"abcd", "efg", "hij"}},
		{"x abcdefghij y", 4, 4, []string{"x", "abcd", "efgh", "ij y"}},
		{"two\nlines", 10, 10, []string{"two", "lines"}},
		{"räum auf", 4, 4, []string{"räum", "auf"}},
	} {
		if got := wrap(c.text, c.first, c.rest); !slices.Equal(got, c.want) {
			t.Errorf("wrap(%q, %d, %d) = %q, want %q", c.text, c.first, c.rest, got, c.want)
		}
	}
}

// TestPageKeepsItsWidth lays the longest texts out at each width; colours take
// no columns and change no letter.
func TestPageKeepsItsWidth(t *testing.T) {
	for _, width := range []int{0, 20, 60, 79, 80, 100, 120, 500} {
		var plainOut, colorOut bytes.Buffer
		for _, o := range []Options{{Out: &plainOut, Width: width}, {Out: &colorOut, Width: width, Color: true}} {
			p := newPage(o)
			r := goodReport()
			r.folder, r.note = "/tmp/kb-demo-1", strings.Repeat("a long note ", 20)
			r.sides[0].reason = "remote git.forge.example/acme/api matches rule r8a09b087 (git.forge.example/acme/*)"
			p.opening()
			p.results(r)
			if err := p.flush(); err != nil {
				t.Fatal(err)
			}
		}
		limit := max(narrowest, min(width, widest))
		if width == 0 {
			limit = usual
		}
		for line := range strings.Lines(plainOut.String()) {
			line = strings.TrimSuffix(line, "\n")
			if n := len([]rune(line)); n > limit || line != strings.TrimRight(line, " ") {
				t.Errorf("width %d: %d columns or a space at the end: %q", width, n, line)
			}
		}
		colored := colorOut.String()
		if !strings.Contains(colored, "\x1b[32m") {
			t.Errorf("width %d: no colours", width)
		}
		for _, s := range []style{bold, dim, red, green, cyan, "0"} {
			colored = strings.ReplaceAll(colored, "\x1b["+string(s)+"m", "")
		}
		if squeeze(colored) != squeeze(plainOut.String()) {
			t.Errorf("width %d: colours change the text:\n%s\n%s", width, colored, plainOut.String())
		}
	}
}

// squeeze drops spaces at line ends.
func squeeze(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.TrimRight(line, " \n") + "\n")
	}
	return b.String()
}
