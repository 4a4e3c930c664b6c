package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync"
	"time"

	"golang.org/x/net/http2"
)

// serveH2 serves a client that chose HTTP/2 inside an intercepted tunnel.
// x/net/http2 refuses what RFC 9113 calls malformed, rapid resets and floods
// of control and CONTINUATION frames; it answers Expect itself.
func (c *conn) serveH2(secure *tls.Conn) {
	c.mu.Lock()
	c.streams = make(map[*stream]struct{})
	c.mu.Unlock()
	c.track.enter(phaseH2)
	srv := &http2.Server{
		MaxConcurrentStreams: uint32(c.s.limits.Streams),
		IdleTimeout:          c.s.limits.KeepAlive,
		MaxReadFrameSize:     64 << 10, // bytes; x/net's 1 MiB would be held for each connection
	}
	srv.ServeConn(secure, &http2.ServeConnOpts{
		Context: c.ctx,
		Handler: http.HandlerFunc(c.serveStream),
		BaseConfig: &http.Server{
			MaxHeaderBytes: c.s.limits.HeadBytes,
			ErrorLog:       log.New(io.Discard, "", 0), // it would quote what clients sent
		},
	})
}

// stream is one request of an HTTP/2 connection, and the client of its
// exchange.
type stream struct {
	w      http.ResponseWriter
	ctl    *http.ResponseController
	r      *http.Request
	x      exchange
	track  tracker
	mu     sync.Mutex // 1xx answers come from another goroutine than the rest
	header bool       // the final head was written
}

func (c *conn) serveStream(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	st := &stream{w: w, ctl: http.NewResponseController(w), r: r}
	st.track.clock, st.track.cut, st.track.abort = &c.s.clock, cancel, cancel
	st.x.s, st.x.cl, st.x.track = c.s, st, &st.track
	st.x.flush = func() error {
		if st.ctl.Flush() != nil {
			return errClientGone
		}
		return nil
	}
	st.track.enter(phasePolicy)
	c.mu.Lock()
	c.streams[st] = struct{}{}
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.streams, st)
		c.mu.Unlock()
	}()
	// The client's reset ends the stream's context; who waits for an HTTP/1.1
	// upstream has to be told.
	unhook := context.AfterFunc(ctx, func() {
		if r.Context().Err() != nil {
			st.track.gone.Store(true)
		}
		if u := st.track.upstream.Load(); u != nil {
			u.close()
		}
	})
	defer unhook()

	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				st.x.failed(c.tun.info)
			}
			panic(http.ErrAbortHandler)
		}
	}()
	fields := fieldsOf(r.Header, 0)
	st.x.begin(c.tun.info, "https", "HTTP/2.0", r.Method, r.RequestURI, fields, nil)
	if refusal := c.judgeStream(r, fields); refusal != nil {
		c.s.policy.Refused(c.tun.info, &st.x.info, refusal)
		st.refuse(refusal)
		return
	}
	if r.ContentLength != 0 {
		st.x.src, st.x.length = &readerSource{r: r.Body, trailers: &r.Trailer, left: r.ContentLength}, r.ContentLength
	}
	refusal := st.x.run(ctx, c.tun)
	if refusal != nil {
		st.refuse(refusal)
		st.x.tell(refusal.status())
		return
	}
	st.x.tell(0)
	if st.x.broken {
		panic(http.ErrAbortHandler) // resets the stream: not a clean end
	}
}

// judgeStream makes the checks of an HTTP/1.1 request that x/net leaves out.
func (c *conn) judgeStream(r *http.Request, fields []field) *Refusal {
	if !isToken(r.Method) {
		return malformed(errMethod)
	}
	if refusal := checkMethod(r.Method); refusal != nil {
		return refusal
	}
	if err := checkTarget(r.RequestURI); err != nil {
		return malformed(err)
	}
	if len(fields) > c.s.limits.Fields {
		return malformed(errTooMany)
	}
	if len(r.Header["Authorization"]) > 1 {
		return malformed(errDupAuth)
	}
	if r.TLS == nil { // :scheme is http
		return misdirected("its scheme is not https")
	}
	if host, port, err := parseAuthority(r.Host, 443); err != nil || host != c.tun.host || port != c.tun.port {
		return misdirected("its :authority is not the CONNECT target")
	}
	return nil
}

