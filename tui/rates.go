package tui

import (
	"time"

	"kb/internal/audit"
)

const (
	// rateStep and rateSteps: requests are counted in steps of 10 s, over the last
	// 10 min: enough to see a session that is stuck or in a loop.
	rateStep  = 10 * time.Second
	rateSteps = 60
	// rateMax bounds the sessions that are counted; those that were quiet for the
	// whole time are forgotten then.
	rateMax = 256
)

// rates count the requests of sessions over the last minutes.
type rates map[string]*rate

// rate is one session's: counts[n%rateSteps] is of step n since 1970, for the last
// rateSteps up to newest.
type rate struct {
	newest int64
	counts [rateSteps]int
}

func stepOf(t time.Time) int64 { return t.Unix() / int64(rateStep/time.Second) }

// add counts an event that begins a request.
func (r rates) add(e *audit.Event) {
	if e.Request == 0 || e.Phase == audit.PhaseOutcome {
		return
	}
	step := stepOf(e.Time)
	of := r[e.Session]
	if of == nil {
		if len(r) >= rateMax {
			r.forget(step)
		}
		of = &rate{newest: step}
		r[e.Session] = of
	}
	switch {
	case step <= of.newest-rateSteps:
		return
	case step >= of.newest+rateSteps:
		of.counts = [rateSteps]int{}
		of.newest = step
	}
	for of.newest < step {
		of.newest++
		of.counts[of.newest%rateSteps] = 0
	}
	of.counts[step%rateSteps]++
}

// forget lets go of sessions that are quiet, and if there is none, of any.
func (r rates) forget(now int64) {
	for session, of := range r {
		if of.newest <= now-rateSteps {
			delete(r, session)
		}
	}
	for session := range r {
		if len(r) < rateMax {
			return
		}
		delete(r, session)
	}
}

// last are the counts of the last n steps, the one that now is in at the end.
func (r rates) last(session string, now time.Time, n int) []int {
	n = max(0, min(n, rateSteps))
	counts := make([]int, n)
	of := r[session]
	if of == nil {
		return counts
	}
	end := stepOf(now)
	for i := range counts {
		if step := end - int64(n-1-i); step <= of.newest && step > of.newest-rateSteps {
			counts[i] = of.counts[step%rateSteps]
		}
	}
	return counts
}
