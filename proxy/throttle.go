package proxy

import (
	"context"
	"sync"
	"time"
)

const (
	// throttleFree is how many wrong tokens are answered at once. A client with
	// an old token in its environment makes a few.
	throttleFree = 10
	// throttleStep is what each further one waits behind the one before it.
	throttleStep = 100 * time.Millisecond
	// throttleMax is the longest wait of one answer.
	throttleMax = 2 * time.Second
)

// throttle slows down the guessing of session tokens. Requests without a token
// are not guesses: git's first one never has it.
type throttle struct {
	now func() time.Time

	mu   sync.Mutex
	free int
	next time.Time
}

// delay returns how long the answer to a wrong token has to wait.
func (t *throttle) delay() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if now.Sub(t.next) > time.Minute {
		t.free = throttleFree
	}
	if t.next.Before(now) {
		t.next = now
	}
	if t.free > 0 {
		t.free--
		return 0
	}
	t.next = t.next.Add(throttleStep)
	if d := t.next.Sub(now); d < throttleMax {
		return d
	}
	t.next = now.Add(throttleMax)
	return throttleMax
}

func (t *throttle) wait(ctx context.Context) {
	d := t.delay()
	if d == 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
