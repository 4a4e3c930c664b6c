package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"strings"
	"sync"
)

// overH2 carries the exchange out over HTTP/2.
func (x *exchange) overH2(ctx context.Context, key poolKey, t *tunnel) (*Refusal, course) {
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	transport := x.s.h2.transport(key)
	up := &uploadReader{x: x}
	defer up.shut()
	req := x.h2Request(ctx, up)
	resp, err := transport.RoundTrip(req)
	if err != nil && x.harmless() && retryable(err) && ctx.Err() == nil {
		resp, err = transport.RoundTrip(req)
	}
	if errors.Is(err, errOnlyHTTP1) {
		return nil, courseHTTP1
	}
	if err != nil {
		return x.h2Failed(ctx, t, up, err), courseEnd
	}
	defer func() {
		cancel() // else Close waits for an upload that waits for the client
		_ = resp.Body.Close()
	}()
	x.fromH2(resp)
	if x.rejected() {
		continued := false // a 100 of the upstream's may have passed; one more does no harm
		next, err := x.reconsider(outer, &continued)
		if next != nil || err != nil {
			return x.turnH2(outer, up, next, err)
		}
	}
	if x.keep != nil {
		x.keep.forget()
	}
	x.status = x.ans.status
	if x.cl.head(&x.ans, x.closing) != nil {
		x.ended, x.broken = endedClient, true
		return nil, courseEnd
	}
	src := &readerSource{r: resp.Body, trailers: &resp.Trailer, left: resp.ContentLength, before: x.flush}
	if x.ans.bodiless {
		src.left = 0
	}
	if err := relayBody(x, src); err != nil {
		x.ended, x.broken = x.why(err), true
		return nil, courseEnd
	}
	if x.cl.finish() != nil {
		x.ended, x.broken = endedClient, true
	}
	return nil, courseEnd
}

// h2Failed sorts an error before any answer.
func (x *exchange) h2Failed(ctx context.Context, t *tunnel, up *uploadReader, err error) *Refusal {
	up.shut()
	if fault := clientFault(up.err); fault != nil {
		x.ended = endedMalformed
		x.s.policy.Refused(x.info.ConnectInfo, &x.info, fault)
		return fault
	}
	var a *addressError
	var n *resolveError
	if errors.As(err, &a) || errors.As(err, &n) || tlsFailure(err) || strings.HasPrefix(err.Error(), "dial: ") {
		return x.unreachable(t, err)
	}
	x.ended = x.why(err)
	if x.ended != endedTimeout && (errors.Is(up.err, errClientGone) || ctx.Err() != nil) {
		x.ended, x.broken = endedClient, true
		return nil
	}
	return x.upstreamRefusal()
}

// retryable reports whether an HTTP/2 connection turned a request away without
// looking at it: it was closing, or full.
func retryable(err error) bool {
	s := err.Error()
	return strings.Contains(s, "GOAWAY") || strings.Contains(s, "REFUSED_STREAM") || strings.Contains(s, "client conn")
}

func (x *exchange) h2Request(ctx context.Context, up *uploadReader) *http.Request {
	path, query, asked := strings.Cut(x.out.target, "?")
	req := &http.Request{
		Method: x.out.method,
		// Opaque keeps the path's bytes as they were judged.
		URL:    &url.URL{Scheme: "https", Host: x.out.authority, Opaque: "//" + x.out.authority + path, RawQuery: query, ForceQuery: asked && query == ""},
		Host:   x.out.authority,
		Header: make(http.Header, len(x.out.fields)+1),
		Proto:  "HTTP/2.0", ProtoMajor: 2,
	}
	for _, f := range x.out.fields {
		if f.name == "Trailer" {
			continue // made anew from what is announced
		}
		req.Header[f.name] = append(req.Header[f.name], f.value)
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = nil // net/http would send its own
	}
	if x.src != nil {
		req.Body, req.ContentLength = up, x.length
		for _, names := range x.info.Header.Values("Trailer") {
			for name := range strings.SplitSeq(names, ",") {
				up.announce(req, http.CanonicalHeaderKey(strings.Trim(name, " \t")))
			}
		}
		if st, ok := x.cl.(*stream); ok {
			for name := range st.r.Trailer {
				up.announce(req, name)
			}
		}
	}
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		a := &answer{status: code, reason: http.StatusText(code), fields: fieldsOf(http.Header(h), 0)}
		a.clean()
		if x.info.Proto == "HTTP/1.0" || code == http.StatusContinue && !x.out.expect {
			return nil
		}
		return x.cl.interim(a)
	}}
	return req.WithContext(httptrace.WithClientTrace(ctx, trace))
}

