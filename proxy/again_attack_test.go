package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// script serves good.example byte by byte. Each request is read whole and
// kept as it came; answer writes what it likes and reports whether the
// connection goes on.
type script struct {
	mu   sync.Mutex
	reqs []string // head and body, framing included
	on   []int    // the connection that each came over
}

func (s *script) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.reqs...)
}

func (s *script) conns() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.on...)
}

// tee keeps what a reader gives.
type tee struct {
	r io.Reader
	b bytes.Buffer
}

func (t *tee) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	t.b.Write(p[:n])
	return n, err
}

func (w *world) script(answer func(c net.Conn, r *http.Request) bool) *script {
	s := &script{}
	var conns atomic.Int64
	w.raw(good, func(c net.Conn) {
		id := int(conns.Add(1))
		t := &tee{r: c}
		br := bufio.NewReader(t)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				return
			}
			rest := t.b.Len() - br.Buffered()
			s.mu.Lock()
			s.reqs = append(s.reqs, string(t.b.Bytes()[:rest]))
			s.on = append(s.on, id)
			s.mu.Unlock()
			t.b.Next(rest)
			if !answer(c, r) {
				return
			}
		}
	})
	return s
}

const (
	unauthorized = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 3\r\n\r\nno\n"
	fine         = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
)

func fresh(r *http.Request) bool { return r.Header.Get("Authorization") == "Bearer "+newToken }

// plainAnswer rejects the old token and takes the new one.
func plainAnswer(c net.Conn, r *http.Request) bool {
	text := unauthorized
	if fresh(r) {
		text = fine
	}
	_, err := io.WriteString(c, text)
	return err == nil
}

// The second request is the first but for the credential, byte by byte, and
// what the client sent behind it is a request of its own.
func TestAttackFramingOfTheRequestSentAgain(t *testing.T) {
	inner := "GET /smuggled HTTP/1.1\r\nHost: good.example\r\n\r\n"
	for name, c := range map[string]struct{ raw, want string }{
		"a body that looks like a request": {
			fmt.Sprintf("POST /a HTTP/1.1\r\nHost: good.example\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner),
			fmt.Sprintf("POST /a HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\nContent-Length: %d\r\n\r\n%s", len(inner), inner),
		},
		"chunks that look like a request": {
			fmt.Sprintf("POST /a HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
			fmt.Sprintf("POST /a HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", len(inner), inner),
		},
		"chunks that look like the last chunk": {
			"POST /a HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
			"POST /a HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n0\r\n\r\n\r\n0\r\n\r\n",
		},
		"no body": {
			"GET /a HTTP/1.1\r\nHost: good.example\r\n\r\n",
			"GET /a HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\n\r\n",
		},
		"an empty body": {
			"POST /a HTTP/1.1\r\nHost: good.example\r\nContent-Length: 0\r\n\r\n",
			"POST /a HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\nContent-Length: 0\r\n\r\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.rotates()
			s := w.script(plainAnswer)
			tun := w.tunnel(good)
			br := bufio.NewReader(tun)
			// In one write: what comes behind is in the buffers when the body is kept.
			_, _ = io.WriteString(tun, c.raw+"GET /behind HTTP/1.1\r\nHost: good.example\r\n\r\n")
			for range 2 {
				resp, err := http.ReadResponse(br, nil)
				if err != nil || resp.StatusCode != 200 || readAll(t, resp) != "yes" {
					t.Fatal(resp, err)
				}
			}
			behind := "GET /behind HTTP/1.1\r\nHost: good.example\r\nAuthorization: Bearer TOKEN\r\n\r\n"
			var want []string
			for _, r := range []string{c.want, behind} {
				for _, token := range []string{oldToken, newToken} {
					want = append(want, strings.ReplaceAll(r, "TOKEN", token))
				}
			}
			got := s.all()
			for i := range max(len(got), len(want)) {
				if i >= len(got) || i >= len(want) || got[i] != want[i] {
					t.Fatalf("the upstream got\n%q, want\n%q", got, want)
				}
			}
		})
	}
}

// However a 401 comes and whatever becomes of its connection, the request is
// sent again whole and the client sees the second answer alone.
func TestAttackHowA401Ends(t *testing.T) {
	reset := func(c net.Conn) { _ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0) }
	for name, c := range map[string]struct {
		reject func(net.Conn) bool
		same   bool // the second GET may go over the first's connection
	}{
		"plain": {func(c net.Conn) bool { _, err := io.WriteString(c, unauthorized); return err == nil }, true},
		"with 1xx before it": {func(c net.Conn) bool {
			_, err := io.WriteString(c, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+unauthorized)
			return err == nil
		}, true},
		"chunked": {func(c net.Conn) bool {
			_, err := io.WriteString(c, "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nno\n\r\n0\r\nX: y\r\n\r\n")
			return err == nil
		}, true},
		"without a body": {func(c net.Conn) bool {
			_, err := io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n")
			return err == nil
		}, true},
		"closed after": {func(c net.Conn) bool { _, _ = io.WriteString(c, unauthorized); return false }, false},
		"announced close": {func(c net.Conn) bool {
			_, _ = io.WriteString(c, strings.Replace(unauthorized, "\r\n", "\r\nConnection: close\r\n", 1))
			return false
		}, false},
		"ends with its connection": {func(c net.Conn) bool { _, _ = io.WriteString(c, "HTTP/1.1 401 No\r\n\r\nno"); return false }, false},
		"reset after":              {func(c net.Conn) bool { reset(c); _, _ = io.WriteString(c, unauthorized); return false }, false},
		"reset in its body": {func(c net.Conn) bool {
			reset(c)
			_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 900\r\n\r\nno")
			return false
		}, false},
		"huge": {func(c net.Conn) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 8000000000\r\n\r\n")
			_, _ = io.Copy(c, zeros{})
			return false
		}, false},
		"endless chunks": {func(c net.Conn) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := io.WriteString(c, "400\r\n"+strings.Repeat("x", 0x400)+"\r\n"); err != nil {
					return false
				}
			}
		}, false},
		"stalled in its body": {func(c net.Conn) bool {
			_, _ = io.WriteString(c, "HTTP/1.1 401 No\r\nContent-Length: 900\r\n\r\nno")
			_, _ = io.Copy(io.Discard, c)
			return false
		}, false},
		"answers of its own behind it": {func(c net.Conn) bool {
			_, err := io.WriteString(c, unauthorized+strings.Replace(fine, "yes", "bad", 1))
			return err == nil
		}, false},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(method+" "+name, func(t *testing.T) {
				w := newWorld(t)
				w.rotates()
				s := w.script(func(conn net.Conn, r *http.Request) bool {
					if fresh(r) {
						_, err := io.WriteString(conn, fine)
						return err == nil
					}
					return c.reject(conn)
				})
				var body io.Reader
				if method == "POST" {
					body = strings.NewReader("some text")
				}
				req, _ := http.NewRequest(method, "https://good.example/", body)
				resp, err := w.client().Do(req)
				if err != nil {
					t.Fatal(err)
				}
				if text := readAll(t, resp); resp.StatusCode != 200 || text != "yes" {
					t.Fatalf("%s %q", resp.Status, text)
				}
				got, on := s.all(), s.conns()
				if len(got) != 2 || strings.Replace(got[0], oldToken, newToken, 1) != got[1] {
					t.Fatalf("the upstream got %q", got)
				}
				if same := on[0] == on[1]; same && (!c.same || method == "POST") || !same && c.same && method == "GET" {
					t.Errorf("%s: connections %v", name, on)
				}
			})
		}
	}
}

