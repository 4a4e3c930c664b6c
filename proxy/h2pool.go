package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// h2Pool keeps HTTP/2 transports, one for each authority and profile, and
// what is known of which upstreams speak HTTP/2.
type h2Pool struct {
	s      *Server
	speaks sync.Map // target -> version

	mu         sync.Mutex
	transports map[poolKey]*http2.Transport
}

func newH2Pool(s *Server) *h2Pool {
	return &h2Pool{s: s, transports: make(map[poolKey]*http2.Transport)}
}

// wanted reports whether a request should go over HTTP/2: one that came over
// it does, unless the upstream is known not to speak it, because gRPC needs it
// end to end. Others do only if the upstream speaks nothing else.
func (p *h2Pool) wanted(t target, proto string) bool {
	v, known := p.speaks.Load(t)
	if proto == "HTTP/2.0" {
		return !known || v.(version) != speaksHTTP1
	}
	return known && v.(version) == speaksOnlyHTTP2
}

// learn remembers what an upstream speaks.
func (p *h2Pool) learn(t target, v version) { p.speaks.Store(t, v) }

type version uint8

const (
	speaksHTTP1     version = iota // and no HTTP/2
	speaksHTTP2                    // perhaps HTTP/1.1 too
	speaksOnlyHTTP2                // broke off when it was offered HTTP/1.1 alone
)

// errOnlyHTTP1 says that an upstream chose HTTP/1.1; the connection was put
// into the other pool.
var errOnlyHTTP1 = errors.New("the upstream speaks HTTP/1.1")

func (p *h2Pool) transport(key poolKey) *http2.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	if t := p.transports[key]; t != nil {
		return t
	}
	t := &http2.Transport{
		DisableCompression: true, // nothing is added to what the client asked for
		IdleConnTimeout:    p.s.limits.IdleTime,
		MaxHeaderListSize:  uint32(p.s.limits.HeadBytes),
		// A connection that stays silent for longer than a ping's answer takes
		// is dead; TCP alone would not say so for minutes.
		ReadIdleTimeout: 30 * time.Second,
		PingTimeout:     15 * time.Second,
		DialTLSContext: func(ctx context.Context, _, _ string, _ *tls.Config) (net.Conn, error) {
			raw, err := p.s.dial(ctx, key.target, key.reach)
			if err != nil {
				return nil, err
			}
			c, err := p.s.handshake(ctx, raw, key.target, preferHTTP2)
			if err != nil {
				return nil, err
			}
			if c.ConnectionState().NegotiatedProtocol != "h2" {
				p.learn(key.target, speaksHTTP1)
				kept := key
				kept.again = false
				p.s.pool.put(newUpstreamConn(kept, raw, c))
				return nil, errOnlyHTTP1
			}
			p.speaks.LoadOrStore(key.target, speaksHTTP2)
			return c, nil
		},
	}
	p.transports[key] = t
	return t
}

// close ends what is unused. Exchanges have ended by then.
func (p *h2Pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.transports {
		t.CloseIdleConnections()
	}
}
