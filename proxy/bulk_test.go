package proxy

import (
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// BenchmarkBodies compares 1 MiB replies and uploads as BenchmarkKeepAlive does
// small ones.
func BenchmarkBodies(b *testing.B) {
	w := newWorld(b)
	payload := strings.Repeat("x", 1<<20)
	handler := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(rw, payload)
	})
	w.https(good, handler)
	w.https(evil, handler)
	w.server.policy = quietPolicy{}
	through := w.client(func(t *http.Transport) { t.MaxIdleConnsPerHost = 16 })
	direct := w.client(func(t *http.Transport) {
		t.MaxIdleConnsPerHost = 16
		t.Proxy = nil
		t.DialContext = w.dialByName
	})
	to, _ := url.Parse("https://" + evil)
	w.https("rp.example", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }, Transport: direct.Transport})
	rate := map[string][]float64{}
	for range 5 {
		rate["direct"] = append(rate["direct"], load(b, direct, "https://"+evil+"/", 16, 200*time.Millisecond))
		rate["tunnel"] = append(rate["tunnel"], load(b, through, "https://"+evil+"/", 16, 200*time.Millisecond))
		rate["rp"] = append(rate["rp"], load(b, direct, "https://rp.example/", 16, 200*time.Millisecond))
		rate["kb"] = append(rate["kb"], load(b, through, "https://"+good+"/", 16, 200*time.Millisecond))
	}
	d := median(rate["direct"])
	b.ReportMetric(d, "direct/s")
	b.ReportMetric(median(rate["tunnel"])/d, "tunnel×direct")
	b.ReportMetric(median(rate["rp"])/d, "reverseproxy×direct")
	b.ReportMetric(median(rate["kb"])/d, "kb×direct")
	b.ReportMetric(0, "ns/op")
}
