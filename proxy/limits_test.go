package proxy

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// zeros is a body without end that costs nothing to make.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A gigabyte passes either way, in every pair of protocols, without being
// kept: the heap grows by less than 32 MiB. Short runs pass 48 MiB.
func TestLargeBodiesAreNotKept(t *testing.T) {
	size := int64(48 << 20)
	if os.Getenv("KB_LARGE") != "" {
		size = 1 << 30
	}
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if r.Method == "POST" {
				n, _ := io.Copy(io.Discard, r.Body)
				fmt.Fprint(rw, n)
				return
			}
			_, _ = io.CopyN(rw, zeros{}, size)
		}), up)
		stop, peak := make(chan struct{}), make(chan uint64)
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		go func() {
			var most uint64
			for {
				select {
				case <-stop:
					peak <- most
					return
				case <-time.After(20 * time.Millisecond):
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					most = max(most, m.HeapInuse)
				}
			}
		}()
		for _, length := range []int64{size, -1} {
			req, _ := http.NewRequest("POST", "https://good.example/", struct{ io.Reader }{io.LimitReader(zeros{}, size)})
			req.ContentLength = length
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, resp); got != fmt.Sprint(size) {
				t.Errorf("upload of length %d: the upstream counted %s", length, got)
			}
		}
		resp, err := c.Get("https://good.example/")
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if n != size || err != nil {
			t.Errorf("download: %d bytes, %v", n, err)
		}
		close(stop)
		if most := <-peak; most > before.HeapInuse+32<<20 {
			t.Errorf("the heap grew from %d to %d MiB", before.HeapInuse>>20, most>>20)
		}
	})
}

// The machine's clock is set while a connection is new and a stream is silent:
// limits are of time that has passed, and end neither.
func TestClockThatIsSetEndsNothing(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		next := make(chan struct{})
		defer close(next)
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			for {
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-next:
					_, _ = io.WriteString(rw, "data\n")
				case <-r.Context().Done():
					return
				}
			}
		}), up)
		resp, err := c.Get("https://good.example/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		fresh, err := net.Dial("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer fresh.Close()
		eventually(t, "the new connection", func() bool { return inPhase(w.server, phaseHead) })
		for _, set := range []time.Duration{8 * time.Hour, -8 * time.Hour} {
			w.clock.set.Store(int64(set))
			w.server.scan(w.server.steady())
			select {
			case next <- struct{}{}:
			case <-time.After(5 * time.Second):
				t.Fatalf("set by %v the stream has ended", set)
			}
			if line, err := br.ReadString('\n'); err != nil || line != "data\n" {
				t.Fatalf("set by %v the stream says %q, %v", set, line, err)
			}
		}
		_, _ = io.WriteString(fresh, "CONNECT good.example:443 HTTP/1.1\r\nHost: good.example:443\r\n\r\n")
		if line, err := bufio.NewReader(fresh).ReadString('\n'); err != nil || !strings.Contains(line, " 407 ") {
			t.Errorf("the new connection is told %q, %v", line, err)
		}
	})
}

// A stream that speaks now and then lives for as long as it likes; one that
// falls silent ends at the limit, and the client is told.
func TestLongStreamLivesAndSilentOneEnds(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		next := make(chan struct{})
		defer close(next)
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			ctl := http.NewResponseController(rw)
			if r.URL.Path == "/mute" {
				select {
				case <-next:
				case <-r.Context().Done():
				}
				return
			}
			_ = ctl.Flush()
			for {
				select {
				case <-next:
					_, _ = io.WriteString(rw, "data\n")
					_ = ctl.Flush()
				case <-r.Context().Done():
					return
				}
			}
		}), up)
		resp, err := c.Get("https://good.example/events")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		br := bufio.NewReader(resp.Body)
		for range 60 { // an hour, an event each minute
			w.clock.advance(time.Minute)
			w.server.scan(w.clock.now())
			next <- struct{}{}
			if line, err := br.ReadString('\n'); err != nil || line != "data\n" {
				t.Fatalf("%q %v", line, err)
			}
		}
		w.clock.advance(31 * time.Minute)
		w.server.scan(w.clock.now())
		if _, err := br.ReadString('\n'); err == nil || err == io.EOF {
			t.Errorf("the silent stream ended with %v, want a broken one", err)
		}
		eventually(t, "the outcome", func() bool { return w.policy.lastOutcome().Err == endedTimeout })

		eventually(t, "its end", func() bool { return !inPhase(w.server, phaseExchange) })

		answered := make(chan int)
		go func() {
			resp, err := c.Get("https://good.example/mute")
			if err != nil {
				t.Error(err)
				answered <- 0
				return
			}
			resp.Body.Close()
			answered <- resp.StatusCode
		}()
		eventually(t, "the exchange", func() bool { return inPhase(w.server, phaseExchange) })
		w.clock.advance(31 * time.Minute)
		w.server.scan(w.clock.now())
		if code := <-answered; code != 504 {
			t.Errorf("the request without an answer got %d, want 504", code)
		}
	})
}

