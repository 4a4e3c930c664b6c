package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// each runs a test over every pair of protocols: that of the client and that
// of the upstream.
func each(t *testing.T, f func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server))) {
	for _, p := range []struct {
		name       string
		client, up bool // HTTP/2
	}{{"h1 to h1", false, false}, {"h2 to h2", true, true}, {"h2 to h1", true, false}, {"h1 to both", false, true}} {
		t.Run(p.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = p.client })
			f(t, w, c, func(s *httptest.Server) { s.EnableHTTP2 = p.up })
		})
	}
}

func TestBodiesAndTrailersBothWays(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			rw.Header().Set("Trailer", "X-Sum")
			rw.Header().Set("Alt-Svc", `h3=":443"`)
			rw.Header().Set("X-Multi", "a")
			rw.Header().Add("X-Multi", "b")
			_ = http.NewResponseController(rw).EnableFullDuplex()
			n, err := io.Copy(rw, r.Body)
			if err != nil {
				t.Errorf("upstream reads: %v", err)
			}
			rw.Header().Set("X-Sum", fmt.Sprintf("%d %s", n, r.Trailer.Get("X-Up")))
		}), up)
		body := strings.Repeat("0123456789", 50_000)
		req, _ := http.NewRequest("POST", "https://good.example/echo", struct{ io.Reader }{strings.NewReader(body)})
		req.Trailer = http.Header{"X-Up": {"sent"}}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); got != body {
			t.Errorf("%d bytes came back, want %d", len(got), len(body))
		}
		if got := resp.Trailer.Get("X-Sum"); got != "500000 sent" {
			t.Errorf("trailer %q", got)
		}
		if v := resp.Header.Values("X-Multi"); len(v) != 2 {
			t.Errorf("X-Multi %q", v)
		}
		if resp.Header.Get("Alt-Svc") != "" {
			t.Error("Alt-Svc passed: the client would go past the proxy")
		}
		eventually(t, "the outcome", func() bool { return w.policy.done.Load() == 1 })
		o := w.policy.lastOutcome()
		if o.Status != 200 || o.Sent != 500_000 || o.Received != 500_000 || o.Err != "" {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestBodilessAnswers(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/head":
				rw.Header().Set("Content-Length", "12345")
			case "/204":
				rw.WriteHeader(204)
			case "/304":
				rw.Header().Set("ETag", `"x"`)
				rw.WriteHeader(304)
			case "/empty":
			}
		}), up)
		for _, path := range []string{"HEAD /head", "GET /204", "GET /304", "GET /empty", "DELETE /empty", "POST /empty"} {
			method, p, _ := strings.Cut(path, " ")
			req, _ := http.NewRequest(method, "https://good.example"+p, nil)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatalf("%s: %v", path, err)
			}
			if b := readAll(t, resp); b != "" {
				t.Errorf("%s has a body: %q", path, b)
			}
			if method == "HEAD" && resp.ContentLength != 12345 {
				t.Errorf("HEAD says %d bytes", resp.ContentLength)
			}
		}
	})
}

// Events arrive one by one: the client reads each before the upstream is let
// write the next.
func TestEventStreamIsNotHeldBack(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		next := make(chan struct{})
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Content-Type", "text/event-stream")
			_ = http.NewResponseController(rw).Flush() // the head alone
			for i := range 5 {
				<-next
				fmt.Fprintf(rw, "data: %d\n\n", i)
				_ = http.NewResponseController(rw).Flush()
			}
		}), up)
		resp, err := c.Get("https://good.example/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for i := range 5 {
			next <- struct{}{}
			line, err := br.ReadString('\n')
			if err != nil || line != fmt.Sprintf("data: %d\n", i) {
				t.Fatalf("event %d: %q %v", i, line, err)
			}
			_, _ = br.ReadString('\n')
		}
	})
}

// The client hears each line back before it writes the next.
func TestFullDuplex(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			ctl := http.NewResponseController(rw)
			_ = ctl.EnableFullDuplex()
			_ = ctl.Flush()
			br := bufio.NewReader(r.Body)
			for {
				line, err := br.ReadString('\n')
				if err != nil {
					return
				}
				_, _ = io.WriteString(rw, strings.ToUpper(line))
				_ = ctl.Flush()
			}
		}), up)
		pr, pw := io.Pipe()
		resp, err := c.Post("https://good.example/duplex", "text/plain", pr)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for i := range 5 {
			fmt.Fprintf(pw, "line %d\n", i)
			if got, err := br.ReadString('\n'); err != nil || got != fmt.Sprintf("LINE %d\n", i) {
				t.Fatalf("%q %v", got, err)
			}
		}
		pw.Close()
		if rest, err := io.ReadAll(br); err != nil || len(rest) > 0 {
			t.Errorf("at the end: %q %v", rest, err)
		}
	})
}

