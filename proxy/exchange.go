package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

// How an exchange or a tunnel ended, in Outcome.Err. "" is a whole answer.
const (
	endedRefused   = "refused"        // kb answered
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
	status  int    // sent to the client
	ended   string // Outcome.Err
	closing bool   // the client's connection cannot go on to a next request
	broken  bool   // the answer was cut short, the client must see that
}

// begin makes an exchange of a request that has passed the checks of its hop.
func (x *exchange) begin(ci ConnectInfo, scheme, proto, method, target string, fields []field, options []string) {
	x.src, x.length, x.inj, x.got, x.status, x.ended, x.closing, x.broken = nil, 0, nil, 0, 0, "", false, false
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
	if r := x.authorize(ctx, t.authority); r != nil {
		return r
	}
	x.out.length = x.length
	x.track.expired.Store(false)
	x.track.enter(phaseExchange)
	key := poolKey{target: t.target, pool: x.inj.Pool, reach: t.reach, plain: x.info.Scheme != "https"}
	if !key.plain && x.s.h2.wanted(t.target, x.info.Proto) {
		done, r := x.overH2(ctx, key, t)
		if done {
			return r
		}
	}
	for attempt := 0; ; attempt++ {
		u, err := x.s.upstreamFor(ctx, key, attempt > 0)
		if err != nil {
			if onlyH2(err) && !key.plain {
				x.s.h2.learn(t.target, speaksOnlyHTTP2)
				if done, r := x.overH2(ctx, key, t); done {
					return r
				}
			}
			return x.unreachable(t, err)
		}
		x.track.upstream.Store(u)
		if ctx.Err() != nil {
			u.close() // whoever ended the context did not see it yet
		}
		r, again := x.over(u, attempt == 0)
		x.track.upstream.Store(nil)
		if !again {
			return r
		}
	}
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
	r := &Refusal{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "kb failed on the request; this is a bug in kb."}
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

// over runs the exchange over one upstream connection. again says that the
// connection had died unnoticed and the request may be sent once more.
func (x *exchange) over(u *upstreamConn, first bool) (r *Refusal, again bool) {
	retry := first && u.used && x.src == nil && (x.out.method == http.MethodGet || x.out.method == http.MethodHead)
	uploading, err := x.send(u)
	if err == nil {
		err = x.receive(u, uploading)
	}
	if err == nil {
		return nil, false
	}
	u.close()
	if uploading {
		// The upload owns the client's side of the connection until it has
		// ended: nothing more is read from there.
		x.closing = true
		defer func() { _ = x.endUpload() }()
		if r := x.uploadFault(&err); r != nil {
			return r, false
		}
	}
	x.ended = x.why(err)
	switch {
	case x.status != 0 || x.ended == endedClient:
		x.broken = true
		return nil, false
	case retry && x.ended == endedUpstream && u.rd.buffered() == 0 && !errors.Is(err, errAnswer):
		x.ended = ""
		return nil, true
	}
	return x.upstreamRefusal(), false
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

// uploadFault looks whether the upload has ended by the client's doing: with a
// broken body, which is refused, or with its leaving, which replaces err.
func (x *exchange) uploadFault(err *error) *Refusal {
	var up error
	select {
	case up = <-x.upload:
		x.upload <- up // for endUpload
	default:
		return nil
	}
	if errors.Is(up, errClientGone) {
		*err = up
	}
	if fault := clientFault(up); fault != nil && x.status == 0 {
		x.ended = endedMalformed
		x.s.policy.Refused(x.info.ConnectInfo, &x.info, fault)
		return fault
	}
	return nil
}

// uploaded reports whether the upload has ended well.
func (x *exchange) uploaded() bool {
	select {
	case err := <-x.upload:
		x.upload <- err
		return err == nil
	default:
		return false
	}
}

// awaitUpload returns the upload's end after the whole answer was relayed.
func (x *exchange) awaitUpload() error {
	if d := x.cl.patience(); d > 0 {
		select {
		case err := <-x.upload:
			return err
		default:
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case err := <-x.upload:
			return err
		case <-t.C:
			x.cl.stop()
		}
	}
	return <-x.upload
}

// endUpload waits for the upload's goroutine, which must not outlive the
// exchange.
func (x *exchange) endUpload() error {
	select {
	case err := <-x.upload:
		return err
	default:
		x.cl.stop()
		return <-x.upload
	}
}

// clientFault tells a body that broke its framing from a connection that
// broke.
func clientFault(err error) *Refusal {
	for _, fault := range [...]error{errChunk, errTrailer, errBareLF, errHeadTooLarge, errFieldName, errFieldValue, errFold} {
		if errors.Is(err, fault) {
			return malformed(fault)
		}
	}
	return nil
}

// send writes the request. A body that has come whole goes with it; any other
// gets a goroutine, because the answer may come before the body ends.
func (x *exchange) send(u *upstreamConn) (uploading bool, err error) {
	x.scratch = x.out.appendHead(x.scratch[:0])
	if _, err := u.wr.Write(x.scratch); err != nil {
		return false, err
	}
	if x.src == nil {
		return false, u.wr.Flush()
	}
	if b, ok := x.src.(*body); ok && b.whole() && !x.out.expect {
		return false, x.copyUp(u)
	}
	if x.upload == nil {
		x.upload = make(chan error, 1)
	}
	x.src.onWait(func() error {
		if u.wr.Flush() != nil {
			return errUpstreamGone
		}
		return nil
	})
	go func() {
		err := x.copyUp(u)
		x.src.onWait(nil)
		x.upload <- err
		if errors.Is(err, errClientGone) || clientFault(err) != nil {
			u.close() // the upstream must not take what came for the whole
		}
	}()
	return true, nil
}

// copyUp copies the request's body to the upstream as it comes.
func (x *exchange) copyUp(u *upstreamConn) error {
	out := chunker{w: u.wr, chunked: x.length == chunkedLength}
	for {
		p, err := x.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if clientFault(err) == nil && !errors.Is(err, errUpstreamGone) {
				err = errClientGone
			}
			return err
		}
		x.track.touch()
		x.sent.Add(int64(len(p)))
		if err := out.write(p, x.src.rest()); err != nil {
			return err
		}
	}
	if err := out.end(x.upTrailers()); err != nil {
		return err
	}
	return u.wr.Flush()
}

// upTrailers leaves out what the injection replaces or deletes.
func (x *exchange) upTrailers() []field {
	fields := x.src.trailer()
	kept := fields[:0]
	for _, f := range fields {
		if !replaced(x.inj, f.name) {
			kept = append(kept, f)
		}
	}
	return kept
}

// interimMax bounds the 1xx answers before the final one. Servers send two or
// three.
const interimMax = 32

// receive relays the answer. After an error with x.status still 0, kb may
// answer.
func (x *exchange) receive(u *upstreamConn, uploading bool) error {
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
	// Without a 100 the client may or may not send its body: nobody can know
	// where its next request begins.
	unsure := x.out.expect && !continued && uploading
	// An upstream that closes before it has the whole body leaves the rest of
	// it in the way of the client's next request.
	x.closing = x.closing || unsure || uploading && a.close && !x.uploaded()
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
		if x.awaitUpload() != nil {
			reuse, x.closing = false, true
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
