package proxy

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"kb/internal/secret"
)

const (
	token  = "0123456789abcdef0123456789abcdef"
	canary = "kb-canary-7a1b93"
	good   = "good.example"
	evil   = "evil.example"
)

// world is a proxy between real clients and real TLS upstreams. Names resolve
// to 203.0.113.0/24, which the address filter lets pass, and are dialled on
// loopback.
type world struct {
	t      testing.TB
	server *Server
	addr   string
	policy *testPolicy
	ca     *CA
	clock  *clock
	origin *testCA

	mu    sync.Mutex
	names map[string][]netip.Addr
	ports map[netip.AddrPort]string // dialled instead
	dials atomic.Int64
}

type clock struct {
	offset  atomic.Int64
	set     atomic.Int64 // the machine's clock, by hand
	stopped atomic.Pointer[time.Time]
}

func (c *clock) now() time.Time          { return c.steady().Add(time.Duration(c.set.Load())) }
func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// stop has the clock move by hand alone.
func (c *clock) stop() {
	now := time.Now()
	c.stopped.Store(&now)
}

func (c *clock) steady() time.Time {
	now := time.Now()
	if at := c.stopped.Load(); at != nil {
		now = *at
	}
	return now.Add(time.Duration(c.offset.Load()))
}

// testPolicy intercepts the names it has credentials for and tunnels the rest.
type testPolicy struct {
	mu       sync.Mutex
	route    func(ConnectInfo) Route
	auth     func(context.Context, *RequestInfo) (*Injection, error)
	refused  []Refusal
	requests []RequestInfo
	headers  []http.Header
	outcomes []Outcome
	asked    atomic.Int64
	done     atomic.Int64
}

func (p *testPolicy) Route(_ context.Context, c ConnectInfo) Route {
	p.mu.Lock()
	f := p.route
	p.mu.Unlock()
	if f != nil {
		return f(c)
	}
	if c.Host == good && c.Port == 443 {
		return Route{Action: Intercept, Reason: "test"}
	}
	return Route{Action: Tunnel, Reason: "test"}
}

func (p *testPolicy) Authorize(ctx context.Context, r *RequestInfo) (*Injection, error) {
	p.asked.Add(1)
	p.mu.Lock()
	h := make(http.Header)
	for k, v := range r.Header.All() {
		h.Add(k, v)
	}
	info := *r
	info.Header = Header{}
	p.requests = append(p.requests, info)
	p.headers = append(p.headers, h)
	f := p.auth
	p.mu.Unlock()
	inj := &Injection{Pool: "work", Header: []Field{{"Authorization", secret.New("Bearer " + canary)}}}
	if f != nil {
		var err error
		if inj, err = f(ctx, r); err != nil || inj == nil {
			return inj, err
		}
	}
	return p.watch(inj), nil
}

// watch keeps the outcome of an injection, which may be told only once.
func (p *testPolicy) watch(inj *Injection) *Injection {
	var once atomic.Bool
	inj.Done = func(o Outcome) {
		if once.Swap(true) {
			panic("Done was called twice")
		}
		p.mu.Lock()
		p.outcomes = append(p.outcomes, o)
		p.mu.Unlock()
		p.done.Add(1)
	}
	return inj
}

func (p *testPolicy) Refused(_ ConnectInfo, _ *RequestInfo, r *Refusal) {
	p.mu.Lock()
	p.refused = append(p.refused, *r)
	p.mu.Unlock()
}

func (p *testPolicy) lastRefusal() Refusal {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.refused) == 0 {
		return Refusal{}
	}
	return p.refused[len(p.refused)-1]
}

func (p *testPolicy) lastRequest() (RequestInfo, http.Header) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.requests) == 0 {
		return RequestInfo{}, nil
	}
	return p.requests[len(p.requests)-1], p.headers[len(p.headers)-1]
}

func (p *testPolicy) lastOutcome() Outcome {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.outcomes) == 0 {
		return Outcome{}
	}
	return p.outcomes[len(p.outcomes)-1]
}

// testCA signs for the upstreams.
type testCA struct{ ca *CA }

func (o *testCA) roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(o.ca.CertPEM())
	return pool
}

