// Package plain makes untrusted text safe to show: on a terminal, in a log
// line, in a question that a person must answer.
//
// Host names, paths, agent names and providers' error messages are written by
// others. A terminal obeys the control characters in them (ECMA-48), and a
// bidirectional override (Unicode Standard Annex #9) shows a reader another
// order than the bytes have: `evil.example` can be made to look like a
// different host. [Clean] puts [Mark] where such a character stood, so that a
// reader sees that something was there, and leaves every other character
// alone.
//
// # What it leaves out
//
// Look-alike letters of other scripts stay: hosts are shown as A-labels by
// whoever canonicalised them. Nothing is quoted; that is the encoder's part.
package plain

import (
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Mark stands for each removed character and each byte that is not UTF-8.
const Mark = '\uFFFD'

// Clean returns s with each unsafe character (see [Unsafe]) and each byte that
// is no UTF-8 replaced by [Mark]. Line breaks and tabs count as unsafe. Text
// that is safe already, nearly all there is, is returned as it stands.
func Clean(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x7f {
			return cleanFrom(s, i)
		}
	}
	return s
}

// cleanFrom cleans s, whose first i bytes are printable ASCII.
func cleanFrom(s string, i int) string {
	out := append(make([]byte, 0, len(s)+8), s[:i]...)
	changed := false
	for _, r := range s[i:] {
		if Unsafe(r) {
			r, changed = Mark, true
		}
		out = utf8.AppendRune(out, r)
	}
	if !changed && len(out) == len(s) && string(out) == s {
		return s
	}
	return string(out)
}

// JSON returns a JSON text with each unsafe character written as \uXXXX, but for
// the line breaks between its parts: to who reads it as JSON it says the same, and
// a terminal that it is printed on has nothing to obey. encoding/json leaves DEL,
// C1 controls and bidirectional overrides as they are.
func JSON(text []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(text); {
		r, n := rune(text[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRune(text[i:])
		}
		if r >= 0x7f && Unsafe(r) {
			out = append(out, text[done:i]...)
			if high, low := utf16.EncodeRune(r); high != utf8.RuneError {
				out = fmt.Appendf(out, "\\u%04x\\u%04x", high, low)
			} else {
				out = fmt.Appendf(out, "\\u%04x", r)
			}
			done = i + n
		}
		i += n
	}
	if done == 0 {
		return text
	}
	return append(out, text[done:]...)
}

// Unsafe reports whether a terminal would obey r, or a reader not see it:
// C0 and C1 controls with ESC and DEL, bidirectional controls, line and
// paragraph separators, zero-width spaces, and the tag characters
// (U+E0000–U+E007F), which are invisible to people and legible to models. The
// zero-width joiners are kept: scripts and emoji need them.
func Unsafe(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r < 0x061c:
		return false
	case r == 0x061c, // Arabic letter mark
		r == 0x200b, r == 0x2060, r == 0xfeff, // zero-width spaces
		r == 0x200e, r == 0x200f, // left-to-right and right-to-left marks
		r >= 0x2028 && r <= 0x202e, // separators, embeddings, overrides
		r >= 0x2066 && r <= 0x2069, // isolates
		r >= 0xe0000 && r <= 0xe007f:
		return true
	}
	return false
}
