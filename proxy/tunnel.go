package proxy

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// serveTunnel connects the client to a target whose bytes kb does not read.
func (c *conn) serveTunnel(t *tunnel) {
	if !t.route.Private {
		t.reach = reachTunnel
		if !tunnelPort(t.port) {
			c.turnDown(t.info, nil, portRefusal())
			return
		}
	}
	c.track.enter(phasePolicy)
	started := c.s.now()
	end := func(o Outcome) {
		if t.route.Close != nil {
			o.Elapsed = c.s.now().Sub(started)
			t.route.Close(o)
		}
	}
	far, err := c.s.dial(c.ctx, t.target, t.reach)
	if err != nil {
		r, ended, own := dialRefusal(t.host, err)
		if own {
			c.s.policy.Refused(t.info, nil, r)
		}
		c.refuse(r, false)
		end(Outcome{Status: r.status(), Err: ended})
		c.linger()
		return
	}
	defer func() { _ = far.Close() }()
	c.far.Store(&far)
	c.track.enter(phaseTunnel)
	early := c.rd.buf[c.rd.r:c.rd.w] // came with the CONNECT
	if _, err := c.wr.WriteString("HTTP/1.1 200 OK\r\n\r\n"); err != nil || c.wr.Flush() != nil {
		end(Outcome{Err: endedClient})
		return
	}
	if _, err := far.Write(early); err != nil {
		end(Outcome{Err: endedUpstream})
		return
	}
	sent, got, ended := splice(c.raw, far)
	end(Outcome{Sent: sent + int64(len(early)), Received: got, Err: ended})
}

func portRefusal() *Refusal {
	return &Refusal{
		Status: http.StatusForbidden, Code: CodePort,
		Message: "kb refused the connection: without a rule, remote shells and mail submission are not reached through kb.",
	}
}

// splice copies both ways until both have ended; the end of one direction is
// passed on as a half-close. Between two TCP connections on Linux the bytes
// stay in the kernel (io.Copy uses splice(2)).
//
// There is no idle limit: a tunnel may be quiet for as long as its ends like.
// TCP keep-alive finds ends that have vanished.
func splice(near, far net.Conn) (sent, got int64, ended string) {
	type result struct {
		n   int64
		err error
	}
	up := make(chan result, 1)
	go func() {
		n, err := pass(far, near)
		up <- result{n, err}
	}()
	got, errDown := pass(near, far)
	if errDown != nil {
		_ = near.SetReadDeadline(time.Unix(1, 0)) // wakes the other direction
	}
	u := <-up
	switch {
	case errDown != nil && !errors.Is(errDown, net.ErrClosed):
		ended = endedUpstream
	case u.err != nil && errDown == nil:
		ended = endedClient
	}
	return u.n, got, ended
}

// pass copies one direction and hands its end on.
func pass(dst, src net.Conn) (int64, error) {
	n, err := io.Copy(dst, src)
	if err != nil {
		_ = dst.Close()
		return n, err
	}
	if hc, ok := dst.(interface{ CloseWrite() error }); ok {
		err = hc.CloseWrite()
	}
	return n, err
}

// websocket passes an upgraded connection, after the 101 (RFC 6455 §4). The
// frames are not read.
func (c *conn) websocket(u *upstreamConn) error {
	x, a := &c.x, &c.x.ans
	b := appendStatus(x.scratch[:0], a)
	b = append(b, "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"...)
	x.status = a.status
	x.scratch = b
	if _, err := c.wr.Write(b); err != nil {
		return errClientGone
	}
	if _, err := c.wr.Write(u.rd.buf[u.rd.r:u.rd.w]); err != nil || c.wr.Flush() != nil {
		return errClientGone
	}
	early := c.rd.buf[c.rd.r:c.rd.w]
	if _, err := u.conn.Write(early); err != nil {
		return err
	}
	c.track.enter(phaseTunnel)
	sent, got, ended := splice(c.nc, u.conn)
	x.sent.Add(sent + int64(len(early)))
	x.got, x.ended, x.closing = got+int64(u.rd.buffered()), ended, true
	u.close()
	return nil
}
