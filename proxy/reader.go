package proxy

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// Reasons for refusing a head. The text is shown to the client.
var (
	errHeadTooLarge = errors.New("the request head is larger than 64 KiB")
	errBareLF       = errors.New("a line does not end in CRLF")
	errEmptyLine    = errors.New("an empty line comes before the request line")
	errNotHTTP      = errors.New("the first line is not that of HTTP/1.0 or HTTP/1.1")
	errTruncated    = io.ErrUnexpectedEOF
)

const (
	// bufSize holds one TLS record (RFC 8446 §5.1): more at a time never comes.
	bufSize = 16 << 10
	// smallSize is enough for most heads with a small body. It is what a
	// connection holds that waits.
	smallSize = 4 << 10
	// writeSize lets a head and a small body leave in one record; larger
	// pieces are written from where they are.
	writeSize = 8 << 10
)

// bigBuffers are lent to readers while a body of more than smallSize passes.
var bigBuffers = sync.Pool{New: func() any { return new([bufSize]byte) }}

// reader is a buffer over one side's bytes that hands out views of itself, so
// that a body crosses the proxy without a copy of its own.
type reader struct {
	src  io.Reader
	buf  []byte
	r, w int
	// before is called before every read of src, which may wait: it flushes
	// what the other side is still to get. Nil does nothing.
	before func() error
	big    *[bufSize]byte // buf, when it is lent
}

// release gives a lent buffer back, once all of it was read.
func (b *reader) release() {
	if b.big == nil || b.r != b.w {
		return
	}
	bigBuffers.Put(b.big)
	b.big, b.buf, b.r, b.w = nil, nil, 0, 0
}

func (b *reader) buffered() int { return b.w - b.r }

// fill reads once, making room first. It grows the buffer only up to limit
// unread bytes.
func (b *reader) fill(limit int) error {
	if b.r == b.w {
		b.r, b.w = 0, 0
		if cap(b.buf) > bufSize {
			b.buf = nil // it had grown for a large head
		}
	}
	if b.buf == nil {
		b.buf = make([]byte, smallSize)
	}
	if b.w == len(b.buf) {
		switch {
		case b.r > 0:
			b.w = copy(b.buf, b.buf[b.r:b.w])
			b.r = 0
		case len(b.buf) >= limit:
			return errHeadTooLarge
		default:
			grown := make([]byte, min(2*len(b.buf), limit))
			b.w = copy(grown, b.buf)
			b.buf, b.big = grown, nil
		}
	}
	if b.before != nil {
		if err := b.before(); err != nil {
			return err
		}
	}
	n, err := b.src.Read(b.buf[b.w:])
	b.w += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// Read gives what is buffered, then reads from the source directly.
func (b *reader) Read(p []byte) (int, error) {
	if b.r < b.w {
		n := copy(p, b.buf[b.r:b.w])
		b.r += n
		return n, nil
	}
	return b.src.Read(p)
}

// next returns up to limit bytes, reading if nothing is buffered. The view is
// good until the next call.
func (b *reader) next(limit int64) ([]byte, error) {
	if b.r == b.w {
		if limit > smallSize && len(b.buf) < bufSize {
			b.big = bigBuffers.Get().(*[bufSize]byte)
			b.buf, b.r, b.w = b.big[:], 0, 0
		}
		if err := b.fill(bufSize); err != nil {
			return nil, err
		}
	}
	n := b.w - b.r
	if int64(n) > limit {
		n = int(limit)
	}
	p := b.buf[b.r : b.r+n]
	b.r += n
	return p, nil
}

// line returns the next line without its CRLF; a bare LF is an error.
func (b *reader) line(limit int) ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(b.buf[b.r+scanned:b.w], '\n'); i >= 0 {
			n := scanned + i
			line := b.buf[b.r : b.r+n]
			if n+1 > limit {
				return nil, errHeadTooLarge
			}
			if n == 0 || line[n-1] != '\r' {
				return nil, errBareLF
			}
			b.r += n + 1
			return line[:n-1], nil
		}
		scanned = b.w - b.r
		if scanned >= limit {
			return nil, errHeadTooLarge
		}
		if err := b.fill(limit); err != nil {
			if err == io.EOF {
				err = errTruncated
			}
			return nil, err
		}
	}
}

// head returns a whole head with its empty line. With strict, what no head of
// RFC 9112 can begin with is refused at once, without waiting for more.
// first is called when the first byte is there. io.EOF means that the other
// side closed between messages.
func (b *reader) head(limit int, strict bool, first func()) ([]byte, error) {
	scan, start := 0, 0 // relative to b.r, which fill may move
	for {
		window := b.buf[b.r:b.w]
		for {
			i := bytes.IndexByte(window[scan:], '\n')
			if i < 0 {
				scan = len(window)
				break
			}
			end := scan + i
			line := window[start:end]
			cr := len(line) > 0 && line[len(line)-1] == '\r'
			if strict && !cr {
				return nil, errBareLF
			}
			if cr {
				line = line[:len(line)-1]
			}
			scan = end + 1
			if scan > limit {
				return nil, errHeadTooLarge
			}
			if len(line) == 0 {
				if start == 0 {
					return nil, errEmptyLine
				}
				b.r += scan
				return window[:scan], nil
			}
			if strict && start == 0 && !httpLine(line) {
				return nil, errNotHTTP
			}
			start = scan
		}
		if len(window) >= limit {
			return nil, errHeadTooLarge
		}
		if err := b.fill(limit); err != nil {
			if err == io.EOF && len(window) > 0 {
				err = errTruncated
			}
			return nil, err
		}
		if len(window) == 0 && first != nil {
			first()
		}
	}
}

func httpLine(line []byte) bool {
	n := len(line) - len(" HTTP/1.x")
	return n > 0 && string(line[n:n+8]) == " HTTP/1." && (line[n+8] == '0' || line[n+8] == '1')
}
