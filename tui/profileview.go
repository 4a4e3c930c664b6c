package tui

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"kb/tui/draw"
)

func (s *profiles) view(w, h int) []string {
	p := s.follow()
	s.split.w, s.split.h = w, h
	switch src := &s.world.profiles; {
	case !src.loaded:
		return s.instead("Profiles", w, h, draw.Working, "reading the vault …")
	case src.err != nil && len(src.value.Profiles) == 0:
		return s.failed("Profiles", src.err, w, h)
	case len(src.value.Profiles) == 0:
		return s.instead("Profiles", w, h, draw.Plain, "No profile yet.",
			"A profile is an identity: git author, logins, policy. Press n to make one; rules (a) say which directories get it.")
	}
	switch s.here {
	case layoutFull:
		left := w * 9 / 20
		right := w - left
		s.split.w = left
		about := s.about(p, draw.Inner(left))
		low := min(len(about)+2, h/2)
		s.split.h = h - low
		leftSide := append(s.table(left, h-low), s.theme.Panel(draw.Panel{Title: draw.Clean(p.Name), Lines: about}, left, low)...)
		third := h / 3
		return draw.Beside(leftSide, slices.Concat(s.rulesPanel(right, third), s.policyPanel(right, third), s.pinsPanel(right, h-2*third)))
	case layoutCompact:
		top := max(5, h*2/5)
		s.split.h = top
		return append(s.table(w, top), s.below(p, w, h-top)...)
	}
	if s.panel == panelProfiles && !s.inDetail {
		return s.table(w, h)
	}
	s.split.h = 0
	return s.below(p, w, h)
}

// below is the one panel that there is room for beside the list.
func (s *profiles) below(p Profile, w, h int) []string {
	switch s.panel {
	case panelRules:
		return s.rulesPanel(w, h)
	case panelPolicy:
		return s.policyPanel(w, h)
	case panelPins:
		return s.pinsPanel(w, h)
	}
	inner := draw.Inner(w)
	var more []fact
	for i, r := range p.Rules {
		more = append(more, fact{name: onlyFirst(i, "rules"), text: r.conditions()})
	}
	for i, l := range p.Policies {
		more = append(more, fact{name: onlyFirst(i, "policy"), text: l.Text, role: effectRole(l.Effect)})
	}
	lines := s.about(p, inner, more...)
	for _, pin := range s.pins.all {
		if pin.Changed {
			lines = append(lines, s.theme.Paint(draw.Attention, s.theme.Fit("! "+draw.Clean(s.short(pin.Dir))+"  changed since pinned", inner)))
		}
	}
	return s.theme.Panel(draw.Panel{Title: draw.Clean(p.Name), Foot: "tab: rules, policy, pins", Lines: lines}, w, h)
}

func (s *profiles) table(w, h int) []string {
	columns := []draw.Column{{Title: "PROFILE", Width: 8, Grow: true}}
	several := len(s.world.vault.value.Others) > 0
	if several {
		columns = append(columns, draw.Column{Title: "VAULT", Width: 7, Drop: 1})
	}
	columns = append(
		columns, draw.Column{Title: "RULES", Width: 5, Right: true}, draw.Column{Title: "LOGINS", Width: 6, Right: true},
		draw.Column{Title: "USED", Width: 8, Drop: 2},
	)
	s.list.away = s.panel != panelProfiles
	return s.theme.Panel(draw.Panel{
		Title: "Profiles", Focused: s.panel == panelProfiles, Foot: place(s.list.cursor, len(s.list.shown)),
		Lines: s.list.table(s.theme, columns, draw.Inner(w), h-2, func(p Profile) []draw.Cell {
			name := draw.Clean(p.Name)
			if p.Default {
				name += " (default)"
			}
			cells := []draw.Cell{{Text: name}}
			if several {
				cells = append(cells, draw.Cell{Text: draw.Clean(p.Vault), Role: draw.Muted})
			}
			return append(cells, draw.Cell{Text: fmt.Sprint(len(p.Rules))}, draw.Cell{Text: fmt.Sprint(p.Logins)},
				draw.Cell{Text: s.ago(p.LastUsed), Role: draw.Muted})
		}),
	}, w, h)
}

// about is what a profile is, without what its panels show.
func (s *profiles) about(p Profile, w int, more ...fact) []string {
	egress := p.Egress
	switch egress {
	case "listed":
		egress = "listed: only hosts with a login"
	case "open":
		egress = "open: hosts without a login pass unread"
	}
	var expect []string
	for _, provider := range slices.Sorted(maps.Keys(p.Expect)) {
		expect = append(expect, provider+" as "+p.Expect[provider])
	}
	return s.facts(w, append([]fact{
		{name: "git", text: strings.TrimSpace(p.GitName + " " + angled(p.GitEmail))},
		{name: "signs", text: p.SigningKey},
		{name: "also", text: strings.Join(p.Also, ", ")},
		{name: "expects", text: strings.Join(expect, ", ")},
		{name: "egress", text: egress},
		{name: "logins", text: fmt.Sprint(p.Logins)},
		{name: "default", text: map[bool]string{true: "where no rule matches"}[p.Default]},
	}, more...)...)
}

