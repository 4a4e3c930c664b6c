package control

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// ServeOptions say where a session listens. Dir, ID and Handler must be set.
type ServeOptions struct {
	Dir     string // folder of the sockets; it is made if need be
	ID      string // of the session
	Handler Handler
	// Refused, if set, is told of each connection that was refused, for the
	// audit. It must not block.
	Refused func(err error)
}

// Server is a session's socket.
type Server struct {
	handler  Handler
	refused  func(error)
	guard    *guard
	path     string
	listener *net.UnixListener
	life     context.Context // until Close
	end      context.CancelFunc
	running  sync.WaitGroup
	closing  sync.Once

	mu    sync.Mutex
	conns map[*net.UnixConn]bool
}

// Serve listens for a session until Close, or until ctx ends. When it returns, a
// client can connect.
func Serve(ctx context.Context, o ServeOptions) (*Server, error) {
	if !validID(o.ID) {
		return nil, fmt.Errorf("listen for control: %q is no session's id", o.ID)
	}
	if err := makeFolder(o.Dir); err != nil {
		return nil, err
	}
	own, err := look(os.Getpid())
	if err != nil {
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	name := Entry{ID: o.ID, PID: own.pid, Start: own.start}.name()
	listener, err := listen(ctx, o.Dir, name)
	if err != nil {
		return nil, err
	}
	s := &Server{
		handler: o.Handler, refused: o.Refused, guard: newGuard(o.Dir), path: filepath.Join(o.Dir, name),
		listener: listener, conns: map[*net.UnixConn]bool{},
	}
	s.guard.session = true
	if s.refused == nil {
		s.refused = func(error) {}
	}
	s.life, s.end = context.WithCancel(ctx)
	s.running.Go(s.accept)
	context.AfterFunc(s.life, s.shut)
	return s, nil
}

// listen makes the socket under another name first: who sees its name in the
// folder finds it listening.
func listen(ctx context.Context, dir, name string) (*net.UnixListener, error) {
	const prefix = "new-"
	path, done, err := reachable(dir, prefix+name)
	if err != nil {
		return nil, err
	}
	defer done()
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	listener := l.(*net.UnixListener)
	listener.SetUnlinkOnClose(false) // it has another name by then
	if err := os.Rename(filepath.Join(dir, prefix+name), filepath.Join(dir, name)); err != nil {
		_ = listener.Close()
		_ = os.Remove(filepath.Join(dir, prefix+name))
		return nil, fmt.Errorf("listen for control: %w", err)
	}
	return listener, nil
}

// Close takes the socket away and ends every connection.
func (s *Server) Close() {
	s.end()
	s.shut()
	s.running.Wait()
}

// shut removes the name before anything is closed: who sees a connection end,
// and no name, knows that the session has ended.
func (s *Server) shut() {
	s.closing.Do(func() {
		_ = os.Remove(s.path)
		_ = s.listener.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		for c := range s.conns {
			_ = c.Close()
		}
		s.conns = nil
	})
}

// accept judges one connection after the other, so that a flood of them from a
// session costs its own time, and takes no place from others.
func (s *Server) accept() {
	for {
		c, err := s.listener.AcceptUnix()
		if err != nil {
			if s.life.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			// Out of descriptors: those of others end.
			select {
			case <-s.life.Done():
				return
			case <-time.After(watchEvery):
			}
			continue
		}
		if _, err := s.guard.admit(c); err != nil {
			s.refused(err)
			_ = send(c, replyOf(err))
			_ = c.Close()
			continue
		}
		if err := s.keep(c); err != nil {
			_ = send(c, replyOf(err))
			_ = c.Close()
			continue
		}
		s.running.Go(func() {
			defer s.drop(c)
			s.converse(c)
		})
	}
}

func (s *Server) keep(c *net.UnixConn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.conns == nil:
		return ErrGone
	case len(s.conns) >= maxConnections:
		return ErrBusy
	}
	s.conns[c] = true
	return nil
}

func (s *Server) drop(c *net.UnixConn) {
	_ = c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// converse answers the one request of a connection.
func (s *Server) converse(c *net.UnixConn) {
	if err := c.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
		return
	}
	var r request
	if err := newLines(c, maxRequest).next(&r); err != nil {
		_ = send(c, replyOf(err))
		return
	}
	switch r.Verb {
	case verbStatus:
		status := fit(s.handler.Status())
		_ = send(c, reply{Status: &status})
	case verbWatch:
		s.watch(c)
	case verbAnswer:
		_ = send(c, replyOf(s.answer(r)))
	case verbStop:
		_ = send(c, replyOf(s.handler.Stop(s.life)))
	default:
		_ = send(c, replyOf(fmt.Errorf("this session knows no verb %q: it is of another version of kb", r.Verb)))
	}
}

func (s *Server) answer(r request) error {
	switch r.Answer {
	case Once, Session, Deny, DenySession:
	default:
		return fmt.Errorf("answer request: %q is no answer", r.Answer)
	}
	ctx, cancel := context.WithTimeout(s.life, requestTime)
	defer cancel()
	return s.handler.Answer(ctx, r.Request, r.Answer)
}

// watch sends a status at once and after each change. What changes within
// watchEvery is one message, and while a slow reader keeps it from writing, too.
func (s *Server) watch(c *net.UnixConn) {
	ctx, cancel := context.WithCancel(s.life)
	defer cancel()
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return
	}
	s.running.Go(func() {
		// A watcher says nothing more; that it closes is heard here.
		var one [1]byte
		_, _ = c.Read(one[:])
		cancel()
	})
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		changed := s.handler.Changed()
		status := fit(s.handler.Status())
		if send(c, reply{Status: &status}) != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
		pause.Reset(watchEvery)
	}
}
