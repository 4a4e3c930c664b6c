package tui

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"

	"kb/internal/hint"
)

// errTwoLines is an error as a backend gives one: of several lines, with its fix.
var errTwoLines = hint.Wrap(errors.New("refresh linear: the server does not answer\ntried 3 times in 12 s"), "run kb login linear")

// blank is a screen with nothing on it.
type blank struct {
	*shared
	list list[string]
}

func (s *blank) name() string           { return "Home" }
func (s *blank) opened() tea.Cmd        { return nil }
func (s *blank) changed()               {}
func (s *blank) update(tea.Msg) tea.Cmd { return nil }
func (s *blank) uses() []use            { return nil }
func (s *blank) rows() rows             { return &s.list }
func (s *blank) panels() int            { return 1 }
func (s *blank) focus(int)              {}
func (s *blank) current() string        { return "" }
func (s *blank) hint() string           { return "what matters here" }
func (s *blank) view(w, h int) []string { return s.theme.Panel(draw.Panel{Title: "Home"}, w, h) }

func TestFramesOfTheRoot(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		w, h int
		o    Options
		do   func(*board)
	}{
		{"help-100", 100, 30, Options{}, func(b *board) { b.press("3", "?") }},
		{"help-search-60", 60, 20, Options{}, func(b *board) { b.press("3", "?", "refresh") }},
		{"palette-100", 100, 30, Options{}, func(b *board) { b.press(":", "vault") }},
		{"palette-line-60", 60, 20, Options{}, func(b *board) { b.press(":", "kb rule add work --dir ~/src") }},
		{"palette-nothing-60", 60, 20, Options{}, func(b *board) { b.press(":", "zzzz") }},
		{"filter-60", 60, 20, Options{}, func(b *board) { b.press("3", "/", "!git") }},
		{"filtered-60", 60, 20, Options{}, func(b *board) { b.press("3", "/", "git", "enter") }},
		{"error-100", 100, 30, Options{}, func(b *board) { b.send(done{what: "refresh linear", err: errTwoLines}) }},
		{"error-full-60", 60, 20, Options{}, func(b *board) { b.send(done{what: "refresh linear", err: errTwoLines}); b.press("E") }},
		{"working-60", 60, 20, Options{}, func(b *board) { b.m.act("refresh linear", nil) }},
		{"confirm-60", 60, 20, Options{}, func(b *board) {
			b.run(open(&confirm{shared: b.m.shared, about: "Stop session 7f3a", question: "Stop session 7f3a? claude is ended, and what it has not saved is lost.", yes: "stop it"}))
		}},
		{"tiny", 39, 12, Options{}, func(*board) {}},
		{"ascii-100", 100, 30, Options{Looks: Looks{ASCII: true, NoColor: true}}, func(b *board) { b.press("3", "?") }},
	} {
		o := c.o
		o.Verbs = func() []Verb {
			return []Verb{{"kb vault edit", "edit the vault in an editor"}, {"kb which", "says which profile a directory gets"}}
		}
		if !o.Looks.ASCII {
			o.Looks.NoColor = true
		}
		b := newBoardWith(t, full(), o, c.w, c.h)
		if !strings.HasPrefix(c.name, "help") && !strings.HasPrefix(c.name, "filter") && !o.Looks.ASCII {
			b.m.screens[screenHome] = &blank{shared: b.m.shared} // the frame is about what is around it
		}
		c.do(b)
		golden(t, "root-"+c.name, b.frame())
	}
}

// TestColours looks at the escape sequences of the themes themselves.
func TestColours(t *testing.T) {
	t.Parallel()
	head := func(l Looks) string {
		b := newBoardWith(t, full(), Options{Looks: l}, 100, 30)
		b.send(done{what: "x", err: errFake})
		lines := strings.Split(b.m.View(), "\n")
		return fmt.Sprintf("%q\n%q", strings.TrimRight(lines[1], " "), lines[28][:30])
	}
	golden(t, "root-dark", head(Looks{}))
	golden(t, "root-light", head(Looks{Light: true}))
	golden(t, "root-own", head(Looks{Colors: map[string]int{"accent": 5, "failed": 13}}))
	none := head(Looks{NoColor: true})
	golden(t, "root-nocolor", none)
}