// fromH2 fills x.ans from a response.
func (x *exchange) fromH2(resp *http.Response) {
	a := &x.ans
	*a = answer{status: resp.StatusCode, reason: http.StatusText(resp.StatusCode), length: resp.ContentLength, fields: a.fields[:0]}
	for name, values := range resp.Header {
		for _, v := range values {
			a.fields = append(a.fields, field{name, v})
		}
	}
	a.clean()
	a.bodiless = x.out.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if a.bodiless && len(resp.Header["Content-Length"]) == 0 {
		a.length = chunkedLength
	}
}

// clean removes what belongs to the hop or would send the client past kb.
func (a *answer) clean() {
	kept := a.fields[:0]
	for _, f := range a.fields {
		if f.name != "Content-Length" && f.name != "Alt-Svc" && !hopByHop(f.name) {
			kept = append(kept, f)
		}
	}
	a.fields = kept
}

var errShut = errors.New("the exchange has ended")

// uploadReader gives the request's body to a transport that reads it in a
// goroutine of its own.
type uploadReader struct {
	x    *exchange
	mu   sync.Mutex // held while reading
	rest []byte
	err  error // what ended the reading
	over bool
	req  *http.Request
}

// announce lets a trailer pass that the client said would come.
func (u *uploadReader) announce(req *http.Request, name string) {
	if name == "" || !trailerAllowed(name) || replaced(u.x.inj, name) {
		return
	}
	if req.Trailer == nil {
		req.Trailer = make(http.Header)
	}
	req.Trailer[name] = nil
	u.req = req
}

func (u *uploadReader) Read(p []byte) (int, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return 0, u.err
	}
	if len(u.rest) == 0 {
		b, err := u.x.src.next()
		if err != nil {
			u.over, u.err = true, err
			switch {
			case err == io.EOF:
				u.fillTrailers()
			case clientFault(err) == nil:
				u.err = errClientGone
			}
			return 0, u.err
		}
		u.x.track.touch()
		u.x.sent.Add(int64(len(b)))
		u.rest = b
	}
	n := copy(p, u.rest)
	u.rest = u.rest[n:]
	return n, nil
}

func (u *uploadReader) fillTrailers() {
	if u.req == nil {
		return
	}
	for _, f := range u.x.src.trailer() {
		if _, ok := u.req.Trailer[f.name]; ok {
			u.req.Trailer[f.name] = append(u.req.Trailer[f.name], f.value)
		}
	}
}

// Close leaves the client's side alone: shut ends the reading when the
// exchange does.
func (u *uploadReader) Close() error { return nil }

// shut makes sure that nobody reads from the client any more. If the body was
// not read to its end, the connection cannot go on.
func (u *uploadReader) shut() {
	if u.x.src == nil {
		return
	}
	if u.x.again {
		u.leave()
		return
	}
	if !u.mu.TryLock() {
		u.x.closing = true
		u.x.cl.stop()
		u.mu.Lock()
	}
	if !u.over {
		u.over, u.err = true, errShut
		u.x.closing = true
	}
	u.mu.Unlock()
}

// leave ends the reading of a body of which all is kept: nobody waits.
func (u *uploadReader) leave() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !u.over {
		u.over, u.err = true, errShut
	}
}
