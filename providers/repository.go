package providers

import (
	"net/url"
	"strings"
)

// Match returns the normal form of the remote that a normalised path is about:
// host, slash, path, without ".git". The case of the path stays; whoever
// compares folds it where the host does (profile does).
//
// Captures are decoded once. A {name} whose decoded form holds a slash, a
// {name%} whose does not (GitLab's numeric ids), and any capture that is empty,
// "." or ".." or holds a control character, name no repository: ok is false.
func (r *Repository) Match(path string) (remote string, ok bool) {
	g := r.path
	if g == nil {
		parsed, err := parseGlob(r.Path, true)
		if err != nil {
			return "", false
		}
		g = parsed
	}
	var at spans
	if !g.walk(path, false, &at) {
		return "", false
	}
	remote = r.Is
	for i, seg := range g {
		if seg.kind < segName {
			continue
		}
		value, ok := decodeCapture(path[at[i][0]:at[i][1]], seg.kind)
		if !ok {
			return "", false
		}
		remote = strings.Replace(remote, "{"+seg.text+"}", value, 1)
	}
	return strings.TrimSuffix(remote, ".git"), true
}

func decodeCapture(raw string, kind segmentKind) (string, bool) {
	value, err := url.PathUnescape(raw)
	if err != nil || kind != segSpan && (kind == segCoded) != strings.Contains(value, "/") {
		return "", false
	}
	if kind == segSpan && strings.Count(value, "/") != strings.Count(raw, "/") {
		return "", false
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(value, ".git"), "/") {
		if part == "" || part == "." || part == ".." {
			return "", false
		}
	}
	for i := range len(value) {
		// Braces would be read as a further capture of the template.
		if c := value[i]; c < 0x20 || c == 0x7f || c == '{' || c == '}' {
			return "", false
		}
	}
	return value, true
}

// Remote returns the remote that a path is about by the first of the rule's
// repository patterns that fits.
func (in *Inject) Remote(path string) (remote string, ok bool) {
	for i := range in.Repository {
		if remote, ok := in.Repository[i].Match(path); ok {
			return remote, true
		}
	}
	return "", false
}

// GitService says which git service a request is for: "git-upload-pack" (clone
// and fetch), "git-receive-pack" (push) or "" when it is not git's smart
// protocol. Path is normalised, query raw. A push and a clone discover at one
// path, so policy must ask this before it calls a GET a read (git's
// Documentation/gitprotocol-http.txt).
func GitService(path, query string) string {
	const up, receive = "git-upload-pack", "git-receive-pack"
	switch {
	case strings.HasSuffix(path, "/"+receive):
		return receive
	case strings.HasSuffix(path, "/"+up):
		return up
	case !strings.HasSuffix(path, "/info/refs"):
		return ""
	}
	service := ""
	for pair := range strings.FieldsFuncSeq(query, func(r rune) bool { return r == '&' || r == ';' }) {
		key, value, _ := strings.Cut(pair, "=")
		if key, err := url.QueryUnescape(key); err != nil || key != "service" {
			continue
		}
		value, err := url.QueryUnescape(value)
		switch {
		case err != nil:
		case value == receive: // whichever of two the server reads, the stricter one counts
			return receive
		case value == up:
			service = up
		}
	}
	return service
}