// TestInputTakesEveryKey types the keys that mean something elsewhere into each
// input: all of them are text there, and nothing opens or ends.
func TestInputTakesEveryKey(t *testing.T) {
	t.Parallel()
	const keys = "q?:/1 8jkgGEyYrRdDaAsnle!"
	type place struct {
		name string
		open func(*board)
		held func(*board) string
	}
	top := func(b *board) dialog { return b.m.dialogs[len(b.m.dialogs)-1] }
	places := []place{
		{"help", func(b *board) { b.press("?") }, func(b *board) string { return top(b).(*picker).in.value() }},
		{"palette", func(b *board) { b.press(":") }, func(b *board) string { return top(b).(*picker).in.value() }},
		{"filter", func(b *board) { b.press("/") }, func(b *board) string { return b.m.filter.value() }},
		{"menu", func(b *board) {
			b.run(open(newMenu(b.m.shared, "Which", []Choice{{"a", "a"}}, func(string) tea.Cmd { return nil })))
		}, func(b *board) string { return top(b).(*picker).in.value() }},
	}
	for i, f := range sample(nil).fields {
		open := func(b *board) {
			b.run(open(sample(b.m.shared)))
			for range i {
				b.press("down")
			}
		}
		switch f.kind {
		case textField, wordsField:
			places = append(places, place{"form " + f.name, open, func(b *board) string { return top(b).(*form).inputs[i].value() }})
		case secretField:
			places = append(places, place{"form " + f.name, open, func(b *board) string { return string(top(b).(*form).masks[i].buf) }})
		}
	}
	for _, p := range places {
		f := full()
		b := newBoard(t, f, 100, 30)
		b.press("3")
		p.open(b)
		n := len(b.m.dialogs)
		for _, k := range keys {
			b.press(string(k))
		}
		b.paste("qq?")
		if got := p.held(b); got != keys+"qq?" {
			t.Errorf("%s: it holds %q", p.name, got)
		}
		if len(b.m.dialogs) != n || b.m.at != screenLogins || len(f.done()) != 0 {
			t.Errorf("%s: a key did something else: %d dialogs, screen %d, did %q", p.name, len(b.m.dialogs), b.m.at+1, f.done())
		}
		if !quits(b.m, "ctrl+c") {
			t.Errorf("%s: ctrl+c does not quit", p.name)
		}
	}
}

// comes is a dialog that appears by itself.
type comes struct {
	*confirm
}

func (comes) sudden() bool { return true }

func TestGraceOfWhatAppearsByItself(t *testing.T) {
	t.Parallel()
	now := at
	b := newBoard(t, full(), 100, 30)
	b.m.read = func() time.Time { return now }
	after := func(d time.Duration) { now = now.Add(d) }
	yes := 0
	appear := func() {
		yes = 0
		b.run(open(comes{&confirm{shared: b.m.shared, about: "Sudden", act: func() tea.Cmd { yes++; return nil }}}))
	}
	appear()
	after(quiet - 1)
	b.press("y") // typed on, it is not for the dialog
	after(quiet - 1)
	b.press("y")
	if yes != 0 {
		t.Fatal("a key that was typed on answered")
	}
	after(quiet)
	b.press("y")
	if yes != 1 {
		t.Fatal("after the quiet it does not take the key")
	}
	appear()
	for range 5 { // somebody who does not stop
		after(quiet - 100*time.Millisecond)
		b.press("y")
	}
	if yes != 1 {
		t.Errorf("answered %d times: patience ends after %v", yes, patience)
	}
	// One under another: the answer to the first is none to the second.
	appear()
	appear()
	after(quiet)
	b.press("y", "y", "y")
	if yes != 1 || len(b.m.dialogs) != 1 {
		t.Errorf("answered %d, %d dialogs", yes, len(b.m.dialogs))
	}
	b.press("ctrl+c")
}

