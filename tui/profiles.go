package tui

import (
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

var profileBindings = []binding{
	{id: "profiles.new", keys: []string{"n"}, does: "new", help: "make a profile", verb: "kb profile add"},
	{id: "profiles.edit", keys: []string{"e"}, does: "edit", help: "change the profile", verb: "kb profile set"},
	{id: "profiles.remove", keys: []string{"d"}, does: "delete", help: "take away what is under the cursor: the profile with all it has, a rule, a policy line, a pin; asks", verb: "kb profile rm, kb rule rm, kb policy rm"},
	{id: "profiles.rule", keys: []string{"a"}, does: "add rule", help: "add a rule that selects the profile", verb: "kb rule add"},
	{id: "profiles.policy", keys: []string{"p"}, does: "add policy", help: "add a line to the profile's policy", verb: "kb policy add"},
	{id: "profiles.test", keys: []string{"t"}, does: "test a path", help: "say which profile a directory gets, and why", verb: "kb rule test"},
	{id: "profiles.testpolicy", keys: []string{"T"}, does: "test a request", help: "say what the profile's policy makes of a request", verb: "kb policy test"},
	{id: "profiles.default", keys: []string{"s"}, does: "default", help: "have it be the profile where no rule matches; once more: none", verb: "kb profile default"},
	{id: "profiles.pins", keys: []string{"P"}, does: "pins", help: "choose a remembered directory to forget", verb: "kb pin rm"},
}

// Panels of the screen of profiles.
const (
	panelProfiles = iota
	panelRules
	panelPolicy
	panelPins
	profilePanels
)

// profiles is the screen of identities with what belongs to each.
type profiles struct {
	*shared
	list     list[Profile]
	rules    list[Rule]
	policies list[Policy]
	pins     list[Pin]
	panel    int
	of       string // the profile whose rules, policy and pins the lists have
	question uint64 // number of the last question for something to be shown
}

func newProfiles(s *shared) *profiles {
	return &profiles{
		shared: s,
		list: newList(func(p Profile) string { return p.Name }, func(p Profile) string {
			return p.Name + " " + p.GitName + " " + p.GitEmail + " " + p.Vault
		}),
		rules: newList(func(r Rule) string { return r.ID }, func(r Rule) string {
			return strings.Join([]string{r.ID, r.Remote, r.Dir, r.User, r.Machine, r.Agent}, " ")
		}),
		policies: newList(func(p Policy) string { return p.ID }, func(p Policy) string { return p.ID + " " + p.Text }),
		pins:     newList(func(p Pin) string { return p.Dir }, func(p Pin) string { return p.Dir + " " + p.Was + " " + p.Now }),
	}
}

func (s *profiles) name() string    { return "Profiles" }
func (s *profiles) opened() tea.Cmd { return ask(s.ctx, &s.world.profiles, s.backend.Profiles) }
func (s *profiles) panels() int     { return profilePanels }
func (s *profiles) focus(panel int) { s.panel = panel }

func (s *profiles) changed() {
	s.list.set(s.world.profiles.value.Profiles)
	s.of = ""
	s.follow()
}

// follow has the panels show what belongs to the profile under the cursor.
func (s *profiles) follow() Profile {
	p, ok := s.list.selected()
	if ok && s.of == p.Name {
		return p
	}
	s.of = p.Name
	s.rules.set(p.Rules)
	s.policies.set(p.Policies)
	var pins []Pin
	for _, pin := range s.world.profiles.value.Pins {
		if ok && pin.Profile == p.Name {
			pins = append(pins, pin)
		}
	}
	s.pins.set(pins)
	return p
}

func (s *profiles) rows() rows {
	s.follow()
	switch s.panel {
	case panelRules:
		return &s.rules
	case panelPolicy:
		return &s.policies
	case panelPins:
		return &s.pins
	}
	return &s.list
}

func (s *profiles) current() string {
	p := s.follow()
	switch s.panel {
	case panelRules:
		r, _ := s.rules.selected()
		return r.ID
	case panelPolicy:
		l, _ := s.policies.selected()
		return l.ID
	case panelPins:
		pin, _ := s.pins.selected()
		return pin.Dir
	}
	return p.Name
}

func (s *profiles) hint() string {
	n := 0
	for _, p := range s.world.profiles.value.Pins {
		if p.Changed {
			n++
		}
	}
	switch {
	case n == 1:
		return "1 pinned directory has changed; kb exec asks there."
	case n > 1:
		return fmt.Sprintf("%d pinned directories have changed; kb exec asks there.", n)
	}
	return ""
}

// conditions are a rule's as the flags that made them.
func (r Rule) conditions() string {
	var parts []string
	for _, c := range [...][2]string{{"remote", r.Remote}, {"dir", r.Dir}, {"user", r.User}, {"machine", r.Machine}, {"agent", r.Agent}} {
		if c[1] != "" {
			parts = append(parts, c[0]+" "+c[1])
		}
	}
	return strings.Join(parts, ", ")
}

func (s *profiles) uses() []use {
	p := s.follow()
	none := ""
	if p.Name == "" {
		none = "there is no profile yet"
	}
	one := func(id, line string, run func() tea.Cmd) use { return use{id: id, off: none, line: line, run: run} }
	makeDefault := p.Name
	if p.Default {
		makeDefault = ""
	}
	defaultLine := "kb profile default " + shellWord(makeDefault)
	if makeDefault == "" {
		defaultLine = "kb profile default none"
	}
	pins := use{id: "profiles.pins", run: s.choosePin}
	if len(s.world.profiles.value.Pins) == 0 {
		pins.off = "no directory is pinned"
	}
	uses := []use{
		one("profiles.rule", "kb rule add "+shellWord(p.Name), func() tea.Cmd { return s.suggest(p) }),
		one("profiles.policy", "kb policy add "+shellWord(p.Name), func() tea.Cmd { return s.shared.show(s.policyForm(p)) }),
		one("profiles.test", "kb rule test", func() tea.Cmd { return s.shared.show(s.pathForm()) }),
		one("profiles.testpolicy", "kb policy test -p "+shellWord(p.Name), func() tea.Cmd { return s.shared.show(s.requestForm(p)) }),
		{id: "profiles.new", line: "kb profile add NAME", run: func() tea.Cmd { return s.shared.show(s.form(ProfileSpec{Egress: "open"})) }},
		one("profiles.edit", "kb profile set "+shellWord(p.Name), func() tea.Cmd { return s.shared.show(s.form(p.ProfileSpec)) }),
		one("profiles.default", defaultLine, func() tea.Cmd {
			return s.act("set the default profile", func(ctx context.Context) (string, error) { return s.backend.DefaultProfile(ctx, makeDefault) })
		}),
		pins,
	}
	if s.panel == panelProfiles { // what is made comes before what is taken away
		return append(uses, s.remove(p))
	}
	return append([]use{s.remove(p)}, uses...)
}

// remove takes away what the focused panel has under the cursor.
func (s *profiles) remove(p Profile) use {
	u := use{id: "profiles.remove"}
	switch s.panel {
	case panelRules:
		r, ok := s.rules.selected()
		if !ok {
			u.off = "there is no rule"
		}
		u.line, u.run = "kb rule rm "+shellWord(r.ID), func() tea.Cmd {
			return s.asks("Remove rule?", "Remove rule "+r.ID+" ("+r.conditions()+")? Directories that it selects get the profile of another rule, the default, or none.",
				"remove it", "remove rule "+r.ID, func(ctx context.Context) (string, error) { return s.backend.RemoveRule(ctx, r.ID) })
		}
	case panelPolicy:
		l, ok := s.policies.selected()
		if !ok {
			u.off = "there is no policy line"
		}
		u.line, u.run = "kb policy rm "+shellWord(l.ID), func() tea.Cmd {
			return s.asks("Remove policy line?", "Remove the line "+l.Text+" ("+l.ID+")? What no line is about is allowed, but for requests that make a new credential. Running sessions follow at once.",
				"remove it", "remove policy "+l.ID, func(ctx context.Context) (string, error) { return s.backend.RemovePolicy(ctx, l.ID) })
		}
	case panelPins:
		pin, ok := s.pins.selected()
		if !ok {
			u.off = "no directory is pinned to it"
		}
		u.line, u.run = "kb pin rm "+shellWord(pin.Dir), func() tea.Cmd { return s.askForget(pin) }
	default:
		if p.Name == "" {
			u.off = "there is no profile yet"
		}
		u.line, u.run = "kb profile rm "+shellWord(p.Name), func() tea.Cmd { return s.askRemove(p) }
	}
	return u
}

// asks asks before something is taken away.
func (s *shared) asks(about, question, yes, what string, f func(context.Context) (string, error)) tea.Cmd {
	return s.show(&confirm{shared: s, about: about, question: question, yes: yes, act: func() tea.Cmd { return s.act(what, f) }})
}

func (s *profiles) askRemove(p Profile) tea.Cmd {
	question := fmt.Sprintf("Delete profile %s? Its %s, %s and %s go with it, on all your devices with the next sync.",
		p.Name, plural(len(p.Rules), "rule"), plural(p.Logins, "login"), plural(len(p.Policies), "policy line"))
	if p.Logins > 0 {
		question += "\nTokens that are deleted so are still good at their providers: log out first (d on Logins) to end them."
	}
	return s.asks("Delete profile?", question, "delete it", "delete profile "+p.Name,
		func(ctx context.Context) (string, error) { return s.backend.RemoveProfile(ctx, p.Name) })
}

func (s *profiles) askForget(pin Pin) tea.Cmd {
	question := "Forget that " + s.short(pin.Dir) + " is " + pin.Profile + "? The next kb exec there takes what the rules say, without asking."
	if pin.Changed {
		question += "\nIts remotes changed since: it was " + pin.Was + " and is " + pin.Now + ". If you did not do that, look there first."
	}
	return s.asks("Forget the pin?", question, "forget it", "forget the pin of "+pin.Dir,
		func(ctx context.Context) (string, error) { return s.backend.RemovePin(ctx, pin.Dir) })
}

// choosePin lists all pins, those of every profile.
func (s *profiles) choosePin() tea.Cmd {
	pins := s.world.profiles.value.Pins
	choices := make([]Choice, len(pins))
	for i, p := range pins {
		text := s.short(p.Dir) + "  " + p.Profile
		if p.Changed {
			text += "  ! changed"
		}
		choices[i] = Choice{p.Dir, text}
	}
	return s.shared.show(newMenu(s.shared, "Which directory is forgotten?", choices, func(dir string) tea.Cmd {
		for _, p := range pins {
			if p.Dir == dir {
				return s.askForget(p)
			}
		}
		return nil
	}))
}
