package tui

import (
	"context"
	"os"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// Options are what the dashboard is made with.
type Options struct {
	Backend Backend
	Looks   Looks            // theme and keys; the zero value is the built-in one
	Now     func() time.Time // nil means time.Now
	Home    string           // paths below it are drawn with "~"; "" for none
	// Clipboard takes a text that a person copies; nil means that there is none. Run
	// makes one of the terminal where it has none.
	Clipboard func(string) error
	In, Out   *os.File // the terminal; nil means standard input and output
	// Verbs are the command lines that the palette offers, with what they do. It is
	// called when the palette opens; nil means none.
	Verbs func() []Verb
}

// Verb is a command of the command line: "kb vault edit".
type Verb struct{ Line, Short string }

// Model is the dashboard. It implements tea.Model.
type Model struct {
	*shared
	w, h    int
	verbs   func() []Verb
	sized   bool          // the terminal has told its size
	drawn   chan struct{} // closed when the first frame is there
	screens [screenCount]screen
	pages   map[VaultState]page
	at      int
	panel   int // that has the focus on the open screen
	dialogs []dialog
	grace   grace  // of the dialog on top
	filter  *input // while a filter is typed
	notices notices
	history []string // of the palette, oldest first
	clicked click
	frame   frame
}

// New makes the dashboard.
func New(ctx context.Context, o Options) (*Model, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	keys, err := newKeymap(o.Looks.Keys)
	if err != nil {
		return nil, err
	}
	s := &shared{
		ctx: ctx, backend: o.Backend, clock: clock{read: o.Now}, theme: draw.NewTheme(o.Looks.theme()), keys: keys,
		home: o.Home, clipboard: o.Clipboard, second: time.Second,
		wait: func(d time.Duration, msg tea.Msg) tea.Cmd { return tea.Tick(d, func(time.Time) tea.Msg { return msg }) },
	}
	if o.Looks.ReduceMotion {
		s.second = 10 * time.Second
	}
	m := &Model{shared: s, verbs: o.Verbs, drawn: make(chan struct{})}
	if m.verbs == nil {
		m.verbs = func() []Verb { return nil }
	}
	logins, audit := newLogins(s), newAuditLog(s)
	m.screens = [screenCount]screen{
		newHome(s, logins, audit),
		newProfiles(s),
		logins,
		newProviders(s),
		audit,
		newApprovals(s),
		newDoctor(s),
		newVaultScreen(s),
	}
	m.pages = newPages(s)
	return m, nil
}

// Init implements tea.Model. Nothing is asked for before the first frame, which
// comes when the terminal has told its size.
func (m *Model) Init() tea.Cmd { return nil }

// firstFrame is how long the first frame may take to be on the terminal, from the
// message of its size: bubbletea paints 60 times a second. To open a vault of a
// thousand logins takes a core for a tenth of a second, and two would be busy
// with what nobody sees yet.
const firstFrame = time.Second / 60

// begun says that the first frame is there.
type begun struct{}

// begin asks for what there is. What the screens show is asked for when it is known
// that there is a vault that opens.
func (m *Model) begin() tea.Cmd {
	close(m.drawn)
	w := &m.world
	return tea.Batch(ask(m.ctx, &w.standing, m.backend.Standing), ask(m.ctx, &w.sessions, m.backend.Sessions),
		m.screens[m.at].opened())
}

func (m *Model) resize(w, h int) {
	m.w, m.h = w, h
	m.here = layoutOf(w, h)
	m.inDetail = m.inDetail && m.here == layoutOne
}

// everything asks for all that screens look at.
func (m *Model) everything() tea.Cmd {
	return m.asked(ChangedSessions | ChangedVault | ChangedTokens)
}

// asked asks for what may be different.
func (m *Model) asked(c Change) tea.Cmd {
	w, b := &m.world, m.backend
	var cmds []tea.Cmd
	if c&ChangedSessions != 0 {
		cmds = append(cmds, ask(m.ctx, &w.sessions, b.Sessions))
	}
	if c&(ChangedVault|ChangedTokens) != 0 {
		cmds = append(cmds, ask(m.ctx, &w.logins, b.Logins), ask(m.ctx, &w.profiles, b.Profiles), ask(m.ctx, &w.standing, b.Standing))
	}
	if c&ChangedVault != 0 {
		cmds = append(cmds, ask(m.ctx, &w.vault, b.Vault), ask(m.ctx, &w.providers, b.Providers))
	}
	return tea.Batch(cmds...)
}

// ticked says that a second has passed, and that something on the screen may have
// ended with it: see guarded.sift.
type ticked struct{}

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmds []tea.Cmd
	changed := false // what the screens look at
	if f, ok := msg.(finished); ok {
		m.jobs.drop(f.job)
		msg = f.done
	}
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		if m.resize(msg.Width, msg.Height); !m.sized {
			m.sized = true
			cmds = append(cmds, m.wait(firstFrame, begun{}))
		}
		changed = true
	case tea.KeyMsg:
		return m, tea.Batch(m.key(msg), m.moved())
	case tea.MouseMsg:
		cmd := tea.Batch(m.mouse(msg), m.moved())
		m.raise()
		return m, cmd
	case begun:
		cmds = append(cmds, m.begin())
	case ticked:
		changed = true
		m.notices.fade(m.read())
	case Change:
		cmds = append(cmds, m.asked(msg))
	case goTo:
		cmds = append(cmds, m.open(msg))
	case openDialog:
		m.show(msg.dialog)
		m.raise()
	case clip:
		cmds = append(cmds, m.copy(msg.text))
	case done:
		m.notices.tell(msg, m.now())
		if !msg.told {
			cmds = append(cmds, m.everything())
		}
	default:
		var cmd tea.Cmd
		cmd, changed = m.taken(msg)
		cmds = append(cmds, cmd)
	}
	for _, d := range append([]dialog(nil), m.dialogs...) {
		cmd, over := d.update(msg)
		cmds = append(cmds, cmd)
		if over {
			m.close(d)
		}
	}
	for _, p := range m.pages {
		cmds = append(cmds, p.update(msg))
	}
	for _, s := range m.screens {
		cmds = append(cmds, s.update(msg))
		if changed {
			s.changed()
		}
	}
	m.raise()
	return m, tea.Batch(cmds...)
}

