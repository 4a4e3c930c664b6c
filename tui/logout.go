package tui

import (
	"context"
	"errors"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// logoutPlanned is what a logout would do, of the logins that were chosen.
type logoutPlanned struct {
	request          uint64
	chosen           []Login
	here, everywhere []string // by login
	err              error
}

// logout asks what it would do before it asks whether it is meant.
func (s *logins) logout() tea.Cmd {
	s.requests++
	s.asked = s.requests
	ctx, backend, msg := s.ctx, s.backend, logoutPlanned{request: s.asked, chosen: s.list.chosen()}
	return func() tea.Msg {
		for _, l := range msg.chosen {
			here, err := backend.LogoutPlan(ctx, l.LoginKey, false)
			if err != nil {
				msg.err = err
				break
			}
			everywhere, err := backend.LogoutPlan(ctx, l.LoginKey, true)
			if err != nil {
				msg.err = err
				break
			}
			msg.here, msg.everywhere = append(msg.here, here), append(msg.everywhere, everywhere)
		}
		return msg
	}
}

func (s *logins) planned(msg logoutPlanned) tea.Cmd {
	if msg.err != nil {
		return func() tea.Msg { return done{what: "log out of " + namesOf(msg.chosen), err: msg.err, told: true} }
	}
	return s.shared.show(&logoutDialog{logins: s, plan: msg})
}

// logoutDialog asks whether a logout is meant: on this device, or everywhere.
// Enter and esc mean no.
type logoutDialog struct {
	*logins
	plan       logoutPlanned
	everywhere bool
}

func (d *logoutDialog) title() string { return "Log out of " + namesOf(d.plan.chosen) }

// choice reports whether everywhere is another thing than here.
func (d *logoutDialog) choice() bool {
	for i := range d.plan.here {
		if d.plan.here[i] != d.plan.everywhere[i] {
			return true
		}
	}
	return false
}

func (d *logoutDialog) bar() string {
	switch {
	case !d.choice():
		return "y log out  enter or esc leave it"
	case d.everywhere:
		return "y log out everywhere  tab on this device only  enter or esc leave it"
	}
	return "y log out here  tab everywhere  enter or esc leave it"
}

func (d *logoutDialog) update(msg tea.Msg) (tea.Cmd, bool) {
	key, ok := msg.(tea.KeyMsg)
	if !ok {
		return nil, false
	}
	switch key.String() {
	case "y":
		return d.act(), true
	case "tab", "shift+tab":
		d.everywhere = d.choice() && !d.everywhere
	case "enter", "esc", "n", "q":
		return nil, true
	}
	return nil, false
}

// act logs out of one login after the other. One that fails does not keep the
// others.
func (d *logoutDialog) act() tea.Cmd {
	backend, chosen, everywhere := d.backend, d.plan.chosen, d.everywhere
	clear(d.list.marked)
	return d.shared.act("log out of "+namesOf(chosen), func(ctx context.Context) (string, error) {
		var notes []string
		var failed []error
		for _, l := range chosen {
			note, err := backend.Logout(ctx, l.LoginKey, everywhere)
			if err != nil {
				failed = append(failed, err)
				continue
			}
			notes = append(notes, note)
		}
		return strings.Join(notes, "; "), errors.Join(failed...)
	})
}

func (d *logoutDialog) view(w, h int) []string {
	plans, where := d.plan.here, "On this device only."
	if d.everywhere {
		plans, where = d.plan.everywhere, "On every device."
	}
	t := d.theme
	var lines []string
	if d.choice() {
		lines = append(lines, t.Paint(draw.Accent, t.Fit(where, w)), t.Fit("", w))
	}
	for i, plan := range plans {
		if i > 0 {
			lines = append(lines, t.Fit("", w))
		}
		l := &d.plan.chosen[i]
		text := loginName(l.LoginKey) + ", profile " + l.Profile + ": " + plan
		for _, line := range draw.Wrap(draw.Clean(text), w) {
			lines = append(lines, t.Fit(line, w))
		}
		if used := d.usedBy(l); used != "" && used != "no session" {
			for _, line := range draw.Wrap("! in use by "+draw.Clean(used)+": its requests are refused from then on", w) {
				lines = append(lines, t.Paint(draw.Attention, t.Fit(line, w)))
			}
		}
	}
	if len(lines) > h {
		lines = append(lines[:max(0, h-1)], t.Paint(draw.Attention, t.Fit("… and more: choose fewer to read all of it", w)))
	}
	return lines
}
