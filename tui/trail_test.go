package tui

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
)

// requests makes the lines of n requests of a few sessions, as brokers write them:
// outcomes come some lines after their intents, a few are refused, one in a
// hundred has no end.
func requests(n int, from time.Time) []audit.Event {
	r := rand.New(rand.NewPCG(1, 2))
	var events, late []audit.Event
	seq := map[string]uint64{}
	add := func(e audit.Event) {
		seq[e.Session]++
		e.Seq, e.Time = seq[e.Session], from.Add(time.Duration(len(events))*500*time.Microsecond)
		events = append(events, e)
	}
	for i := range n {
		e := audit.Event{
			Session: fmt.Sprintf("7f3a90c%d", i%4), Request: uint64(i/4 + 1), Phase: audit.PhaseIntent, Profile: "work", Provider: "github", Action: "inject",
			Method: "GET", Host: "api.github.com", Port: 443, Path: "/repos/acme/api/issues/" + strconv.Itoa(i), Reason: "the only login",
		}
		switch {
		case i%17 == 0:
			e.Phase, e.Action, e.Reason, e.Error, e.Status, e.Host = audit.PhaseRefused, audit.ActionDeny, "no login of profile work is for the host", "no-login", 403, "api.stripe.com"
			add(e)
			continue
		case i%31 == 0:
			ask := e
			ask.Phase, ask.Action, ask.Detail = audit.PhaseAsk, "ask", "waits as a1b2c3"
			add(ask)
		}
		add(e)
		e.Phase, e.Reason, e.Status, e.Sent, e.Received, e.Millis = audit.PhaseOutcome, "", 200, 300, 5000, 12
		if i%100 != 99 {
			late = append(late, e)
		}
		for len(late) > 0 && r.IntN(3) > 0 {
			add(late[0])
			late = late[1:]
		}
	}
	for _, e := range late {
		add(e)
	}
	return events
}

// model is a trail as a person would write it down: rows in a slice, each with all
// of its lines.
type model struct {
	rows [][]audit.Event
	open map[string]int // by session and request
}

func (m *model) add(e audit.Event) {
	key := fmt.Sprint(e.Session, " ", e.Request)
	i, ok := m.open[key]
	if ok {
		m.rows[i] = append(m.rows[i], e)
	} else {
		i = len(m.rows)
		m.rows = append(m.rows, []audit.Event{e})
	}
	if m.open[key] = i; e.Phase == audit.PhaseOutcome || e.Phase == audit.PhaseRefused || e.Request == 0 {
		delete(m.open, key)
	}
}

// check compares rows, the last ones of the model.
func (m *model) check(t *testing.T, tr *trail) {
	t.Helper()
	if tr.len() > len(m.rows) {
		t.Fatalf("the trail has %d rows, %d were made", tr.len(), len(m.rows))
	}
	rows := m.rows[len(m.rows)-tr.len():]
	lines := 0
	for i, row := range rows {
		lines += len(row)
		got, ended := tr.event(tr.first() + int64(i))
		last := row[len(row)-1]
		want := row[0]
		want.Phase, want.Action, want.Status, want.Sent, want.Received, want.Millis = last.Phase, last.Action, last.Status, last.Sent, last.Received, last.Millis
		if last.Error != "" {
			want.Error = last.Error
		}
		if len(row) > 1 && last.Reason != "" && last.Reason != want.Reason {
			want.Reason += "; " + last.Reason
		}
		if got != want {
			t.Fatalf("row %d is\n%+v\nwant\n%+v", i, got, want)
		}
		if over := last.Phase == audit.PhaseOutcome && len(row) > 1; over != !ended.IsZero() || over && !ended.Equal(last.Time) {
			t.Fatalf("row %d ended %v, its last line is %+v", i, ended, last)
		}
	}
	if lines != tr.lines {
		t.Fatalf("the trail counts %d lines, its rows are of %d", tr.lines, lines)
	}
}

func TestTrailHoldsEveryLine(t *testing.T) {
	t.Parallel()
	events := requests(6000, at)
	tr, m := newTrail(trailMax), &model{open: map[string]int{}}
	for i := range events {
		tr.add(&events[i])
		m.add(events[i])
	}
	if tr.lines != len(events) {
		t.Errorf("%d lines of %d are held", tr.lines, len(events))
	}
	m.check(t, tr)
}

func TestTrailIsBounded(t *testing.T) {
	t.Parallel()
	const most = 5000
	events := requests(12_000, at)
	tr := newTrail(most)
	for i := range events {
		tr.add(&events[i])
		if tr.lines > most {
			t.Fatalf("after %d lines %d are held, want at most %d", i+1, tr.lines, most)
		}
		if row := tr.end() - 1; tr.len() == 0 || row < tr.first() {
			t.Fatalf("after %d lines the newest row is not held", i+1)
		}
	}
	if tr.lines < most/4 {
		t.Errorf("only %d lines are left", tr.lines)
	}
	if n := len(tr.open) + len(tr.orphans); n > tr.len() {
		t.Errorf("%d requests are remembered for %d rows", n, tr.len())
	}
	// Long texts: the newest stay, the sum is bounded.
	tr = newTrail(trailMax)
	for i := range 20_000 {
		tr.add(&audit.Event{Seq: uint64(i), Time: at, Session: "s", Phase: audit.PhaseNote, Path: strconv.Itoa(i) + strings.Repeat("x", 4000)})
	}
	sum := 0
	for _, c := range tr.chunks {
		for _, text := range c.texts {
			sum += len(text)
		}
	}
	if sum != tr.bytes || sum > trailText {
		t.Errorf("%d bytes of text are held and %d counted, want at most %d", sum, tr.bytes, trailText)
	}
	if e, _ := tr.event(tr.end() - 1); e.Seq != 19_999 {
		t.Errorf("the newest row is %d", e.Seq)
	}
}

