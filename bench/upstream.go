package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// serveUpstream is the origin, over HTTP/1.1 and HTTP/2, and the relay that
// makes it look far away.
func serveUpstream(dir string) error {
	ca, err := readCA(dir)
	if err != nil {
		return err
	}
	// Made before anyone asks: a first request measures the proxy's leaf.
	for _, name := range append([]string{nearHost, farHost}, allNewHosts()...) {
		if _, err := ca.certificate(&tls.ClientHelloInfo{ServerName: name}); err != nil {
			return err
		}
	}
	near, err := net.Listen("tcp", nearAddr+":443")
	if err != nil {
		return err
	}
	far, err := net.Listen("tcp", farAddr+":443")
	if err != nil {
		return err
	}
	go relay(far, near.Addr().String(), farTrip/2)
	server := &http.Server{
		Handler: authenticated(upstream()), ReadHeaderTimeout: time.Minute,
		TLSConfig: &tls.Config{GetCertificate: ca.certificate, MinVersion: tls.VersionTLS13},
		ErrorLog:  log.New(io.Discard, "", 0), // of connections that a load cut
	}
	ready("")
	return server.ServeTLS(near, "", "")
}

func allNewHosts() []string {
	names := make([]string, hostCount)
	for i := range names {
		names[i] = newHost(i)
	}
	return names
}

// authenticated refuses what lacks the credential.
func authenticated(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			http.Error(w, "no credential", http.StatusUnauthorized)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func upstream() http.Handler {
	mux := http.NewServeMux()
	reply := []byte(strings.Repeat("x", 1<<10))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(reply) })
	mux.HandleFunc(nearPath+"/bytes", sendBytes)
	mux.HandleFunc(nearPath+"/sink", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		_, _ = fmt.Fprint(w, n)
	})
	mux.HandleFunc(nearPath+"/events", sendEvents)
	mux.HandleFunc(nearPath+"/echo", echo)
	return mux
}

func number(r *http.Request, name string) int64 {
	n, err := strconv.ParseInt(r.URL.Query().Get(name), 10, 64)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return n
}

var mebibyte = make([]byte, 1<<20)

// sendBytes answers with n bytes.
func sendBytes(w http.ResponseWriter, r *http.Request) {
	n := number(r, "n")
	w.Header().Set("Content-Length", strconv.FormatInt(n, 10))
	for n > 0 {
		k, err := w.Write(mebibyte[:min(n, int64(len(mebibyte)))])
		if err != nil {
			return
		}
		n -= int64(k)
	}
}

// sendEvents sends n server-sent events, every so many milliseconds, each the
// nanosecond of the clock at which it was sent.
func sendEvents(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	if flusher.Flush() != nil {
		return
	}
	every := time.NewTicker(time.Duration(number(r, "every")) * time.Millisecond)
	defer every.Stop()
	for range number(r, "n") {
		<-every.C
		if _, err := fmt.Fprintf(w, "data: %d\n\n", time.Now().UnixNano()); err != nil || flusher.Flush() != nil {
			return
		}
	}
}

// echo sends each WebSocket message back.
func echo(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer func() { _ = c.CloseNow() }()
	for {
		kind, message, err := c.Read(r.Context())
		if err != nil || c.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// relay leads connections to addr, each byte oneWay late in either direction.
// The kernel has answered the TCP handshake before the relay sees it, so its
// round trip is made up for by holding the client's first bytes back that much
// longer: in TLS the client speaks first, and waits as long.
func relay(l net.Listener, addr string, oneWay time.Duration) {
	for {
		near, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			far, err := net.Dial("tcp", addr)
			if err != nil {
				_ = near.Close()
				return
			}
			go late(far, near, oneWay, time.Now().Add(2*oneWay))
			late(near, far, oneWay, time.Time{})
		}()
	}
}

// late copies src to dst, each piece delay after it came and none before
// notBefore plus delay.
func late(dst, src net.Conn, delay time.Duration, notBefore time.Time) {
	type piece struct {
		bytes []byte
		due   time.Time
	}
	pieces := make(chan piece, 1024)
	go func() {
		defer close(pieces)
		for {
			b := make([]byte, 16<<10)
			n, err := src.Read(b)
			if n > 0 {
				at := time.Now()
				if at.Before(notBefore) {
					at = notBefore
				}
				pieces <- piece{b[:n], at.Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := dst.Write(p.bytes); err != nil {
			break
		}
	}
	_ = dst.Close()
	_ = src.Close()
	for range pieces { // lets the reader end
	}
}
