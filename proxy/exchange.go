package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// How an exchange or a tunnel ended, in Outcome.Err.
const (
	endedRefused   = "refused"        // kb answered
	endedDial      = "dial"           // no connection to the upstream
	endedTLS       = "tls"            // handshake or certificate
	endedUpstream  = "upstream reset" // the upstream broke off, or sent no HTTP
	endedClient    = "client gone"    // the client broke off
	endedMalformed = "malformed body" // the client's body broke its framing
	endedTimeout   = "idle limit"     // no byte in either direction for too long
)

// exchange is one request and its answer. It is kept with its connection and
// used again, so that a request allocates little.
type exchange struct {
	info    RequestInfo
	clean   []field
	out     outgoing
	ans     answer
	inj     *Injection
	started time.Time
	scratch []byte
	upload  chan error // the upload's end, when it has a goroutine
	sent    int64      // body bytes to the upstream; the upload's until it has ended
	got     int64
	status  int
	ended   string
	told    bool
}

// begin makes an exchange of a request that has passed the checks of its hop.
func (x *exchange) begin(ci ConnectInfo, scheme, proto, method, target string, fields []field, options []string) {
	*x = exchange{clean: x.clean[:0], out: x.out, ans: x.ans, scratch: x.scratch[:0], upload: x.upload}
	path, query, _ := strings.Cut(target, "?")
	x.info = RequestInfo{ConnectInfo: ci, Scheme: scheme, Method: method, Path: path, Query: query, Proto: proto}
	x.clean = endToEnd(x.clean, fields, options, &x.info)
	x.info.Header = Header{x.clean}
}

// authorize asks the policy and builds what goes upstream. The refusal, if
// any, is to be answered; Done is told of it then.
func (x *exchange) authorize(ctx context.Context, s *Server, authority string) *Refusal {
	x.started = s.now()
	inj, err := s.policy.Authorize(ctx, &x.info)
	if err != nil {
		var r *Refusal
		if errors.As(err, &r) {
			return r
		}
		return &Refusal{Status: http.StatusBadGateway, Code: CodePolicy,
			Message: "kb could not decide on the request; the reason is in its audit log.", Fix: "kb audit --denied"}
	}
	if inj == nil {
		inj = &Injection{}
	}
	x.inj = inj
	if x.info.Scheme != "https" {
		// Whatever the policy answered, nothing secret goes on plain http.
		x.inj = &Injection{Delete: inj.Delete, Done: inj.Done}
	}
	x.out.method, x.out.authority = x.info.Method, authority
	return x.out.apply(x.inj, x.clean, x.info.Path, x.info.Query)
}

// tell reports the outcome, once.
func (x *exchange) tell(s *Server) {
	if x.inj == nil || x.inj.Done == nil || x.told {
		return
	}
	x.told = true
	x.inj.Done(Outcome{Status: x.status, Sent: x.sent, Received: x.got, Elapsed: s.now().Sub(x.started), Err: x.ended})
}

// exchange serves the request in c.q, inside the tunnel or, with a nil route
// of its own, in absolute form. It reports whether the connection goes on.
func (c *conn) exchange(t *tunnel) (keep bool) {
	x, q := &c.x, &c.q
	scheme := "https"
	if c.tun == nil {
		scheme = "http"
	}
	proto := "HTTP/1.1"
	if q.minor == 0 {
		proto = "HTTP/1.0"
	}
	x.begin(t.info, scheme, proto, q.method, q.target, q.fields, q.options)
	defer x.tell(c.s)
	c.enter(phasePolicy)
	if r := x.authorize(c.ctx, c.s, t.authority); r != nil {
		return c.answerRefusal(r)
	}
	x.out.length, x.out.expect, x.out.websocket = q.length, q.expect, q.websocket
	c.expired.Store(false)
	c.enter(phaseExchange)
	key := poolKey{target: t.target, pool: x.inj.Pool, plain: scheme == "http"}
	for attempt := 0; ; attempt++ {
		u, err := c.s.upstreamFor(c.ctx, key, t.reach, attempt > 0)
		if err != nil {
			return c.answerRefusal(c.unreachable(t, err))
		}
		c.upstream.Store(u)
		keep, again := c.over(u, attempt == 0)
		c.upstream.Store(nil)
		if !again {
			return keep
		}
	}
}

// answerRefusal answers in place of the upstream.
func (c *conn) answerRefusal(r *Refusal) (keep bool) {
	x := &c.x
	x.status = r.status()
	if x.ended == "" {
		x.ended = endedRefused
	}
	keep = !c.q.close && c.body.done()
	c.refuse(r, keep)
	if !keep {
		c.linger()
	}
	return keep
}

