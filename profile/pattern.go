package profile

import (
	"errors"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// isWildcard reports whether c is not just itself in a pattern.
func isWildcard(c byte) bool {
	return c == '*' || c == '?' || c == '[' || c == '\\' || c == '{'
}

// literalLen is how many bytes of pattern come before its first wildcard.
func literalLen(pattern string) int {
	for i := range len(pattern) {
		if isWildcard(pattern[i]) {
			return i
		}
	}
	return len(pattern)
}

// weight is how telling a pattern is: first by the characters that it fixes,
// then by fewer **.
type weight struct{ literal, stars int }

func weigh(pattern string) weight {
	var w weight
	// a/** covers a too, but a says more of it.
	if short, ok := strings.CutSuffix(pattern, "/**"); ok {
		pattern, w.stars = short, 1
	}
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; c {
		case '*':
			if strings.HasPrefix(pattern[i:], "**") {
				w.stars++
				i++
			}
		case '?':
		case '[':
			if end := strings.IndexByte(pattern[i+1:], ']'); end >= 0 {
				i += 1 + end
			}
		case '\\':
			i++
			w.literal++
		default:
			if c&0xC0 != 0x80 { // not the rest of a UTF-8 sequence
				w.literal++
			}
		}
	}
	return w
}

func (w weight) compare(v weight) int {
	if w.literal != v.literal {
		return w.literal - v.literal
	}
	return v.stars - w.stars
}

// MatchRemote reports whether a repository's normal form fits a pattern as
// rules have for remotes.
func MatchRemote(pattern, normal string) bool { return matchRemote(pattern, FoldRemote(normal)) }

// CheckRemotePattern says what is wrong with such a pattern.
func CheckRemotePattern(pattern string) error {
	if why := badRemotePattern(pattern); why != "" {
		return errors.New(why)
	}
	return nil
}

// matchRemote holds a remote pattern against a normal form. It allocates
// nothing where the two part before the first wildcard.
func matchRemote(pattern, normal string) bool {
	slash := strings.IndexByte(normal, '/')
	if slash < 0 {
		return false
	}
	fold := foldsCase(normal[:slash])
	for i := range len(pattern) {
		p := pattern[i]
		if isWildcard(p) {
			if fold {
				pattern, normal = strings.ToLower(pattern), strings.ToLower(normal)
			}
			// The host is one segment: no ** of a pattern reaches over it,
			// since ValidateRule wants a host before the first slash.
			return doublestar.MatchUnvalidated(pattern[i:], normal[i:])
		}
		if i >= len(normal) {
			// a/** covers a itself
			return pattern[i:] == "/**"
		}
		n := normal[i]
		if p != n && (!fold && i > slash || lower(p) != lower(n)) {
			return false
		}
	}
	return len(pattern) == len(normal)
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}
