package testkit

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
)

// Fault is a way for an answer to go wrong.
type Fault uint8

// The faults of [Broken].
const (
	MidBody     Fault = iota // 1000 of 2000 bytes, then a TCP reset
	ShortLength              // 1000 of 2000 bytes, then an orderly close
	BadChunk                 // chunked, with a size that is no number
	NoAnswer                 // an orderly close before any byte
)

// Broken answers every request with a fault. Over HTTP/2, where the frames
// leave no room for the others, each is a stream reset after half a body.
func Broken(f Fault) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 1 {
			if f != NoAnswer {
				w.Header().Set("Content-Length", "2000")
				_, _ = w.Write(make([]byte, 1000))
				_ = http.NewResponseController(w).Flush()
			}
			panic(http.ErrAbortHandler)
		}
		conn, buf, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer func() { _ = conn.Close() }()
		writeFault(buf.Writer, f)
		if f == MidBody {
			reset(conn)
		}
	})
}

func writeFault(w *bufio.Writer, f Fault) {
	switch f {
	case MidBody, ShortLength:
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n")
		_, _ = w.Write(make([]byte, 1000))
	case BadChunk:
		_, _ = io.WriteString(w, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n")
	case NoAnswer:
	}
	_ = w.Flush()
}

// reset makes the next Close of conn send RST. Under TLS the record layer is
// left as it is, without its close_notify.
func reset(conn net.Conn) {
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		if err := t.SetLinger(0); err != nil && !errors.Is(err, net.ErrClosed) {
			panic(err)
		}
		_ = t.Close()
	}
}
