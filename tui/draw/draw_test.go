package draw_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"kb/internal/plain"
	"kb/tui/draw"
)

// odd are texts whose cells are not their bytes, nor their runes.
var odd = []string{
	"", "plain", "e\u0301te\u0301", "漢字かな交じり文", "👩‍👩‍👧 family", "\u202eesrever", "a\tb\tc", "\x1b[31mred", "zero\u200bwidth",
	"bad\xff\xfe", "🇩🇪🇫🇷", "\u0600number", "ｆｕｌｌ", "ก็็็็็็", "\u0301first", "\u00adsoft\u00ad", "\u200d", "👍🏽👍🏽",
}

func TestFitIsExact(t *testing.T) {
	t.Parallel()
	for _, ascii := range []bool{false, true} {
		theme := draw.NewTheme(draw.ThemeOptions{ASCII: ascii})
		for _, text := range odd {
			clean := draw.Clean(text)
			if !utf8.ValidString(clean) || plain.Clean(clean) != clean {
				t.Errorf("%q is not clean: %q", text, clean)
			}
			for w := range 24 {
				for name, line := range map[string]string{
					"Fit": theme.Fit(clean, w), "FitRight": theme.FitRight(clean, w), "Exact": draw.Exact(theme.Paint(draw.Good, clean), w),
					"ASCII": draw.ASCII(theme.Paint(draw.Failed, theme.Fit(clean, w))),
				} {
					if n := draw.Width(line); n != w {
						t.Errorf("%s of %q in %d cells has %d: %q", name, clean, w, n, line)
					}
				}
				for _, line := range draw.Wrap(clean, w) {
					if n := draw.Width(line); n > w && w > 1 {
						t.Errorf("Wrap of %q in %d cells has %d: %q", clean, w, n, line)
					}
				}
			}
		}
	}
}

// TestWrapBreaksAPathAtSlashes: a path is read in its parts, and nothing of it is
// lost. What fits a line stays whole.
func TestWrapBreaksAPathAtSlashes(t *testing.T) {
	t.Parallel()
	const path = "api.github.com/repos/acme/api/issues"
	for w, want := range map[int]string{
		20: "POST api.github.com/|repos/acme/api/|issues",
		40: "POST |api.github.com/repos/acme/api/issues",
	} {
		lines := draw.Wrap("POST "+path, w)
		for i := range lines {
			lines[i] = strings.TrimRight(lines[i], " ")
		}
		if got := strings.Join(lines, "|"); got != strings.ReplaceAll(want, " |", "|") {
			t.Errorf("in %d cells: %q, want %q", w, got, want)
		}
	}
}

// TestWrapBeginsLinesWithWords: the blank at which a line was broken is on neither
// side, also where the line is full to the last cell. What was indented stays so.
func TestWrapBeginsLinesWithWords(t *testing.T) {
	t.Parallel()
	got := draw.Wrap("1:30; no answer until then is a denial", 27)
	if len(got) != 2 || strings.TrimRight(got[0], " ") != "1:30; no answer until then" || got[1] != "is a denial" {
		t.Errorf("%q", got)
	}
	if got := draw.Wrap("    kb exec -- claude", 40); len(got) != 1 || got[0] != "    kb exec -- claude" {
		t.Errorf("%q", got)
	}
}

func TestPanelAndTableAreExact(t *testing.T) {
	t.Parallel()
	theme := draw.NewTheme(draw.ThemeOptions{})
	var rows [][]draw.Cell
	for _, text := range odd {
		rows = append(rows, []draw.Cell{{Text: draw.Clean(text)}, {Text: draw.Clean(text), Role: draw.Good}, {Text: "x"}})
	}
	columns := []draw.Column{{Title: "ONE", Width: 6, Grow: true}, {Title: "TWO", Width: 8, Right: true, Drop: 1}, {Title: "3", Width: 3, Drop: 2}}
	for w := range 60 {
		for _, line := range theme.Table(draw.Table{Columns: columns, Rows: rows, Cursor: 3, Marked: map[int]bool{2: true, 3: true}}, w) {
			if n := draw.Width(line); n != w {
				t.Errorf("a table of %d cells has %d: %q", w, n, line)
			}
		}
		for h := range 8 {
			lines := theme.Panel(draw.Panel{Title: draw.Clean(odd[w%len(odd)]), Foot: draw.Clean(odd[(w+5)%len(odd)]), Lines: []string{theme.Fit("text", draw.Inner(w))}}, w, h)
			if len(lines) != h {
				t.Errorf("a panel of %dx%d has %d lines", w, h, len(lines))
			}
			for _, line := range lines {
				if n := draw.Width(line); n != w {
					t.Errorf("a panel of %dx%d has %d: %q", w, h, n, line)
				}
			}
		}
	}
}

func TestSpark(t *testing.T) {
	t.Parallel()
	theme := draw.NewTheme(draw.ThemeOptions{})
	for _, c := range []struct {
		values []int
		w      int
		want   string
	}{
		{nil, 3, "   "},
		{[]int{0, 1, 2, 4, 8}, 5, " ▁▂▄█"},
		{[]int{1, 1000}, 2, "▁█"}, // what is not nothing is seen
		{[]int{5, 5}, 4, "  ██"},
		{[]int{9, 9, 0, 3}, 2, " █"}, // the newest
		{[]int{0, 0}, 2, "  "},
		{[]int{1}, 0, ""},
		{[]int{-4, 2}, 2, " █"},
	} {
		if got := theme.Spark(c.values, c.w); got != c.want {
			t.Errorf("Spark(%v, %d) = %q, want %q", c.values, c.w, got, c.want)
		}
	}
	ascii := draw.NewTheme(draw.ThemeOptions{ASCII: true})
	if got := ascii.Spark([]int{0, 1, 2, 4, 8}, 5); got != " .:=@" {
		t.Errorf("in ASCII it is %q", got)
	}
	for _, c := range []struct {
		part, whole, w int
		want           string
	}{{1, 2, 4, "██░░"}, {0, 0, 2, "░░"}, {9, 3, 2, "██"}, {-1, 3, 2, "░░"}, {1, 2, 0, ""}} {
		if got := theme.Meter(c.part, c.whole, c.w); got != c.want {
			t.Errorf("Meter(%d, %d, %d) = %q, want %q", c.part, c.whole, c.w, got, c.want)
		}
	}
}

func TestThemes(t *testing.T) {
	t.Parallel()
	if got := draw.NewTheme(draw.ThemeOptions{Colors: map[draw.Role]int{draw.Plain: 3}}).Paint(draw.Plain, "x"); got != "\x1b[33mx\x1b[0m" {
		t.Errorf("an own colour is %q", got)
	}
	none := draw.NewTheme(draw.ThemeOptions{NoColor: true, Colors: map[draw.Role]int{draw.Failed: 3}})
	for role := range draw.RoleNames {
		painted := none.Paint(draw.Role(role), "x")
		for _, sgr := range strings.FieldsFunc(strings.ReplaceAll(painted, "\x1b[0m", ""), func(r rune) bool { return r < '0' || r > '9' }) {
			if sgr != "1" && sgr != "2" && sgr != "7" {
				t.Errorf("%s without colours has SGR %s", draw.RoleNames[role], sgr)
			}
		}
	}
}
