package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"time"
)

// Bounds of the protocol.
const (
	// maxRequest: bytes of a client's line. The longest has 100.
	maxRequest = 64 << 10
	// maxReply: bytes of a session's line. A session with 64 requests waiting,
	// their paths cut at MaxText, has some 100 KiB.
	maxReply = 256 << 10
	// MaxText: bytes of one text in a status. A path may have 64 KiB; what a
	// person is shown of it has room for less.
	MaxText = 2 << 10
	// maxConnections: of a session, at once. A person has a dashboard or two.
	maxConnections = 64
	// requestTime bounds how long a session waits for the line of who connected,
	// and a client for the answer.
	requestTime = 5 * time.Second
	// dyingTime: what a killed process takes from its last open socket to its end
	// is far below that, also on a busy machine.
	dyingTime = 500 * time.Millisecond
	// writeTime: a watcher that takes nothing for so long is let go.
	writeTime = 5 * time.Second
	// watchEvery is the least time between two messages of a watch: ten a second
	// are as many as a screen has use for.
	watchEvery = 100 * time.Millisecond
)

// Verbs.
const (
	verbStatus = "status"
	verbWatch  = "watch"
	verbAnswer = "answer"
	verbStop   = "stop"
)

// request is a client's line.
type request struct {
	Verb    string `json:"verb"`
	Request string `json:"request,omitempty"` // id, of an answer
	Answer  Answer `json:"answer,omitempty"`
}

// reply is a session's line: a status, an error, or that it was done.
type reply struct {
	Status *Status `json:"status,omitempty"`
	Done   bool    `json:"done,omitempty"`
	Error  string  `json:"error,omitempty"` // one of errorNames, or "failed"
	Why    string  `json:"why,omitempty"`
}

// errorNames are the errors that a client tells apart.
var errorNames = map[string]error{
	"gone": ErrGone, "no-request": ErrNoRequest, "refused": ErrRefused, "busy": ErrBusy,
}

func replyOf(err error) reply {
	if err == nil {
		return reply{Done: true}
	}
	for name, known := range errorNames {
		if errors.Is(err, known) {
			return reply{Error: name, Why: err.Error()}
		}
	}
	return reply{Error: "failed", Why: err.Error()}
}

func (r reply) err() error {
	if r.Error == "" {
		return nil
	}
	if known := errorNames[r.Error]; known != nil {
		return &answeredError{known, r.Why}
	}
	return errors.New(r.Why)
}

// answeredError has the words of the session, and is the error that they are of.
type answeredError struct {
	err error
	why string
}

func (e *answeredError) Error() string {
	if e.why == "" {
		return e.err.Error()
	}
	return e.why
}

func (e *answeredError) Unwrap() error { return e.err }

var errLong = errors.New("read message: it is too long")

// lines reads lines of at most limit bytes each.
type lines struct {
	reader *bufio.Reader
	limit  int
}

func newLines(r io.Reader, limit int) *lines { return &lines{bufio.NewReader(r), limit} }

func (l *lines) next(v any) error {
	var line []byte
	for {
		part, err := l.reader.ReadSlice('\n')
		if len(line)+len(part) > l.limit {
			return errLong
		}
		line = append(line, part...)
		if err == nil {
			break
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return err
		}
	}
	if err := json.Unmarshal(line, v); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	return nil
}

// send writes one line, within writeTime.
func send(c net.Conn, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
		return err
	}
	_, err = c.Write(append(line, '\n'))
	return err
}

// fit cuts a status to what a line holds: each text, and of the waiting requests
// those that came last.
func fit(s Status) Status {
	for _, text := range []*string{&s.Profile, &s.Agent, &s.Dir, &s.Remote, &s.Reason, &s.Isolation, &s.Proxy} {
		cut(text)
	}
	s.Hosts = append([]Host(nil), s.Hosts...)
	for i := range s.Hosts {
		h := &s.Hosts[i]
		for _, text := range []*string{&h.Host, &h.Provider, &h.Profile} {
			cut(text)
		}
	}
	s.Waiting = append([]Request(nil), s.Waiting...)
	for i := range s.Waiting {
		r := &s.Waiting[i]
		for _, text := range []*string{
			&r.Profile, &r.Provider, &r.Login, &r.Method, &r.Host, &r.Path, &r.Repository, &r.Git,
			&r.Policy, &r.Rule, &r.Agent, &r.Dir, &r.Type,
		} {
			cut(text)
		}
	}
	for {
		line, err := json.Marshal(reply{Status: &s})
		if err != nil || len(line) < maxReply {
			return s
		}
		switch n := len(s.Waiting); {
		case n > 1:
			s.Unlisted += n - n/2
			s.Waiting = s.Waiting[:n/2]
		case len(s.Hosts) > 0:
			s.Hosts = s.Hosts[:len(s.Hosts)/2]
		default:
			s.Also = s.Also[:len(s.Also)/2]
		}
	}
}

// cut shortens a text to MaxText bytes, and marks it.
func cut(text *string) {
	if len(*text) > MaxText {
		*text = (*text)[:MaxText] + "…"
	}
}
