package audit

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"kb/internal/plain"
)

// Limits of a line. They are bounds on what a hostile client can make kb
// store, not on honest use.
const (
	// MaxField: bytes of one text field; what is longer is cut and ends in "…".
	// A path of 4 KiB is past what any API here has; a header block may hold 64 KiB.
	MaxField = 4096
	// maxLine: bytes of a line that a reader accepts. Eleven text fields, each
	// byte escaped to two, and the numbers.
	maxLine = 128 << 10
)

// timeLayout has a fixed width, so that lines of one session sort as text.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// macLen is the length of a MAC as text: 32 bytes in unpadded base64url.
const macLen = 43

// macMember and lineEnd stand around a line's MAC.
const (
	macMember = `,"mac":"`
	lineEnd   = "\"}\n"
	macTail   = len(macMember) + macLen + len(lineEnd)
)

// format is the version of the line format. A reader refuses a newer one.
const format = 1

// header is what the first line of a file has besides its event.
type header struct {
	part int // from 1
	prev MAC // last MAC of the part before; zero for part 1
}

// AppendJSON appends e as one JSON object with the field names of the file,
// without a MAC and without a line break.
func AppendJSON(b []byte, e *Event) []byte {
	return append(appendEvent(b, e, nil), '}')
}

// appendEvent appends e as an open JSON object: without its "}". It is on the
// path of every request: no reflection, no allocation.
func appendEvent(b []byte, e *Event, h *header) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, e.Seq, 10)
	b = append(b, `,"time":"`...)
	b = appendTime(b, e.Time)
	b = append(b, '"')
	if h != nil {
		b = append(b, `,"format":`...)
		b = strconv.AppendInt(b, format, 10)
		if h.part > 1 {
			b = append(b, `,"part":`...)
			b = strconv.AppendInt(b, int64(h.part), 10)
			b = append(b, `,"prev":"`...)
			b = base64.RawURLEncoding.AppendEncode(b, h.prev[:])
			b = append(b, '"')
		}
	}
	b = append(b, `,"session":`...)
	b = appendString(b, e.Session)
	b = appendUint(b, `,"request":`, e.Request)
	b = append(b, `,"phase":`...)
	b = appendString(b, e.Phase)
	b = appendText(b, `,"profile":`, e.Profile)
	b = appendText(b, `,"provider":`, e.Provider)
	b = appendText(b, `,"login":`, e.Login)
	b = appendText(b, `,"action":`, e.Action)
	b = appendText(b, `,"reason":`, e.Reason)
	b = appendText(b, `,"method":`, e.Method)
	b = appendText(b, `,"host":`, e.Host)
	b = appendUint(b, `,"port":`, uint64(e.Port))
	b = appendText(b, `,"path":`, pathOnly(e.Path))
	b = appendInt(b, `,"status":`, int64(e.Status))
	b = appendInt(b, `,"sent":`, e.Sent)
	b = appendInt(b, `,"received":`, e.Received)
	if e.Millis > 0 && !math.IsInf(e.Millis, 1) {
		b = append(b, `,"ms":`...)
		b = strconv.AppendFloat(b, e.Millis, 'f', 3, 64)
	}
	b = appendText(b, `,"error":`, e.Error)
	return appendText(b, `,"detail":`, e.Detail)
}

// appendTime appends t in UTC as timeLayout has it, in a fifth of the time
// that Time.AppendFormat takes to read its layout.
func appendTime(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, timeLayout)
	}
	hour, minute, second := t.Clock()
	b = appendDigits(b, year, 1000)
	b = append(b, '-')
	b = appendDigits(b, int(month), 10)
	b = append(b, '-')
	b = appendDigits(b, day, 10)
	b = append(b, 'T')
	b = appendDigits(b, hour, 10)
	b = append(b, ':')
	b = appendDigits(b, minute, 10)
	b = append(b, ':')
	b = appendDigits(b, second, 10)
	b = append(b, '.')
	b = appendDigits(b, t.Nanosecond()/1000, 100000)
	return append(b, 'Z')
}

// appendDigits appends n with leading zeros; unit is the power of ten of its
// first digit.
func appendDigits(b []byte, n, unit int) []byte {
	for ; unit > 0; unit /= 10 {
		b = append(b, byte('0'+n/unit%10))
	}
	return b
}

func appendUint(b []byte, name string, n uint64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendUint(append(b, name...), n, 10)
}

func appendInt(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(append(b, name...), n, 10)
}

func appendText(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

// appendString appends s as a JSON string, cleaned and bounded.
func appendString(b []byte, s string) []byte {
	cut := len(s) > MaxField
	if cut {
		s = s[:MaxField]
		for range utf8.UTFMax - 1 { // do not leave a part of a character
			if r, n := utf8.DecodeLastRuneInString(s); r != utf8.RuneError || n != 1 {
				break
			}
			s = s[:len(s)-1]
		}
	}
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < 0x7f {
			if c == '"' || c == '\\' {
				b = append(append(b, s[start:i]...), '\\', c)
				start = i + 1
			}
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		if plain.Unsafe(r) || r == utf8.RuneError && n == 1 {
			b = utf8.AppendRune(append(b, s[start:i]...), plain.Mark)
			start = i + n
		}
		i += n
	}
	b = append(b, s[start:]...)
	if cut {
		b = append(b, "…"...)
	}
	return append(b, '"')
}

// pathOnly drops a query, which may hold a secret, should a caller have left
// one on.
func pathOnly(p string) string {
	for i := 0; i < len(p); i++ {
		if p[i] == '?' || p[i] == '#' {
			return p[:i]
		}
	}
	return p
}