func (o *testCA) cert(t testing.TB, host string) tls.Certificate {
	t.Helper()
	c, err := o.ca.leaf(host)
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{}, policy: &testPolicy{}, names: map[string][]netip.Addr{}, ports: map[netip.AddrPort]string{}}
	var err error
	if w.ca, err = NewCA([]string{good, "other.example"}, nil, w.clock.now, nil); err != nil {
		t.Fatal(err)
	}
	originCA, err := NewCA([]string{good, evil, "other.example", "*.example"}, nil, w.clock.now, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.origin = &testCA{originCA}
	o := Options{
		Policy: w.policy, CA: w.ca, Token: secret.New(token), Resolver: w, Roots: w.origin.roots(), Now: w.clock.now, Dial: w.dial,
	}
	for _, f := range change {
		f(&o)
	}
	if w.server, err = New(o); err != nil {
		t.Fatal(err)
	}
	w.server.steady = w.clock.steady
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- w.server.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := w.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := <-served; !errors.Is(err, ErrClosed) {
			t.Errorf("Serve returned %v, want ErrClosed", err)
		}
	})
	return w
}

func (w *world) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if a, ok := w.names[host]; ok {
		return append([]netip.Addr(nil), a...), nil
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

func (w *world) dial(ctx context.Context, a netip.AddrPort) (net.Conn, error) {
	w.dials.Add(1)
	w.mu.Lock()
	to, ok := w.ports[a]
	w.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("nothing is at %s", a)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", to)
}

// place puts a listener at name:port.
func (w *world) place(name string, port uint16, addr string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, ok := w.names[name]
	if !ok {
		a = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(10 + len(w.names))})}
		w.names[name] = a
	}
	w.ports[netip.AddrPortFrom(a[0], port)] = addr
}

// https serves h at name:443 over HTTP/1.1 and HTTP/2.
func (w *world) https(name string, h http.Handler, change ...func(*httptest.Server)) *httptest.Server {
	w.t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.TLS = &tls.Config{Certificates: []tls.Certificate{w.origin.cert(w.t, name)}, Time: w.clock.now}
	for _, f := range change {
		f(s)
	}
	s.StartTLS()
	w.t.Cleanup(s.Close)
	w.place(name, 443, s.Listener.Addr().String())
	return s
}

func h2Origin(s *httptest.Server) { s.EnableHTTP2 = true }

// onlyH2Origin speaks nothing but HTTP/2. Go's servers let a client without h2
// through as HTTP/1.1; others send the alert of RFC 7301, as one that knows
// neither does.
func onlyH2Origin(s *httptest.Server) {
	s.EnableHTTP2 = true
	neither := s.TLS.Clone()
	neither.NextProtos = []string{"neither"}
	s.TLS.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if offers(h, "h2") {
			return nil, nil
		}
		return neither, nil
	}
}

// raw serves connections by hand: f gets each one, with TLS done.
func (w *world) raw(name string, f func(net.Conn)) net.Listener {
	w.t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{w.origin.cert(w.t, name)}, Time: w.clock.now})
	if err != nil {
		w.t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer c.Close()
				f(c)
			}()
		}
	}()
	w.t.Cleanup(func() { l.Close() })
	w.place(name, 443, l.Addr().String())
	return l
}

func (w *world) proxyURL(user string) *url.URL {
	return &url.URL{Scheme: "http", Host: w.addr, User: url.UserPassword(user, token)}
}

func (w *world) clientRoots() *x509.CertPool {
	pool := w.origin.roots() // for tunnels
	pool.AppendCertsFromPEM(w.ca.CertPEM())
	return pool
}

// client is net/http through the proxy.
func (w *world) client(change ...func(*http.Transport)) *http.Client {
	tr := &http.Transport{
		Proxy:           http.ProxyURL(w.proxyURL("kb")),
		TLSClientConfig: &tls.Config{RootCAs: w.clientRoots(), Time: w.clock.now},
	}
	for _, f := range change {
		f(tr)
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func basic(user, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
}

// connect sends a CONNECT and returns the connection after its answer.
func (w *world) connect(authority string) (net.Conn, *http.Response) {
	w.t.Helper()
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "CONNECT %s HTTP/1.1\r\nHost: %s\r\nProxy-Authorization: %s\r\n\r\n", authority, authority, basic("kb", token))
	return c, readResponse(w.t, c)
}

// tunnel opens an intercepted tunnel to host by hand, TLS done.
func (w *world) tunnel(host string) *tls.Conn {
	w.t.Helper()
	c, resp := w.connect(host + ":443")
	if resp.StatusCode != 200 {
		w.t.Fatalf("CONNECT %s: %s", host, resp.Status)
	}
	tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: host, Time: w.clock.now, NextProtos: []string{"http/1.1"}})
	if err := tc.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	return tc
}

