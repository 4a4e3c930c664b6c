package draw

import (
	"io"

	"github.com/charmbracelet/lipgloss"
	"github.com/muesli/termenv"
)

// Role is what a text is.
type Role uint8

// The eight roles.
const (
	Plain     Role = iota // the terminal's own colours
	Muted                 // what may be overlooked: frames, headings, hints
	Accent                // where one is: the focused frame, the open screen, keys
	Selected              // the row under the cursor
	Good                  // "+": all is well
	Working               // "~": something is on its way
	Attention             // "!": a person should look
	Failed                // "x": it went wrong
	roles
)

// RoleNames are the roles as config.toml names them.
var RoleNames = [roles]string{"plain", "muted", "accent", "selected", "good", "working", "attention", "failed"}

// ThemeOptions are for NewTheme. The zero value has colours for a dark
// background and draws frames with box characters.
type ThemeOptions struct {
	Light   bool
	NoColor bool // no colour at all: bold, reverse and faint remain
	ASCII   bool // nothing outside ASCII in frames and marks
	// Colors replaces the foreground of a role: an ANSI colour, 0 to 15.
	Colors map[Role]int
}

// Theme says what roles look like.
type Theme struct {
	styles [roles]lipgloss.Style
	glyphs glyphs
}

// glyphs are the characters of frames and cuts.
type glyphs struct {
	thin, heavy border
	ellipsis    string
	spark       []rune
}

// border is the sides and corners of a frame, clockwise from the top left.
type border struct{ topLeft, top, topRight, side, bottomRight, bottom, bottomLeft string }

var (
	unicodeGlyphs = glyphs{
		thin:     border{"┌", "─", "┐", "│", "┘", "─", "└"},
		heavy:    border{"┏", "━", "┓", "┃", "┛", "━", "┗"},
		ellipsis: "…",
		spark:    []rune(" ▁▂▃▄▅▆▇█"),
	}
	asciiGlyphs = glyphs{
		thin:     border{"+", "-", "+", "|", "+", "-", "+"},
		heavy:    border{"#", "=", "#", "#", "#", "=", "#"},
		ellipsis: "~",
		spark:    []rune(" .:-=+*#@"),
	}
)

// NewTheme makes a theme.
func NewTheme(o ThemeOptions) *Theme {
	t := &Theme{glyphs: unicodeGlyphs}
	if o.ASCII {
		t.glyphs = asciiGlyphs
	}
	// A renderer of its own: lipgloss' default one asks the terminal.
	r := lipgloss.NewRenderer(io.Discard)
	r.SetHasDarkBackground(!o.Light)
	r.SetColorProfile(termenv.ANSI)
	if o.NoColor {
		r.SetColorProfile(termenv.Ascii)
	}
	dark := [roles]string{Muted: "8", Accent: "14", Selected: "15", Good: "10", Working: "12", Attention: "11", Failed: "9"}
	light := [roles]string{Muted: "8", Accent: "4", Selected: "0", Good: "2", Working: "4", Attention: "3", Failed: "1"}
	colors := dark
	if o.Light {
		colors = light
	}
	for role := range roles {
		style := r.NewStyle()
		if c, ok := o.Colors[role]; ok {
			style = style.Foreground(lipgloss.ANSIColor(c)) //nolint:gosec // 0 to 15
		} else if colors[role] != "" {
			style = style.Foreground(lipgloss.Color(colors[role]))
		}
		t.styles[role] = style
	}
	t.styles[Selected] = t.styles[Selected].Reverse(o.NoColor).Bold(true)
	t.styles[Accent] = t.styles[Accent].Bold(true)
	t.styles[Failed] = t.styles[Failed].Bold(true)
	return t
}

// Paint puts a role's look on text that has no look yet.
func (t *Theme) Paint(r Role, s string) string {
	if s == "" || r == Plain {
		return s
	}
	return t.styles[r].Render(s)
}

// Mark is the character that goes before a state's word.
func Mark(r Role) string {
	switch r {
	case Good:
		return "+"
	case Working:
		return "~"
	case Attention:
		return "!"
	case Failed:
		return "x"
	}
	return "?"
}
