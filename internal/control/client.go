package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Client speaks to one session. Each call has a connection of its own, and looks
// anew whose socket it is.
type Client struct {
	dir   string
	entry Entry
	guard *guard
}

// FalseSocketError says that a socket is not its session's own. Somebody may have
// put it there to have a person answer what no session asks.
type FalseSocketError struct {
	ID  string
	Why string
}

func (e *FalseSocketError) Error() string {
	return fmt.Sprintf("speak to session %s: the socket is not its own: %s", e.ID, e.Why)
}

// Dial finds the session whose id begins with id, and sees that it answers. Of
// several names with that very id it is the one that does.
func Dial(ctx context.Context, dir, id string) (*Client, error) {
	entries, err := List(dir)
	if err != nil {
		return nil, err
	}
	entry, err := Find(entries, id)
	var ambiguous *AmbiguousError
	if errors.As(err, &ambiguous) {
		for _, e := range entries {
			if e.ID != id {
				continue
			}
			if c := NewClient(dir, e); c.answers(ctx) {
				return c, nil
			}
		}
	}
	if err != nil {
		return nil, err
	}
	c := NewClient(dir, entry)
	if _, err := c.Status(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// NewClient speaks to a session that List has found. It connects to nothing yet.
func NewClient(dir string, e Entry) *Client {
	return &Client{dir: dir, entry: e, guard: newGuard(dir)}
}

func (c *Client) answers(ctx context.Context) bool {
	_, err := c.Status(ctx)
	return err == nil
}

// Status asks what the session is doing.
func (c *Client) Status(ctx context.Context) (Status, error) {
	r, err := c.ask(ctx, request{Verb: verbStatus})
	if err != nil {
		return Status{}, err
	}
	return c.status(r)
}

// Answer answers a request that waits, by its whole id.
func (c *Client) Answer(ctx context.Context, id string, a Answer) error {
	return c.do(ctx, request{Verb: verbAnswer, Request: id, Answer: a})
}

// Stop has the session end. It returns when the session knows; the end is that of
// a Watch.
func (c *Client) Stop(ctx context.Context) error {
	return c.do(ctx, request{Verb: verbStop})
}

func (c *Client) do(ctx context.Context, r request) error {
	got, err := c.ask(ctx, r)
	if err == nil && !got.Done {
		err = c.false("it answers with something else")
	}
	return err
}

// Watch calls fn with the session's status, at once and after each change, until
// ctx ends, fn returns an error, which it returns, or the session ends (ErrGone).
func (c *Client) Watch(ctx context.Context, fn func(Status) error) error {
	conn, err := c.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if err := send(conn, request{Verb: verbWatch}); err != nil {
		return c.failed(ctx, err)
	}
	// What comes while fn takes its time is replaced by what comes after it, so
	// that the session is never kept waiting.
	latest, ended := make(chan Status, 1), make(chan error, 1)
	go func() { ended <- c.receive(ctx, conn, latest) }()
	for {
		select {
		case s := <-latest:
			if err := fn(s); err != nil {
				return err
			}
		case err := <-ended:
			select {
			case s := <-latest:
				err = errors.Join(fn(s), err)
			default:
			}
			return err
		}
	}
}

// receive puts each status in latest, which has room for one.
func (c *Client) receive(ctx context.Context, conn net.Conn, latest chan Status) error {
	in := newLines(conn, maxReply)
	for {
		var r reply
		if err := in.next(&r); err != nil {
			return c.failed(ctx, err)
		}
		status, err := c.status(r)
		if err != nil {
			return err
		}
		select {
		case <-latest: // one that nobody took
		default:
		}
		latest <- status
	}
}

// ask sends a request and reads the one answer to it.
func (c *Client) ask(ctx context.Context, r request) (reply, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	conn, err := c.connect(ctx)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	// Who is refused was told so, and cannot write any more: the answer says why.
	sent := send(conn, r)
	var got reply
	if err := newLines(conn, maxReply).next(&got); err != nil {
		return reply{}, c.failed(ctx, errors.Join(err, sent))
	}
	return got, got.err()
}

// status takes the session's word for all but who it is.
func (c *Client) status(r reply) (Status, error) {
	if err := r.err(); err != nil {
		return Status{}, err
	}
	if r.Status == nil || r.Status.ID != c.entry.ID || r.Status.PID != c.entry.PID {
		return Status{}, c.false("it speaks for another one")
	}
	for i := range r.Status.Waiting {
		if r.Status.Waiting[i].Session != c.entry.ID { // the answer would go there
			return Status{}, c.false("it asks for another one")
		}
	}
	return *r.Status, nil
}

func (c *Client) false(why string) error { return &FalseSocketError{ID: c.entry.ID, Why: why} }

// connect connects to the session and no other: to the process that the name
// says, which is no session's child.
func (c *Client) connect(ctx context.Context) (*net.UnixConn, error) {
	conn, err := c.dial(ctx)
	if errors.Is(err, syscall.ECONNREFUSED) && c.staysDeaf(ctx) {
		return nil, c.false("its process runs and does not listen there")
	}
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	owner, err := c.guard.admit(conn)
	if err == nil && (owner.pid != c.entry.PID || owner.start != c.entry.Start) {
		err = fmt.Errorf("it is process %d's", owner.pid)
	}
	if err != nil {
		_ = conn.Close()
		// A session that ends in this moment has not a false socket.
		if !c.present() {
			return nil, c.gone()
		}
		return nil, c.false(err.Error())
	}
	return conn, nil
}

// staysDeaf reports whether the session's process goes on, and its name is there,
// though nobody listens. A session that ends takes its name away first; one that
// is killed stops listening a moment before it is gone.
func (c *Client) staysDeaf(ctx context.Context) bool {
	for end := time.Now().Add(dyingTime); time.Now().Before(end); {
		if !c.entry.Runs() || !c.present() {
			return false
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return true
}

// present reports whether the session's name is there.
func (c *Client) present() bool {
	_, err := os.Lstat(filepath.Join(c.dir, c.entry.name()))
	return !errors.Is(err, fs.ErrNotExist)
}

// dial connects to the socket. While its queue is full, which a flood of
// connections from a session can do, it tries again.
func (c *Client) dial(ctx context.Context) (*net.UnixConn, error) {
	for {
		conn, err := dialSocket(ctx, c.dir, c.entry.name())
		if !errors.Is(err, syscall.EAGAIN) {
			return conn, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// failed says what a broken connection means.
func (c *Client) failed(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("speak to session %s: %w", c.entry.ID, ErrSilent)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.EOF), errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return c.gone()
	}
	return fmt.Errorf("speak to session %s: %w", c.entry.ID, err)
}

func (c *Client) gone() error { return fmt.Errorf("speak to session %s: %w", c.entry.ID, ErrGone) }
