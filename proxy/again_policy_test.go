package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"kb/internal/secret"
)

// rejecting lets the policy inject the old token and answer f's injection to
// its 401.
func (w *world) rejecting(f func(ctx context.Context, again bool) *Injection) {
	w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
		old := bearer(oldToken)
		old.Rejected = f
		return old, nil
	}
}

func (w *world) outcomes(n int) []Outcome {
	w.t.Helper()
	eventually(w.t, fmt.Sprintf("%d outcomes", n), func() bool { return w.policy.done.Load() == int64(n) })
	w.policy.mu.Lock()
	defer w.policy.mu.Unlock()
	return slices.Clone(w.policy.outcomes)
}

func post(text string) *http.Request {
	req, _ := http.NewRequest("POST", "https://good.example/do?x=1", strings.NewReader(text))
	return req
}

// A second 401 goes to the client, and so does the first if the policy has
// nothing better. Nothing is asked or sent a third time.
func TestRejectedOnlyOnce(t *testing.T) {
	for name, c := range map[string]struct {
		next *Injection
		sent int64
	}{"nothing better": {nil, 1}, "as bad": {bearer("kb-also-old"), 2}} {
		t.Run(name, func(t *testing.T) {
			pairs(t, func(t *testing.T, w *world, client *http.Client, up func(*httptest.Server)) {
				var came, asked, second atomic.Int64
				w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					came.Add(1)
					wantsNew(false)(rw, r)
				}), up)
				w.rejecting(func(context.Context, bool) *Injection {
					asked.Add(1)
					if c.next == nil {
						return nil
					}
					next := *c.next
					next.Rejected = func(context.Context, bool) *Injection { second.Add(1); return bearer(newToken) }
					return w.policy.watch(&next)
				})
				resp, err := client.Do(post("text"))
				if err != nil {
					t.Fatal(err)
				}
				if text := readAll(t, resp); resp.StatusCode != 401 || text != `{"error":"invalid_token"}` || resp.Header.Get("WWW-Authenticate") == "" {
					t.Errorf("%s %q %v", resp.Status, text, resp.Header)
				}
				o := w.outcomes(int(c.sent))
				if last := o[len(o)-1]; last.Status != 401 || last.Err != "" || last.Received != 25 {
					t.Errorf("outcomes %+v", o)
				}
				if came.Load() != c.sent || asked.Load() != 1 || second.Load() != 0 {
					t.Errorf("%d requests came, the policy was asked %d times, its second injection %d", came.Load(), asked.Load(), second.Load())
				}
			})
		})
	}
}

// The policy fails on a 401: the client hears of it, nothing is sent again,
// no connection and no upload stays behind, and the session goes on.
func TestAttackRejectedFails(t *testing.T) {
	for name, c := range map[string]struct {
		f      func() *Injection
		status int
		code   string
		told   bool // Refused was told
		done   int
	}{
		"panics": {func() *Injection { panic("a bug") }, 500, CodeInternal, true, 1},
		"CR and LF in the value": {func() *Injection {
			return &Injection{Header: []Field{{"Authorization", secret.New("x\r\nHost: evil.example")}}}
		}, 502, CodeCredential, false, 2},
		"a colon in the name":      {func() *Injection { return &Injection{Header: []Field{{"Authorization: x\r\nY", secret.New("x")}}} }, 502, CodeCredential, false, 2},
		"a semicolon in a cookie":  {func() *Injection { return &Injection{Cookie: []Field{{"a", secret.New("x; b=y")}}} }, 502, CodeCredential, false, 2},
		"a path with a line break": {func() *Injection { return &Injection{Path: "/a HTTP/1.1\r\nHost: evil"} }, 502, CodeCredential, false, 2},
		"an authority for a path":  {func() *Injection { return &Injection{Path: "@evil.example/"} }, 502, CodeCredential, false, 2},
	} {
		t.Run(name, func(t *testing.T) {
			pairs(t, func(t *testing.T, w *world, client *http.Client, up func(*httptest.Server)) {
				var came atomic.Int64
				w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					came.Add(1)
					wantsNew(false)(rw, r)
				}), up)
				w.rejecting(func(context.Context, bool) *Injection { return w.policy.watch(c.f()) })
				for i, text := range []string{"text", strings.Repeat("x", 40_000)} {
					resp, err := client.Do(post(text))
					if err != nil {
						t.Fatal(err)
					}
					if text := readAll(t, resp); resp.StatusCode != c.status || !strings.Contains(text, c.code) {
						t.Errorf("%s %q", resp.Status, text)
					}
					if o := w.outcomes((i + 1) * c.done); o[len(o)-1].Status != c.status || o[len(o)-1].Err == "" {
						t.Errorf("outcomes %+v", o)
					}
				}
				if came.Load() != 2 {
					t.Errorf("%d requests came, want each once", came.Load())
				}
				if told := w.policy.lastRefusal().Code == c.code; told != c.told {
					t.Errorf("the policy was told of %q", w.policy.lastRefusal().Code)
				}
				if n := w.server.kept.Load(); n != 0 {
					t.Errorf("%d bytes of bodies are still counted", n)
				}
			})
		})
	}
}

