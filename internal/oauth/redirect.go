package oauth

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// defaultRedirect is where browsers are sent when nothing else is said
// (RFC 8252 section 7.3: the address and not the name, any port).
const defaultRedirect = "http://127.0.0.1:{port}/callback"

// redirect is a redirect URI, taken apart.
type redirect struct {
	uri   string // whole; with {port} until a port is known
	host  string // without the port: "127.0.0.1" or "localhost"; empty when paste
	port  int    // 0: any free one
	path  string
	paste bool // nothing of kb listens there: the person pastes the address
}

// parseRedirect reads a redirect URI: http on 127.0.0.1 or localhost, with a
// port, {port} or none (RFC 8252 has servers take any port then, and 80 is no
// port for a person's program), or https anywhere, for pasting.
func parseRedirect(raw string) (redirect, error) {
	if raw == "" {
		raw = defaultRedirect
	}
	u, err := url.Parse(strings.Replace(raw, ":{port}", "", 1))
	if err != nil || u.Host == "" || u.Opaque != "" || u.User != nil || strings.Contains(raw, "#") {
		return redirect{}, fmt.Errorf("read redirect URI %q: not an absolute URL", short(raw))
	}
	if u.Scheme == "https" {
		return redirect{uri: raw, path: u.Path, paste: true}, nil
	}
	host := u.Hostname()
	if u.Scheme != "http" || (host != "127.0.0.1" && host != "localhost") {
		return redirect{}, fmt.Errorf("refuse redirect URI %q: neither https nor http on 127.0.0.1 or localhost", short(raw))
	}
	if u.RawQuery != "" {
		return redirect{}, fmt.Errorf("refuse redirect URI %q: it has a query", short(raw))
	}
	r := redirect{uri: raw, host: host, path: u.EscapedPath()}
	if p := u.Port(); p != "" {
		if r.port, err = strconv.Atoi(p); err != nil || r.port < 1 || r.port > 65535 {
			return redirect{}, fmt.Errorf("read redirect URI %q: no such port", short(raw))
		}
	}
	return r, nil
}

// at is r on a port.
func (r redirect) at(port int) redirect {
	if r.port == 0 {
		r.port = port
		r.uri = "http://" + r.host + ":" + strconv.Itoa(port) + r.path
	}
	return r
}

// authority is the Host of a request to r.
func (r redirect) authority() string {
	return r.host + ":" + strconv.Itoa(r.port)
}
