package tui

import (
	"fmt"
	"strings"
	"testing"

	tea "github.com/charmbracelet/bubbletea"
)

// waitingBoard is a dashboard whose backend has not answered yet.
func waitingBoard(t *testing.T, f *fake, w, h int) *board {
	t.Helper()
	m, err := New(t.Context(), Options{Backend: f, Now: newBoard(t, &fake{}, w, h).m.now, Looks: Looks{NoColor: true}})
	if err != nil {
		t.Fatal(err)
	}
	m.Update(tea.WindowSizeMsg{Width: w, Height: h})
	return &board{t, m, f}
}

func TestHomeFrames(t *testing.T) {
	t.Parallel()
	failing := acme()
	failing.fail = map[string]error{"sessions": errFake, "logins": errFake, "audit": errFake}
	calm := acme()
	calm.sessions, calm.logins = calm.sessions[1:2], calm.logins[:2]
	for name, make := range map[string]func(w, h int) *board{
		"home-full":    func(w, h int) *board { return newBoard(t, acme(), w, h) },
		"home-calm":    func(w, h int) *board { return newBoard(t, calm, w, h) },
		"home-empty":   func(w, h int) *board { return newBoard(t, &fake{standing: acme().standing}, w, h) },
		"home-loading": func(w, h int) *board { return waitingBoard(t, acme(), w, h) },
		"home-error":   func(w, h int) *board { return newBoard(t, failing, w, h) },
		"home-logins": func(w, h int) *board {
			b := newBoard(t, acme(), w, h)
			b.press("tab")
			return b
		},
		"home-audit": func(w, h int) *board {
			b := newBoard(t, acme(), w, h)
			b.press("tab", "tab", "k")
			return b
		},
		"home-stop": func(w, h int) *board {
			b := newBoard(t, acme(), w, h)
			b.press("d")
			return b
		},
		"home-filter": func(w, h int) *board {
			b := newBoard(t, acme(), w, h)
			b.press("/", "nosuch", "enter")
			return b
		},
	} {
		goldens(t, name, make)
	}
	b := newBoard(t, acme(), 40, 12)
	golden(t, "home-full-40", b.frame())
}

// TestTabsAtEighty: the terminal that most people have names every screen, whichever
// is open and however many requests wait, and a click on a name opens it.
func TestTabsAtEighty(t *testing.T) {
	t.Parallel()
	b := newBoard(t, acme(), 80, 24)
	golden(t, "home-full-80", b.frame())
	for i := range b.m.screens {
		b.press(fmt.Sprint(i + 1))
		line := strings.Split(b.frame(), "\n")[1]
		for j := range b.m.screens {
			if !strings.Contains(line, b.m.tabName(j)) {
				t.Errorf("on screen %d %q is not named: %q", i+1, b.m.tabName(j), line)
			}
		}
		if !strings.Contains(line, "["+b.m.tabName(i)) {
			t.Errorf("screen %d is not shown as the open one: %q", i+1, line)
		}
	}
	b.press("1")
	line := strings.Split(b.frame(), "\n")[1]
	b.send(tea.MouseMsg{X: strings.Index(line, "5 Audit"), Y: 1, Action: tea.MouseActionPress, Button: tea.MouseButtonLeft})
	if b.m.at != screenAudit {
		t.Errorf("a click on its name opens screen %d", b.m.at+1)
	}
}

// TestHomeStopsASession: d asks with the consequence, and only y does it.
func TestHomeStopsASession(t *testing.T) {
	t.Parallel()
	f := acme()
	b := newBoard(t, f, 100, 30)
	for _, key := range []string{"enter", "esc", "n", "q"} {
		b.press("d")
		want := "Stop session 7f3a90c1? claude in /home/sam/src/acme/api is ended, and what it has not saved is lost. 1 request of it that waits for you is refused."
		if d, ok := b.m.dialogs[0].(*confirm); !ok || d.question != want {
			t.Fatalf("the question is %+v", b.m.dialogs[0])
		}
		b.press(key)
		if did := f.done(); len(did) != 0 || len(b.m.dialogs) != 0 {
			t.Errorf("%s did %q, %d dialogs are left", key, did, len(b.m.dialogs))
		}
	}
	b.press("d", "y")
	if did := f.done(); len(did) != 1 || did[0] != "stop 7f3a90c1" {
		t.Errorf("did %q", did)
	}
	b.press("G", "d") // the crashed one
	if frame := b.frame(); len(b.m.dialogs) != 0 || !strings.Contains(frame, "nothing runs that could be stopped") {
		t.Errorf("a crashed session is offered to be stopped:\n%s", frame)
	}
}

