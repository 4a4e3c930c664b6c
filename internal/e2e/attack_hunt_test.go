package e2e

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"kb/internal/testkit"
)

// TestAttackFields says things about the credential's own fields: names them in
// Connection, repeats them, hides them in a trailer, in a query or in HTTP/2.
func TestAttackFields(t *testing.T) {
	a := newArena(t)
	definition := filepath.Join(t.TempDir(), "places.toml")
	if err := os.WriteFile(definition, []byte(strings.NewReplacer(
		`name = "acme"`, `name = "places"`, "ACME_TOKEN", "PLACES_TOKEN", "n0.acme.example", "places.example",
		`header = { Authorization = "Bearer {token}" }`, `query = { key = "{token}" }`+"\n"+`cookie = { sid = "{token}" }`,
	).Replace(strings.ReplaceAll(acmeDefinition(), acmeHosts(), `"n0.acme.example"`))), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ok("", "provider", "add", definition)
	a.ok(a.acme, "login", "places", "-p", "work", "--stdin", "--no-verify")
	places := a.serve("places.example", testkit.OriginConfig{Handler: noContent()})
	a.own["places.example"] = true
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	good := at{origin: a.good, port: 8443}

	for name, header := range map[string][]string{
		"Connection names Authorization":          {"Connection: authorization", "Authorization: Bearer stolen"},
		"Connection names it among others":        {"Connection: x, Authorization , keep-alive", "X: y", "Authorization: Bearer stolen"},
		"Authorization in odd case":               {"aUTHORIZATION: Bearer stolen"},
		"Authorization of the placeholder":        {"Authorization: token " + a.child.env["GITHUB_TOKEN"]},
		"Authorization empty":                     {"Authorization:"},
		"Proxy-Authorization inside":              {"Proxy-Authorization: Basic stolen"},
		"Kb-Profile of the session itself":        {"Kb-Profile: work"},
		"Authorization named by Trailer":          {"Trailer: Authorization"},
		"TE with more than trailers":              {"TE: trailers, gzip;q=1"},
		"Connection names Host":                   {"Connection: host"},
		"Connection names the credential's query": {"Connection: key, sid"},
	} {
		a.attack(name, good, func(t *testing.T) answer {
			got := a.inside(goodHost+":443", goodHost, get(goodHost, "/status?code=204", header...))
			for _, r := range a.good.Requests() {
				if values := r.Header["Authorization"]; len(values) != 1 || values[0] != "Bearer "+a.work {
					t.Errorf("%d Authorization lines arrived", len(values))
				}
				for h := range r.Header {
					if strings.HasPrefix(h, "Kb-") || strings.HasPrefix(h, "Proxy-") || h == "Connection" || h == "Trailer" && name == "x" {
						t.Errorf("%s arrived", h)
					}
				}
			}
			return got
		}, 204)
	}
	for _, field := range [][2]string{
		{"connection", "authorization"},
		{"transfer-encoding", "chunked"},
		{"upgrade", "websocket"},
		{"proxy-connection", "x"},
		{"keep-alive", "x"},
		{"te", "chunked"},
		{"x", "a\r\nauthorization: stolen"},
		{"x\r\ny", "z"},
		{"Authorization", "stolen"},
		{"x y", "z"},
		{"x:", "z"},
		{"", "z"},
		{"x", "a\x00b"},
		{"content-length", "5"},
		{"content-length", "-1"},
		{":authority", evilHost},
		{":scheme", "http"},
		{":protocol", "websocket"},
		{"host", evilHost},
		{"kb-profile", "other"},
		{"authorization", "Bearer stolen"},
		{"proxy-authorization", "Basic stolen"},
	} {
		a.attack("h2 field "+field[0]+": "+strings.ToValidUTF8(field[1], "?"), good, func(t *testing.T) answer {
			got := a.h2(goodHost, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "/status?code=204"}, field})
			for _, r := range a.good.Requests() {
				if values := r.Header["Authorization"]; len(values) != 1 || values[0] != "Bearer "+a.work || r.Host != goodHost || len(r.Header["X\r\ny"]) != 0 {
					t.Errorf("%d Authorization lines arrived at Host %q", len(values), r.Host)
				}
				for h := range r.Header {
					if strings.HasPrefix(h, "Kb-") || strings.HasPrefix(h, "Proxy-") || strings.ContainsAny(h, " :\r\n") {
						t.Errorf("%q arrived", h)
					}
				}
			}
			return got
		}, 0, 204, 400, 403, 421)
	}
	for _, c := range []struct{ name, query, cookie, wantQuery, wantCookie string }{
		{"plain", "a=1", "b=2", "a=1&key=SECRET", "b=2; sid=SECRET"},
		{"copies", "key=x&a=1&key=y", "sid=x; b=2; sid=y", "a=1&key=SECRET", "b=2; sid=SECRET"},
		{"encoded copies", "%6bey=x&k%65y=y&a=1", "b=2", "a=1&key=SECRET", "b=2; sid=SECRET"},
		{"semicolons", "a=1;key=x;b=2", "b=2;sid=x", "a=1;b=2&key=SECRET", "b=2; sid=SECRET"},
		{"without value", "key&a=1&key=", "sid; b=2; sid=", "a=1&key=SECRET", "b=2; sid=SECRET"},
		{"spaces in a cookie", "", " sid = x ;b=2", "key=SECRET", "b=2; sid=SECRET"},
	} {
		a.attack("query and cookie, "+c.name, at{origin: places, port: 443}, func(t *testing.T) answer {
			got := a.inside("places.example:443", "places.example", get("places.example", "/x?"+c.query, "Cookie: "+c.cookie))
			r := places.Requests()
			if len(r) != 1 {
				t.Fatalf("%d requests arrived", len(r))
			}
			query, cookie := strings.ReplaceAll(c.wantQuery, "SECRET", a.acme), strings.ReplaceAll(c.wantCookie, "SECRET", a.acme)
			if r[0].Query != query || strings.Join(r[0].Header["Cookie"], "|") != cookie {
				t.Errorf("arrived: %s and %s", strings.ReplaceAll(r[0].Query, a.acme, "SECRET"), strings.ReplaceAll(strings.Join(r[0].Header["Cookie"], "|"), a.acme, "SECRET"))
			}
			return got
		}, 204)
	}
	a.attack("the session token on the way out", at{origin: a.evil, port: 80, plain: true}, func(t *testing.T) answer {
		got := a.proxied("GET http://" + evilHost + "/status?code=204 HTTP/1.1\r\nHost: " + evilHost + "\r\nAUTHConnection: close, x\r\nX: y\r\nProxy-Connection: keep-alive\r\n\r\n")
		o := testkit.NewOracle(a.child.token)
		o.Requests(a.evil.Requests(), nil)
		for _, f := range o.Findings() {
			t.Errorf("the token: %s", f)
		}
		return got
	}, 204)
	for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"} {
		a.attack("a mint by "+name, good, func(t *testing.T) answer {
			return a.inside(goodHost+":443", goodHost, get(goodHost, "/app/installations/1/access_tokens", name+": POST"))
		}, 403)
	}
	a.works(t)
}

