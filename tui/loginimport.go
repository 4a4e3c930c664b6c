package tui

import (
	"context"
	"errors"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
)

// importsFound is what other programs keep.
type importsFound struct {
	request uint64
	list    []Importable
	err     error
}

// imports looks at what other programs keep.
func (s *logins) imports() tea.Cmd {
	s.requests++
	s.asked = s.requests
	ctx, backend, request := s.ctx, s.backend, s.asked
	return func() tea.Msg {
		list, err := backend.Imports(ctx)
		return importsFound{request, list, err}
	}
}

// found lists what can be taken over.
func (s *logins) found(msg importsFound) tea.Cmd {
	if msg.err != nil {
		return func() tea.Msg { return done{what: "look for logins of other programs", err: msg.err, told: true} }
	}
	l, _ := s.list.selected()
	var entries []entry
	for _, i := range msg.list {
		text := i.Provider
		if i.Account != "" {
			text += " as " + i.Account
		}
		if i.Moves {
			text += ", moves into kb"
		} else if i.Off == "" {
			text += ", copied"
		}
		entries = append(entries, entry{key: i.Source, text: text, off: i.Off, run: func() tea.Cmd {
			return s.shared.show(importForm(s.shared, i, l.Profile))
		}})
	}
	return s.shared.show(newPicker(picker{
		shared: s.shared, about: "Take over the login of which program", does: "go on", none: "No program of that name is known.", entries: entries,
	}))
}

// startImport takes over the login of one program.
func startImport(s *shared, source, profile string) tea.Cmd {
	ctx, backend := s.ctx, s.backend
	return func() tea.Msg {
		list, err := backend.Imports(ctx)
		if err != nil {
			return done{what: "import " + source, err: err, told: true}
		}
		for _, i := range list {
			if i.Source == source && i.Off == "" {
				return openDialog{importForm(s, i, profile)}
			} else if i.Source == source {
				return done{what: "import " + source, err: errors.New(i.Off), told: true}
			}
		}
		return done{what: "import " + source, err: errors.New("no program of that name is known"), told: true}
	}
}

// importForm asks for which profile, and for consent where the program is left
// without its login.
func importForm(s *shared, i Importable, profile string) *form {
	if profile == "" {
		profile = s.world.standing.value.Profile
	}
	var profiles []Choice
	for _, p := range s.world.profiles.value.Profiles {
		profiles = append(profiles, Choice{Value: p.Name, Text: p.Name})
	}
	note := i.Title + "'s login at " + i.Provider + " is copied; it stays with " + i.Title + "."
	fields := []formField{
		{name: whereProfile, label: "Profile", kind: choiceField, text: profile, choices: profiles, need: true, help: "that gets the login"},
		{name: whereAs, label: "Name", kind: textField, help: "of a further login at the same provider; usually none"},
		{name: wantReplace, label: "Replace", kind: yesNoField, text: "no", help: "a login of that name that the profile has already"},
	}
	if i.Moves {
		note = i.Title + " keeps its login in " + i.Path + ". It can have one owner only: kb takes it over and puts a placeholder there. " +
			"Inside kb exec the program goes on as before; outside it is logged out. What the file held is kept, encrypted to this device."
		fields = append(fields, formField{name: "agreed", label: "Take it over", kind: yesNoField, text: "no", help: "log " + i.Title + " out where kb is not"})
	}
	return newForm(form{
		shared: s, about: "Import from " + i.Source, note: note, fields: fields, does: "import",
		check: func(v values) error {
			if i.Moves && !v.yes("agreed") {
				return errors.New("not agreed: say yes to taking it over, or leave")
			}
			return nil
		},
		try: func(ctx context.Context, v values) (string, error) {
			return s.backend.Import(ctx, ImportRequest{
				Source: i.Source, Profile: v.text(whereProfile), As: strings.TrimSpace(v.text(whereAs)), Replace: v.yes(wantReplace),
			})
		},
	})
}
