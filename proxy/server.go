package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"kb/internal/secret"
)

// Options say what a [Server] stands on.
type Options struct {
	// Policy decides. Required.
	Policy Policy
	// CA signs for the hosts that are intercepted. Required.
	CA *CA
	// Token is the session token, the password of Proxy-Authorization.
	// Required.
	Token secret.Value
	// Resolver finds addresses. Nil means the system's.
	Resolver Resolver
	// Roots verify upstreams. Nil means the system's.
	Roots *x509.CertPool
	// Now tells the time, for certificates and Outcome.Elapsed. Nil means
	// time.Now. Limits go by a clock that nobody sets.
	Now func() time.Time
	// Limits bounds what clients and upstreams can hold. Zero fields take
	// their defaults.
	Limits Limits
	// Dial connects to an address that has passed the filter. Nil means TCP to
	// that address.
	Dial func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// ErrClosed is what Serve returns after Shutdown.
var ErrClosed = errors.New("proxy is shut down")

// scanEvery is how often idle limits are looked at. One pass over all
// connections costs less than a timer for each request.
const scanEvery = time.Second

// Server is the proxy of one session.
type Server struct {
	policy   Policy
	ca       *CA
	token    secret.Value
	resolver Resolver
	roots    *x509.CertPool
	now      func() time.Time
	steady   func() time.Time // for limits: a clock that is set ends no connection
	limits   Limits
	dialAddr func(ctx context.Context, addr netip.AddrPort) (net.Conn, error)

	serverTLS *tls.Config
	configs   sync.Map // configKey -> *tls.Config
	pool      *pool
	h2        *h2Pool
	throttle  throttle

	ctx        context.Context // ends with the server
	cancel     context.CancelFunc
	background sync.WaitGroup
	kept       atomic.Int64 // bytes of bodies that may be sent again
	clock      atomic.Int64 // coarse time, nanoseconds: that of the last scan

	mu        sync.Mutex
	conns     map[*conn]struct{}
	listeners map[net.Listener]netip.AddrPort
	closing   bool
	scanning  bool
	empty     chan struct{} // closed when the last connection ends while closing
}

// New checks the options and returns a server that does nothing until Serve.
func New(o Options) (*Server, error) {
	switch {
	case o.Policy == nil:
		return nil, errors.New("make the proxy: no policy")
	case o.CA == nil:
		return nil, errors.New("make the proxy: no session CA")
	case len(o.Token.Reveal()) < 16:
		return nil, errors.New("make the proxy: the session token is missing or shorter than 16 bytes")
	}
	s := &Server{
		policy: o.Policy, ca: o.CA, token: o.Token, resolver: o.Resolver, roots: o.Roots,
		now: o.Now, steady: steadyClock(), limits: o.Limits.withDefaults(), dialAddr: o.Dial,
		conns:     make(map[*conn]struct{}),
		listeners: make(map[net.Listener]netip.AddrPort),
		empty:     make(chan struct{}),
	}
	if s.resolver == nil {
		s.resolver = net.DefaultResolver
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.dialAddr == nil {
		s.dialAddr = dialTCP
	}
	s.clock.Store(s.steady().UnixNano())
	s.throttle.now = s.now
	s.pool = newPool(s.limits, s.now)
	s.h2 = newH2Pool(s)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.serverTLS = s.serverConfig()
	return s, nil
}

func dialTCP(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	// Keep-alive probes end tunnels and streams whose other side has vanished.
	d := net.Dialer{KeepAlive: 30 * time.Second}
	return d.DialContext(ctx, "tcp", addr.String())
}

// Serve accepts connections until the listener fails or Shutdown is called,
// and then returns ErrClosed.
func (s *Server) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		_ = l.Close()
		return ErrClosed
	}
	addr, _ := netip.ParseAddrPort(l.Addr().String())
	s.listeners[l] = netip.AddrPortFrom(addr.Addr().Unmap(), addr.Port())
	if !s.scanning {
		s.scanning = true
		s.background.Add(1)
		go s.scanLoop()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.listeners, l)
		s.mu.Unlock()
	}()
	for {
		raw, err := l.Accept()
		if err != nil {
			s.mu.Lock()
			closing := s.closing
			s.mu.Unlock()
			if closing {
				return ErrClosed
			}
			var temporary interface{ Temporary() bool }
			if errors.As(err, &temporary) && temporary.Temporary() {
				// Out of descriptors: those in use are freed by their own ends.
				select {
				case <-time.After(5 * time.Millisecond):
					continue
				case <-s.ctx.Done():
					return ErrClosed
				}
			}
			return fmt.Errorf("accept: %w", err)
		}
		s.accept(raw)
	}
}