func acmeHosts() string {
	definition := acmeDefinition()
	_, rest, _ := strings.Cut(definition, "hosts = [")
	list, _, _ := strings.Cut(rest, "]")
	return list
}

func noContent() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) })
}

// TestAttackAuthorityOfSession looks at what a session's certificate authority
// could be used for, by whoever has its files.
func TestAttackAuthorityOfSession(t *testing.T) {
	a := newArena(t)
	a.child = a.start(a.home.Env, a.home.Dir)
	dir := filepath.Dir(a.child.env["SSL_CERT_FILE"])
	a.attack("no key in the session's folder", everywhere{a}, func(t *testing.T) answer {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(text), "PRIVATE KEY") {
				t.Errorf("%s holds a private key", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return answer{}
	})
	a.attack("constraints of the certificate", everywhere{a}, func(t *testing.T) answer {
		text, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		block, rest := pem.Decode(text)
		if block == nil || len(strings.TrimSpace(string(rest))) != 0 {
			t.Fatal("ca.pem is not one certificate")
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		if !cert.IsCA || !cert.MaxPathLenZero || !cert.PermittedDNSDomainsCritical || len(cert.ExcludedIPRanges) != 2 {
			t.Errorf("not constrained: %+v", cert)
		}
		for _, name := range cert.PermittedDNSDomains {
			if strings.Count(name, ".") == 0 || name == "" || strings.HasSuffix(evilHost, name) {
				t.Errorf("%q is permitted", name)
			}
		}
		return answer{}
	})
}

// TestAttackScreen has names of directories, remotes, commands and profiles steer
// a terminal.
func TestAttackScreen(t *testing.T) {
	i := newIdentities(t)
	const steer = "\x1b[31m\x1b]0;owned\x07\u009b31m\u202eeman\u200f"
	steers := func(text string) bool {
		return strings.ContainsFunc(text, func(r rune) bool {
			return r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
		})
	}
	dir := filepath.Join(i.home.Dir, "oss", "x"+steer)
	i.must(i.home.Dir, "init", "-q", dir)
	i.must(dir, "remote", "add", "origin", "https://github.com/libre/x"+steer)
	i.must(dir, "config", "remote.n"+steer+".url", "https://x"+steer+".example/y")
	command := filepath.Join(i.home.Dir, "cmd"+steer)
	if err := os.WriteFile(command, []byte("#!/bin/sh\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"which"},
		{"which", "--explain"},
		{"exec", "--", command},
		{"exec", "--", "nothing" + steer},
		{"exec", "-p", "p" + steer, "--", "true"},
		{"pin", "ls"},
		{"audit"},
		{"status"},
		{"profile", "add", "p" + steer},
		{"rule", "add", "oss", "--remote", "github.com/" + steer},
		{"provider", "show", "p" + steer},
		{"login", "l" + steer},
		{steer},
		{"--" + steer},
	} {
		i.attack("kb "+strings.ToValidUTF8(strings.Join(args, " "), "?"), everywhere{i.arena}, func(t *testing.T) answer {
			r := i.in(dir, append([]string{i.kb}, args...)...)
			if steers(r.Stdout) || steers(r.Stderr) {
				t.Errorf("it prints what steers a terminal: %q %q", r.Stdout, r.Stderr)
			}
			if !steers(steer) {
				t.Error("control: what steers is not seen")
			}
			return answer{text: r.All()}
		})
	}
}
