package proxy

import (
	"errors"
	"io"
	"net/http"
	"strings"
)

// Reasons for refusing a body. The text is shown to the client.
var (
	errChunk   = errors.New("a chunk is not its size in hex, CRLF, and as many bytes")
	errTrailer = errors.New("a trailer names a field that frames, routes or authenticates, or another method (RFC 9110 §6.5.1)")
)

// source is the content of a message as it arrives, framing removed.
type source interface {
	// next returns the bytes at hand, waiting if there are none; the view is
	// good until the next call. io.EOF is the message's proper end, anything
	// else a broken one.
	next() ([]byte, error)
	// rest is how many bytes are known to follow what next returned last, in
	// the chunk that they came in; 0 when they came in none.
	rest() int64
	// onWait sets what is called before each wait for more bytes; its error is
	// next's. Nil does nothing.
	onWait(func() error)
	// trailer returns the trailer fields, once next has returned io.EOF.
	trailer() []field
}

type framing uint8

const (
	framedDone    framing = iota // nothing is left
	framedLength                 // left bytes
	framedChunks                 // chunks, then trailers
	framedByClose                // everything until the connection closes: responses only
)

// body is a source over HTTP/1 framing.
type body struct {
	rd      *reader
	framing framing
	left    int64 // bytes of the message, or of the present chunk
	begun   bool  // a chunk was read, so its CRLF comes next
	strict  bool  // a client's: chunk extensions are refused
	fields  []field
}

func (b *body) reset(rd *reader, length int64, strict bool) {
	*b = body{rd: rd, left: length, strict: strict, fields: b.fields[:0]}
	switch {
	case length > 0:
		b.framing = framedLength
	case length == chunkedLength:
		b.framing, b.left = framedChunks, 0
	}
}

// done reports whether the message was read to its end.
func (b *body) done() bool { return b.framing == framedDone }

func (b *body) rest() int64 {
	if b.framing == framedChunks {
		return b.left
	}
	return 0
}

func (b *body) onWait(f func() error) { b.rd.before = f }

func (b *body) trailer() []field { return b.fields }

func (b *body) next() ([]byte, error) {
	switch b.framing {
	case framedDone:
		return nil, io.EOF
	case framedByClose:
		p, err := b.rd.next(bufSize)
		if err == io.EOF {
			b.framing = framedDone
		}
		return p, err
	case framedChunks:
		if b.left == 0 {
			if err := b.chunk(); err != nil {
				return nil, err
			}
			if b.framing == framedDone {
				return nil, io.EOF
			}
		}
	}
	p, err := b.rd.next(b.left)
	if err != nil {
		if err == io.EOF {
			err = errTruncated
		}
		return nil, err
	}
	b.left -= int64(len(p))
	if b.left == 0 && b.framing == framedLength {
		b.framing = framedDone
	}
	return p, nil
}

// chunk reads the line that begins a chunk, and the trailers after the last.
func (b *body) chunk() error {
	if b.begun {
		line, err := b.rd.line(2)
		if err != nil {
			return chunkError(err)
		}
		if len(line) != 0 {
			return errChunk
		}
	}
	b.begun = true
	// 1 KiB: extensions are parsed over in responses, and nobody sends long ones.
	line, err := b.rd.line(1 << 10)
	if err != nil {
		return chunkError(err)
	}
	size, ok := parseChunkSize(line, b.strict)
	if !ok {
		return errChunk
	}
	if b.left = size; size > 0 {
		return nil
	}
	for total := 0; ; {
		line, err := b.rd.line(64 << 10)
		if err != nil {
			return chunkError(err)
		}
		if len(line) == 0 {
			b.framing = framedDone
			return nil
		}
		if total += len(line); total > 64<<10 || len(b.fields) == 64 {
			return errHeadTooLarge
		}
		f, err := parseField(string(line))
		if err != nil {
			return err
		}
		if !trailerAllowed(f.name) {
			if b.strict {
				return errTrailer
			}
			continue
		}
		b.fields = append(b.fields, f)
	}
}

// chunkError keeps what says that the bytes stopped, and names the rest.
func chunkError(err error) error {
	if errors.Is(err, errBareLF) || errors.Is(err, errHeadTooLarge) {
		return errChunk
	}
	return err
}

func parseChunkSize(line []byte, strict bool) (int64, bool) {
	var n int64
	for i, c := range line {
		var d byte
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		default:
			// Servers pad sizes with spaces and may send extensions (RFC 9112 §7.1.1).
			return n, !strict && i > 0 && (c == ';' || c == ' ' || c == '\t')
		}
		if i == 15 {
			return 0, false
		}
		n = n<<4 | int64(d)
	}
	return n, len(line) > 0
}

// trailerAllowed refuses what a recipient that merges trailers into the head
// could be fooled by (RFC 9110 §6.5.1): also fields that name another method or
// path, of which the policy would hear too late. To CGI and what descends from
// it "_" in a name is "-".
func trailerAllowed(name string) bool {
	name = http.CanonicalHeaderKey(strings.ReplaceAll(name, "_", "-"))
	switch name {
	case "Transfer-Encoding", "Content-Length", "Host", "Connection", "Te", "Trailer", "Upgrade", "Keep-Alive",
		"Authorization", "Proxy-Authorization", "Proxy-Authenticate", "Www-Authenticate", "Cookie", "Set-Cookie",
		"Content-Encoding", "Content-Type", "Content-Range", "Expect", "Location", "Alt-Svc",
		"X-Http-Method-Override", "X-Http-Method", "X-Method-Override", "X-Original-Url", "X-Rewrite-Url":
		return false
	}
	return !strings.HasPrefix(name, "Proxy-") && !strings.HasPrefix(name, "Kb-")
}

// whole reports whether all of the content is in the buffer already.
func (b *body) whole() bool {
	return b.framing == framedLength && b.left <= int64(b.rd.buffered())
}
