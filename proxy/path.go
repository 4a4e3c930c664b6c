package proxy

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// ErrAmbiguousPath says that servers disagree about what a path names, so
// that no rule can be held against it.
var ErrAmbiguousPath = errors.New("the path can be read in more than one way")

// NormalPath returns the form of a path that rules are to be held against, or
// ErrAmbiguousPath. Whoever judged it must have it forwarded, as
// [Injection.Path], so that the upstream gets the bytes that were judged.
//
// Percent triplets of unreserved characters are decoded and the others put in
// upper case (RFC 3986 §6.2.2); nothing else changes. An encoded slash stays
// "%2F" and is part of its segment, because APIs take it so (GitLab's
// /api/v4/projects/acme%2Fapi). Who judges a path has to think of the other
// reading too.
//
// Refused, as sent or percent-encoded: dot segments ("..", ".", also with
// parameters, "..;x"), empty segments but for a final "/", backslashes, NUL and
// other control characters, bytes outside ASCII that are not UTF-8, and triplets
// that decode to such a thing a second time ("%252e%252e"). An encoded slash is
// read as a slash for all of these: "/ok/..%2fadmin" is refused.
func NormalPath(raw string) (string, error) {
	if raw == "*" {
		return raw, nil
	}
	if raw == "" || raw[0] != '/' || checkTarget(raw) != nil || strings.IndexByte(raw, '?') >= 0 {
		return "", ErrAmbiguousPath
	}
	if strings.IndexByte(raw, '\\') >= 0 {
		return "", ErrAmbiguousPath
	}
	if strings.IndexByte(raw, '%') < 0 {
		if !plainSegments(raw) {
			return "", ErrAmbiguousPath
		}
		return raw, nil
	}
	var b strings.Builder
	b.Grow(len(raw))
	decoded := make([]byte, 0, len(raw)) // every triplet decoded once
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '%' {
			b.WriteByte(c)
			decoded = append(decoded, c)
			continue
		}
		v := unhex(raw[i+1])<<4 | unhex(raw[i+2])
		i += 2
		decoded = append(decoded, v)
		switch {
		case v < ' ' || v == 0x7f || v == '\\':
			return "", ErrAmbiguousPath
		case unreserved(v):
			b.WriteByte(v)
		default:
			const upper = "0123456789ABCDEF"
			b.WriteByte('%')
			b.WriteByte(upper[v>>4])
			b.WriteByte(upper[v&15])
		}
	}
	if !plainSegments(string(decoded)) || !utf8.Valid(decoded) || encodedTwice(string(decoded)) {
		return "", ErrAmbiguousPath
	}
	normal := b.String()
	if !plainSegments(normal) {
		return "", ErrAmbiguousPath
	}
	return normal, nil
}

// plainSegments reports whether a path has no dot segments and no empty ones
// but the last.
func plainSegments(path string) bool {
	rest := path[1:]
	for {
		segment, after, more := strings.Cut(rest, "/")
		if segment == "" && more {
			return false
		}
		name, _, _ := strings.Cut(segment, ";") // Java's servers drop parameters first
		if name == "." || name == ".." {
			return false
		}
		if !more {
			return true
		}
		rest = after
	}
}

// encodedTwice reports whether decoding once left a triplet that matters: a
// server that decodes twice would see a dot, a slash, a backslash, a percent
// sign or a control character.
func encodedTwice(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 || i+2 >= len(s) {
			return false
		}
		if isHex(s[i+1]) && isHex(s[i+2]) {
			switch v := unhex(s[i+1])<<4 | unhex(s[i+2]); {
			case v == '.', v == '/', v == '\\', v == '%', v < ' ', v == 0x7f:
				return true
			}
		}
		s = s[i+1:]
	}
}

func unreserved(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