// An upstream that breaks off must not look as if it had finished.
func TestUpstreamResetIsAnError(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/length" {
				rw.Header().Set("Content-Length", "1000")
			}
			_, _ = io.WriteString(rw, "part")
			_ = http.NewResponseController(rw).Flush()
			panic(http.ErrAbortHandler)
		}), up)
		for _, path := range []string{"/length", "/chunked"} {
			resp, err := c.Get("https://good.example" + path)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err == nil {
				t.Errorf("%s: a clean end after %q", path, b)
			}
		}
		eventually(t, "the outcomes", func() bool { return w.policy.done.Load() == 2 })
		if o := w.policy.lastOutcome(); o.Err != endedUpstream {
			t.Errorf("outcome %+v", o)
		}
	})
}

// A client that leaves is noticed while the upstream has nothing to say.
func TestClientThatLeavesEndsTheUpstreamsWork(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		ended, began := make(chan struct{}), make(chan struct{})
		w.https(good, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(began)
			<-r.Context().Done()
			close(ended)
		}), up)
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://good.example/slow", nil)
		go func() { <-began; cancel() }()
		if _, err := c.Do(req); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		eventually(t, "the upstream to hear of it", func() bool {
			w.server.scan(w.clock.now())
			select {
			case <-ended:
				return true
			default:
				return false
			}
		})
		eventually(t, "the outcome", func() bool { return w.policy.done.Load() == 1 })
		if o := w.policy.lastOutcome(); o.Err != endedClient {
			t.Errorf("outcome %+v", o)
		}
	})
}

func TestInterimAnswersPass(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("Link", "</a.css>; rel=preload")
			rw.WriteHeader(103)
			rw.Header().Del("Link")
			_, _ = io.WriteString(rw, "ok")
		}), up)
		var codes []int
		var link string
		ctx := got1xx(context.Background(), func(code int, h http.Header) { codes = append(codes, code); link = h.Get("Link") })
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://good.example/", nil)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, resp) != "ok" || len(codes) != 1 || codes[0] != 103 || link == "" || resp.Header.Get("Link") != "" {
			t.Errorf("codes %v, link %q, final %v", codes, link, resp.Header)
		}
	})
}

// Expect: 100-continue is the upstream's to answer: a refusal comes before a
// byte of the body is sent.
func TestExpectIsEndToEnd(t *testing.T) {
	w := newWorld(t)
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			rw.WriteHeader(417)
			return
		}
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, n)
	}))
	c := w.tunnel(good)
	br := bufio.NewReader(c)
	fmt.Fprint(c, "POST /yes HTTP/1.1\r\nHost: good.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	if line, err := br.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100 ") {
		t.Fatalf("%q %v", line, err)
	}
	_, _ = br.ReadString('\n')
	fmt.Fprint(c, "hello")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || readAll(t, resp) != "5" {
		t.Fatal(resp, err)
	}
	fmt.Fprint(c, "POST /no HTTP/1.1\r\nHost: good.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
	resp, err = http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 417 || !resp.Close {
		t.Fatalf("%v %v, want 417 and a close: the client may or may not send its body", resp, err)
	}
}

func TestWebSocket(t *testing.T) {
	w := newWorld(t)
	g := make(chan string, 1)
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		g <- r.Header.Get("Authorization")
		c, err := websocket.Accept(rw, r, &websocket.AcceptOptions{InsecureSkipVerify: true, CompressionMode: websocket.CompressionContextTakeover})
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		for {
			kind, b, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if err := c.Write(r.Context(), kind, b); err != nil {
				return
			}
		}
	}))
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "wss://good.example/socket", &websocket.DialOptions{HTTPClient: w.client()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if got := <-g; got != "Bearer "+canary {
		t.Errorf("the upgrade arrived with %q", got)
	}
	for _, n := range []int{0, 5, 1000, 32_000} {
		msg := strings.Repeat("m", n)
		if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(ctx); err != nil || string(b) != msg {
			t.Fatalf("%d bytes: %d back, %v", n, len(b), err)
		}
	}
	if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	eventually(t, "the outcome", func() bool { return w.policy.done.Load() == 1 })
	if o := w.policy.lastOutcome(); o.Status != 101 || o.Sent < 33_000 || o.Received < 33_000 || o.Err != "" {
		t.Errorf("outcome %+v", o)
	}
}

// A websocket that the upstream refuses is an ordinary answer.
func TestWebSocketRefused(t *testing.T) {
	w := newWorld(t)
	w.https(good, http.NotFoundHandler())
	_, resp, err := websocket.Dial(t.Context(), "wss://good.example/socket", &websocket.DialOptions{HTTPClient: w.client()})
	if err == nil || resp == nil || resp.StatusCode != 404 {
		t.Fatalf("%v %v, want 404", resp, err)
	}
}

