package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// echoes answers every request locally with its body.
func (w *world) echoes() {
	w.policy.auth = func(_ context.Context, r *RequestInfo) (*Injection, error) {
		return &Injection{Local: func(_ context.Context, body []byte) Reply {
			return Reply{Status: 201, Header: http.Header{"X-Local": {"yes"}, "Cache-Control": {"no-store"}}, Body: fmt.Appendf(nil, `{"got":%d}`, len(body))}
		}}, nil
	}
}

// A request that the policy answers itself dials nothing, and its connection
// goes on.
func TestLocalAnswer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w := newWorld(t)
			up := &seen{}
			w.https(good, up, func(s *httptest.Server) { s.EnableHTTP2 = h2 })
			w.echoes()
			c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
			for i, p := range []struct {
				name, method string
				body         io.Reader
				status       int
				text         string
			}{
				{"no body", "GET", nil, 201, `{"got":0}`},
				{"HEAD", "HEAD", nil, 201, ""},
				{"form", "POST", strings.NewReader(strings.Repeat("x", 300)), 201, `{"got":300}`},
				{"at the bound", "POST", strings.NewReader(strings.Repeat("x", 64<<10)), 201, `{"got":65536}`},
				{"chunked", "POST", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 50_000))}, 201, `{"got":50000}`},
				{"beyond the bound", "POST", strings.NewReader(strings.Repeat("x", 64<<10+1)), 413, CodeBodyTooLarge},
				{"chunked beyond the bound", "POST", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 64<<10+1))}, 413, CodeBodyTooLarge},
				{"after those", "POST", strings.NewReader("x"), 201, `{"got":1}`},
			} {
				req, _ := http.NewRequest(p.method, "https://good.example/oauth/token", p.body)
				resp, err := c.Do(req)
				if err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
				text := readAll(t, resp)
				if resp.StatusCode != p.status || !strings.Contains(text, p.text) || p.text == "" && text != "" {
					t.Errorf("%s: %s %q, want %d %q", p.name, resp.Status, text, p.status, p.text)
				}
				if resp.StatusCode == 201 && (resp.Header.Get("X-Local") != "yes" || resp.Header.Get("Content-Type") != "application/json") {
					t.Errorf("%s: %v", p.name, resp.Header)
				}
				eventually(t, "the outcome", func() bool { return w.policy.done.Load() == int64(i+1) })
				if o := w.policy.lastOutcome(); o.Status != p.status || o.Sent != 0 || (o.Err == "") != (p.status == 201) {
					t.Errorf("%s: outcome %+v", p.name, o)
				}
			}
			if up.last() != nil {
				t.Error("a request reached the upstream")
			}
		})
	}
}

// The body is asked for where a client waits to be, and framing that is broken,
// a body that stalls, a policy that fails and a reply that cannot be sent end
// in kb's own answers.
func TestAttackLocalAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		raw    string // what comes at once
		then   string // what comes after a 100
		reply  func() Reply
		status int
		text   string
		closes bool
	}{
		"Expect":                {"POST /t HTTP/1.1\r\nHost: good.example\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n", "hello", nil, 201, `{"got":5}`, false},
		"Expect, beyond":        {"POST /t HTTP/1.1\r\nHost: good.example\r\nContent-Length: 70000\r\nExpect: 100-continue\r\n\r\n", "", nil, 413, CodeBodyTooLarge, true},
		"a request in the body": {"POST /t HTTP/1.1\r\nHost: good.example\r\nContent-Length: 28\r\n\r\nGET /x HTTP/1.1\r\nHost: y\r\n\r\n", "", nil, 201, `{"got":28}`, false},
		"a broken chunk":        {"POST /t HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n0\r\n\r\n", "", nil, 400, CodeMalformed, true},
		"a forbidden trailer":   {"POST /t HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nHost: evil\r\n\r\n", "", nil, 400, CodeMalformed, true},
		"the policy panics":     {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { panic("a bug") }, 500, CodeInternal, false},
		"a line break":          {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { return Reply{Status: 200, Header: http.Header{"X": {"a\r\nY: b"}}} }, 500, CodeInternal, false},
		"a name with a break":   {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { return Reply{Status: 200, Header: http.Header{"X: y\r\nZ": {"a"}}} }, 500, CodeInternal, false},
		"no status":             {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { return Reply{} }, 500, CodeInternal, false},
		"a switch":              {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { return Reply{Status: 101} }, 500, CodeInternal, false},
		"framing of its own": {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply {
			return Reply{Status: 200, Header: http.Header{"Content-Length": {"900"}, "Transfer-Encoding": {"chunked"}, "Connection": {"close"}}, Body: []byte("{}")}
		}, 200, "{}", false},
		"204 with a body": {"GET /t HTTP/1.1\r\nHost: good.example\r\n\r\n", "", func() Reply { return Reply{Status: 204, Body: []byte("{}")} }, 204, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.https(good, &seen{})
			w.echoes()
			if c.reply != nil {
				w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
					return &Injection{Local: func(context.Context, []byte) Reply { return c.reply() }}, nil
				}
			}
			tun := w.tunnel(good)
			before := w.dials.Load() // the connection that is dialled ahead, at most
			br := bufio.NewReader(tun)
			_, _ = io.WriteString(tun, c.raw)
			if c.then != "" {
				if line, err := br.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
					t.Fatalf("%q %v", line, err)
				}
				_, _ = br.ReadString('\n')
				_, _ = io.WriteString(tun, c.then)
			}
			resp, err := http.ReadResponse(br, nil)
			if err != nil {
				t.Fatal(err)
			}
			if text := readAll(t, resp); resp.StatusCode != c.status || !strings.Contains(text, c.text) || c.text == "" && text != "" {
				t.Errorf("%s %q, want %d %q", resp.Status, text, c.status, c.text)
			}
			if resp.Close != c.closes {
				t.Errorf("closes: %v, want %v", resp.Close, c.closes)
			}
			if !c.closes { // what comes next is read from the right byte on
				_, _ = io.WriteString(tun, "GET /next HTTP/1.1\r\nHost: good.example\r\n\r\n")
				if resp, err := http.ReadResponse(br, nil); err != nil || resp.StatusCode < 200 {
					t.Errorf("the next request: %v %v", resp, err)
				}
				if got, _ := w.policy.lastRequest(); got.Path != "/next" {
					t.Errorf("the policy saw %q", got.Path)
				}
			}
			eventually(t, "the outcome", func() bool { return w.policy.done.Load() == w.policy.asked.Load() })
			if n := w.dials.Load(); n > max(before, 1) {
				t.Errorf("%d connections were dialled", n)
			}
			if (c.status >= 400) != (w.policy.lastRefusal().Code != "") {
				t.Errorf("the policy was told of %q", w.policy.lastRefusal().Code)
			}
		})
	}
}

// A body that stalls ends with its limit; a client that leaves ends the wait
// for the policy.
func TestAttackSlowLocalBody(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		w := newWorld(t)
		w.https(good, &seen{})
		w.echoes()
		c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", "https://good.example/oauth/token", pr)
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if resp, err := c.Do(req); err == nil {
				t.Errorf("HTTP/2 %v: half a body got %s", h2, resp.Status)
				resp.Body.Close()
			}
		}()
		_, _ = io.WriteString(pw, "half")
		eventually(t, "the body to be waited for", func() bool { return inPhase(w.server, phaseLinger) })
		w.clock.advance(time.Minute)
		w.server.scan(w.clock.now())
		if o := w.outcomes(1); o[0].Err != "client gone" {
			t.Errorf("outcome %+v", o[0])
		}
		pw.Close()
		<-ended
	}
}
