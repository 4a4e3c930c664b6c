package tui

import (
	"context"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"

	"kb/tui/draw"
)

// lockedPage is the page of a device whose key is wrapped by a passphrase, and
// locked.
type lockedPage struct {
	*shared
	asked bool // it was asked for by itself once
}

func (p *lockedPage) name() string { return "Locked" }

// opened asks for the passphrase when the dashboard begins. Who locked it, or was
// away until it locked, asks for it with a key: a field that appears by itself
// would take what is typed into something else.
func (p *lockedPage) opened() tea.Cmd {
	if p.asked {
		return nil
	}
	p.asked = true
	return open(p.form())
}

func (p *lockedPage) update(tea.Msg) tea.Cmd { return nil }
func (p *lockedPage) hint() string           { return "sessions that run go on with what they have" }

func (p *lockedPage) uses() []use {
	unlock := func() tea.Cmd { return open(p.form()) }
	return []use{{id: "locked.unlock", line: "kb unlock", run: unlock}, {id: "any.enter", run: unlock}}
}

func (p *lockedPage) form() dialog {
	f := newForm(form{
		shared: p.shared, about: "unlock", does: "unlock",
		fields: []formField{
			{name: "for", label: "for", kind: choiceField, text: "8h", choices: []Choice{{"1h", "an hour"}, {"8h", "8 hours"}, {"24h", "a day"}, {"168h", "a week"}}},
			{name: "passphrase", label: "passphrase", kind: secretField, need: true},
		},
		try: func(ctx context.Context, v values) (string, error) {
			lifetime, err := time.ParseDuration(v.text("for"))
			if err != nil {
				return "", err
			}
			return p.backend.Unlock(ctx, v.secret("passphrase"), lifetime)
		},
	})
	f.at = 1 // typing begins at once; the time is above it
	return f
}

func (p *lockedPage) view(w, h int) []string {
	inner := draw.Inner(w)
	return p.inMiddle("kb", []string{
		p.centred("Vault is locked", inner, draw.Accent),
		p.centred(p.short(p.world.standing.value.Path), inner, draw.Muted),
		"", p.centred("u  unlock with the passphrase", inner, draw.Plain),
	}, w, h)
}

// refusedPage is the page of a vault that is there and is not used.
type refusedPage struct{ *shared }

func (p *refusedPage) name() string           { return "Refused" }
func (p *refusedPage) opened() tea.Cmd        { return nil }
func (p *refusedPage) update(tea.Msg) tea.Cmd { return nil }
func (p *refusedPage) hint() string           { return "nothing was changed" }

// mending are the commands that may stand in a fix and need the terminal.
var mending = []string{"kb vault accept", "kb device join", "kb vault recover", "kb vault restore"}

func (p *refusedPage) uses() []use {
	s := p.world.standing.value
	var commands []Choice
	for _, line := range mending {
		if strings.Contains(s.Fix, line) {
			commands = append(commands, Choice{line, line})
		}
	}
	mend := use{id: "refused.mend", off: "no command mends it by itself", run: func() tea.Cmd {
		if len(commands) == 1 {
			return p.mend(commands[0].Value)
		}
		return open(newMenu(p.shared, "Mend it with", commands, p.mend))
	}}
	if len(commands) > 0 {
		mend.off, mend.line = "", commands[0].Value
	}
	return []use{
		{id: "refused.again", line: "kb status", run: func() tea.Cmd { return ask(p.ctx, &p.world.standing, p.backend.Standing) }},
		mend,
		{id: "any.copy", run: func() tea.Cmd { return copied(strings.TrimSpace(s.Reason + "\n" + s.Fix)) }},
	}
}

func (p *refusedPage) mend(line string) tea.Cmd { return p.handOver(strings.Fields(line)[1:]...) }

func (p *refusedPage) view(w, h int) []string {
	s := p.world.standing.value
	texts := []string{"x The vault is not used", p.short(s.Path), s.Reason}
	if s.Fix != "" {
		texts = append(texts, s.Fix)
	}
	return p.instead("kb", w, h, draw.Failed, texts...)
}