// A refresh may take its time without any limit ending the request; the
// client's leaving and the session's end reach it, and nothing is sent then.
func TestRejectedMayWait(t *testing.T) {
	pairs(t, func(t *testing.T, w *world, client *http.Client, up func(*httptest.Server)) {
		var came atomic.Int64
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			came.Add(1)
			wantsNew(false)(rw, r)
		}), up)
		waits, release, gone := make(chan struct{}, 1), make(chan struct{}), make(chan struct{})
		w.rejecting(func(ctx context.Context, _ bool) *Injection {
			waits <- struct{}{}
			select {
			case <-release:
			case <-ctx.Done():
				close(gone)
			}
			return w.policy.watch(bearer(newToken)) // too late for who has gone
		})
		answered := make(chan int, 1)
		go func() {
			resp, err := client.Do(post("text"))
			if err != nil {
				t.Error(err)
				answered <- 0
				return
			}
			resp.Body.Close()
			answered <- resp.StatusCode
		}()
		<-waits
		w.clock.advance(10 * time.Hour)
		w.server.scan(w.clock.now())
		w.server.scan(w.clock.now())
		release <- struct{}{}
		if code := <-answered; code != 200 {
			t.Errorf("a refresh of ten hours: %d", code)
		}
		w.outcomes(2)

		ctx, leave := context.WithCancel(t.Context())
		go func() { <-waits; leave() }()
		if resp, err := client.Do(post("text").WithContext(ctx)); err == nil {
			resp.Body.Close()
			t.Errorf("the client that left got %s", resp.Status)
		}
		eventually(t, "the wait to end", func() bool {
			w.server.scan(w.clock.now())
			select {
			case <-gone:
				return true
			default:
				return false
			}
		})
		if o := w.outcomes(4); o[2].Err != "sent again" || o[3].Err != "client gone" || o[3].Status != 0 || o[3].Sent != 0 {
			t.Errorf("outcomes %+v", o[2:])
		}
		if came.Load() != 3 {
			t.Errorf("%d requests came, want 3: what a client that left wanted is not sent again", came.Load())
		}
	})
}

// Shutdown waits for a refresh as for any request, and ends it when its own
// time is over.
func TestShutdownWhileRejected(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newWorld(t)
		w.https(good, wantsNew(false), func(s *httptest.Server) { s.EnableHTTP2 = h2 })
		waits, gone := make(chan struct{}), make(chan struct{})
		w.rejecting(func(ctx context.Context, _ bool) *Injection {
			close(waits)
			<-ctx.Done()
			close(gone)
			return nil
		})
		client := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
		ended := make(chan error, 1)
		go func() {
			resp, err := client.Do(post("text"))
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			ended <- err
		}()
		<-waits
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := w.server.Shutdown(ctx); err == nil {
			t.Error("Shutdown did not wait for the request")
		}
		cancel()
		<-gone
		<-ended
		w.outcomes(1)
	}
}

