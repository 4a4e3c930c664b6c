package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Resolver finds the addresses of a name. [net.Resolver] is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// target is one authority, canonical.
type target struct {
	host string
	port uint16
}

// fallbackDelay is how long one address may take before the next is tried
// beside it (RFC 8305 §5, "Connection Attempt Delay").
const fallbackDelay = 250 * time.Millisecond

// addressError says that a name's address may not be dialled.
type addressError struct{ why string }

func (e *addressError) Error() string { return "refuse to dial " + e.why }

var errNoAddress = errors.New("the name has no address")

// resolve returns the addresses of a target, or an *addressError if any of
// them is blocked: an answer that mixes public and private addresses is the
// mark of rebinding.
func (s *Server) resolve(ctx context.Context, t target, r reach) ([]netip.Addr, error) {
	var addrs []netip.Addr
	if a, err := netip.ParseAddr(t.host); err == nil {
		addrs = []netip.Addr{a}
	} else {
		addrs, err = s.resolver.LookupNetIP(ctx, "ip", t.host)
		if err != nil {
			return nil, &resolveError{err}
		}
	}
	if len(addrs) == 0 {
		return nil, &resolveError{errNoAddress}
	}
	for i, a := range addrs {
		addrs[i] = a.Unmap()
		if why := blocked(a, r); why != "" {
			return nil, &addressError{why}
		}
		if s.listensOn(netip.AddrPortFrom(addrs[i], t.port)) {
			return nil, &addressError{"the proxy itself"}
		}
	}
	return interleave(addrs), nil
}

type resolveError struct{ err error }

func (e *resolveError) Error() string { return "resolve the name: " + e.err.Error() }
func (e *resolveError) Unwrap() error { return e.err }

// interleave puts the families in turn, the first answer's family first (RFC
// 8305 §4).
func interleave(addrs []netip.Addr) []netip.Addr {
	var a, b []netip.Addr
	for _, x := range addrs {
		if x.Is4() == addrs[0].Is4() {
			a = append(a, x)
		} else {
			b = append(b, x)
		}
	}
	if len(b) == 0 {
		return a
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := 0; i < len(a) || i < len(b); i++ {
		if i < len(a) {
			out = append(out, a[i])
		}
		if i < len(b) {
			out = append(out, b[i])
		}
	}
	return out
}

// dial connects to an address of the target that was checked: never to the
// name, which could resolve otherwise the second time.
func (s *Server) dial(ctx context.Context, t target, r reach) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Dial)
	defer cancel()
	addrs, err := s.resolve(ctx, t, r)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 1 {
		return s.connect(ctx, netip.AddrPortFrom(addrs[0], t.port))
	}
	type result struct {
		conn net.Conn
		err  error
	}
	results := make(chan result, len(addrs))
	var firstErr error
	started, ended := 0, 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if started < len(addrs) {
				addr := netip.AddrPortFrom(addrs[started], t.port)
				started++
				go func() {
					c, err := s.connect(ctx, addr)
					results <- result{c, err}
				}()
				timer.Reset(fallbackDelay)
			}
		case res := <-results:
			ended++
			if res.err == nil {
				if rest := started - ended; rest > 0 {
					cancel()
					go func() {
						for range rest {
							if late := <-results; late.conn != nil {
								_ = late.conn.Close()
							}
						}
					}()
				}
				return res.conn, nil
			}
			if firstErr == nil {
				firstErr = res.err
			}
			if ended == len(addrs) {
				return nil, firstErr
			}
			timer.Reset(0)
		}
	}
}

func (s *Server) connect(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	c, err := s.dialAddr(ctx, addr)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	return c, nil
}

// handshake opens TLS to the target over conn, with the one name that was
// judged and dialled. It closes conn on failure.
func (s *Server) handshake(ctx context.Context, conn net.Conn, t target, protos protocols) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limits.Dial)
	defer cancel()
	c := tls.Client(conn, s.clientConfig(t, protos))
	if err := c.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// protocols is what ALPN offers an upstream.
type protocols uint8

const (
	onlyHTTP1 protocols = iota
	preferHTTP2
)

type configKey struct {
	target
	protos protocols
}

// clientConfig returns the configuration for a target. It is kept, so that
// TLS sessions resume.
func (s *Server) clientConfig(t target, p protocols) *tls.Config {
	key := configKey{t, p}
	if c, ok := s.configs.Load(key); ok {
		return c.(*tls.Config)
	}
	c := &tls.Config{
		ServerName:                  t.host,
		RootCAs:                     s.roots,
		MinVersion:                  tls.VersionTLS12,
		Time:                        s.now,
		ClientSessionCache:          tls.NewLRUClientSessionCache(4),
		DynamicRecordSizingDisabled: true, // 1 KiB answers would take two writes
		NextProtos:                  []string{"http/1.1"},
	}
	if p == preferHTTP2 {
		c.NextProtos = []string{"h2", "http/1.1"}
	}
	actual, _ := s.configs.LoadOrStore(key, c)
	return actual.(*tls.Config)
}

// tlsFailure reports whether err is about certificates or the handshake
// rather than the connection under it.
func tlsFailure(err error) bool {
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &verify) || errors.As(err, &alert) || errors.As(err, &record) || errors.As(err, &unknown) {
		return true
	}
	var op *net.OpError
	return errors.As(err, &op) && (op.Op == "remote error" || op.Op == "local error")
}

// tlsWords is what went wrong in a handshake, for the client: names, dates and
// alerts, no secrets.
func tlsWords(err error) string {
	return strings.TrimPrefix(err.Error(), "tls: ")
}

// dialRefusal sorts an error of dialling. own says that kb refused, rather
// than the network.
func dialRefusal(host string, err error) (r *Refusal, ended string, own bool) {
	var blocked *addressError
	var unresolved *resolveError
	switch {
	case errors.As(err, &blocked):
		return &Refusal{
			Status: http.StatusForbidden, Code: CodeAddress,
			Message: "kb refused to connect: " + host + " resolves to " + blocked.why + ".",
		}, endedRefused, true
	case errors.As(err, &unresolved):
		return &Refusal{
			Status: http.StatusBadGateway, Code: CodeResolve,
			Message: "The name " + host + " could not be resolved.",
		}, endedDial, false
	case tlsFailure(err):
		return &Refusal{
			Status: http.StatusBadGateway, Code: CodeUpstreamTLS,
			Message: "The certificate or the TLS handshake of " + host + " is not valid: " + tlsWords(err) + ".",
		}, endedTLS, false
	}
	return &Refusal{
		Status: http.StatusBadGateway, Code: CodeDial,
		Message: "No connection to " + host + " could be made.",
	}, endedDial, false
}

// onlyH2 reports whether an upstream broke off the handshake because HTTP/1.1
// was all it was offered (RFC 7301 §3.2).
func onlyH2(err error) bool {
	const noApplicationProtocol = tls.AlertError(120)
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error" && op.Err.Error() == noApplicationProtocol.Error()
}
