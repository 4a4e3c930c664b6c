package proxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// How an exchange or a tunnel ended, in Outcome.Err. "" is a whole answer.
const (
	endedRefused   = "refused"        // kb answered
	endedAgain     = "sent again"     // 401, and the request went out with another injection
	endedDial      = "dial"           // no connection to the upstream
	endedTLS       = "tls"            // handshake or certificate
	endedUpstream  = "upstream reset" // the upstream broke off, or sent no HTTP
	endedClient    = "client gone"    // the client broke off
	endedMalformed = "malformed body" // the client's body broke its framing
	endedTimeout   = "idle limit"     // no byte in either direction for too long
	endedInternal  = "internal error" // kb failed
)

// client is the side that gets the answer: HTTP/1.1 or one stream of HTTP/2.
// Its writing methods fail when the client has gone.
type client interface {
	interim(a *answer) error // 1xx
	head(a *answer, closing bool) error
	// content writes a piece; rest more bytes of its chunk are known to follow.
	content(p []byte, rest int64) error
	flush() error
	end(trailers []field) error
	finish() error // after end: nothing more comes
	// stop makes the upload's reads from the client fail.
	stop()
	// patience is how long the client may go on sending once it has the whole
	// answer; 0 leaves that to the scanner.
	patience() time.Duration
}

// exchange is one request and its answer. HTTP/1.1 keeps it with the
// connection, so that a request allocates little.
type exchange struct {
	s      *Server
	cl     client
	track  *tracker
	src    source // the request's body; nil if it has none
	length int64  // of the body, or chunkedLength

	info    RequestInfo
	asked   bool // the target had a "?"
	clean   []field
	out     outgoing
	ans     answer
	inj     *Injection
	started time.Time
	scratch []byte

	flush   func() error // flushes the client; made once
	upload  chan error   // gets the upload's end, when it has a goroutine
	sent    atomic.Int64 // body bytes to the upstream
	got     int64
	status  int     // sent to the client
	ended   string  // Outcome.Err
	keep    *keeper // src, where a 401 may have it sent again
	again   bool    // it is sent again: the injection is the second
	closing bool    // the client's connection cannot go on to a next request
	broken  bool    // the answer was cut short, the client must see that
}

// begin makes an exchange of a request that has passed the checks of its hop.
func (x *exchange) begin(ci ConnectInfo, scheme, proto, method, target string, fields []field, options []string) {
	x.src, x.length, x.inj, x.got, x.status, x.ended, x.closing, x.broken = nil, 0, nil, 0, 0, "", false, false
	x.keep, x.again = nil, false
	x.sent.Store(0)
	path, query, asked := strings.Cut(target, "?")
	x.asked = asked
	x.info = RequestInfo{ConnectInfo: ci, Scheme: scheme, Method: method, Path: path, Query: query, Proto: proto}
	x.clean = endToEnd(x.clean[:0], fields, options, &x.info)
	x.info.Header = Header{x.clean}
	x.out.expect, x.out.websocket = false, false
}

// run asks the policy and carries the exchange out. A refusal is returned to
// be answered by the caller, who then calls tell in any case.
func (x *exchange) run(ctx context.Context, t *tunnel) *Refusal {
	x.track.enter(phasePolicy)
	x.info.Length = x.length
	if r := x.authorize(ctx, t.authority); r != nil {
		return r
	}
	if x.inj.Local != nil {
		return x.local(ctx)
	}
	x.out.length = x.length
	if x.src != nil && x.inj.Rejected != nil && x.length <= int64(x.s.limits.ReplayBody) {
		x.keep = newKeeper(x.s, x.src, x.length, x.track.touch)
		x.src = x.keep
		defer x.letGo()
	}
	for {
		x.track.expired.Store(false)
		x.track.enter(phaseExchange)
		if r, next := x.attempt(ctx, t); next != courseAgain {
			return r
		}
	}
}

// course is what follows an attempt to carry an exchange out.
type course uint8

const (
	courseEnd   course = iota // nothing, it was carried out or is refused
	courseAnew                // a kept connection was dead: the same on a new one
	courseHTTP1               // the upstream turned out to speak HTTP/1.1 only
	courseAgain               // the upstream answered 401: the request as the next injection has it
)

