package vaultfile

import (
	"maps"
	"slices"
	"time"
)

// Clock is a version vector: for each device that ever saved the vault, how
// often it did.
type Clock map[string]uint64

// Order is how two clocks stand to each other.
type Order int

// Orders of clocks.
const (
	Equal  Order = iota
	Before       // the first knows less than the second
	After
	Apart // each knows a save that the other does not
)

// Compare returns how c stands to d. An absent device counts as 0.
func (c Clock) Compare(d Clock) Order {
	less, more := false, false
	for id, n := range c {
		switch m := d[id]; {
		case n < m:
			less = true
		case n > m:
			more = true
		}
	}
	for id, m := range d {
		if _, both := c[id]; !both && m > 0 {
			less = true
		}
	}
	switch {
	case less && more:
		return Apart
	case less:
		return Before
	case more:
		return After
	}
	return Equal
}

// maxLeap is how much a device's count can have grown since this one last saw
// it: a save a second for a century. A count near its end would let the device
// save no more, and in a merge the greater one stays for good.
const maxLeap = 1 << 32

// leaps reports whether a count of c is further from that in d than saves go.
func (c Clock) leaps(d Clock) bool {
	for id, n := range c {
		if n > d[id]+maxLeap {
			return true
		}
	}
	return false
}

// Clone returns a copy, never nil.
func (c Clock) Clone() Clock {
	d := make(Clock, len(c)+1)
	maps.Copy(d, c)
	return d
}

func (c Clock) appendJSON(b []byte) []byte {
	b = append(b, '{')
	for i, id := range slices.Sorted(maps.Keys(c)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, id), ':')
		b = appendInt(b, int64(c[id]))
	}
	return append(b, '}')
}

// A stamp says when and where something was written: a hybrid logical clock
// (Kulkarni et al., 2014) and the device that breaks a tie. The clock is one
// integer, milliseconds since 1970 in UTC shifted left by hlcBits, plus a
// counter; it fits below 2^53 until the year 2248.
type stamp struct {
	hlc    int64
	device string
}

// hlcBits is the width of the counter: 1,024 events in one millisecond, after
// which the clock runs ahead of the wall by a millisecond.
const hlcBits = 10

// less orders stamps by clock, then device. Of two, the greater wins.
func (s stamp) less(t stamp) bool {
	return s.hlc < t.hlc || s.hlc == t.hlc && s.device < t.device
}

// when is the wall clock's part of the stamp.
func (s stamp) when() time.Time { return time.UnixMilli(s.hlc >> hlcBits).UTC() }

// later returns the newer of two stamps.
func later(s, t stamp) stamp {
	if s.less(t) {
		return t
	}
	return s
}

// tick returns a clock reading later than every one seen.
func tick(now time.Time, seen int64) int64 {
	return max(now.UnixMilli()<<hlcBits, seen+1)
}
