package providers

import (
	"net/url"
	"slices"
	"strings"
)

// PathPattern is a path glob of others than definitions, such as a policy
// line: "/repos/acme/*", "/v1/**".
type PathPattern struct {
	sent, sentBare       glob // Bare: without the slash at the end, which matchFold takes from a path
	decoded, decodedBare glob // with what its percent triplets stand for
}

// ParsePath reads a pattern.
func ParsePath(pattern string) (*PathPattern, error) {
	var p PathPattern
	for _, g := range []struct {
		to      *glob
		pattern string
		decode  bool
	}{
		{&p.sent, pattern, false},
		{&p.sentBare, "/" + strings.Trim(pattern, "/"), false},
		{&p.decoded, upperSlash.Replace(pattern), true},
		{&p.decodedBare, "/" + strings.Trim(upperSlash.Replace(pattern), "/"), true},
	} {
		parsed, err := parseGlob(g.pattern, false)
		if err != nil {
			return nil, err
		}
		for i := range parsed {
			if text, err := url.PathUnescape(parsed[i].text); err == nil && g.decode {
				parsed[i].text = text
			}
		}
		*g.to = parsed
	}
	return &p, nil
}

var upperSlash = strings.NewReplacer("%2F", "/", "%2f", "/")

// Match reports whether a path fits: a normalised one, or, where decoded says
// so, one that [DecodedPath] gave. With fold ASCII case does not matter, nor a
// slash at the end nor a ".json": for whatever restricts.
func (p *PathPattern) Match(path string, decoded, fold bool) bool {
	g, bare := p.sent, p.sentBare
	if decoded {
		g, bare = p.decoded, p.decodedBare
	}
	return g.match(path) || fold && bare.matchFold(path)
}

// DecodedPath is the reading of a normalised path by a server that decodes it
// before it looks for the slashes, and drops what follows a ";" in a segment.
func DecodedPath(path string) string {
	path = LenientPath(path)
	if strings.IndexByte(path, '%') < 0 {
		return path
	}
	if plain, err := url.PathUnescape(path); err == nil {
		return plain
	}
	return path
}

// GitRequest says what git's own request is that a path, a query and the
// methods it may be read with make, to a server that may be lenient about
// paths: one that reads, or one that writes. Both are true where its body would
// tell: git-lfs asks for downloads and uploads at one path
// (https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md). Neither is:
// it is no request of git's own.
func GitRequest(methods []string, path, query string) (reads, writes bool) {
	changes := slices.ContainsFunc(methods, func(m string) bool { return m != "GET" && m != "HEAD" })
	for _, reading := range [...]string{path, DecodedPath(path)} {
		reading = strings.TrimRight(strings.ToLower(reading), "/")
		switch service := GitService(reading, query); {
		case service == "git-receive-pack":
			writes = true
		case service != "" || strings.HasSuffix(reading, "/info/refs"):
			reads = true // without a service it is the dumb protocol, which only reads
		}
		if _, what, lfs := strings.Cut(reading, "/info/lfs/"); lfs {
			reads = reads || !changes || what == "objects/batch"
			writes = writes || changes
		}
	}
	return reads, writes
}
