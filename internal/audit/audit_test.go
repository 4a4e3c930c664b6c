package audit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kb/internal/audit"
)

func TestMain(m *testing.M) {
	if os.Getenv(childRole) != "" {
		os.Exit(child())
	}
	goleak.VerifyTestMain(m)
}

var testKey = [32]byte{0: 'k', 31: 'b'}

// epoch is when the tests' clock begins.
var epoch = time.Date(2026, 11, 23, 17, 3, 0, 0, time.UTC)

// clock is a clock that moves a millisecond at each reading.
type clock struct{ t time.Time }

func (c *clock) now() time.Time {
	c.t = c.t.Add(time.Millisecond)
	return c.t
}

// never is a Tick that does not come: the test seals by itself.
var never = make(chan time.Time)

// open creates a log that seals only when told to.
func open(t *testing.T, dir, session string, idx audit.Sealer, o audit.Options) *audit.Log {
	t.Helper()
	if o.Tick == nil {
		o.Tick = never
	}
	if o.Now == nil {
		o.Now = (&clock{epoch}).now
	}
	o.Index = idx
	l, err := audit.Create(dir, session, testKey, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func add(t *testing.T, l *audit.Log, events ...audit.Event) {
	t.Helper()
	for _, e := range events {
		if err := l.Append(e); err != nil {
			t.Fatal(err)
		}
	}
}

// request is the pair of lines of one request.
func request(n uint64, profile, host string) []audit.Event {
	return []audit.Event{
		{Request: n, Phase: audit.PhaseIntent, Profile: profile, Provider: "github", Action: "inject", Method: "GET", Host: host, Port: 443, Path: "/user"},
		{Request: n, Phase: audit.PhaseOutcome, Profile: profile, Provider: "github", Action: "inject", Method: "GET", Host: host, Port: 443, Path: "/user", Status: 200, Received: 512, Millis: 12.5},
	}
}

func readAll(t *testing.T, dir string, f audit.Filter) []audit.Event {
	t.Helper()
	var out []audit.Event
	for e, err := range audit.Read(dir, f) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

func verify(t *testing.T, dir string, idx audit.HeadReader) audit.Report {
	t.Helper()
	r, err := audit.Verify(dir, testKey, idx)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The file is a contract: what is in it, byte for byte, written down by hand.
// The MACs have a test of their own.
func TestLinesOnDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "audit")
	l := open(t, dir, "s-7f", nil, audit.Options{Start: audit.Event{Profile: "work", Detail: `claude in ~/src/"acme"`}})
	add(t, l, request(1, "work", "api.github.com")...)
	if err := l.Stop("exit 0"); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"seq":1,"time":"2026-11-23T17:03:00.002000Z","format":1,"session":"s-7f","phase":"start","profile":"work","detail":"claude in ~/src/\"acme\"","mac":"`,
		`{"seq":2,"time":"2026-11-23T17:03:00.003000Z","session":"s-7f","request":1,"phase":"intent","profile":"work","provider":"github","action":"inject","method":"GET","host":"api.github.com","port":443,"path":"/user","mac":"`,
		`{"seq":3,"time":"2026-11-23T17:03:00.004000Z","session":"s-7f","request":1,"phase":"outcome","profile":"work","provider":"github","action":"inject","method":"GET","host":"api.github.com","port":443,"path":"/user","status":200,"received":512,"ms":12.500,"mac":"`,
		`{"seq":4,"time":"2026-11-23T17:03:00.005000Z","session":"s-7f","phase":"stop","profile":"work","detail":"exit 0","mac":"`,
	}
	path := filepath.Join(dir, "20261123T170300Z-s-7f.jsonl")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(text), "\n")
	if len(lines) != len(want)+1 || lines[len(want)] != "" {
		t.Fatalf("the file has %d lines, want %d:\n%s", len(lines)-1, len(want), text)
	}
	for i, w := range want {
		if rest, ok := strings.CutPrefix(lines[i], w); !ok || len(rest) != 43+len("\"}\n") {
			t.Errorf("line %d is\n%s\nwant\n%s", i+1, lines[i], w)
		}
	}
	for p, mode := range map[string]os.FileMode{dir: os.ModeDir | 0o700, path: 0o600} {
		if info, err := os.Stat(p); err != nil || info.Mode() != mode {
			t.Errorf("mode of %s is %v (%v), want %v", p, info.Mode(), err, mode)
		}
	}
}

// A JSON reader must see what was appended: the encoder is hand-made.
func TestEventsComeBackAsTheyWere(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s", nil, audit.Options{})
	want := audit.Event{
		Request: 1<<64 - 1, Phase: audit.PhaseRefused, Profile: "work", Provider: "github", Login: `ops "x"\y`,
		Action: "deny", Reason: "no rule for ünïcode — 日本語 👩‍💻", Method: "POST", Host: "api.github.com", Port: 8443,
		Path: "/a/%2e%2e/b", Status: 403, Sent: -1, Received: 1 << 40, Millis: 0.001, Error: "upstream reset", Detail: "d",
	}
	add(t, l, want)
	got := readAll(t, dir, audit.Filter{})[1]
	want.Seq, want.Session, want.Time = 2, "s", got.Time
	if got != want {
		t.Errorf("read\n%+v\nwant\n%+v", got, want)
	}
	again, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]any
	if err := json.Unmarshal(audit.AppendJSON(nil, &got), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(again, &b); err != nil {
		t.Fatal(err)
	}
	if len(a) != 20 || len(b) != 20 {
		t.Errorf("AppendJSON has %d fields, encoding/json %d, want 20:\n%s\n%s", len(a), len(b), audit.AppendJSON(nil, &got), again)
	}
	for name, v := range b {
		if name != "time" && a[name] != v {
			t.Errorf("field %q is %v in AppendJSON and %v in encoding/json", name, a[name], v)
		}
	}
}

