package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"kb/tui/draw"
)

// frame is what was drawn last.
type frame struct {
	text  string
	drawn time.Time // by the calendar: a clock may be set
	until time.Time // when something in it ends by itself; zero: never
	again bool      // it was the same as the one before, and was told apart from it
}

// right reports whether time alone has changed nothing in a frame.
func (f *frame) right(now time.Time) bool {
	return !now.Before(f.drawn) && (f.until.IsZero() || now.Before(f.until))
}

// sameAgain tells a frame from the same one before it, and nobody sees it: a reset
// of colours. bubbletea forgets a frame that it has painted, and copies one that is on
// the screen already 60 times a second, to compare it (flush, standard_renderer.go).
const sameAgain = "\x1b[m"

// View implements tea.Model.
func (m *Model) View() string {
	f := frame{drawn: m.read().Round(0)}
	m.clock.right = time.Time{}
	f.text = m.draw()
	f.until = m.clock.right
	f.again = f.text == m.frame.text && !m.frame.again
	m.frame = f
	if f.again {
		return f.text + sameAgain
	}
	return f.text
}

func (m *Model) draw() string {
	if m.w == 0 {
		return ""
	}
	if m.here == layoutTiny {
		return m.theme.Fit(fmt.Sprintf("kb needs 40x12, this is %dx%d", m.w, m.h), m.w)
	}
	m.noteEnds()
	lines := m.head()
	body := m.h - len(lines) - 2
	if p := m.page(); p != nil {
		lines = append(lines, p.view(m.w, body)...)
	} else {
		lines = append(lines, m.screens[m.at].view(m.w, body)...)
	}
	lines = append(lines, m.hintLine(), m.bar())
	text := strings.Join(m.over(lines), "\n")
	if m.theme.ASCII() {
		text = draw.ASCII(text)
	}
	return text
}

// noteEnds notes when what ends by itself does, on whatever screen: a note, and what
// waits for a person.
func (m *Model) noteEnds() {
	if m.notices.note != "" {
		m.until(m.notices.at.Add(noteLasts))
	}
	for _, r := range m.world.waiting() {
		if !r.Deadline.IsZero() {
			m.until(r.Deadline)
		}
	}
}

// tab is where a screen's name stands.
type tab struct{ line, from, to, screen int }

// Where the screens' names have a line of their own: below 96 columns they stand
// closer, and a terminal of 80 by 24, which is what most open with, has them.
const (
	tightTabs     = 80
	tightTabsHigh = 24
)

// tabbed reports whether there is room for the names of all screens.
func (m *Model) tabbed() bool {
	return m.here == layoutFull || m.here == layoutCompact && m.w >= tightTabs && m.h >= tightTabsHigh
}

// tabs are the places of the screens' names; none where there is no room for them.
func (m *Model) tabs() []tab {
	if !m.tabbed() {
		return nil
	}
	var tabs []tab
	x, waiting := 0, m.world.waits()
	for i := range m.screens {
		n := draw.Width(m.tabText(i, waiting))
		tabs = append(tabs, tab{1, x, x + n, i})
		x += n
	}
	return tabs
}

// tabText is a screen's name in the line of tabs.
func (m *Model) tabText(i, waiting int) string {
	name := m.tabName(i)
	tight := m.here != layoutFull
	if i == screenApprovals && waiting > 0 {
		if tight { // the line above says how many
			name += "!"
		} else {
			name += fmt.Sprintf(" %d!", waiting)
		}
	}
	switch {
	case i == m.at && tight:
		return "[" + name + "] "
	case i == m.at:
		return "[" + name + "]"
	case tight:
		return name + " "
	}
	return " " + name + " "
}

func (m *Model) tabName(i int) string { return fmt.Sprintf("%d %s", i+1, m.screens[i].name()) }

// head is the line of what is where, and the tabs; on a small screen one line of
// both.
func (m *Model) head() []string {
	t, waiting := m.theme, m.world.waits()
	standing := m.world.standing
	profile, role := "profile "+draw.Clean(standing.value.Profile), draw.Plain
	if standing.value.Profile == "" && standing.loaded {
		profile, role = "no profile", draw.Attention
	}
	if !m.tabbed() {
		left := fmt.Sprintf(" kb [%s] %d/%d", m.tabName(m.at), m.at+1, len(m.screens))
		right := []part{{strings.TrimPrefix(profile, "profile "), role}}
		if waiting > 0 {
			right = append(right, part{fmt.Sprintf("%d waiting!", waiting), draw.Attention})
		}
		return []string{m.ends([]part{{left, draw.Accent}}, right)}
	}
	left := []part{{" kb", draw.Accent}}
	if standing.loaded {
		left = append(left, part{profile, role}, part{draw.Clean(m.short(standing.value.Dir)), draw.Plain})
	}
	var tabs strings.Builder
	for i := range m.screens {
		role := draw.Plain
		switch {
		case i == m.at:
			role = draw.Accent
		case i == screenApprovals && waiting > 0:
			role = draw.Attention
		}
		tabs.WriteString(t.Paint(role, m.tabText(i, waiting)))
	}
	return []string{m.ends(left, m.vaultParts(waiting)), draw.Exact(tabs.String(), m.w)}
}

