package proxy

import (
	"bufio"
	"io"
	"net/http"
	"strconv"
	"time"
)

// relayBody passes the content and the trailers of an answer to the client.
// Every body of a request that is not tunnelled goes through here: it is where
// echoed secrets will be scrubbed. That is not done yet; bytes pass as they
// come.
//
// The source flushes the client before it waits for more, so that an event
// stream is not held back. The end stays in the client's buffer.
func relayBody(x *exchange, src source) error {
	for {
		p, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		x.track.touch()
		x.got += int64(len(p))
		if x.cl.content(p, src.rest()) != nil {
			return errClientGone
		}
	}
	if x.cl.end(src.trailer()) != nil {
		return errClientGone
	}
	return nil
}

// chunker writes content, in chunks if chunked. Chunks keep the size they came
// with where that is known: a large one then passes without framing of its own
// between its pieces.
type chunker struct {
	w       *bufio.Writer
	chunked bool
	left    int64 // bytes of the present chunk still to come
}

// write writes a piece of content, of whose chunk rest more bytes are known to
// follow.
func (k *chunker) write(p []byte, rest int64) error {
	if !k.chunked {
		_, err := k.w.Write(p)
		return err
	}
	if k.left == 0 {
		k.left = int64(len(p)) + rest
		var size [18]byte
		b := append(strconv.AppendInt(size[:0], k.left, 16), '\r', '\n')
		if _, err := k.w.Write(b); err != nil {
			return err
		}
	}
	if _, err := k.w.Write(p); err != nil {
		return err
	}
	if k.left -= int64(len(p)); k.left > 0 {
		return nil
	}
	_, err := k.w.WriteString("\r\n")
	return err
}

// end writes the last chunk and the trailers.
func (k *chunker) end(trailers []field) error {
	if !k.chunked {
		return nil
	}
	return writeLastChunk(k.w, trailers)
}

func writeLastChunk(w *bufio.Writer, trailers []field) error {
	if len(trailers) == 0 {
		_, err := w.WriteString("0\r\n\r\n")
		return err
	}
	b := appendFields([]byte("0\r\n"), trailers)
	_, err := w.Write(append(b, "\r\n"...))
	return err
}

// interim relays a 1xx answer at once (RFC 9110 §15.2).
func (c *conn) interim(a *answer) error {
	c.x.scratch = append(appendStatus(c.x.scratch[:0], a), "\r\n"...)
	if _, err := c.wr.Write(c.x.scratch); err != nil {
		return err
	}
	return c.wr.Flush()
}

// head writes the head of the final answer with the framing of this hop.
func (c *conn) head(a *answer, closing bool) error {
	b := appendStatus(c.x.scratch[:0], a)
	c.out = chunker{w: c.wr}
	switch {
	case a.length >= 0 && a.status != http.StatusNoContent:
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, a.length, 10)
		b = append(b, "\r\n"...)
	case a.bodiless:
	case c.q.minor == 1:
		c.out.chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		c.x.closing = true // HTTP/1.0: the content ends with the connection
	}
	switch {
	case closing || c.x.closing:
		b = append(b, "Connection: close\r\n"...)
	case c.q.minor == 0:
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.x.scratch = b
	_, err := c.wr.Write(b)
	return err
}

func (c *conn) content(p []byte, rest int64) error { return c.out.write(p, rest) }

func (c *conn) flush() error { return c.wr.Flush() }

func (c *conn) finish() error { return c.wr.Flush() }

func (c *conn) end(trailers []field) error { return c.out.end(trailers) }

// patience: over HTTP/1.1 the answer is complete, whatever the client still
// sends; Limits.Linger bounds that.
func (c *conn) patience() time.Duration { return 0 }

// stop ends the reading of a body that nobody waits for any more. What was
// written to the client still arrives.
func (c *conn) stop() {
	c.linger()
	_ = c.raw.Close()
}

// appendStatus writes the status line and the end-to-end fields.
func appendStatus(b []byte, a *answer) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(a.status), 10)
	b = append(b, ' ')
	b = append(b, a.reason...)
	b = append(b, "\r\n"...)
	return appendFields(b, a.fields)
}