// A reused connection that died is noticed or made up for, for requests that
// may be sent twice; a POST is sent at most once.
func TestDeadUpstreamConnections(t *testing.T) {
	w := newWorld(t)
	var up upstreamBytes
	kill := make(chan struct{}, 16)
	w.raw(good, func(c net.Conn) {
		br := bufio.NewReader(c)
		for n := 0; ; n++ {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			up.add(req.Method + " ")
			if n == 1 { // dies on its second request, before an answer
				kill <- struct{}{}
				return
			}
			fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	c := w.client()
	get := func() int {
		resp, err := c.Get("https://good.example/")
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		return resp.StatusCode
	}
	for range 4 {
		if code := get(); code != 200 {
			t.Errorf("GET: %d", code)
		}
	}
	resp, err := c.Post("https://good.example/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.StatusCode != 502 {
		t.Errorf("POST: %d, want 502", resp.StatusCode)
	}
	if n := strings.Count(up.text(), "POST"); n != 1 {
		t.Errorf("the POST was sent %d times", n)
	}
	if len(kill) < 2 {
		t.Error("positive control: no connection died")
	}
}

// A server that closes right after its answer leaves no dead connection in
// the pool.
func TestClosedConnectionsAreNotUsed(t *testing.T) {
	w := newWorld(t)
	closed := make(chan struct{}, 8)
	w.raw(good, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		c.Close()
		closed <- struct{}{}
	})
	c := w.client()
	for range 3 {
		resp, err := c.Post("https://good.example/", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if readAll(t, resp); resp.StatusCode != 200 {
			t.Fatalf("POST: %s", resp.Status)
		}
		<-closed
	}
}

// gRPC's trailers-only answers, and the absence of a default User-Agent.
func TestHTTP2EndToEnd(t *testing.T) {
	w := newWorld(t)
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 || r.Header.Get("Te") != "trailers" || r.Header.Get("User-Agent") != "" || r.URL.RequestURI() != "//x%2Fy?" {
			t.Errorf("the upstream got %s %q %v", r.Proto, r.URL.RequestURI(), r.Header)
		}
		rw.Header().Set("Grpc-Status", "5")
	}), h2Origin)
	_, cc := w.h2conn(good)
	req, _ := http.NewRequest("POST", "https://good.example/", nil)
	req.URL.Opaque, req.URL.ForceQuery = "//good.example//x%2Fy", true
	req.Header = http.Header{"Te": {"trailers"}, "User-Agent": {""}}
	resp, err := cc.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if resp.Header.Get("Grpc-Status") != "5" || resp.Body != http.NoBody && resp.ContentLength != 0 {
		t.Errorf("%v, length %d", resp.Header, resp.ContentLength)
	}
}

// An upstream that speaks only HTTP/2 is reached from an HTTP/1.1 client.
func TestHTTP1ClientToHTTP2OnlyUpstream(t *testing.T) {
	w := newWorld(t)
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		fmt.Fprint(rw, r.Proto, " ", n, " ", r.Header.Get("Authorization"))
	}), onlyH2Origin)
	c := w.client()
	for _, n := range []int{10, 100_000} {
		resp, err := c.Post("https://good.example/", "x/y", strings.NewReader(strings.Repeat("x", n)))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := readAll(t, resp), fmt.Sprintf("HTTP/2.0 %d Bearer %s", n, canary); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A policy's refusal goes out as it stands, on both protocols, and the
// connection lives on.
func TestPolicyRefusal(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		g := &seen{}
		w.https(good, g, up)
		w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
			return nil, &Refusal{Status: 403, Code: "login_needed", Message: "No login for good.", Fix: "kb login good -p work", Profile: "work", Provider: "good"}
		}
		for range 2 {
			resp, err := c.Get("https://good.example/")
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, resp); got != `{"error":"login_needed","message":"No login for good.","fix":"kb login good -p work","profile":"work","provider":"good"}`+"\n" || resp.StatusCode != 403 || resp.Header.Get("X-Should-Retry") != "false" {
				t.Errorf("%s %v %s", resp.Status, resp.Header, got)
			}
		}
		w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
			return nil, errors.New("disk full of " + canary)
		}
		resp, err := c.Get("https://good.example/")
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, resp); resp.StatusCode != 502 || strings.Contains(got, canary) || !strings.Contains(got, CodePolicy) {
			t.Errorf("%s %s", resp.Status, got)
		}
		if g.last() != nil {
			t.Error("a refused request arrived")
		}
	})
}

// HTTP/1.0 clients get no chunks and a close.
func TestHTTP10Client(t *testing.T) {
	w := newWorld(t)
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "a")
		_ = http.NewResponseController(rw).Flush()
		_, _ = io.WriteString(rw, "b")
	}))
	c := w.tunnel(good)
	fmt.Fprint(c, "GET / HTTP/1.0\r\n\r\n")
	b, err := io.ReadAll(c)
	if err != nil || !strings.HasSuffix(string(b), "\r\n\r\nab") || strings.Contains(string(b), "chunked") {
		t.Errorf("%q %v", b, err)
	}
}
