package broker

import (
	"context"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"sync"
	"syscall"

	"kb/proxy"
)

// A server of which a person knows an address and no more (any MCP server) says
// where one logs in, and kb asks there. What is on the Internet must not be able
// to have kb ask, register itself and post forms on this machine or in the
// networks that it is in.

// reach is how far a login's requests may go.
type reach struct {
	mu      sync.Mutex
	follows bool // the server that is asked next says so, by where it is itself
	known   bool // it was asked
	private bool // and is in a private network
	public  bool // an address of it on the Internet was dialled
}

type reachKey struct{}

// bounded is a context whose requests are bounded once [follow] was called.
func bounded(ctx context.Context) context.Context {
	r := &reach{}
	ctx = context.WithValue(ctx, reachKey{}, r)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { r.connected() }})
}

// follow has the server that is asked next bound those that it names.
func follow(ctx context.Context) {
	if r, ok := ctx.Value(reachKey{}).(*reach); ok {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.follows, r.known, r.public = true, false, false
	}
}

// connected: the server that was dialled is the one that was meant, for it has shown
// its certificate. Of several addresses two are dialled at once; one on the Internet
// among them is enough to be on the Internet, whichever has answered.
func (r *reach) connected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.follows && !r.known {
		r.known, r.private = true, !r.public
	}
}

// dialable refuses an address that is out of a login's reach. It is a net.Dialer's
// ControlContext.
func dialable(ctx context.Context, _, address string, _ syscall.RawConn) error {
	r, ok := ctx.Value(reachKey{}).(*reach)
	if !ok {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return &net.AddrError{Err: "not an address", Addr: address}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.follows {
		return nil
	}
	if why := proxy.Blocked(at.Addr(), !r.known || r.private); why != "" {
		return fmt.Errorf("refuse to dial %s, which a server on the Internet named", why)
	}
	r.public = r.public || !r.known && proxy.Blocked(at.Addr(), false) == ""
	return nil
}
