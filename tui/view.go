package tui

import (
	"fmt"
	"strings"

	"kb/tui/draw"
)

// View implements tea.Model.
func (m *Model) View() string {
	if m.w == 0 {
		return ""
	}
	if m.here == layoutTiny {
		return m.theme.Fit(fmt.Sprintf("kb needs 40x12, this is %dx%d", m.w, m.h), m.w)
	}
	lines := m.head()
	body := m.h - len(lines) - 2
	lines = append(lines, m.screens[m.at].view(m.w, body)...)
	lines = append(lines, m.hintLine(), m.bar())
	return strings.Join(m.over(lines), "\n")
}

// head is the line of what is where, and the tabs.
func (m *Model) head() []string {
	var tabs strings.Builder
	for i, s := range m.screens {
		name := fmt.Sprintf(" %d %s ", i+1, s.name())
		if i == m.at {
			name = fmt.Sprintf("[%d %s]", i+1, s.name())
		}
		tabs.WriteString(name)
	}
	return []string{m.theme.Fit(" kb", m.w), m.theme.Fit(tabs.String(), m.w)}
}

func (m *Model) hintLine() string {
	switch {
	case m.said.err != nil:
		return m.theme.Paint(draw.Failed, m.theme.Fit(" x "+draw.Clean(m.said.what+": "+m.said.err.Error()), m.w))
	case m.said.note != "":
		return m.theme.Fit(" "+draw.Clean(m.said.note), m.w)
	}
	return m.theme.Fit(" "+m.screens[m.at].hint(), m.w)
}

// bar names the keys that can be used now.
func (m *Model) bar() string {
	if n := len(m.dialogs); n > 0 {
		return m.theme.Fit(" "+m.dialogs[n-1].bar(), m.w)
	}
	var words []string
	for _, u := range m.screens[m.at].uses() {
		if b := m.keys.byID[u.id]; u.off == "" && len(b.keys) > 0 {
			words = append(words, label(b.keys[0])+" "+b.does)
		}
	}
	return m.theme.Fit(" "+strings.Join(words, "  "), m.w)
}

// over puts the dialog on top in the middle of the screen.
func (m *Model) over(lines []string) []string {
	n := len(m.dialogs)
	if n == 0 {
		return lines
	}
	d := m.dialogs[n-1]
	w := min(m.w, 76)
	inside := d.view(draw.Inner(w), m.h-4)
	h := min(m.h-2, len(inside)+2)
	box := m.theme.Panel(draw.Panel{Title: d.title(), Focused: true, Lines: inside}, w, h)
	top, left := (m.h-h)/2, (m.w-w)/2
	for i, line := range box {
		lines[top+i] = strings.Repeat(" ", left) + line + strings.Repeat(" ", m.w-left-w)
	}
	return lines
}

// place is where in a list one is: "1 of 5".
func place(cursor, n int) string {
	if n == 0 {
		return "none"
	}
	return fmt.Sprintf("%d of %d", cursor+1, n)
}

func panelOf(title string, lines []string) draw.Panel { return draw.Panel{Title: title, Lines: lines} }