// attempt carries the exchange out with the present injection.
func (x *exchange) attempt(ctx context.Context, t *tunnel) (*Refusal, course) {
	key := poolKey{target: t.target, pool: x.inj.Pool, reach: t.reach, plain: x.info.Scheme != "https"}
	// The connection that brought the 401 may be about to close, and a body is
	// not sent a third time: it gets another one.
	fresh := x.again && !x.harmless()
	overH2 := key
	overH2.again = fresh
	if !key.plain && x.s.h2.wanted(t.target, x.info.Proto) {
		if r, next := x.overH2(ctx, overH2, t); next != courseHTTP1 {
			return r, next
		}
	}
	for first := true; ; first = false {
		u, err := x.s.upstreamFor(ctx, key, fresh || !first)
		if err != nil {
			if onlyH2(err) && !key.plain {
				x.s.h2.learn(t.target, speaksOnlyHTTP2)
				if r, next := x.overH2(ctx, overH2, t); next != courseHTTP1 {
					return r, next
				}
			}
			return x.unreachable(t, err), courseEnd
		}
		x.track.upstream.Store(u)
		if ctx.Err() != nil {
			u.close() // whoever ended the context did not see it yet
		}
		r, next := x.over(ctx, u, first)
		x.track.upstream.Store(nil)
		if next != courseAnew {
			return r, next
		}
	}
}

// harmless reports whether the request may be sent twice without a word from
// the upstream.
func (x *exchange) harmless() bool {
	return x.src == nil && (x.out.method == http.MethodGet || x.out.method == http.MethodHead)
}