// unreachable turns an error of dialling into what the client is told.
func (c *conn) unreachable(t *tunnel, err error) *Refusal {
	r, ended, own := dialRefusal(t.host, err)
	c.x.ended = ended
	if own {
		c.s.policy.Refused(t.info, &c.x.info, r)
	}
	return r
}

// dialRefusal sorts an error of dialling. own says that kb refused, rather
// than the network.
func dialRefusal(host string, err error) (r *Refusal, ended string, own bool) {
	var blocked *addressError
	var unresolved *resolveError
	switch {
	case errors.As(err, &blocked):
		return &Refusal{Status: http.StatusForbidden, Code: CodeAddress,
			Message: "kb refused to connect: " + host + " resolves to " + blocked.why + "."}, endedRefused, true
	case errors.As(err, &unresolved):
		return &Refusal{Status: http.StatusBadGateway, Code: CodeResolve,
			Message: "The name " + host + " could not be resolved."}, endedDial, false
	case tlsFailure(err):
		return &Refusal{Status: http.StatusBadGateway, Code: CodeUpstreamTLS,
			Message: "The certificate or the TLS handshake of " + host + " is not valid: " + tlsWords(err) + "."}, endedTLS, false
	}
	return &Refusal{Status: http.StatusBadGateway, Code: CodeDial,
		Message: "No connection to " + host + " could be made."}, endedDial, false
}

// over runs the exchange over one upstream connection. again says that the
// connection had died unnoticed and the request may be sent once more.
func (c *conn) over(u *upstreamConn, first bool) (keep, again bool) {
	x, s := &c.x, c.s
	retry := first && u.used && c.body.done() && (x.out.method == http.MethodGet || x.out.method == http.MethodHead)
	uploading, err := c.send(u)
	if err == nil || uploading {
		keep, err = c.receive(u, uploading)
	}
	if err == nil {
		return keep, false
	}
	u.close()
	if uploading {
		// The upload owns the client's side of the connection until it has
		// ended, so nothing more is read from there.
		c.q.close = true
		defer func() {
			_ = c.raw.Close()
			<-x.upload
		}()
		if upErr, over := c.uploadError(); over && x.status == 0 {
			if r := clientFault(upErr); r != nil {
				x.ended = endedMalformed
				s.policy.Refused(x.info.ConnectInfo, &x.info, r)
				c.answerRefusal(r)
				return false, false
			}
			if errors.Is(upErr, errClientGone) {
				err = upErr
			}
		}
	}
	switch {
	case errors.Is(err, errClientGone) || c.gone.Load():
		x.ended = endedClient
	case c.expired.Load():
		x.ended = endedTimeout
	default:
		x.ended = endedUpstream
	}
	if retry && x.ended == endedUpstream && u.rd.buffered() == 0 && x.status == 0 && !errors.Is(err, errAnswer) {
		x.ended = ""
		return false, true
	}
	switch {
	case x.status != 0 || x.ended == endedClient:
		c.abort()
	case x.ended == endedTimeout:
		c.answerRefusal(&Refusal{Status: http.StatusGatewayTimeout, Code: CodeTimeout,
			Message: "Nothing came from " + x.info.Host + " within the idle limit."})
	default:
		c.q.close = true
		c.answerRefusal(&Refusal{Status: http.StatusBadGateway, Code: CodeUpstream,
			Message: "The connection to " + x.info.Host + " ended before an answer, or the answer was not HTTP."})
	}
	return false, false
}

var errClientGone = errors.New("client gone")

// uploadError looks whether the upload has ended, and how. Its result is put
// back for whoever waits for the end.
func (c *conn) uploadError() (err error, over bool) {
	select {
	case err = <-c.x.upload:
		c.x.upload <- err
		return err, true
	default:
		return nil, false
	}
}

// clientFault tells a body that broke its framing from a connection that
// broke.
func clientFault(err error) *Refusal {
	for _, fault := range []error{errChunk, errTrailer, errBareLF, errHeadTooLarge, errFieldName, errFieldValue, errFold} {
		if errors.Is(err, fault) {
			return malformed(fault)
		}
	}
	return nil
}

