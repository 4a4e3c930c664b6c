package proxy

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"sync"
	"syscall"
	"time"
)

// upstreamConn is one HTTP/1.1 connection to an upstream. One exchange at a
// time uses it.
type upstreamConn struct {
	key  poolKey
	raw  net.Conn // the TCP connection
	conn net.Conn // raw, or TLS over it
	sys  syscall.RawConn
	rd   reader
	wr   *bufio.Writer
	tls  *tls.Conn // nil for absolute-form requests
	used bool      // an answer came over it before
	idle time.Time // since when nobody uses it
	body body
}

func newUpstreamConn(key poolKey, raw net.Conn, secure *tls.Conn) *upstreamConn {
	u := &upstreamConn{key: key, raw: raw, conn: raw, tls: secure}
	if secure != nil {
		u.conn = secure
	}
	if sc, ok := raw.(syscall.Conn); ok {
		u.sys, _ = sc.SyscallConn()
	}
	u.rd.src = u.conn
	u.wr = bufio.NewWriterSize(u.conn, writeSize)
	return u
}

// reusable reports whether the connection may carry one more exchange: open,
// and nothing has come that nobody asked for.
func (u *upstreamConn) reusable() bool {
	return u.rd.buffered() == 0 && alive(u.sys, !u.used)
}

// close ends the connection without the close_notify that would present a
// broken message as whole.
func (u *upstreamConn) close() { _ = u.raw.Close() }

// poolKey is what a connection may be shared within: one authority and one
// profile. Connections without TLS and those that were dialled ahead, for
// whichever profile asks first, have keys of their own.
type poolKey struct {
	target
	pool  string
	reach reach // what the address was checked against
	plain bool
	fresh bool
	again bool // HTTP/2, for requests with a body that are sent again
}

// pool keeps unused HTTP/1.1 connections, the last used first: the others
// then grow old together and are closed.
type pool struct {
	limits Limits
	now    func() time.Time

	mu     sync.Mutex
	idle   map[poolKey][]*upstreamConn
	ahead  map[target]*ahead
	closed bool
}

func newPool(l Limits, now func() time.Time) *pool {
	return &pool{limits: l, now: now, idle: make(map[poolKey][]*upstreamConn), ahead: make(map[target]*ahead)}
}

// get returns a live connection, or nil.
func (p *pool) get(key poolKey) *upstreamConn {
	for {
		u := p.pop(key)
		if u == nil && !key.plain && !key.fresh {
			fresh := poolKey{target: key.target, reach: key.reach, fresh: true}
			if u = p.pop(fresh); u != nil {
				u.key = key
			}
		}
		if u == nil {
			return nil
		}
		if u.reusable() {
			return u
		}
		u.close()
	}
}

func (p *pool) pop(key poolKey) *upstreamConn {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.idle[key]
	if len(list) == 0 {
		return nil
	}
	u := list[len(list)-1]
	list[len(list)-1] = nil
	p.idle[key] = list[:len(list)-1]
	return u
}

// put keeps a connection whose exchange ended well. Beyond the limit the
// oldest is closed.
func (p *pool) put(u *upstreamConn) {
	u.idle = p.now()
	u.rd.release()
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		u.close()
		return
	}
	list := append(p.idle[u.key], u)
	var drop *upstreamConn
	if len(list) > p.limits.IdlePerHost {
		drop = list[0]
		list = append(list[:0], list[1:]...)
	}
	p.idle[u.key] = list
	p.mu.Unlock()
	if drop != nil {
		drop.close()
	}
}

// reap closes what has been unused for too long.
func (p *pool) reap(now time.Time) {
	var drop []*upstreamConn
	p.mu.Lock()
	for key, list := range p.idle {
		n := 0
		for n < len(list) && now.Sub(list[n].idle) > p.limits.IdleTime {
			n++
		}
		drop = append(drop, list[:n]...)
		if n == len(list) {
			delete(p.idle, key)
		} else if n > 0 {
			p.idle[key] = append([]*upstreamConn(nil), list[n:]...)
		}
	}
	p.mu.Unlock()
	for _, u := range drop {
		u.close()
	}
}

// close closes what is unused and keeps nothing from now on.
func (p *pool) close() {
	p.mu.Lock()
	all := p.idle
	p.idle, p.closed = nil, true
	p.mu.Unlock()
	for _, list := range all {
		for _, u := range list {
			u.close()
		}
	}
}

// ahead is a connection that is being dialled before anyone asked for it.
type ahead struct {
	done    chan struct{}
	claimed bool // a request waits for it
}

// claimAhead returns what the caller is to dial ahead; nil if a connection to
// the target is unused or being dialled.
func (p *pool) claimAhead(t target) *ahead {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.ahead[t] != nil {
		return nil
	}
	for key, list := range p.idle {
		if key.target == t && !key.plain && len(list) > 0 {
			return nil
		}
	}
	a := &ahead{done: make(chan struct{})}
	p.ahead[t] = a
	return a
}

func (p *pool) releaseAhead(t target, a *ahead) {
	p.mu.Lock()
	delete(p.ahead, t)
	p.mu.Unlock()
	close(a.done)
}

// awaitAhead lets one request wait for the connection being dialled ahead.
func (p *pool) awaitAhead(ctx context.Context, t target) bool {
	p.mu.Lock()
	a := p.ahead[t]
	if a == nil || a.claimed {
		p.mu.Unlock()
		return false
	}
	a.claimed = true
	p.mu.Unlock()
	select {
	case <-a.done:
		return true
	case <-ctx.Done():
		return false
	}
}

// upstreamFor returns a connection for one exchange: an unused one, else a
// new one. fresh asks for a new one.
func (s *Server) upstreamFor(ctx context.Context, key poolKey, fresh bool) (*upstreamConn, error) {
	if !fresh {
		if u := s.pool.get(key); u != nil {
			return u, nil
		}
		if !key.plain && s.pool.awaitAhead(ctx, key.target) {
			if u := s.pool.get(key); u != nil {
				return u, nil
			}
		}
	}
	return s.open(ctx, key)
}

func (s *Server) open(ctx context.Context, key poolKey) (*upstreamConn, error) {
	raw, err := s.dial(ctx, key.target, key.reach)
	if err != nil {
		return nil, err
	}
	if key.plain {
		return newUpstreamConn(key, raw, nil), nil
	}
	secure, err := s.handshake(ctx, raw, key.target, onlyHTTP1)
	if err != nil {
		return nil, err
	}
	return newUpstreamConn(key, raw, secure), nil
}

// dialAhead opens a connection while the client is still shaking hands.
func (s *Server) dialAhead(t target, r reach) {
	a := s.pool.claimAhead(t)
	if a == nil {
		return
	}
	s.background.Add(1)
	go func() {
		defer s.background.Done()
		defer s.pool.releaseAhead(t, a)
		// A failure is met again, and told, when a request asks for the host.
		if u, err := s.open(s.ctx, poolKey{target: t, reach: r, fresh: true}); err == nil {
			s.pool.put(u)
		}
	}()
}
