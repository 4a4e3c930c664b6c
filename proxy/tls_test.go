package proxy

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// An upstream that cannot prove its name gets no request at all.
func TestAttackBadUpstreamCertificates(t *testing.T) {
	stranger, err := NewCA([]string{good}, nil, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	old, err := NewCA([]string{good}, nil, func() time.Time { return time.Now().Add(-20 * 24 * time.Hour) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(w *world, s *httptest.Server){
		"unknown authority": func(_ *world, s *httptest.Server) {
			s.TLS.Certificates = []tls.Certificate{(&testCA{stranger}).cert(t, good)}
		},
		"another name": func(w *world, s *httptest.Server) { s.TLS.Certificates = []tls.Certificate{w.origin.cert(t, evil)} },
		"expired": func(_ *world, s *httptest.Server) {
			s.TLS.Certificates = []tls.Certificate{(&testCA{old}).cert(t, good)}
		},
		"TLS 1.1": func(_ *world, s *httptest.Server) {
			s.TLS.MinVersion, s.TLS.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
		},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, func(o *Options) {
					if name == "expired" {
						o.Roots.AppendCertsFromPEM(old.CertPEM())
					}
				})
				g := &seen{}
				w.https(good, g, func(s *httptest.Server) { change(w, s) })
				resp, err := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 }).Get("https://good.example/")
				if err != nil {
					t.Fatal(err)
				}
				if b := readAll(t, resp); resp.StatusCode != 502 || !strings.Contains(b, CodeUpstreamTLS) {
					t.Errorf("%s %s", resp.Status, b)
				}
				if g.last() != nil {
					t.Error("the request arrived")
				}
				eventually(t, "the outcome", func() bool { return w.policy.lastOutcome().Err == endedTLS })
			})
		}
	}
}

// A client that refuses the session's certificate is named as such, for the
// audit.
func TestPinnedClientIsReported(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		w := newWorld(t)
		w.https(good, &seen{})
		c, _ := w.connect("good.example:443")
		tc := tls.Client(c, &tls.Config{RootCAs: w.origin.roots(), ServerName: good, MaxVersion: version})
		if err := tc.Handshake(); err == nil {
			t.Fatal("the client took the session's certificate")
		}
		eventually(t, "the report", func() bool { return w.policy.lastRefusal().Code == CodeClientTLS })
		if m := w.policy.lastRefusal().Message; !strings.Contains(m, "pins") || !strings.Contains(m, "bad certificate") && !strings.Contains(m, "unknown certificate") {
			t.Errorf("reported as %q", m)
		}
	}
}

func TestOldTLSFromClientIsRefused(t *testing.T) {
	w := newWorld(t)
	c, _ := w.connect("good.example:443")
	tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: good, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err := tc.Handshake(); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
}

func TestClientSessionsResume(t *testing.T) {
	w := newWorld(t)
	w.https(good, &seen{})
	cache := tls.NewLRUClientSessionCache(1)
	for i := range 2 {
		c, _ := w.connect("good.example:443")
		tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: good, ClientSessionCache: cache, MaxVersion: tls.VersionTLS12})
		if err := tc.Handshake(); err != nil {
			t.Fatal(err)
		}
		if got := tc.ConnectionState().DidResume; got != (i == 1) {
			t.Errorf("connection %d resumed: %v", i, got)
		}
		tc.Close()
	}
}

