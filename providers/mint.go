package providers

import (
	"net/url"
	slashpath "path"
	"strings"
)

// LenientPath is the reading of a normalised path by a server that takes "%2F"
// for a slash and drops what follows a ";" in a segment. A rule that denies is
// held against both readings.
func LenientPath(path string) string {
	if !strings.Contains(path, "%2F") && !strings.Contains(path, "%3B") && strings.IndexByte(path, ';') < 0 {
		return path
	}
	segments := strings.Split(strings.NewReplacer("%2F", "/", "%3B", ";").Replace(path), "/")
	for i, segment := range segments {
		segments[i], _, _ = strings.Cut(segment, ";")
	}
	return strings.Join(segments, "/")
}

// MintFor returns the rule that says a request returns a credential. Case, a
// trailing slash, a ".json" suffix, "%2F" for a slash and parameters behind ";"
// do not hide a path, as they do not from some servers.
func (p *Provider) MintFor(host string, port uint16, method, path string) (m *Mint, ok bool) {
	lenient := LenientPath(path)
	for i := range p.Mints {
		m := &p.Mints[i]
		if m.path == nil { // made by hand, not by Parse
			own := *m
			if own.prepare() != nil {
				continue
			}
			m = &own
		}
		if m.Method != "" && !strings.EqualFold(m.Method, method) {
			continue
		}
		for _, h := range m.hosts {
			if !h.match(host, port) {
				continue
			}
			if m.path.matchFold(path) || m.path.matchFold(lenient) {
				return m, true
			}
		}
	}
	return nil, false
}

func (m *Mint) prepare() error {
	hosts := make([]hostPattern, 0, len(m.Hosts))
	for _, h := range m.Hosts {
		if strings.Contains(h, hostVar) { // fits nothing until ForBase
			continue
		}
		parsed, err := parseHost(h)
		if err != nil {
			return err
		}
		hosts = append(hosts, parsed)
	}
	// matchFold takes the slash at the end from the path, so it goes here too.
	g, err := parseGlob("/"+strings.Trim(m.Path, "/"), false)
	if err != nil {
		return err
	}
	m.hosts, m.path = hosts, g
	return nil
}

// RedactPath returns the path with the secret parts that the provider names
// shown as "*", for the audit: in the paths that SecretPaths match, in whatever
// case, and in all below them. Any other path comes back as it is.
//
// The path may be as the client sent it. One that is dressed up (percent-encoded
// letters, doubled slashes, dot segments) comes back undressed when it holds a
// secret.
func (p *Provider) RedactPath(path string) string {
	if shown, ok := p.redact(path); ok {
		return shown
	}
	if strings.Contains(path, "%") || strings.Contains(path, "//") || strings.Contains(path, "/.") {
		if plain, err := url.PathUnescape(path); err == nil {
			if shown, ok := p.redact(slashpath.Clean(plain)); ok {
				return shown
			}
		}
	}
	return path
}

func (p *Provider) redact(path string) (shown string, ok bool) {
	for _, g := range p.secret {
		var at spans
		if !g.walk(path, true, &at) {
			continue
		}
		var b strings.Builder
		done := 0
		for i, seg := range g {
			if seg.kind == segWild {
				b.WriteString(path[done:at[i][0]])
				b.WriteString(seg.text)
				done = at[i][1]
			}
		}
		return b.String() + path[done:], true
	}
	return "", false
}