// TestHomeSaysWhatIsUrgent: the hint is what matters most, by and by.
func TestHomeSaysWhatIsUrgent(t *testing.T) {
	t.Parallel()
	f := acme()
	hint := func() string {
		b := newBoard(t, f, 140, 30)
		return b.m.screens[screenHome].hint()
	}
	want := func(words string) {
		t.Helper()
		if got := hint(); !strings.Contains(got, words) {
			t.Errorf("the hint is %q, want %q", got, words)
		}
	}
	want("! 1 request waits, 0:41 left, press 6: claude of 7f3a90c1 wants POST api.linear.app/graphql")
	f.sessions[0].Waiting = nil
	want("x claude of session 0c55e1aa crashed")
	f.sessions = f.sessions[:2]
	want("! linear needs login, press l: the refresh token was revoked")
	f.logins = f.logins[:3]
	f.standing.Attention = []string{"a device asks to be let in: kb device approve"}
	want("! a device asks to be let in")
	f.standing.Attention = nil
	want("Nothing waits for you.")
	f.sessions = nil
	want("kb exec -- claude starts a session")
}

// TestHomeOpensTheRowsScreen: enter goes to what has more of a row.
func TestHomeOpensTheRowsScreen(t *testing.T) {
	t.Parallel()
	b := newBoard(t, acme(), 100, 30)
	b.press("j", "enter")
	if frame := b.frame(); b.m.at != screenAudit || !strings.Contains(frame, "Audit of session 81d20b7e") || strings.Contains(frame, "api.github.com") {
		t.Errorf("enter on a session is not its audit:\n%s", frame)
	}
	b.press("esc")
	if frame := b.frame(); !strings.Contains(frame, "┏━ Audit (following)") || !strings.Contains(frame, "api.github.com") {
		t.Errorf("esc does not show all sessions:\n%s", frame)
	}
	b.press("1", "tab", "j", "enter")
	if l, _ := b.m.screens[screenLogins].(*logins).list.selected(); b.m.at != screenLogins || l.Provider != "google" {
		t.Errorf("enter on a login is at %v of screen %d", l.LoginKey, b.m.at)
	}
	b.press("1", "tab", "tab", "k", "enter")
	if e, _ := b.m.screens[screenAudit].(*auditLog).selected(); b.m.at != screenAudit || e.Host != "api.stripe.com" {
		t.Errorf("enter on an event is at %s of screen %d", e.Host, b.m.at)
	}
}

// TestHomeStaysOnItsRow: sessions come and go, the cursor stays.
func TestHomeStaysOnItsRow(t *testing.T) {
	t.Parallel()
	f := acme()
	b := newBoard(t, f, 100, 30)
	b.press("j")
	f.sessions = append([]Session{{ID: "00000001", Profile: "oss", Agent: "gemini"}}, f.sessions[1:]...)
	b.send(ChangedSessions)
	if got := b.m.screens[screenHome].current(); got != "81d20b7e" {
		t.Errorf("the cursor is at %s", got)
	}
	if frame := b.frame(); !strings.Contains(frame, "gemini") || strings.Contains(frame, "7f3a90c1  work") {
		t.Errorf("the list is not what runs:\n%s", frame)
	}
}

// TestHomeFailsKeepsRows: what was known stays, and it is said that it is old.
func TestHomeFailsKeepsRows(t *testing.T) {
	t.Parallel()
	f := acme()
	b := newBoard(t, f, 100, 30)
	f.fail = map[string]error{"sessions": errFake}
	b.send(ChangedSessions)
	if frame := b.frame(); !strings.Contains(frame, "Sessions (x not up to date)") || !strings.Contains(frame, "81d20b7e") {
		t.Errorf("a failed look takes the rows away, or hides that it failed:\n%s", frame)
	}
}

