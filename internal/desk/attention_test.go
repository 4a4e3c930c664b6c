package desk

import (
	"slices"
	"testing"
	"time"
)

// TestAttentionThatWasAskedForDuringALook: what has changed since a look began is
// looked at after it, and told.
func TestAttentionThatWasAskedForDuringALook(t *testing.T) {
	t.Parallel()
	told := make(chan struct{}, 10)
	a := &attention{beside: func(f func()) { go f() }, told: func() { told <- struct{}{} }}
	begun, end := make(chan struct{}), make(chan struct{})
	before := func() []string {
		close(begun)
		<-end
		return []string{"no profile yet"}
	}
	if got := a.at(before); got != nil {
		t.Errorf("before anyone has looked: %q", got)
	}
	<-begun
	a.at(func() []string { return []string{"no login yet"} })
	close(end)
	for range 2 {
		select {
		case <-told:
		case <-time.After(10 * time.Second):
			t.Fatal("nobody is told")
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.lines, []string{"no login yet"}) || a.looking != nil {
		t.Errorf("known are %q", a.lines)
	}
}
