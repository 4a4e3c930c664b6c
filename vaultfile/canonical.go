package vaultfile

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// Canonical JSON as in RFC 8785, less what a vault has no use for: numbers are
// integers of magnitude below 2^53, and keys hold no character that would need
// an escape. The scanner accepts only canonical bytes, in one pass and without
// building a tree: what it accepts can be copied to the output as it is.

// maxInt is the largest integer in a payload: 2^53-1, the largest that every
// JSON reader holds exactly (RFC 8785, section 3.2.2.3).
const maxInt = 1<<53 - 1

// maxDepth bounds nesting. The deepest value of format 1 is a login's secret,
// at 3 below the record's value.
const maxDepth = 16

// Classes of the bytes of a string.
const (
	plain   = iota
	stop    // the quote that ends it
	escape  // a backslash
	control // must be escaped
	multi   // part of a UTF-8 sequence
)

var class = func() (t [256]byte) {
	for i := range t {
		switch {
		case i == '"':
			t[i] = stop
		case i == '\\':
			t[i] = escape
		case i < 0x20:
			t[i] = control
		case i >= 0x80:
			t[i] = multi
		}
	}
	return t
}()

type scanner struct {
	b   []byte
	i   int
	err *FormatError // the first one
}

// fail records what is wrong at the current byte, and returns false.
func (s *scanner) fail(kind error, what string) bool {
	if s.err == nil {
		s.err = &FormatError{Kind: kind, Offset: s.i, What: what}
	}
	return false
}

// unexpected tells JSON that is merely not canonical from what is no JSON.
func (s *scanner) unexpected(what string) bool {
	if s.i < len(s.b) {
		switch s.b[s.i] {
		case ' ', '\t', '\n', '\r':
			return s.fail(ErrNonCanonical, "white space")
		}
	}
	return s.fail(ErrMalformed, what)
}

func (s *scanner) peek() byte {
	if s.i < len(s.b) {
		return s.b[s.i]
	}
	return 0
}

// lit takes exactly the bytes of w.
func (s *scanner) lit(w string) bool {
	if len(s.b)-s.i < len(w) || string(s.b[s.i:s.i+len(w)]) != w {
		return s.unexpected("expected " + strconv.Quote(w))
	}
	s.i += len(w)
	return true
}

// str takes a string and returns what is between its quotes, with escapes.
func (s *scanner) str() (raw []byte, escaped, ok bool) {
	if s.peek() != '"' {
		return nil, false, s.unexpected("expected a string")
	}
	s.i++
	start, nonASCII := s.i, false
	for {
		for s.i < len(s.b) && class[s.b[s.i]] == plain {
			s.i++
		}
		if s.i >= len(s.b) {
			return nil, false, s.fail(ErrMalformed, "unterminated string")
		}
		switch class[s.b[s.i]] {
		case stop:
			raw = s.b[start:s.i]
			if nonASCII && !utf8.Valid(raw) {
				return nil, false, s.fail(ErrMalformed, "invalid UTF-8")
			}
			s.i++
			return raw, escaped, true
		case multi:
			nonASCII = true
			s.i++
		case escape:
			escaped = true
			if !s.escape() {
				return nil, false, false
			}
		default:
			return nil, false, s.fail(ErrMalformed, "control character in a string")
		}
	}
}

// escape takes one escape sequence, if it is the shortest for its character.
func (s *scanner) escape() bool {
	rest := s.b[s.i:]
	if len(rest) < 2 {
		return s.fail(ErrMalformed, "unterminated string")
	}
	switch rest[1] {
	case '"', '\\', 'b', 't', 'n', 'f', 'r':
		s.i += 2
		return true
	case '/':
		return s.fail(ErrNonCanonical, "needless escape")
	case 'u':
	default:
		return s.fail(ErrMalformed, "unknown escape")
	}
	if len(rest) < 6 {
		return s.fail(ErrMalformed, "unterminated string")
	}
	v, err := strconv.ParseUint(string(rest[2:6]), 16, 16)
	if err != nil {
		return s.fail(ErrMalformed, "bad escape")
	}
	var canonical [6]byte
	if v >= 0x20 || !bytes.Equal(appendControl(canonical[:0], byte(v)), rest[:6]) {
		return s.fail(ErrNonCanonical, "needless escape")
	}
	s.i += 6
	return true
}

// text takes a string and returns its value.
func (s *scanner) text() (string, bool) {
	raw, escaped, ok := s.str()
	if !ok {
		return "", false
	}
	if !escaped {
		return string(raw), true
	}
	return unescape(raw), true
}

// unescape decodes what str accepted.
func unescape(raw []byte) string {
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		switch raw[i] {
		case 'b':
			out = append(out, '\b')
		case 't':
			out = append(out, '\t')
		case 'n':
			out = append(out, '\n')
		case 'f':
			out = append(out, '\f')
		case 'r':
			out = append(out, '\r')
		case 'u':
			v, _ := strconv.ParseUint(string(raw[i+1:i+5]), 16, 8) // escape checked it
			out = append(out, byte(v))
			i += 4
		default:
			out = append(out, raw[i])
		}
	}
	return string(out)
}

