package tui

import (
	"math"
	"sort"
	"time"

	"kb/internal/audit"
)

const (
	// trailMax is how many lines of the audit are held. 100,000: some 12 MiB, and
	// more than a person walks through; kb audit has the rest.
	trailMax = 100_000
	// trailText bounds the text of them, in bytes. 16 MiB: a line has 100 or so,
	// but an agent may send paths of 4 KiB (audit.MaxField).
	trailText = 16 << 20
	// chunkRows is how many rows are put away together, and how many go at once
	// when the trail is full. 2,048 have at most 13 texts each, which 16 bits
	// number.
	chunkRows = 2048
)

// trail is a stretch of the audit in memory, by time: a row for each request,
// whose lines (asked, intent, outcome) are joined as they come, and for each line
// that is of no request. Rows are numbered as they come; those put before the
// first have lower numbers, so that a row keeps its number as long as it is held.
type trail struct {
	chunks  []*chunk // by number
	max     int      // lines
	lines   int
	bytes   int // of text
	open    map[lineKey]int64
	orphans map[lineKey]int64 // outcomes whose intent is not held
	version uint64            // counts changes
}

type lineKey struct {
	session string
	request uint64
}

// chunk is consecutive rows with their texts, each once.
type chunk struct {
	first int64 // number of rows[0]
	rows  []auditRow
	texts []string          // texts[0] is ""
	index map[string]uint16 // nil when the chunk is full
	lines int
	bytes int
}

// auditRow is an event without its texts.
type auditRow struct {
	seq, request   uint64
	at, ended      int64 // microseconds since 1970; ended is 0 until the outcome
	sent, received int64
	millis         float64
	status         int32
	port           uint16
	texts          [textFields]uint16
}

// The texts of an event.
const (
	textSession = iota
	textPhase
	textProfile
	textProvider
	textLogin
	textAction
	textReason
	textMethod
	textHost
	textPath
	textError
	textDetail
	textFields
)

func textsOf(e *audit.Event) [textFields]string {
	return [textFields]string{
		e.Session, e.Phase, e.Profile, e.Provider, e.Login, e.Action, e.Reason, e.Method, e.Host, e.Path, e.Error, e.Detail,
	}
}

func newTrail(most int) *trail {
	return &trail{max: most, open: map[lineKey]int64{}, orphans: map[lineKey]int64{}}
}

// first and end are the numbers of the first row and of the one after the last.
func (t *trail) first() int64 {
	if len(t.chunks) == 0 {
		return 0
	}
	return t.chunks[0].first
}

func (t *trail) end() int64 {
	if len(t.chunks) == 0 {
		return 0
	}
	c := t.chunks[len(t.chunks)-1]
	return c.first + int64(len(c.rows))
}

func (t *trail) len() int { return int(t.end() - t.first()) }

// chunkOf is the chunk with a row; there must be one.
func (t *trail) chunkOf(row int64) (int, *chunk) {
	i := sort.Search(len(t.chunks), func(i int) bool { return t.chunks[i].first > row }) - 1
	return i, t.chunks[i]
}

// event is the event of a row, put together from its lines, and when its outcome
// was written.
func (t *trail) event(row int64) (e audit.Event, ended time.Time) {
	_, c := t.chunkOf(row)
	r := &c.rows[row-c.first]
	text := func(i int) string { return c.texts[r.texts[i]] }
	e = audit.Event{
		Seq: r.seq, Time: time.UnixMicro(r.at).UTC(), Session: text(textSession), Request: r.request, Phase: text(textPhase),
		Profile: text(textProfile), Provider: text(textProvider), Login: text(textLogin), Action: text(textAction), Reason: text(textReason),
		Method: text(textMethod), Host: text(textHost), Port: r.port, Path: text(textPath), Status: int(r.status),
		Sent: r.sent, Received: r.received, Millis: r.millis, Error: text(textError), Detail: text(textDetail),
	}
	if r.ended != 0 {
		ended = time.UnixMicro(r.ended).UTC()
	}
	return e, ended
}

