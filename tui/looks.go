package tui

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"kb/internal/hint"
	"kb/internal/plain"
	"kb/tui/draw"
)

// Looks are what a person may change of the dashboard in config.toml: nothing
// that carries trust, for an agent may be able to write that file.
type Looks struct {
	Light        bool // colours for a light background
	ASCII        bool
	NoColor      bool
	ReduceMotion bool                // what moves by itself does so every ten seconds
	Colors       map[string]int      // role -> ANSI colour, 0 to 15
	Keys         map[string][]string // action -> keys
}

// looksFile is config.toml.
type looksFile struct {
	UI struct {
		Theme        string         `toml:"theme"`
		ASCII        bool           `toml:"ascii"`
		ReduceMotion bool           `toml:"reduce_motion"`
		Colors       map[string]int `toml:"colors"`
	} `toml:"ui"`
	Keys map[string]any `toml:"keys"`
}

// MaxLooks bounds config.toml, in bytes. One with every setting there is has 8 KiB.
const MaxLooks = 64 << 10

// ReadLooks reads config.toml, and what the environment says of looks. No text is
// the built-in looks. An error names the line and what to do about it.
//
// NO_COLOR (https://no-color.org) switches colour off when it is there and not
// empty, whatever it says; so does KB_REDUCE_MOTION with motion.
func ReadLooks(data []byte, getenv func(string) string) (Looks, error) {
	var f looksFile
	d := toml.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&f); err != nil {
		return Looks{}, looksError(err)
	}
	l := Looks{
		ASCII: f.UI.ASCII, Colors: f.UI.Colors, NoColor: getenv("NO_COLOR") != "",
		ReduceMotion: f.UI.ReduceMotion || getenv("KB_REDUCE_MOTION") != "", Keys: map[string][]string{},
	}
	switch f.UI.Theme {
	case "light":
		l.Light = true
	case "dark":
	case "", "auto":
		l.Light = lightBackground(getenv("COLORFGBG"))
	default:
		return Looks{}, wrongLook(data, "theme", fmt.Errorf("ui.theme is %q", plain.Clean(f.UI.Theme)), `write "auto", "dark" or "light"`)
	}
	for name, c := range l.Colors {
		if err := checkColor(name, c); err != nil {
			return Looks{}, wrongLook(data, name, err, "the roles are "+strings.Join(draw.RoleNames[:], ", ")+"; a colour is a number from 0 to 15")
		}
	}
	if err := flatten("", f.Keys, l.Keys); err != nil {
		return Looks{}, wrongLook(data, "", err, `write a key or a list of keys: "logins.refresh" = ["r", "F5"]`)
	}
	if _, err := newKeymap(l.Keys); err != nil {
		var k *keyError
		if errors.As(err, &k) {
			return Looks{}, wrongLook(data, k.id, err, k.fix)
		}
		return Looks{}, err
	}
	return l, nil
}

func checkColor(name string, c int) error {
	switch {
	case !slices.Contains(draw.RoleNames[:], name):
		return fmt.Errorf("there is no colour role %q", plain.Clean(name))
	case c < 0 || c > 15:
		return fmt.Errorf("colour %d of %s is none of the terminal's 16", c, name)
	}
	return nil
}

// flatten makes the tables below [keys] names with dots: "logins.refresh" may be
// quoted or not.
func flatten(before string, from map[string]any, to map[string][]string) error {
	for name, v := range from {
		id := strings.TrimPrefix(before+"."+name, ".")
		switch v := v.(type) {
		case string:
			to[id] = []string{v}
		case []any:
			to[id] = []string{}
			for _, one := range v {
				key, ok := one.(string)
				if !ok {
					return fmt.Errorf("keys.%s has a key that is no text", plain.Clean(id))
				}
				to[id] = append(to[id], key)
			}
		case map[string]any:
			if err := flatten(id, v, to); err != nil {
				return err
			}
		default:
			return fmt.Errorf("keys.%s is no key", plain.Clean(id))
		}
	}
	return nil
}

// looksError says where go-toml stopped, and why.
func looksError(err error) error {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) {
		e := unknown.Errors[0]
		line, _ := e.Position()
		return hint.Wrap(fmt.Errorf("read config.toml: line %d: there is no setting %q", line, plain.Clean(strings.Join(e.Key(), "."))),
			"take it out: config.toml holds [ui] and [keys]; what carries trust is set by kb config set KEY VALUE")
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, _ := wrong.Position()
		return hint.Wrap(fmt.Errorf("read config.toml: line %d: %s", line, plain.Clean(strings.TrimPrefix(wrong.Error(), "toml: "))), "mend that line, or take it out")
	}
	return hint.Wrap(fmt.Errorf("read config.toml: %s", plain.Clean(err.Error())), "mend it, or take it away")
}

// wrongLook names the line of a setting, where it is found by its last word.
func wrongLook(data []byte, name string, err error, fix string) error {
	last := name[strings.LastIndexByte(name, '.')+1:]
	for i, line := range strings.Split(string(data), "\n") {
		key, _, ok := strings.Cut(line, "=")
		key = strings.Trim(strings.TrimSpace(key), `"'`)
		if ok && last != "" && (key == last || strings.HasSuffix(key, "."+last)) {
			return hint.Wrap(fmt.Errorf("read config.toml: line %d: %w", i+1, err), fix)
		}
	}
	return hint.Wrap(fmt.Errorf("read config.toml: %w", err), fix)
}

// lightBackground reads COLORFGBG, in which rxvt and others tell the colours of
// text and background by their numbers: "0;15", "0;default;15".
func lightBackground(s string) bool {
	n, err := strconv.Atoi(s[strings.LastIndexByte(s, ';')+1:])
	return err == nil && (n == 7 || n >= 9 && n <= 15)
}

func (l Looks) theme() draw.ThemeOptions {
	o := draw.ThemeOptions{Light: l.Light, NoColor: l.NoColor, ASCII: l.ASCII, Colors: map[draw.Role]int{}}
	for role, name := range draw.RoleNames {
		if c, ok := l.Colors[name]; ok {
			o.Colors[draw.Role(role)] = c
		}
	}
	return o
}