func inPhase(s *Server, p phase) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.track.in(p) {
			return true
		}
		c.mu.Lock()
		for st := range c.streams {
			if st.track.in(p) {
				c.mu.Unlock()
				return true
			}
		}
		c.mu.Unlock()
	}
	return false
}

// A human may take as long as they like to approve; a client that leaves
// meanwhile ends the wait.
func TestPolicyMayWait(t *testing.T) {
	w := newWorld(t)
	w.https(good, &seen{})
	release, gone := make(chan struct{}), make(chan struct{}, 1)
	w.policy.auth = func(ctx context.Context, r *RequestInfo) (*Injection, error) {
		select {
		case <-release:
			return &Injection{}, nil
		case <-ctx.Done():
			gone <- struct{}{}
			return nil, ctx.Err()
		}
	}
	answered := make(chan int, 1)
	go func() {
		resp, err := w.client().Get("https://good.example/")
		if err != nil {
			t.Error(err)
			answered <- 0
			return
		}
		resp.Body.Close()
		answered <- resp.StatusCode
	}()
	eventually(t, "the question", func() bool { return inPhase(w.server, phasePolicy) && w.policy.asked.Load() == 1 })
	w.clock.advance(10 * time.Hour)
	w.server.scan(w.clock.now())
	release <- struct{}{}
	if code := <-answered; code != 200 {
		t.Errorf("approved after ten hours: %d", code)
	}
	c := w.tunnel(good)
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: good.example\r\n\r\n")
	eventually(t, "the question", func() bool { return w.policy.asked.Load() == 2 })
	c.Close()
	eventually(t, "the wait to end", func() bool {
		w.server.scan(w.clock.now())
		return len(gone) == 1
	})
}

func TestConnectionLimit(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Limits.Connections = 3 })
	w.https(good, &seen{})
	for range 3 {
		w.tunnel(good)
	}
	c, err := net.Dial("tcp", w.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	strictRefusal(t, c, 503)
}

// Shutdown lets a request end, and cuts off one that does not.
func TestShutdown(t *testing.T) {
	for _, patient := range []bool{true, false} {
		each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
			release := make(chan struct{})
			w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-release:
					_, _ = io.WriteString(rw, "whole")
				case <-r.Context().Done():
				}
			}), up)
			idle := w.tunnel(good)
			resp, err := c.Get("https://good.example/")
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- w.server.Shutdown(ctx) }()
			_ = idle.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := idle.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the idle connection: %v, want it closed", err)
			}
			if patient {
				close(release)
				if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "whole" {
					t.Errorf("%q %v", b, err)
				}
				if err := <-ended; err != nil {
					t.Errorf("Shutdown: %v", err)
				}
				return
			}
			cancel()
			if err := <-ended; !errors.Is(err, context.Canceled) {
				t.Errorf("Shutdown: %v", err)
			}
			if b, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("a clean end after %q", b)
			}
		})
	}
}

// Many clients at once, every answer its own.
func TestAnswersAreNotMixed(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			b, _ := io.ReadAll(r.Body)
			_ = json.NewEncoder(rw).Encode([]string{r.URL.Path, fmt.Sprintf("%x", sha256.Sum256(b)), r.Header.Get("X-N")})
		}), up)
		errs := make(chan error, 16)
		for g := range 16 {
			go func() {
				for i := range 40 {
					path := fmt.Sprintf("/%d/%d", g, i)
					body := strings.Repeat(path, 1+i*37)
					req, _ := http.NewRequest("POST", "https://good.example"+path, strings.NewReader(body))
					req.Header.Set("X-N", path)
					resp, err := c.Do(req)
					if err != nil {
						errs <- err
						return
					}
					var got []string
					err = json.NewDecoder(resp.Body).Decode(&got)
					resp.Body.Close()
					if err != nil || got[0] != path || got[2] != path || got[1] != fmt.Sprintf("%x", sha256.Sum256([]byte(body))) {
						errs <- fmt.Errorf("%s got %v, %v", path, got, err)
						return
					}
				}
				errs <- nil
			}()
		}
		for range 16 {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
	})
}

// An early answer to an upload does not cost the client the answer.
func TestEarlyAnswerToUpload(t *testing.T) {
	each(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
		w.https(good, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
			http.Error(rw, "too large", http.StatusRequestEntityTooLarge)
		}), up)
		for range 3 {
			resp, err := c.Post("https://good.example/", "x/y", struct{ io.Reader }{io.LimitReader(zeros{}, 8<<20)})
			if err != nil {
				t.Fatal(err)
			}
			if b := readAll(t, resp); resp.StatusCode != 413 || b != "too large\n" {
				t.Errorf("%s %q", resp.Status, b)
			}
		}
	})
}