func parseCA(t *testing.T, ca *CA) *x509.Certificate {
	t.Helper()
	b, _ := pem.Decode(ca.CertPEM())
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCA(t *testing.T) {
	clk := &clock{}
	ca, err := NewCA([]string{good, "*.supabase.example"}, nil, clk.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := parseCA(t, ca)
	now := time.Now()
	if !c.IsCA || c.MaxPathLen != 0 || !c.MaxPathLenZero || !c.PermittedDNSDomainsCritical || c.KeyUsage != x509.KeyUsageCertSign {
		t.Errorf("CA %v, path %d, critical %v, usage %v", c.IsCA, c.MaxPathLen, c.PermittedDNSDomainsCritical, c.KeyUsage)
	}
	if d := now.Sub(c.NotBefore); d < 23*time.Hour || d > 25*time.Hour {
		t.Errorf("NotBefore is %v ago", d)
	}
	if d := c.NotAfter.Sub(now); d < 29*24*time.Hour || d > 31*24*time.Hour {
		t.Errorf("NotAfter is in %v", d)
	}
	if got := strings.Join(c.PermittedDNSDomains, " "); got != "good.example kb.invalid supabase.example" {
		t.Errorf("permitted %q", got)
	}
	if len(c.ExcludedIPRanges) != 2 || c.ExcludedIPRanges[0].String() != "0.0.0.0/0" || c.ExcludedIPRanges[1].String() != "::/0" {
		t.Errorf("excluded %v", c.ExcludedIPRanges)
	}
	verify := func(l *tls.Certificate, name string, root *x509.Certificate) error {
		pool := x509.NewCertPool()
		pool.AddCert(root)
		_, err := l.Leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: name, CurrentTime: clk.now()})
		return err
	}
	for host, ok := range map[string]bool{
		good: true, "a.supabase.example": true, "a.b.supabase.example": true, Sentinel: true,
		"sub.good.example": false, "supabase.example": false, "evilsupabase.example": false, evil: false, "127.0.0.1": false,
	} {
		l, err := ca.leaf(host)
		if (err == nil) != ok {
			t.Errorf("leaf for %s: %v", host, err)
		}
		if err == nil {
			if err := verify(l, host, c); err != nil {
				t.Errorf("verify %s: %v", host, err)
			}
		}
	}
	// Even a leaf that slipped past the list is worth nothing to a client.
	l, err := ca.mint(evil)
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(l, evil, c); err == nil {
		t.Error("the name constraints let evil pass")
	}
	if l, err = ca.mint("203.0.113.9"); err != nil {
		t.Fatal(err)
	}
	if err := verify(l, "203.0.113.9", c); err == nil {
		t.Error("the name constraints let an address pass")
	}

	// A wider list: same key and subject, leaves of before stay good.
	before, _ := ca.leaf(good)
	if err := ca.Reissue([]string{good, "new.example"}, []netip.Addr{netip.MustParseAddr("203.0.113.9")}); err != nil {
		t.Fatal(err)
	}
	wide := parseCA(t, ca)
	if !wide.PublicKey.(*ecdsa.PublicKey).Equal(c.PublicKey) || wide.Subject.String() != c.Subject.String() || string(wide.SubjectKeyId) != string(c.SubjectKeyId) || wide.SerialNumber.Cmp(c.SerialNumber) == 0 {
		t.Error("reissued with another key or subject, or the same serial")
	}
	if err := verify(before, good, wide); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"new.example", "203.0.113.9"} {
		l, err := ca.leaf(host)
		if err != nil {
			t.Fatal(err)
		}
		if err := verify(l, host, wide); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		if err := verify(l, host, c); err == nil {
			t.Errorf("%s is good for who loaded the old certificate", host)
		}
	}
	if _, err := ca.leaf("203.0.113.10"); err == nil {
		t.Error("another address passes")
	}

	// Leaves are minted again before they end.
	first, _ := ca.leaf(good)
	clk.advance(13 * time.Hour)
	second, _ := ca.leaf(good)
	if first == second || !second.Leaf.NotAfter.After(first.Leaf.NotAfter) {
		t.Error("an old leaf was kept")
	}
	for _, host := range []string{"Good.example", "good.example.", "127.0.0.1", "", "*", "*.", "bücher.example"} {
		if _, err := NewCA([]string{host}, nil, clk.now, nil); err == nil {
			t.Errorf("NewCA took %q", host)
		}
	}
	// Without any host there is still a constraint.
	empty, err := NewCA(nil, nil, clk.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := parseCA(t, empty).PermittedDNSDomains; len(got) != 1 || got[0] != Sentinel {
		t.Errorf("permitted %v", got)
	}
}

func TestLeafIsMintedOnce(t *testing.T) {
	ca, err := NewCA([]string{good}, nil, time.Now, nil)
	if err != nil {
		t.Fatal(err)
	}
	ca.Warm([]string{good, evil, "*.example"})
	want, _ := ca.leaf(good)
	var wg sync.WaitGroup
	for range 16 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if got, _ := ca.leaf(good); got != want {
				t.Error("minted again")
			}
		}()
	}
	wg.Wait()
}

func BenchmarkNewCA(b *testing.B) {
	hosts := make([]string, 200)
	for i := range hosts {
		hosts[i] = fmt.Sprintf("api-%d.provider.example", i)
	}
	for b.Loop() {
		if _, err := NewCA(hosts, nil, time.Now, nil); err != nil {
			b.Fatal(err)
		}
	}
}