// Bodies are kept up to a total; what finds no room passes as if nobody had
// asked, and the policy hears that it cannot be sent again.
func TestReplayTotal(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.ReplayTotal = 50_000 })
	told := w.rotates()
	waits, release := make(chan struct{}), make(chan struct{})
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" && r.Header.Get("Authorization") != "Bearer "+newToken {
			_, _ = io.Copy(io.Discard, r.Body)
			waits <- struct{}{}
			<-release
		}
		wantsNew(false)(rw, r)
	}))
	client := w.client()
	slow := make(chan int, 1)
	do := func(path string) int {
		req, _ := http.NewRequest("POST", "https://good.example"+path, strings.NewReader(strings.Repeat("x", 30_000)))
		resp, err := client.Do(req)
		if err != nil {
			t.Error(err)
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	go func() { slow <- do("/slow") }()
	<-waits
	if n := w.server.kept.Load(); n != 30_000 {
		t.Errorf("%d bytes are counted, want the 30,000 of one body", n)
	}
	if code := do("/second"); code != 401 || told.couldNot.Load() != 1 {
		t.Errorf("no room, and %d; the policy was told %d times", code, told.couldNot.Load())
	}
	close(release)
	if code := <-slow; code != 200 {
		t.Errorf("the body that was kept: %d", code)
	}
	if code := do("/third"); code != 200 {
		t.Errorf("once there is room again: %d", code)
	}
	eventually(t, "all to be given back", func() bool { return w.server.kept.Load() == 0 })
}

// What is kept is let go with the answer's head, not its end: a stream may
// last for hours.
func TestKeptBodyIsLetGoWithTheHead(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.rotates()
		release := make(chan struct{})
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			if w.server.kept.Load() < 30_000 {
				t.Error("the body is not kept while no answer has begun")
			}
			_ = http.NewResponseController(rw).Flush()
			<-release
		}), up)
		resp, err := c.Do(post(strings.Repeat("x", 30_000)))
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "the body to be let go", func() bool { return w.server.kept.Load() == 0 })
		close(release)
		readAll(t, resp)
	})
}

// The second request is made of what the client sent: what the second
// injection sets or drops, whatever the first did.
func TestSecondInjectionIsAppliedAnew(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		type came struct{ uri, cookie, auth, key string }
		var got []came
		s := &seen{}
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			s.ServeHTTP(httptest.NewRecorder(), r)
			got = append(got, came{r.URL.RequestURI(), r.Header.Get("Cookie"), strings.Join(r.Header["Authorization"], "|"), strings.Join(r.Header["X-Api-Key"], "|")})
			if len(got) == 1 {
				rw.WriteHeader(401)
			}
		}), up)
		f := func(name, value string) []Field { return []Field{{name, secret.New(value)}} }
		w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
			return &Injection{
				Header: f("Authorization", "old"), Query: f("token", "old"), Cookie: f("sid", "old"), Path: "/a/old", Delete: []string{"X-Api-Key"},
				Rejected: func(context.Context, bool) *Injection {
					return w.policy.watch(&Injection{
						Header: f("X-Api-Key", "new"), Query: f("key", "new"), DeleteQuery: []string{"token"}, Cookie: f("sid", "new"),
						Path: "/a/new", Delete: []string{"Authorization"},
					})
				},
			}, nil
		}
		req, _ := http.NewRequest("GET", "https://good.example/a/kb-placeholder?b=1&token=kb-placeholder&key=kb-placeholder", nil)
		req.Header = http.Header{
			"Authorization": {"Bearer kb-placeholder"}, "X-Api-Key": {"kb-placeholder"}, "Cookie": {"a=b; sid=kb-placeholder"},
			"Kb-Profile": {"work"}, "Kb-Login": {"other"},
		}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		want := []came{
			{"/a/old?b=1&key=kb-placeholder&token=old", "a=b; sid=old", "old", ""},
			{"/a/new?b=1&key=new", "a=b; sid=new", "", "new"},
		}
		if !slices.Equal(got, want) {
			t.Errorf("came\n%+v, want\n%+v", got, want)
		}
		if s.holds("Kb-") {
			t.Error("Kb-Profile or Kb-Login left")
		}
	})
}

