package testkit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/coder/websocket"
)

// Lab answers with the behaviours that an upstream can have, one a path; the
// query gives the parameters, and what is left out has the value shown.
//
//	/echo                          JSON of what arrived: see [Echo]
//	/status?code=204               an empty answer of that status
//	/redirect?to=URL&code=302      a redirect
//	/sse?n=3&every=0s              n server-sent events "data: {"n":0}", flushed one by one
//	/ws                            a WebSocket that sends back each message
//	/slow?head=0s&body=0s          waits before the header, and between it and the body
//	/bytes?n=1024                  n bytes, with Content-Length unless chunked=1
//	/sink                          reads everything; JSON {"bytes":…,"sha256":…}
//	/duplex                        sends each piece of the body back as it arrives
//	/trailers                      chunked, with the trailer X-Sum
//	/early                         103 Early Hints, then 200
//	/continue                      reads the body only now: a client's Expect gets its 100
//	/header?name=X-A&value=b       an answer with that header
//	/broken/reset                  half a body, then a TCP reset (HTTP/2: RST_STREAM)
//	/broken/short                  fewer bytes than Content-Length says
//	/broken/chunk                  a chunk size that is no number (HTTP/1.1 only)
//	/broken/close                  closes without any answer
func Lab() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/echo", Echo())
	mux.HandleFunc("/status", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(intParam(r, "code", 204)) })
	mux.HandleFunc("/redirect", func(w http.ResponseWriter, r *http.Request) {
		Redirect(intParam(r, "code", 302), r.URL.Query().Get("to")).ServeHTTP(w, r)
	})
	mux.HandleFunc("/sse", func(w http.ResponseWriter, r *http.Request) {
		SSE(intParam(r, "n", 3), durationParam(r, "every")).ServeHTTP(w, r)
	})
	mux.Handle("/ws", WebSocketEcho())
	mux.HandleFunc("/slow", slow)
	mux.HandleFunc("/bytes", manyBytes)
	mux.HandleFunc("/sink", sink)
	mux.HandleFunc("/duplex", duplex)
	mux.HandleFunc("/trailers", trailers)
	mux.HandleFunc("/early", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "late\n")
	})
	mux.HandleFunc("/continue", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		_, _ = fmt.Fprintf(w, "%d\n", n)
	})
	mux.HandleFunc("/header", func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		w.Header().Set(q.Get("name"), q.Get("value"))
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("/broken/reset", func(w http.ResponseWriter, r *http.Request) { Broken(MidBody).ServeHTTP(w, r) })
	mux.HandleFunc("/broken/short", func(w http.ResponseWriter, r *http.Request) { Broken(ShortLength).ServeHTTP(w, r) })
	mux.HandleFunc("/broken/chunk", func(w http.ResponseWriter, r *http.Request) { Broken(BadChunk).ServeHTTP(w, r) })
	mux.HandleFunc("/broken/close", func(w http.ResponseWriter, r *http.Request) { Broken(NoAnswer).ServeHTTP(w, r) })
	return mux
}

// Echoed is the JSON that [Echo] answers with.
type Echoed struct {
	Method string      `json:"method"`
	Host   string      `json:"host"`
	Path   string      `json:"path"`
	Query  string      `json:"query"`
	Proto  string      `json:"proto"`
	Header http.Header `json:"header"`
	Body   string      `json:"body"`
}

// Echo answers every request with the JSON of what arrived.
func Echo() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		writeJSON(w, http.StatusOK, Echoed{r.Method, r.Host, r.URL.EscapedPath(), r.URL.RawQuery, r.Proto, r.Header, string(body)})
	})
}

// Redirect answers every request with code and Location: to, as it stands.
func Redirect(code int, to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", to)
		w.WriteHeader(code)
	})
}

// SSE sends n server-sent events, flushed one by one, with a pause before each
// but the first.
func SSE(n int, every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		rc := http.NewResponseController(w)
		for i := range n {
			if i > 0 && !pause(r, every) {
				return
			}
			_, _ = fmt.Fprintf(w, "data: {\"n\":%d}\n\n", i)
			if rc.Flush() != nil {
				return
			}
		}
	})
}

// WebSocketEcho sends back each message until the client closes.
func WebSocketEcho() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any Origin
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(16 << 20)
		for {
			kind, msg, err := c.Read(r.Context())
			if err != nil {
				return
			}
			if c.Write(r.Context(), kind, msg) != nil {
				return
			}
		}
	})
}

func slow(w http.ResponseWriter, r *http.Request) {
	if !pause(r, durationParam(r, "head")) {
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	if http.NewResponseController(w).Flush() != nil || !pause(r, durationParam(r, "body")) {
		return
	}
	_, _ = io.WriteString(w, "slow\n")
}

// manyBytes sends a pattern that no prefix of it repeats by accident: a
// download that lost or doubled a piece has another hash.
func manyBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.URL.Query().Get("n"), 10, 64)
	if err != nil {
		n = 1024
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	if r.URL.Query().Get("chunked") == "" {
		w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	}
	_, _ = io.Copy(w, io.LimitReader(&Pattern{}, n))
}

// Pattern is an endless stream of bytes whose every 8 hold their own position.
type Pattern struct{ at int64 }

// Read implements io.Reader; it never ends.
func (p *Pattern) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte((p.at >> 3) >> (8 * (p.at & 7)))
		p.at++
	}
	return len(b), nil
}

func sink(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"bytes": n, "sha256": hex.EncodeToString(sum.Sum(nil))})
}

func duplex(w http.ResponseWriter, r *http.Request) {
	rc := http.NewResponseController(w)
	_ = rc.EnableFullDuplex() // HTTP/2 is so by itself, and says it is not supported
	w.WriteHeader(http.StatusOK)
	if rc.Flush() != nil {
		return
	}
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil || rc.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func trailers(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Trailer", "X-Sum")
	_, _ = io.WriteString(w, "body\n")
	_ = http.NewResponseController(w).Flush()
	w.Header().Set("X-Sum", "5")
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}

func intParam(r *http.Request, name string, otherwise int) int {
	if n, err := strconv.Atoi(r.URL.Query().Get(name)); err == nil {
		return n
	}
	return otherwise
}

func durationParam(r *http.Request, name string) time.Duration {
	d, _ := time.ParseDuration(r.URL.Query().Get(name)) // 0 when left out
	return d
}

// pause waits for d and reports whether the client is still there.
func pause(r *http.Request, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-r.Context().Done():
		return false
	}
}