// add puts an event at the end, or joins it to the row of its request. It returns
// the row.
func (t *trail) add(e *audit.Event) (row int64, joined bool) {
	t.version++
	t.drop()
	key := lineKey{e.Session, e.Request}
	if row, ok := t.open[key]; ok && e.Request != 0 {
		t.join(row, e)
		_, c := t.chunkOf(row)
		c.lines++
		t.lines++
		return row, true
	}
	c := t.last()
	before := c.bytes
	row = c.first + int64(len(c.rows))
	r := auditRow{
		seq: e.Seq, request: e.Request, at: e.Time.UnixMicro(), sent: e.Sent, received: e.Received, millis: e.Millis,
		status: status32(e.Status), port: e.Port,
	}
	for i, s := range textsOf(e) {
		r.texts[i] = c.intern(s)
	}
	c.rows = append(c.rows, r)
	c.lines++
	t.lines++
	t.bytes += c.bytes - before
	if e.Request != 0 {
		switch e.Phase {
		case audit.PhaseOutcome:
			t.orphans[key] = row
		case audit.PhaseRefused:
		default:
			t.open[key] = row
		}
	}
	return row, false
}

// last is the chunk that takes the next row.
func (t *trail) last() *chunk {
	n := len(t.chunks)
	if n > 0 && len(t.chunks[n-1].rows) < chunkRows && t.chunks[n-1].index != nil {
		return t.chunks[n-1]
	}
	if n > 0 {
		t.chunks[n-1].index = nil
	}
	c := &chunk{first: t.end(), texts: []string{""}, index: map[string]uint16{"": 0}}
	t.chunks = append(t.chunks, c)
	return c
}

// intern is the number of a text in its chunk.
func (c *chunk) intern(s string) uint16 {
	if i, ok := c.index[s]; ok {
		return i
	}
	if s == "" {
		return 0
	}
	if len(c.texts) > math.MaxUint16 { // not with chunkRows rows of one join each or two; then the text is left out
		return 0
	}
	i := uint16(len(c.texts)) //nolint:gosec // bounded above
	c.texts = append(c.texts, s)
	c.bytes += len(s)
	if c.index != nil {
		c.index[s] = i
	}
	return i
}

// join makes a later line of a request part of its row.
func (t *trail) join(row int64, e *audit.Event) {
	_, c := t.chunkOf(row)
	r, before := &c.rows[row-c.first], c.bytes
	put := func(i int, s string) {
		if s != "" && s != c.texts[r.texts[i]] {
			r.texts[i] = c.intern(s)
		}
	}
	reason := e.Reason
	if was := c.texts[r.texts[textReason]]; was != "" && reason != "" && was != reason {
		reason = was + "; " + reason
	}
	for i, s := range textsOf(e) {
		if i == textReason {
			s = reason
		}
		put(i, s)
	}
	r.status, r.sent, r.received, r.millis = status32(e.Status), e.Sent, e.Received, e.Millis
	t.bytes += c.bytes - before
	if e.Phase == audit.PhaseOutcome || e.Phase == audit.PhaseRefused {
		r.ended = e.Time.UnixMicro()
		delete(t.open, lineKey{e.Session, e.Request})
	}
}

func status32(n int) int32 {
	if n < 0 || n > math.MaxInt32 {
		return 0
	}
	return int32(n)
}

// drop lets the oldest go when there is no room for another.
func (t *trail) drop() {
	for len(t.chunks) > 1 && (t.lines >= t.max || t.bytes >= trailText-textFields*audit.MaxField) {
		t.lines -= t.chunks[0].lines
		t.bytes -= t.chunks[0].bytes
		t.chunks[0] = nil
		t.chunks = t.chunks[1:]
		for _, m := range []map[lineKey]int64{t.open, t.orphans} {
			for key, row := range m {
				if row < t.first() {
					delete(m, key)
				}
			}
		}
	}
}

// full reports whether nothing can be put before the first row.
func (t *trail) full() bool { return t.lines+chunkRows > t.max || t.bytes > trailText*3/4 }

// putBefore puts events, by time, before the first row. It reports how many rows
// that made.
func (t *trail) putBefore(events []audit.Event) int {
	if len(events) == 0 {
		return 0
	}
	t.version++
	p := newTrail(math.MaxInt)
	for i := range events {
		p.add(&events[i])
	}
	n := p.len()
	shift := t.first() - int64(n)
	for _, c := range p.chunks {
		c.first += shift
		c.index = nil
	}
	t.chunks = append(p.chunks, t.chunks...)
	t.lines += p.lines
	t.bytes += p.bytes
	for key, row := range p.orphans {
		t.orphans[key] = row + shift
	}
	for key, row := range p.open {
		if orphan, ok := t.orphans[key]; ok { // its outcome stays a row besides
			e, _ := t.event(orphan)
			t.join(row+shift, &e)
		} else {
			t.open[key] = row + shift
		}
	}
	return n
}
