package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestBlockedAddresses(t *testing.T) {
	// Columns: with a credential, in a tunnel, listed by a rule. "-" passes.
	for addr, want := range map[string]string{
		"8.8.8.8": "---", "203.0.113.5": "---", "192.0.2.5": "---", "198.51.100.5": "---", "2606:4700::1": "---", "2001:db8::1": "---",
		"127.0.0.1": "xx-", "127.255.255.255": "xx-", "::1": "xx-", "::ffff:127.0.0.1": "xx-",
		"169.254.1.1": "xx-", "fe80::1": "xx-",
		"10.1.2.3": "x--", "172.16.0.1": "x--", "172.31.255.255": "x--", "192.168.1.1": "x--", "100.64.0.1": "x--", "fd12:3456::1": "x--", "198.18.0.1": "x--", "::ffff:10.1.2.3": "x--", "192.0.0.8": "x--",
		"172.32.0.1": "---", "100.128.0.1": "---",
		"169.254.169.254": "xxx", "169.254.170.2": "xxx", "fd00:ec2::254": "xxx", "100.100.100.200": "xxx", "fd20:ce::254": "xxx", "::ffff:169.254.169.254": "xxx", "168.63.129.16": "xxx",
		"0.0.0.0": "xxx", "0.1.2.3": "xxx", "::": "xxx", "224.0.0.1": "xxx", "239.255.255.250": "xxx", "255.255.255.255": "xxx", "240.0.0.1": "xxx", "ff02::1": "xxx", "fec0::1": "xxx", "2001::1": "xxx", "100::1": "xxx",
		"64:ff9b::8.8.8.8": "---", "64:ff9b::127.0.0.1": "xx-", "64:ff9b::10.0.0.1": "x--", "64:ff9b::169.254.169.254": "xxx",
		"2002:0808:0808::1": "---", "2002:7f00:0001::1": "xx-", "2002:0a00:0001::1": "x--", "2002:a9fe:a9fe::1": "xxx",
		"::127.0.0.1": "xx-", "::10.0.0.1": "x--", "::ffff:0:127.0.0.1": "xxx", "fe80::1%eth0": "xxx",
	} {
		a := netip.MustParseAddr(addr)
		got := ""
		for _, r := range []reach{reachPublic, reachTunnel, reachPrivate} {
			if blocked(a, r) != "" {
				got += "x"
			} else {
				got += "-"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// Names that resolve to where nobody should reach are refused on every way
// in, and nothing is dialled.
func TestAttackReachingIn(t *testing.T) {
	w := newWorld(t)
	w.policy.route = func(c ConnectInfo) Route {
		switch {
		case strings.HasPrefix(c.Host, "i"):
			return Route{Action: Intercept}
		case strings.HasPrefix(c.Host, "l"):
			return Route{Action: Tunnel, Private: true}
		}
		return Route{Action: Tunnel}
	}
	ca, err := NewCA([]string{"*.example"}, nil, w.clock.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.server.ca, w.ca = ca, ca
	name := func(host string, addrs ...string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, a := range addrs {
			w.names[host] = append(w.names[host], netip.MustParseAddr(a))
		}
	}
	name("i-loop.example", "127.0.0.1")
	name("i-private.example", "10.0.0.1")
	name("i-mixed.example", "203.0.113.77", "10.0.0.1")
	name("i-nat64.example", "64:ff9b::a00:1")
	name("i-meta.example", "169.254.169.254")
	name("t-loop.example", "127.0.0.1")
	name("t-mixed.example", "203.0.113.77", "::1")
	name("t-meta.example", "169.254.169.254")
	name("l-meta.example", "169.254.169.254")
	for _, host := range []string{"t-loop.example", "t-mixed.example", "t-meta.example", "l-meta.example", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "169.254.169.254", "[64:ff9b::7f00:1]"} {
		conn, resp := w.connect(host + ":443")
		conn.Close()
		if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, CodeAddress) {
			t.Errorf("CONNECT %s: %s %s", host, resp.Status, b)
		}
	}
	c := w.client()
	for _, host := range []string{"i-loop.example", "i-private.example", "i-mixed.example", "i-nat64.example", "i-meta.example"} {
		for _, h2 := range []bool{false, true} {
			c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
			resp, err := c.Get("https://" + host + "/")
			if err != nil {
				t.Fatal(err)
			}
			if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, CodeAddress) {
				t.Errorf("GET %s: %s %s", host, resp.Status, b)
			}
		}
	}
	for _, url := range []string{"http://t-loop.example/", "http://127.0.0.1/", "http://[::1]:8080/", "http://169.254.169.254/latest/meta-data/"} {
		resp, err := c.Get(url)
		if err != nil {
			t.Fatal(err)
		}
		if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, CodeAddress) {
			t.Errorf("GET %s: %s %s", url, resp.Status, b)
		}
	}
	for _, port := range []string{"22", "25", "465", "587"} {
		conn, resp := w.connect("public.example:" + port)
		conn.Close()
		if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, CodePort) {
			t.Errorf("port %s: %s %s", port, resp.Status, b)
		}
	}
	if n := w.dials.Load(); n != 0 {
		t.Errorf("%d addresses were dialled", n)
	}

	// Positive controls: a private address in a tunnel, loopback that a rule
	// lists, and a redis port pass.
	echo := echoServer(t)
	name("t-private.example", "10.0.0.1")
	name("l-loop.example", "127.0.0.1")
	w.ports[netip.MustParseAddrPort("10.0.0.1:6379")] = echo
	w.ports[netip.MustParseAddrPort("127.0.0.1:443")] = echo
	for _, authority := range []string{"t-private.example:6379", "l-loop.example:443"} {
		conn, resp := w.connect(authority)
		if resp.StatusCode != 200 {
			t.Fatalf("CONNECT %s: %s", authority, resp.Status)
		}
		fmt.Fprint(conn, "ping")
		b := make([]byte, 4)
		if _, err := io.ReadFull(conn, b); err != nil || string(b) != "ping" {
			t.Errorf("%s: %q %v", authority, b, err)
		}
		conn.Close()
	}
}

// The address that was checked is the one dialled: a name that resolves
// otherwise the second time changes nothing.
func TestAttackRebinding(t *testing.T) {
	w := newWorld(t)
	g := &seen{}
	w.https(good, g)
	lookups := 0
	w.server.resolver = resolverFunc(func(host string) []netip.Addr {
		if lookups++; lookups > 1 {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}
		}
		return w.names[host]
	})
	resp, err := w.client().Get("https://good.example/")
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, resp)
	if lookups != 1 || resp.StatusCode != 200 {
		t.Errorf("%d lookups, %s", lookups, resp.Status)
	}
	w.server.pool.reap(w.clock.now().Add(time.Hour))
	resp, err = w.client().Get("https://good.example/")
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, resp); resp.StatusCode != 403 {
		t.Errorf("after rebinding: %s", resp.Status)
	}
}

