package e2e

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"kb/internal/testkit"
)

// listener is what a canary can be sent to on purpose.
type listener interface {
	plant(canaries ...string) error
}

// at is an origin as a listener, on a port, with TLS or without.
type at struct {
	origin *testkit.Origin
	port   uint16
	plain  bool
}

func (l at) plant(canaries ...string) error {
	// A connection each, and its answer awaited: a request that is still on its
	// way when the control is over would be taken for a leak of the next case.
	for _, canary := range canaries {
		if err := l.send(canary); err != nil {
			return err
		}
	}
	return nil
}

func (l at) send(canary string) error {
	port := l.port
	if port == 0 {
		port = 443
	}
	c, err := net.Dial("tcp", net.JoinHostPort(l.origin.Addr.String(), strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(attackPatience))
	host := l.origin.Name + ".planted" // so that one's own host counts as another
	if !l.plain {
		secure := tls.Client(c, &tls.Config{ServerName: l.origin.Name, InsecureSkipVerify: true})
		if err := secure.Handshake(); err != nil {
			return err
		}
		c = secure
	}
	if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: "+host+"\r\nAuthorization: Bearer "+canary+"\r\n\r\n"); err != nil {
		return err
	}
	_, err = http.ReadResponse(bufio.NewReader(c), nil)
	return err
}

// answers is a listener for attacks whose canary could only come back to the
// attacker: the control is a look at what holds it.
type answers struct{ a *arena }

func (l answers) plant(canaries ...string) error {
	if len(l.a.search(answer{text: strings.Join(canaries, " ")})) == 0 {
		return errors.New("an answer with the canary is not found")
	}
	return at{origin: l.a.evil}.plant(canaries...)
}

// sink is a TCP listener that keeps what it is sent and says nothing.
type sink struct {
	name string
	addr string
	mu   sync.Mutex
	got  []byte
	hits int
}

func (a *arena) sink(name, addr string) (*sink, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	s := &sink{name: name, addr: l.Addr().String()}
	a.sinks = append(a.sinks, s)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.hits++
			s.mu.Unlock()
			wg.Go(func() {
				defer func() { _ = c.Close() }()
				_ = c.SetDeadline(time.Now().Add(attackPatience))
				buf := make([]byte, 4096)
				for {
					n, err := c.Read(buf)
					s.mu.Lock()
					s.got = append(s.got, buf[:n]...)
					s.mu.Unlock()
					if err != nil {
						return
					}
				}
			})
		}
	})
	a.t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return s, nil
}

func (s *sink) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.got)
}

func (s *sink) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits
}

func (s *sink) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got, s.hits = nil, 0
}

func (s *sink) plant(canaries ...string) error {
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	_, err = io.WriteString(c, strings.Join(canaries, "\n"))
	return err
}

// soon is the deadline of an exchange that need not end well: a mutated request
// may be half of one.
func soon() time.Time { return time.Now().Add(250 * time.Millisecond) }
