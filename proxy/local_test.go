package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// echoes answers every request locally with its body.
func (w *world) echoes() {
	w.policy.auth = func(_ context.Context, r *RequestInfo) (*Injection, error) {
		return &Injection{Local: func(_ context.Context, body []byte) Reply {
			return Reply{Status: 201, Header: http.Header{"X-Local": {"yes"}, "Cache-Control": {"no-store"}}, Body: fmt.Appendf(nil, `{"got":%d}`, len(body))}
		}}, nil
	}
}

// A request that the policy answers itself dials nothing, and its connection
// goes on.
func TestLocalAnswer(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w := newWorld(t)
			up := &seen{}
			w.https(good, up, func(s *httptest.Server) { s.EnableHTTP2 = h2 })
			w.echoes()
			c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = h2 })
			for i, p := range []struct {
				name, method string
				body         io.Reader
				status       int
				text         string
			}{
				{"no body", "GET", nil, 201, `{"got":0}`},
				{"HEAD", "HEAD", nil, 201, ""},
				{"form", "POST", strings.NewReader(strings.Repeat("x", 300)), 201, `{"got":300}`},
				{"at the bound", "POST", strings.NewReader(strings.Repeat("x", 64<<10)), 201, `{"got":65536}`},
				{"chunked", "POST", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 50_000))}, 201, `{"got":50000}`},
				{"beyond the bound", "POST", strings.NewReader(strings.Repeat("x", 64<<10+1)), 413, CodeBodyTooLarge},
				{"chunked beyond the bound", "POST", struct{ io.Reader }{strings.NewReader(strings.Repeat("x", 64<<10+1))}, 413, CodeBodyTooLarge},
				{"after those", "POST", strings.NewReader("x"), 201, `{"got":1}`},
			} {
				req, _ := http.NewRequest(p.method, "https://good.example/oauth/token", p.body)
				resp, err := c.Do(req)
				if err != nil {
					t.Fatalf("%s: %v", p.name, err)
				}
				text := readAll(t, resp)
				if resp.StatusCode != p.status || !strings.Contains(text, p.text) || p.text == "" && text != "" {
					t.Errorf("%s: %s %q, want %d %q", p.name, resp.Status, text, p.status, p.text)
				}
				if resp.StatusCode == 201 && (resp.Header.Get("X-Local") != "yes" || resp.Header.Get("Content-Type") != "application/json") {
					t.Errorf("%s: %v", p.name, resp.Header)
				}
				eventually(t, "the outcome", func() bool { return w.policy.done.Load() == int64(i+1) })
				if o := w.policy.lastOutcome(); o.Status != p.status || o.Sent != 0 || (o.Err == "") != (p.status == 201) {
					t.Errorf("%s: outcome %+v", p.name, o)
				}
			}
			if up.last() != nil {
				t.Error("a request reached the upstream")
			}
		})
	}
}
