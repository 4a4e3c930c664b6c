package providers

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

func TestGlob(t *testing.T) {
	for _, row := range []struct {
		pattern, path string
		want          bool
	}{
		{"/user", "/user", true},
		{"/user", "/user/", false},
		{"/user", "/users", false},
		{"/user", "user", false},
		{"/", "/", true},
		{"/", "/a", false},
		{"/legacy/", "/legacy/", true},
		{"/legacy/", "/legacy", false},
		{"/a/**", "/a", true},
		{"/a/**", "/a/", true},
		{"/a/**", "/a/b/c", true},
		{"/a/**", "/ab", false},
		{"/**", "/", true},
		{"/**/info/refs", "/a/b.git/info/refs", true},
		{"/**/info/refs", "/info/refs", true},
		{"/**/info/refs", "/info/refs/x", false},
		{"/**/info/lfs/**", "/a/b.git/info/lfs/objects/batch", true},
		{"/**/info/lfs/**", "/info/info/lfs", true},
		{"/*/*/info/refs", "/a/b/info/refs", true},
		{"/*/*/info/refs", "/a//info/refs", false},
		{"/*/*/info/refs", "/a/b/c/info/refs", false},
		{"/v*/user/tokens", "/v3/user/tokens", true},
		{"/v*/user/tokens", "/v/user/tokens", true},
		{"/v*/user/tokens", "/w3/user/tokens", false},
		{"/a/*", "/a/..%2Fb", true}, // %2F is no slash: one segment, as the server sees it
		{"/a/*", "/a/b/c", false},
		{"/a*c*e", "/abcde", true},
		{"/a*c*e", "/abde", false},
	} {
		g, err := parseGlob(row.pattern, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.match(row.path); got != row.want {
			t.Errorf("%q on %q = %v", row.pattern, row.path, got)
		}
	}
}

func TestParseGlobRefuses(t *testing.T) {
	for _, pattern := range []string{
		"", "user", "//a", "/a//b", "/a/***", "/a**", "/a/../b", "/./a", "/a?b", "/a#b", "/a b", "/a\nb", "/ä",
		"/{a}", "/a/{b}c", "/[a]", "/a\\b", "/" + strings.Repeat("a/", 40),
	} {
		if pattern == "/[a]" { // a bracket is an ordinary character of a path
			continue
		}
		if _, err := parseGlob(pattern, false); err == nil {
			t.Errorf("took %q", pattern)
		}
	}
	for _, pattern := range []string{"/{A}", "/{}", "/{a%%}", "/{a}/{a}", "/{a**b}", "/x{a}", "/{a}.git"} {
		if _, err := parseGlob(pattern, true); err == nil {
			t.Errorf("took %q", pattern)
		}
	}
}

// matchesLike is a glob by another way, a regular expression.
func matchesLike(pattern, path string) bool {
	var b strings.Builder
	b.WriteString("^")
	for _, part := range strings.Split(pattern[1:], "/") {
		switch part {
		case "**":
			b.WriteString("(/[^/]*)*")
		case "*":
			b.WriteString("/[^/]+")
		default:
			b.WriteString("/" + strings.ReplaceAll(regexp.QuoteMeta(part), `\*`, "[^/]*"))
		}
	}
	b.WriteString("$")
	return regexp.MustCompile(b.String()).MatchString(path)
}

// The walk agrees with a regular expression on short patterns and paths over a
// small alphabet, where wildcards compete.
func TestGlobAgreesWithRegexp(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[random.IntN(len(from))] }
	matched, met := 0, 0
	for range 30000 {
		pattern, other, path := "", "", ""
		for range 1 + random.IntN(4) {
			pattern += "/" + pick([]string{"a", "b", "*", "**", "a*", "*b", "a*b"})
		}
		for range 1 + random.IntN(4) {
			other += "/" + pick([]string{"a", "b", "*", "**", "a*", "*b", "a*b"})
		}
		for range 1 + random.IntN(5) {
			path += "/" + pick([]string{"a", "b", "ab", "aab", "ba"})
		}
		g, err := parseGlob(pattern, false)
		if err != nil {
			t.Fatal(err)
		}
		h, err := parseGlob(other, false)
		if err != nil {
			t.Fatal(err)
		}
		got, want := g.match(path), matchesLike(pattern, path)
		if got != want {
			t.Fatalf("%q on %q = %v, a regular expression says %v", pattern, path, got, want)
		}
		if got {
			matched++
		}
		// Two patterns that share a path overlap, or one credential too many goes out.
		if got && h.match(path) {
			met++
			if !intersect(g, h) || !intersect(h, g) {
				t.Fatalf("%q and %q both take %q, but are said to be apart", pattern, other, path)
			}
		}
	}
	if matched < 1000 || met < 200 {
		t.Errorf("only %d matches and %d meetings: the test says little", matched, met)
	}
}

func TestIntersectKnowsStrangers(t *testing.T) {
	for _, row := range [][2]string{
		{"/rest/**", "/wiki/**"}, {"/a", "/b"}, {"/a/*", "/a/*/c"}, {"/a*", "/b*"}, {"/*a", "/*b"}, {"/**/x", "/**/y"}, {"/a", "/a/"},
	} {
		a, _ := parseGlob(row[0], false)
		b, _ := parseGlob(row[1], false)
		if intersect(a, b) {
			t.Errorf("%q and %q are said to share a path", row[0], row[1])
		}
	}
}
