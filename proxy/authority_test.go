package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

func TestCanonicalHost(t *testing.T) {
	for in, want := range map[string]string{
		"good.example": "good.example", "GOOD.Example": "good.example", "good.example.": "good.example",
		"xn--bcher-kva.example": "xn--bcher-kva.example", "_dmarc.good.example": "_dmarc.good.example", "localhost": "localhost",
		"192.0.2.1": "192.0.2.1", "[2001:DB8::1]": "2001:db8::1", "2001:db8:0:0::1": "2001:db8::1", "[::ffff:192.0.2.1]": "192.0.2.1",
		"1password.com": "1password.com", "a-b.example": "a-b.example", strings.Repeat("a", 63) + ".example": strings.Repeat("a", 63) + ".example",
	} {
		if got, err := CanonicalHost(in); err != nil || got != want {
			t.Errorf("CanonicalHost(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []string{
		"", ".", "..", ".good.example", "good..example", "good.example..", "-a.example", "a-.example", "a.-b", "a b", "a/b", "a@b", "a%62", "a\x00b", "a\n",
		"bücher.example", "\uff47ood.example", "good\u3002example", "127.1", "0x7f.0.0.1", "0x7f000001", "2130706433", "0177.0.0.1", "1.2.3.4.5", "256.1.1.1", "a.b.1",
		"[fe80::1%eth0]", "[::1", "::1]", "[127.0.0.1]", "[]", "[good.example]", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "aa",
		"*.good.example", "good.example:443", "a,b",
	} {
		if got, err := CanonicalHost(in); err == nil {
			t.Errorf("CanonicalHost(%q) = %q, want an error", in, got)
		}
	}
}

// What the client says after the CONNECT can cause refusal, never routing.
func TestAttackAuthority(t *testing.T) {
	w := newWorld(t)
	g, e := &seen{}, &seen{}
	w.https(good, g)
	w.https(evil, e)
	w.https("evilgood.example", e)
	w.https("good.example.evil.example", e)

	for _, host := range []string{
		evil, "evil.example:443", "good.example:8443", "good.example.evil.example", "evilgood.example", "good.example@evil.example",
		"good.example, evil.example", "good.example:443:443", "203.0.113.10", "good.example\tevil.example", "http://good.example",
	} {
		t.Run("Host "+host, func(t *testing.T) {
			c := w.tunnel(good)
			fmt.Fprintf(c, "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n", host)
			strictRefusal(t, c, 421)
		})
	}
	t.Run("second request with another Host", func(t *testing.T) {
		c := w.tunnel(good)
		br := bufio.NewReader(c)
		fmt.Fprint(c, "GET /first HTTP/1.1\r\nHost: good.example\r\n\r\n")
		resp, err := http.ReadResponse(br, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%v %v", resp, err)
		}
		readAll(t, resp)
		fmt.Fprint(c, "GET /second HTTP/1.1\r\nHost: evil.example\r\n\r\n")
		if resp, err = http.ReadResponse(br, nil); err != nil || resp.StatusCode != 421 {
			t.Fatalf("%v %v, want 421", resp, err)
		}
	})
	t.Run("SNI is another name", func(t *testing.T) {
		for _, sni := range []string{evil, "sub.good.example", "good.example.evil.example"} {
			c, _ := w.connect("good.example:443")
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni})
			if err := tc.Handshake(); err == nil {
				t.Errorf("the handshake with SNI %q passed", sni)
			}
			eventually(t, "the refusal", func() bool { return w.policy.lastRefusal().Code == CodeMisdirected })
		}
	})
	t.Run("SNI is another name on a resumed session", func(t *testing.T) {
		// A ticket spares the certificate, so the name is checked before it.
		cache := tls.NewLRUClientSessionCache(1)
		for i, sni := range []string{good, evil} {
			c, _ := w.connect("good.example:443")
			tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: sni, ClientSessionCache: fixedKey{cache}, MaxVersion: tls.VersionTLS12})
			err := tc.Handshake()
			if ok := err == nil; ok != (i == 0) {
				t.Errorf("SNI %q: %v", sni, err)
			}
		}
	})
	t.Run("no SNI and a CONNECT to the name", func(t *testing.T) {
		c, _ := w.connect("good.example:443")
		tc := tls.Client(c, &tls.Config{InsecureSkipVerify: true})
		if err := tc.Handshake(); err != nil {
			t.Errorf("without SNI: %v", err)
		}
	})
	t.Run("h2 :authority", func(t *testing.T) {
		for _, host := range []string{evil, "good.example:8443", "evil.example:443"} {
			_, cc := w.h2conn(good)
			req, _ := http.NewRequest("GET", "https://good.example/x", nil)
			req.Host = host
			resp, err := cc.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			if readAll(t, resp); resp.StatusCode != 421 {
				t.Errorf(":authority %s: %s, want 421", host, resp.Status)
			}
		}
	})
	t.Run("h2 Host differs from :authority", func(t *testing.T) {
		// x/net resets the stream.
		if status := w.rawH2(good, [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", good}, {":path", "/x"}, {"host", evil}}); status == "200" {
			t.Error("passed")
		}
	})
	t.Run("plain http in the tunnel", func(t *testing.T) {
		c, _ := w.connect("good.example:443")
		fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")
		strictRefusal(t, c, 400)
		if got := w.policy.lastRefusal().Code; got != CodePlainHTTP {
			t.Errorf("refused as %q", got)
		}
	})
	t.Run("absolute http to the credentialed host", func(t *testing.T) {
		p := &seen{}
		w.http(good, p)
		resp, err := w.client().Get("http://good.example/x")
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, resp); resp.StatusCode != 200 {
			t.Errorf("%s", resp.Status)
		}
		if info, _ := w.policy.lastRequest(); info.Scheme != "http" {
			t.Errorf("the policy was asked for %+v", info)
		}
		if p.holds(canary) {
			t.Error("the canary travelled on plain http, though only the policy's answer held it")
		}
		if p.last() == nil {
			t.Error("positive control: the request did not arrive")
		}
	})
	for _, r := range e.reqs {
		t.Errorf("evil got %s %s", r.Method, r.URL)
	}
	if e.holds(canary) {
		t.Error("evil got the canary")
	}
	if !g.holds(canary) {
		t.Error("positive control: the oracle does not see the canary at good")
	}
}

// fixedKey makes a client offer one name's ticket to another.
type fixedKey struct{ tls.ClientSessionCache }

func (f fixedKey) Get(string) (*tls.ClientSessionState, bool) { return f.ClientSessionCache.Get("k") }
func (f fixedKey) Put(_ string, s *tls.ClientSessionState)    { f.ClientSessionCache.Put("k", s) }

// h2conn opens an intercepted tunnel and HTTP/2 in it.
func (w *world) h2conn(host string) (*tls.Conn, *http2.ClientConn) {
	w.t.Helper()
	c, resp := w.connect(host + ":443")
	if resp.StatusCode != 200 {
		w.t.Fatalf("CONNECT %s: %s", host, resp.Status)
	}
	tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: host, Time: w.clock.now, NextProtos: []string{"h2"}})
	if err := tc.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	cc, err := (&http2.Transport{}).NewClientConn(tc)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cc.Close() })
	return tc, cc
}