// onlyFirst is the name of the first of several facts of a kind.
func onlyFirst(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

func angled(email string) string {
	if email == "" {
		return ""
	}
	return "<" + email + ">"
}

// section draws one of the panels beside the list.
func section[T any](s *profiles, l *list[T], panel int, title, none string, columns []draw.Column, w, h int, row func(T) []draw.Cell) []string {
	focused := s.panel == panel
	l.away = !focused
	p := draw.Panel{Title: title, Focused: focused, Foot: place(l.cursor, len(l.shown))}
	switch {
	case len(l.all) == 0:
		for _, line := range draw.Wrap(none, draw.Inner(w)) {
			p.Lines = append(p.Lines, s.theme.Paint(draw.Muted, s.theme.Fit(line, draw.Inner(w))))
		}
	default:
		p.Lines = l.table(s.theme, columns, draw.Inner(w), h-2, row)
	}
	if !focused {
		p.Foot = ""
		if len(l.all) > h-3 {
			p.Foot = fmt.Sprint(len(l.all))
		}
	}
	if len(p.Lines) > h-2 {
		p.Lines = p.Lines[:max(0, h-2)]
	}
	return s.theme.Panel(p, w, h)
}

func (s *profiles) rulesPanel(w, h int) []string {
	columns := []draw.Column{{Title: "RULE", Width: 9}, {Title: "WHERE (the strongest first)", Width: 10, Grow: true}}
	return section(s, &s.rules, panelRules, "Rules of "+draw.Clean(s.of), "No rule selects it. Press a to add one.", columns, w, h, func(r Rule) []draw.Cell {
		return []draw.Cell{{Text: draw.Clean(r.ID), Role: draw.Muted}, {Text: draw.Clean(r.conditions())}}
	})
}

func (s *profiles) policyPanel(w, h int) []string {
	columns := []draw.Column{{Title: "LINE", Width: 30, Grow: true}, {Title: "ID", Width: 9, Drop: 1}}
	return section(s, &s.policies, panelPolicy, "Policy of "+draw.Clean(s.of), "No line: all that its logins may do is allowed, but making new credentials. Press p to add one.", columns, w, h, func(l Policy) []draw.Cell {
		return []draw.Cell{{Text: draw.Clean(l.Text), Role: effectRole(l.Effect)}, {Text: draw.Clean(l.ID), Role: draw.Muted}}
	})
}

func effectRole(effect string) draw.Role {
	switch effect {
	case "deny":
		return draw.Failed
	case "ask":
		return draw.Attention
	}
	return draw.Plain
}

// pinsPanel lists the remembered directories; of one that gets another profile
// now, what it was and what it is stand below.
func (s *profiles) pinsPanel(w, h int) []string {
	columns := []draw.Column{{Title: "PINNED DIRECTORY", Width: 10, Grow: true}, {Title: "SINCE", Width: 8}}
	pin, ok := s.pins.selected()
	if s.panel != panelPins || !ok {
		i := slices.IndexFunc(s.pins.shown, func(p Pin) bool { return p.Changed })
		ok = i >= 0
		if ok {
			pin = s.pins.shown[i]
		}
	}
	inner := draw.Inner(w)
	var below []string
	if ok && pin.Changed {
		below = s.facts(inner, fact{name: "was", text: pin.Was}, fact{name: "now", text: pin.Now, role: draw.Attention})
	} else if ok {
		below = s.facts(inner, fact{name: "remotes", text: pin.Now})
	}
	if len(below) > max(0, h-5) {
		below = below[:max(0, h-5)]
	}
	lines := section(s, &s.pins, panelPins, "Pins of "+draw.Clean(s.of), "No directory is pinned to it yet: the first kb exec in one does.", columns, w, h-len(below), func(p Pin) []draw.Cell {
		mark, role := "  ", draw.Plain
		if p.Changed {
			mark, role = "! ", draw.Attention
		}
		return []draw.Cell{{Text: mark + draw.Clean(s.short(p.Dir)), Role: role}, {Text: s.ago(p.When), Role: draw.Muted}}
	})
	if len(below) == 0 {
		return lines
	}
	// They go inside the frame, above its lower edge.
	framed := s.theme.Panel(draw.Panel{Focused: s.panel == panelPins, Lines: below}, w, len(below)+2)
	last := len(lines) - 1
	return slices.Concat(lines[:last], framed[1:len(framed)-1], lines[last:])
}