type resolverFunc func(string) []netip.Addr

func (f resolverFunc) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	return f(host), nil
}

// The proxy is not reached through itself, even where loopback is listed.
func TestAttackProxysOwnPort(t *testing.T) {
	w := newWorld(t)
	w.policy.route = func(ConnectInfo) Route { return Route{Action: Tunnel, Private: true} }
	for _, authority := range []string{w.addr, strings.Replace(w.addr, "127.0.0.1", "[::ffff:127.0.0.1]", 1), strings.Replace(w.addr, "127.0.0.1", "127.8.8.8", 1)} {
		_, resp := w.connect(authority)
		if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, "the proxy itself") {
			t.Errorf("CONNECT %s: %s %s", authority, resp.Status, b)
		}
	}
}

func echoServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
				if tc, ok := c.(*net.TCPConn); ok {
					_ = tc.CloseWrite()
				}
			}()
		}
	}()
	return l.Addr().String()
}

// A tunnel passes bytes both ways, those that came with the CONNECT too, half
// closes, and tells how much.
func TestTunnel(t *testing.T) {
	w := newWorld(t)
	ended := make(chan Outcome, 1)
	w.policy.route = func(ConnectInfo) Route {
		return Route{Action: Tunnel, Close: func(o Outcome) { ended <- o }}
	}
	w.place("echo.example", 7777, echoServer(t))
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "CONNECT echo.example:7777 HTTP/1.1\r\nHost: echo.example:7777\r\nProxy-Authorization: %s\r\n\r\nearly ", basic("kb.work", token))
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, &http.Request{Method: "CONNECT"})
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	body := strings.Repeat("x", 1<<20)
	go func() {
		_, _ = io.WriteString(conn, body)
		_ = conn.(*net.TCPConn).CloseWrite()
	}()
	b, err := io.ReadAll(br)
	if err != nil || string(b) != "early "+body {
		t.Errorf("%d bytes back, %v", len(b), err)
	}
	if o := <-ended; o.Sent != 1<<20+6 || o.Received != 1<<20+6 || o.Err != "" {
		t.Errorf("outcome %+v", o)
	}
}

// A tunnel to nowhere is answered before a 200.
func TestTunnelToNowhere(t *testing.T) {
	w := newWorld(t)
	ended := make(chan Outcome, 2)
	w.policy.route = func(ConnectInfo) Route {
		return Route{Action: Tunnel, Close: func(o Outcome) { ended <- o }}
	}
	w.place("down.example", 443, "127.0.0.1:1")
	for host, code := range map[string]string{"unknown.example": CodeResolve, "down.example": CodeDial} {
		_, resp := w.connect(host + ":443")
		if b := readAll(t, resp); resp.StatusCode != 502 || !strings.Contains(b, code) {
			t.Errorf("%s: %s %s", host, resp.Status, b)
		}
		if o := <-ended; o.Err != endedDial {
			t.Errorf("outcome %+v", o)
		}
	}
}

func TestDeny(t *testing.T) {
	w := newWorld(t)
	w.policy.route = func(c ConnectInfo) Route {
		if c.Host == good {
			return Route{Refusal: &Refusal{Status: 403, Code: "login_needed", Message: "m", Fix: "kb login good"}}
		}
		return Route{Reason: "egress is listed"}
	}
	_, resp := w.connect("good.example:443")
	if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, "kb login good") {
		t.Errorf("%s %s", resp.Status, b)
	}
	_, resp = w.connect("evil.example:443")
	if b := readAll(t, resp); resp.StatusCode != 403 || !strings.Contains(b, "egress is listed") || !strings.Contains(b, CodeDenied) {
		t.Errorf("%s %s", resp.Status, b)
	}
	c := w.client()
	r, err := c.Get("http://evil.example/")
	if err != nil {
		t.Fatal(err)
	}
	if readAll(t, r); r.StatusCode != 403 {
		t.Errorf("absolute form: %s", r.Status)
	}
}