// ofAgent is text of an agent that would like to own the terminal.
const ofAgent = "\x1b[2J\x1b]52;c;ZXZpbA==\a\u202eevil\u2066\r\n\x00\u009b31m日本語👩‍💻e\u0301"

// TestLiveHostileText: what others wrote is drawn as text, whatever the size.
func TestLiveHostileText(t *testing.T) {
	t.Parallel()
	f := acme()
	for i := range f.sessions {
		s := &f.sessions[i]
		s.ID, s.Agent, s.Dir, s.Remote, s.Reason, s.Profile = s.ID+ofAgent, ofAgent, "/"+ofAgent, ofAgent, ofAgent, ofAgent
		s.Hosts = []Host{{ofAgent, ofAgent, ofAgent}}
		for j := range s.Waiting {
			r := &s.Waiting[j]
			r.Agent, r.Method, r.Host, r.Path = ofAgent, ofAgent, ofAgent, ofAgent
		}
	}
	for i := range f.logins {
		l := &f.logins[i]
		l.Reason, l.Account, l.State, l.Scopes = ofAgent, ofAgent, "needs login", []string{ofAgent}
		l.Provider += ofAgent
	}
	for i := range f.events {
		e := &f.events[i]
		e.Profile, e.Provider, e.Login, e.Reason, e.Method, e.Host, e.Path, e.Error, e.Detail, e.Action = ofAgent, ofAgent, ofAgent, ofAgent, ofAgent, ofAgent, ofAgent, ofAgent, ofAgent, ofAgent
		e.Session += ofAgent
	}
	f.standing.Attention = []string{ofAgent}
	for _, size := range []struct{ w, h int }{{100, 30}, {60, 20}, {40, 12}} {
		for _, keys := range [][]string{{}, {"tab"}, {"tab", "tab"}, {"d"}, {"enter"}, {"5", "k"}, {"5", "enter"}, {"5", "s"}, {"5", "p"}} {
			b := newBoard(t, f, size.w, size.h)
			b.press(keys...)
			b.frame() // checks widths
			view := b.m.View()
			for _, bad := range []string{"\x1b[2J", "\x1b]", "\a", "\u202e", "\u2066", "\r", "\x00", "\u009b", "�\n�"} {
				if strings.Contains(view, bad) {
					t.Errorf("%dx%d after %q: %q is on the screen", size.w, size.h, keys, bad)
				}
			}
			if !strings.Contains(view, "evil") && size.w == 100 {
				t.Errorf("%dx%d after %q: the text itself is gone", size.w, size.h, keys)
			}
		}
	}
}

// TestLiveEverySize: no size breaks a line of Home or Audit.
func TestLiveEverySize(t *testing.T) {
	t.Parallel()
	b := newBoard(t, acme(), 100, 30)
	for _, screen := range []string{"1", "5"} {
		b.press(screen)
		for panel := range 3 {
			for w := 1; w <= 200; w += 1 + w/20 {
				for h := 1 + panel; h <= 60; h += 3 {
					b.m.Update(tea.WindowSizeMsg{Width: w, Height: h})
					b.frame()
				}
			}
			if screen == "1" && panel < 2 {
				b.press("tab")
			}
		}
	}
}

// TestHomeGoesWhereOneClicks: a click focuses the panel and goes to the row.
func TestHomeGoesWhereOneClicks(t *testing.T) {
	t.Parallel()
	b := newBoard(t, acme(), 100, 30)
	for _, c := range []struct {
		text  string
		panel int
		want  string
	}{
		{"oss       codex", homeSessions, "81d20b7e"},
		{"google (drive)", homeLogins, "google"},
		{"api.stripe.com", homeAudit, "api.stripe.com"},
	} {
		y := 0
		for i, line := range strings.Split(b.frame(), "\n") {
			if strings.Contains(line, c.text) {
				y = i
			}
		}
		b.send(tea.MouseMsg{X: 10, Y: y, Action: tea.MouseActionPress, Button: tea.MouseButtonLeft})
		home := b.m.screens[screenHome].(*home)
		if home.panel != c.panel || b.m.panel != c.panel || !strings.Contains(home.current(), c.want) {
			t.Errorf("a click on %q is at %q of panel %d", c.text, home.current(), home.panel)
		}
	}
}
