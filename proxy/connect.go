package proxy

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"strings"
)

// serveConnect answers a CONNECT and serves what comes through it, to its end.
func (c *conn) serveConnect() {
	q := &c.q
	info := ConnectInfo{User: c.user}
	host, port, err := parseAuthority(q.target, 0)
	if err != nil {
		c.turnDown(info, nil, &Refusal{Status: http.StatusBadRequest, Code: CodeMalformed, Message: sentence(err)})
		return
	}
	info.Host, info.Port = host, port
	// HTTP/1.0 clients (Python before 3.12) send no Host.
	if q.host != "" {
		// Some leave out the port, whichever it is.
		if h, p, err := parseAuthority(q.host, port); err != nil || h != host || p != port {
			c.turnDown(info, nil, misdirected("the Host of the CONNECT request is not its target"))
			return
		}
	}
	t := &tunnel{target: target{host, port}, info: info, authority: hostPort(host, port, 443)}
	t.route = c.s.policy.Route(c.ctx, info)
	if t.route.Private {
		t.reach = reachPrivate
	}
	switch t.route.Action {
	case Tunnel:
		c.serveTunnel(t)
	case Intercept:
		c.intercept(t)
	default:
		c.turnDown(info, nil, deniedBy(t.route))
	}
}

// deniedBy is what a client is told of a route that denies.
func deniedBy(r Route) *Refusal {
	if r.Refusal != nil {
		return r.Refusal
	}
	reason := r.Reason
	if reason == "" {
		reason = "the session's policy does not allow this host"
	}
	return &Refusal{Status: http.StatusForbidden, Code: CodeDenied, Message: "kb refused the connection: " + reason + "."}
}

func misdirected(why string) *Refusal {
	return &Refusal{Status: http.StatusMisdirectedRequest, Code: CodeMisdirected, Message: "kb refused the request: " + why + "."}
}

// intercept opens the tunnel itself: TLS with a leaf for the CONNECT host, and
// HTTP inside.
func (c *conn) intercept(t *tunnel) {
	c.tun = t
	c.track.enter(phaseHandshake)
	if _, err := c.wr.WriteString("HTTP/1.1 200 OK\r\n\r\n"); err != nil || c.wr.Flush() != nil {
		return
	}
	if c.rd.buffered() == 0 && c.rd.fill(bufSize) != nil {
		return
	}
	const recordHandshake = 0x16 // TLS ContentType, RFC 8446 §5.1
	if c.rd.buf[c.rd.r] != recordHandshake {
		c.refusePlain()
		return
	}
	inner := &interceptedConn{Conn: c.raw, c: c}
	inner.rest.src, inner.rest.buf, inner.rest.r, inner.rest.w = c.raw, c.rd.buf, c.rd.r, c.rd.w
	c.rd = reader{}
	secure := tls.Server(inner, c.s.serverTLS)
	if err := secure.HandshakeContext(c.ctx); err != nil {
		c.handshakeFailed(inner, err)
		return
	}
	inner.rest.buf = nil
	c.nc, c.rd.src = secure, secure
	c.track.enter(phaseIdle)
	if secure.ConnectionState().NegotiatedProtocol == "h2" {
		c.serveH2(secure)
		return
	}
	c.wr.Reset(secure)
	for c.inside() {
	}
	_ = secure.Close()
}

// interceptedConn gives TLS the bytes that came with the CONNECT first, and
// tells the shared configuration which connection it works for.
type interceptedConn struct {
	net.Conn
	c       *conn
	rest    reader
	refused *Refusal
}

func (i *interceptedConn) Read(p []byte) (int, error) {
	if i.rest.buffered() > 0 {
		return i.rest.Read(p)
	}
	return i.Conn.Read(p)
}

