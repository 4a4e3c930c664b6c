package tui

import "kb/tui/draw"

// Looks are what a person may change of the dashboard in config.toml: nothing
// that carries trust.
type Looks struct {
	Theme        string // "auto", "dark" or "light"
	ASCII        bool
	NoColor      bool
	ReduceMotion bool
	Colors       map[string]int      // role -> ANSI colour
	Keys         map[string][]string // action -> keys
}

func (l Looks) theme() draw.ThemeOptions {
	o := draw.ThemeOptions{Light: l.Theme == "light", NoColor: l.NoColor, ASCII: l.ASCII, Colors: map[draw.Role]int{}}
	for role, name := range draw.RoleNames {
		if c, ok := l.Colors[name]; ok {
			o.Colors[draw.Role(role)] = c
		}
	}
	return o
}
