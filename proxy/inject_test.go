package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"kb/internal/secret"
)

func fields(pairs ...string) []Field {
	var f []Field
	for i := 0; i < len(pairs); i += 2 {
		f = append(f, Field{pairs[i], secret.New(pairs[i+1])})
	}
	return f
}

// What is set replaces every copy that the client sent, in whatever spelling,
// and what a Connection header names.
func TestInjectionReplaces(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		g := &seen{}
		w.https(good, g, up)
		w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
			return &Injection{
				Pool:   "work",
				Header: fields("Authorization", "Bearer "+canary, "X-Api-Key", "k1", "x-lower", "k2"),
				Delete: []string{"X-Old-Token", "X-Trailer-Token"},
				Query:  fields("key", "a b&c", "sig", "s=1"),
				Cookie: fields("sid", "c1"),
			}, nil
		}
		req, _ := http.NewRequest("GET", "https://good.example/p%2Fq?a=1&key=client&%6bey=client2&b=2;key=client3&KEY=stays", nil)
		req.Header["Authorization"] = []string{"Bearer placeholder"}
		req.Header["X-Api-Key"] = []string{"placeholder", "again"}
		req.Header["X-Lower"] = []string{"placeholder"}
		req.Header["X-Old-Token"] = []string{"placeholder"}
		req.Header["Cookie"] = []string{"theme=dark; sid=placeholder; sid=again", "lang=en; sid=third"}
		req.Header["X-Keep"] = []string{"1", "2"}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		r := g.last()
		for name, want := range map[string]string{
			"Authorization": "Bearer " + canary, "X-Api-Key": "k1", "X-Lower": "k2", "X-Old-Token": "", "X-Keep": "1,2",
			"Cookie": "theme=dark; lang=en; sid=c1",
		} {
			if got := strings.Join(r.Header.Values(name), ","); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		if got, want := r.RequestURI, "/p%2Fq?a=1&b=2;KEY=stays&key=a+b%26c&sig=s%3D1"; got != want {
			t.Errorf("target %q, want %q", got, want)
		}
		if g.holds("placeholder") {
			t.Error("a placeholder passed")
		}
		info, h := w.policy.lastRequest()
		if info.Path != "/p%2Fq" || !strings.HasPrefix(info.Query, "a=1&key=client&") || h.Get("Authorization") != "Bearer placeholder" || info.Host != good || info.Port != 443 || info.Scheme != "https" {
			t.Errorf("the policy saw %+v %v", info, h)
		}
	})
}

// Connection can name a field away, but never the credential.
func TestAttackConnectionNamesTheCredential(t *testing.T) {
	w := newWorld(t)
	var up upstreamBytes
	w.raw(good, up.serve)
	c := w.tunnel(good)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: good.example\r\nAuthorization: placeholder\r\nConnection: close, authorization, x-api-key, host, content-length\r\nX-Api-Key: placeholder\r\n\r\n")
	_, _ = io.ReadAll(c)
	if got, want := up.text(), "GET / HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer "+canary+"\r\n\r\n"; got != want {
		t.Errorf("upstream got %q, want %q", got, want)
	}
}

// A trailer cannot bring back what the injection replaced.
func TestAttackTrailerBringsTheFieldBack(t *testing.T) {
	w := newWorld(t)
	var trailers http.Header
	w.https(good, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		trailers = r.Trailer.Clone()
	}))
	w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
		return &Injection{Header: fields("X-Api-Key", canary), Delete: []string{"X-Old"}}, nil
	}
	req, _ := http.NewRequest("POST", "https://good.example/", struct{ io.Reader }{strings.NewReader("x")})
	req.Trailer = http.Header{"X-Api-Key": {"client"}, "X-Old": {"client"}, "X-Fine": {"stays"}}
	resp, err := w.client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if trailers.Get("X-Api-Key") != "" || trailers.Get("X-Old") != "" || trailers.Get("X-Fine") != "stays" {
		t.Errorf("trailers %v", trailers)
	}
}

