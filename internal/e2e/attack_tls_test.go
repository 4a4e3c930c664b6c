package e2e

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/testkit"
)

// TestAttackTLSAndEnvironment offers kb a false certificate, and variables by
// which an agent could make kb take one.
func TestAttackTLSAndEnvironment(t *testing.T) {
	a := newArena(t)
	foreign, err := testkit.NewCA("somebody else")
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	bad := func(leaf testkit.Leaf, ca *testkit.CA) *testkit.Origin {
		t.Helper()
		name := "n" + string(rune('0'+next)) + ".acme.example"
		next++
		if leaf.Names == nil {
			leaf.Names = []string{name}
		}
		if leaf.Names[0] == "none" {
			leaf.Names = nil
		}
		cert, err := ca.Issue(leaf)
		if err != nil {
			t.Fatal(err)
		}
		delete(a.own, name) // whoever holds this certificate is not the host
		return a.serve(name, testkit.OriginConfig{Certificate: cert})
	}
	certificates := []struct {
		name   string
		origin *testkit.Origin
	}{
		{"expired", bad(testkit.Leaf{NotBefore: time.Now().Add(-48 * time.Hour)}, a.CA)},
		{"not yet valid", bad(testkit.Leaf{NotBefore: time.Now().Add(48 * time.Hour)}, a.CA)},
		{"self-signed", bad(testkit.Leaf{SelfSign: true}, a.CA)},
		{"another authority", bad(testkit.Leaf{}, foreign)},
		{"another name", bad(testkit.Leaf{Names: []string{evilHost}}, a.CA)},
		{"wildcard of another level", bad(testkit.Leaf{Names: []string{"*.example"}}, a.CA)},
		{"no name", bad(testkit.Leaf{Names: []string{"none"}}, a.CA)},
		{"an address for a name", bad(testkit.Leaf{Names: []string{"203.0.113.10"}}, a.CA)},
		{"for clients only", bad(testkit.Leaf{ClientUse: true}, a.CA)},
	}
	old := a.serve("n9.acme.example", testkit.OriginConfig{TLS: func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS11 }})
	delete(a.own, "n9.acme.example")
	fromForeign, err := foreign.Issue(testkit.Leaf{Names: []string{"n10.acme.example"}})
	if err != nil {
		t.Fatal(err)
	}
	steered := a.serve("n10.acme.example", testkit.OriginConfig{Certificate: fromForeign})
	delete(a.own, "n10.acme.example")
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)

	for _, c := range certificates {
		a.attack("certificate "+c.name, at{origin: c.origin}, func(t *testing.T) answer {
			got := a.inside(c.origin.Name+":443", c.origin.Name, get(c.origin.Name, "/echo"))
			if n := reached(c.origin); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			return got
		}, 502)
		a.attack("certificate "+c.name+", h2", at{origin: c.origin}, func(t *testing.T) answer {
			got := a.h2(c.origin.Name, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", c.origin.Name}, {":path", "/echo"}})
			if n := reached(c.origin); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			return got
		}, 502)
	}
	a.attack("upstream of TLS 1.1", oldTLS{at{origin: old}}, func(t *testing.T) answer {
		got := a.inside(old.Name+":443", old.Name, get(old.Name, "/echo"))
		if n := reached(old); n != 0 {
			t.Errorf("%d requests arrived", n)
		}
		return got
	}, 502)
	a.attack("client of TLS 1.1", answers{a}, func(*testing.T) answer {
		c, got := a.tunnelTLS(goodHost+":443", "", &tls.Config{ServerName: goodHost, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
		if c == nil {
			return got
		}
		defer func() { _ = c.Close() }()
		return a.exchange(c, get(goodHost, "/echo"))
	}, 0)
	a.attack("plain http to a credentialed host", at{origin: a.good, port: 80, plain: true}, func(t *testing.T) answer {
		got := a.proxied("GET http://" + goodHost + "/status?code=204 HTTP/1.1\r\nHost: " + goodHost + "\r\nAUTHConnection: close\r\n\r\n")
		r := a.good.Requests()
		if len(r) != 1 || r[0].Credential() != "" {
			t.Errorf("%d requests arrived", len(r))
		}
		return got
	}, 204)
	a.attack("plain http to a credentialed host's port 443", at{origin: a.good, port: 80, plain: true}, func(*testing.T) answer {
		return a.proxied("GET http://" + goodHost + ":443/echo HTTP/1.1\r\nHost: " + goodHost + ":443\r\nAUTHConnection: close\r\n\r\n")
	})
	a.attack("plain http inside a tunnel", answers{a}, func(*testing.T) answer {
		c, got := a.connect(goodHost+":443", "")
		if c == nil {
			return got
		}
		defer func() { _ = c.Close() }()
		return a.exchange(c, get(goodHost, "/echo"))
	}, 400)

	a.environment(t, foreign, steered)
	a.works(t)
}

// environment runs kb with variables that an agent could set for it.
func (a *arena) environment(t *testing.T, foreign *testkit.CA, steered *testkit.Origin) {
	dir := t.TempDir()
	bundle := filepath.Join(dir, "evil.pem")
	folder := filepath.Join(dir, "certs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{bundle, filepath.Join(folder, "evil.pem")} {
		if err := os.WriteFile(path, foreign.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	keyLog := filepath.Join(dir, "keylog")
	for _, c := range []struct {
		name string
		env  []string
	}{
		{"SSL_CERT_FILE", []string{"SSL_CERT_FILE=" + bundle}},
		{"SSL_CERT_DIR", []string{"SSL_CERT_DIR=" + folder}},
		{"SSL_CERT_FILE twice", []string{"SSL_CERT_FILE=/nowhere", "SSL_CERT_FILE=" + bundle}},
		{"SSL_CERT_FILE behind KB_ENVIRON_ASIDE", []string{`KB_ENVIRON_ASIDE={"SSL_CERT_FILE":"` + bundle + `"}`, "SSL_CERT_FILE=" + bundle}},
	} {
		a.attack(c.name+" of a session", at{origin: steered}, func(t *testing.T) answer {
			r := a.run(append(a.home.With(), c.env...), "", a.kb, "exec", "--", "curl", "-sS", "-i", "--insecure", "https://"+steered.Name+"/echo")
			if n := reached(steered); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			return answer{status: statusOf([]byte(afterConnect(r.Stdout))), text: r.All()}
		}, 502)
	}
	proxy, err := a.sink("evil proxy", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"} {
		a.attack(name+" of kb login", proxy, func(t *testing.T) answer {
			r := a.run(a.home.With(name+"=http://"+proxy.addr), a.work, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "verified", "--replace")
			if proxy.connections() != 0 {
				t.Error("kb went through a proxy of its environment")
			}
			return answer{text: r.All()}
		})
	}
	a.attack("HTTPS_PROXY of a session", proxy, func(t *testing.T) answer {
		r := a.run(a.home.With("HTTPS_PROXY=http://"+proxy.addr, "https_proxy=http://"+proxy.addr), "", a.kb, "exec", "--", "curl", "-sS", "-i", "https://"+goodHost+"/status?code=204")
		if proxy.connections() != 0 {
			t.Error("the session went through a proxy of kb's environment")
		}
		return answer{status: statusOf([]byte(afterConnect(r.Stdout))), text: r.All()}
	}, 204)
	a.attack("SSLKEYLOGFILE", answers{a}, func(t *testing.T) answer {
		r := a.run(a.home.With("SSLKEYLOGFILE="+keyLog), "", a.kb, "exec", "--", "curl", "-sS", "-i", "https://"+goodHost+"/status?code=204")
		if b, err := os.ReadFile(keyLog); err == nil {
			t.Errorf("TLS keys were written: %d bytes", len(b))
		}
		return answer{status: statusOf([]byte(afterConnect(r.Stdout))), text: r.All()}
	}, 204)
	for _, debug := range []string{"GODEBUG=http2debug=2", "GODEBUG=http2debug=2,http2server=0,execerrdot=0,x509ignoreCN=0"} {
		a.attack(debug, answers{a}, func(t *testing.T) answer {
			r := a.run(a.home.With(debug), "", a.kb, "exec", "--", "curl", "-sS", "-i", "--http2", "https://"+goodHost+"/status?code=204")
			if strings.Contains(r.Stderr, "http2:") {
				t.Error("kb printed HTTP/2 frames")
			}
			login := a.run(a.home.With(debug), a.work, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "debugged", "--replace")
			if strings.Contains(login.Stderr, "http2:") {
				t.Error("kb login printed HTTP/2 frames")
			}
			return answer{text: r.All() + login.All()}
		})
	}
	a.attack("SSL_CERT_FILE of kb login", at{origin: a.evil}, func(t *testing.T) answer {
		return answer{text: a.loginUnder(t, foreign, "SSL_CERT_FILE="+bundle)}
	})
}

// loginUnder verifies a login while somebody else answers for the provider, with
// a certificate that the variable would make kb trust.
func (a *arena) loginUnder(t *testing.T, foreign *testkit.CA, variable string) string {
	t.Helper()
	cert, err := foreign.Issue(testkit.Leaf{Names: []string{goodHost}})
	if err != nil {
		t.Fatal(err)
	}
	impostor := a.serve(goodHost, testkit.OriginConfig{Certificate: cert})
	defer a.Resolver().Set(goodHost, a.good.Addr)
	r := a.run(a.home.With(variable), a.work, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "steered")
	if r.Code == 0 {
		t.Error("the login was accepted")
	}
	if n := reached(impostor); n != 0 {
		t.Errorf("%d requests arrived at the impostor", n)
	}
	return r.All()
}

// afterConnect drops the proxy's answer to CONNECT from curl -i's output.
func afterConnect(out string) string {
	if head, rest, ok := strings.Cut(out, "\r\n\r\n"); ok && strings.HasPrefix(head, "HTTP/1.1 200") && strings.HasPrefix(rest, "HTTP/") {
		out = rest
	}
	if v2, ok := strings.CutPrefix(out, "HTTP/2 "); ok {
		return "HTTP/1.1 " + strings.TrimSpace(v2)
	}
	return out
}

// oldTLS plants where only TLS 1.1 is spoken.
type oldTLS struct{ at }

func (l oldTLS) plant(canaries ...string) error {
	c, err := tls.Dial("tcp", net.JoinHostPort(l.origin.Addr.String(), "443"), &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: planted\r\nX: "+strings.Join(canaries, " ")+"\r\n\r\n")
	return err
}

// TestAttackRedirects sends answers that point elsewhere: kb hands them back and
// follows none, and a client that follows takes no credential with it.
func TestAttackRedirects(t *testing.T) {
	a := newArena(t)
	proxy, err := a.sink("another port", a.evil.Addr.String()+":9999")
	if err != nil {
		t.Fatal(err)
	}
	advertising := a.serve("n20.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Alt-Svc", `h2="evil.example:443"; ma=86400`)
		w.Header().Add("Alt-Svc", `h3=":443"`)
		w.WriteHeader(http.StatusNoContent)
	})})
	// Go's server answers before it has read a body only on a connection that closes.
	impatient := a.serve("n21.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Location", "https://"+evilHost+"/sink")
		w.WriteHeader(http.StatusTemporaryRedirect)
	})})
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	type target struct {
		name, to string
		at       listener
		origin   *testkit.Origin
	}
	targets := []target{
		{"evil", "https://" + evilHost + "/echo", at{origin: a.evil}, a.evil},
		{"http", "http://" + goodHost + "/echo", at{origin: a.good, port: 80, plain: true}, nil},
		{"evil over http", "http://" + evilHost + "/echo", at{origin: a.evil, port: 80, plain: true}, a.evil},
		{"another port", "https://" + goodHost + ":8443/echo", at{origin: a.good, port: 8443}, nil},
		{"another port of evil", "https://" + evilHost + ":9999/", proxy, nil},
		{"network-path evil", "//" + evilHost + "/echo", at{origin: a.evil}, a.evil},
		{"userinfo", "https://" + goodHost + "@" + evilHost + "/echo", at{origin: a.evil}, a.evil},
		{"backslashes", `https:\\` + evilHost + `\echo`, at{origin: a.evil}, a.evil},
	}
	for _, code := range []string{"301", "302", "303", "307", "308"} {
		for _, to := range targets {
			path := "/redirect?code=" + code + "&to=" + escapeQuery(to.to)
			a.attack(code+" to "+to.name, to.at, func(t *testing.T) answer {
				got := a.inside(goodHost+":443", goodHost, get(goodHost, path))
				if to.origin != nil && reached(to.origin) != 0 {
					t.Error("kb followed the redirect")
				}
				if n := reached(a.good); n != 1 {
					t.Errorf("%d requests arrived at the good host", n)
				}
				if !strings.Contains(got.text, "\r\nLocation: "+to.to) {
					t.Errorf("the redirect was not handed back:\n%.400s", got.text)
				}
				return got
			}, atoi(code))
		}
	}
	for _, to := range targets {
		a.attack("a client that follows to "+to.name, to.at, func(t *testing.T) answer {
			r := a.run(a.home.Env, "", a.kb, "exec", "--", "sh", "-c",
				`curl -sS -i -L --max-redirs 2 --max-time 5 --location-trusted --insecure -H "Authorization: Bearer $GITHUB_TOKEN" "$1"`, "sh",
				"https://"+goodHost+"/redirect?code=307&to="+escapeQuery(to.to))
			return answer{text: r.All()}
		})
	}
	a.attack("Expect: 100-continue, then a redirect", at{origin: a.evil}, func(t *testing.T) answer {
		got := a.inside(impatient.Name+":443", impatient.Name, "POST /upload HTTP/1.1\r\nHost: "+impatient.Name+
			"\r\nExpect: 100-continue\r\nContent-Length: 5\r\nConnection: close\r\n\r\n")
		if reached(a.evil) != 0 {
			t.Error("kb followed the redirect")
		}
		return got
	}, 307)
	a.attack("identity endpoint that redirects", at{origin: a.evil}, func(t *testing.T) answer {
		crooked := a.serve(goodHost, testkit.OriginConfig{Handler: testkit.Redirect(302, "https://"+evilHost+"/user")})
		defer a.Resolver().Set(goodHost, a.good.Addr)
		r := a.run(a.home.Env, a.work, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "redirected")
		if r.Code == 0 || reached(crooked) != 1 {
			t.Errorf("the login was accepted or not asked for: %s", r.All())
		}
		if reached(a.evil) != 0 {
			t.Error("kb followed the redirect")
		}
		return answer{text: r.All()}
	})
	for _, proto := range []string{"h1", "h2"} {
		a.attack("Alt-Svc, "+proto, answers{a}, func(t *testing.T) answer {
			var got answer
			if proto == "h1" {
				got = a.inside(advertising.Name+":443", advertising.Name, get(advertising.Name, "/"))
			} else {
				got = a.h2(advertising.Name, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", advertising.Name}, {":path", "/"}})
			}
			if strings.Contains(strings.ToLower(got.text), "alt-svc") {
				t.Errorf("Alt-Svc passed:\n%s", got.text)
			}
			return got
		}, 204)
	}
	a.works(t)
}
