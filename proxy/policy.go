package proxy

import (
	"context"
	"net/http"
	"time"

	"kb/internal/secret"
)

// Policy decides what the proxy does. It is asked once per CONNECT, before any
// secret is touched, and once per request inside an intercepted tunnel or in
// absolute form.
type Policy interface {
	// Route must not block on the network. It is also asked before Authorize
	// for each absolute-form request, of whose answer only Deny, its Refusal
	// and Private are read.
	Route(ctx context.Context, c ConnectInfo) Route
	// Authorize may refresh a token or wait for a human; it honours ctx. A
	// *Refusal is answered to the client as it stands; any other error becomes
	// a refusal that names no detail. It returns only after the intent is in
	// the audit log: the first upstream byte follows.
	Authorize(ctx context.Context, r *RequestInfo) (*Injection, error)
	// Refused is told of every request and CONNECT that the proxy refused by
	// itself (malformed, wrong authority, blocked address), and of clients that
	// broke off the TLS handshake, for the audit. r is nil where no request was
	// understood. If Authorize had let the request pass (its address turned out
	// to be blocked, its body to be malformed), Done is told too.
	Refused(c ConnectInfo, r *RequestInfo, why *Refusal)
}

// Action is what happens to a CONNECT.
type Action uint8

// The zero Action denies.
const (
	Deny Action = iota
	Tunnel
	Intercept
)

// Route is the answer to a CONNECT.
type Route struct {
	Action  Action
	Reason  string   // for the audit and the 403 body
	Refusal *Refusal // for Deny: what the client is told; nil means a plain one from Reason
	Private bool     // a rule or a login's own host lists this authority: private and loopback addresses may be dialled
	// Close is told of the end of a tunnel: bytes from the client, bytes to
	// it, and how it ended. Nil means nobody asks.
	Close func(Outcome)
}

// ConnectInfo is what is known when a client asks for a connection.
type ConnectInfo struct {
	Host string // canonical: lower case, A-labels, no trailing dot; or an IP literal without brackets
	Port uint16
	User string // proxy user name, "kb" or "kb.PROFILE"
}

// RequestInfo is one request, as the client sent it, after the strict parser.
type RequestInfo struct {
	ConnectInfo
	Scheme string // "https", or "http" for absolute-form requests: never with a credential
	Method string
	Path   string // as sent, undecoded, without the query
	Query  string // as sent, without "?"
	Proto  string // "HTTP/1.1" or "HTTP/2.0"
	Length int64  // of the body in bytes, as the client says; -1 when it does not
	// Websocket says that the request opens a websocket: what goes over it is not
	// read, and no policy is asked about it.
	Websocket bool
	// Header is the client's fields, canonical names, without hop-by-hop ones
	// and without Kb-*, which are in Profile and Login. The policy must not
	// keep it: it is overwritten by the connection's next request.
	Header  Header
	Profile string // Kb-Profile, stripped
	Login   string // Kb-Login, stripped
}

// Field is one header field, cookie or query parameter to set.
type Field struct {
	Name  string
	Value secret.Value
}

// Injection is what goes on one request in place of what the client sent. The
// zero Injection lets the request pass with no credential.
type Injection struct {
	Pool        string        // upstream connections are shared only within one pool: the profile's name
	Delete      []string      // header fields to drop, canonical names, besides those that are set
	Header      []Field       // replace every client copy
	Query       []Field       // replace every parameter of that name
	DeleteQuery []string      // query parameters of the client to drop, besides those that are set
	Cookie      []Field       // replace every cookie of that name
	Path        string        // the normalised path that was judged, to be forwarded; "" forwards RequestInfo.Path
	Done        func(Outcome) // told once, when the exchange has ended; nil means nobody asks

	// Rejected is asked when the upstream answers 401: what to send the request
	// with instead; nil hands the 401 to the client. It may refresh a token or
	// wait, honours ctx, and returns an injection only after that one's intent
	// is in the audit log. The request then goes to the same authority, made
	// anew of what the client sent, and the 401 is not shown. It is asked once a
	// request: a Rejected of the injection that it returns never is, that one's
	// Done tells how it fared.
	//
	// again is false if the request cannot be sent a second time, because its
	// body was too large to be kept. The call is then only news, what it
	// returns is not used, and the 401 waits for it: it must return at once.
	//
	// Nil means nobody asks. Requests over plain http never ask.
	Rejected func(ctx context.Context, again bool) *Injection
	// Local answers the request in place of the upstream: nothing is dialled,
	// and of the other fields only Done counts. body is the request's own, at
	// most Limits.LocalBody bytes; a larger one was refused. It may wait and honours ctx.
	Local func(ctx context.Context, body []byte) Reply
}

// Reply is an answer in place of the upstream's.
type Reply struct {
	Status int // 200 to 599
	// Header is sent beside what frames the answer. Without a Content-Type it
	// is application/json.
	Header http.Header
	Body   []byte
}

// Outcome is how an exchange or a tunnel ended.
type Outcome struct {
	Status   int   // status line sent to the client, or the 401 that was not shown; 0 for a tunnel
	Sent     int64 // body bytes to the upstream
	Received int64 // body bytes from the upstream
	Elapsed  time.Duration
	// Err is "" for a whole answer, else one of: "refused" (kb answered),
	// "sent again" (401, and Rejected gave another injection, whose own Done
	// tells the rest), "dial", "tls", "upstream reset", "client gone",
	// "malformed body", "idle limit", "internal error".
	Err string
}
