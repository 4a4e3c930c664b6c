package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Without the session's own token nothing passes, on either form of request.
func TestAttackToken(t *testing.T) {
	w := newWorld(t)
	g := &seen{}
	w.https(good, g)
	w.http("plain.example", g)
	for name, line := range map[string]string{
		"none":             "",
		"wrong":            "Proxy-Authorization: " + basic("kb", strings.Repeat("0", len(token))) + "\r\n",
		"prefix":           "Proxy-Authorization: " + basic("kb", token[:31]) + "\r\n",
		"longer":           "Proxy-Authorization: " + basic("kb", token+"0") + "\r\n",
		"empty":            "Proxy-Authorization: " + basic("kb", "") + "\r\n",
		"other user":       "Proxy-Authorization: " + basic("root", token) + "\r\n",
		"kb prefix":        "Proxy-Authorization: " + basic("kbx", token) + "\r\n",
		"bearer":           "Proxy-Authorization: Bearer " + token + "\r\n",
		"not base64":       "Proxy-Authorization: Basic !!!\r\n",
		"no scheme":        "Proxy-Authorization: " + token + "\r\n",
		"in authorization": "Authorization: " + basic("kb", token) + "\r\n",
	} {
		for _, start := range []string{"CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n", "GET http://plain.example/ HTTP/1.1\r\nHost: plain.example\r\n"} {
			c, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, start+line+"Connection: close\r\n\r\n")
			resp := strictRefusal(t, c, 407)
			if resp.Header.Get("Proxy-Authenticate") != `Basic realm="kb"` {
				t.Errorf("%s: %v", name, resp.Header)
			}
			c.Close()
		}
	}
	if n := w.dials.Load(); n != 0 {
		t.Errorf("%d upstream connections without a token", n)
	}
}

// git and curl ask without the token, get a 407, and ask again on the same
// connection.
func TestTokenAfter407OnOneConnection(t *testing.T) {
	w := newWorld(t)
	w.https(good, &seen{})
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	br := bufio.NewReader(c)
	fmt.Fprint(c, "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n")
	resp, err := http.ReadResponse(br, nil)
	if err != nil || resp.StatusCode != 407 {
		t.Fatal(resp, err)
	}
	readAll(t, resp)
	fmt.Fprintf(c, "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nProxy-Authorization: %s\r\n\r\n", basic("kb.oss", token))
	if resp, err = http.ReadResponse(br, &http.Request{Method: "CONNECT"}); err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
}

// HTTP/1.0 CONNECT without Host is what Python sends before 3.12.
func TestConnectOfHTTP10(t *testing.T) {
	w := newWorld(t)
	w.place("echo.example", 443, echoServer(t))
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "CONNECT echo.example:443 HTTP/1.0\r\nProxy-Authorization: %s\r\n\r\n", basic("kb", token))
	if resp := readResponse(t, c); resp.StatusCode != 200 {
		t.Fatal(resp.Status)
	}
}

func TestProxyUserReachesThePolicyAndNobodyElse(t *testing.T) {
	w := newWorld(t)
	g := &seen{}
	w.https(good, g)
	w.http("plain.example", g)
	c := w.client(func(tr *http.Transport) { tr.Proxy = http.ProxyURL(w.proxyURL("kb.oss")) })
	for _, url := range []string{"https://good.example/a", "http://plain.example/b"} {
		req, _ := http.NewRequest("GET", url, nil)
		req.Header.Set("Kb-Profile", "oss")
		req.Header.Set("Kb-Login", "bot")
		req.Header.Set("Kb-Other", "x")
		req.Header.Set("Proxy-Connection", "keep-alive")
		req.Header.Set("Proxy-X", "y")
		req.Header.Set("Keep-Alive", "300")
		req.Header.Set("X-Mine", "stays")
		req.Header.Set("X-Hop", "goes")
		req.Header["Connection"] = []string{"X-Hop, keep-alive"}
		resp, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, resp)
		info, h := w.policy.lastRequest()
		if info.User != "kb.oss" || info.Profile != "oss" || info.Login != "bot" || h.Get("X-Mine") != "stays" {
			t.Errorf("%s: the policy saw %+v %v", url, info, h)
		}
		for _, hs := range []http.Header{h, g.last().Header} {
			for name := range hs {
				if strings.HasPrefix(name, "Kb-") || strings.HasPrefix(name, "Proxy-") || name == "X-Hop" || name == "Keep-Alive" || name == "Connection" {
					t.Errorf("%s: %s passed", url, name)
				}
			}
		}
		if g.last().Header.Get("X-Mine") != "stays" {
			t.Error("positive control: X-Mine did not pass")
		}
	}
}