func TestErrorsStayUntilEsc(t *testing.T) {
	t.Parallel()
	now := at
	b := newBoard(t, full(), 100, 30)
	b.m.read = func() time.Time { return now }
	line := func() string { return strings.Split(b.frame(), "\n")[28] }
	b.send(done{what: "refresh linear", err: errTwoLines})
	b.send(done{what: "sync", err: errFake})
	b.send(done{what: "lock", note: "the vault is locked"})
	now = now.Add(time.Hour)
	b.send(ticked{})
	if l := line(); !strings.Contains(l, "x sync: the fake was told to fail") || !strings.Contains(l, "(2)") {
		t.Errorf("the newest error is not shown: %q", l)
	}
	b.press("2", "3", "j", "esc")
	if l := line(); !strings.Contains(l, "x refresh linear") {
		t.Errorf("the one before does not come back: %q", l)
	}
	b.press("esc")
	if l := line(); strings.Contains(l, "x ") || strings.Contains(l, "locked") {
		t.Errorf("errors are gone, and the note is old: %q", l)
	}
	b.send(done{what: "lock", note: "the vault is locked"})
	if l := line(); !strings.Contains(l, "the vault is locked") {
		t.Errorf("the note is not shown: %q", l)
	}
}

func TestFilterIsLive(t *testing.T) {
	t.Parallel()
	b := newBoard(t, full(), 100, 30)
	b.press("3", "/", "linear")
	if n := b.m.screens[screenLogins].rows().count(); n != 1 {
		t.Errorf("%d rows while typing", n)
	}
	b.press("enter", "/")
	if b.m.filter.value() != "linear" {
		t.Error("the filter that is set is not there to be changed")
	}
	b.press("esc")
	all := b.m.screens[screenLogins].rows().count()
	b.press("/", "!linear", "enter")
	if n := b.m.screens[screenLogins].rows().count(); n != all-1 {
		t.Errorf("%d of %d rows without it", n, all)
	}
	b.press("esc")
	if n := b.m.screens[screenLogins].rows().count(); n != all {
		t.Error("esc does not clear it")
	}
}

func TestPalette(t *testing.T) {
	t.Parallel()
	f := full()
	o := Options{Verbs: func() []Verb { return []Verb{{"kb vault edit", "edit the vault"}} }, Looks: Looks{NoColor: true}}
	b := newBoardWith(t, f, o, 100, 30)
	b.press(":", "doctor", "enter")
	if b.m.at != screenDoctor {
		t.Errorf("it went to screen %d", b.m.at+1)
	}
	b.press(":", "refresh all", "enter") // from another screen
	if b.m.at != screenLogins || !slices.Contains(f.done(), "refresh /") {
		t.Errorf("screen %d, did %q", b.m.at+1, f.done())
	}
	// What begins as it is typed comes before what has the words somewhere.
	b.m.verbs = func() []Verb { return []Verb{{"kb vault edit", "edit the vault"}, {"kb policy add", "add a line"}} }
	p := b.m.palette()
	p.in.set("policy a")
	p.search()
	if e, _ := p.selected(); e.key != "kb policy add" {
		t.Errorf("policy a finds %q first", e.key+" "+e.text)
	}
	b.press(":", "vault edit", "enter")
	b.press(":", `kb rule add work --dir "~/my src"`, "enter")
	if did := f.done(); !slices.Contains(did, "kb vault edit") || !slices.Contains(did, "kb rule add work --dir ~/my src") {
		t.Errorf("did %q", did)
	}
	n := len(f.done())
	b.press(":", "up", "enter")
	if did := f.done(); len(did) != n+1 || did[n] != did[n-1] {
		t.Errorf("the line before is not there again: %q", did)
	}
	b.press(":", "kb vault edit | sh", "enter")
	if did := f.done(); len(did) != n+1 || !strings.Contains(b.frame(), "for a shell") {
		t.Errorf("a line for a shell was run: %q", did)
	}
}

