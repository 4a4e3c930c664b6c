package broker

import (
	"context"

	"kb/profile"
)

// standing is a directory being read while the vault is being opened: git's
// answer and the decryption take about as long as each other.
type standing struct {
	done  chan struct{}
	query profile.Query
	err   error
}

// stand begins to read a directory.
func (b *Broker) stand(ctx context.Context, spec DecideSpec) {
	s := &standing{done: make(chan struct{})}
	b.standing = s
	go func() {
		defer close(s.done)
		s.query, s.err = b.query(ctx, spec)
	}()
}

// wait is the query that stand began, with what it did not know yet.
func (s *standing) wait(spec DecideSpec) (profile.Query, error) {
	<-s.done
	s.query.Explicit = spec.Explicit
	return s.query, s.err
}
