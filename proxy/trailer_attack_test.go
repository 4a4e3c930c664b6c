package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestAttackTrailerNamesAnotherMethod: the policy judges a request by its head. What
// a server that merges trailers into it would read as another method, path or host
// comes too late to be judged, and does not pass.
func TestAttackTrailerNamesAnotherMethod(t *testing.T) {
	names := []string{
		"X-HTTP-Method-Override", "x-http-method", "X-Method-Override", "X_HTTP_Method_Override", "X-Original-URL", "X-Rewrite-Url",
		"Authorization", "Content_Length", "Transfer_Encoding", "KB-Profile", "kb_login",
	}
	for _, up := range []func(*httptest.Server){nil, h2Origin} {
		w := newWorld(t)
		got := &seen{}
		if up == nil {
			w.https("good.example", got)
		} else {
			w.https("good.example", got, up)
		}
		send := func(name string) *http.Response {
			t.Helper()
			c := w.tunnel("good.example")
			defer c.Close()
			fmt.Fprintf(c, "POST /a HTTP/1.1\r\nHost: good.example\r\nTransfer-Encoding: chunked\r\nTrailer: %s\r\n\r\n3\r\nabc\r\n0\r\n%s: smuggled-text\r\n\r\n", name, name)
			return readResponse(t, c)
		}
		if resp := send("X-Checksum"); resp.StatusCode != 200 || !got.holds("smuggled-text") { // the positive control
			t.Fatalf("%s, and a trailer is lost", resp.Status)
		}
		got.mu.Lock()
		got.reqs, got.body = nil, nil
		got.mu.Unlock()
		for _, name := range names {
			if resp := send(name); resp.StatusCode != 400 {
				t.Errorf("%s: %s", name, resp.Status)
			}
		}
		// Over HTTP/2 a trailer that may not pass is left out.
		for _, name := range names {
			req, err := http.NewRequest(http.MethodPost, "https://good.example/a", struct{ io.Reader }{strings.NewReader("x")})
			if err != nil {
				t.Fatal(err)
			}
			req.Trailer = http.Header{http.CanonicalHeaderKey(name): {"smuggled-text"}}
			resp, err := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = true }).Do(req)
			if err != nil { // net/http sends no such trailer
				continue
			}
			resp.Body.Close()
		}
		if got.holds("smuggled-text") {
			t.Error("it arrived")
		}
	}
}
