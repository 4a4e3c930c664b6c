package broker

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"kb/internal/control"
	"kb/internal/policy"
)

const (
	// holdTime is how long a request waits for a person before it is refused.
	// 2 min: time to come back to the desk and read it, and well below the 300 s
	// after which Node's fetch gives up by itself (undici, headersTimeout), so
	// that the agent hears of the refusal and its reason.
	holdTime = 2 * time.Minute
	// holdMax is how many requests of a session wait at once. 64: no person
	// answers more within holdTime; what comes besides is refused at once.
	holdMax = 64
	// holdRate is how many may begin to wait within a minute. 600: a client that
	// tries again every second is far below; more than that is a flood, in which
	// what a person sees is gone before it is read, and ids come round.
	holdRate = 600
	// saidMax is how many answers a session remembers. 1,024: each was given by
	// a person. Beyond it requests are asked about again.
	saidMax = 1024
)

// likeness is what two requests have in common when one answer may serve both:
// the line that asks, as it was worded when the person saw it, the login, the
// method and the host. Of requests that mint, or open a websocket, none is like
// another that does not.
type likeness struct {
	line, words           string
	profile, provider, as string
	account               string // a login of the name may be another one's by now
	method                string // with those that its fields name besides
	host                  string
	port                  uint16
	git                   string
	mint                  bool
	websocket             bool
}

// held is a request that waits for a person.
type held struct {
	request control.Request
	like    likeness
	answer  chan control.Answer // holds one; who takes the request out of the list sends it
}

// approvals are the requests of a session that wait for a person, and what
// persons have said for its rest. They are not for copying.
type approvals struct {
	now    func() time.Time
	after  func(time.Duration) (<-chan time.Time, func() bool)
	random io.Reader

	mu      sync.Mutex
	waiting []*held // oldest first
	begun   policy.Meter
	number  uint16 // of the newest id; its first four digits
	step    uint16 // from one id to the next; 0 until there is one
	said    map[likeness]bool
	told    func() // is told of each change of waiting, with mu held
}

func newApprovals(now func() time.Time) *approvals {
	return &approvals{
		now: now, random: rand.Reader, said: map[likeness]bool{}, told: func() {},
		after: func(d time.Duration) (<-chan time.Time, func() bool) {
			t := time.NewTimer(d)
			return t.C, t.Stop
		},
	}
}

// ending is how a request's wait ended.
type ending uint8

const (
	unanswered ending = iota
	abandoned         // the client or the session ended first
	answeredOnce
	answeredSession
	answeredDeny
	answeredDenySession
)

// remembered is what a person said about requests like this one, if anything.
func (a *approvals) remembered(like likeness) (yes, said bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	yes, said = a.said[like]
	return yes, said
}

// hold puts a request among those that wait, unless too many do. began is told of
// it, with its id and deadline, before anybody can answer; an error from it is
// returned, and the request does not wait.
func (a *approvals) hold(r control.Request, like likeness, deadline time.Time, began func(control.Request) error) (h *held, full bool, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.waiting) >= holdMax || a.begun.Full(a.now(), holdRate) > 0 {
		return nil, true, nil
	}
	id, err := a.newID()
	if err != nil {
		return nil, false, err
	}
	r.ID, r.Asked, r.Deadline = id, a.now(), deadline
	if err := began(r); err != nil {
		return nil, false, err
	}
	a.begun.Count(a.now())
	h = &held{request: r, like: like, answer: make(chan control.Answer, 1)}
	a.waiting = append(a.waiting, h)
	a.told()
	return h, false, nil
}

// newID makes an id that names no other request for as long as a person keeps one
// in mind, nor does its beginning, which is enough to name one: the first four
// digits go through all there are, in an order that nobody foresees. An agent that
// has its request withdrawn, and others made until one has the same id, would have
// that one approved. The caller holds mu.
func (a *approvals) newID() (string, error) {
	var b [5]byte
	if _, err := io.ReadFull(a.random, b[:]); err != nil {
		return "", fmt.Errorf("make the id of a request: %w", err)
	}
	if a.step == 0 {
		a.number, a.step = binary.BigEndian.Uint16(b[:]), binary.BigEndian.Uint16(b[2:])|1 // odd: it comes to all
	}
	a.number += a.step
	return fmt.Sprintf("%04x%02x", a.number, b[4]), nil
}

func (a *approvals) find(id string) int {
	return slices.IndexFunc(a.waiting, func(h *held) bool { return h.request.ID == id })
}

// wait waits for the answer, at most until the request's deadline.
func (a *approvals) wait(ctx context.Context, life context.Context, h *held) ending {
	expired, stop := a.after(h.request.Deadline.Sub(a.now()))
	defer stop()
	ended := abandoned
	select {
	case said := <-h.answer:
		return heard(said)
	case <-expired:
		ended = unanswered
	case <-ctx.Done():
	case <-life.Done():
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if i := slices.Index(a.waiting, h); i >= 0 {
		a.waiting = slices.Delete(a.waiting, i, i+1)
		a.told()
		return ended
	}
	// Answered in the same moment. A client that has gone gets nothing.
	if ended == abandoned {
		return ended
	}
	return heard(<-h.answer)
}

func heard(said control.Answer) ending {
	switch said {
	case control.Once:
		return answeredOnce
	case control.Session:
		return answeredSession
	case control.DenySession:
		return answeredDenySession
	}
	return answeredDeny
}

// answer gives a person's answer to the request that waits under an id. One
// for the rest of the session answers all that wait and are like it.
func (a *approvals) answer(id string, said control.Answer) error {
	switch said {
	case control.Once, control.Session, control.Deny, control.DenySession:
	default:
		return fmt.Errorf("answer request %q: %q is no answer", id, said)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.find(id)
	if i < 0 {
		return fmt.Errorf("answer request %q: %w", id, control.ErrNoRequest)
	}
	first := a.waiting[i]
	lasting := said == control.Session || said == control.DenySession
	if lasting && len(a.said) < saidMax {
		a.said[first.like] = said == control.Session
	}
	a.waiting = slices.DeleteFunc(a.waiting, func(h *held) bool {
		if h != first && (!lasting || h.like != first.like) {
			return false
		}
		h.answer <- said
		return true
	})
	a.told()
	return nil
}

// Waiting are the requests that wait for a person, oldest first.
func (s *Session) Waiting() []control.Request {
	a := s.approvals
	a.mu.Lock()
	defer a.mu.Unlock()
	list := make([]control.Request, len(a.waiting))
	for i, h := range a.waiting {
		list[i] = h.request
	}
	return list
}

// Answer is a person's answer to a waiting request. It is
// [control.ErrNoRequest] if none waits under that id: it was answered, its
// client has gone, or its time is over.
func (s *Session) Answer(ctx context.Context, id string, a control.Answer) error {
	// Whoever said "always" has written a line a moment ago: it is in effect before
	// the request goes on, or the next one like it would wait again.
	if a == control.Once || a == control.Session {
		s.lookNow(ctx)
	}
	return s.approvals.answer(id, a)
}