// send writes the request. A body that has come whole goes with it; any other
// gets a goroutine, because the answer may come before the body ends.
func (c *conn) send(u *upstreamConn) (uploading bool, err error) {
	x := &c.x
	x.scratch = x.out.appendHead(x.scratch[:0])
	if _, err := u.wr.Write(x.scratch); err != nil {
		return false, err
	}
	switch {
	case c.body.done():
		return false, u.wr.Flush()
	case c.body.framing == framedLength && c.body.left <= int64(c.rd.buffered()) && !x.out.expect:
		for !c.body.done() {
			p, err := c.body.next()
			if err != nil {
				return false, err
			}
			x.sent += int64(len(p))
			if _, err := u.wr.Write(p); err != nil {
				return false, err
			}
		}
		return false, u.wr.Flush()
	}
	if x.out.expect {
		if err := u.wr.Flush(); err != nil {
			return false, err
		}
	}
	if x.upload == nil {
		x.upload = make(chan error, 1)
	}
	go func() {
		err := c.uploadTo(u)
		x.upload <- err
		if errors.Is(err, errClientGone) || clientFault(err) != nil {
			u.close() // the upstream must not take what came for the whole
		}
	}()
	return true, nil
}

// uploadTo copies the request's body to the upstream as it comes.
func (c *conn) uploadTo(u *upstreamConn) error {
	chunked := c.x.out.length == chunkedLength
	for {
		if !c.body.ready() {
			if err := u.wr.Flush(); err != nil {
				return err
			}
		}
		p, err := c.body.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if clientFault(err) == nil {
				err = errClientGone
			}
			return err
		}
		c.touch()
		c.x.sent += int64(len(p))
		if err := writeContent(u.wr, p, chunked); err != nil {
			return err
		}
	}
	if chunked {
		if err := writeLastChunk(u.wr, c.allowedTrailers()); err != nil {
			return err
		}
	}
	return u.wr.Flush()
}

// allowedTrailers leaves out what the injection replaces or deletes.
func (c *conn) allowedTrailers() []field {
	fields := c.body.trailer()
	kept := fields[:0]
	for _, f := range fields {
		if !replaced(c.x.inj, f.name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// receive relays the answer. An error before x.status is set may still be
// answered by kb.
func (c *conn) receive(u *upstreamConn, uploading bool) (keep bool, err error) {
	x, a := &c.x, &c.x.ans
	continued := false
	for {
		head, err := u.rd.head(c.s.limits.HeadBytes, false, nil)
		if err != nil {
			return false, err
		}
		c.touch()
		if err := a.parse(head, x.out.method, c.s.limits.Fields); err != nil {
			return false, err
		}
		if a.status >= 200 || a.status == http.StatusSwitchingProtocols {
			break
		}
		continued = continued || a.status == http.StatusContinue
		if c.q.minor == 1 && (a.status != http.StatusContinue || x.out.expect) {
			if err := c.writeInterim(a); err != nil {
				return false, errClientGone
			}
		}
	}
	u.used = true
	if a.status == http.StatusSwitchingProtocols {
		if !a.upgrade || !x.out.websocket || uploading {
			return false, errAnswer
		}
		return false, c.websocket(u)
	}
	u.body.reset(&u.rd, a.length, false)
	switch {
	case a.bodiless:
		u.body.framing = framedDone
	case a.byClose:
		u.body.framing = framedByClose
	}
	// Without a 100 the client may or may not send its body: nobody can know
	// where its next request begins.
	closing := c.q.close || x.out.expect && !continued && uploading
	x.status = a.status
	chunked, err := c.writeHead(a, closing)
	if err != nil {
		return false, errClientGone
	}
	if err := relayBody(c, &u.body, chunked); err != nil {
		return false, err
	}
	closing = closing || c.q.close
	reuse := !a.close && u.rd.buffered() == 0
	if uploading {
		if err := c.wr.Flush(); err != nil {
			return false, errClientGone
		}
		c.enter(phaseLinger)
		if x.out.expect && !continued {
			_ = u.raw.Close()
			c.linger()
			_ = c.raw.Close()
		}
		if err := <-x.upload; err != nil {
			reuse, closing = false, true
		}
	}
	// Put back before the client is told: its next request finds it there.
	if reuse {
		c.s.pool.put(u)
	} else {
		u.close()
	}
	if err := c.wr.Flush(); err != nil {
		x.ended = endedClient
		return false, nil
	}
	if closing {
		c.linger()
	}
	return !closing, nil
}

// abort breaks the connection off, so that the client takes what it has for a
// part. Without a last chunk, the bytes promised, or TLS's close_notify it
// does; an answer that ends with a plain connection needs a reset.
func (c *conn) abort() {
	_ = c.wr.Flush()
	if l, ok := c.raw.(interface{ SetLinger(int) error }); ok && c.q.minor == 0 {
		_ = l.SetLinger(0)
	}
	_ = c.raw.Close()
}

func appendInt(b []byte, n int64) []byte { return strconv.AppendInt(b, n, 10) }