// raise puts the dialogs that are to be shown on top.
func (m *Model) raise() {
	if len(m.shown) > 0 {
		m.dialogs = append(m.dialogs, m.shown...)
		m.shown = nil
		m.grace.begin(m.now())
	}
}

// open goes to a screen.
func (m *Model) open(to goTo) tea.Cmd {
	m.at, m.panel, m.inDetail, m.filter = to.screen, 0, false, nil
	s := m.screens[m.at]
	s.focus(0)
	if to.row != "" {
		s.rows().seek(to.row)
	}
	if p := m.page(); p != nil {
		return p.opened()
	}
	return s.opened()
}

// close takes a dialog off. One that comes to light and had appeared by itself
// gets its grace anew: keys that repeat must not answer it.
func (m *Model) close(d dialog) {
	for i := range m.dialogs {
		if m.dialogs[i] == d {
			copy(m.dialogs[i:], m.dialogs[i+1:])
			m.dialogs[len(m.dialogs)-1] = nil // nothing of it stays
			m.dialogs = m.dialogs[:len(m.dialogs)-1]
			m.grace.begin(m.now())
			return
		}
	}
}

// taken keeps a backend's answer, and asks again where something has changed
// meanwhile. It reports whether it was one.
func (m *Model) taken(msg tea.Msg) (again tea.Cmd, ok bool) {
	w, b := &m.world, m.backend
	switch msg := msg.(type) {
	case answer[Standing]:
		return m.stands(msg), true
	case answer[[]Session]:
		return keep(m, &w.sessions, msg, b.Sessions), true
	case answer[[]Login]:
		return keep(m, &w.logins, msg, b.Logins), true
	case answer[Profiles]:
		return keep(m, &w.profiles, msg, b.Profiles), true
	case answer[[]Provider]:
		return keep(m, &w.providers, msg, b.Providers), true
	case answer[Vault]:
		return keep(m, &w.vault, msg, b.Vault), true
	}
	return nil, false
}

func keep[T any](m *Model, s *source[T], a answer[T], get func(context.Context) (T, error)) tea.Cmd {
	if s.take(a, m.now()) {
		return ask(m.ctx, s, get)
	}
	return nil
}

// stands takes what there is on this device. A vault that has come open is looked
// at, and a page that comes up is told.
func (m *Model) stands(a answer[Standing]) tea.Cmd {
	was := m.world.standing
	if m.world.standing.take(a, m.now()) {
		return ask(m.ctx, &m.world.standing, m.backend.Standing)
	}
	now := m.world.standing
	switch {
	case !now.loaded || was.loaded && was.value.State == now.value.State:
		return nil
	case now.value.State == VaultOpen:
		return m.everything()
	}
	if p := m.page(); p != nil {
		return p.opened()
	}
	return nil
}
