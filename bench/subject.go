package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// The subjects, in the order of the table.
const (
	direct  = "direct"
	tunnel  = "blind tunnel"
	reverse = "net/http + ReverseProxy"
	peer    = "goproxy"
	own     = "kb"
)

// subject is a way to the upstream.
type subject struct {
	name  string
	proc  *process // nil for direct
	proxy *url.URL // nil for direct
	roots *x509.CertPool
	gives bool // the client brings the credential itself: nobody injects one

	// asked counts every request that was answered whole, for the audit.
	asked atomic.Int64

	mu    sync.Mutex
	pools map[poolKey]*http.Transport
}

type poolKey struct {
	clients int
	h2      bool
}

func newSubject(name string, proc *process, worldRoots string, gives bool) (*subject, error) {
	s := &subject{name: name, proc: proc, gives: gives, pools: map[poolKey]*http.Transport{}}
	file := worldRoots
	if proc != nil {
		s.proxy = proc.url()
		if proc.greeting.Bundle != "" {
			file = proc.greeting.Bundle
		}
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s.roots = x509.NewCertPool()
	if !s.roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("read roots %q: none", file)
	}
	return s, nil
}

// transport makes a client's side: net/http's, without TLS session tickets.
func (s *subject) transport(clients int, h2 bool) *http.Transport {
	t := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: s.roots, MinVersion: tls.VersionTLS13}, MaxIdleConnsPerHost: clients,
		DisableCompression: true, ForceAttemptHTTP2: h2,
	}
	if s.proxy != nil {
		t.Proxy = http.ProxyURL(s.proxy)
	}
	return t
}

// pool is the transport of so many keep-alive clients, kept for the run.
func (s *subject) pool(clients int, h2 bool) *http.Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := poolKey{clients, h2}
	if s.pools[key] == nil {
		s.pools[key] = s.transport(clients, h2)
	}
	return s.pools[key]
}

func (s *subject) header() http.Header {
	h := http.Header{}
	if s.gives {
		h.Set("Authorization", "Bearer "+token)
	}
	return h
}

func (s *subject) request(ctx context.Context, method, address string, body io.Reader) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	r.Header = s.header()
	return r, nil
}

// do sends a request and reads its answer to the end. It returns the bytes.
func (s *subject) do(t http.RoundTripper, r *http.Request) (int64, error) {
	n, err := exchange(t, r)
	if err != nil {
		return n, fmt.Errorf("%s: %w", s.name, err)
	}
	s.asked.Add(1)
	return n, nil
}

func exchange(t http.RoundTripper, r *http.Request) (int64, error) {
	response, err := t.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	n, err := io.Copy(io.Discard, response.Body)
	if e := response.Body.Close(); err == nil {
		err = e
	}
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	return n, err
}

// sample is what came of one load.
type sample struct {
	requests int
	bytes    int64
	elapsed  time.Duration
	cpu      time.Duration // of the proxy
	latency  []time.Duration
}

func (s sample) rate() float64 { return float64(s.requests) / s.elapsed.Seconds() }

func (s sample) throughput() float64 { return float64(s.bytes) / s.elapsed.Seconds() }

// load has clients ask for as long as d, one request after the other each.
// made is called for every request; size, if not negative, is its body's bytes
// and counts in place of the answer's.
func (s *subject) load(ctx context.Context, t *http.Transport, clients int, d time.Duration, address string, upload []byte) (sample, error) {
	one := func() (int64, error) {
		method, body := http.MethodGet, io.Reader(nil)
		if upload != nil {
			method, body = http.MethodPost, &bodyReader{upload}
		}
		r, err := s.request(ctx, method, address, body)
		if err != nil {
			return 0, err
		}
		if upload != nil {
			r.ContentLength = int64(len(upload))
		}
		n, err := s.do(t, r)
		if upload != nil {
			n = int64(len(upload))
		}
		return n, err
	}
	// The connections are there before the clock starts.
	if err := parallel(clients, func(int) error { _, err := one(); return err }); err != nil {
		return sample{}, err
	}
	parts := make([]sample, clients)
	before, err := s.cpu()
	if err != nil {
		return sample{}, err
	}
	began := time.Now()
	err = parallel(clients, func(i int) error {
		part := &parts[i]
		for last := began; last.Sub(began) < d; {
			n, err := one()
			if err != nil {
				return err
			}
			now := time.Now()
			part.latency = append(part.latency, now.Sub(last))
			last = now
			part.requests++
			part.bytes += n
		}
		return nil
	})
	total := sample{elapsed: time.Since(began)}
	after, cpuErr := s.cpu()
	if err = errors.Join(err, cpuErr); err != nil {
		return sample{}, err
	}
	total.cpu = after - before
	for _, part := range parts {
		total.requests += part.requests
		total.bytes += part.bytes
		total.latency = append(total.latency, part.latency...)
	}
	return total, nil
}

func (s *subject) cpu() (time.Duration, error) {
	if s.proc == nil {
		return 0, nil
	}
	return s.proc.cpu()
}

// bodyReader reads bytes once; net/http does not know its type and so cannot
// send it again behind the benchmark's back.
type bodyReader struct{ rest []byte }

func (b *bodyReader) Read(p []byte) (int, error) {
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p, b.rest)
	b.rest = b.rest[n:]
	return n, nil
}

// parallel runs f n times at once and returns the errors.
func parallel(n int, f func(i int) error) error {
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() { errs[i] = f(i) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err // of many clients that fail, most fail alike
		}
	}
	return nil
}
