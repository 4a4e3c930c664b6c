package term

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"github.com/mdp/qrterminal/v3"
)

// maxQR bounds what is drawn, in bytes: past it no terminal has the room, and
// the encoder refuses what has more than 2953.
const maxQR = 512

// qrQuiet is the white border, in modules. The standard (ISO/IEC 18004) asks
// for four; telephones read two, and lines are scarce.
const qrQuiet = 2

// Canvas is what a picture may use of a terminal.
type Canvas struct {
	Width, Height int  // in characters
	Blocks        bool // it shows Unicode's half blocks: the locale is UTF-8
	Colour        bool // it obeys colours (ECMA-48 SGR)
}

// QR draws text as a QR code, with a line break at the end of each line. It is
// empty where it does not fit.
//
// With half blocks a character is two modules, one above the other; without
// them a module is two characters wide, spaces on a white ground or, without
// colours, number signs for white, as on a dark terminal.
func QR(text string, c Canvas) string {
	if text == "" || len(text) > maxQR {
		return ""
	}
	config := qrterminal.Config{Level: qrterminal.L, HalfBlocks: c.Blocks, QuietZone: qrQuiet}
	switch {
	case c.Blocks:
	case c.Colour:
		config.WhiteChar, config.BlackChar = qrterminal.WHITE, qrterminal.BLACK
	default:
		config.WhiteChar, config.BlackChar = "##", "  "
	}
	var drawn bytes.Buffer
	config.Writer = &drawn
	qrterminal.GenerateWithConfig(text, config)
	lines := strings.Split(strings.TrimRight(drawn.String(), "\n"), "\n")
	if len(lines) > c.Height {
		return ""
	}
	var out strings.Builder
	for _, line := range lines {
		if columns(line) > c.Width {
			return ""
		}
		if c.Blocks && c.Colour {
			// White on black, whatever the terminal's own colours are.
			line = "\x1b[97;40m" + line + "\x1b[0m"
		}
		out.WriteString(line + "\n")
	}
	return out.String()
}

// columns is how wide a line of the picture is.
func columns(line string) int {
	for _, colour := range []string{"\x1b[47m", "\x1b[40m", "\x1b[0m"} {
		line = strings.ReplaceAll(line, colour, "")
	}
	return utf8.RuneCountInString(line)
}

// UTF8 reports whether the locale of an environment is one of UTF-8 (POSIX
// locale(7): the first that is set of three counts).
func UTF8(getenv func(string) string) bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(getenv(name)); value != "" {
			return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
		}
	}
	return false
}
