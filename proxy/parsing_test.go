package proxy

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// inTunnel is what is refused inside an intercepted tunnel: the raw bytes, and
// the status. HOST stands for the header of the tunnel's own host.
var inTunnel = []struct {
	name, raw string
	status    int
}{
	{"CL and TE", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE and CL", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400},
	{"equal duplicate CL", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\nx", 400},
	{"different duplicate CL", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
	{"CL list", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 1, 1\r\n\r\nx", 400},
	{"CL with sign", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: +1\r\n\r\nx", 400},
	{"CL negative", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: -1\r\n\r\nx", 400},
	{"CL hex", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 0x1\r\n\r\nx", 400},
	{"CL empty", "POST / HTTP/1.1\r\nHOST\r\nContent-Length:\r\n\r\nx", 400},
	{"CL overflows", "POST / HTTP/1.1\r\nHOST\r\nContent-Length: 18446744073709551617\r\n\r\nx", 400},
	{"two TE", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE list", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400},
	{"TE identity", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: identity\r\n\r\n", 400},
	{"TE chunked with tab inside", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chun\tked\r\n\r\n", 400},
	{"TE with vertical tab", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: \vchunked\r\n\r\n", 400},
	{"TE in 1.0", "POST / HTTP/1.0\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"bare LF after the request line", "GET / HTTP/1.1\nHOST\r\n\r\n", 400},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHOST\nX: y\r\n\r\n", 400},
	{"bare LF at the end", "GET / HTTP/1.1\r\nHOST\r\n\n", 400},
	{"bare CR in a value", "GET / HTTP/1.1\r\nHOST\r\nX: a\rAuthorization: b\r\n\r\n", 400},
	{"obs-fold by space", "GET / HTTP/1.1\r\nHOST\r\nX: a\r\n b\r\n\r\n", 400},
	{"obs-fold by tab", "GET / HTTP/1.1\r\nHOST\r\nX: a\r\n\tb\r\n\r\n", 400},
	{"fold on the first field", "GET / HTTP/1.1\r\n HOST\r\n\r\n", 400},
	{"space before the colon", "GET / HTTP/1.1\r\nHOST\r\nContent-Length : 0\r\n\r\n", 400},
	{"tab before the colon", "GET / HTTP/1.1\r\nHOST\r\nX\t: 0\r\n\r\n", 400},
	{"empty field name", "GET / HTTP/1.1\r\nHOST\r\n: x\r\n\r\n", 400},
	{"field without colon", "GET / HTTP/1.1\r\nHOST\r\nnothing\r\n\r\n", 400},
	{"field name not a token", "GET / HTTP/1.1\r\nHOST\r\nX(y): z\r\n\r\n", 400},
	{"NUL in a name", "GET / HTTP/1.1\r\nHOST\r\nX\x00: z\r\n\r\n", 400},
	{"NUL in a value", "GET / HTTP/1.1\r\nHOST\r\nX: a\x00b\r\n\r\n", 400},
	{"control in a value", "GET / HTTP/1.1\r\nHOST\r\nX: a\x01b\r\n\r\n", 400},
	{"DEL in a value", "GET / HTTP/1.1\r\nHOST\r\nX: a\x7fb\r\n\r\n", 400},
	{"method not a token", "G(T / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"method with NUL", "G\x00T / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"no method", " / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"HTTP/0.9", "GET /\r\n\r\n", 400},
	{"HTTP/0.9 without more", "GET /\r\n", 400},
	{"HTTP/2.0 in text", "GET / HTTP/2.0\r\nHOST\r\n\r\n", 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\nHOST\r\n\r\n", 400},
	{"lower-case http", "GET / http/1.1\r\nHOST\r\n\r\n", 400},
	{"HTTP/1.10", "GET / HTTP/1.10\r\nHOST\r\n\r\n", 400},
	{"two spaces", "GET  / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"tab for a space", "GET\t/ HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"four words", "GET / x HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"space at the end", "GET / HTTP/1.1 \r\nHOST\r\n\r\n", 400},
	{"leading empty line", "\r\nGET / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"leading bare LF", "\nGET / HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"absolute form", "GET https://good.example/ HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"absolute form to evil", "GET https://evil.example/ HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"target without slash", "GET x HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"asterisk with GET", "GET * HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"fragment", "GET /a#b HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"invalid percent", "GET /a%zz HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"cut percent", "GET /a%2 HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"byte over 127 in the target", "GET /\xc3\xa9 HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"control in the target", "GET /\x01 HTTP/1.1\r\nHOST\r\n\r\n", 400},
	{"no Host", "GET / HTTP/1.1\r\n\r\n", 400},
	{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", 400},
	{"two Hosts", "GET / HTTP/1.1\r\nHOST\r\nHOST\r\n\r\n", 400},
	{"two Authorizations", "GET / HTTP/1.1\r\nHOST\r\nAuthorization: a\r\nAuthorization: b\r\n\r\n", 400},
	{"unknown expectation", "GET / HTTP/1.1\r\nHOST\r\nExpect: 200-maybe\r\n\r\n", 400},
	{"CONNECT inside", "CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n", 405},
	{"TRACE", "TRACE / HTTP/1.1\r\nHOST\r\n\r\n", 405},
	{"TRACK", "TRACK / HTTP/1.1\r\nHOST\r\n\r\n", 405},
	{"10,000 fields", "GET / HTTP/1.1\r\nHOST\r\n" + strings.Repeat("X: y\r\n", 10_000) + "\r\n", 431},
	{"a few fields too many", "GET / HTTP/1.1\r\nHOST\r\n" + strings.Repeat("X: y\r\n", 300) + "\r\n", 431},
	{"1 MiB cookie", "GET / HTTP/1.1\r\nHOST\r\nCookie: " + strings.Repeat("c", 1<<20) + "\r\n\r\n", 431},
	{"64 KiB target", "GET /" + strings.Repeat("x", 64<<10) + " HTTP/1.1\r\nHOST\r\n\r\n", 431},
	// The head of these is fine, the body breaks.
	{"chunk extension", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n1;x=y\r\na\r\n0\r\n\r\n", 400},
	{"chunk size with 0x", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400},
	{"chunk size with space", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", 400},
	{"chunk size missing", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n\r\na\r\n0\r\n\r\n", 400},
	{"chunk size overflows", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000001\r\na\r\n0\r\n\r\n", 400},
	{"chunk longer than its size", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400},
	{"chunk with bare LF", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400},
	{"trailer that frames", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 5\r\n\r\n", 400},
	{"trailer that authenticates", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n", 400},
	{"trailer folded", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\r\n z\r\n\r\n", 400},
	{"bare LF in trailers", "POST / HTTP/1.1\r\nHOST\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: y\n\r\n", 400},
}

// Every form of rule 7 is refused with kb's JSON and the connection closed;
// what comes behind it on the connection is never served.
func TestAttackParsingInsideTunnel(t *testing.T) {
	w := newWorld(t)
	var up upstreamBytes
	w.raw(good, up.serve)
	for _, c := range inTunnel {
		t.Run(c.name, func(t *testing.T) {
			conn := w.tunnel(good)
			raw := strings.ReplaceAll(c.raw, "HOST", "Host: "+good)
			go func() { _, _ = io.WriteString(conn, raw+"GET /smuggled HTTP/1.1\r\nHost: good.example\r\n\r\n") }()
			resp := strictRefusal(t, conn, c.status)
			if !resp.Close {
				t.Error("the answer does not say that the connection closes")
			}
			if code := w.policy.lastRefusal().Status; code != c.status {
				t.Errorf("the policy heard of %d, want %d", code, c.status)
			}
		})
	}
	if got := up.text(); strings.Contains(got, "smuggled") {
		t.Errorf("a request behind a refused one reached the upstream:\n%s", got)
	}
	// Positive control: the same request alone arrives.
	conn := w.tunnel(good)
	fmt.Fprint(conn, "GET /smuggled HTTP/1.1\r\nHost: good.example\r\n\r\n")
	if resp, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || resp.StatusCode != 204 {
		t.Fatalf("positive control: %v %v", resp, err)
	}
	if !strings.Contains(up.text(), "smuggled") {
		t.Error("positive control: the oracle is blind")
	}
}

// strictRefusal reads a refusal of kb's and the end of the connection.
func strictRefusal(t *testing.T, conn net.Conn, status int) *http.Response {
	t.Helper()
	_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	br := bufio.NewReader(conn)
	resp, err := http.ReadResponse(br, nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", resp.StatusCode, status, text)
	}
	var keys map[string]string
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatalf("not kb's JSON: %v in %q", err, text)
	}
	for _, k := range []string{"error", "message", "fix", "profile", "provider"} {
		if _, ok := keys[k]; !ok {
			t.Errorf("the refusal has no %q: %s", k, text)
		}
	}
	if resp.Header.Get("X-Should-Retry") != "false" || resp.Header.Get("Content-Type") != "application/json" {
		t.Errorf("refusal with header %v", resp.Header)
	}
	if rest, _ := io.ReadAll(br); len(rest) > 0 {
		t.Errorf("after the refusal came %q", rest)
	}
	return resp
}

// atProxy is what is refused on the hop to the proxy. AUTH is the right token.
var atProxy = []struct {
	name, raw string
	status    int
}{
	{"CONNECT with userinfo", "CONNECT good.example@evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with user and password", "CONNECT a:b@good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT without port", "CONNECT good.example HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with empty port", "CONNECT good.example: HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with port 0", "CONNECT good.example:0 HTTP/1.1\r\nHost: good.example:0\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with port 65536", "CONNECT good.example:65536 HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with port 0443", "CONNECT good.example:0443 HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with signed port", "CONNECT good.example:+443 HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with another Host", "CONNECT good.example:443 HTTP/1.1\r\nHost: evil.example:443\r\nAUTH\r\n\r\n", 421},
	{"CONNECT with another port in Host", "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:8443\r\nAUTH\r\n\r\n", 421},
	{"CONNECT to evil with Host good", "CONNECT evil.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 421},
	{"CONNECT with a body", "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\nContent-Length: 5\r\n\r\nhello", 400},
	{"CONNECT chunked", "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"CONNECT to a path", "CONNECT /x HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to a URI", "CONNECT https://good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with a percent", "CONNECT good%2eexample:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT outside ASCII", "CONNECT g\xc3\xb6od.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT fullwidth", "CONNECT \xef\xbd\x87ood.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with two trailing dots", "CONNECT good.example..:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT with an empty label", "CONNECT good..example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to a decimal address", "CONNECT 2130706433:443 HTTP/1.1\r\nHost: 2130706433:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to a hex address", "CONNECT 0x7f000001:443 HTTP/1.1\r\nHost: 0x7f000001:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to a short address", "CONNECT 127.1:443 HTTP/1.1\r\nHost: 127.1:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to an octal address", "CONNECT 0177.0.0.1:443 HTTP/1.1\r\nHost: 0177.0.0.1:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to an address with zone", "CONNECT [fe80::1%25eth0]:443 HTTP/1.1\r\nHost: [fe80::1%25eth0]:443\r\nAUTH\r\n\r\n", 400},
	{"CONNECT to a bare IPv6 address", "CONNECT 2001:db8::1:443 HTTP/1.1\r\nHost: 2001:db8::1:443\r\nAUTH\r\n\r\n", 400},
	{"bare LF", "CONNECT good.example:443 HTTP/1.1\nHost: good.example:443\nAUTH\n\n", 400},
	{"two Proxy-Authorizations", "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\nAUTH\r\nAUTH\r\n\r\n", 400},
	{"origin form", "GET / HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"absolute https", "GET https://good.example/ HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"absolute ftp", "GET ftp://good.example/ HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"absolute http with another Host", "GET http://good.example/ HTTP/1.1\r\nHost: evil.example\r\nAUTH\r\n\r\n", 421},
	{"absolute http with userinfo", "GET http://a:b@good.example/ HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 400},
	{"absolute TRACE", "TRACE http://good.example/ HTTP/1.1\r\nHost: good.example\r\nAUTH\r\n\r\n", 405},
	{"absolute http to port 25", "GET http://good.example:25/ HTTP/1.1\r\nHost: good.example:25\r\nAUTH\r\n\r\n", 403},
	{"TLS to the proxy itself", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400},
}

func TestAttackParsingAtProxy(t *testing.T) {
	w := newWorld(t)
	w.https(good, &seen{})
	e := &seen{}
	w.https(evil, e)
	for _, c := range atProxy {
		t.Run(c.name, func(t *testing.T) {
			conn, err := net.Dial("tcp", w.addr)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, strings.ReplaceAll(c.raw, "AUTH", "Proxy-Authorization: "+basic("kb", token)))
			strictRefusal(t, conn, c.status)
		})
	}
	if n := w.dials.Load(); n != 0 {
		t.Errorf("%d upstream connections were made for requests that are all refused", n)
	}
	// Positive control: the forms that are canonicalised work.
	for _, authority := range []string{"good.example:443", "GOOD.Example:443", "good.example.:443"} {
		conn, resp := w.connect(authority)
		if resp.StatusCode != 200 {
			t.Fatalf("CONNECT %s: %s", authority, resp.Status)
		}
		tc := tls.Client(conn, &tls.Config{RootCAs: w.clientRoots(), ServerName: good})
		if err := tc.Handshake(); err != nil {
			t.Errorf("CONNECT %s: %v", authority, err)
		}
	}
}

// upstreamBytes keeps what came over TLS, verbatim, and answers 204 to each
// head without a chunked body.
type upstreamBytes struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (u *upstreamBytes) add(s string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.buf.WriteString(s)
}

func (u *upstreamBytes) text() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.buf.String()
}

func (u *upstreamBytes) serve(c net.Conn) {
	br := bufio.NewReader(c)
	chunked := false
	for {
		line, err := br.ReadString('\n')
		u.add(line)
		if err != nil {
			return
		}
		chunked = chunked || strings.HasPrefix(line, "Transfer-Encoding")
		if line == "\r\n" && !chunked {
			fmt.Fprint(c, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	}
}
