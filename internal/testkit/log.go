package testkit

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"hash"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// bodyKept is how much of a request's body the log keeps: enough for every API
// call and for the first packets of an upload, little enough that a 500 MB push
// costs nothing.
const bodyKept = 64 << 10

// Request is one request as it arrived at an origin.
type Request struct {
	Origin string // the name the origin was started under
	Port   uint16
	Time   time.Time
	Method string
	Host   string // Host, or :authority
	Path   string // as sent, undecoded, without the query
	Query  string // as sent, without "?"
	Proto  string // "HTTP/1.1" or "HTTP/2.0"
	Header http.Header

	TLSVersion uint16 // tls.VersionTLS13, …; 0 for plain http
	ALPN       string // negotiated protocol: "h2", "http/1.1" or ""
	ServerName string // SNI
	Peer       string // address of the connection: equal for requests that shared it

	// The body, as far as the handler has read it so far: its size, SHA-256 in
	// hex, first 64 KiB, and the trailers that followed.
	BodyBytes  int64
	BodySHA256 string
	Body       []byte
	Trailer    http.Header
	Status     int  // of the answer; 0 until its header is written
	Ended      bool // the handler has returned
}

// Bearer is the credential of an Authorization header of any scheme but Basic,
// without its scheme; "" when there is none.
func (r Request) Bearer() string {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || strings.EqualFold(scheme, "basic") {
		return ""
	}
	return token
}

// BasicAuth is the pair of an Authorization header of RFC 7617.
func (r Request) BasicAuth() (user, password string, ok bool) {
	return (&http.Request{Header: r.Header}).BasicAuth()
}

// Credential is the token that r carries: of Bearer or token, the password of
// Basic, or x-api-key; "" when it carries none.
func (r Request) Credential() string {
	if _, p, ok := r.BasicAuth(); ok {
		return p
	}
	if t := r.Bearer(); t != "" {
		return t
	}
	return r.Header.Get("X-Api-Key")
}

// entry is a Request that is still being written.
type entry struct {
	mu  sync.Mutex
	req Request
	sum hash.Hash
}

func (e *entry) snapshot() Request {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.req
	r.Body = slices.Clone(r.Body)
	r.Trailer = r.Trailer.Clone()
	r.BodySHA256 = hex.EncodeToString(e.sum.Sum(nil))
	return r
}

// record appends an entry for r and makes r's body write into it.
func (o *Origin) record(r *http.Request, port uint16) *entry {
	e := &entry{sum: sha256.New(), req: Request{
		Origin: o.Name, Port: port, Time: time.Now(), Method: r.Method, Host: r.Host,
		Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Proto: r.Proto, Header: r.Header.Clone(), Peer: r.RemoteAddr,
	}}
	// RequestURI keeps the bytes that EscapedPath may have normalised.
	if path, _, _ := strings.Cut(r.RequestURI, "?"); strings.HasPrefix(path, "/") {
		e.req.Path = path
	}
	if r.TLS != nil {
		e.req.TLSVersion, e.req.ALPN, e.req.ServerName = r.TLS.Version, r.TLS.NegotiatedProtocol, r.TLS.ServerName
	}
	if r.Body != nil {
		r.Body = &recordedBody{ReadCloser: r.Body, e: e, r: r}
	}
	o.mu.Lock()
	o.log = append(o.log, e)
	o.mu.Unlock()
	return e
}

type recordedBody struct {
	io.ReadCloser
	e *entry
	r *http.Request
}

func (b *recordedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	e := b.e
	e.mu.Lock()
	defer e.mu.Unlock()
	e.sum.Write(p[:n])
	e.req.BodyBytes += int64(n)
	if room := bodyKept - len(e.req.Body); room > 0 {
		e.req.Body = append(e.req.Body, p[:min(n, room)]...)
	}
	if err == io.EOF {
		e.req.Trailer = b.r.Trailer.Clone()
	}
	return n, err
}

// statusWriter notes the status. Unwrap lets http.ResponseController through.
type statusWriter struct {
	http.ResponseWriter
	e *entry
}

func (w *statusWriter) WriteHeader(code int) {
	if code >= 200 || code == http.StatusSwitchingProtocols {
		w.note(code)
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.note(http.StatusOK)
	return w.ResponseWriter.Write(p)
}

func (w *statusWriter) note(code int) {
	w.e.mu.Lock()
	if w.e.req.Status == 0 {
		w.e.req.Status = code
	}
	w.e.mu.Unlock()
}

func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Flush implements http.Flusher for handlers that ask for it by type.
func (w *statusWriter) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Requests is what arrived at this origin so far, in order of arrival.
func (o *Origin) Requests() []Request {
	o.mu.Lock()
	log := slices.Clone(o.log)
	o.mu.Unlock()
	out := make([]Request, len(log))
	for i, e := range log {
		out[i] = e.snapshot()
	}
	return out
}

// Forget empties the origin's log.
func (o *Origin) Forget() {
	o.mu.Lock()
	o.log = nil
	o.mu.Unlock()
}

// Handshakes counts the TLS handshakes that this origin completed, and lists
// what went wrong with the others.
func (o *Origin) Handshakes() (completed int, failed []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.handshakes, slices.Clone(o.tlsErrors)
}

func (o *Origin) noteHandshake(tls.ConnectionState) error {
	o.mu.Lock()
	o.handshakes++
	o.mu.Unlock()
	return nil
}

// Write receives the server's error log, of which failed handshakes are kept.
func (o *Origin) Write(p []byte) (int, error) {
	if line := strings.TrimSpace(string(p)); strings.Contains(line, "TLS handshake error") {
		o.mu.Lock()
		o.tlsErrors = append(o.tlsErrors, line)
		o.mu.Unlock()
	}
	return len(p), nil
}
