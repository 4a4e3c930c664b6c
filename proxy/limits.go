package proxy

import (
	"cmp"
	"time"
)

// Limits bounds everything a client or an upstream can make the proxy hold.
// A zero field takes the default written beside it.
type Limits struct {
	// HeadBytes is the size of a request or response head, trailers counted
	// apart. 64 KiB: twice what large cookies and signed URLs reach.
	HeadBytes int
	// Fields is the number of lines in a head. 256: browsers send some 30.
	Fields int
	// Connections is the number of client connections at once. 1,024: an agent
	// with its package manager opens some 100; each costs two descriptors.
	Connections int
	// Handshake is the time from CONNECT's 200 to the end of the TLS
	// handshake. 10 s.
	Handshake time.Duration
	// Head is the time from a head's first byte to its last, and for a new
	// connection from accept. 30 s.
	Head time.Duration
	// KeepAlive is how long a connection may wait for its next request. 5 min:
	// longer than clients keep theirs (Go 90 s), so that they close first.
	KeepAlive time.Duration
	// Exchange is how long a request may go without one byte in either
	// direction. 30 min: a language model may think for ten without a word.
	Exchange time.Duration
	// Linger is how long an upload may stall once its answer is complete. 30 s.
	Linger time.Duration
	// Dial is the time for one TCP connection and its TLS handshake. 20 s.
	Dial time.Duration
	// IdlePerHost is the number of unused upstream connections kept for one
	// host and profile. 64: two, the habit of libraries, makes 16 parallel
	// clients dial for almost every request.
	IdlePerHost int
	// IdleTime is how long such a connection is kept. 90 s, as net/http.
	IdleTime time.Duration
	// Streams is the number of concurrent requests on one HTTP/2 connection.
	// 250, as x/net/http2.
	Streams int
	// ReplayBody is the size in bytes up to which a request's body is kept until its answer
	// begins, where the policy wants to hear of a 401. 64 KiB: API calls are
	// smaller, uploads larger. A larger body passes as if nobody had asked.
	ReplayBody int
	// ReplayTotal is how many bytes of such bodies are kept at once. 8 MiB:
	// 128 of the largest. Bodies that find no room are not kept.
	ReplayTotal int64
	// ReplayWait is how long a 401 that came before the end of a small body is
	// held back for that end. 1 s: the client is on this machine, and one that
	// takes longer is streaming.
	ReplayWait time.Duration
	// LocalBody is the size in bytes of a request that is answered in place of
	// the upstream. 64 KiB: token requests have some hundred bytes, with a
	// signed assertion a few thousand.
	LocalBody int
}

// A connection whose 401 is not shown goes back to the pool if the rest of
// that answer is as small and as near as an error page is; else it is closed,
// which costs a handshake.
const (
	drainBytes = 64 << 10
	drainTime  = 100 * time.Millisecond
)

func (l Limits) withDefaults() Limits {
	return Limits{
		HeadBytes:   cmp.Or(l.HeadBytes, 64<<10),
		Fields:      cmp.Or(l.Fields, 256),
		Connections: cmp.Or(l.Connections, 1024),
		Handshake:   cmp.Or(l.Handshake, 10*time.Second),
		Head:        cmp.Or(l.Head, 30*time.Second),
		KeepAlive:   cmp.Or(l.KeepAlive, 5*time.Minute),
		Exchange:    cmp.Or(l.Exchange, 30*time.Minute),
		Linger:      cmp.Or(l.Linger, 30*time.Second),
		Dial:        cmp.Or(l.Dial, 20*time.Second),
		IdlePerHost: cmp.Or(l.IdlePerHost, 64),
		IdleTime:    cmp.Or(l.IdleTime, 90*time.Second),
		Streams:     cmp.Or(l.Streams, 250),
		ReplayBody:  cmp.Or(l.ReplayBody, 64<<10),
		ReplayTotal: cmp.Or(l.ReplayTotal, 8<<20),
		ReplayWait:  cmp.Or(l.ReplayWait, time.Second),
		LocalBody:   cmp.Or(l.LocalBody, 64<<10),
	}
}
