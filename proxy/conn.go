package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one client connection. One goroutine serves it, both sides of it
// included, so that a keep-alive request passes no channel and wakes nobody.
type conn struct {
	s      *Server
	raw    net.Conn
	ctx    context.Context // ends when the connection does, or the client has gone
	cancel context.CancelFunc
	track  tracker

	nc      net.Conn // raw, or TLS over it
	rd      reader
	wr      *bufio.Writer
	user    string  // proxy user name, once the token was right
	tun     *tunnel // the CONNECT that this connection is inside of
	q       request
	body    body
	x       exchange
	out     chunker // the answer's content
	unasked int     // answers of 407 so far

	far     atomic.Pointer[net.Conn] // the far side of a tunnel
	mu      sync.Mutex
	streams map[*stream]struct{} // of HTTP/2
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
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.track.clock, c.track.cut, c.track.abort = &s.clock, c.cut, c.cancel
	if sc, ok := raw.(syscall.Conn); ok {
		c.track.sys, _ = sc.SyscallConn()
	}
	c.x.s, c.x.cl, c.x.track = s, c, &c.track
	c.x.flush = func() error {
		if c.wr.Flush() != nil {
			return errClientGone
		}
		return nil
	}
	c.track.enter(phaseHead)
	return c
}

// waiting reports whether nothing is lost if the connection is closed.
func (c *conn) waiting() bool {
	if c.track.in(phaseH2) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.streams) == 0
	}
	return c.track.in(phaseIdle) || c.track.in(phaseHead)
}

// cut ends the connection from another goroutine, mid-message if need be.
func (c *conn) cut() {
	c.cancel()
	_ = c.raw.Close()
	if u := c.track.upstream.Load(); u != nil {
		u.close()
	}
	if far := c.far.Load(); far != nil {
		_ = (*far).Close()
	}
}

// check holds the connection against its limits; the scanner calls it.
func (c *conn) check(now time.Time) {
	c.track.check(now, &c.s.limits)
	if !c.track.in(phaseH2) {
		return
	}
	c.mu.Lock()
	list := make([]*stream, 0, len(c.streams))
	for st := range c.streams {
		list = append(list, st)
	}
	c.mu.Unlock()
	for _, st := range list {
		st.track.check(now, &c.s.limits)
	}
}

func (c *conn) serve() {
	defer c.s.forget(c)
	defer c.cancel()
	defer func() { _ = c.raw.Close() }()
	defer func() {
		// One request's bug must not end the session for all others. The policy
		// hears of it, the client sees a broken connection.
		if recover() != nil {
			info := ConnectInfo{User: c.user}
			if c.tun != nil {
				info = c.tun.info
			}
			c.x.failed(info)
		}
	}()
	c.wr = bufio.NewWriterSize(c.nc, writeSize)
	for c.one() {
	}
}

// one serves one request of the hop between client and proxy: a CONNECT, which
// takes the connection over, or one in absolute form.
func (c *conn) one() bool {
	if !c.readHead() {
		return false
	}
	user, ok, given := c.s.authorized(c.q.fields)
	if !ok {
		return c.unauthorized(given)
	}
	c.user = user
	if c.q.method == http.MethodConnect {
		c.serveConnect()
		return false
	}
	return c.absolute()
}

// readHead waits for a request and parses it. On false the connection is
// finished.
func (c *conn) readHead() bool {
	c.rd.release()
	if c.rd.buffered() == 0 && !c.track.in(phaseHead) {
		c.track.enter(phaseIdle)
	} else {
		c.track.enter(phaseHead)
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
	info := ConnectInfo{User: c.user}
	if c.tun != nil {
		info = c.tun.info
	}
	c.q.method = "" // it may be that of the request before
	c.turnDown(info, nil, malformed(err))
	return false
}

func (c *conn) firstByte() { c.track.enter(phaseHead) }

// turnDown refuses a request before the policy was asked, and ends the
// connection: what else is on it cannot be trusted to be a request.
func (c *conn) turnDown(info ConnectInfo, ri *RequestInfo, r *Refusal) {
	c.s.policy.Refused(info, ri, r)
	c.refuse(r, false)
	c.linger()
}

// carry serves the request in c.q, whose exchange has begun. It reports
// whether the connection goes on.
func (c *conn) carry(t *tunnel) (keep bool) {
	x, q := &c.x, &c.q
	if !c.body.done() {
		x.src, x.length = &c.body, q.length
	}
	x.closing, x.out.expect, x.out.websocket = q.close, q.expect, q.websocket
	r := x.run(c.ctx, t)
	if r != nil {
		// A body that nobody reads is not told apart from a next request.
		keep = !x.closing && (x.src == nil || c.body.done())
		c.refuse(r, keep)
		x.tell(r.status())
		if !keep {
			c.linger()
		}
		return keep
	}
	x.tell(0)
	switch {
	case x.broken:
		c.breakOff()
		return false
	case x.closing:
		c.linger()
		return false
	}
	return true
}

// begin starts the exchange of the request in c.q.
func (c *conn) begin(info ConnectInfo, scheme string) {
	proto := "HTTP/1.1"
	if c.q.minor == 0 {
		proto = "HTTP/1.0"
	}
	c.x.begin(info, scheme, proto, c.q.method, c.q.target, c.q.fields, c.q.options)
	c.x.info.Websocket = c.q.websocket
}

// breakOff ends the connection so that the client takes what it has for a
// part. Without a last chunk, the bytes promised, or TLS's close_notify it
// does; an answer that ends with a plain connection needs a reset.
func (c *conn) breakOff() {
	_ = c.wr.Flush()
	if l, ok := c.raw.(interface{ SetLinger(int) error }); ok && c.q.minor == 0 {
		_ = l.SetLinger(0)
	}
	_ = c.raw.Close()
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
	_ = c.raw.SetDeadline(time.Now().Add(lingerTime))
	c.wr = bufio.NewWriterSize(c.raw, 1<<10)
	c.refuse(&Refusal{
		Status: http.StatusServiceUnavailable, Code: CodeShuttingDown,
		Message: "The kb session is ending, or has too many connections open.",
	}, false)
}

// lingerTime is how long a client is read from that has been answered before
// it finished sending: closing at once would make its kernel throw the answer
// away (RFC 9112 §9.6). A second is many round trips.
const lingerTime = time.Second

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
	_, _ = io.Copy(io.Discard, c.raw)
}
