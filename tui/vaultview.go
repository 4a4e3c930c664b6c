package tui

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"kb/tui/draw"
)

func (s *vaultScreen) view(w, h int) []string {
	s.split.w, s.split.h = w, h
	switch src := &s.world.vault; {
	case !src.loaded:
		return s.instead("Vault", w, h, draw.Working, "reading the vault …")
	case src.err != nil:
		return s.failed("Vault", src.err, w, h)
	}
	about := s.about(draw.Inner(w))
	s.split.h = 0 // the list is not at the top
	if s.here != layoutFull {
		if s.here == layoutOne && s.panel != panelDevices {
			return s.low(w, h)
		}
		top := min(len(about)+2, h*2/5)
		below := s.low
		if s.panel == panelDevices {
			below = s.devicePanel
		}
		return append(s.theme.Panel(draw.Panel{Title: "Vault", Lines: about[:top-2]}, w, top), below(w, h-top)...)
	}
	top := min(len(about)+2, h/2)
	middle := max(5, min(len(s.devices.shown)+3, (h-top)/2))
	out := append(s.theme.Panel(draw.Panel{Title: "Vault", Lines: about}, w, top), s.devicePanel(w, middle)...)
	if len(s.checklist.all) > 0 {
		left := w / 2
		return append(out, draw.Beside(s.historyPanel(left, h-top-middle), s.checklistPanel(w-left, h-top-middle))...)
	}
	return append(out, s.low(w, h-top-middle)...)
}

// low is the panel below the devices where there is room for one.
func (s *vaultScreen) low(w, h int) []string {
	if s.panel == panelChecklist || s.panel == panelDevices && len(s.checklist.all) > 0 {
		return s.checklistPanel(w, h)
	}
	return s.historyPanel(w, h)
}

// about says what the vault is and how it stands.
func (s *vaultScreen) about(w int) []string {
	v := &s.world.vault.value
	git, role := v.Git, draw.Plain
	switch v.GitState {
	case CheckFailed:
		git, role = "x "+git, draw.Failed
	case CheckWarning:
		git, role = "! "+git, draw.Attention
	case CheckOK:
		git, role = "+ "+git, draw.Good
	}
	if v.Git == "" {
		git, role = "in no repository: git init in its folder, and S keeps it level with your other devices", draw.Muted
	}
	opened := v.Unlocked
	if locks := s.world.standing.value.Locks; !locks.IsZero() {
		opened += ", locks in " + s.countdown(locks)
	}
	file := s.short(v.Path) + "  " + sizeWords(v.Size) + "  " + plural(len(v.Devices), "device")
	if v.Name != "" && len(v.Others) > 0 {
		file = v.Name + "  " + file
	}
	facts := []fact{{name: "file", text: file}, {name: "git", text: git, role: role}}
	for _, c := range v.Conflicts {
		facts = append(facts, fact{name: "! twice", text: c, role: draw.Attention})
	}
	facts = append(facts, fact{name: "opened by", text: opened})
	if len(v.Others) > 0 {
		facts = append(facts, fact{name: "others", text: strings.Join(v.Others, ", ") + " (kb --vault NAME)"})
	}
	return s.facts(w, facts...)
}

func (s *vaultScreen) devicePanel(w, h int) []string {
	columns := []draw.Column{
		{Title: "DEVICE", Width: 12, Grow: true},
		{Title: "KIND", Width: 9},
		{Title: "ADDED", Width: 10, Drop: 2},
		{Title: "BY", Width: 10, Drop: 3},
		{Title: "RECIPIENT", Width: 20, Drop: 1},
	}
	s.devices.away = s.panel != panelDevices
	return s.theme.Panel(draw.Panel{
		Title: "Devices", Focused: s.panel == panelDevices, Foot: place(s.devices.cursor, len(s.devices.shown)),
		Lines: s.devices.table(s.theme, columns, draw.Inner(w), h-2, func(d Device) []draw.Cell {
			name := draw.Clean(d.Name)
			if d.This {
				name += " (this one)"
			}
			return []draw.Cell{
				{Text: name},
				{Text: draw.Clean(d.Kind)},
				{Text: day(d.Added), Role: draw.Muted},
				{Text: draw.Clean(d.AddedBy), Role: draw.Muted},
				{Text: middleCut(draw.Clean(d.Recipient), 20), Role: draw.Muted},
			}
		}),
	}, w, h)
}

func day(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format(time.DateOnly)
}

// middleCut keeps both ends of a key, by which people tell keys apart.
func middleCut(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	half := (n - 1) / 2
	return string(r[:half]) + "…" + string(r[len(r)-half:])
}

func (s *vaultScreen) historyPanel(w, h int) []string {
	columns := []draw.Column{{Title: "WHEN", Width: 8}, {Title: "DEVICE", Width: 10, Drop: 1}, {Title: "CHANGE", Width: 10, Grow: true}}
	s.history.away = s.panel != panelHistory
	p := draw.Panel{Title: "Last changes", Focused: s.panel == panelHistory}
	if len(s.history.all) == 0 {
		p.Lines = []string{s.theme.Paint(draw.Muted, s.theme.Fit("git tells of none", draw.Inner(w)))}
		return s.theme.Panel(p, w, h)
	}
	if s.panel == panelHistory {
		p.Foot = place(s.history.cursor, len(s.history.shown))
	}
	p.Lines = s.history.table(s.theme, columns, draw.Inner(w), h-2, func(p Past) []draw.Cell {
		return []draw.Cell{{Text: s.ago(p.When), Role: draw.Muted}, {Text: draw.Clean(p.Who)}, {Text: draw.Clean(p.What)}}
	})
	return s.theme.Panel(p, w, h)
}

// checklistPanel lists what a removed device knows; of the one under the cursor all
// of the text stands below.
func (s *vaultScreen) checklistPanel(w, h int) []string {
	columns := []draw.Column{{Title: "TO CHANGE", Width: 10, Grow: true}}
	s.checklist.away = s.panel != panelChecklist
	p := draw.Panel{Title: "To rotate", Focused: s.panel == panelChecklist}
	inner := draw.Inner(w)
	if len(s.checklist.all) == 0 {
		p.Lines = []string{s.theme.Paint(draw.Muted, s.theme.Fit("no removed device knows a secret that is still in use", inner))}
		return s.theme.Panel(p, w, h)
	}
	p.Foot = fmt.Sprint(len(s.checklist.all))
	if s.panel == panelChecklist {
		p.Foot = place(s.checklist.cursor, len(s.checklist.shown))
	}
	var below []string
	if r, ok := s.checklist.selected(); ok {
		below = s.facts(inner, fact{name: "! how", text: r.Text, role: draw.Attention})
		below = below[:min(len(below), max(0, h-5))]
	}
	rows := s.checklist.table(s.theme, columns, inner, h-2-len(below), func(r Rotate) []draw.Cell { return []draw.Cell{{Text: draw.Clean(r.Item)}} })
	for len(rows)+len(below) < h-2 {
		rows = append(rows, "")
	}
	p.Lines = slices.Concat(rows, below)
	return s.theme.Panel(p, w, h)
}
