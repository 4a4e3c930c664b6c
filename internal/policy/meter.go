package policy

import "time"

// window is the number of seconds that a Meter looks back over, the present
// one included. 61: the first of them may be half over, and no minute may see
// more than the limit.
const window = 61

// Meter counts the requests of a limit over the last minute, in as little room
// as a count a second takes. It is not safe for concurrent use.
type Meter struct {
	counts [window]int
	newest int64 // second since 1970 of the newest count
	total  int
}

// Full returns how long it takes until there is room for one more; 0 is now.
func (m *Meter) Full(now time.Time, perMinute int) time.Duration {
	m.advance(now)
	if m.total < perMinute {
		return 0
	}
	excess := m.total - perMinute + 1
	for second := m.newest - window + 1; second <= m.newest; second++ {
		if excess -= m.counts[slot(second)]; excess <= 0 {
			return time.Unix(second+window, 0).Sub(time.Unix(m.newest, 0))
		}
	}
	return window * time.Second // not reached: the counts add up to total
}

// Count counts a request.
func (m *Meter) Count(now time.Time) {
	m.advance(now)
	m.counts[slot(m.newest)]++
	m.total++
}

// advance forgets what is older than the window. A clock that was set back
// stands still for the meter.
func (m *Meter) advance(now time.Time) {
	second := now.Unix()
	if second-m.newest >= window {
		m.counts, m.total, m.newest = [window]int{}, 0, second
		return
	}
	for m.newest < second {
		m.newest++
		m.total -= m.counts[slot(m.newest)]
		m.counts[slot(m.newest)] = 0
	}
}

func slot(second int64) int { return int(((second % window) + window) % window) }
