package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"kb/internal/secret"
)

// BenchmarkKeepAlive compares, in alternating rounds of one run, 1 KiB replies
// straight from the origin, through a tunnel that is not read, and through
// interception with an injected field. It prints requests a second as ratios
// to direct: only those mean anything on a shared machine.
//
// All of it runs in this process, so that the origin and the clients pay too.
// KB_BENCH=1 makes the rounds longer.
func BenchmarkKeepAlive(b *testing.B) {
	round := 150 * time.Millisecond
	rounds := 5
	if os.Getenv("KB_BENCH") != "" {
		round, rounds = time.Second, 7
	}
	w := newWorld(b)
	w.policy.auth = nil
	payload := strings.Repeat("x", 1024)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, payload) })
	w.https(good, handler)
	w.https(evil, handler)
	w.server.policy = quietPolicy{}
	for _, clients := range []int{1, 16, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			rate := map[string][]float64{}
			tr := func(change func(*http.Transport)) *http.Client {
				return w.client(func(t *http.Transport) {
					t.MaxIdleConnsPerHost = clients
					change(t)
				})
			}
			direct := tr(func(t *http.Transport) {
				t.Proxy = nil
				t.DialContext = w.dialByName
			})
			through := tr(func(*http.Transport) {})
			for range rounds {
				rate["direct"] = append(rate["direct"], load(b, direct, "https://"+good+"/", clients, round))
				rate["tunnel"] = append(rate["tunnel"], load(b, through, "https://"+evil+"/", clients, round))
				rate["kb"] = append(rate["kb"], load(b, through, "https://"+good+"/", clients, round))
			}
			d := median(rate["direct"])
			b.ReportMetric(d, "direct/s")
			b.ReportMetric(median(rate["tunnel"])/d, "tunnel×direct")
			b.ReportMetric(median(rate["kb"])/d, "kb×direct")
			b.ReportMetric(0, "ns/op")
		})
	}
}

type quietPolicy struct{}

var benchInjection = &Injection{Pool: "work", Header: []Field{{"Authorization", secret.New("Bearer " + canary)}}}

func (quietPolicy) Route(_ context.Context, c ConnectInfo) Route {
	if c.Host == good {
		return Route{Action: Intercept}
	}
	return Route{Action: Tunnel}
}

func (quietPolicy) Authorize(context.Context, *RequestInfo) (*Injection, error) {
	return benchInjection, nil
}

func (quietPolicy) Refused(ConnectInfo, *RequestInfo, *Refusal) {}

// load counts the requests that clients make in a time.
func load(b *testing.B, c *http.Client, url string, clients int, d time.Duration) float64 {
	b.Helper()
	var n atomic.Int64
	var wg sync.WaitGroup
	one := func() bool {
		resp, err := c.Get(url)
		if err != nil {
			b.Error(err)
			return false
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != 200 {
			b.Error(resp.Status)
			return false
		}
		return true
	}
	for range clients { // connections are made before the clock starts
		wg.Add(1)
		go func() { defer wg.Done(); one() }()
	}
	wg.Wait()
	start := time.Now()
	for range clients {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for time.Since(start) < d {
				if !one() {
					return
				}
				n.Add(1)
			}
		}()
	}
	wg.Wait()
	return float64(n.Load()) / time.Since(start).Seconds()
}

func median(v []float64) float64 {
	sort.Float64s(v)
	return v[len(v)/2]
}
