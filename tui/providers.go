package tui

import (
	"context"
	"strconv"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

var providerBindings = []binding{
	{id: "providers.login", keys: []string{"l"}, does: "log in", help: "log in at the provider", verb: "kb login"},
	{id: "providers.open", keys: []string{"o"}, does: "open docs", help: "open the vendor's page on authentication in the browser"},
	{id: "providers.new", keys: []string{"n"}, does: "new", help: "add a definition of your own from a file", verb: "kb provider add"},
	{id: "providers.edit", keys: []string{"e"}, does: "edit", help: "a definition of your own is edited as its file, and added again with n"},
	{id: "providers.lint", keys: []string{"t"}, does: "test", help: "check a definition of your own", verb: "kb provider lint"},
	{id: "providers.remove", keys: []string{"d"}, does: "remove", help: "remove a definition of your own; it says first which logins use it", verb: "kb provider rm"},
	{id: "providers.lintfile", keys: []string{"T"}, does: "test a file", help: "check a file before it is added", verb: "kb provider lint"},
}

// providerScreen is the catalogue: what kb knows of services, and what the user
// added.
type providerScreen struct {
	*shared
	list   list[Provider]
	detail pager
	panel  int
	shown  []Provider // that the list was made of
	own    int        // definitions of the user's own
	row    string     // that the detail was drawn of
}

func newProviders(s *shared) *providerScreen {
	return &providerScreen{shared: s, list: newList(
		func(p Provider) string { return p.Vault + "\x00" + p.Name },
		func(p Provider) string {
			return strings.Join([]string{p.Name, p.Title, strings.Join(p.Kinds, " "), strings.Join(p.Hosts, " "), p.Source}, " ")
		})}
}

func (s *providerScreen) name() string           { return "Providers" }
func (s *providerScreen) opened() tea.Cmd        { return ask(s.ctx, &s.world.providers, s.backend.Providers) }
func (s *providerScreen) update(tea.Msg) tea.Cmd { return nil }
func (s *providerScreen) panels() int            { return 2 }
func (s *providerScreen) focus(panel int)        { s.panel = panel }

func (s *providerScreen) changed() {
	now := s.world.providers.value
	if sameSlice(s.shown, now) {
		return
	}
	s.shown, s.own = now, 0
	s.list.set(now)
	for i := range now {
		if now[i].Vault != "" {
			s.own++
		}
	}
}

func (s *providerScreen) rows() rows {
	if s.panel == 1 || s.inDetail {
		return &s.detail
	}
	return &s.list
}

func (s *providerScreen) current() string {
	p, _ := s.list.selected()
	return p.Name
}

func (s *providerScreen) hint() string {
	if len(s.shown) == 0 {
		return ""
	}
	hint := plural(len(s.shown), "provider") + ", "
	if s.own == 0 {
		return hint + "all of them built in; n adds one of your own"
	}
	return hint + plural(s.own, "definition") + " of your own"
}

func (s *providerScreen) uses() []use {
	p, any := s.list.selected()
	none := ""
	if !any {
		none = "there is no provider here"
	}
	off := func(reason string, when bool) string {
		if none == "" && when {
			return reason
		}
		return none
	}
	builtIn := off("it is built in", p.Vault == "")
	line := "kb provider rm " + shellWord(p.Name)
	if p.Vault != "" {
		line += " --vault " + shellWord(p.Vault)
	}
	return []use{
		{id: "providers.login", off: none, line: "kb login " + shellWord(p.Name), run: func() tea.Cmd { return newLogin(s.shared, p.Name, "") }},
		{id: "providers.open", off: off("its definition names no page", p.Docs == ""), run: func() tea.Cmd {
			return s.act("open "+p.Docs, func(ctx context.Context) (string, error) { return "opened " + p.Docs, s.backend.OpenPage(ctx, p.Docs) })
		}},
		{id: "providers.new", line: "kb provider add FILE", run: s.add},
		{id: "providers.lint", off: builtIn, run: func() tea.Cmd { return s.lint(p) }},
		{id: "providers.remove", off: builtIn, line: line, run: func() tea.Cmd { return s.remove(p) }},
		{id: "providers.lintfile", line: "kb provider lint FILE", run: s.lintFile},
		{id: "providers.edit", off: editReason(&p, any)},
	}
}

// editReason is why a definition is not edited here.
func editReason(p *Provider, any bool) string {
	switch {
	case !any:
		return "there is no provider here"
	case p.Vault == "":
		return `it ships with kb; one of your own with replaces = "` + p.Name + `" takes its place`
	}
	return "edit its file, and add it again with n"
}

// add asks for a definition's file. What kb says of it is read on the terminal.
func (s *providerScreen) add() tea.Cmd {
	return s.shared.show(newForm(form{
		shared: s.shared, about: "Add a definition of your own", does: "add it",
		note: "It is checked, and kept in the vault. It serves the logins of that vault's profiles and of no other.",
		fields: []formField{
			{name: "file", label: "File", kind: textField, need: true, help: "docs/providers.md has the format"},
			{name: "vault", label: "Vault", kind: textField, help: "that gets it; empty is the default one"},
		},
		act: func(v values) tea.Cmd {
			args := []string{"provider", "add", v.text("file")}
			if vault := v.text("vault"); vault != "" {
				args = append(args, "--vault", vault)
			}
			return s.handOver(args...)
		},
	}))
}

func (s *providerScreen) lintFile() tea.Cmd {
	return s.shared.show(newForm(form{
		shared: s.shared, about: "Check a definition's file", does: "check it",
		fields: []formField{{name: "file", label: "File", kind: textField, need: true, help: "nothing is added"}},
		act:    func(v values) tea.Cmd { return s.handOver("provider", "lint", v.text("file")) },
	}))
}

// lint checks a definition of the user's own, and shows what was found.
func (s *providerScreen) lint(p Provider) tea.Cmd {
	ctx, backend, shared := s.ctx, s.backend, s.shared
	return func() tea.Msg {
		lines, err := backend.LintProvider(ctx, p.Vault, p.Name)
		switch {
		case err != nil:
			return done{what: "check " + p.Name, err: err, told: true}
		case len(lines) == 0:
			return done{note: p.Name + " is well defined", told: true}
		}
		return openDialog{&reader{shared: shared, about: "What is wrong with " + p.Name, text: lines, copy: strings.Join(lines, "\n")}}
	}
}

// remove asks before a definition leaves the vault.
func (s *providerScreen) remove(p Provider) tea.Cmd {
	question := "Remove the definition of " + p.Name + " from vault " + p.Vault + "?"
	switch {
	case len(p.UsedBy) > 0 && p.Replaces != "":
		question += " The logins of " + strings.Join(p.UsedBy, ", ") + " are then made by the built-in one, if that has their way in."
	case len(p.UsedBy) > 0:
		question += " The logins of " + strings.Join(p.UsedBy, ", ") + " stay in the vault and cannot be used until it is defined again."
	default:
		question += " No login uses it."
	}
	return s.shared.show(&confirm{shared: s.shared, about: "Remove " + p.Name, question: question, yes: "remove it", act: func() tea.Cmd {
		return s.act("remove provider "+p.Name, func(ctx context.Context) (string, error) {
			return s.backend.RemoveProvider(ctx, p.Vault, p.Name)
		})
	}})
}

var providerColumns = []draw.Column{
	{Title: "PROVIDER", Width: 16},
	{Title: "KIND", Width: 24},
	{Title: "HOSTS", Width: 12, Grow: true, Drop: 1},
	{Title: "LOGINS", Width: 6, Right: true, Drop: 3},
	{Title: "SOURCE", Width: 12, Drop: 2},
}

func (s *providerScreen) view(w, h int) []string {
	switch p := &s.world.providers; {
	case !p.loaded:
		return s.instead("Providers", w, h, draw.Working, "~ reading the catalogue")
	case p.err != nil && len(p.value) == 0:
		return s.failed("Providers", p.err, w, h)
	}
	return s.master(w, h, false, s.viewList, s.viewDetail)
}

func (s *providerScreen) viewList(w, h int) []string {
	return s.theme.Panel(draw.Panel{
		Title: "Providers", Focused: s.panel == 0, Foot: place(s.list.cursor, len(s.list.shown)),
		Lines: s.list.table(s.theme, providerColumns, draw.Inner(w), h-2, func(p Provider) []draw.Cell {
			name := draw.Clean(p.Name)
			if p.Unverified {
				name = "? " + name
			}
			logins := draw.Cell{Text: "-", Role: draw.Muted}
			if p.Logins > 0 {
				logins = draw.Cell{Text: strconv.Itoa(p.Logins)}
			}
			return []draw.Cell{
				{Text: name},
				{Text: draw.Clean(strings.Join(p.Kinds, ", ")), Role: draw.Muted},
				{Text: draw.Clean(strings.Join(p.Hosts, " "))},
				logins,
				{Text: draw.Clean(p.Source), Role: draw.Muted},
			}
		}),
	}, w, h)
}

func (s *providerScreen) viewDetail(w, h int) []string {
	p, any := s.list.selected()
	if !any {
		return s.theme.Panel(draw.Panel{Title: "Details", Focused: s.panel == 1, Lines: []string{s.theme.Fit("no provider has these words", draw.Inner(w))}}, w, h)
	}
	if row := p.Vault + "\x00" + p.Name; row != s.row {
		s.row, s.detail = row, pager{}
	}
	unverified := ""
	if p.Unverified {
		unverified = "? some of this has no vendor page behind it yet"
	}
	source := p.Source
	if p.Replaces != "" {
		source += ", in place of the built-in " + p.Replaces
	}
	lines := s.facts(draw.Inner(w),
		fact{"title", p.Title, draw.Plain},
		fact{"note", p.Note, draw.Attention},
		fact{"", unverified, draw.Attention},
		fact{"injects", strings.Join(p.Injects, "\n"), draw.Plain},
		fact{"env", strings.Join(p.Env, "\n"), draw.Plain},
		fact{"ways in", strings.Join(p.Kinds, ", "), draw.Plain},
		fact{"scopes", strings.Join(p.Scopes, " "), draw.Plain},
		fact{"docs", p.Docs, draw.Plain},
		fact{"made at", strings.Join(p.Pages, "\n"), draw.Plain},
		fact{"used by", strings.Join(p.UsedBy, ", "), draw.Plain},
		fact{"hosts", strings.Join(p.Hosts, " "), draw.Plain},
		fact{"denied", mints(p.Mints), draw.Plain},
		fact{"source", source, draw.Plain},
	)
	return s.theme.Panel(draw.Panel{
		Title: draw.Clean(p.Name), Focused: s.panel == 1, Lines: s.detail.window(lines, h-2), Foot: s.detail.place(),
	}, w, h)
}

// mints says which requests return a credential.
func mints(all []string) string {
	if len(all) == 0 {
		return ""
	}
	return strings.Join(all, "\n") + "\n(their answers are credentials: denied unless a policy allows them)"
}
