package tui

import (
	"fmt"
	"strings"
	"testing"

	"kb/internal/audit"
)

func (b *board) log() *auditLog { return b.m.screens[screenAudit].(*auditLog) }

// TestWhyInAColumn: of what is long the part that says what came is seen.
func TestWhyInAColumn(t *testing.T) {
	t.Parallel()
	for _, one := range []struct{ reason, code, want string }{
		{"repository github.com/acme/api is claimed by rule r0 (remote github.com/acme/*); policy p1: ask POST at github", "approval-timeout", "nobody answered in time"},
		{`profile "work" does not allow this request: policy p2: deny repository github.com/acme/* git write`, "policy-denied", "policy: deny repository github.com/acme/* git write"},
		{"no login of profile oss is for the host", "no_login", "no login of profile oss is for the host: no_login"},
		{"policy without a line", "policy-denied", "policy without a line: policy-denied"},
	} {
		e := requestEvent{Event: audit.Event{Reason: one.reason, Error: one.code}}
		if got := e.inShort(); got != one.want {
			t.Errorf("%s: %q, want %q", one.code, got, one.want)
		}
	}
}

func TestAuditFrames(t *testing.T) {
	t.Parallel()
	failing := acme()
	failing.fail = map[string]error{"audit": errFake}
	on := func(f *fake, keys ...string) func(w, h int) *board {
		return func(w, h int) *board {
			b := newBoard(t, f, w, h)
			b.press("5")
			b.press(keys...)
			return b
		}
	}
	late := []audit.Event{
		{Seq: 2, Time: at, Session: "81d20b7e", Request: 2, Phase: audit.PhaseIntent, Profile: "oss", Provider: "github", Action: "inject", Method: "GET", Host: "api.github.com", Port: 443, Path: "/user"},
	}
	for name, make := range map[string]func(w, h int) *board{
		"audit-following": on(acme()),
		"audit-empty":     on(&fake{standing: acme().standing}),
		"audit-error":     on(failing),
		"audit-denied":    on(acme(), "!"),
		"audit-session":   on(acme(), "k", "s"),
		"audit-filter":    on(acme(), "/", "linear", "enter"),
		"audit-no-hits":   on(acme(), "/", "nosuch", "enter"),
		"audit-event":     on(acme(), "k", "enter"),
		"audit-loading": func(w, h int) *board {
			b := waitingBoard(t, acme(), w, h)
			b.m.Update(keyMsg("5"))
			return b
		},
		"audit-paused": func(w, h int) *board {
			b := on(acme(), "f")(w, h)
			b.send(auditBatch(late))
			return b
		},
		"audit-back": func(w, h int) *board {
			b := on(acme(), "k", "k")(w, h)
			b.send(auditBatch(late))
			return b
		},
	} {
		goldens(t, name, make)
	}
}

// TestAuditHolds1000ASecond: five simulated seconds of 1,000 events each, with a
// person who looks on, filters, moves and comes back. No event is lost.
func TestAuditHolds1000ASecond(t *testing.T) {
	t.Parallel()
	b := newBoard(t, &fake{}, 100, 30)
	b.press("5")
	log := b.log()
	events := requests(2700, at)[:5000]
	for i := 0; i < len(events); i += 50 { // twenty batches a second
		b.send(auditBatch(events[i : i+50]))
		b.frame()
		switch i {
		case 1000:
			b.press("/", "stripe", "enter")
		case 1500:
			b.press("g")
		case 2000:
			b.press("esc")
		case 3000:
			if log.stick {
				t.Error("the view went with the end although a person had moved up")
			}
			b.press("G")
		}
	}
	if !log.stick || log.shown.trail.lines != len(events) {
		t.Errorf("%d lines of %d are held; at the end: %v", log.shown.trail.lines, len(events), log.stick)
	}
	m := &model{open: map[string]int{}}
	for _, e := range events {
		m.add(e)
	}
	m.check(t, log.shown.trail)
	if log.count() != len(m.rows) {
		t.Errorf("%d rows are shown, want %d", log.count(), len(m.rows))
	}
	last := m.rows[len(m.rows)-1][0]
	if frame := b.frame(); !strings.Contains(frame, last.Path) {
		t.Errorf("the newest row, %s, is not on the screen:\n%s", last.Path, frame)
	}
}

