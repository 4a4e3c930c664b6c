package proxy

import (
	"net/http"
	"strings"
)

// absolute serves a request in absolute form (RFC 9112 §3.2.2): plain http to
// an origin server, which never gets a credential.
func (c *conn) absolute() bool {
	q := &c.q
	t, r := c.parseAbsolute()
	if r != nil {
		c.turnDown(t.info, nil, r)
		return false
	}
	t.route = c.s.policy.Route(c.ctx, t.info)
	t.reach = reachTunnel
	if t.route.Private {
		t.reach = reachPrivate
	}
	switch {
	case t.route.Action == Deny:
		r = deniedBy(t.route)
	case !t.route.Private && !tunnelPort(t.port):
		r = portRefusal()
	}
	if r != nil {
		c.turnDown(t.info, nil, r)
		return false
	}
	q.websocket = false
	c.begin(t.info, "http")
	return c.carry(t)
}

// parseAbsolute reads the target of an absolute-form request and leaves the
// origin form in c.q. The tunnel it returns is never nil.
func (c *conn) parseAbsolute() (*tunnel, *Refusal) {
	q := &c.q
	t := &tunnel{info: ConnectInfo{User: c.user}}
	if r := checkMethod(q.method); r != nil {
		return t, r
	}
	refuse := func(why string) (*tunnel, *Refusal) {
		return t, &Refusal{Status: http.StatusBadRequest, Code: CodeMalformed, Message: "kb refused the request: " + why + "."}
	}
	scheme, rest, ok := strings.Cut(q.target, "://")
	switch {
	case !ok:
		return refuse("a proxy is asked by CONNECT or with a whole http URI")
	case strings.EqualFold(scheme, "https"):
		return refuse("https goes through CONNECT, a proxy asked for it in the open would see all of it")
	case !strings.EqualFold(scheme, "http"):
		return refuse("the scheme of its URI is not http")
	}
	authority, path := rest, "/"
	if i := strings.IndexAny(rest, "/?"); i >= 0 {
		authority, path = rest[:i], rest[i:]
		if path[0] == '?' {
			path = "/" + path
		}
	}
	host, port, err := parseAuthority(authority, 80)
	if err != nil {
		return t, malformed(err)
	}
	t.target = target{host, port}
	t.info.Host, t.info.Port = host, port
	t.authority = hostPort(host, port, 80)
	if q.host != "" {
		if h, p, err := parseAuthority(q.host, 80); err != nil || h != host || p != port {
			return t, misdirected("its Host is not the host of its URI")
		}
	}
	q.target = path
	return t, nil
}
