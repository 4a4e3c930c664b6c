package e2e

import (
	"bytes"
	"compress/gzip"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"kb/internal/testkit"
)

// smuggled is a path that no honest request of these tests has: whoever sees it
// took bytes of a body, or of what follows a refused request, for a request.
const smuggled = "/smuggled"

// attackForms are requests that RFC 9112 leaves to the recipient's good will, or
// forbids: HOST stands for the Host line. Each is refused with 400 unless status
// says otherwise, the connection is closed, and nothing behind it is served.
var attackForms = []struct {
	name, raw string
	status    int
}{
	{"Content-Length and Transfer-Encoding", "POST /a HTTP/1.1\r\nHOSTContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"Transfer-Encoding and Content-Length", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400},
	{"duplicate equal Content-Length", "POST /a HTTP/1.1\r\nHOSTContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
	{"duplicate unequal Content-Length", "POST /a HTTP/1.1\r\nHOSTContent-Length: 0\r\nContent-Length: 9\r\n\r\n", 400},
	{"Content-Length list", "POST /a HTTP/1.1\r\nHOSTContent-Length: 0,0\r\n\r\n", 400},
	{"Content-Length with a sign", "POST /a HTTP/1.1\r\nHOSTContent-Length: +0\r\n\r\n", 400},
	{"bare LF", "GET /a HTTP/1.1\nHOST\n", 400},
	{"bare LF inside the head", "GET /a HTTP/1.1\r\nHOSTX: y\nX: z\r\n\r\n", 400},
	{"bare CR", "GET /a HTTP/1.1\r\nHOSTX: y\rAuthorization: z\r\n\r\n", 400},
	{"obs-fold", "GET /a HTTP/1.1\r\nHOSTX: y\r\n z\r\n\r\n", 400},
	{"obs-fold of Authorization", "GET /a HTTP/1.1\r\nHOSTAuthorization: Bearer\r\n\tz\r\n\r\n", 400},
	{"HTTP/1.0 with Transfer-Encoding", "POST /a HTTP/1.0\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"chunk extension", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n1;a=b\r\nx\r\n0\r\n\r\n", 400},
	{"chunk size in decimal with a prefix", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n", 400},
	{"chunk size that overflows", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nx\r\n0\r\n\r\n", 400},
	{"chunk ended by bare LF", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n1\nx\n0\n\n", 400},
	{"Transfer-Encoding with a space before the colon", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
	{"Transfer-Encoding with a vertical tab", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: \vchunked\r\n\r\n0\r\n\r\n", 400},
	{"Transfer-Encoding xchunked", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400},
	{"Transfer-Encoding twice", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"two Authorization lines", "GET /a HTTP/1.1\r\nHOSTAuthorization: a\r\nAuthorization: b\r\n\r\n", 400},
	{"two Host lines", "GET /a HTTP/1.1\r\nHOSTHost: evil.example\r\n\r\n", 400},
	{"no Host line", "GET /a HTTP/1.1\r\n\r\n", 400},
	{"Authorization in a trailer", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n", 400},
	{"Host in a trailer", "POST /a HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil.example\r\n\r\n", 400},
	{"NUL in a value", "GET /a HTTP/1.1\r\nHOSTX: a\x00b\r\n\r\n", 400},
	{"method with a colon", "GET: /a HTTP/1.1\r\nHOST\r\n", 400},
	{"line of HTTP/0.9", "GET /a\r\n", 400},
	{"empty line first", "\r\nGET /a HTTP/1.1\r\nHOST\r\n", 400},
	{"TRACE", "TRACE /a HTTP/1.1\r\nHOST\r\n", 405},
	{"CONNECT inside", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 405},
	{"10,000 headers", "GET /a HTTP/1.1\r\nHOST" + strings.Repeat("X: y\r\n", 10_000) + "\r\n", 431},
	{"1 MiB cookie", "GET /a HTTP/1.1\r\nHOSTCookie: a=" + strings.Repeat("c", 1<<20) + "\r\n\r\n", 431},
}

// connectForms are CONNECT requests of the same kind.
var connectForms = []struct{ name, raw string }{
	{"CONNECT with a body", "CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\nAUTHContent-Length: 5\r\n\r\nhello"},
	{"CONNECT with chunks", "CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\nAUTHTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{"CONNECT with bare LF", "CONNECT api.github.com:443 HTTP/1.1\nHost: api.github.com:443\nAUTH\n"},
	{"CONNECT in origin form", "CONNECT / HTTP/1.1\r\nHost: api.github.com:443\r\nAUTH\r\n"},
	{"CONNECT with a URI", "CONNECT https://api.github.com:443/ HTTP/1.1\r\nHost: api.github.com:443\r\nAUTH\r\n"},
	{"CONNECT with two proxy authorizations", "CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com:443\r\nAUTHProxy-Authorization: Basic eDp5\r\n\r\n"},
	{"CONNECT with a fold", "CONNECT api.github.com:443 HTTP/1.1\r\nHost: api.github.com\r\n :443\r\nAUTH\r\n"},
	{"CONNECT with CR in the target", "CONNECT api.github.com:443\rX HTTP/1.1\r\nHost: api.github.com:443\r\nAUTH\r\n"},
}

// TestAttackParsing sends what parsers read in different ways, and too much of
// everything.
func TestAttackParsing(t *testing.T) {
	a := newArena(t)
	bomb := gzipBomb(t)
	bombs := a.serve("n30.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		case "/headers":
			for i := range 10_000 {
				w.Header().Set("X-"+strconv.Itoa(i), "y")
			}
		case "/header":
			w.Header().Set("X", strings.Repeat("y", 1<<20))
		}
	})})
	spills := []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nspill",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 9\r\n\r\nok",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\nspill",
	}
	cert, err := a.CA.Issue(testkit.Leaf{Names: []string{"n31.acme.example"}})
	if err != nil {
		t.Fatal(err)
	}
	var spill atomic.Int32 // which answer is given
	a.serve("n31.acme.example", testkit.OriginConfig{Conn: func(c net.Conn) {
		secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{*cert}})
		buf := make([]byte, 4096)
		for {
			if _, err := secure.Read(buf); err != nil {
				return
			}
			_, _ = io.WriteString(secure, spills[spill.Load()])
		}
	}})
	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	slow := a.slowLoris()
	good := at{origin: a.good, port: 8443}

	for _, form := range attackForms {
		a.attack(form.name, good, func(t *testing.T) answer {
			raw := strings.ReplaceAll(form.raw, "HOST", "Host: "+goodHost+"\r\n")
			got := a.inside(goodHost+":443", goodHost, raw+get(goodHost, smuggled))
			a.noSmuggling(t, got)
			return got
		}, form.status)
	}
	for _, form := range connectForms {
		a.attack(form.name, good, func(t *testing.T) answer {
			got := a.proxied(form.raw)
			a.noSmuggling(t, got)
			return got
		}, 400)
	}
	// What stands in a body, or in what a smuggler calls a body, stays there.
	inner := get(goodHost, smuggled)
	for _, pair := range []struct{ name, raw string }{
		{"a request in a body of known length", "POST /sink HTTP/1.1\r\nHOSTContent-Length: " + strconv.Itoa(len(inner)) + "\r\nConnection: close\r\n\r\n" + inner},
		{"a request in a chunk", fmt.Sprintf("POST /sink HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)},
		{"a request behind Connection: close", "GET /status?code=204 HTTP/1.1\r\nHOSTConnection: close\r\n\r\n" + inner},
		{"a request in a GET's body", "GET /sink HTTP/1.1\r\nHOSTContent-Length: " + strconv.Itoa(len(inner)) + "\r\nConnection: close\r\n\r\n" + inner},
		{"Connection names Content-Length", "POST /sink HTTP/1.1\r\nHOSTContent-Length: " + strconv.Itoa(len(inner)) + "\r\nConnection: close, content-length\r\n\r\n" + inner},
		{"Connection names Transfer-Encoding", fmt.Sprintf("POST /sink HTTP/1.1\r\nHOSTTransfer-Encoding: chunked\r\nConnection: close, transfer-encoding\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner)},
	} {
		a.attack(pair.name, good, func(t *testing.T) answer {
			got := a.inside(goodHost+":443", goodHost, strings.ReplaceAll(pair.raw, "HOST", "Host: "+goodHost+"\r\n"))
			a.noSmuggling(t, got)
			return got
		}, 200, 204)
	}
	a.attack("Upgrade: h2c", good, func(t *testing.T) answer {
		got := a.inside(goodHost+":443", goodHost, "GET /status?code=204 HTTP/1.1\r\nHost: "+goodHost+"\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"+inner)
		for _, r := range a.good.Requests() {
			if r.Header.Get("Upgrade") != "" || r.Header.Get("Http2-Settings") != "" {
				t.Error("the upgrade was passed on")
			}
		}
		a.noSmuggling(t, got)
		return got
	}, 204)
	a.attack("Upgrade: websocket that the host does not grant", good, func(t *testing.T) answer {
		got := a.inside(goodHost+":443", goodHost, "GET /status?code=204 HTTP/1.1\r\nHost: "+goodHost+"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nCONNECT evil.example:443 HTTP/1.1\r\n\r\n")
		if !strings.Contains(got.text, "HTTP/1.1 400") {
			t.Errorf("what followed was not taken for a request, and refused:\n%.400s", got.text)
		}
		return got
	}, 204)
	for i, name := range []string{"an answer that spills over", "two lengths in an answer", "a length and chunks in an answer", "101 that nobody asked for"} {
		a.attack(name, good, func(t *testing.T) answer {
			spill.Store(int32(i)) //nolint:gosec // one of four
			c, got := a.tunnelTLS("n31.acme.example:443", "", &tls.Config{ServerName: "n31.acme.example"})
			if c == nil {
				t.Fatal(got.text)
			}
			defer func() { _ = c.Close() }()
			got = a.exchange(c, get("n31.acme.example", "/"))
			if strings.Contains(got.text, "spill") {
				t.Errorf("bytes beyond the answer were given to the client:\n%s", got.text)
			}
			return got
		}, []int{200, 502, 502, 502}[i])
	}
	a.secretsWithBreaks(t)
	a.floods(t)
	a.attack("gzip bomb", answers{a}, func(t *testing.T) answer {
		got := a.inside(bombs.Name+":443", bombs.Name, get(bombs.Name, "/bomb", "Accept-Encoding: gzip"))
		if rss := a.residentMiB(t); rss > 200 {
			t.Errorf("kb holds %d MiB", rss)
		}
		return got
	}, 200)
	for _, path := range []string{"/headers", "/header"} {
		a.attack("an answer of too much head, "+path, answers{a}, func(t *testing.T) answer {
			return a.inside(bombs.Name+":443", bombs.Name, get(bombs.Name, path))
		}, 502)
	}
	a.works(t)
	slow(t)
	a.works(t)
}

// noSmuggling checks that the origin saw no request that nobody may send, and
// that the client got one answer.
func (a *arena) noSmuggling(t *testing.T, got answer) {
	t.Helper()
	for _, r := range a.good.Requests() {
		if r.Path == smuggled {
			t.Errorf("a smuggled request arrived over %s", r.Proto)
		}
	}
	if n := strings.Count(got.text, "HTTP/1.1 "); n > 1 && !strings.Contains(got.text, "HTTP/1.1 100") {
		t.Errorf("%d answers came:\n%.600s", n, got.text)
	}
}

// secretsWithBreaks tries to keep, and to inject, a secret that would end a
// header line.
func (a *arena) secretsWithBreaks(t *testing.T) {
	for name, breaker := range map[string]string{"CRLF": "\r\nX-Injected: 1", "LF": "\nX-Injected: 1", "NUL": "\x00x", "CR": "\rX"} {
		a.attack(name+" in a stored secret", at{origin: a.evil}, func(t *testing.T) answer {
			r := a.run(a.home.Env, a.work+breaker, a.kb, "login", "github", "-p", "work", "--stdin", "--no-verify", "--as", "broken"+strings.ToLower(name))
			if r.Code == 0 {
				t.Error("the secret was kept")
			}
			return answer{text: r.All()}
		})
		a.attack(name+" in a secret behind a reference", at{origin: a.good, port: 8443}, func(t *testing.T) answer {
			file := filepath.Join(t.TempDir(), "secret")
			if err := os.WriteFile(file, []byte(a.work+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			as := "ref" + strings.ToLower(name)
			a.ok("", "login", "github", "-p", "work", "--from", "file:"+file, "--no-verify", "--as", as)
			if err := os.WriteFile(file, []byte(a.work+breaker+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			a.good.Forget()
			r := a.run(a.home.Env, "", a.kb, "exec", "--", "curl", "-sS", "-i", "-H", "Kb-Login: "+as, "https://"+goodHost+"/echo")
			if n := reached(a.good); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			a.ok("", "logout", "github", "-p", "work", "--as", as)
			return answer{text: r.All()}
		})
	}
}

// floods are attacks on HTTP/2's bookkeeping; kb ends the connection, and its
// memory stays small.
func (a *arena) floods(t *testing.T) {
	a.attack("h2 rapid reset", answers{a}, func(t *testing.T) answer {
		c, fr, got := a.h2Open(goodHost)
		if c == nil {
			return got
		}
		defer func() { _ = c.Close() }()
		block := encodeFields([][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "/slow?head=30s"}})
		sent := 0
		go func() { _, _ = io.Copy(io.Discard, c) }()
		for id := uint32(1); sent < 20_000; id += 2 {
			if fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndStream: true, EndHeaders: true}) != nil ||
				fr.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
				break
			}
			sent++
		}
		if n := reached(a.good); n > 3000 {
			t.Errorf("%d of %d cancelled requests reached the origin", n, sent)
		}
		if rss := a.residentMiB(t); rss > 300 {
			t.Errorf("kb holds %d MiB", rss)
		}
		return got
	})
	a.attack("h2 CONTINUATION flood", answers{a}, func(t *testing.T) answer {
		c, fr, got := a.h2Open(goodHost)
		if c == nil {
			return got
		}
		defer func() { _ = c.Close() }()
		block := encodeFields([][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "/echo"}})
		if err := fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true}); err != nil {
			t.Fatal(err)
		}
		piece := encodeFields([][2]string{{"x", strings.Repeat("y", 8000)}})
		ended := make(chan answer, 1)
		go func() {
			b, _ := io.ReadAll(io.LimitReader(c, 1<<20)) // not by the framer, which is writing
			ended <- answer{text: string(b)}
		}()
		cut := false
		for range 100_000 {
			if fr.WriteContinuation(1, false, piece) != nil {
				cut = true
				break
			}
		}
		if !cut {
			t.Error("kb took 800 MB of CONTINUATION frames")
		}
		_ = c.Close()
		got = <-ended
		for _, r := range a.good.Requests() {
			if r.Path == "/echo" { // others are late ones of the flood before
				t.Error("the request arrived")
			}
		}
		return got
	})
	a.attack("h2 header list of 300 fields", answers{a}, func(t *testing.T) answer {
		fields := [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", goodHost}, {":path", "/echo"}}
		for range 15 {
			fields = append(fields, [2]string{"x", strings.Repeat("y", 1000)})
		}
		for len(fields) < 300 {
			fields = append(fields, [2]string{"z", "y"})
		}
		got := a.h2(goodHost, fields)
		for _, r := range a.good.Requests() {
			if r.Path == "/echo" {
				t.Error("the request arrived")
			}
		}
		return got
	}, 0, 431)
}

// residentMiB is how much memory kb holds.
func (a *arena) residentMiB(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.child.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(status), "VmRSS:")
	if !ok {
		t.Fatal("no VmRSS")
	}
	return atoi(strings.Fields(rest)[0]) / 1024
}

func gzipBomb(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
	block := make([]byte, 1<<20)
	for range 512 {
		if _, err := w.Write(block); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// slowLoris opens connections that never finish what they begin. The function
// that it returns checks that kb ends each within its limit.
func (a *arena) slowLoris() func(t *testing.T) {
	a.t.Helper()
	type slow struct {
		name  string
		conn  net.Conn
		limit time.Duration // kb's own, and some for a loaded machine
		ended chan error
	}
	began := time.Now()
	var all []slow
	open := func(name string, c net.Conn, limit time.Duration) {
		_ = c.SetDeadline(began.Add(limit))
		s := slow{name, c, limit, make(chan error, 1)}
		all = append(all, s)
		go func() {
			_, err := io.Copy(io.Discard, c)
			s.ended <- err
		}()
	}
	for range 20 {
		c := a.dial()
		_, _ = io.WriteString(c, "CONNECT "+goodHost+":443 HTTP/1.1\r\nHo")
		open("head", c, 40*time.Second)
		c, _ = a.connect(goodHost+":443", "")
		if c == nil {
			a.t.Fatal("no tunnel")
		}
		_, _ = c.Write([]byte{0x16, 3, 1, 2}) // the beginning of a TLS record
		open("TLS hello", c, 20*time.Second)
	}
	open("nothing at all", a.dial(), 40*time.Second)
	return func(t *testing.T) {
		a.attack("slowloris", answers{a}, func(t *testing.T) answer {
			for _, s := range all {
				if err := <-s.ended; err != nil && strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s: still open after %v", s.name, s.limit)
				}
				_ = s.conn.Close()
			}
			return answer{}
		})
	}
}
