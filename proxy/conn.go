package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"syscall"
	"time"
)

// phase is what a client connection is doing, and so which limit it is under.
type phase int32

const (
	phaseHead      phase = iota // part of a head has come, or the connection is new
	phaseIdle                   // waits for its next request
	phaseHandshake              // TLS
	phasePolicy                 // the policy is asked; a human may be
	phaseExchange               // bytes go to and from an upstream
	phaseLinger                 // the answer is complete, the upload is not
	phaseTunnel                 // bytes that kb does not read, or a websocket
	phaseH2                     // x/net/http2 has its own limits
)

// conn is one client connection. One goroutine serves it, both sides of it
// included, so that a keep-alive request passes no channel and wakes nobody.
type conn struct {
	s      *Server
	raw    net.Conn
	sys    syscall.RawConn
	ctx    context.Context // ends when the connection does, or the client has gone
	cancel context.CancelFunc

	nc   net.Conn // raw, or TLS over it
	rd   reader
	wr   *bufio.Writer
	user string  // proxy user name, once the token was right
	tun  *tunnel // the CONNECT that this connection is inside of
	q    request
	body body
	x    exchange

	phase    atomic.Int32
	since    atomic.Int64 // coarse time of the phase's beginning or last progress
	upstream atomic.Pointer[upstreamConn]
	other    atomic.Pointer[net.Conn] // the far side of a tunnel
	expired  atomic.Bool              // the exchange came under its limit
	gone     atomic.Bool              // the client closed while the answer was awaited
	unasked  int                      // answers of 407 so far
}

// tunnel is what a CONNECT was granted.
type tunnel struct {
	target
	info      ConnectInfo
	route     Route
	authority string // for Host: without the port where it is 443
	reach     reach
}

// unaskedMax is how many requests without the right token one connection may
// make: git makes one, a connection that makes more is not a client's.
const unaskedMax = 8

func newConn(s *Server, raw net.Conn) *conn {
	c := &conn{s: s, raw: raw, nc: raw}
	c.rd.src = raw
	if sc, ok := raw.(syscall.Conn); ok {
		c.sys, _ = sc.SyscallConn()
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.enter(phaseHead)
	return c
}

func (c *conn) enter(p phase) {
	c.since.Store(c.s.clock.Load())
	c.phase.Store(int32(p))
}

// touch notes progress.
func (c *conn) touch() { c.since.Store(c.s.clock.Load()) }

// waiting reports whether nothing is lost if the connection is closed.
func (c *conn) waiting() bool {
	p := phase(c.phase.Load())
	return p == phaseIdle || p == phaseHead
}

// cut ends the connection from another goroutine, mid-message if need be.
func (c *conn) cut() {
	c.cancel()
	_ = c.raw.Close()
	if u := c.upstream.Load(); u != nil {
		u.close()
	}
	if o := c.other.Load(); o != nil {
		_ = (*o).Close()
	}
}

// check holds the connection against its limits; the scanner calls it.
func (c *conn) check(now time.Time) {
	idle := now.Sub(time.Unix(0, c.since.Load()))
	l := &c.s.limits
	switch phase(c.phase.Load()) {
	case phaseHead:
		if idle > l.Head {
			c.cut()
		}
	case phaseIdle:
		if idle > l.KeepAlive {
			c.cut()
		}
	case phaseHandshake:
		if idle > l.Handshake {
			c.cut()
		}
	case phaseLinger:
		if idle > l.Linger {
			c.cut()
		}
	case phasePolicy:
		if hungUp(c.sys) {
			c.gone.Store(true)
			c.cut()
		}
	case phaseExchange:
		if c.tun != nil && hungUp(c.sys) {
			c.gone.Store(true)
			c.cut()
			return
		}
		if idle <= l.Exchange {
			return
		}
		// The upstream first, so that the client can still be told; what then
		// does not end is stuck on the client.
		if u := c.upstream.Load(); u != nil && !c.expired.Swap(true) {
			u.close()
			return
		}
		c.cut()
	}
}

func (c *conn) serve() {
	defer c.s.forget(c)
	defer c.cancel()
	defer func() { _ = c.raw.Close() }()
	c.wr = bufio.NewWriterSize(c.nc, bufSize)
	for c.one() {
	}
}

// one serves one request of the hop between client and proxy: a CONNECT, which
// takes the connection over, or one in absolute form.
func (c *conn) one() bool {
	if !c.readHead() {
		return false
	}
	q := &c.q
	user, ok, given := c.s.authorized(q.fields)
	if !ok {
		return c.unauthorized(given)
	}
	c.user = user
	if q.method == http.MethodConnect {
		c.serveConnect()
		return false
	}
	return c.absolute()
}

// readHead waits for a request and parses it. On false the connection is
// finished.
func (c *conn) readHead() bool {
	if c.rd.buffered() == 0 && phase(c.phase.Load()) != phaseHead {
		c.enter(phaseIdle)
	} else {
		c.enter(phaseHead)
	}
	head, err := c.rd.head(c.s.limits.HeadBytes, true, c.firstByte)
	if err == nil {
		err = c.q.parse(head, c.s.limits.Fields)
	}
	if err == nil {
		c.body.reset(&c.rd, c.q.length, true)
		return true
	}
	if err == io.EOF || errors.Is(err, errTruncated) || isNetError(err) {
		return false
	}
	r := malformed(err)
	c.s.policy.Refused(c.info(), nil, r)
	c.refuse(r, false)
	c.linger()
	return false
}

func (c *conn) firstByte() { c.enter(phaseHead) }

// info is what is known of where the client wants to go.
func (c *conn) info() ConnectInfo {
	if c.tun != nil {
		return c.tun.info
	}
	return ConnectInfo{User: c.user}
}

// isNetError reports whether err comes from the connection rather than from
// what came over it.
func isNetError(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// turnAway answers a connection that there is no room for.
func (c *conn) turnAway() {
	defer c.cancel()
	defer func() { _ = c.raw.Close() }()
	_ = c.raw.SetDeadline(time.Now().Add(time.Second))
	c.wr = bufio.NewWriterSize(c.raw, 1<<10)
	c.refuse(&Refusal{Status: http.StatusServiceUnavailable, Code: CodeShuttingDown,
		Message: "The kb session is ending, or has too many connections open."}, false)
}

// lingerBytes and lingerTime bound what is read from a client that has been
// answered before it finished sending: closing at once would make its kernel
// throw the answer away (RFC 9112 §9.6).
const (
	lingerBytes = 1 << 20
	lingerTime  = time.Second
)

func (c *conn) linger() {
	if hc, ok := c.nc.(interface{ CloseWrite() error }); !ok || hc.CloseWrite() != nil {
		return
	}
	if c.nc != c.raw {
		if hc, ok := c.raw.(interface{ CloseWrite() error }); ok {
			_ = hc.CloseWrite()
		}
	}
	_ = c.raw.SetReadDeadline(time.Now().Add(lingerTime))
	_, _ = io.CopyN(io.Discard, c.raw, lingerBytes)
}
