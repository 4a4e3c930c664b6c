package proxy

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// errAgain says that the request is to be sent again, with the injection that
// is now the exchange's.
var errAgain = errors.New("sent again")

// errOver says that the exchange has ended and its upstream connection was
// seen to.
var errOver = errors.New("over")

// rejected reports whether the answer in x.ans is a 401 that the policy is to
// hear of: the first of the request.
func (x *exchange) rejected() bool {
	return x.ans.status == http.StatusUnauthorized && x.inj.Rejected != nil && !x.again
}

// reconsider asks the policy what to send instead of what the upstream has
// answered 401 to. Nil and no error: the 401 goes on to the client.
// continued says whether the client was told to go on with its body, and is
// set if it is told here.
func (x *exchange) reconsider(ctx context.Context, continued *bool) (*Injection, error) {
	again, err := x.replayable(ctx, continued)
	if err != nil {
		return nil, err
	}
	// The policy may take its time: no idle limit counts, and the client's
	// leaving is looked for.
	x.track.enter(phasePolicy)
	next, ok := x.ask(ctx, again)
	x.track.enter(phaseExchange)
	switch {
	case !again:
		return nil, nil
	case !ok:
		x.ended = endedInternal
		return nil, internalRefusal()
	}
	return next, nil
}

// replayable reports whether the request can be sent a second time. For the
// end of a small body it waits a little.
func (x *exchange) replayable(ctx context.Context, continued *bool) (bool, error) {
	if x.src == nil {
		return true, nil
	}
	if x.keep == nil || x.keep.hopeless() {
		return false, nil
	}
	if x.out.expect && !*continued && !x.keep.whole() {
		if x.length < 0 {
			return false, nil // who knows how much would come
		}
		// It waits for this word, and the upstream will not give it.
		if x.cl.interim(&answer{status: http.StatusContinue, reason: "Continue"}) != nil {
			return false, errClientGone
		}
		*continued = true
	}
	return x.keep.await(ctx, x.s.limits.ReplayWait), nil
}

// ask calls Rejected. A panic of the policy's is reported to it, and must not
// leave the upstream's connection or the upload behind.
func (x *exchange) ask(ctx context.Context, again bool) (next *Injection, ok bool) {
	defer func() {
		if recover() != nil {
			x.s.policy.Refused(x.info.ConnectInfo, &x.info, internalRefusal())
			next, ok = nil, false
		}
	}()
	return x.inj.Rejected(ctx, again), true
}

// turn closes the account of the injection that was rejected and makes the
// request anew as the next one has it.
func (x *exchange) turn(next *Injection) *Refusal {
	x.status, x.ended = x.ans.status, endedAgain
	x.tell(0)
	x.inj, x.again, x.started = next, true, x.s.now()
	x.status, x.ended, x.got = 0, "", 0
	x.sent.Store(0)
	x.out.expect = false // all of the body is here
	if x.keep != nil {
		x.keep.rewind()
	}
	return x.out.apply(next, x.clean, x.info.Path, x.info.Query, x.asked)
}

// sendAgain ends the exchange with the upstream that answered 401. err is
// reconsider's; what it returns is receive's.
func (x *exchange) sendAgain(ctx context.Context, u *upstreamConn, next *Injection, uploading bool, err error) error {
	if errors.Is(err, errClientGone) {
		return err // nothing was seen to
	}
	x.leave(u, uploading)
	if err != nil {
		return err
	}
	if r := x.turn(next); r != nil {
		return r
	}
	if ctx.Err() != nil {
		x.ended, x.broken = x.why(errClientGone), true
		return errOver
	}
	return errAgain
}

// leave gives up an upstream connection whose 401 is not shown. It is kept if
// the request went out whole and the answer's end is at hand.
func (x *exchange) leave(u *upstreamConn, uploading bool) {
	sound := true
	if uploading {
		var err error
		select {
		case err = <-x.upload:
		default:
			u.close() // all of the body is here: the upload waits for nothing else
			err = errors.Join(errUpstreamGone, <-x.upload)
		}
		sound = err == nil
	}
	if sound && !x.ans.close && u.drain() {
		x.s.pool.put(u)
		return
	}
	u.close()
}

// drain reads the rest of an answer, if that is little and near.
func (u *upstreamConn) drain() bool {
	if u.body.framing == framedLength && u.body.left > drainBytes {
		return false
	}
	_ = u.raw.SetReadDeadline(time.Now().Add(drainTime))
	for n := 0; n <= drainBytes; {
		p, err := u.body.next()
		if err != nil {
			break
		}
		n += len(p)
	}
	return u.body.done() && u.rd.buffered() == 0 && u.raw.SetReadDeadline(time.Time{}) == nil
}

// letGo ends the keeping of a body with the exchange.
func (x *exchange) letGo() {
	if x.keep.fetching() {
		x.closing = true
		x.cl.stop()
		<-x.keep.fetched
	}
	x.keep.end()
}

func internalRefusal() *Refusal {
	return &Refusal{Status: http.StatusInternalServerError, Code: CodeInternal, Message: "kb failed on the request; this is a bug in kb."}
}

// turnH2 is sendAgain for HTTP/2, where the 401's stream is reset and its
// connection goes on.
func (x *exchange) turnH2(ctx context.Context, up *uploadReader, next *Injection, err error) (*Refusal, course) {
	up.leave()
	var r *Refusal
	switch {
	case errors.Is(err, errClientGone):
		x.ended, x.broken = endedClient, true
		return nil, courseEnd
	case errors.As(err, &r):
		return r, courseEnd
	}
	if r := x.turn(next); r != nil {
		return r, courseEnd
	}
	if ctx.Err() != nil {
		x.ended, x.broken = x.why(errClientGone), true
		return nil, courseEnd
	}
	return nil, courseAgain
}