func TestThrottle(t *testing.T) {
	now := time.Unix(1e9, 0)
	th := throttle{now: func() time.Time { return now }}
	for i := range throttleFree {
		if d := th.delay(); d != 0 {
			t.Fatalf("failure %d waits %v", i, d)
		}
	}
	for i := 1; i <= 100; i++ {
		if d, want := th.delay(), min(time.Duration(i)*throttleStep, throttleMax); d != want {
			t.Fatalf("failure %d after the free ones waits %v, want %v", i, d, want)
		}
	}
	now = now.Add(2 * time.Minute)
	if d := th.delay(); d != 0 {
		t.Errorf("two minutes later: %v", d)
	}
}

// Slow senders are cut off, whatever part of the conversation they stretch.
func TestAttackSlowloris(t *testing.T) {
	w := newWorld(t)
	w.clock.stop() // a machine that is slow comes to no limit by itself
	w.https(good, &seen{})
	open := map[string]net.Conn{}
	dial := func() net.Conn {
		c, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	open["says nothing"] = dial()
	open["head"] = dial()
	fmt.Fprint(open["head"], "CONNECT good.ex")
	open["TLS hello"], _ = w.connect("good.example:443")
	fmt.Fprint(open["TLS hello"], "\x16\x03\x01")
	open["no hello"], _ = w.connect("good.example:443")
	open["head inside"] = w.tunnel(good)
	fmt.Fprint(open["head inside"], "GET / HT")
	open["body"] = w.tunnel(good)
	fmt.Fprint(open["body"], "POST / HTTP/1.1\r\nHost: good.example\r\nContent-Length: 10\r\n\r\n12345")
	open["between requests"] = w.tunnel(good)
	eventually(t, "every connection to be where it will stay", func() bool {
		w.server.mu.Lock()
		defer w.server.mu.Unlock()
		in := map[phase]int{}
		for c := range w.server.conns {
			in[phase(c.track.phase.Load())]++
		}
		return in[phaseHead] == 3 && in[phaseHandshake] == 2 && in[phaseExchange] == 1 && in[phaseIdle] == 1
	})
	limits := map[string]time.Duration{
		"says nothing": 30 * time.Second, "head": 30 * time.Second, "head inside": 30 * time.Second, "TLS hello": 10 * time.Second, "no hello": 10 * time.Second,
		"between requests": 5 * time.Minute, "body": 30 * time.Minute,
	}
	for _, limit := range []time.Duration{10 * time.Second, 30 * time.Second, 5 * time.Minute, 30 * time.Minute} {
		w.clock.offset.Store(int64(limit - 3*time.Second))
		w.server.scan(w.clock.now())
		for name, c := range open {
			if limits[name] == limit {
				if isClosed(c) {
					t.Errorf("%s: cut off before its limit of %v", name, limit)
				}
			}
		}
		w.clock.offset.Store(int64(limit + 2*time.Second))
		w.server.scan(w.clock.now())
		w.server.scan(w.clock.now()) // the upstream first, then the client
		for name, c := range open {
			if limits[name] == limit {
				_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
				if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s: still open after its limit of %v", name, limit)
				}
				delete(open, name)
			}
		}
	}
}

// isClosed looks without waiting whether the far end has closed.
func isClosed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
	defer c.SetReadDeadline(time.Time{})
	_, err := c.Read(make([]byte, 1))
	ne, ok := err.(net.Error)
	return err != nil && !(ok && ne.Timeout())
}
