package oauth

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
)

// errNotHTTP stands for what net/http says of an answer that it cannot read. It
// quotes the answer's lines (and an HTTP/2 server's last words), in which a
// server can repeat what it was sent.
var errNotHTTP = errors.New("what it answered is not HTTP")

// Quiet is a transport like next, whose errors quote nothing of what a server
// sent. Those from before a connection stands are next's own: nobody has been
// told anything yet.
func Quiet(next http.RoundTripper) http.RoundTripper { return quiet{next} }

type quiet struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (q quiet) RoundTrip(req *http.Request) (*http.Response, error) {
	var connected atomic.Bool
	req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}))
	res, err := q.next.RoundTrip(req)
	if err != nil {
		if connected.Load() {
			err = unquoted(err)
		}
		return nil, err
	}
	res.Body = quietBody{res.Body}
	return res, nil
}

type quietBody struct{ io.ReadCloser }

func (b quietBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = unquoted(err)
	}
	return n, err
}

// unquoted is what of an error this machine says itself.
func unquoted(err error) error {
	var network *net.OpError
	var alert tls.AlertError
	var timeout net.Error
	switch {
	case errors.As(err, &network):
		return network
	case errors.As(err, &alert):
		return alert
	case errors.As(err, &timeout) && timeout.Timeout():
		return timeout
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF} {
		if errors.Is(err, known) {
			return known
		}
	}
	return errNotHTTP
}
