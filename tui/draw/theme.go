package draw

import (
	"io"
	"strings"

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
	ASCII   bool // nothing outside ASCII in frames, and in texts only "?" for it
	// Colors replaces the foreground of a role: an ANSI colour, 0 to 15.
	Colors map[Role]int
}

// Theme says what roles look like.
type Theme struct {
	starts [roles]string // escape sequence that begins a role; "" for none
	glyphs glyphs
	ascii  bool

	cursor  string // escape sequence of a cell in reverse
	picture string // of white on black
	noColor bool
}

// glyphs are the characters of frames and cuts.
type glyphs struct {
	thin, heavy border
	ellipsis    string
	spark       []rune
	full, empty string // of a meter
}

// border is the sides and corners of a frame, clockwise from the top left.
type border struct{ topLeft, top, topRight, side, bottomRight, bottom, bottomLeft string }

var (
	unicodeGlyphs = glyphs{
		thin:     border{"┌", "─", "┐", "│", "┘", "─", "└"},
		heavy:    border{"┏", "━", "┓", "┃", "┛", "━", "┗"},
		ellipsis: "…",
		spark:    []rune(" ▁▂▃▄▅▆▇█"),
		full:     "█", empty: "░",
	}
	asciiGlyphs = glyphs{
		thin:     border{"+", "-", "+", "|", "+", "-", "+"},
		heavy:    border{"#", "=", "#", "#", "#", "=", "#"},
		ellipsis: "~",
		spark:    []rune(" .:-=+*#@"),
		full:     "#", empty: ".",
	}
)

// none is no colour of a role: the terminal's own.
const none = -1

// Colours of the roles: ANSI 0 to 15, which the terminal's owner has chosen. The
// selected row is bold in the terminal's own colour: a white or black of ours would
// be invisible on the background that nobody told kb of.
var (
	darkColors  = [roles]int{Plain: none, Muted: 8, Accent: 14, Selected: none, Good: 10, Working: 12, Attention: 11, Failed: 9}
	lightColors = [roles]int{Plain: none, Muted: 8, Accent: 4, Selected: none, Good: 2, Working: 4, Attention: 3, Failed: 1}
)

// NewTheme makes a theme.
func NewTheme(o ThemeOptions) *Theme {
	t := &Theme{glyphs: unicodeGlyphs, ascii: o.ASCII, noColor: o.NoColor}
	if o.ASCII {
		t.glyphs = asciiGlyphs
	}
	// A renderer of its own, for lipgloss' default one asks the terminal. Without
	// colours it is the same one and no style has a colour: a profile without them takes
	// bold and reverse away too, which NO_COLOR does not ask for.
	r := lipgloss.NewRenderer(io.Discard)
	r.SetColorProfile(termenv.ANSI)
	t.cursor = start(r.NewStyle().Reverse(true))
	t.picture = start(r.NewStyle().Foreground(lipgloss.ANSIColor(15)).Background(lipgloss.ANSIColor(0)))
	colors := darkColors
	if o.Light {
		colors = lightColors
	}
	for role := range roles {
		style := r.NewStyle().Bold(role == Accent || role == Selected || role == Failed)
		c, own := o.Colors[role]
		if !own {
			c = colors[role]
		}
		switch {
		case o.NoColor:
			style = style.Faint(role == Muted).Reverse(role == Selected)
		case c != none:
			style = style.Foreground(lipgloss.ANSIColor(c))
		}
		t.starts[role] = start(style)
	}
	return t
}

// start is the escape sequence that begins a style; what ends one is reset. It is
// found once: a frame has hundreds of texts, and Style.Render lays each of them out.
func start(style lipgloss.Style) string {
	begin, _, _ := strings.Cut(style.Render("x"), "x")
	return begin
}

// ASCII reports whether nothing outside ASCII is to be drawn.
func (t *Theme) ASCII() bool { return t.ascii }

const reset = "\x1b[0m"

// Paint puts a role's look on text that has no look yet.
func (t *Theme) Paint(r Role, s string) string {
	if s == "" || t.starts[r] == "" {
		return s
	}
	return t.starts[r] + s + reset
}

// Cursor is the cell that a person types at, in reverse, which is no colour.
func (t *Theme) Cursor(s string) string { return t.cursor + s + reset }

// Picture is a line of a picture of half blocks: white on black, whatever the
// terminal's own colours are, or a camera reads it the wrong way round. Where there
// are to be no colours it is left as it is, which is right on a dark terminal.
func (t *Theme) Picture(s string) string {
	if t.noColor {
		return s
	}
	return t.picture + s + reset
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
