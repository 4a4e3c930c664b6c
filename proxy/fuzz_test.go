package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"
)

func seeds(f *testing.F) {
	for _, c := range inTunnel {
		if len(c.raw) < 4096 {
			f.Add([]byte(strings.ReplaceAll(c.raw, "HOST", "Host: "+good)))
		}
	}
	f.Add([]byte("GET /a?b=c HTTP/1.1\r\nHost: good.example\r\nCookie: a=b; c=d\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\nGET / HTTP/1.1\r\nHost: good.example\r\n\r\n"))
	f.Add([]byte("POST /a HTTP/1.1\r\nHost: good.example\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: good.example\r\n\r\n"))
	f.Add([]byte("CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n"))
}

// Whatever the strict parser accepts, net/http parses to the same fields and
// the same body, and leaves the same bytes for the next request.
func FuzzHeadAgreesWithNetHTTP(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		rd := reader{src: iotest.OneByteReader(bytes.NewReader(raw))}
		head, err := rd.head(64<<10, true, nil)
		if err != nil {
			return
		}
		var q request
		if q.parse(head, 256) != nil {
			return
		}
		br := bufio.NewReader(bytes.NewReader(raw))
		r, err := http.ReadRequest(br)
		if err != nil {
			// net/http parses targets as URLs and refuses more of them, and Hosts.
			if _, _, hostErr := parseAuthority(q.host, 443); q.target[0] != '/' || hostErr != nil || strings.Contains(err.Error(), "parse \"") {
				return
			}
			t.Fatalf("accepted %q, net/http: %v", raw, err)
		}
		if r.Method != q.method || r.RequestURI != q.target || r.ProtoMinor != q.minor {
			t.Fatalf("%q: %s %s 1.%d, net/http %s %s %s", raw, q.method, q.target, q.minor, r.Method, r.RequestURI, r.Proto)
		}
		ours := http.Header{}
		for _, fl := range q.fields {
			switch fl.name {
			case "Host", "Transfer-Encoding", "Trailer": // net/http takes these out
			default:
				ours[fl.name] = append(ours[fl.name], fl.value)
			}
		}
		r.Header.Del("Trailer")
		for name, values := range r.Header {
			if strings.Join(ours[name], "\x00") != strings.Join(values, "\x00") {
				// Cache-Control is added for Pragma (RFC 7234 §5.4).
				if name == "Cache-Control" && ours.Get("Pragma") != "" {
					continue
				}
				t.Fatalf("%q: %s is %q, net/http %q", raw, name, ours[name], values)
			}
		}
		for name := range ours {
			if _, ok := r.Header[name]; !ok && name != "Content-Length" && name != "Connection" {
				t.Fatalf("%q: net/http does not see %s", raw, name)
			}
		}
		if q.method == http.MethodConnect {
			return
		}
		var b body
		b.reset(&rd, q.length, true)
		var got []byte
		for {
			p, err := b.next()
			got = append(got, p...)
			if err == io.EOF {
				break
			}
			if err != nil {
				return // refused or cut short
			}
		}
		want, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%q: body %q, net/http %q %v", raw, got, want, err)
		}
		ourRest, _ := io.ReadAll(&rd)
		theirRest, _ := io.ReadAll(br)
		if !bytes.Equal(ourRest, theirRest) {
			t.Fatalf("%q: the next request begins at %q, for net/http at %q", raw, ourRest, theirRest)
		}
	})
}

// Whatever bytes come through a tunnel, each request that reaches the upstream
// is one that the policy saw, and nothing of it reaches evil.
func FuzzRawBytesInTunnel(f *testing.F) {
	seeds(f)
	w := newWorld(f)
	e := &seen{}
	w.https(evil, e)
	var came atomic.Int64
	w.raw(good, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			came.Add(1)
			if r.Host != good || r.Header.Get("Authorization") != "Bearer "+canary || len(r.Header["Authorization"]) != 1 {
				panic(fmt.Sprintf("the upstream got %s %s %v", r.Method, r.RequestURI, r.Header))
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}
	})
	resp, err := w.client().Get("https://good.example/")
	if err != nil || resp.Body.Close() != nil || came.Load() != 1 {
		f.Fatalf("positive control: %v, %d requests arrived", err, came.Load())
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w.t = t // testing.F may not be used in here
		c := w.tunnel(good)
		defer c.Close()
		go func() {
			_, _ = c.Write(raw)
			_ = c.CloseWrite()
		}()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		if n := came.Load(); n > w.policy.asked.Load() {
			t.Fatalf("%q: %d requests upstream, %d judged", raw, n, w.policy.asked.Load())
		}
		if e.last() != nil {
			t.Fatalf("%q reached evil", raw)
		}
	})
}

// The parser of answers never panics, and what it makes of a head it writes
// so that net/http reads it back the same.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nX: y\r\n\r\n"))
	f.Add([]byte("HTTP/1.0 204 \nConnection: x\nX: y\n\n"))
	f.Add([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		rd := reader{src: bytes.NewReader(raw)}
		head, err := rd.head(64<<10, false, nil)
		if err != nil {
			return
		}
		var a answer
		if a.parse(head, "GET", 256) != nil {
			return
		}
		written := append(appendStatus(nil, &a), "Content-Length: 0\r\n\r\n"...)
		resp, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(written)), nil)
		if err != nil {
			t.Fatalf("%q is written as %q: %v", raw, written, err)
		}
		if resp.StatusCode != a.status {
			t.Fatalf("%q: status %d, read back as %d", raw, a.status, resp.StatusCode)
		}
		for _, fl := range a.fields {
			if !strings.Contains(strings.Join(resp.Header[fl.name], "\x00"), fl.value) && fl.name != "Trailer" {
				t.Fatalf("%q: field %q lost in %q", raw, fl, written)
			}
		}
	})
}

// Whatever bytes come through a tunnel, what is sent again after a 401 is what
// was sent first, and the policy judged it.
func FuzzSentAgain(f *testing.F) {
	seeds(f)
	w := newWorld(f)
	w.rotates()
	s := w.script(plainAnswer)
	f.Fuzz(func(t *testing.T, raw []byte) {
		w.t = t // testing.F may not be used in here
		begin := len(s.all())
		c := w.tunnel(good)
		defer c.Close()
		go func() {
			_, _ = c.Write(raw)
			_ = c.CloseWrite()
		}()
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, _ = io.Copy(io.Discard, c)
		var first string
		for _, r := range s.all()[begin:] {
			switch {
			case strings.Contains(r, "\r\nAuthorization: Bearer "+newToken+"\r\n"):
				if want := strings.Replace(first, oldToken, newToken, 1); r != want {
					t.Fatalf("%q: sent %q again as %q", raw, first, r)
				}
			case strings.Contains(r, "\r\nAuthorization: Bearer "+oldToken+"\r\n"):
				first = r
			default:
				t.Fatalf("%q: the upstream got %q", raw, r)
			}
		}
	})
}
