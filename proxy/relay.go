package proxy

import (
	"bufio"
	"io"
	"strconv"
)

// relayBody passes the content of an answer to the client. Every body of an
// intercepted request goes through here, and through relayTrailers after it:
// it is where echoed secrets will be scrubbed. That is not done yet; bytes
// pass as they come.
//
// It flushes when the upstream has nothing more at hand, so that an event
// stream is not held back, and leaves the end in the buffer.
func relayBody(c *conn, src source, chunked bool) error {
	for {
		p, err := src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		c.touch()
		c.x.got += int64(len(p))
		if err := writeContent(c.wr, p, chunked); err != nil {
			return errClientGone
		}
		if !src.ready() {
			if err := c.wr.Flush(); err != nil {
				return errClientGone
			}
		}
	}
	if chunked {
		if err := writeLastChunk(c.wr, src.trailer()); err != nil {
			return errClientGone
		}
	}
	return nil
}

// writeContent writes a piece of a body, as a chunk of its own if chunked.
func writeContent(w *bufio.Writer, p []byte, chunked bool) error {
	if !chunked {
		_, err := w.Write(p)
		return err
	}
	var size [18]byte
	b := append(strconv.AppendInt(size[:0], int64(len(p)), 16), '\r', '\n')
	if _, err := w.Write(b); err != nil {
		return err
	}
	if _, err := w.Write(p); err != nil {
		return err
	}
	_, err := w.WriteString("\r\n")
	return err
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

// writeInterim relays a 1xx answer at once (RFC 9110 §15.2).
func (c *conn) writeInterim(a *answer) error {
	c.x.scratch = append(appendStatus(c.x.scratch[:0], a), "\r\n"...)
	if _, err := c.wr.Write(c.x.scratch); err != nil {
		return err
	}
	return c.wr.Flush()
}

// writeHead writes the head of the final answer with the framing of this hop,
// and says whether its content goes in chunks.
func (c *conn) writeHead(a *answer, closing bool) (chunked bool, err error) {
	b := appendStatus(c.x.scratch[:0], a)
	switch {
	case a.length >= 0 && a.status != 204:
		b = append(b, "Content-Length: "...)
		b = appendInt(b, a.length)
		b = append(b, "\r\n"...)
	case a.bodiless:
	case c.q.minor == 1:
		chunked = true
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	default:
		c.q.close = true // HTTP/1.0: the content ends with the connection
	}
	if closing || c.q.close {
		b = append(b, "Connection: close\r\n"...)
	} else if c.q.minor == 0 {
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(b, "\r\n"...)
	c.x.scratch = b
	_, err = c.wr.Write(b)
	return chunked, err
}

// appendStatus writes the status line and the end-to-end fields.
func appendStatus(b []byte, a *answer) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = appendInt(b, int64(a.status))
	b = append(b, ' ')
	b = append(b, a.reason...)
	b = append(b, "\r\n"...)
	return appendFields(b, a.fields)
}