// serverConfig is shared by all connections, so that TLS sessions resume.
func (s *Server) serverConfig() *tls.Config {
	return &tls.Config{
		MinVersion:                  tls.VersionTLS12,
		Time:                        s.now,
		NextProtos:                  []string{"h2", "http/1.1"},
		DynamicRecordSizingDisabled: true, // 1 KiB answers would take two writes
		// Asked for every hello, also where a session resumes and no
		// certificate is picked.
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			i, ok := hello.Conn.(*interceptedConn)
			if !ok {
				return nil, errors.New("hello outside an intercepted tunnel")
			}
			t := i.c.tun
			if hello.ServerName != "" {
				// Client programs may send what they were given: the case and a
				// trailing dot do not make another name.
				if name, err := CanonicalHost(hello.ServerName); err != nil || name != t.host {
					i.refused = misdirected("the name in the TLS handshake (SNI) is not the CONNECT target")
					return nil, errors.New(i.refused.Message)
				}
			}
			if !offers(hello, "h2") {
				s.dialAhead(t.target, t.reach)
			}
			return nil, nil
		},
		GetCertificate: func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
			i, ok := hello.Conn.(*interceptedConn)
			if !ok {
				return nil, errors.New("hello outside an intercepted tunnel")
			}
			return s.ca.leaf(i.c.tun.host)
		},
	}
}

func offers(hello *tls.ClientHelloInfo, proto string) bool {
	for _, p := range hello.SupportedProtos {
		if p == proto {
			return true
		}
	}
	return false
}

// handshakeFailed tells the policy why, for the audit: a client that breaks
// off on the certificate most often pins another one.
func (c *conn) handshakeFailed(i *interceptedConn, err error) {
	r := i.refused
	var op *net.OpError
	var notPermitted *NotPermittedError
	switch {
	case r != nil:
	case errors.As(err, &notPermitted):
		r = &Refusal{
			Status: http.StatusForbidden, Code: CodeClientTLS,
			Message: "The session's certificate authority may not sign for this host: start a new session.", Fix: "kb exec -- COMMAND",
		}
	case errors.As(err, &op) && op.Op == "remote error":
		r = &Refusal{
			Status: http.StatusForbidden, Code: CodeClientTLS,
			Message: "The client refused the session's certificate (" + strings.TrimPrefix(op.Err.Error(), "tls: ") +
				"): it pins certificates, or does not read the CA variables of its environment.",
		}
	case isNetError(err) || errors.Is(err, errTruncated):
		r = &Refusal{
			Status: http.StatusForbidden, Code: CodeClientTLS,
			Message: "The client closed the connection during the TLS handshake.",
		}
	default:
		r = &Refusal{
			Status: http.StatusForbidden, Code: CodeClientTLS,
			Message: "The TLS handshake with the client failed: " + strings.TrimPrefix(err.Error(), "tls: ") + ".",
		}
	}
	c.s.policy.Refused(c.tun.info, nil, r)
}

// refusePlain answers plain HTTP inside an intercepted tunnel, where a
// credential would travel in the open.
func (c *conn) refusePlain() {
	r := &Refusal{
		Status: http.StatusBadRequest, Code: CodePlainHTTP,
		Message: "kb refused the request: this host gets a credential, and credentials travel on https only.",
	}
	c.s.policy.Refused(c.tun.info, nil, r)
	if b := c.rd.buf[c.rd.r]; b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' {
		c.q = request{}
		c.refuse(r, false)
	}
	c.linger()
}

// inside serves one request of an intercepted tunnel.
func (c *conn) inside() bool {
	if !c.readHead() {
		return false
	}
	c.begin(c.tun.info, "https")
	if r := c.judgeInside(&c.q); r != nil {
		c.turnDown(c.tun.info, &c.x.info, r)
		return false
	}
	return c.carry(c.tun)
}

// judgeInside refuses what names another place than the tunnel's, and what
// has no business in one.
func (c *conn) judgeInside(q *request) *Refusal {
	if r := checkMethod(q.method); r != nil {
		return r
	}
	if q.target[0] != '/' && (q.target != "*" || q.method != http.MethodOptions) {
		return &Refusal{
			Status: http.StatusBadRequest, Code: CodeMalformed,
			Message: "kb refused the request: inside a tunnel its target must be a path.",
		}
	}
	if q.host == "" && q.minor == 0 {
		return nil
	}
	if host, port, err := parseAuthority(q.host, 443); err != nil || host != c.tun.host || port != c.tun.port {
		return misdirected("its Host is not the CONNECT target")
	}
	return nil
}

// checkMethod refuses TRACE, whose answer repeats the request with what was
// injected, and CONNECT inside a tunnel; in any case, as some servers read it.
func checkMethod(method string) *Refusal {
	switch strings.ToUpper(method) {
	case http.MethodTrace, "TRACK", http.MethodConnect:
		return &Refusal{
			Status: http.StatusMethodNotAllowed, Code: CodeMethod,
			Message: "kb refused the request: " + method + " does not pass.",
		}
	}
	return nil
}
