package testkit

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"syscall"
	"testing"

	"github.com/coder/websocket"
)

// bothProtocols runs a test against a Lab over HTTP/1.1 and over HTTP/2.
func bothProtocols(t *testing.T, test func(t *testing.T, w *World, o *Origin)) {
	t.Helper()
	for _, h1 := range []bool{true, false} {
		t.Run(map[bool]string{true: "HTTP1", false: "HTTP2"}[h1], func(t *testing.T) {
			w := New(t)
			test(t, w, w.Serve("lab.example", OriginConfig{HTTP1: h1}))
		})
	}
}

func get(t *testing.T, w *World, path string) (*http.Response, []byte, error) {
	t.Helper()
	res, err := w.Client().Get("https://lab.example" + path)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

// Each well-behaved path does over both protocols what its line in Lab says.
func TestLabBehaves(t *testing.T) {
	bothProtocols(t, func(t *testing.T, w *World, o *Origin) {
		if res, _, err := get(t, w, "/redirect?code=308&to=//evil.example/x"); err != nil || res.StatusCode != 308 || res.Header.Get("Location") != "//evil.example/x" {
			t.Errorf("redirect: %v %v", res, err)
		}
		if res, b, err := get(t, w, "/sse?n=3&every=1ms"); err != nil || string(b) != "data: {\"n\":0}\n\ndata: {\"n\":1}\n\ndata: {\"n\":2}\n\n" || res.Header.Get("Content-Type") != "text/event-stream" {
			t.Errorf("sse: %q %v", b, err)
		}
		want := make([]byte, 100_000)
		_, _ = (&Pattern{}).Read(want)
		for _, q := range []string{"", "&chunked=1"} {
			if res, b, err := get(t, w, "/bytes?n=100000"+q); err != nil || !bytes.Equal(b, want) || (res.ContentLength == 100_000) != (q == "") {
				t.Errorf("bytes%s: %d bytes, length %d, %v", q, len(b), res.ContentLength, err)
			}
		}
		if res, _, err := get(t, w, "/trailers"); err != nil || res.Trailer.Get("X-Sum") != "5" {
			t.Errorf("trailers: %v %v", res, err)
		}
		if _, b, err := get(t, w, "/slow?head=1ms&body=1ms"); err != nil || string(b) != "slow\n" {
			t.Errorf("slow: %q %v", b, err)
		}
		early := 0
		trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { early = code; return nil }}
		req, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), http.MethodGet, "https://lab.example/early", nil)
		res, err := w.Client().Do(req)
		if err != nil || early != 103 || res.StatusCode != 200 {
			t.Fatalf("early: %d then %v %v", early, res, err)
		}
		_ = res.Body.Close()

		sum := sha256.Sum256(want)
		res, err = w.Client().Post("https://lab.example/sink", "application/octet-stream", io.MultiReader(bytes.NewReader(want)))
		if err != nil {
			t.Fatal(err)
		}
		var said struct {
			Bytes  int64
			SHA256 string
		}
		err = json.NewDecoder(res.Body).Decode(&said)
		_ = res.Body.Close()
		if err != nil || said.Bytes != 100_000 || said.SHA256 != hex.EncodeToString(sum[:]) {
			t.Errorf("sink: %+v %v", said, err)
		}
		all := o.Requests()
		if last := all[len(all)-1]; last.BodyBytes != 100_000 || last.BodySHA256 != said.SHA256 || len(last.Body) != bodyKept || last.Status != 200 {
			t.Errorf("the log of the upload is wrong: %d bytes, %s, kept %d, status %d", last.BodyBytes, last.BodySHA256, len(last.Body), last.Status)
		}
	})
}

