package proxy

import (
	"context"
	"io"
	"slices"
	"sync"
	"time"
)

// keeper is the source of a body that may have to be sent a second time: it
// keeps what the client sent, until the answer begins or a bound is passed.
// From then on it hands bytes through as if it were not there. Nothing waits
// for it: whoever reads gets each piece as it comes.
type keeper struct {
	s       *Server
	touch   func()
	src     source
	size    int64         // of the body, or chunkedLength
	before  func() error  // the reader's; nil does nothing
	reading chan struct{} // holds a value while src is read

	mu       sync.Mutex
	buf      []byte
	off      int   // how much of buf was handed out
	held     int64 // of the server's total
	keeping  bool
	err      error // what ended src; io.EOF is its proper end
	trailers []field
	direct   []byte // read, not kept, to be handed out now
	left     int64  // rest of direct
	last     int64  // rest of what was handed out last
	enough   bool   // nobody fetches ahead any more
	fetched  chan struct{}
}

func newKeeper(s *Server, src source, size int64, touch func()) *keeper {
	return &keeper{s: s, src: src, size: size, touch: touch, reading: make(chan struct{}, 1), keeping: true}
}

func (k *keeper) next() ([]byte, error) {
	for {
		if p, err := k.atHand(); p != nil || err != nil {
			return p, err
		}
		select {
		case k.reading <- struct{}{}:
		default: // fetch reads, and flushes nothing
			_ = k.flush()
			k.reading <- struct{}{}
		}
		if !k.ready() { // nobody was faster
			k.src.onWait(k.flush)
			k.read(false)
			k.src.onWait(nil)
		}
		<-k.reading
	}
}

// flush calls what is to be called before a wait. That the upstream has gone is
// met again at the next write: here it must not look like the client's doing.
func (k *keeper) flush() error {
	if k.before != nil {
		_ = k.before()
	}
	return nil
}

// atHand takes what was read already.
func (k *keeper) atHand() ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.off < len(k.buf):
		p := k.buf[k.off:]
		k.off, k.last = len(k.buf), 0
		if !k.keeping {
			k.release()
		}
		return p, nil
	case k.direct != nil:
		p := k.direct
		k.direct, k.last = nil, k.left
		return p, nil
	}
	return nil, k.err
}

func (k *keeper) ready() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.off < len(k.buf) || k.direct != nil || k.err != nil
}

// read reads once; the caller holds k.reading. With ahead the piece goes into
// the buffer whatever the bounds say: nobody is there to take it.
func (k *keeper) read(ahead bool) {
	p, err := k.src.next()
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err != nil:
		k.err = err
		if err == io.EOF {
			k.trailers = slices.Clone(k.src.trailer())
		}
		return
	case k.keeping && k.room(len(p)):
		k.buf = append(k.buf, p...)
		return
	}
	k.keeping = false
	if ahead {
		k.buf = append(k.buf, p...)
		return
	}
	k.release()
	k.direct, k.left = p, k.src.rest()
}

// room makes space for n more bytes if the bounds allow it.
func (k *keeper) room(n int) bool {
	need, limit := len(k.buf)+n, k.s.limits.ReplayBody
	if need > limit {
		return false
	}
	if need <= cap(k.buf) {
		return true
	}
	size := min(max(need, 2*cap(k.buf)), limit)
	if k.size > 0 {
		size = int(k.size) // told ahead, and begun
	}
	more := int64(size) - k.held
	if k.s.kept.Add(more) > k.s.limits.ReplayTotal {
		k.s.kept.Add(-more)
		return false
	}
	k.held += more
	grown := make([]byte, len(k.buf), size)
	copy(grown, k.buf)
	k.buf = grown
	return true
}

// release gives the buffer back; k.mu is held.
func (k *keeper) release() {
	k.s.kept.Add(-k.held)
	k.buf, k.off, k.held = nil, 0, 0
}

// forget stops the keeping: the answer has begun, and it is none to send the
// request again for.
func (k *keeper) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keeping = false
	if k.off == len(k.buf) {
		k.release()
	}
}

// whole reports whether all of the body is kept.
func (k *keeper) whole() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keeping && k.err == io.EOF
}

// hopeless reports whether the body cannot become whole any more.
func (k *keeper) hopeless() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return !k.keeping || k.err != nil && k.err != io.EOF
}

// arrived reports whether what is still to be handed out can be had without a
// wait, and is little.
func (k *keeper) arrived() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err == nil {
		b, ok := k.src.(*body)
		return ok && b.whole()
	}
	return k.err == io.EOF && len(k.buf)-k.off <= bufSize
}

// await reads the body to its end, for whoever has stopped reading it or is
// slow to, and reports whether it is whole. It gives up after a time.
func (k *keeper) await(ctx context.Context, d time.Duration) bool {
	if k.whole() || k.hopeless() {
		return k.whole()
	}
	k.fetched = make(chan struct{})
	go k.fetch()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-k.fetched:
	case <-t.C:
	case <-ctx.Done():
	}
	k.mu.Lock()
	k.enough = true
	k.mu.Unlock()
	return k.whole()
}

func (k *keeper) fetch() {
	defer close(k.fetched)
	for {
		k.reading <- struct{}{}
		k.mu.Lock()
		done := k.enough || k.err != nil || !k.keeping
		k.mu.Unlock()
		if !done {
			k.read(true)
			k.touch()
		}
		<-k.reading
		if done {
			return
		}
	}
}

// rewind begins anew with the first byte. Nobody else reads.
func (k *keeper) rewind() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.off = 0
}

// fetching reports whether a goroutine of await still reads from the client.
func (k *keeper) fetching() bool {
	if k.fetched == nil {
		return false
	}
	select {
	case <-k.fetched:
		return false
	default:
		return true
	}
}

// end gives everything back. Nobody reads any more.
func (k *keeper) end() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keeping = false
	k.release()
}

func (k *keeper) rest() int64 { return k.last }

func (k *keeper) onWait(f func() error) { k.before = f }

// trailer returns a copy: what one injection replaces the next may not.
func (k *keeper) trailer() []field { return slices.Clone(k.trailers) }