func TestTrailTakesOlderLines(t *testing.T) {
	t.Parallel()
	events := requests(4000, at)
	cut := len(events) / 2
	tr := newTrail(trailMax)
	for i := range events[cut:] {
		tr.add(&events[cut+i])
	}
	kept, _ := tr.event(tr.first() + 7)
	row := tr.first() + 7
	n := tr.putBefore(events[cut/2 : cut])
	n += tr.putBefore(events[:cut/2])
	if got, _ := tr.event(row); got != kept {
		t.Errorf("row %d was\n%+v\nand is now\n%+v", row, kept, got)
	}
	if int(-tr.first()) != n || tr.lines != len(events) {
		t.Errorf("%d rows were put before and the first has number %d; %d of %d lines", n, tr.first(), tr.lines, len(events))
	}
	// A request whose lines came in two pages is told of whole by its first row.
	open := 0
	for row := tr.first(); row < 0; row++ {
		if e, ended := tr.event(row); e.Phase == audit.PhaseIntent && ended.IsZero() {
			open++
		}
	}
	if most := 4000/2/100 + 2; open > most {
		t.Errorf("%d requests of the older half have no outcome, want at most %d", open, most)
	}
}

// bruteHits is what hits are, row by row.
func bruteHits(tr *trail, filter string) []int64 {
	var rows []int64
	for row := tr.first(); row < tr.end(); row++ {
		e, _ := tr.event(row)
		text := strings.Join([]string{
			clockTime(e.Time), e.Session, e.Profile, e.Provider, e.Login, e.Action, e.Reason, e.Method, e.Host + e.Path, e.Error, e.Detail,
		}, "\n")
		if e.Status != 0 {
			text += "\n" + strconv.Itoa(e.Status)
		}
		if e.Action == "" {
			text += "\n" + e.Phase
		}
		if matches(filter, text) {
			rows = append(rows, row)
		}
	}
	return rows
}

func (h *hits) rows() []int64 {
	rows := make([]int64, h.len())
	for i := range rows {
		rows[i] = h.at(i)
	}
	return rows
}

func TestHitsAreTheRowsWithTheWords(t *testing.T) {
	t.Parallel()
	events := requests(9000, at)
	for _, filter := range []string{"stripe", "deny STRIPE", "!github", "api.github.com/repos/acme/api/issues/77", "403", "200", "14:02:13", "nothing has this", "ask", "!200", "7f3a90c2 200", "  "} {
		tr := newTrail(6000)
		h := hits{t: tr, zone: time.UTC}
		cut := 2000
		for i := range events[cut : 2*cut] {
			row, joined := tr.add(&events[cut+i])
			h.added(row, joined)
		}
		h.set(filter)
		tr.putBefore(events[cut/2 : cut])
		for i := 2 * cut; i < len(events); i++ {
			row, joined := tr.add(&events[i])
			h.added(row, joined)
			if i%500 == 0 {
				h.step()
			}
			if i%1500 != 0 && i != len(events)-1 {
				continue
			}
			for !h.done() {
				h.step()
			}
			want, got := bruteHits(tr, filter), h.rows()
			if fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("%q, after %d events: %d hits, want %d\n%.200v\n%.200v", filter, i, len(got), len(want), got, want)
			}
			for place, row := range got {
				if h.find(row) != place {
					t.Fatalf("%q: row %d is at %d, found at %d", filter, row, place, h.find(row))
				}
			}
		}
	}
}

func TestRates(t *testing.T) {
	t.Parallel()
	r := rates{}
	begin := at.Truncate(rateStep)
	add := func(session string, after time.Duration, phase string) {
		r.add(&audit.Event{Session: session, Request: 1, Phase: phase, Time: begin.Add(after)})
	}
	add("a", 0, audit.PhaseIntent)
	add("a", time.Second, audit.PhaseOutcome) // no request of its own
	add("a", rateStep, audit.PhaseRefused)
	add("a", rateStep+time.Second, audit.PhaseTunnel)
	add("a", -time.Second, audit.PhaseIntent) // late, by another clock
	add("b", 2*rateStep, audit.PhaseIntent)
	for _, c := range []struct {
		session string
		after   time.Duration
		want    string
	}{
		{"a", rateStep, "[1 1 2]"},
		{"a", 2*rateStep + time.Second, "[1 2 0]"},
		{"a", rateSteps * rateStep, "[0 0 0]"},
		{"b", 2 * rateStep, "[0 0 1]"},
		{"c", 0, "[0 0 0]"},
	} {
		if got := fmt.Sprint(r.last(c.session, begin.Add(c.after), 3)); got != c.want {
			t.Errorf("of %s after %v: %s, want %s", c.session, c.after, got, c.want)
		}
	}
	add("a", rateSteps*rateStep, audit.PhaseIntent)
	if got := fmt.Sprint(r.last("a", begin.Add(rateSteps*rateStep), rateSteps)[:3]); got != "[2 0 0]" {
		t.Errorf("the oldest steps are %s, want [2 0 0]", got)
	}
	for i := range 10 * rateMax {
		add(strconv.Itoa(i), 0, audit.PhaseIntent)
	}
	if len(r) > rateMax {
		t.Errorf("%d sessions are counted", len(r))
	}
}