// fieldsOf lists a header's lines; what no list can hold is left out. Room for
// extra more is made.
func fieldsOf(h http.Header, extra int) []field {
	fields := make([]field, 0, len(h)+extra)
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, field{name, v})
		}
	}
	return fields
}

func (st *stream) refuse(r *Refusal) {
	h := st.w.Header()
	clear(h)
	h.Set("Content-Type", "application/json")
	h.Set("X-Should-Retry", "false")
	st.w.WriteHeader(r.status())
	_, _ = st.w.Write(r.encode())
}

func (st *stream) interim(a *answer) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.header || a.status == http.StatusContinue {
		return nil // x/net has sent its own 100
	}
	st.set(a.fields)
	st.w.WriteHeader(a.status)
	clear(st.w.Header())
	return nil
}

func (st *stream) head(a *answer, _ bool) error {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.header = true
	st.set(a.fields)
	if a.length >= 0 && a.status != http.StatusNoContent {
		st.w.Header()["Content-Length"] = []string{strconv.FormatInt(a.length, 10)}
	}
	if _, ok := st.w.Header()["Date"]; !ok {
		st.w.Header()["Date"] = nil // x/net adds none of its own
	}
	st.w.WriteHeader(a.status)
	return nil
}

func (st *stream) set(fields []field) {
	h := st.w.Header()
	for _, f := range fields {
		h[f.name] = append(h[f.name], f.value)
	}
}

func (st *stream) content(p []byte, _ int64) error {
	_, err := st.w.Write(p)
	return err
}

func (st *stream) flush() error { return st.ctl.Flush() }

// finish leaves the last flush to the end of the handler: an answer without
// content then ends with its head, which is what gRPC calls trailers-only.
func (st *stream) finish() error { return st.r.Context().Err() }

func (st *stream) end(trailers []field) error {
	for _, f := range trailers {
		st.w.Header().Add(http.TrailerPrefix+f.name, f.value)
	}
	return nil
}

// patience is short, because the answer ends only with the handler: clients
// wait for that before they give an upload up.
func (st *stream) patience() time.Duration { return 20 * time.Millisecond }

func (st *stream) stop() { _ = st.r.Body.Close() }

// readerSource is a source over a body that has lost its framing already.
type readerSource struct {
	r        io.Reader
	trailers *http.Header
	left     int64          // bytes to come; negative when nobody knows
	buf      *[bufSize]byte // lent
	begun    bool
	before   func() error
}

func (s *readerSource) next() ([]byte, error) {
	if s.buf == nil {
		s.buf = bigBuffers.Get().(*[bufSize]byte)
	}
	// A body of known length begins soon: the head waits for it. What was
	// read to its end is not flushed early either.
	if s.before != nil && s.left != 0 && (s.left < 0 || s.begun) {
		if err := s.before(); err != nil {
			return nil, err
		}
	}
	for {
		n, err := s.r.Read(s.buf[:])
		if n > 0 {
			s.begun = true
			if s.left > 0 {
				s.left -= min(s.left, int64(n))
			}
			return s.buf[:n], nil // an error comes again
		}
		if err != nil {
			bigBuffers.Put(s.buf)
			s.buf = nil
			return nil, err
		}
	}
}

func (s *readerSource) rest() int64 { return 0 }

func (s *readerSource) onWait(f func() error) { s.before = f }

func (s *readerSource) trailer() []field {
	var kept []field
	for _, f := range fieldsOf(*s.trailers, 0) {
		if trailerAllowed(f.name) {
			kept = append(kept, f)
		}
	}
	return kept
}