// integer takes an integer of magnitude below 2^53.
func (s *scanner) integer() (int64, bool) {
	start := s.i
	if s.peek() == '-' {
		s.i++
	}
	digits := s.i
	var v int64
	for s.i < len(s.b) && s.b[s.i] >= '0' && s.b[s.i] <= '9' {
		v = v*10 + int64(s.b[s.i]-'0')
		if v > maxInt {
			return 0, s.fail(ErrMalformed, "number of 2^53 or more")
		}
		s.i++
	}
	switch n := s.i - digits; {
	case n == 0:
		return 0, s.unexpected("expected an integer")
	case n > 1 && s.b[digits] == '0':
		return 0, s.fail(ErrMalformed, "number with a leading zero")
	case digits > start && v == 0:
		return 0, s.fail(ErrNonCanonical, "negative zero")
	}
	switch s.peek() {
	case '.', 'e', 'E':
		return 0, s.fail(ErrMalformed, "number that is not an integer")
	}
	if digits > start {
		v = -v
	}
	return v, true
}

// boolean takes true or false.
func (s *scanner) boolean() (v, ok bool) {
	if s.peek() == 't' {
		return true, s.lit("true")
	}
	return false, s.lit("false")
}

// list takes an array, calling elem at each element.
func (s *scanner) list(elem func() bool) bool {
	if !s.lit("[") {
		return false
	}
	if s.peek() == ']' {
		s.i++
		return true
	}
	for {
		if !elem() {
			return false
		}
		switch s.peek() {
		case ',':
			s.i++
		case ']':
			s.i++
			return true
		default:
			return s.unexpected("expected a comma or the end of an array")
		}
	}
}

// object takes an object with keys in order, calling member at each value.
func (s *scanner) object(member func(key []byte) bool) bool {
	if !s.lit("{") {
		return false
	}
	if s.peek() == '}' {
		s.i++
		return true
	}
	var last []byte
	for {
		at := s.i
		key, escaped, ok := s.str()
		if !ok {
			return false
		}
		if escaped || len(key) == 0 {
			s.i = at
			return s.fail(ErrMalformed, "key that is empty or needs an escape")
		}
		if last != nil && !keyLess(last, key) {
			s.i = at
			if bytes.Equal(last, key) {
				return s.fail(ErrMalformed, "duplicate key")
			}
			return s.fail(ErrNonCanonical, "keys out of order")
		}
		last = key
		if !s.lit(":") || !member(key) {
			return false
		}
		switch s.peek() {
		case ',':
			s.i++
		case '}':
			s.i++
			return true
		default:
			return s.unexpected("expected a comma or the end of an object")
		}
	}
}

// skip takes any value and returns its bytes.
func (s *scanner) skip(depth int) ([]byte, bool) {
	if depth > maxDepth {
		return nil, s.fail(ErrMalformed, "nesting too deep")
	}
	start, ok := s.i, false
	switch s.peek() {
	case '"':
		_, _, ok = s.str()
	case '{':
		ok = s.object(func([]byte) bool { _, ok := s.skip(depth + 1); return ok })
	case '[':
		ok = s.list(func() bool { _, ok := s.skip(depth + 1); return ok })
	case 't', 'f':
		_, ok = s.boolean()
	case 'n':
		ok = s.lit("null")
	default:
		_, ok = s.integer()
	}
	return s.b[start:s.i], ok
}

// keyLess orders keys by their UTF-16 code units, as RFC 8785 (section 3.2.3)
// wants. That is the order of their bytes, but that what UTF-16 writes as
// surrogates (UTF-8 lead bytes from F0) sorts before U+E000 to U+FFFF (lead
// bytes EE and EF).
func keyLess[T ~string | ~[]byte](a, b T) bool {
	for i := 0; i < len(a) && i < len(b); i++ {
		if a[i] == b[i] {
			continue
		}
		if a[i] >= 0xEE && b[i] >= 0xEE && (a[i] >= 0xF0) != (b[i] >= 0xF0) {
			return a[i] >= 0xF0
		}
		return a[i] < b[i]
	}
	return len(a) < len(b)
}

// appendString writes s, which must be valid UTF-8, with the fewest escapes.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; class[c] {
		case stop, escape:
			b = append(b, '\\', c)
		case control:
			b = appendControl(b, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}

func appendControl(b []byte, c byte) []byte {
	const short = "btn\x00fr" // 0x08 to 0x0d; 0x0b has no short form
	if c >= 0x08 && c <= 0x0d && c != 0x0b {
		return append(b, '\\', short[c-0x08])
	}
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}

func appendInt(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }
