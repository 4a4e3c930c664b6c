package tui

import (
	"context"
	"errors"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/audit"
)

const (
	// auditPage is how many lines of the audit are asked for at once, the newest
	// first: 5,000 are read in some 20 ms.
	auditPage = 5000
	// nearFirst: with so few rows left above the cursor the lines before them are
	// asked for.
	nearFirst = 500
)

// auditBatch is what was written to the audit since the last one. The first, which
// has nothing, says that following has begun.
type auditBatch []audit.Event

// auditEnded says that following has ended, and why.
type auditEnded struct{ err error }

// auditTail is the answer to a stream's question for its end, auditOlder for what is
// before its first row.
type (
	auditTail struct {
		request uint64
		events  []audit.Event
		err     error
	}
	auditOlder auditTail
)

// lookOn makes a stream go on with its filter.
type lookOn struct{ stream *stream }

// followAgain is how long after following has failed it is tried again: a full
// disk or too many watches (inotify(7)) do not pass faster.
const followAgain = 5 * time.Second

// follow sends what is written to the audit, until ctx ends.
func follow(ctx context.Context, b Backend, send func(tea.Msg)) {
	for {
		err := b.AuditFollow(ctx, func(events []audit.Event) { send(auditBatch(events)) })
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			err = errors.New("following the audit has ended")
		}
		send(auditEnded{err})
		again := time.NewTimer(followAgain)
		select {
		case <-ctx.Done():
			again.Stop()
			return
		case <-again.C:
		}
	}
}

// stream is the end of the audit, as far as a filter takes it, held and followed.
type stream struct {
	*shared
	filter  audit.Filter
	trail   *trail
	hits    hits
	request uint64 // of the last question for the end; its answer counts alone
	stop    context.CancelFunc
	busy    bool
	loaded  bool
	err     error         // of the last answer
	pending []audit.Event // came while the end was asked for
	older   uint64        // the last question for lines before; 0 when none is open
	whole   bool          // the first row is the first there is
	looking bool          // a lookOn is under way
}

func newStream(s *shared, f audit.Filter) *stream {
	st := &stream{shared: s, filter: f, trail: newTrail(trailMax)}
	st.hits = hits{t: st.trail, zone: s.zone()}
	return st
}

// ask asks for the end of the audit; what is held stays until the answer.
func (st *stream) ask() tea.Cmd {
	st.close()
	st.requests++
	st.request, st.busy = st.requests, true
	ctx, stop := context.WithCancel(st.ctx)
	st.stop = stop
	request, f := st.request, st.filter
	return func() tea.Msg {
		events, err := st.backend.AuditTail(ctx, auditPage, f)
		return auditTail{request, events, err}
	}
}

// close ends the questions that are open: their answers are not wanted.
func (st *stream) close() {
	if st.stop != nil {
		st.stop()
	}
	st.request, st.older, st.busy = 0, 0, false
}

// askOlder asks for the lines before the first row.
func (st *stream) askOlder() tea.Cmd {
	if st.older != 0 || st.busy || !st.loaded || st.whole || st.trail.full() || st.trail.len() == 0 {
		return nil
	}
	st.requests++
	st.older = st.requests
	request, f := st.older, st.filter
	first, _ := st.trail.event(st.trail.first())
	ctx := st.ctx
	return func() tea.Msg {
		events, err := st.backend.AuditBefore(ctx, first, auditPage, f)
		return auditOlder{request, events, err}
	}
}

// update takes what concerns the stream. It reports whether its rows are others.
func (st *stream) update(msg tea.Msg) (changed bool, cmd tea.Cmd) {
	switch msg := msg.(type) {
	case auditBatch:
		if len(msg) == 0 {
			// What was written between the answer and the beginning is in neither.
			return false, st.ask()
		}
		if st.busy {
			st.pending = append(st.pending, msg...)
			if drop := len(st.pending) - trailMax; drop > 0 {
				st.pending = st.pending[drop:]
			}
			return false, nil
		}
		for i := range msg {
			changed = st.add(&msg[i]) || changed
		}
		return changed, nil
	case auditTail:
		if msg.request != st.request {
			return false, nil
		}
		st.take(msg)
		return true, st.lookOn()
	case auditOlder:
		if msg.request != st.older {
			return false, nil
		}
		st.older = 0
		if msg.err != nil {
			st.err = msg.err
			return true, nil
		}
		st.whole = len(msg.events) < auditPage
		st.trail.putBefore(msg.events)
		return true, st.lookOn()
	case lookOn:
		if msg.stream != st {
			return false, nil
		}
		st.looking = false
		st.hits.step()
		return true, st.lookOn()
	}
	return false, nil
}

// add takes an event that was written just now.
func (st *stream) add(e *audit.Event) bool {
	if !st.filter.Match(e) {
		return false
	}
	first := st.trail.first()
	row, joined := st.trail.add(e)
	st.whole = st.whole && st.trail.first() == first
	st.hits.added(row, joined)
	return true
}

// take keeps the end of the audit, and after it what came meanwhile.
func (st *stream) take(msg auditTail) {
	st.stop()
	st.busy, st.loaded, st.err = false, true, msg.err
	pending := st.pending
	st.pending = nil
	if msg.err == nil {
		version := st.trail.version
		st.trail = newTrail(trailMax)
		st.trail.version = version + 1
		st.hits.t = st.trail
		for i := range msg.events {
			st.trail.add(&msg.events[i])
		}
		st.hits.reset()
		st.whole = len(msg.events) < auditPage
	}
	if len(pending) == 0 {
		return
	}
	type line struct {
		session string
		seq     uint64
	}
	held := make(map[line]bool, len(msg.events))
	for i := range msg.events {
		held[line{msg.events[i].Session, msg.events[i].Seq}] = true
	}
	for i := range pending {
		if e := &pending[i]; !held[line{e.Session, e.Seq}] {
			st.add(e)
		}
	}
}

// look sets the words that rows are shown by.
func (st *stream) look(filter string) { st.hits.set(filter) }

// lookOn goes on with the filter where it is not through, a chunk at a message, so
// that keys get between.
func (st *stream) lookOn() tea.Cmd {
	if st.looking || st.hits.done() {
		return nil
	}
	st.looking = true
	return func() tea.Msg { return lookOn{st} }
}