// TestAuditViewStays: a person who has moved up is left where they are.
func TestAuditViewStays(t *testing.T) {
	t.Parallel()
	events := requests(400, at)
	b := newBoard(t, &fake{events: events[:500]}, 100, 30)
	b.press("5", "g", "ctrl+d", "j")
	log := b.log()
	was, at := b.frame(), log.cursor
	b.send(auditBatch(events[500:]))
	if log.cursor != at {
		t.Errorf("the cursor went from row %d to %d", at, log.cursor)
	}
	for i, line := range strings.Split(b.frame(), "\n") {
		if before := strings.Split(was, "\n")[i]; line != before && !strings.Contains(line, " of ") && !strings.Contains(line, "rate") {
			t.Errorf("line %d was\n%s\nand is\n%s", i, before, line)
		}
	}
	if n := log.unseen(); n < 100 || !strings.Contains(b.frame(), fmt.Sprintf(", %d new", n)) {
		t.Errorf("%d rows are new, and the foot does not say so:\n%s", n, b.frame())
	}
	b.press("G")
	if log.unseen() != 0 || !log.stick {
		t.Error("G does not follow the end")
	}
	b.press("f")
	end := log.cursor
	b.send(auditBatch{{Seq: 9999, Time: events[len(events)-1].Time, Session: "x", Phase: audit.PhaseNote, Detail: "late"}})
	if log.cursor != end || log.unseen() != 1 {
		t.Errorf("paused, the cursor went from %d to %d; %d new", end, log.cursor, log.unseen())
	}
	b.press("f")
	if e, _ := log.selected(); e.Detail != "late" {
		t.Errorf("f again is at %+v", e)
	}
}

// TestAuditLooksBack: what is before the first row comes as the cursor nears it.
func TestAuditLooksBack(t *testing.T) {
	t.Parallel()
	events := requests(7000, at)
	f := &fake{events: events}
	b := newBoard(t, f, 100, 30)
	b.press("5")
	log := b.log()
	if log.shown.trail.lines != auditPage || log.shown.whole {
		t.Fatalf("%d lines are held at first, want %d", log.shown.trail.lines, auditPage)
	}
	for i := 0; i < 10 && !log.shown.whole; i++ {
		e, _ := log.selected()
		b.press("g")
		if now, _ := log.selected(); i > 0 && now.Seq > e.Seq && now.Session == e.Session {
			t.Errorf("g went from line %d to %d", e.Seq, now.Seq)
		}
	}
	b.press("g")
	if e, _ := log.selected(); log.shown.trail.lines != len(events) || e.Path != events[0].Path {
		t.Errorf("%d lines of %d, the first is %s", log.shown.trail.lines, len(events), e.Path)
	}
	// Words that the held lines do not have are looked for further back.
	b = newBoard(t, f, 100, 30)
	b.press("5", "/", "issues/0", "enter")
	if frame := b.frame(); !strings.Contains(frame, "/issues/0 ") {
		t.Errorf("the first event was not found:\n%s", frame)
	}
}

// TestAuditTakesEachEventOnce: what comes while the end is asked for is there
// once, whatever the order.
func TestAuditTakesEachEventOnce(t *testing.T) {
	t.Parallel()
	events := requests(200, at)
	f := &fake{events: events}
	b := waitingBoard(t, f, 100, 30)
	st := newStream(b.m.shared, audit.Filter{})
	first := st.ask()
	st.update(auditBatch(events[100:150]))
	_, again := st.update(auditBatch(nil)) // following begins: the first answer may lack something
	st.update(auditBatch(events[150:200]))
	st.update(first()) // late: dropped
	if st.loaded {
		t.Fatal("an answer to an older question was taken")
	}
	f.events = events[:180]
	st.update(again())
	st.update(auditBatch(events[200:]))
	if st.trail.lines != len(events) {
		t.Errorf("%d lines are held, want %d", st.trail.lines, len(events))
	}
	m := &model{open: map[string]int{}}
	for _, e := range events {
		m.add(e)
	}
	m.check(t, st.trail)
}