// authorize asks the policy and builds what goes upstream.
func (x *exchange) authorize(ctx context.Context, authority string) *Refusal {
	x.started = x.s.now()
	inj, err := x.s.policy.Authorize(ctx, &x.info)
	if err != nil {
		var r *Refusal
		if errors.As(err, &r) {
			return r
		}
		return &Refusal{
			Status: http.StatusBadGateway, Code: CodePolicy,
			Message: "kb could not decide on the request; the reason is in its audit log.", Fix: "kb audit --denied",
		}
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
	return x.out.apply(x.inj, x.clean, x.info.Path, x.info.Query, x.asked)
}

// tell reports the outcome of a request that the policy let pass. refused is
// the status that kb answered with, 0 if the upstream's answer was passed on.
func (x *exchange) tell(refused int) {
	if refused != 0 {
		x.status = refused
		if x.ended == "" {
			x.ended = endedRefused
		}
	}
	if x.inj == nil || x.inj.Done == nil {
		return
	}
	done := x.inj.Done
	x.inj = nil
	done(Outcome{Status: x.status, Sent: x.sent.Load(), Received: x.got, Elapsed: x.s.now().Sub(x.started), Err: x.ended})
}

// failed reports a bug of kb's own.
func (x *exchange) failed(info ConnectInfo) {
	r := internalRefusal()
	x.s.policy.Refused(info, &x.info, r)
	x.ended = endedInternal
	x.tell(r.status())
}

// unreachable turns an error of dialling into what the client is told.
func (x *exchange) unreachable(t *tunnel, err error) *Refusal {
	if x.track.expired.Load() {
		x.ended = endedTimeout
		return x.upstreamRefusal()
	}
	r, ended, own := dialRefusal(t.host, err)
	x.ended = ended
	if own {
		x.s.policy.Refused(t.info, &x.info, r)
	}
	return r
}

var (
	errClientGone   = errors.New("client gone")
	errUpstreamGone = errors.New("upstream gone")
)

// over runs the exchange over one upstream connection.
func (x *exchange) over(ctx context.Context, u *upstreamConn, first bool) (*Refusal, course) {
	retry := first && u.used && x.harmless()
	uploading, err := x.send(u)
	if err == nil {
		err = x.receive(ctx, u, uploading)
	}
	switch {
	case err == nil || errors.Is(err, errOver):
		return nil, courseEnd
	case errors.Is(err, errAgain):
		return nil, courseAgain
	}
	var refused *Refusal
	if errors.As(err, &refused) {
		return refused, courseEnd
	}
	u.close()
	if uploading {
		// The upload owns the client's side of the connection until it has
		// ended: nothing more is read from there.
		x.closing = x.closing || !x.again
		defer func() { _ = x.endUpload(u) }()
		if r := x.uploadFault(&err); r != nil {
			return r, courseEnd
		}
	}
	x.ended = x.why(err)
	switch {
	case x.status != 0 || x.ended == endedClient:
		x.broken = true
		return nil, courseEnd
	case retry && x.ended == endedUpstream && u.rd.buffered() == 0 && !errors.Is(err, errAnswer):
		x.ended = ""
		return nil, courseAnew
	}
	return x.upstreamRefusal(), courseEnd
}

// why says how an exchange with an error ended.
func (x *exchange) why(err error) string {
	switch {
	case errors.Is(err, errClientGone) || x.track.gone.Load():
		return endedClient
	case x.track.expired.Load():
		return endedTimeout
	}
	return endedUpstream
}

func (x *exchange) upstreamRefusal() *Refusal {
	if x.ended == endedTimeout {
		return &Refusal{
			Status: http.StatusGatewayTimeout, Code: CodeTimeout,
			Message: "Nothing came from " + x.info.Host + " within the idle limit.",
		}
	}
	return &Refusal{
		Status: http.StatusBadGateway, Code: CodeUpstream,
		Message: "The connection to " + x.info.Host + " ended before an answer, or the answer was not HTTP.",
	}
}

// interimMax bounds the 1xx answers before the final one. Servers send two or
// three.
const interimMax = 32

// receive relays the answer. After an error with x.status still 0, kb may
// answer.
func (x *exchange) receive(ctx context.Context, u *upstreamConn, uploading bool) error {
	a := &x.ans
	continued := false
	for interim := 0; ; interim++ {
		if interim > interimMax {
			return errAnswer
		}
		head, err := u.rd.head(x.s.limits.HeadBytes, false, nil)
		if err != nil {
			return err
		}
		x.track.touch()
		if err := a.parse(head, x.out.method, x.s.limits.Fields); err != nil {
			return err
		}
		if a.status >= 200 || a.status == http.StatusSwitchingProtocols {
			break
		}
		if a.status == http.StatusContinue {
			if !x.out.expect {
				continue
			}
			continued = true
		}
		if x.info.Proto != "HTTP/1.0" && x.cl.interim(a) != nil {
			return errClientGone
		}
	}
	u.used = true
	if a.status == http.StatusSwitchingProtocols {
		c, ok := x.cl.(*conn)
		if !ok || !a.upgrade || !x.out.websocket || uploading {
			return errAnswer
		}
		return c.websocket(u)
	}
	u.body.reset(&u.rd, a.length, false)
	switch {
	case a.bodiless:
		u.body.framing = framedDone
	case a.byClose:
		u.body.framing = framedByClose
	}
	if x.rejected() {
		next, err := x.reconsider(ctx, &continued)
		if next != nil || err != nil {
			return x.sendAgain(ctx, u, next, uploading, err)
		}
	}
	if x.keep != nil {
		x.keep.forget()
	}
	// Without a 100 the client may or may not send its body: nobody can know
	// where its next request begins.
	unsure := x.out.expect && !continued && uploading
	// An upstream that closes before it has the whole body leaves the rest of
	// it in the way of the client's next request.
	x.closing = x.closing || unsure || uploading && !x.again && a.close && !x.uploaded()
	x.status = a.status
	if x.cl.head(a, x.closing) != nil {
		return errClientGone
	}
	u.rd.before = x.flush
	if err := relayBody(x, &u.body); err != nil {
		return err
	}
	reuse := !a.close && u.rd.buffered() == 0
	if uploading {
		if x.cl.flush() != nil {
			return errClientGone
		}
		x.track.enter(phaseLinger)
		if unsure {
			x.cl.stop()
		}
		if x.awaitUpload(u) != nil {
			reuse, x.closing = false, x.closing || !x.again
		}
	}
	u.rd.before = nil
	// Put back before the client is told: its next request finds it there.
	if reuse {
		x.s.pool.put(u)
	} else {
		u.close()
	}
	if x.cl.finish() != nil {
		x.ended, x.broken = endedClient, true
	}
	return nil
}
