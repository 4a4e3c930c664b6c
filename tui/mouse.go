package tui

import (
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// doubleClick is how close two clicks are to be one: what most desktops have.
const doubleClick = 400 * time.Millisecond

// click is where a person clicked last.
type click struct {
	x, y int
	at   time.Time
}

// pointed is a screen that says itself what is at a place of its view: it moves its
// focus and cursor there. Others have a list at the top left, as master draws it.
type pointed interface {
	point(x, y int) (panel int, hit bool)
}

// scrolls is a dialog that the wheel moves in.
type scrolls interface{ wheel(by int) }

// mouse takes what the mouse does. It never approves: a second click on a row is
// enter, which never does.
func (m *Model) mouse(msg tea.MouseMsg) tea.Cmd {
	if m.here == layoutTiny || msg.Action != tea.MouseActionPress {
		return nil
	}
	by := map[tea.MouseButton]int{tea.MouseButtonWheelUp: -1, tea.MouseButtonWheelDown: 1}[msg.Button]
	if n := len(m.dialogs); n > 0 {
		if d, ok := m.dialogs[n-1].(scrolls); ok && by != 0 {
			d.wheel(by)
		}
		return nil
	}
	if by != 0 {
		if m.page() == nil {
			m.screens[m.at].rows().move(by)
		}
		return nil
	}
	if msg.Button != tea.MouseButtonLeft {
		return nil
	}
	twice := m.clicked.x == msg.X && m.clicked.y == msg.Y && m.now().Sub(m.clicked.at) <= doubleClick
	m.clicked = click{msg.X, msg.Y, m.now()}
	head := m.head()
	if msg.Y < len(head) {
		for _, t := range m.tabs() {
			if msg.Y == t.line && msg.X >= t.from && msg.X < t.to {
				return m.open(goTo{screen: t.screen})
			}
		}
		return nil
	}
	if msg.Y >= m.h-2 {
		return nil
	}
	if !m.hit(msg.X, msg.Y-len(head)) || !twice {
		return nil
	}
	if u, ok := m.keys.find(m.uses(), "enter"); ok && u.off == "" {
		return u.run()
	}
	return nil
}

// hit goes to what is at a place of the open screen.
func (m *Model) hit(x, y int) bool {
	if m.page() != nil {
		return false
	}
	s := m.screens[m.at]
	if p, ok := s.(pointed); ok {
		panel, hit := p.point(x, y)
		if hit {
			m.panel = panel
		}
		return hit
	}
	if x >= m.split.w || y >= m.split.h {
		return false
	}
	hit, _ := s.rows().click(y - 1)
	return hit
}
