package providers

import (
	"errors"
	"fmt"
	"strings"
)

// glob is a parsed path pattern: segments between slashes.
//
//	literal   that segment
//	a*b       "*" stands for any characters of one segment, also for none;
//	          alone in its segment, for one character at least
//	**        any number of segments, also none
//	{name}    one segment, captured; its decoded form must hold no slash
//	{name%}   one segment, captured, with %2F in it that are part of the value
//	{name**}  one segment or more, captured
//
// Matching goes over the normalised path as a request carries it, so "%2F" is
// not a slash.
type glob []segment

type segment struct {
	kind segmentKind
	text string // literal or wildcard text, or the capture's name
}

type segmentKind uint8

const (
	segLiteral segmentKind = iota
	segWild                // holds "*"
	segAny                 // "**"
	segName                // {name}
	segCoded               // {name%}
	segSpan                // {name**}
)

// maxSegments bounds a pattern; no vendor's API path comes near it.
const maxSegments = 32

// parseGlob reads a pattern. Captures are read only where allowed.
func parseGlob(pattern string, captures bool) (glob, error) {
	rest, ok := strings.CutPrefix(pattern, "/")
	if !ok {
		return nil, fmt.Errorf("read path %q: it must start with a slash", pattern)
	}
	parts := strings.Split(rest, "/")
	if len(parts) > maxSegments {
		return nil, fmt.Errorf("read path %q: more than %d segments", pattern, maxSegments)
	}
	g := make(glob, 0, len(parts))
	seen := map[string]bool{}
	for i, part := range parts {
		seg, err := parseSegment(part, i == len(parts)-1)
		if err != nil {
			return nil, fmt.Errorf("read path %q: %w", pattern, err)
		}
		if seg.kind >= segName {
			if !captures {
				return nil, fmt.Errorf("read path %q: %q stands only in a repository's path; write *", pattern, part)
			}
			if seen[seg.text] {
				return nil, fmt.Errorf("read path %q: %q stands twice", pattern, part)
			}
			seen[seg.text] = true
		}
		g = append(g, seg)
	}
	return g, nil
}

func parseSegment(part string, last bool) (segment, error) {
	switch {
	case part == "**":
		return segment{kind: segAny}, nil
	case strings.Contains(part, "**") && !strings.HasPrefix(part, "{"):
		return segment{}, fmt.Errorf("%q: ** stands alone between slashes", part)
	case part == "" && !last:
		return segment{}, errors.New("empty segment")
	case part == "." || part == "..":
		return segment{}, fmt.Errorf("%q: a normalised path has no such segment", part)
	}
	if inner, ok := strings.CutPrefix(part, "{"); ok {
		inner, ok = strings.CutSuffix(inner, "}")
		kind := segName
		if name, is := strings.CutSuffix(inner, "**"); is {
			kind, inner = segSpan, name
		} else if name, is := strings.CutSuffix(inner, "%"); is {
			kind, inner = segCoded, name
		}
		if !ok || !isFieldName(inner) {
			return segment{}, fmt.Errorf("%q: a capture is a whole segment, {name}, {name%%} or {name**}", part)
		}
		return segment{kind: kind, text: inner}, nil
	}
	for i := range len(part) {
		if c := part[i]; c <= ' ' || c >= 0x7f || strings.IndexByte(`?#{}\"<>^|`, c) >= 0 {
			return segment{}, fmt.Errorf("character %q in %q cannot stand in a path", c, part)
		}
	}
	if strings.Contains(part, "*") {
		return segment{kind: segWild, text: part}, nil
	}
	return segment{kind: segLiteral, text: part}, nil
}

// isFieldName: lower-case letters, digits and underscores, a letter first.
func isFieldName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '_') {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// spans says which bytes of the path each segment of a glob took; one more than
// a pattern may have, for the "**" that a secret path ends with.
type spans [maxSegments + 1][2]int

// match reports whether the path fits. It does not allocate.
func (g glob) match(path string) bool {
	var at spans
	return g.walk(path, false, &at)
}

// matchFold is match for rules whose miss would let something through: it
// ignores ASCII case, a trailing slash and a ".json" at the end, as some servers
// do.
func (g glob) matchFold(path string) bool {
	for len(path) > 1 && strings.HasSuffix(path, "/") {
		path = path[:len(path)-1]
	}
	var at spans
	return g.walk(trimFold(path, ".json"), true, &at)
}

// walk is the classic match with one point to return to: on a mismatch the last
// multi-segment wildcard grows by a segment, so the cost is at most segments of
// the path × segments of the pattern.
func (g glob) walk(path string, fold bool, at *spans) bool {
	if !strings.HasPrefix(path, "/") {
		return false
	}
	gi, pi := 0, 1 // pi is the start of a segment, len(path)+1 when there is none left
	star, grown := -1, 0
	for gi < len(g) || pi <= len(path) {
		if gi < len(g) {
			seg := g[gi]
			switch {
			case seg.kind == segAny:
				star, grown = gi, pi
				at[gi] = [2]int{pi, pi}
				gi++
				continue
			case seg.kind == segSpan && pi <= len(path):
				star, grown = gi, next(path, pi)
				at[gi] = [2]int{pi, grown - 1}
				gi, pi = gi+1, grown
				continue
			case pi <= len(path):
				end := next(path, pi)
				if seg.matches(path[pi:end-1], fold) {
					at[gi] = [2]int{pi, end - 1}
					gi, pi = gi+1, end
					continue
				}
			}
		}
		if star < 0 || grown > len(path) {
			return false
		}
		grown = next(path, grown)
		at[star][1] = grown - 1
		gi, pi = star+1, grown
	}
	return true
}

// next is the start of the segment after the one at i.
func next(path string, i int) int {
	if n := strings.IndexByte(path[i:], '/'); n >= 0 {
		return i + n + 1
	}
	return len(path) + 1
}

func trimFold(s, suffix string) string {
	if n := len(s) - len(suffix); n > 0 && strings.EqualFold(s[n:], suffix) {
		return s[:n]
	}
	return s
}

func (s segment) matches(part string, fold bool) bool {
	switch s.kind {
	case segLiteral:
		return part == s.text || fold && strings.EqualFold(part, trimFold(s.text, ".json"))
	case segWild:
		if s.text == "*" {
			return part != ""
		}
		if fold {
			return wild(strings.ToLower(s.text), strings.ToLower(part))
		}
		return wild(s.text, part)
	default:
		return part != ""
	}
}

// wild matches "*" against any run of characters.
func wild(pattern, s string) bool {
	pi, si, star, mark := 0, 0, -1, 0
	for si < len(s) {
		switch {
		case pi < len(pattern) && pattern[pi] == '*':
			star, mark = pi, si
			pi++
		case pi < len(pattern) && pattern[pi] == s[si]:
			pi, si = pi+1, si+1
		case star >= 0:
			mark++
			pi, si = star+1, mark
		default:
			return false
		}
	}
	for pi < len(pattern) && pattern[pi] == '*' {
		pi++
	}
	return pi == len(pattern)
}
