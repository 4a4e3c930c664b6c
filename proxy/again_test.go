package proxy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"kb/internal/secret"
)

const (
	oldToken = "kb-old-5c2e"
	newToken = "kb-new-91d0"
)

// rotates lets the policy inject the old token first and the new one after a
// 401. It counts what Rejected was told.
type rotates struct{ could, couldNot atomic.Int64 }

func (w *world) rotates(change ...func(old, fresh *Injection)) *rotates {
	told := &rotates{}
	w.policy.auth = func(context.Context, *RequestInfo) (*Injection, error) {
		old, fresh := bearer(oldToken), bearer(newToken)
		old.Rejected = func(_ context.Context, again bool) *Injection {
			if !again {
				told.couldNot.Add(1)
			} else {
				told.could.Add(1)
			}
			return w.policy.watch(fresh)
		}
		for _, f := range change {
			f(old, fresh)
		}
		return old, nil
	}
	return told
}

func bearer(token string) *Injection {
	return &Injection{Pool: "work", Header: []Field{{"Authorization", secret.New("Bearer " + token)}}}
}

// wantsNew answers 401 to everything but the new token, and says what came.
// early leaves the body of a request that it rejects unread.
func wantsNew(early bool) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+newToken {
			if !early {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			rw.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
			rw.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(rw, `{"error":"invalid_token"}`)
			return
		}
		h := sha256.New()
		n, err := io.Copy(h, r.Body)
		rw.Header().Set("X-Came", fmt.Sprintf("%s %s %s %d %s cl=%d trailer=%s err=%v", r.Method, r.URL.RequestURI(), r.Proto, n,
			hex.EncodeToString(h.Sum(nil)[:8]), r.ContentLength, r.Trailer.Get("X-Up"), err))
	}
}

// pairs runs a test over the protocols of client and upstream.
func pairs(t *testing.T, f func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server))) {
	for _, p := range []struct {
		name   string
		client bool // HTTP/2
		up     func(*httptest.Server)
	}{
		{"h1 to h1", false, func(*httptest.Server) {}},
		{"h1 to h2", false, onlyH2Origin},
		{"h2 to h1", true, func(*httptest.Server) {}},
		{"h2 to h2", true, h2Origin},
	} {
		t.Run(p.name, func(t *testing.T) {
			w := newWorld(t)
			c := w.client(func(tr *http.Transport) { tr.ForceAttemptHTTP2 = p.client })
			f(t, w, c, p.up)
		})
	}
}

type payload struct {
	name, method string
	size         int
	chunked      bool
	trailer      string
	kept         bool // small enough to be sent again
}

var payloads = []payload{
	{"GET", "GET", 0, false, "", true},
	{"HEAD", "HEAD", 0, false, "", true},
	{"POST without a body", "POST", 0, false, "", true},
	{"small", "POST", 300, false, "", true},
	{"larger than a buffer", "PUT", 40_000, false, "", true},
	{"at the bound", "POST", 64 << 10, false, "", true},
	{"beyond the bound", "POST", 64<<10 + 1, false, "", false},
	{"chunked", "POST", 300, true, "", true},
	{"chunked, larger than a buffer", "PATCH", 40_000, true, "", true},
	{"chunked with a trailer", "POST", 3000, true, "yes", true},
	{"chunked beyond the bound", "POST", 300_000, true, "yes", false},
}

func (p payload) request() *http.Request {
	body := strings.Repeat("0123456789abcdef", p.size/16+1)[:p.size]
	var r io.Reader
	switch {
	case p.chunked:
		r = struct{ io.Reader }{strings.NewReader(body)}
	case p.size > 0:
		r = strings.NewReader(body)
	}
	req, _ := http.NewRequest(p.method, "https://good.example/do?x=1", r)
	req.GetBody = nil // the test's client is to send nothing twice by itself
	if p.trailer != "" {
		req.Trailer = http.Header{"X-Up": {p.trailer}}
	}
	return req
}

// came is what the upstream is to say of the request that it took.
func (p payload) came(h2up bool) string {
	body := strings.Repeat("0123456789abcdef", p.size/16+1)[:p.size]
	sum := sha256.Sum256([]byte(body))
	proto, length := "HTTP/1.1", p.size
	if h2up {
		proto = "HTTP/2.0"
	}
	if p.chunked {
		length = -1
	}
	return fmt.Sprintf("%s /do?x=1 %s %d %s cl=%d trailer=%s err=<nil>", p.method, proto, p.size, hex.EncodeToString(sum[:8]), length, p.trailer)
}

// A 401 gets the request sent again with what the policy has instead, framed
// as the client framed it, and is not seen. A body that is not kept goes up
// once, and its 401 to the client.
func TestRejectedCredentialIsReplaced(t *testing.T) {
	for _, early := range []bool{false, true} {
		pairs(t, func(t *testing.T, w *world, c *http.Client, up func(*httptest.Server)) {
			told := w.rotates()
			h2up := false
			w.https(good, wantsNew(early), up, func(s *httptest.Server) { h2up = s.EnableHTTP2 })
			for _, p := range payloads {
				t.Run(fmt.Sprintf("%s early=%v", p.name, early), func(t *testing.T) {
					before, could, couldNot := w.policy.done.Load(), told.could.Load(), told.couldNot.Load()
					resp, err := c.Do(p.request())
					if err != nil {
						t.Fatal(err)
					}
					readAll(t, resp)
					if !p.kept {
						if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" {
							t.Errorf("%s, want the upstream's 401", resp.Status)
						}
						eventually(t, "the outcome", func() bool { return w.policy.done.Load() == before+1 })
						if told.could.Load() != could || told.couldNot.Load() != couldNot+1 {
							t.Errorf("asked for another %d times, told %d times, want 0 and 1", told.could.Load()-could, told.couldNot.Load()-couldNot)
						}
						return
					}
					if got := resp.Header.Get("X-Came"); resp.StatusCode != 200 || got != p.came(h2up) {
						t.Errorf("%s, came  %s\nwant 200, came %s", resp.Status, got, p.came(h2up))
					}
					eventually(t, "both outcomes", func() bool { return w.policy.done.Load() == before+2 })
					if told.could.Load() != could+1 || told.couldNot.Load() != couldNot {
						t.Errorf("asked for another %d times, told %d times, want 1 and 0", told.could.Load()-could, told.couldNot.Load()-couldNot)
					}
					w.policy.mu.Lock()
					o := slices.Clone(w.policy.outcomes[before:])
					w.policy.mu.Unlock()
					if o[0].Status != 401 || o[0].Err != "sent again" || o[1].Status != 200 || o[1].Err != "" || o[1].Sent != int64(p.size) {
						t.Errorf("outcomes %+v", o)
					}
				})
			}
			if n := w.server.kept.Load(); n != 0 {
				t.Errorf("%d bytes of bodies are still counted", n)
			}
		})
	}
}
