package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2frames opens an intercepted tunnel for frames by hand.
func (w *world) h2frames(host string) (*tls.Conn, *http2.Framer) {
	w.t.Helper()
	c, _ := w.connect(host + ":443")
	tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: host, Time: w.clock.now, NextProtos: []string{"h2"}})
	if err := tc.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	_ = tc.SetDeadline(time.Now().Add(20 * time.Second))
	_, _ = io.WriteString(tc, http2.ClientPreface)
	fr := http2.NewFramer(tc, tc)
	_ = fr.WriteSettings()
	return tc, fr
}

func headerBlock(fields ...string) []byte {
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for i := 0; i < len(fields); i += 2 {
		_ = enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	return block.Bytes()
}

// Streams that are opened and reset at once (CVE-2023-44487) make no more work
// at a time than streams that are not, and the session serves on.
func TestAttackRapidReset(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Streams = 20 })
	g := &seen{}
	w.https(good, g)
	var now, most atomic.Int64
	w.policy.auth = func(ctx context.Context, _ *RequestInfo) (*Injection, error) {
		for n := now.Add(1); ; {
			if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
				break
			}
		}
		defer now.Add(-1)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	tc, fr := w.h2frames(good)
	go func() { _, _ = io.Copy(io.Discard, tc) }()
	block := headerBlock(":method", "GET", ":scheme", "https", ":authority", good, ":path", "/")
	for i := range 5_000 {
		id := uint32(2*i + 1)
		if fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil || fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break // x/net may end the connection
		}
	}
	eventually(t, "the requests to end", func() bool { return now.Load() == 0 && w.policy.asked.Load() > 0 })
	if n := most.Load(); n > 20 {
		t.Errorf("%d requests were worked on at once, want 20 at most", n)
	}
	if g.last() != nil {
		t.Error("a request that was reset arrived")
	}
	w.policy.mu.Lock()
	w.policy.auth = nil
	w.policy.mu.Unlock()
	resp, err := w.client().Get("https://good.example/")
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.StatusCode != 200 {
		t.Errorf("afterwards: %s", resp.Status)
	}
}

// A head in endless CONTINUATION frames ends the connection (CVE-2023-45288).
func TestAttackContinuationFlood(t *testing.T) {
	w := newWorld(t)
	tc, fr := w.h2frames(good)
	go func() { _, _ = io.Copy(io.Discard, tc) }()
	block := headerBlock(":method", "GET", ":scheme", "https", ":authority", good, ":path", "/")
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true})
	var sent int
	for sent = 0; sent < 64<<20; {
		more := headerBlock("x-"+strings.Repeat("a", 100), strings.Repeat("b", 8000))
		if fr.WriteContinuation(1, false, more) != nil {
			break
		}
		sent += len(more)
	}
	if sent >= 64<<20 {
		t.Error("64 MiB of head were taken")
	}
	if w.policy.asked.Load() != 0 {
		t.Error("the request was served")
	}
}

