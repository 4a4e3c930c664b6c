package providers

import (
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"

	"kb/internal/secret"
)

// What Parse takes passes the checks again, has no lint error, and can be used:
// based, compiled and matched.
func FuzzParse(f *testing.F) {
	for _, name := range shipped(f) {
		f.Add(shippedText(f, name))
	}
	f.Add([]byte(sound))
	f.Add([]byte(granting))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := Parse(text)
		findings := Lint(text)
		wrong := 0
		for _, finding := range findings {
			if finding.Severity == Error {
				wrong++
			}
			if finding.Line < 0 || finding.Line > 1+strings.Count(string(text), "\n") {
				t.Errorf("finding on line %d", finding.Line)
			}
		}
		if (err == nil) != (wrong == 0) {
			t.Fatalf("Parse says %v, Lint %v", err, findings)
		}
		if err != nil {
			return
		}
		if again := p.check(); len(again) > 0 {
			t.Fatalf("taken, but %v", again)
		}
		base := ""
		if p.NeedsBase() {
			base = p.Base.Example
		}
		based, err := p.ForBase(base)
		if err != nil {
			t.Fatalf("cannot be based: %v", err)
		}
		for _, m := range based.Login.Methods() {
			fields := map[string]secret.Value{}
			for _, field := range m.Values() {
				fields[field.Name] = secret.New("kb-canary")
			}
			c, err := based.Compile(m.Name, fields)
			if err != nil {
				t.Fatalf("cannot be compiled: %v", err)
			}
			for _, host := range []string{"api.acme.example.evil.example", "evilapi.acme.example", "", "."} {
				if _, ok := c.Match(host, 443, "/"); ok && !anyHost(based, host) {
					t.Fatalf("credential goes to %q", host)
				}
			}
		}
		for _, m := range based.Login.Methods() {
			fuzzServer(t, based, m)
		}
		for name, template := range based.Env {
			if _, err := Placeholder(template, zeros{}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		based.RedactPath("/a/b/c")
		based.IndexEntry()
	})
}

// fuzzServer holds what was taken to what internal/oauth and the proxy rely on.
func fuzzServer(t *testing.T, p *Provider, m *Method) {
	if m.Server == nil {
		if m.Flow != FlowPaste {
			t.Fatalf("flow %q without a server", m.Flow)
		}
		return
	}
	for key, address := range m.Server.endpoints() {
		if *address == "" {
			continue
		}
		u, err := url.Parse(strings.NewReplacer("{client_id}", "c", "{installation_id}", "1").Replace(*address))
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Fatalf("%s is at %q", key, *address)
		}
		if key != "token" || !anyHost(p, u.Host) {
			continue
		}
		if _, ok := p.MintFor(u.Hostname(), httpsPort, "POST", u.EscapedPath()); !ok {
			t.Fatalf("a session may ask %q", *address)
		}
	}
	for _, name := range append(authorizeParams, tokenParams...) {
		_, ok := m.Server.Authorize[name]
		if _, token := m.Server.TokenParams[name]; ok && slices.Contains(authorizeParams, name) ||
			token && slices.Contains(tokenParams, name) && (name != "grant_type" || m.Flow != FlowClientCredentials) {
			t.Fatalf("the definition sets %s", name)
		}
	}
	if _, err := m.Server.With(nil); err != nil && !errors.Is(err, ErrNoField) {
		t.Fatal(err)
	}
	m.Server.Lifetime()
}

func anyHost(p *Provider, host string) bool {
	for _, h := range p.Hosts {
		if MatchHost(h, host, 443) {
			return true
		}
	}
	return false
}

// A host that a pattern takes is the pattern's own name or lies below it, is
// canonical, and no look-alike of it is taken.
func FuzzMatchHost(f *testing.F) {
	for _, seed := range [][2]string{
		{"good.com", "good.com"},
		{"good.com", "evilgood.com"},
		{"good.com", "good.com.evil"},
		{"good.com", "good.com."},
		{"good.com", "GOOD.COM"},
		{"*.good.com", "a.good.com"},
		{"*.good.com", ".good.com"},
		{"*.good.com", "good.com"},
		{"*.xn--bcher-kva.example", "a.bücher.example"},
		{"good.com:8443", "good.com"},
		{"[::1]:443", "::1"},
		{"*.good.com", "a..good.com"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, host string) {
		name, port, err := SplitHost(pattern)
		if err != nil {
			if MatchHost(pattern, host, 443) {
				t.Fatalf("malformed %q takes %q", pattern, host)
			}
			return
		}
		suffix, wild := strings.CutPrefix(name, "*")
		want := host == name
		if wild {
			want = strings.HasSuffix(host, suffix) && len(host) > len(suffix) && !strings.HasPrefix(host, ".") && !strings.Contains(host, "..")
		}
		if got := MatchHost(pattern, host, port); got != want {
			t.Fatalf("%q on %q = %v", pattern, host, got)
		}
		if !want {
			return
		}
		for _, alike := range []string{host + ".", host + ".evil.example", strings.ToUpper(host), "." + host} {
			if alike != host && MatchHost(pattern, alike, port) {
				t.Errorf("%q takes %q too", pattern, alike)
			}
		}
		if !wild && (MatchHost(pattern, "evil"+host, port) || MatchHost(pattern, "evil."+host, port)) {
			t.Errorf("%q takes a name around %q", pattern, host)
		}
		if MatchHost(pattern, host, port+1) {
			t.Errorf("%q takes another port", pattern)
		}
	})
}

// CanonicalHost is a fixed point: what it returns it returns again.
func FuzzCanonicalHost(f *testing.F) {
	for _, seed := range []string{"API.GitHub.com.", "bücher.example", "xn--bcher-kva.example", "[::1]", "127.1", "ｇood.com", "a\u200db.com", "good.com\u3002evil"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		a, err := CanonicalHost(s)
		if err != nil {
			return
		}
		b, err := CanonicalHost(a)
		if err != nil || a != b {
			t.Fatalf("%q becomes %q, then %q, %v", s, a, b, err)
		}
		if strings.ContainsAny(a, "/@?# \t\r\n*{}") || a == "" || strings.HasSuffix(a, ".") {
			t.Fatalf("%q becomes %q", s, a)
		}
	})
}

// A repository's name never leaves its host and holds no way out.
func FuzzRepositoryMatch(f *testing.F) {
	for _, seed := range []string{"/repos/acme/api", "/repos/a%2Fb/c", "/repos/../..", "/api/v4/projects/a%2Fb/x", "/a/b/c/info/refs"} {
		f.Add(seed)
	}
	patterns := []Repository{
		{Path: "/repos/{owner}/{name}/**", Is: "good.example/{owner}/{name}"},
		{Path: "/api/v4/projects/{project%}/**", Is: "good.example/{project}"},
		{Path: "/{project**}/info/refs", Is: "good.example/{project}"},
	}
	f.Fuzz(func(t *testing.T, path string) {
		for _, r := range patterns {
			remote, ok := r.Match(path)
			if !ok {
				continue
			}
			rest, found := strings.CutPrefix(remote, "good.example/")
			if !found || strings.HasSuffix(remote, ".git.git") {
				t.Fatalf("%q names %q", path, remote)
			}
			for part := range strings.SplitSeq(rest, "/") {
				if part == "" || part == "." || part == ".." {
					t.Fatalf("%q names %q", path, remote)
				}
			}
		}
	})
}
