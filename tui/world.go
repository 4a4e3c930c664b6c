package tui

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// world is what the backend told last. Update alone changes it.
type world struct {
	standing  source[Standing]
	sessions  source[[]Session]
	logins    source[[]Login]
	profiles  source[Profiles]
	providers source[[]Provider]
	vault     source[Vault]
}

// source is one thing that the backend tells.
type source[T any] struct {
	value  T
	err    error     // of the last answer; value is then the one before
	loaded bool      // there was an answer
	at     time.Time // of the last answer
	asked  uint64    // number of the last request
	busy   bool      // it is not answered yet
	again  bool      // it changed while it was being asked for
}

// answer is a backend's answer to one request.
type answer[T any] struct {
	request uint64
	value   T
	err     error
}

// ask makes the command that asks the backend. While it is under way, a further
// ask only notes that there is to be another: changes that come quickly do not
// pile up.
func ask[T any](ctx context.Context, s *source[T], get func(context.Context) (T, error)) tea.Cmd {
	if s.busy {
		s.again = true
		return nil
	}
	s.asked++
	s.busy, s.again = true, false
	request := s.asked
	return func() tea.Msg {
		value, err := get(ctx)
		return answer[T]{request, value, err}
	}
}

// take keeps an answer, unless a later one was asked for. It reports whether the
// source is to be asked again.
func (s *source[T]) take(a answer[T], now time.Time) (again bool) {
	if a.request != s.asked {
		return false
	}
	s.busy, s.loaded, s.err, s.at = false, true, a.err, now
	if a.err == nil {
		s.value = a.value
	}
	return s.again
}

// waiting lists what waits for a person, of all sessions, oldest first.
func (w *world) waiting() []Request {
	var all []Request
	for i := range w.sessions.value {
		all = append(all, w.sessions.value[i].Waiting...)
	}
	sortByTime(all)
	return all
}

// waits is how many they are.
func (w *world) waits() int {
	n := 0
	for i := range w.sessions.value {
		n += len(w.sessions.value[i].Waiting)
	}
	return n
}
