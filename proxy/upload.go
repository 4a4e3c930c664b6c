package proxy

import (
	"errors"
	"io"
	"time"
)

// uploadFault looks whether the upload has ended by the client's doing: with a
// broken body, which is refused, or with its leaving, which replaces err.
func (x *exchange) uploadFault(err *error) *Refusal {
	var up error
	select {
	case up = <-x.upload:
		x.upload <- up // for endUpload
	default:
		return nil
	}
	if errors.Is(up, errClientGone) {
		*err = up
	}
	if fault := clientFault(up); fault != nil && x.status == 0 {
		x.ended = endedMalformed
		x.s.policy.Refused(x.info.ConnectInfo, &x.info, fault)
		return fault
	}
	return nil
}

// uploaded reports whether the upload has ended well.
func (x *exchange) uploaded() bool {
	select {
	case err := <-x.upload:
		x.upload <- err
		return err == nil
	default:
		return false
	}
}

// awaitUpload returns the upload's end after the whole answer was relayed.
func (x *exchange) awaitUpload(u *upstreamConn) error {
	if x.again {
		return x.endUpload(u)
	}
	if d := x.cl.patience(); d > 0 {
		select {
		case err := <-x.upload:
			return err
		default:
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case err := <-x.upload:
			return err
		case <-t.C:
			x.cl.stop()
		}
	}
	return <-x.upload
}

// endUpload waits for the upload's goroutine, which must not outlive the
// exchange. What is sent again comes out of memory: it waits only for the
// upstream.
func (x *exchange) endUpload(u *upstreamConn) error {
	select {
	case err := <-x.upload:
		return err
	default:
		if x.again {
			u.close()
		} else {
			x.cl.stop()
		}
		return <-x.upload
	}
}

// clientFault tells a body that broke its framing from a connection that
// broke.
func clientFault(err error) *Refusal {
	for _, fault := range [...]error{errChunk, errTrailer, errBareLF, errHeadTooLarge, errFieldName, errFieldValue, errFold} {
		if errors.Is(err, fault) {
			return malformed(fault)
		}
	}
	return nil
}

// send writes the request. A body that has come whole goes with it; any other
// gets a goroutine, because the answer may come before the body ends.
func (x *exchange) send(u *upstreamConn) (uploading bool, err error) {
	x.scratch = x.out.appendHead(x.scratch[:0])
	if _, err := u.wr.Write(x.scratch); err != nil {
		return false, err
	}
	if x.src == nil {
		return false, u.wr.Flush()
	}
	if !x.out.expect && arrived(x.src) {
		return false, x.copyUp(u)
	}
	if x.upload == nil {
		x.upload = make(chan error, 1)
	}
	x.src.onWait(func() error {
		if u.wr.Flush() != nil {
			return errUpstreamGone
		}
		return nil
	})
	go func() {
		err := x.copyUp(u)
		x.src.onWait(nil)
		x.upload <- err
		if errors.Is(err, errClientGone) || clientFault(err) != nil {
			u.close() // the upstream must not take what came for the whole
		}
	}()
	return true, nil
}

// arrived reports whether all of a body can be had without a wait.
func arrived(src source) bool {
	switch s := src.(type) {
	case *body:
		return s.whole()
	case *keeper:
		return s.arrived()
	}
	return false
}

// copyUp copies the request's body to the upstream as it comes.
func (x *exchange) copyUp(u *upstreamConn) error {
	out := chunker{w: u.wr, chunked: x.length == chunkedLength}
	for {
		p, err := x.src.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			if clientFault(err) == nil && !errors.Is(err, errUpstreamGone) {
				err = errClientGone
			}
			return err
		}
		x.track.touch()
		x.sent.Add(int64(len(p)))
		if err := out.write(p, x.src.rest()); err != nil {
			return err
		}
	}
	if err := out.end(x.upTrailers()); err != nil {
		return err
	}
	return u.wr.Flush()
}

// upTrailers leaves out what the injection replaces or deletes.
func (x *exchange) upTrailers() []field {
	fields := x.src.trailer()
	kept := fields[:0]
	for _, f := range fields {
		if !replaced(x.inj, f.name) {
			kept = append(kept, f)
		}
	}
	return kept
}
