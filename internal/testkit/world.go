package testkit

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// World is a set of origins, the names they have and the CA they are known by.
// It ends with its test.
type World struct {
	CA *CA

	t         testing.TB
	real      bool // listens on the addresses themselves, inside the namespace
	resolver  *Resolver
	mu        sync.Mutex
	origins   []*Origin
	listeners map[netip.AddrPort]string // address of the world -> address on loopback
	dialled   []string
	next      int // last byte of the next address
}

// Origin is one server of a world, under one name.
type Origin struct {
	Name string
	Addr netip.Addr // in 203.0.113.0/24

	mu         sync.Mutex
	log        []*entry
	handshakes int
	tlsErrors  []string
}

// OriginConfig says how an origin answers.
type OriginConfig struct {
	Handler http.Handler // over TLS; nil means Lab()
	Plain   http.Handler // over plain http on port 80; nil means no such port
	Ports   []uint16     // TLS ports; nil means 443

	Certificate *tls.Certificate  // nil means a good one for the name
	TLS         func(*tls.Config) // last word on the TLS configuration; nil means none
	HTTP1       bool              // offers no h2

	// Conn, if set, is given every accepted connection instead of an HTTP
	// server, before TLS; it owns it.
	Conn func(net.Conn)
}

// New makes a world inside this process: see the package documentation.
func New(t testing.TB) *World {
	t.Helper()
	ca, err := NewCA("kb test world")
	if err != nil {
		t.Fatal(err)
	}
	return newWorld(t, ca, false)
}

func newWorld(t testing.TB, ca *CA, real bool) *World {
	w := &World{
		CA: ca, t: t, real: real, listeners: map[netip.AddrPort]string{}, next: 10,
		resolver: &Resolver{names: map[string][]netip.Addr{}},
	}
	if real {
		w.resolver.changed = writeHosts
		t.Cleanup(func() { writeHosts(nil) })
	}
	return w
}

// Roots is the pool that a client of this world trusts.
func (w *World) Roots() *x509.CertPool { return w.CA.Pool() }

// Resolver answers the names of this world.
func (w *World) Resolver() *Resolver { return w.resolver }

// Serve starts an origin; it stops with the test. Serving a name twice replaces
// its address, not the first origin.
func (w *World) Serve(name string, c OriginConfig) *Origin {
	w.t.Helper()
	w.mu.Lock()
	// .255 is the broadcast address of the loopback's /24.
	if w.next > 254 {
		w.mu.Unlock()
		w.t.Fatal("a world has 245 origins at most")
	}
	o := &Origin{Name: name, Addr: netip.AddrFrom4([4]byte{203, 0, 113, byte(w.next)})}
	w.next++
	w.origins = append(w.origins, o)
	w.mu.Unlock()

	if c.Handler == nil {
		c.Handler = Lab()
	}
	if c.Ports == nil {
		c.Ports = []uint16{443}
	}
	cert := c.Certificate
	if cert == nil {
		var err error
		if cert, err = w.CA.leaf(name); err != nil {
			w.t.Fatal(err)
		}
	}
	for _, port := range c.Ports {
		l := w.listen(o, port)
		if c.Conn != nil {
			w.serveConns(l, c.Conn)
			continue
		}
		config := &tls.Config{
			Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12,
			VerifyConnection: o.noteHandshake, NextProtos: []string{"h2", "http/1.1"},
		}
		if c.HTTP1 {
			config.NextProtos = []string{"http/1.1"}
		}
		if c.TLS != nil {
			c.TLS(config)
		}
		w.serve(o, port, l, c.Handler, config)
	}
	if c.Plain != nil {
		w.serve(o, 80, w.listen(o, 80), c.Plain, nil)
	}
	w.resolver.Set(name, o.Addr)
	return o
}

func (w *World) listen(o *Origin, port uint16) net.Listener {
	w.t.Helper()
	at := netip.AddrPortFrom(o.Addr, port)
	addr := "127.0.0.1:0"
	if w.real {
		addr = at.String()
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		w.t.Fatalf("start origin %q: %v", o.Name, err)
	}
	w.mu.Lock()
	w.listeners[at] = l.Addr().String()
	w.mu.Unlock()
	return l
}

