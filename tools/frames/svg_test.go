package main

import (
	"strings"
	"testing"
)

// TestDraw holds a small frame to the picture that was written by hand for it:
// colours that go on in the next line, bold and dim, reverse, a wide character,
// and what XML has to escape.
func TestDraw(t *testing.T) {
	frame := "\x1b[1m\x1b[31mab\x1b[0m <&\n" +
		"\x1b[7m x\x1b[0m \x1b[2m日本\x1b[22m!\n" +
		"\x1b[38;5;196m\x1b[48;2;1;2;3mq"
	grid, err := parse(frame, 8, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := draw(grid, themes["dark"], `a "title"`)
	want := `<svg xmlns="http://www.w3.org/2000/svg" width="87.2" height="74" viewBox="0 0 87.2 74" role="img">
<title>a &quot;title&quot;</title>
<rect width="100%" height="100%" rx="6" fill="#16191d"/>
<g font-family="ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="14" fill="#d8dee4" xml:space="preserve">
<text y="23.5"><tspan x="10" textLength="16.8" lengthAdjust="spacingAndGlyphs" fill="#f2777a" font-weight="bold">ab</tspan><tspan x="35.2" textLength="16.8" lengthAdjust="spacingAndGlyphs">&lt;&amp;</tspan></text>
<rect x="10" y="28" width="16.8" height="18" fill="#d8dee4"/>
<text y="41.5"><tspan x="18.4" fill="#16191d">x</tspan><tspan x="35.2" textLength="16.8" lengthAdjust="spacingAndGlyphs" fill-opacity="0.65">日</tspan><tspan x="52" textLength="16.8" lengthAdjust="spacingAndGlyphs" fill-opacity="0.65">本</tspan><tspan x="68.8">!</tspan></text>
<rect x="10" y="46" width="8.4" height="18" fill="#010203"/>
<text y="59.5"><tspan x="10" fill="#ff0000">q</tspan></text>
</g>
</svg>
`
	if got != want {
		t.Errorf("drawn:\n%s\nwant:\n%s", got, want)
	}
	if again := draw(grid, themes["dark"], `a "title"`); again != got {
		t.Error("the same grid made other bytes")
	}
}

// TestLines: boxes and blocks are shapes, which meet; between them is text.
func TestLines(t *testing.T) {
	grid, err := parse("┌──┐\n│\x1b[2mk\x1b[0m▁█\n▌▌▌", 4, 3)
	if err != nil {
		t.Fatal(err)
	}
	got := draw(grid, themes["light"], "")
	for _, want := range []string{
		`<path d="M14.2 19L18.4 19M14.2 19L14.2 28" stroke="#24292f" stroke-width="1" stroke-linecap="square"/>`, // ┌
		`<path d="M18.4 19H35.2"`,                                           // ──
		`<path d="M14.2 37L14.2 28M14.2 37L14.2 46"`,                        // │
		`<tspan x="18.4" fill-opacity="0.65">k</tspan>`,                     // text
		`<rect x="26.8" y="43.75" width="8.4" height="2.25" fill="#24292f"`, // ▁
		`<rect x="35.2" y="28" width="8.4" height="18"`,                     // █
		`<rect x="10" y="46" width="4.2" height="18"`,                       // ▌
		`<rect x="26.8" y="46" width="4.2" height="18"`,                     // the third
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
	if strings.ContainsAny(got, "┌─┐│▁█▌") {
		t.Errorf("a line is text:\n%s", got)
	}
	if again := draw(grid, themes["light"], ""); again != got {
		t.Error("drawing changed the grid")
	}
}

// TestLightTerminal: the terminal's own colours are the theme's, and so are the
// 16 that have numbers.
func TestLightTerminal(t *testing.T) {
	grid, err := parse("a\x1b[92mb\x1b[0m\x1b[100mc", 3, 1)
	if err != nil {
		t.Fatal(err)
	}
	got := draw(grid, themes["light"], "")
	for _, want := range []string{`rx="6" fill="#ffffff"/>`, `fill="#24292f" xml:space`, `fill="#1c7a3a">b<`, `<rect x="26.8" y="10" width="8.4" height="18" fill="#5b636b"/>`} {
		if !strings.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, got)
		}
	}
}

func TestParse(t *testing.T) {
	for _, c := range []struct{ frame, want string }{
		{"ab", "ab.."},
		{"日a", "日|a."},
		{"e\u0301a", "e\u0301a.."},                         // one cell
		{"\x1b[1;4;38;5;7mx\x1b[m", "x..."},                // several parameters, and none
		{"\x1b[38:2:1:2:3mx\x1b[?25l", "x..."},             // colons; what is no SGR
		{"\x1b]8;;https://x\x1b\\x\x1b]8;;\x1b\\", "x..."}, // a hyperlink
	} {
		grid, err := parse(c.frame, 4, 1)
		if err != nil {
			t.Errorf("%q: %v", c.frame, err)
			continue
		}
		var got strings.Builder
		for _, cell := range grid[0] {
			switch {
			case cell.width == 0:
				got.WriteByte('|')
			case cell.text == " ":
				got.WriteByte('.')
			default:
				got.WriteString(cell.text)
			}
		}
		if got.String() != c.want {
			t.Errorf("%q is %q, want %q", c.frame, got.String(), c.want)
		}
	}
	for _, frame := range []string{"abcde", "a\nb", "\x1b[3", "\x1b[38;5mx", "\x1b[999999999999999999999mx", "a\x07", "\xff", "\x1b]8;;x"} {
		if grid, err := parse(frame, 4, 1); err == nil {
			t.Errorf("%q was read: %+v", frame, grid)
		}
	}
}

func TestStyles(t *testing.T) {
	for sgr, want := range map[string]style{
		"1;2;3;4;7;9":      {bold: true, dim: true, italic: true, underline: true, reverse: true, strike: true},
		"1;2;22;4;24;7;27": {},
		"31;42":            {fg: 2, bg: 3},
		"91;102":           {fg: 10, bg: 11},
		"31;39;42;49":      {},
		"38;5;0;48;5;255":  {fg: 1, bg: 256},
		"38;2;0;0;0;1":     {fg: rgb, bold: true},
		"3;9;31;0":         {},
		"3;23;9;29;58;5;1": {},
	} {
		var got style
		if err := got.set(sgr); err != nil || got != want {
			t.Errorf("%s: %+v, %v; want %+v", sgr, got, err, want)
		}
	}
}