// A trailer cannot bring back the field that only the second injection sets;
// what only the first replaced is the client's own again.
func TestAttackTrailerOfTheRequestSentAgain(t *testing.T) {
	key := func() *Injection { return &Injection{Header: []Field{{"X-Api-Key", secret.New(newToken)}}} }
	for name, c := range map[string]struct {
		first, second func() *Injection
		want          []string
	}{
		// Where nothing took the field's place is the control of the other.
		"the second sets it": {func() *Injection { return bearer(oldToken) }, key, []string{"the client's 4", " 4"}},
		"the first sets it":  {key, func() *Injection { return bearer(newToken) }, []string{" 4", "the client's 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			pairs(t, func(t *testing.T, w *world, client *http.Client, up func(*httptest.Server)) {
				var trailers []string
				w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(io.Discard, r.Body)
					trailers = append(trailers, strings.Join(r.Trailer["X-Api-Key"], "|")+" "+strings.Join(r.Trailer["X-Sum"], "|"))
					if len(trailers) == 1 {
						rw.WriteHeader(401)
					}
				}), up)
				w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
					first := c.first()
					first.Rejected = func(context.Context, bool) *Injection { return w.policy.watch(c.second()) }
					return first, nil
				}
				req, _ := http.NewRequest("POST", "https://good.example/", struct{ io.Reader }{strings.NewReader("text")})
				req.Trailer = http.Header{"X-Api-Key": {"the client's"}, "X-Sum": {"4"}}
				resp, err := client.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, resp)
				if resp.StatusCode != 200 || !slices.Equal(trailers, c.want) {
					t.Errorf("%s, trailers %q, want %q", resp.Status, trailers, c.want)
				}
			})
		})
	}
}

// Each injection's request goes over connections of its own pool, also where
// the two differ, and what the 401 came over goes back to its own.
func TestAttackRejectedAcrossPools(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newWorld(t)
		over := map[string]map[string]bool{} // token -> the far ends it came over
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			auth := r.Header.Get("Authorization")
			if over[auth] == nil {
				over[auth] = map[string]bool{}
			}
			over[auth][r.RemoteAddr] = true
			wantsNew(false)(rw, r)
		}), func(s *httptest.Server) { s.EnableHTTP2 = h2 })
		w.rotates(func(_, fresh *Injection) { fresh.Pool = "play" })
		c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
		for i := range 5 {
			req, _ := http.NewRequest("GET", fmt.Sprintf("https://good.example/%d", i), nil)
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if readAll(t, resp); resp.StatusCode != 200 {
				t.Fatal(resp.Status)
			}
		}
		for far := range over["Bearer "+oldToken] {
			if over["Bearer "+newToken][far] {
				t.Errorf("HTTP/2 %v: one connection carried two profiles", h2)
			}
		}
		if len(over["Bearer "+oldToken]) != 1 || len(over["Bearer "+newToken]) != 1 {
			t.Errorf("HTTP/2 %v: connections %v, want one for each", h2, over)
		}
	}
}

// Plain http never asks, and never carries what would be answered.
func TestPlainHTTPIsNeverSentAgain(t *testing.T) {
	w := newWorld(t)
	told := w.rotates()
	s := &seen{}
	w.http("plain.example", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		s.ServeHTTP(httptest.NewRecorder(), r)
		rw.WriteHeader(401)
	}))
	resp, err := w.client().Post("http://plain.example/", "x/y", strings.NewReader("text"))
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.StatusCode != 401 || told.could.Load()+told.couldNot.Load() != 0 || s.holds("kb-") || s.last() == nil {
		t.Errorf("%s, asked %d times, holds a token: %v", resp.Status, told.could.Load()+told.couldNot.Load(), s.holds("kb-"))
	}
}

// A websocket whose upgrade is answered 401 is opened with the new token.
func TestWebSocketRejected(t *testing.T) {
	w := newWorld(t)
	w.rotates()
	w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !fresh(r) {
			rw.WriteHeader(401)
			return
		}
		c, err := websocket.Accept(rw, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		kind, b, err := c.Read(r.Context())
		if err == nil {
			err = c.Write(r.Context(), kind, b)
		}
		if err != nil {
			t.Error(err)
		}
	}))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "wss://good.example/socket", &websocket.DialOptions{HTTPClient: w.client()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	if _, b, err := c.Read(ctx); err != nil || string(b) != "hello" {
		t.Fatalf("%q %v", b, err)
	}
}

