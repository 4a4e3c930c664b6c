package tui

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// startBindings are those of the pages that stand in place of the screens while
// there is no vault that can be used.
var startBindings = []binding{
	{id: "start.new", keys: []string{"n"}, does: "new vault", help: "make a vault here, a profile and a first login, step by step", verb: "kb init"},
	{id: "start.join", keys: []string{"c"}, does: "join", help: "use the vault in your dotfiles: this device asks to be let in", verb: "kb device join"},
	{id: "start.other", keys: []string{"o"}, does: "recover", help: "open a vault file with the recovery key on paper", verb: "kb vault recover"},
	{id: "start.import", keys: []string{"i"}, does: "import", help: "make a vault, and take over the logins of other programs", verb: "kb import"},
	{id: "locked.unlock", keys: []string{"u"}, does: "unlock", help: "open this device's key with its passphrase", verb: "kb unlock"},
	{id: "refused.again", keys: []string{"r"}, does: "look again", help: "try to open the vault again"},
	{id: "refused.mend", keys: []string{"m"}, does: "mend", help: "run one of the commands that mend it", verb: "kb vault accept"},
}

// newPages makes what stands in place of screens, by the state of the vault.
func newPages(s *shared) map[VaultState]page {
	return map[VaultState]page{
		VaultNone: &firstRun{shared: s}, VaultLocked: &lockedPage{shared: s}, VaultRefused: &refusedPage{shared: s},
	}
}

// startLine is the line that a first run ends with.
const startLine = "kb exec -- claude"

// firstRun is the page of a device without a vault. It makes one, a profile, and
// a first login: a dialog each. The page tells each from the end of the one before;
// it does so also when the vault is there and the page is gone.
type firstRun struct {
	*shared
	at      int     // of the choices, where the cursor is
	imports bool    // the login is to be taken over from another program
	profile string  // that was made
	after   dialog  // that a login is opened above
	login   tea.Cmd // that opens it
}

// Titles of the dialogs, by which the page knows their ends.
const (
	makesVault   = "make your vault"
	makesProfile = "make your first profile"
)

func (p *firstRun) name() string    { return "First run" }
func (p *firstRun) opened() tea.Cmd { return nil }

func (p *firstRun) hint() string {
	return "nothing is sent anywhere: the vault is one encrypted file on this device"
}

// choices are the ways to a vault, by the keys of uses.
func (p *firstRun) choices() [][2]string {
	return [][2]string{
		{"n", "make a vault here (" + p.short(p.world.standing.value.Path) + ")"},
		{"c", "use the vault in my dotfiles"},
		{"o", "open a vault with the recovery key on paper"},
		{"i", "make a vault and import what other programs keep"},
	}
}

// uses are the choices by their keys, and by the cursor.
func (p *firstRun) uses() []use {
	ways := p.ways()
	n := len(ways)
	move := func(id string, by int) use {
		return use{id: id, run: func() tea.Cmd { p.at = max(0, min(p.at+by, n-1)); return nil }}
	}
	return append(ways, use{id: "any.enter", run: func() tea.Cmd { return ways[p.at].run() }},
		move("any.down", 1), move("any.up", -1), move("any.top", -n), move("any.end", n))
}

func (p *firstRun) ways() []use {
	return []use{
		{id: "start.new", line: "kb init", run: func() tea.Cmd { p.imports = false; return open(p.vaultForm()) }},
		{id: "start.join", line: "kb device join", run: func() tea.Cmd {
			return open(p.pathForm("use the vault in your dotfiles",
				"Where your dotfiles repository has the vault, on this machine. kb prints a request, which you approve on a device that opens the vault; after that, run this once more with the vault that it saved.",
				"device", "join"))
		}},
		{id: "start.other", line: "kb vault recover", run: func() tea.Cmd {
			return open(p.pathForm("recover a vault", "The vault file. kb asks for the key from the paper.", "vault", "recover"))
		}},
		{id: "start.import", line: "kb init", run: func() tea.Cmd { p.imports = true; return open(p.vaultForm()) }},
	}
}