// vaultParts are what the right end of the first line tells.
func (m *Model) vaultParts(waiting int) []part {
	var parts []part
	if s := m.world.standing; s.loaded {
		text, role := "", draw.Attention
		switch s.value.State {
		case VaultNone:
			text = "no vault"
		case VaultLocked:
			text = "vault locked"
		case VaultRefused:
			text = "vault refused"
		case VaultOpen:
			text, role = "vault open", draw.Plain
			if s.value.Wrapped {
				text = "vault unlocked"
			}
			if !s.value.Locks.IsZero() {
				text = "vault locks in " + m.countdown(s.value.Locks)
			}
		}
		parts = append(parts, part{text, role})
	}
	switch n := len(m.world.sessions.value); {
	case n == 1:
		parts = append(parts, part{"1 session", draw.Plain})
	case m.world.sessions.loaded:
		parts = append(parts, part{fmt.Sprintf("%d sessions", n), draw.Plain})
	}
	if waiting > 0 {
		parts = append(parts, part{fmt.Sprintf("%d waiting", waiting), draw.Attention})
	}
	return parts
}

// part is a piece of a line.
type part struct {
	text string
	role draw.Role
}

// ends makes a line of parts at its left and its right end. Where there is no room
// for both, the last parts of the left give way.
func (m *Model) ends(left, right []part) string {
	join := func(parts []part) string {
		texts := make([]string, len(parts))
		for i, p := range parts {
			texts[i] = m.theme.Paint(p.role, p.text)
		}
		return strings.Join(texts, "  ")
	}
	end := join(right) + " "
	for len(left) > 1 && draw.Width(join(left))+2+draw.Width(end) > m.w {
		left = left[:len(left)-1]
	}
	start := join(left)
	room := m.w - draw.Width(start) - draw.Width(end)
	if room < 1 {
		return draw.Exact(start, m.w)
	}
	return draw.Exact(start+strings.Repeat(" ", room)+end, m.w)
}

// moves are the uses that a page with a list of its own has for its cursor: nobody
// needs the bar for those.
var moves = []string{"any.down", "any.up", "any.top", "any.end"}

// inBar are the uses of every screen that the bar names, after its own.
var inBar = []string{"any.enter", "any.filter", "any.palette", "any.help", "any.quit"}

// bar names the keys that can be used now, as many as there is room for; "? help"
// always.
func (m *Model) bar() string {
	t := m.theme
	if n := len(m.dialogs); n > 0 {
		return t.Fit(" "+draw.Clean(m.dialogs[n-1].bar()), m.w)
	}
	if m.filter != nil {
		return t.Fit(" enter keep it  esc clear it  words in any order; ! first: rows without them", m.w)
	}
	var parts []part
	add := func(id, off string) {
		if b := m.keys.byID[id]; off == "" && len(b.keys) > 0 {
			parts = append(parts, part{label(b.keys[0]), draw.Accent}, part{b.does, draw.Plain})
		}
	}
	own := m.own()
	for _, u := range own {
		if !slices.Contains(moves, u.id) {
			add(u.id, u.off)
		}
	}
	for _, u := range m.everywhere() {
		for _, id := range inBar {
			if u.id == id && id != "any.help" {
				add(id, u.off)
			}
		}
	}
	help := " " + t.Paint(draw.Accent, label(m.keys.byID["any.help"].keys[0])) + " help"
	room := m.w - draw.Width(help) - 1
	var line strings.Builder
	used := 1
	line.WriteString(" ")
	for i := 0; i+1 < len(parts); i += 2 {
		n := draw.Width(parts[i].text) + 1 + draw.Width(parts[i+1].text) + 2
		if used+n > room {
			break
		}
		line.WriteString(t.Paint(parts[i].role, parts[i].text) + " " + parts[i+1].text + "  ")
		used += n
	}
	return draw.Exact(strings.TrimSuffix(line.String(), " ")+help, m.w)
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
	box := m.theme.Panel(draw.Panel{Title: draw.Clean(d.title()), Focused: true, Lines: inside}, w, h)
	top, left := (m.h-h)/2, (m.w-w)/2
	for i, line := range box {
		under := lines[top+i]
		before := draw.Exact(ansi.Truncate(under, left, ""), left)
		after := ansi.TruncateLeft(under, left+w, "")
		room := m.w - left - w
		if draw.Width(after) > room { // the edge is in the middle of a wide character
			after = ansi.TruncateLeft(under, left+w+1, "")
		}
		after = strings.Repeat(" ", max(0, room-draw.Width(after))) + after
		lines[top+i] = before + line + after
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