// TestAuditFilters: of session, of profile, denied only; and what w and Y make of
// them.
func TestAuditFilters(t *testing.T) {
	t.Parallel()
	f := acme()
	b := newBoard(t, f, 100, 30)
	b.press("5", "k", "s")
	log := b.log()
	if want := (audit.Filter{Session: "81d20b7e"}); log.shown.filter != want || log.count() != 1 {
		t.Errorf("s shows %d rows of %+v", log.count(), log.shown.filter)
	}
	b.send(auditBatch{{Seq: 99, Time: at, Session: "7f3a90c1", Phase: audit.PhaseNote, Detail: "of another session"}})
	if log.count() != 1 || log.all.trail.len() != 7 {
		t.Errorf("%d rows of the session, %d of all", log.count(), log.all.trail.len())
	}
	b.press("!", "w", "v")
	if did := fmt.Sprint(f.done()); did != "[export verify]" {
		t.Errorf("did %s", did)
	}
	var lines []string
	for _, u := range log.uses() {
		lines = append(lines, u.line)
	}
	want := []string{
		"kb audit -f --session 81d20b7e --denied", "kb audit --session 81d20b7e", "kb audit --session 81d20b7e --denied", "kb audit --session 81d20b7e",
		"kb audit --profile oss", "kb audit export --session 81d20b7e --denied", "kb audit verify", "",
	}
	if fmt.Sprintf("%q", lines) != fmt.Sprintf("%q", want) {
		t.Errorf("the lines are\n%q\nwant\n%q", lines, want)
	}
	if got := log.current(); got != "2026-11-26 14:02:09  81d20b7e    oss       -           deny     POST    api.stripe.com  /v1/charges  403  no login of profile oss is for the host  no_login" {
		t.Errorf("y copies %q", got)
	}
	b.press("esc", "esc") // the first takes what the line tells away
	if log.shown != log.all {
		t.Error("esc does not show all")
	}
	b.press("k", "p")
	if want := (audit.Filter{Profile: "work"}); log.shown.filter != want {
		t.Errorf("p shows %+v", log.shown.filter)
	}
}

// loaded is a dashboard on the Audit screen with n events.
func loaded(t testing.TB, n int) *board {
	t.Helper()
	b := newBoard(t, &fake{}, 200, 60)
	b.press("5")
	events := requests(n, at)[:n]
	for i := 0; i < n; i += 1000 {
		b.m.Update(auditBatch(events[i:min(n, i+1000)]))
	}
	return b
}

// TestAuditCostsTheSameWithMore: what a frame, a key and a batch cost does not
// grow with the events that are held: counted in allocations, which no other load of
// the machine changes.
func TestAuditCostsTheSameWithMore(t *testing.T) {
	few, many := loaded(t, 2000), loaded(t, trailMax-5000)
	if n := many.log().shown.trail.lines; n < 90_000 {
		t.Fatalf("%d lines are held", n)
	}
	batch := auditBatch(requests(40, at)[:50])
	for name, f := range map[string]func(b *board){
		"view":  func(b *board) { _ = b.m.View() },
		"up":    func(b *board) { b.m.Update(keyMsg("k")); _ = b.m.View() },
		"top":   func(b *board) { b.m.Update(keyMsg("g")); _ = b.m.View(); b.m.Update(keyMsg("G")) },
		"batch": func(b *board) { b.m.Update(batch) },
	} {
		of := func(b *board) float64 { return testing.AllocsPerRun(10, func() { f(b) }) }
		if a, z := of(few), of(many); z > 1.3*a+100 {
			t.Errorf("%s makes %.0f allocations with 2,000 events, %.0f with %d", name, a, z, many.log().shown.trail.lines)
		}
	}
	// A filter looks at one chunk for a key, and at each once.
	log := many.log()
	many.m.Update(keyMsg("/"))
	many.m.Update(keyMsg("z"))
	h := &log.shown.hits
	if looked := log.shown.trail.end() - h.todo; looked > chunkRows {
		t.Errorf("a key looked at %d rows, want at most %d", looked, chunkRows)
	}
	steps := 0
	for ; !h.done(); steps++ {
		many.m.Update(lookOn{log.shown})
	}
	if most := len(log.shown.trail.chunks); steps > most {
		t.Errorf("%d steps for %d chunks", steps, most)
	}
}

// TestAuditEventTells: the detail joins what the lines of a request tell.
func TestAuditEventTells(t *testing.T) {
	t.Parallel()
	b := newBoard(t, acme(), 120, 40)
	b.press("5", "g", "j")
	frame := b.frame()
	for _, want := range []string{
		"POST https://api.openai.com/v1/responses -> 200 in 1820 ms", "session 7f3a90c1  profile work  login openai",
		"the only login of profile work with openai", "1.2 kB sent, 34.0 kB received", "14:01:57.000 to 14:01:59.000", "4 requests in",
	} {
		if !strings.Contains(frame, want) {
			t.Errorf("%q is not told:\n%s", want, frame)
		}
	}
	b.press("j", "j")
	if frame := b.frame(); !strings.Contains(frame, "waits for you, 0:41 left: press 6") {
		t.Errorf("the time that is left is not told:\n%s", frame)
	}
}