// A credential that could write lines of its own is refused, and nothing is
// sent.
func TestAttackCredentialWithLineBreaks(t *testing.T) {
	for name, inj := range map[string]*Injection{
		"header CRLF":  {Header: fields("Authorization", "a\r\nX: y")},
		"header LF":    {Header: fields("Authorization", "a\nX: y")},
		"header NUL":   {Header: fields("Authorization", "a\x00")},
		"header name":  {Header: fields("X: y\r\nZ", "a")},
		"cookie part":  {Cookie: fields("sid", "a; admin=1")},
		"cookie CRLF":  {Cookie: fields("sid", "a\r\nX: y")},
		"path space":   {Path: "/a b"},
		"path CRLF":    {Path: "/a\r\nX: y"},
		"path query":   {Path: "/a?b=c"},
		"path without": {Path: "a"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			g := &seen{}
			w.https(good, g)
			w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) { return inj, nil }
			resp, err := w.client().Get("https://good.example/")
			if err != nil {
				t.Fatal(err)
			}
			if b := readAll(t, resp); resp.StatusCode != 502 || !strings.Contains(b, CodeCredential) {
				t.Errorf("%s %s", resp.Status, b)
			}
			if g.last() != nil {
				t.Error("the request was sent")
			}
			eventually(t, "the outcome", func() bool { return w.policy.done.Load() == 1 })
		})
	}
}

func TestJudgedPathIsForwarded(t *testing.T) {
	w := newWorld(t)
	g := &seen{}
	w.https(good, g)
	w.policy.auth = func(_ context.Context, r *RequestInfo) (*Injection, error) {
		n, err := NormalPath(r.Path)
		return &Injection{Path: n}, err
	}
	resp, err := w.client().Get("https://good.example/%72epos/acme%2fapi?x=%41")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if got := g.last().RequestURI; got != "/repos/acme%2Fapi?x=%41" {
		t.Errorf("forwarded %q", got)
	}
}

// Each profile has upstream connections of its own.
func TestPoolsAreApart(t *testing.T) {
	w := newWorld(t)
	byPool := map[string]map[string]bool{}
	pool := "work"
	w.https(good, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if byPool[pool] == nil {
			byPool[pool] = map[string]bool{}
		}
		byPool[pool][r.RemoteAddr] = true
	}))
	w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) { return &Injection{Pool: pool}, nil }
	c := w.client()
	for i := range 6 {
		pool = []string{"work", "oss"}[i%2]
		resp, err := c.Get("https://good.example/")
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
	}
	if len(byPool["work"]) != 1 || len(byPool["oss"]) != 1 {
		t.Errorf("connections by profile: %v, want one each", byPool)
	}
	for a := range byPool["work"] {
		if byPool["oss"][a] {
			t.Error("two profiles shared a connection")
		}
	}
}

// A redirect is the client's to follow: kb follows none, and what it leads to
// gets no credential.
func TestAttackRedirects(t *testing.T) {
	w := newWorld(t)
	e := &seen{}
	w.https(evil, e)
	w.http(evil, e)
	w.http(good, e)
	for _, code := range []int{301, 302, 303, 307, 308} {
		for _, to := range []string{"https://evil.example/", "http://evil.example/", "http://good.example/", "//evil.example/", "https://good.example:8443/"} {
			w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				rw.Header().Set("Location", to)
				rw.WriteHeader(code)
			}))
			w.server.pool.reap(w.clock.now().Add(1e18))
			resp, err := w.client().Get("https://good.example/")
			if err != nil {
				t.Fatal(err)
			}
			if readAll(t, resp); resp.StatusCode != code || resp.Header.Get("Location") != to {
				t.Errorf("%d to %s: %s %q", code, to, resp.Status, resp.Header.Get("Location"))
			}
		}
	}
	if e.last() != nil {
		t.Error("kb followed a redirect")
	}
	// A client that follows arrives without the credential.
	w.https(good, http.RedirectHandler("https://evil.example/", http.StatusTemporaryRedirect))
	w.server.pool.reap(w.clock.now().Add(1e18))
	c := w.client()
	c.CheckRedirect = nil
	resp, err := c.Get("https://good.example/")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if e.last() == nil {
		t.Error("positive control: the client did not follow")
	}
	if e.holds(canary) {
		t.Error("the canary followed the redirect")
	}
}
