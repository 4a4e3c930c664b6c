package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

var loginBindings = []binding{
	{id: "logins.login", keys: []string{"l"}, does: "log in", help: "make the login again, or replace its key", verb: "kb login"},
	{id: "logins.device", keys: []string{"L"}, does: "device code", help: "make the login again with a code that is typed on any machine", verb: "kb login"},
	{id: "logins.new", keys: []string{"n"}, does: "new", help: "log in at a provider of the catalogue", verb: "kb login"},
	{id: "logins.edit", keys: []string{"e"}, does: "settings", help: "make the login again with other settings: scopes, a reference, where it is kept", verb: "kb login"},
	{id: "logins.refresh", keys: []string{"r"}, does: "refresh", help: "get new tokens of the login now", verb: "kb refresh"},
	{id: "logins.refreshall", keys: []string{"R"}, does: "refresh all", help: "get new tokens of every login that has some", verb: "kb refresh"},
	{id: "logins.logout", keys: []string{"d"}, does: "log out", help: "end the login, on this device or everywhere; it says first what that does", verb: "kb logout"},
	{id: "logins.import", keys: []string{"i"}, does: "import", help: "take over the login that another program keeps", verb: "kb import"},
	{id: "logins.agree", keys: []string{"a"}, does: "agree", help: "see the references that came with a vault, and agree to them", verb: "kb reference accept"},
	{id: "logins.missing", keys: []string{"M"}, does: "make missing", help: "make every login that this device has still to make", verb: "kb login"},
}

// logins is the screen of logins and how they stand.
type logins struct {
	*shared
	list   list[Login]
	detail pager
	panel  int
	shown  []Login // that the list was made of
	row    string  // that the detail was drawn of
	// asked is the number of the last question about a logout or an import: a late
	// answer opens nothing.
	asked uint64
}

func newLogins(s *shared) *logins {
	return &logins{shared: s, list: newList(
		func(l Login) string { return l.row() },
		func(l Login) string {
			return strings.Join([]string{l.Profile, l.Provider, l.As, l.State, l.Account, l.Kind, l.Reason}, " ")
		})}
}

func (s *logins) name() string    { return "Logins" }
func (s *logins) opened() tea.Cmd { return ask(s.ctx, &s.world.logins, s.backend.Logins) }
func (s *logins) panels() int     { return 2 }
func (s *logins) focus(panel int) { s.panel = panel }

func (s *logins) changed() {
	if now := s.world.logins.value; !sameSlice(s.shown, now) {
		s.shown = now
		s.list.set(now)
	}
}

