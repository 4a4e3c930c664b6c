package tui

import (
	"context"
	"fmt"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

var vaultBindings = []binding{
	{id: "vault.lock", keys: []string{"u"}, does: "lock", help: "forget the unlocked identity; the passphrase is asked for then", verb: "kb lock"},
	{id: "vault.sync", keys: []string{"S"}, does: "sync", help: "commit the vault, merge the remote's, and push", verb: "kb sync"},
	{id: "vault.approve", keys: []string{"n"}, does: "approve device", help: "let the machine that printed a request into the vault", verb: "kb device approve"},
	{id: "vault.remove", keys: []string{"d"}, does: "remove device", help: "take the device out of the vault; asks", verb: "kb device rm"},
	{id: "vault.rotated", keys: []string{"m"}, does: "mark rotated", help: "take the secret off the checklist; asks", verb: "kb device checklist"},
	{id: "vault.edit", keys: []string{"e"}, does: "edit", help: "change profiles, rules and policy in your editor", verb: "kb vault edit"},
	{id: "vault.history", keys: []string{"h"}, does: "history", help: "the whole history, with the revisions to restore from", verb: "kb vault history"},
	{id: "vault.restore", keys: []string{"R"}, does: "restore", help: "bring back what a revision had", verb: "kb vault restore"},
	{id: "vault.accept", keys: []string{"A"}, does: "accept", help: "take a vault that this device refuses as older or foreign", verb: "kb vault accept"},
	{id: "vault.setupgit", keys: []string{"s"}, does: "set up git", help: "have git merge the vault with kb", verb: "kb vault setup-git"},
	{id: "vault.recovery", keys: []string{"p"}, does: "paper key", help: "make a recovery key, which is shown once", verb: "kb device add-recovery"},
	{id: "vault.ci", keys: []string{"c"}, does: "CI identity", help: "make an identity for a CI job, which is shown once", verb: "kb device add-ci"},
	{id: "vault.recipient", keys: []string{"a"}, does: "add recipient", help: "let an age recipient read the vault", verb: "kb device add-recipient"},
}

// Panels of the screen of the vault.
const (
	panelDevices = iota
	panelHistory
	panelChecklist
	vaultPanels
)

// vaultScreen is the screen of the vault: its file, who can open it, what changed,
// and what a removed device knows.
type vaultScreen struct {
	*shared
	devices   list[Device]
	history   list[Past]
	checklist list[Rotate]
	panel     int
	question  uint64 // number of the last join request that was read
}

func newVaultScreen(s *shared) *vaultScreen {
	return &vaultScreen{
		shared:  s,
		devices: newList(func(d Device) string { return d.ID }, func(d Device) string { return d.Name + " " + d.Kind + " " + d.ID + " " + d.Recipient }),
		history: newList(func(p Past) string { return p.When.String() + p.Who + p.What }, func(p Past) string { return p.Who + " " + p.What }),
		// Two removed devices may have known the same.
		checklist: newList(func(r Rotate) string { return r.Item + "\x00" + r.Text }, func(r Rotate) string { return r.Text }),
	}
}

func (s *vaultScreen) name() string    { return "Vault" }
func (s *vaultScreen) opened() tea.Cmd { return ask(s.ctx, &s.world.vault, s.backend.Vault) }
func (s *vaultScreen) panels() int     { return vaultPanels }
func (s *vaultScreen) focus(panel int) { s.panel = panel }

func (s *vaultScreen) changed() {
	v := &s.world.vault.value
	s.devices.set(v.Devices)
	s.history.set(v.History)
	s.checklist.set(v.Checklist)
}

func (s *vaultScreen) rows() rows {
	switch s.panel {
	case panelHistory:
		return &s.history
	case panelChecklist:
		return &s.checklist
	}
	return &s.devices
}

func (s *vaultScreen) current() string {
	switch s.panel {
	case panelHistory:
		p, _ := s.history.selected()
		return p.What
	case panelChecklist:
		r, _ := s.checklist.selected()
		return r.Item
	}
	d, _ := s.devices.selected()
	return d.Name
}

func (s *vaultScreen) hint() string {
	switch n := len(s.world.vault.value.Checklist); {
	case n == 0:
		return ""
	case s.panel == panelChecklist:
		return "Change each where it was made, and revoke the old one; what kb login replaces goes off by itself."
	default:
		return plural(n, "secret") + " that a removed device knows: tab to the checklist."
	}
}

func (s *vaultScreen) uses() []use {
	off := ""
	if !s.world.vault.loaded || s.world.vault.err != nil {
		off = "there is no vault that opens"
	}
	d, anyDevice := s.devices.selected()
	item, anyItem := s.checklist.selected()
	over := func(id string, args ...string) use {
		return use{id: id, off: off, line: "kb " + strings.Join(args, " "), run: func() tea.Cmd { return s.handOver(args...) }}
	}
	lock := use{id: "vault.lock", line: "kb lock", off: off, run: func() tea.Cmd { return s.act("lock", s.backend.Lock) }}
	if !s.world.standing.value.Wrapped {
		lock.off = "the identity has no passphrase"
	}
	sync := use{id: "vault.sync", line: "kb sync", off: off, run: func() tea.Cmd { return s.act("sync the vault", s.backend.Sync) }}
	if off == "" && s.world.vault.value.Git == "" {
		sync.off = "the vault is in no git repository"
	}
	remove := use{id: "vault.remove", line: "kb device rm " + shellWord(d.ID), off: off, run: func() tea.Cmd { return s.askRemove(d) }}
	switch {
	case off != "":
	case s.panel != panelDevices:
		remove.off = "tab to the devices first"
	case !anyDevice:
		remove.off = "there is no device"
	case d.This:
		remove.off = "this device is taken out on another one"
	}
	rotated := use{id: "vault.rotated", line: "kb device checklist --done " + shellWord(item.Item), off: off, run: func() tea.Cmd { return s.askRotated(item) }}
	switch {
	case off != "":
	case !anyItem:
		rotated.off = "no removed device knows a secret that is still in use"
	case s.panel != panelChecklist:
		rotated.off = "tab to the checklist first"
	}
	accept := over("vault.accept", "vault", "accept")
	accept.off = "" // that is what it is for
	return []use{
		sync,
		{id: "vault.approve", line: "kb device approve REQUEST", off: off, run: func() tea.Cmd { return s.shared.show(s.joinForm()) }},
		remove, rotated, lock,
		over("vault.edit", "vault", "edit"),
		over("vault.history", "vault", "history"),
		{id: "vault.restore", line: "kb vault restore REV", off: off, run: func() tea.Cmd { return s.shared.show(s.restoreForm()) }},
		over("vault.setupgit", "vault", "setup-git"),
		over("vault.recovery", "device", "add-recovery"),
		{id: "vault.ci", line: "kb device add-ci NAME", off: off, run: func() tea.Cmd { return s.shared.show(s.ciForm()) }},
		{id: "vault.recipient", line: "kb device add-recipient RECIPIENT", off: off, run: func() tea.Cmd { return s.shared.show(s.recipientForm()) }},
		accept,
	}
}

func (s *vaultScreen) askRemove(d Device) tea.Cmd {
	return s.asks("Remove device?", fmt.Sprintf("Remove %s (%s)? What is saved from now on it cannot read, and what it saves nobody accepts.\n"+
		"What it has read it knows, and git's history stays readable to it: a checklist opens of every secret to change.", d.Name, d.Kind),
		"remove it", "remove device "+d.Name, func(ctx context.Context) (string, error) { return s.backend.RemoveDevice(ctx, d.ID) })
}

func (s *vaultScreen) askRotated(r Rotate) tea.Cmd {
	return s.asks("Off the checklist?", "Take "+r.Item+" off the checklist? Only when its secret was changed where it was made, and the old one revoked: nobody reminds you again.",
		"it is changed", "take "+r.Item+" off the list", func(ctx context.Context) (string, error) { return s.backend.Rotated(ctx, r.Item) })
}

// word refuses what kb would take for a flag.
func word(text string) error {
	if strings.HasPrefix(text, "-") || strings.ContainsAny(text, " \t") {
		return fmt.Errorf("one word that does not begin with -")
	}
	return nil
}

func (s *vaultScreen) restoreForm() dialog {
	return newForm(form{
		shared: s.shared, about: "Restore", does: "look", note: "Revisions are in the history (h). Without a name kb lists what could be brought back.",
		fields: []formField{
			{name: "rev", label: "revision", need: true, check: word},
			{name: "name", label: "what", help: "as the history names it: login/work/github", check: word},
		},
		act: func(v values) tea.Cmd {
			args := []string{"vault", "restore", v.text("rev")}
			if name := v.text("name"); name != "" {
				args = append(args, name)
			}
			return s.handOver(args...)
		},
	})
}

func (s *vaultScreen) ciForm() dialog {
	return newForm(form{
		shared: s.shared, about: "Identity for a CI job", does: "make it", note: "It reads the vault and changes nothing. kb shows it once, on the terminal.",
		fields: []formField{{name: "name", label: "name", need: true, check: word}},
		act:    func(v values) tea.Cmd { return s.handOver("device", "add-ci", v.text("name")) },
	})
}

func (s *vaultScreen) recipientForm() dialog {
	return newForm(form{
		shared: s.shared, about: "Recipient that reads the vault", does: "add it", note: "Whoever has its key reads every secret of the vault with age.",
		fields: []formField{
			{name: "recipient", label: "recipient", need: true, help: "age1…, or an ssh-ed25519 line", check: func(text string) error {
				if strings.HasPrefix(text, "-") {
					return fmt.Errorf("it does not begin with -")
				}
				return nil
			}},
			{name: "name", label: "name", help: "what to call it; empty makes one from the key", check: word},
		},
		act: func(v values) tea.Cmd {
			args := []string{"device", "add-recipient", v.text("recipient")}
			if name := v.text("name"); name != "" {
				args = append(args, "--name", name)
			}
			return s.handOver(args...)
		},
	})
}