func (p *firstRun) view(w, h int) []string {
	inner := draw.Inner(w)
	rows := p.choices()
	lines := []string{p.centred("No vault yet", inner, draw.Accent), ""}
	width := 0
	for _, r := range rows {
		width = max(width, draw.Width(r[1])+3)
	}
	indent := strings.Repeat(" ", max(0, (inner-width)/2-2))
	for i, r := range rows {
		lead, role := "  ", draw.Plain
		if i == p.at {
			lead, role = "> ", draw.Selected
		}
		lines = append(lines, draw.Exact(indent+p.theme.Paint(role, lead)+p.theme.Paint(draw.Accent, r[0])+p.theme.Paint(role, "  "+draw.Clean(r[1])), inner))
	}
	if s := p.world.standing.value; s.Profile == "" && h > 12 {
		lines = append(lines, "", p.centred("kb keeps your logins here and lends them to agents,", inner, draw.Muted),
			p.centred("which never see them: "+startLine, inner, draw.Muted))
	}
	return p.inMiddle("kb", lines, w, h)
}

// centred is a line in the middle.
func (s *shared) centred(text string, w int, r draw.Role) string {
	text = draw.Clean(text)
	indent := max(0, (w-draw.Width(text))/2)
	return strings.Repeat(" ", indent) + s.theme.Paint(r, s.theme.Fit(text, w-indent))
}

// inMiddle draws lines in the middle of a panel.
func (s *shared) inMiddle(title string, lines []string, w, h int) []string {
	above := make([]string, max(0, (h-2-len(lines))/2))
	lines = append(above, lines...)
	return s.theme.Panel(draw.Panel{Title: title, Focused: true, Lines: lines[:min(len(lines), max(0, h-2))]}, w, h)
}

// errDiffer says that a passphrase was not typed twice.
var errDiffer = errors.New("the two passphrases differ; type both again")

func (p *firstRun) vaultForm() dialog {
	return newForm(form{
		shared: p.shared, about: makesVault, does: "make it",
		note: "The vault is one file, meant to be kept with your dotfiles. A passphrase is asked for once a day; without one, who can read this user's files can open the vault.",
		fields: []formField{
			{name: "path", label: "file", text: p.short(p.world.standing.value.Path), need: true},
			{name: "device", label: "this device", help: "what it is called in the vault; empty: the host's name"},
			{name: "passphrase", label: "passphrase", help: "empty: none", kind: secretField},
			{name: "again", label: "once more", kind: secretField},
		},
		try: func(ctx context.Context, v values) (string, error) {
			first, second := v.secret("passphrase"), v.secret("again")
			if first.IsZero() != second.IsZero() || !first.IsZero() && !first.Equal(second) {
				return "", errDiffer
			}
			return p.backend.Init(ctx, NewVault{Path: p.long(v.text("path")), Device: v.text("device"), Passphrase: first})
		},
	})
}

// long is a path that a person typed, with the home folder for "~".
func (s *shared) long(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok && s.home != "" {
		return s.home + "/" + rest
	}
	return path
}

// pathForm asks where a vault is and hands the screen to a command about it.
func (p *firstRun) pathForm(about, note string, words ...string) dialog {
	return newForm(form{
		shared: p.shared, about: about, note: note, does: "go on",
		fields: []formField{{name: "path", label: "vault file", text: p.short(p.world.standing.value.Path), need: true}},
		act: func(v values) tea.Cmd {
			return p.handOver(append(words, "--vault", p.long(v.text("path")))...)
		},
	})
}

