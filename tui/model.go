package tui

import (
	"context"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// Options are what the dashboard is made with.
type Options struct {
	Backend Backend
	Looks   Looks            // theme and keys; the zero value is the built-in one
	Now     func() time.Time // nil means time.Now
}

// Model is the dashboard. It implements tea.Model.
type Model struct {
	*shared
	w, h    int
	screens [screenCount]screen
	at      int
	dialogs []dialog
	said    done // how the last action ended; its error stays until esc
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
	s := &shared{ctx: ctx, backend: o.Backend, now: o.Now, theme: draw.NewTheme(o.Looks.theme()), keys: keys}
	m := &Model{shared: s}
	m.screens = [screenCount]screen{
		&plainScreen{shared: s, title: "Home", list: newList(same, same)},
		&plainScreen{shared: s, title: "Profiles", list: newList(same, same)},
		newLogins(s),
		&plainScreen{shared: s, title: "Providers", list: newList(same, same)},
		&plainScreen{shared: s, title: "Audit", list: newList(same, same)},
		&plainScreen{shared: s, title: "Approvals", list: newList(same, same)},
		&plainScreen{shared: s, title: "Doctor", list: newList(same, same)},
		&plainScreen{shared: s, title: "Vault", list: newList(same, same)},
	}
	return m, nil
}

func same(s string) string { return s }

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd {
	return tea.Batch(ask(m.ctx, &m.world.standing, m.backend.Standing), m.everything(), second())
}

// everything asks for all that screens look at.
func (m *Model) everything() tea.Cmd {
	return tea.Batch(
		ask(m.ctx, &m.world.sessions, m.backend.Sessions), ask(m.ctx, &m.world.logins, m.backend.Logins),
		ask(m.ctx, &m.world.profiles, m.backend.Profiles), ask(m.ctx, &m.world.vault, m.backend.Vault),
		ask(m.ctx, &m.world.providers, m.backend.Providers),
	)
}

type ticked struct{}

// second makes the clock of the dashboard: countdowns go on.
func second() tea.Cmd { return tea.Tick(time.Second, func(time.Time) tea.Msg { return ticked{} }) }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	var cmds []tea.Cmd
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.w, m.h = msg.Width, msg.Height
		m.here = layoutOf(m.w, m.h)
	case tea.KeyMsg:
		return m, m.key(msg)
	case ticked:
		m.tick++
		cmds = append(cmds, second())
	case goTo:
		m.at = msg.screen
		cmds = append(cmds, m.screens[m.at].opened())
	case openDialog:
		m.dialogs = append(m.dialogs, msg.dialog)
	case done:
		m.said = msg
		cmds = append(cmds, m.everything())
	default:
		cmds = append(cmds, m.taken(msg))
	}
	for i := 0; i < len(m.dialogs); i++ {
		cmd, over := m.dialogs[i].update(msg)
		cmds = append(cmds, cmd)
		if over {
			m.dialogs = append(m.dialogs[:i:i], m.dialogs[i+1:]...)
			i--
		}
	}
	for _, s := range m.screens {
		cmds = append(cmds, s.update(msg))
		s.changed()
	}
	return m, tea.Batch(cmds...)
}

// taken keeps a backend's answer, and asks again where something has changed
// meanwhile.
func (m *Model) taken(msg tea.Msg) tea.Cmd {
	w, now := &m.world, m.now()
	switch msg := msg.(type) {
	case answer[Standing]:
		if w.standing.take(msg, now) {
			return ask(m.ctx, &w.standing, m.backend.Standing)
		}
	case answer[[]Session]:
		if w.sessions.take(msg, now) {
			return ask(m.ctx, &w.sessions, m.backend.Sessions)
		}
	case answer[[]Login]:
		if w.logins.take(msg, now) {
			return ask(m.ctx, &w.logins, m.backend.Logins)
		}
	case answer[Profiles]:
		if w.profiles.take(msg, now) {
			return ask(m.ctx, &w.profiles, m.backend.Profiles)
		}
	case answer[[]Provider]:
		if w.providers.take(msg, now) {
			return ask(m.ctx, &w.providers, m.backend.Providers)
		}
	case answer[Vault]:
		if w.vault.take(msg, now) {
			return ask(m.ctx, &w.vault, m.backend.Vault)
		}
	}
	return nil
}

// key gives a key to whom it belongs: the dialog on top, else what works
// everywhere, else the screen.
func (m *Model) key(msg tea.KeyMsg) tea.Cmd {
	key := msg.String()
	if key == "ctrl+c" {
		return tea.Quit
	}
	if n := len(m.dialogs); n > 0 {
		cmd, over := m.dialogs[n-1].update(msg)
		if over {
			m.dialogs = m.dialogs[:n-1]
		}
		return cmd
	}
	s := m.screens[m.at]
	if u, ok := m.keys.find(s.uses(), key); ok {
		if u.off != "" {
			m.said = done{note: u.off}
			return nil
		}
		return u.run()
	}
	if len(key) == 1 && key[0] >= '1' && key[0] < '1'+screenCount {
		return func() tea.Msg { return goTo{int(key[0] - '1')} }
	}
	switch {
	case m.keys.is(key, "any.quit"):
		return tea.Quit
	case m.keys.is(key, "any.down"):
		s.rows().move(1)
	case m.keys.is(key, "any.up"):
		s.rows().move(-1)
	case m.keys.is(key, "any.mark"):
		s.rows().mark()
	}
	return nil
}
