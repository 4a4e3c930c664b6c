package proxy

import (
	"bytes"
	"context"
	"io"
	"maps"
	"net/http"
	"slices"
)

// local answers the request in place of the upstream. Nothing is dialled.
func (x *exchange) local(ctx context.Context) *Refusal {
	text, r := x.readWhole(ctx)
	if r != nil || x.broken {
		return r
	}
	x.track.enter(phasePolicy)
	reply, ok := x.answerLocally(ctx, text)
	x.track.enter(phaseExchange)
	if !ok || !x.ans.fill(reply, x.info.Method) {
		x.ended = endedInternal
		x.s.policy.Refused(x.info.ConnectInfo, &x.info, internalRefusal())
		return internalRefusal()
	}
	x.status = x.ans.status
	if x.sendLocal(reply.Body) != nil || ctx.Err() != nil {
		x.ended, x.broken = endedClient, true
	}
	return nil
}

func (x *exchange) sendLocal(text []byte) error {
	if err := x.cl.head(&x.ans, x.closing); err != nil {
		return err
	}
	if !x.ans.bodiless {
		if err := x.cl.content(text, 0); err != nil {
			return err
		}
	}
	if err := x.cl.end(nil); err != nil {
		return err
	}
	return x.cl.finish()
}

// answerLocally calls Local; ok is false if the policy failed.
func (x *exchange) answerLocally(ctx context.Context, text []byte) (reply Reply, ok bool) {
	defer func() {
		if recover() != nil {
			reply, ok = Reply{}, false
		}
	}()
	return x.inj.Local(ctx, text), true
}

// readWhole reads the request's body, as long as it is within its bound. It
// may stall as long as the rest of an upload may.
func (x *exchange) readWhole(ctx context.Context) ([]byte, *Refusal) {
	if x.src == nil {
		return nil, nil
	}
	limit := x.s.limits.LocalBody
	if x.length > int64(limit) {
		return nil, x.tooLarge()
	}
	if x.out.expect && x.cl.interim(&answer{status: http.StatusContinue, reason: "Continue"}) != nil {
		x.ended, x.broken = endedClient, true
		return nil, nil
	}
	if st, ok := x.cl.(*stream); ok {
		// A stream that is cut has its context ended, its body is not.
		defer context.AfterFunc(ctx, st.stop)()
	}
	x.track.enter(phaseLinger)
	var text bytes.Buffer
	for {
		p, err := x.src.next()
		if err == io.EOF {
			return text.Bytes(), nil
		}
		if fault := clientFault(err); fault != nil {
			x.ended = endedMalformed
			x.s.policy.Refused(x.info.ConnectInfo, &x.info, fault)
			return nil, fault
		}
		if err != nil {
			x.ended, x.broken = endedClient, true
			return nil, nil
		}
		x.track.touch()
		if text.Len()+len(p) > limit {
			return nil, x.tooLarge()
		}
		text.Write(p)
	}
}

func (x *exchange) tooLarge() *Refusal {
	r := &Refusal{
		Status: http.StatusRequestEntityTooLarge, Code: CodeBodyTooLarge,
		Message: "kb answers this request itself, and its body is larger than such a request has.",
	}
	x.s.policy.Refused(x.info.ConnectInfo, &x.info, r)
	return r
}

// fill makes the head of an answer that came from no upstream. It reports
// whether the reply can be one.
func (a *answer) fill(reply Reply, method string) bool {
	*a = answer{status: reply.Status, reason: http.StatusText(reply.Status), fields: a.fields[:0], length: int64(len(reply.Body))}
	if reply.Status < 200 || reply.Status > 599 {
		return false
	}
	a.bodiless = method == http.MethodHead || reply.Status == http.StatusNoContent || reply.Status == http.StatusNotModified
	if a.bodiless && method != http.MethodHead {
		a.length = chunkedLength
	}
	typed := false
	for _, name := range slices.Sorted(maps.Keys(reply.Header)) {
		canonical := http.CanonicalHeaderKey(name)
		typed = typed || canonical == "Content-Type"
		for _, value := range reply.Header[name] {
			if !isToken(name) || !headerText(value) {
				return false
			}
			a.fields = append(a.fields, field{canonical, value})
		}
	}
	if !typed && len(reply.Body) > 0 {
		a.fields = append(a.fields, field{"Content-Type", "application/json"})
	}
	a.clean()
	return true
}