// HTTP/2's own forms of what rule 7 refuses.
func TestAttackMalformedHTTP2(t *testing.T) {
	w := newWorld(t)
	g := &seen{}
	w.https(good, g)
	base := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", good}, {":path", "/x"}}
	with := func(f ...[2]string) [][2]string { return append(append([][2]string(nil), base...), f...) }
	replace := func(name, value string) [][2]string {
		f := append([][2]string(nil), base...)
		for i := range f {
			if f[i][0] == name {
				f[i][1] = value
			}
		}
		return f
	}
	for name, fields := range map[string][][2]string{
		"Transfer-Encoding":   with([2]string{"transfer-encoding", "chunked"}),
		"Connection":          with([2]string{"connection", "close"}),
		"upper-case name":     with([2]string{"X-Upper", "y"}),
		"CR in a value":       with([2]string{"x", "a\r\nb: c"}),
		"NUL in a value":      with([2]string{"x", "a\x00b"}),
		"two Authorizations":  with([2]string{"authorization", "a"}, [2]string{"authorization", "b"}),
		"another Host":        with([2]string{"host", evil}),
		"two :path":           with([2]string{":path", "/y"}),
		"pseudo after field":  {{":method", "GET"}, {":scheme", "https"}, {":authority", good}, {"x", "y"}, {":path", "/x"}},
		"no :path":            base[:3],
		"empty :path":         replace(":path", ""),
		":path without slash": replace(":path", "x"),
		":path absolute":      replace(":path", "https://evil.example/"),
		":path fragment":      replace(":path", "/a#b"),
		":path space":         replace(":path", "/a b"),
		":path CRLF":          replace(":path", "/a HTTP/1.1\r\nHost: evil.example\r\n\r\n"),
		":path bad percent":   replace(":path", "/a%zz"),
		":method with space":  replace(":method", "GET /evil HTTP/1.1\r\nX:"),
		":method TRACE":       replace(":method", "TRACE"),
		":method CONNECT":     replace(":method", "CONNECT"),
		":scheme http":        replace(":scheme", "http"),
		":authority evil":     replace(":authority", evil),
		":authority userinfo": replace(":authority", "good.example@evil.example"),
		"userinfo good":       replace(":authority", "evil@good.example"),
		"extended CONNECT":    append(replace(":method", "CONNECT"), [2]string{":protocol", "websocket"}),
	} {
		if status := w.rawH2(good, fields); status == "200" {
			t.Errorf("%s: passed", name)
		}
	}
	if r := g.last(); r != nil {
		t.Errorf("%s %s arrived", r.Method, r.RequestURI)
	}
	if status := w.rawH2(good, base); status != "200" || !g.holds(canary) {
		t.Errorf("positive control: %s", status)
	}
}

// An upstream that answers in forms that could shift the border between two
// answers, or without end, is cut off.
func TestAttackUpstreamAnswers(t *testing.T) {
	for name, answer := range map[string]string{
		"CL and TE":         "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two CL":            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
		"TE list":           "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
		"TE in 1.0":         "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"fold":              "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
		"NUL":               "HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
		"bare CR":           "HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\n\r\n",
		"no HTTP":           "SSH-2.0-OpenSSH_9.2\r\n\r\n",
		"status of two":     "HTTP/1.1 20 OK\r\n\r\n",
		"endless 1xx":       strings.Repeat("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", 1000),
		"101 nobody wanted": "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
		"10,000 fields":     "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n",
		"1 MiB cookie":      "HTTP/1.1 200 OK\r\nSet-Cookie: " + strings.Repeat("c", 1<<20) + "\r\n\r\n",
		"nothing":           "",
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.raw(good, func(c net.Conn) {
				_, _ = c.Read(make([]byte, 4096))
				_, _ = io.WriteString(c, answer)
			})
			resp, err := w.client().Post("https://good.example/", "x/y", strings.NewReader("x"))
			if err != nil {
				t.Fatal(err)
			}
			if b := readAll(t, resp); resp.StatusCode != 502 || !strings.Contains(b, CodeUpstream) {
				t.Errorf("%s %.100q", resp.Status, b)
			}
		})
	}
	// Positive control: laxness that harms nobody passes.
	w := newWorld(t)
	w.raw("other.example", func(c net.Conn) {
		_, _ = c.Read(make([]byte, 4096))
		fmt.Fprint(c, "HTTP/1.1 200 \nContent-Length: 2\nContent-Length: 2\n\nok")
	})
	w.policy.route = func(ConnectInfo) Route { return Route{Action: Intercept} }
	resp, err := w.client().Get("https://other.example/")
	if err != nil {
		t.Fatal(err)
	}
	if b := readAll(t, resp); resp.StatusCode != 200 || b != "ok" {
		t.Errorf("%s %q", resp.Status, b)
	}
}