func TestSplitLine(t *testing.T) {
	t.Parallel()
	for line, want := range map[string][]string{
		"kb which":              {"kb", "which"},
		`  kb a  "b c" 'd "e' `: {"kb", "a", "b c", `d "e`},
		`a\ b "c\"d" '' x""y`:   {"a b", `c"d`, "", "xy"},
	} {
		if got, err := splitLine(line); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", line, got, err)
		}
	}
	for _, line := range []string{`"open`, `'open`, `end\`, "a | b", "a; b", "a > b", "$(a `b`)"} {
		if got, err := splitLine(line); err == nil {
			t.Errorf("%s: %q", line, got)
		}
	}
}

func TestCopy(t *testing.T) {
	t.Parallel()
	var taken []string
	o := Options{Looks: Looks{NoColor: true}, Clipboard: func(s string) error { taken = append(taken, s); return nil }}
	b := newBoardWith(t, full(), o, 100, 30)
	b.press("3", "y")
	if len(taken) != 1 || !strings.Contains(b.frame(), "copied: "+taken[0]) {
		t.Errorf("copied %q:\n%s", taken, b.frame())
	}
	b.press("Y")
	if len(b.m.dialogs) == 1 { // several lines: one is chosen
		b.press("enter")
	}
	if len(taken) != 2 || !strings.HasPrefix(taken[1], "kb ") {
		t.Errorf("copied %q", taken)
	}
	b = newBoard(t, full(), 100, 30)
	b.press("3", "y")
	if !strings.Contains(b.frame(), "this terminal takes no copies: ") {
		t.Errorf("nothing is said:\n%s", b.frame())
	}
}

func TestMouse(t *testing.T) {
	t.Parallel()
	f := full()
	b := newBoard(t, f, 100, 30)
	press := func(x, y int, button tea.MouseButton) { b.send(tea.MouseMsg{X: x, Y: y, Button: button}) }
	lines := strings.Split(b.frame(), "\n")
	press(strings.Index(lines[1], "3 Logins"), 1, tea.MouseButtonLeft)
	if b.m.at != screenLogins {
		t.Fatalf("a click on the tab goes to screen %d", b.m.at+1)
	}
	cursor := func() string { return b.m.screens[screenLogins].current() }
	first := cursor()
	press(50, 10, tea.MouseButtonWheelDown)
	second := cursor()
	if first == second {
		t.Error("the wheel does not move")
	}
	press(50, 10, tea.MouseButtonWheelUp)
	b.frame()
	press(10, 5, tea.MouseButtonLeft) // frame, headings, first row, second row
	if cursor() != second {
		t.Errorf("a click went to %q, want %q", cursor(), second)
	}
	press(10, 1000, tea.MouseButtonLeft)
	press(-1, -1, tea.MouseButtonLeft)
	b.press("6")
	for range 3 {
		for y := range 30 {
			press(5, y, tea.MouseButtonLeft)
			press(5, y, tea.MouseButtonLeft)
		}
		b.press("6")
	}
	for _, did := range f.done() {
		if strings.HasPrefix(did, "answer") {
			t.Errorf("the mouse answered: %q", did)
		}
	}
}

func TestTabGoesThroughPanelsAndScreens(t *testing.T) {
	t.Parallel()
	b := newBoard(t, full(), 100, 30)
	n := 0
	for _, s := range b.m.screens {
		n += s.panels()
	}
	for range n {
		b.press("tab")
	}
	if b.m.at != screenHome || b.m.panel != 0 {
		t.Errorf("after all panels it is at screen %d, panel %d", b.m.at+1, b.m.panel)
	}
	b.press("shift+tab")
	if b.m.at != screenVault || b.m.panel != b.m.screens[screenVault].panels()-1 {
		t.Errorf("back it is at screen %d, panel %d", b.m.at+1, b.m.panel)
	}
}

func TestChangesAskOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	b := newBoard(t, full(), 100, 30)
	w := &b.m.world
	sessions, logins, vault := w.sessions.asked, w.logins.asked, w.vault.asked
	b.send(ChangedSessions)
	if w.sessions.asked != sessions+1 || w.logins.asked != logins || w.vault.asked != vault {
		t.Error("sessions: something else is asked for, or nothing")
	}
	b.send(ChangedTokens)
	if w.logins.asked != logins+1 || w.sessions.asked != sessions+1 || w.vault.asked != vault {
		t.Error("tokens: something else is asked for, or nothing")
	}
	b.send(ChangedVault | ChangedSessions)
	if w.vault.asked != vault+1 || w.logins.asked != logins+2 || w.sessions.asked != sessions+2 {
		t.Error("vault and sessions: something is not asked for")
	}
}

func TestEscCancelsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b := newBoard(t, full(), 100, 30)
	cmd := b.m.act("refresh linear", nil)
	if !strings.Contains(b.frame(), "~ refresh linear  (esc cancels)") {
		t.Errorf("it does not say what is under way:\n%s", b.frame())
	}
	ctx := b.m.jobs[0]
	b.press("esc")
	_ = cmd // its backend sees the end of its context and answers:
	b.send(finished{done{what: ctx.what, err: b.m.ctx.Err()}, ctx.number})
	if len(b.m.jobs) != 0 || strings.Contains(b.frame(), "~ refresh") {
		t.Errorf("it is still under way:\n%s", b.frame())
	}
}