func (p *firstRun) profileForm() dialog {
	at := p.world.standing.value
	repositories, directories, everywhere := "", "", "no"
	name := "personal"
	if at.Remote != "" {
		owner := path.Dir(at.Remote)
		repositories, name = owner+"/*", strings.ToLower(path.Base(owner))
	} else if at.Dir != "" && at.Dir != p.home {
		directories = p.short(at.Dir) + "/**"
	}
	if repositories == "" && directories == "" {
		everywhere = "yes"
	}
	made := ""
	return newForm(form{
		shared: p.shared, about: makesProfile, does: "make it",
		note: "A profile is an identity: its git author, its logins, and where it is used. kb finds it by the repository or the directory that an agent is started in.",
		fields: []formField{
			{name: "name", label: "name", text: name, need: true},
			{name: "gitname", label: "git author", text: at.GitName},
			{name: "email", label: "git e-mail", text: at.GitEmail},
			{name: "remote", label: "repositories", text: repositories, help: "github.com/acme/*; empty: no rule about them"},
			{name: "dir", label: "directories", text: directories, help: "~/work/**; empty: no rule about them"},
			{name: "default", label: "and elsewhere", text: everywhere, kind: yesNoField, help: "it is then used where no rule says otherwise"},
		},
		try: func(ctx context.Context, v values) (string, error) {
			spec := ProfileSpec{Old: made, Name: v.text("name"), GitName: v.text("gitname"), GitEmail: v.text("email"), Egress: "open"}
			if _, err := p.backend.PutProfile(ctx, spec); err != nil {
				return "", err
			}
			made = spec.Name // a rule that is refused does not make it twice
			for _, r := range []Rule{{Profile: made, Remote: v.text("remote")}, {Profile: made, Dir: v.text("dir")}} {
				if r.Remote+r.Dir == "" {
					continue
				}
				if _, err := p.backend.AddRule(ctx, r); err != nil {
					return "", err
				}
			}
			if v.yes("default") {
				if _, err := p.backend.DefaultProfile(ctx, made); err != nil {
					return "", err
				}
			}
			p.profile = made
			return "profile " + made + " is there", nil
		},
	})
}

// update goes on to the next dialog where one of the story has ended well.
func (p *firstRun) update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case done:
		switch {
		case msg.err != nil:
		case msg.what == makesVault:
			return tea.Batch(ask(p.ctx, &p.world.standing, p.backend.Standing), open(p.profileForm()))
		case msg.what == makesProfile && p.imports:
			return p.endWith(goToLogins)
		case msg.what == makesProfile:
			return open(p.loginMenu())
		}
	case openDialog:
		if msg.dialog == p.after && p.login != nil {
			login := p.login
			p.login = nil
			return login
		}
	}
	return nil
}

// goToLogins shows the logins, whose key "i" lists what can be imported.
func goToLogins() tea.Msg { return goTo{screen: screenLogins} }

func (p *firstRun) loginMenu() dialog {
	return newMenu(p.shared, "The first login of "+p.profile, []Choice{
		{"login", "log in at a provider"}, {"import", "import one that another program keeps"}, {"later", "later"},
	}, func(choice string) tea.Cmd {
		switch choice {
		case "login":
			return p.endWith(newLogin(p.shared, "", p.profile))
		case "import":
			return p.endWith(goToLogins)
		}
		return p.endWith(nil)
	})
}

// endWith puts the end of the story on the screen, and a login above it.
func (p *firstRun) endWith(login tea.Cmd) tea.Cmd {
	p.login = login
	p.after = &reader{shared: p.shared, about: "Ready", copy: startLine, now: p.ready}
	return open(p.after)
}

// ready is how the story ends, by what there is: the login above it may have come
// to nothing.
func (p *firstRun) ready() []string {
	text := []string{
		"Profile " + p.profile + " is there. In a directory of it, type",
		"",
		"    " + startLine,
		"",
		"and the agent works as " + p.profile + ", with placeholders in place of its secrets. Any program goes: kb exec -- COMMAND.",
		"",
	}
	has := func(l Login) bool { return l.Profile == p.profile }
	if w := &p.world.logins; w.loaded && !slices.ContainsFunc(w.value, has) {
		text = append(text, "It has no login yet: leave this, press 3, and n makes one, i takes one over. Without one an agent gets no credential.", "")
	}
	return append(text, "kb which says which profile a directory gets, and why.")
}