// sameSlice reports whether a and b are one slice, and not only equal.
func sameSlice[T any](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

func (s *logins) rows() rows {
	if s.panel == 1 || s.inDetail {
		return &s.detail
	}
	return &s.list
}

// current is the login's name, as the command line takes it.
func (s *logins) current() string {
	l, _ := s.list.selected()
	return loginName(l.LoginKey)
}

// row is a login's key in a list.
func (k LoginKey) row() string { return k.Profile + "\x00" + k.Provider + "\x00" + k.As }

// loginName is how a login is called beside its profile: "github", "github (bot)".
func loginName(k LoginKey) string {
	if k.As == "" {
		return k.Provider
	}
	return k.Provider + " (" + k.As + ")"
}

// loginLine is the command line that does a thing to a login.
func loginLine(verb string, k LoginKey) string {
	line := "kb " + verb + " " + shellWord(k.Provider) + " -p " + shellWord(k.Profile)
	if k.As != "" {
		line += " --as " + shellWord(k.As)
	}
	return line
}

func (s *logins) uses() []use {
	l, any := s.list.selected()
	none := ""
	if !any {
		none = "there is no login here; n makes one"
	}
	off := func(reason string, when bool) string {
		if none == "" && when {
			return reason
		}
		return none
	}
	again := use{id: "logins.login", off: none, line: loginLine("login", l.LoginKey), run: func() tea.Cmd { return startLogin(s.shared, l.LoginKey, false) }}
	switch {
	case !any && len(s.list.all) == 0:
		again.off, again.line = "", "kb login PROVIDER"
		again.run = func() tea.Cmd { return newLogin(s.shared, "", "") }
	case l.Import != "":
		again.line = "kb import " + shellWord(l.Import) + " -p " + shellWord(l.Profile) + " --replace"
		again.run = s.imports
	}
	refresh := use{id: "logins.refresh", off: off("this login has no tokens that end", !l.Renews), line: loginLine("refresh", l.LoginKey), run: s.refresh}
	if len(s.list.marked) > 0 {
		refresh.off = ""
	}
	agree := off("all its references are agreed to", !l.Disagreed)
	return []use{
		again,
		{
			id: "logins.device", off: off("nobody grants this login in a browser", !l.OAuth || l.Import != ""),
			line: loginLine("login", l.LoginKey) + " --method device", run: func() tea.Cmd { return startLogin(s.shared, l.LoginKey, true) },
		},
		{id: "logins.new", line: "kb login PROVIDER", run: func() tea.Cmd { return newLogin(s.shared, "", l.Profile) }},
		refresh,
		{id: "logins.logout", off: none, line: loginLine("logout", l.LoginKey), run: s.logout},
		{
			id: "logins.edit", off: off("it is taken over from another program, and has no settings", l.Import != ""),
			line: loginLine("login", l.LoginKey) + " --replace", run: func() tea.Cmd { return editLogin(s.shared, l.LoginKey) },
		},
		{id: "logins.import", line: "kb import", run: s.imports},
		{id: "logins.refreshall", off: s.offAll(func(l Login) bool { return l.Renews }, "no login has tokens that end"), line: "kb refresh", run: func() tea.Cmd {
			return s.act("refresh all", func(ctx context.Context) (string, error) { return s.backend.Refresh(ctx, LoginKey{}) })
		}},
		{id: "logins.agree", off: agree, line: "kb reference accept " + shellWord(l.Provider) + " -p " + shellWord(l.Profile), run: func() tea.Cmd {
			return s.handOver("reference", "accept", l.Provider, "-p", l.Profile)
		}},
		{id: "logins.missing", off: s.offAll(func(l Login) bool { return l.Missing }, "this device has every login that it can have"), line: "kb login --all", run: func() tea.Cmd {
			return s.handOver("login", "--all")
		}},
	}
}

// offAll is why a thing cannot be done that is about all logins of a kind.
func (s *logins) offAll(of func(Login) bool, none string) string {
	for _, l := range s.list.all {
		if of(l) {
			return ""
		}
	}
	return none
}

// refresh gets new tokens of the chosen logins, one after the other. One that fails
// does not keep the others from theirs.
func (s *logins) refresh() tea.Cmd {
	chosen := s.list.chosen()
	what := "refresh " + namesOf(chosen)
	return s.act(what, func(ctx context.Context) (string, error) {
		var notes []string
		var failed []error
		for _, l := range chosen {
			if !l.Renews {
				continue
			}
			note, err := s.backend.Refresh(ctx, l.LoginKey)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			notes = append(notes, note)
		}
		return strings.Join(notes, "; "), errors.Join(failed...)
	})
}

// namesOf names logins in a title or a line.
func namesOf(chosen []Login) string {
	if len(chosen) == 1 {
		return loginName(chosen[0].LoginKey)
	}
	return fmt.Sprintf("%d logins", len(chosen))
}

func (s *logins) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case logoutPlanned:
		if msg.request == s.asked {
			return s.planned(msg)
		}
	case importsFound:
		if msg.request == s.asked {
			return s.found(msg)
		}
	}
	return nil
}

func (s *logins) hint() string {
	l, any := s.list.selected()
	switch {
	case !any:
		return ""
	case l.Fix != "":
		return "to mend it: " + draw.Clean(l.Fix)
	case l.OAuth && l.Import == "":
		return "l opens your browser; L gives a code to type on another machine"
	case l.Import == "":
		return "l replaces the key"
	}
	return ""
}