// readResponse reads one response and its body without taking bytes that
// follow the head of a 200 to CONNECT.
func readResponse(t testing.TB, c net.Conn) *http.Response {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	defer c.SetReadDeadline(time.Time{})
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := c.Read(one); err != nil {
			t.Fatalf("read a response: %v after %q", err, head)
		}
		head = append(head, one[0])
	}
	resp, err := http.ReadResponse(bufio.NewReader(io.MultiReader(bytes.NewReader(head), c)), &http.Request{Method: "CONNECT"})
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 && resp.ContentLength > 0 {
		body := make([]byte, resp.ContentLength)
		if _, err := io.ReadFull(c, body); err != nil {
			t.Fatal(err)
		}
		resp.Body = io.NopCloser(bytes.NewReader(body))
	}
	return resp
}

func readAll(t testing.TB, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// eventually polls a condition: nothing here waits for a time.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("waited 10 s for %s", what)
}

// seen is an upstream that keeps what came to it.
type seen struct {
	mu   sync.Mutex
	reqs []*http.Request
	body []string
}

func (s *seen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.reqs = append(s.reqs, r)
	s.body = append(s.body, string(b))
	s.mu.Unlock()
	fmt.Fprintf(w, "%s %s auth=%s body=%d", r.Method, r.URL.RequestURI(), r.Header.Get("Authorization"), len(b))
}

func (s *seen) last() *http.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.reqs) == 0 {
		return nil
	}
	return s.reqs[len(s.reqs)-1]
}

// holds reports whether anything that came holds the text.
func (s *seen) holds(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, r := range s.reqs {
		var b bytes.Buffer
		_ = r.Header.Write(&b)
		if strings.Contains(b.String()+r.URL.String()+s.body[i]+fmt.Sprint(r.Trailer), text) {
			return true
		}
	}
	return false
}

// dialByName goes to an upstream without the proxy.
func (w *world) dialByName(ctx context.Context, _, addr string) (net.Conn, error) {
	host, port, err := parseAuthority(addr, 0)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	a := w.names[host]
	w.mu.Unlock()
	if len(a) == 0 {
		return nil, fmt.Errorf("no such host %q", host)
	}
	return w.dial(ctx, netip.AddrPortFrom(a[0], port))
}

// http serves h at name:80, without TLS.
func (w *world) http(name string, h http.Handler) *httptest.Server {
	w.t.Helper()
	s := httptest.NewServer(h)
	w.t.Cleanup(s.Close)
	w.place(name, 80, s.Listener.Addr().String())
	return s
}

// rawH2 sends one request frame by frame on a connection of its own and
// returns the :status, or what ended the stream.
func (w *world) rawH2(host string, fields [][2]string) string {
	w.t.Helper()
	c, _ := w.connect(host + ":443")
	tc := tls.Client(c, &tls.Config{RootCAs: w.clientRoots(), ServerName: host, Time: w.clock.now, NextProtos: []string{"h2"}})
	if err := tc.Handshake(); err != nil {
		w.t.Fatal(err)
	}
	_ = tc.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(tc, http2.ClientPreface)
	fr := http2.NewFramer(tc, tc)
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = fr.WriteSettings()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block)
	for _, f := range fields {
		_ = enc.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	_ = fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true})
	for {
		f, err := fr.ReadFrame()
		if err != nil {
			return err.Error()
		}
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			return f.PseudoValue("status")
		case *http2.RSTStreamFrame:
			return f.ErrCode.String()
		case *http2.GoAwayFrame:
			return f.ErrCode.String()
		}
	}
}

func got1xx(ctx context.Context, f func(int, http.Header)) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		f(code, http.Header(h))
		return nil
	}})
}