// An upstream that answers 401 in place of a 100: the client gets the 100 from
// kb if its body will be kept, and the 401 if it will not.
func TestExpectAndRejected(t *testing.T) {
	for name, up := range map[string]func(*httptest.Server){"HTTP/1.1": func(*httptest.Server) {}, "HTTP/2": onlyH2Origin} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			told := w.rotates()
			w.https(good, wantsNew(true), up)
			c := w.tunnel(good)
			br := bufio.NewReader(c)
			for range 2 {
				fmt.Fprint(c, "POST /do HTTP/1.1\r\nHost: good.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n")
				if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
					t.Fatalf("%q %v", line, err)
				}
				_, _ = br.ReadString('\n')
				fmt.Fprint(c, "hello")
				resp, err := http.ReadResponse(br, nil)
				if err != nil || resp.StatusCode != 200 || !strings.Contains(resp.Header.Get("X-Came"), " 5 2cf24dba5fb0a30e ") {
					t.Fatal(resp, err)
				}
				readAll(t, resp)
			}
			if told.could.Load() != 2 || told.couldNot.Load() != 0 {
				t.Errorf("asked %d times, told %d times", told.could.Load(), told.couldNot.Load())
			}
			fmt.Fprint(c, "POST /do HTTP/1.1\r\nHost: good.example\r\nContent-Length: 500000\r\nExpect: 100-continue\r\n\r\n")
			resp, err := http.ReadResponse(br, nil)
			if err != nil || resp.StatusCode != 401 || told.couldNot.Load() != 1 {
				t.Fatalf("%v %v, want the 401; told %d times", resp, err, told.couldNot.Load())
			}
			readAll(t, resp)
			_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
			if rest, err := io.ReadAll(br); err != nil || len(rest) != 0 {
				t.Errorf("%q %v, want a close: the client may or may not send its body", rest, err)
			}
		})
	}
}

// A client that waits for an answer before it ends its body gets the 401 after
// a while, and a policy that is told so.
func TestStreamingUploadIsNotWaitedFor(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newWorld(t, func(o *Options) { o.Limits.ReplayWait = 20 * time.Millisecond })
		told := w.rotates()
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { // reads nothing
			if r.ProtoMajor == 1 {
				rw.Header().Set("Connection", "close") // or net/http reads all of it before it answers
			}
			rw.WriteHeader(401)
		}), func(s *httptest.Server) { s.EnableHTTP2 = h2 })
		c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", "https://good.example/", pr)
		go func() { _, _ = io.WriteString(pw, "begun") }()
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 401 || told.couldNot.Load() != 1 || told.could.Load() != 0 {
			t.Errorf("HTTP/2 %v: %s; asked %d times, told %d times", h2, resp.Status, told.could.Load(), told.couldNot.Load())
		}
		pw.Close()
		resp.Body.Close()
		w.outcomes(1)
		eventually(t, "all to be given back", func() bool { return w.server.kept.Load() == 0 })
	}
}

// A client that leaves in the middle of a body that is waited for.
func TestAttackHalfABodyAndRejected(t *testing.T) {
	w := newWorld(t)
	told := w.rotates()
	came := make(chan struct{}, 1)
	w.raw(good, func(c net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(c)); err != nil {
			return
		}
		_, _ = io.WriteString(c, unauthorized)
		came <- struct{}{}
		_, _ = io.Copy(io.Discard, c)
	})
	// Whether kb reads the 401 before the client has gone is up to the machine.
	for n := 1; told.couldNot.Load() == 0; n++ {
		if n > 50 {
			t.Fatal("the policy was never told")
		}
		c := w.tunnel(good)
		fmt.Fprint(c, "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 500\r\n\r\nhalf")
		<-came
		c.Close()
		w.outcomes(n)
	}
	if told.could.Load() != 0 || told.couldNot.Load() != 1 {
		t.Errorf("asked %d times, told %d times", told.could.Load(), told.couldNot.Load())
	}
	eventually(t, "all to be given back", func() bool { return w.server.kept.Load() == 0 })
}