func (s *Server) accept(raw net.Conn) {
	c := newConn(s, raw)
	s.mu.Lock()
	if s.closing || len(s.conns) >= s.limits.Connections {
		s.mu.Unlock()
		c.turnAway()
		return
	}
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	go c.serve()
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	if s.closing && len(s.conns) == 0 {
		close(s.empty)
	}
}

// Shutdown stops accepting, closes connections that wait for a request, and
// waits for the rest until ctx ends; what then still runs is cut off and ctx's
// error returned. A second call returns nil at once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	if s.closing {
		s.mu.Unlock()
		return nil
	}
	s.closing = true
	for l := range s.listeners {
		_ = l.Close()
	}
	if len(s.conns) == 0 {
		close(s.empty)
	}
	s.mu.Unlock()
	err := s.drain(ctx)
	s.cancel()
	s.pool.close()
	s.h2.close()
	s.background.Wait()
	return err
}

const (
	drainEvery = 10 * time.Millisecond
	drainGrace = 10 // times that an HTTP/2 connection has to be found idle
)

// drain cuts connections as they fall idle, and all when ctx ends.
func (s *Server) drain(ctx context.Context) error {
	// A connection falls idle without telling anyone, so look again.
	again := time.NewTicker(drainEvery)
	defer again.Stop()
	idle := make(map[*conn]int)
	for {
		s.mu.Lock()
		list := s.snapshot()
		s.mu.Unlock()
		for _, c := range list {
			if !c.waiting() {
				delete(idle, c)
				continue
			}
			// x/net writes the end of a stream after its handler has returned.
			if idle[c]++; idle[c] > drainGrace || !c.track.in(phaseH2) {
				c.cut()
			}
		}
		select {
		case <-s.empty:
			return nil
		case <-again.C:
		case <-ctx.Done():
			s.cancel()
			for _, c := range list {
				c.cut()
			}
			<-s.empty
			return ctx.Err()
		}
	}
}

// snapshot copies the list of connections; s.mu is held.
func (s *Server) snapshot() []*conn {
	list := make([]*conn, 0, len(s.conns))
	for c := range s.conns {
		list = append(list, c)
	}
	return list
}

// listensOn reports whether addr is a listener of this server: a request
// through the proxy to the proxy would go round for ever.
func (s *Server) listensOn(addr netip.AddrPort) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range s.listeners {
		if l.Port() == addr.Port() && (l.Addr() == addr.Addr() || l.Addr().IsUnspecified() || addr.Addr().IsLoopback() && l.Addr().IsLoopback()) {
			return true
		}
	}
	return false
}

func (s *Server) scanLoop() {
	defer s.background.Done()
	t := time.NewTicker(scanEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			s.scan(s.steady())
		case <-s.ctx.Done():
			return
		}
	}
}

// scan holds every connection against its limits.
func (s *Server) scan(now time.Time) {
	s.clock.Store(now.UnixNano())
	s.mu.Lock()
	list := s.snapshot()
	s.mu.Unlock()
	for _, c := range list {
		c.check(now)
	}
	s.pool.reap(s.now())
}

// steadyClock starts at the machine's time and then only passes. Trackers keep
// nanoseconds, which have no monotonic reading.
func steadyClock() func() time.Time {
	began := time.Now()
	return func() time.Time { return began.Add(time.Since(began)) }
}