// Rule 20: what others wrote is obeyed by no terminal, and hides nothing.
func TestHostileTextIsCleaned(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s", nil, audit.Options{})
	hostile := "a\x1b[2J\x00\r\nb\u009b31m\u202eevil\u2066\u200b\xff\xc3"
	add(t, l, audit.Event{Phase: hostile, Host: hostile, Path: hostile + "?token=canary", Error: hostile, Detail: hostile, Profile: hostile, Method: hostile})
	text, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != 2 {
		t.Errorf("%d lines, want 2", n)
	}
	for _, bad := range []string{"\x1b", "\x00", "\r", "\u009b", "\u202e", "\u2066", "\u200b", "\xff", "\\u", "canary"} {
		if strings.Contains(string(text), bad) {
			t.Errorf("%q is in the file", bad)
		}
	}
	e := readAll(t, dir, audit.Filter{})[1]
	if want := "a\ufffd[2J\ufffd\ufffd\ufffdb\ufffd31m\ufffdevil\ufffd\ufffd\ufffd\ufffd"; e.Host != want {
		t.Errorf("host is %q, want %q", e.Host, want)
	}
}

// A client can send a 64 KiB path; the record of it is bounded.
func TestFieldsAreBounded(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s", nil, audit.Options{})
	for _, c := range []struct{ in, want string }{
		{strings.Repeat("a", audit.MaxField), strings.Repeat("a", audit.MaxField)},
		{strings.Repeat("a", audit.MaxField+1), strings.Repeat("a", audit.MaxField) + "…"},
		{strings.Repeat("a", audit.MaxField-1) + "é", strings.Repeat("a", audit.MaxField-1) + "…"},
		{strings.Repeat("a", audit.MaxField-2) + "ééé", strings.Repeat("a", audit.MaxField-2) + "é…"},
		{strings.Repeat("é", audit.MaxField), strings.Repeat("é", audit.MaxField/2) + "…"},
	} {
		add(t, l, audit.Event{Phase: audit.PhaseIntent, Path: c.in})
		all := readAll(t, dir, audit.Filter{})
		if got := all[len(all)-1].Path; got != c.want {
			t.Errorf("a path of %d bytes ends in %q with %d bytes, want %q with %d", len(c.in), got[len(got)-8:], len(got), c.want[len(c.want)-8:], len(c.want))
		}
	}
}

func TestLineForAPerson(t *testing.T) {
	at := time.Date(2026, 11, 23, 14, 2, 11, 0, time.UTC)
	for _, c := range []struct {
		e    audit.Event
		want string
	}{
		{
			audit.Event{Time: at, Session: "s-7f", Phase: "outcome", Profile: "work", Provider: "github", Action: "inject", Method: "GET", Host: "api.github.com", Port: 443, Path: "/repos/acme/api", Status: 200},
			"2026-11-23 14:02:11  s-7f        work      github      inject   GET     api.github.com  /repos/acme/api  200",
		},
		{
			audit.Event{Time: at, Session: "s-81", Phase: "refused", Action: "deny", Method: "POST", Host: "api.stripe.com", Port: 8443, Path: "/v1/charges", Reason: "no rule\x1b[2J"},
			"2026-11-23 14:02:11  s-81        -         -           deny     POST    api.stripe.com:8443  /v1/charges  -  no rule\ufffd[2J",
		},
		{
			audit.Event{Time: at, Session: "s-7f", Phase: "intent", Action: "inject", Method: "GET", Host: "h", Path: "/"},
			"2026-11-23 14:02:11  s-7f        -         -           inject   GET     h  /  ...",
		},
	} {
		if got := audit.Line(&c.e, nil); got != c.want {
			t.Errorf("Line =\n%q\nwant\n%q", got, c.want)
		}
	}
}

func TestSessionNames(t *testing.T) {
	dir := t.TempDir()
	for _, bad := range []string{"", "-x", "a/b", "..", "a.b", "a b", "ä", strings.Repeat("a", 65)} {
		if l, err := audit.Create(dir, bad, testKey, audit.Options{}); err == nil {
			_ = l.Close()
			t.Errorf("session name %q was accepted", bad)
		}
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) != 0 {
		t.Errorf("refused sessions left %v (%v)", names, err)
	}
	l := open(t, dir, "s_1-A", nil, audit.Options{})
	if _, err := audit.Create(dir, "s_1-A", testKey, audit.Options{Now: (&clock{epoch}).now}); err == nil {
		t.Error("a second log of the same session and second was made")
	}
	add(t, l, request(1, "work", "h")...)
}
