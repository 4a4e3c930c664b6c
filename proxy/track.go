package proxy

import (
	"sync/atomic"
	"syscall"
	"time"
)

// phase is what a client connection or one of its streams is doing, and so
// which limit it is under.
type phase int32

const (
	phaseHead      phase = iota // part of a head has come, or the connection is new
	phaseIdle                   // waits for its next request
	phaseHandshake              // TLS
	phasePolicy                 // the policy is asked; a human may be
	phaseExchange               // bytes go to and from an upstream
	phaseLinger                 // the answer is complete, the upload is not
	phaseTunnel                 // bytes that kb does not read, or a websocket
	phaseH2                     // HTTP/2: each stream has a tracker of its own
)

// tracker is what the scanner knows of a connection or a stream. Noting
// progress is one store of the time of the last scan: no timer is set and no
// clock read for a request.
type tracker struct {
	clock *atomic.Int64 // the server's coarse time
	cut   func()        // ends everything, mid-message if need be
	abort func()        // ends the upstream's side where upstream is nil
	sys   syscall.RawConn

	phase    atomic.Int32
	since    atomic.Int64 // coarse time of the phase's beginning or the last progress
	upstream atomic.Pointer[upstreamConn]
	expired  atomic.Bool // the exchange came under its limit
	gone     atomic.Bool // the client closed while it was to wait
}

func (t *tracker) enter(p phase) {
	t.since.Store(t.clock.Load())
	t.phase.Store(int32(p))
}

// touch notes progress.
func (t *tracker) touch() { t.since.Store(t.clock.Load()) }

func (t *tracker) in(p phase) bool { return phase(t.phase.Load()) == p }

// check holds what is tracked against its limits.
func (t *tracker) check(now time.Time, l *Limits) {
	idle := now.Sub(time.Unix(0, t.since.Load()))
	switch phase(t.phase.Load()) {
	case phaseHead:
		t.cutAfter(idle, l.Head)
	case phaseIdle:
		t.cutAfter(idle, l.KeepAlive)
	case phaseHandshake:
		t.cutAfter(idle, l.Handshake)
	case phaseLinger:
		t.cutAfter(idle, l.Linger)
	case phasePolicy:
		if hungUp(t.sys) {
			t.gone.Store(true)
			t.cut()
		}
	case phaseExchange:
		switch {
		case hungUp(t.sys):
			t.gone.Store(true)
			t.cut()
		case idle <= l.Exchange:
		case t.expired.Swap(true):
			t.cut() // stuck on the client
		default:
			// The upstream first, so that the client can still be told.
			if u := t.upstream.Load(); u != nil {
				u.close()
			} else {
				t.abort()
			}
		}
	case phaseTunnel, phaseH2:
	}
}

func (t *tracker) cutAfter(idle, limit time.Duration) {
	if idle > limit {
		t.cut()
	}
}