// An upstream that answers 401 and closes before it has read the body: the
// rest of it, which the client sends after that, is in the second request.
func TestAttackRejectedBeforeTheBody(t *testing.T) {
	for _, framing := range []string{"Content-Length: 10", "Transfer-Encoding: chunked"} {
		w := newWorld(t)
		w.rotates()
		var conns atomic.Int64
		rejected := make(chan struct{})
		second := make(chan string, 1)
		w.raw(good, func(c net.Conn) {
			r, err := http.ReadRequest(bufio.NewReader(c))
			if err != nil {
				return
			}
			if conns.Add(1) == 1 {
				_, _ = io.WriteString(c, unauthorized)
				_ = c.(*tls.Conn).NetConn().(*net.TCPConn).SetLinger(0)
				_ = c.Close()
				close(rejected)
				return
			}
			text, err := io.ReadAll(r.Body)
			second <- fmt.Sprintf("%s %v", text, err)
			_, _ = io.WriteString(c, fine)
		})
		tun := w.tunnel(good)
		parts := []string{"01234", "56789"}
		if framing[0] == 'T' {
			parts = []string{"5\r\n01234\r\n", "5\r\n56789\r\n0\r\n\r\n"}
		}
		fmt.Fprintf(tun, "POST /a HTTP/1.1\r\nHost: good.example\r\n%s\r\n\r\n%s", framing, parts[0])
		<-rejected
		_, _ = io.WriteString(tun, parts[1])
		resp, err := http.ReadResponse(bufio.NewReader(tun), nil)
		if err != nil || resp.StatusCode != 200 || readAll(t, resp) != "yes" {
			t.Fatalf("%s: %v %v", framing, resp, err)
		}
		if got := <-second; got != "0123456789 <nil>" {
			t.Errorf("%s: the second request has %q", framing, got)
		}
	}
}