// What was sent comes back before the rest is sent.
func TestLabIsFullDuplex(t *testing.T) {
	bothProtocols(t, func(t *testing.T, w *World, _ *Origin) {
		r, body := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://lab.example/duplex", r)
		res, err := w.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = res.Body.Close() }()
		back := bufio.NewReader(res.Body)
		for i := range 3 {
			if _, err := fmt.Fprintf(body, "line %d\n", i); err != nil {
				t.Fatal(err)
			}
			if line, err := back.ReadString('\n'); err != nil || line != fmt.Sprintf("line %d\n", i) {
				t.Fatalf("got %q, %v", line, err)
			}
		}
		_ = body.Close()
		if rest, err := io.ReadAll(back); err != nil || len(rest) != 0 {
			t.Errorf("the end: %q %v", rest, err)
		}
	})
}

// A broken answer is an error for its client, never a clean end.
func TestLabBreaks(t *testing.T) {
	bothProtocols(t, func(t *testing.T, w *World, _ *Origin) {
		for _, path := range []string{"/broken/reset", "/broken/short", "/broken/chunk", "/broken/close"} {
			if _, b, err := get(t, w, path); err == nil {
				t.Errorf("%s ended cleanly after %d bytes", path, len(b))
			}
		}
	})
	w := New(t)
	w.Serve("lab.example", OriginConfig{HTTP1: true})
	if _, _, err := get(t, w, "/broken/reset"); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("/broken/reset over HTTP/1.1: %v, want a TCP reset", err)
	}
}

func TestLabSpeaksWebSocket(t *testing.T) {
	w := New(t)
	w.Serve("lab.example", OriginConfig{HTTP1: true})
	client := w.Client()
	c, _, err := websocket.Dial(t.Context(), "wss://lab.example/ws", &websocket.DialOptions{HTTPClient: client})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.CloseNow() }()
	c.SetReadLimit(1 << 20)
	for _, message := range []string{"hello", strings.Repeat("x", 300_000)} {
		if err := c.Write(t.Context(), websocket.MessageText, []byte(message)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(t.Context()); err != nil || string(b) != message {
			t.Fatalf("got %d bytes, %v", len(b), err)
		}
	}
}

// Bad certificates are refused by a client that verifies, and counted.
func TestOriginsWithBadCertificates(t *testing.T) {
	w := New(t)
	other, err := NewCA("someone else")
	if err != nil {
		t.Fatal(err)
	}
	for name, leaf := range map[string]struct {
		ca   *CA
		leaf Leaf
	}{
		"expired.example":   {w.CA, Leaf{Names: []string{"expired.example"}, Lifetime: 1}},
		"misnamed.example":  {w.CA, Leaf{Names: []string{"other.example"}}},
		"selfmade.example":  {w.CA, Leaf{Names: []string{"selfmade.example"}, SelfSign: true}},
		"untrusted.example": {other, Leaf{Names: []string{"untrusted.example"}}},
		"clientuse.example": {w.CA, Leaf{Names: []string{"clientuse.example"}, ClientUse: true}},
	} {
		cert, err := leaf.ca.Issue(leaf.leaf)
		if err != nil {
			t.Fatal(err)
		}
		o := w.Serve(name, OriginConfig{Certificate: cert})
		if res, err := w.Client().Get("https://" + name + "/echo"); err == nil {
			_ = res.Body.Close()
			t.Errorf("%s was accepted", name)
		}
		Eventually(t, timeForHandshake, name+" notes the failed handshake", func() bool {
			_, failed := o.Handshakes()
			return len(failed) == 1
		})
	}
}

// A raw origin is given connections before TLS, and its goroutines end with
// the test.
func TestRawOrigin(t *testing.T) {
	w := New(t)
	o := w.Serve("raw.example", OriginConfig{Conn: func(c net.Conn) {
		_, _ = io.WriteString(c, "hello\n")
		_, _ = c.Read(make([]byte, 1)) // until the client or the test goes
	}})
	c, err := w.Dial(t.Context(), "tcp", net.JoinHostPort(o.Addr.String(), "443"))
	if err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || line != "hello\n" {
		t.Errorf("got %q, %v", line, err)
	}
	_ = c.Close()
}