func (w *World) serve(o *Origin, port uint16, l net.Listener, h http.Handler, config *tls.Config) {
	srv := &http.Server{
		Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			e := o.record(r, port)
			defer func() {
				e.mu.Lock()
				e.req.Ended = true
				e.mu.Unlock()
			}()
			h.ServeHTTP(&statusWriter{rw, e}, r)
		}),
		TLSConfig:         config,
		ReadHeaderTimeout: 30 * time.Second,
		MaxHeaderBytes:    4 << 20, // origins take more than a proxy may send, so that a limit seen is the proxy's
		ErrorLog:          log.New(o, "", 0),
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if config == nil {
			_ = srv.Serve(l)
		} else {
			_ = srv.ServeTLS(l, "", "")
		}
	}()
	w.t.Cleanup(func() {
		_ = srv.Close()
		<-done
	})
}

func (w *World) serveConns(l net.Listener, handle func(net.Conn)) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[c] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() {
					mu.Lock()
					delete(open, c)
					mu.Unlock()
					_ = c.Close()
				}()
				handle(c)
			})
		}
	})
	w.t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// Requests is what arrived at every origin, in order of arrival.
func (w *World) Requests() []Request {
	w.mu.Lock()
	origins := slices.Clone(w.origins)
	w.mu.Unlock()
	var out []Request
	for _, o := range origins {
		out = append(out, o.Requests()...)
	}
	slices.SortStableFunc(out, func(a, b Request) int { return a.Time.Compare(b.Time) })
	return out
}

// Forget empties the log of every origin.
func (w *World) Forget() {
	w.mu.Lock()
	origins := slices.Clone(w.origins)
	w.mu.Unlock()
	for _, o := range origins {
		o.Forget()
	}
}

// Dial connects to an address of this world, of the form "203.0.113.10:443",
// and to nothing else: any other is refused, as a closed port would be. Every
// attempt is remembered for [World.Dialled].
func (w *World) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	w.mu.Lock()
	w.dialled = append(w.dialled, addr)
	to := ""
	if at, err := netip.ParseAddrPort(addr); err == nil {
		to = w.listeners[netip.AddrPortFrom(at.Addr().Unmap(), at.Port())]
	}
	w.mu.Unlock()
	if to == "" {
		return nil, &net.OpError{Op: "dial", Net: network, Err: fmt.Errorf("%s is not in this world: %w", addr, syscall.ECONNREFUSED)}
	}
	var d net.Dialer
	return d.DialContext(ctx, network, to)
}

// Listener is the loopback address, "127.0.0.1:40000", behind an origin's port,
// for clients that cannot be given Dial. In the namespace it is the origin's own.
func (w *World) Listener(o *Origin, port uint16) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.listeners[netip.AddrPortFrom(o.Addr, port)]
}

// Dialled is every address that Dial was asked for, in order.
func (w *World) Dialled() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.dialled)
}

// Client is an HTTP client that goes to this world's origins directly, trusts
// its CA, follows no redirect and keeps no connection beyond the test.
func (w *World) Client() *http.Client {
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			ips, err := w.resolver.LookupNetIP(ctx, "ip", host)
			if err != nil {
				return nil, err
			}
			return w.Dial(ctx, network, net.JoinHostPort(ips[0].String(), port))
		},
		TLSClientConfig:   &tls.Config{RootCAs: w.Roots(), MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true,
	}
	w.t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{
		Transport:     tr,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Resolver answers from a table that tests may change while it is asked.
type Resolver struct {
	mu      sync.Mutex
	names   map[string][]netip.Addr
	asked   []string
	changed func(map[string][]netip.Addr) // called with mu held; nil in process
}

// Set makes name resolve to addrs from now on; without any it does not exist.
func (r *Resolver) Set(name string, addrs ...netip.Addr) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(addrs) == 0 {
		delete(r.names, name)
	} else {
		r.names[name] = addrs
	}
	if r.changed != nil {
		r.changed(r.names)
	}
}

// LookupNetIP has the shape of net.Resolver.LookupNetIP. An address literal
// resolves to itself.
func (r *Resolver) LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, host)
	var out []netip.Addr
	for _, a := range r.names[host] {
		if network == "ip" || (network == "ip4") == a.Unmap().Is4() {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return out, nil
}

// Asked is every name that was looked up, in order.
func (r *Resolver) Asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.asked)
}
