package desk

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"kb/internal/broker"
	"kb/providers"
	"kb/tui"
)

// LoginForm implements tui.Backend.
func (d *Desk) LoginForm(ctx context.Context, r tui.LoginRequest) (tui.LoginForm, error) {
	b, err := d.open(ctx)
	if err != nil {
		return tui.LoginForm{}, err
	}
	m, err := d.making(b, r)
	form := tui.LoginForm{Title: r.Provider}
	if errors.Is(err, providers.ErrNeedsBase) {
		definition := anyDefinition(b, r.Provider)
		form.Request, form.Title, form.Base, form.Note = m.LoginRequest, definition.Title, "https://…", definition.Note
		if definition.Base != nil && definition.Base.Example != "" {
			form.Base = definition.Base.Example
		}
		return form, nil
	}
	if err != nil {
		return form, err
	}
	p := m.definition
	form.Request, form.Title, form.Note, form.Exists = m.LoginRequest, p.Title, p.Note, m.exists
	form.Ways = ways(p)
	if m.Method == "" && len(form.Ways) > 1 {
		return form, nil // a person chooses first
	}
	form.Request.Method = m.method.Name
	form.Title = p.Title + ": " + cmp.Or(m.method.Title, m.method.Name)
	form.Page = m.method.Page
	if m.method.Flow != providers.FlowOAuth {
		for _, f := range m.method.Fields {
			form.Fields = append(form.Fields, tui.Field{Name: f.Name, Label: f.Title(), Secret: f.Secret, Optional: f.Optional})
		}
		return form, nil
	}
	form.Grant = true
	need, needed, err := b.NeedsClient(m.login.Profile, m.login.Provider, m.login.Base, m.method.Name)
	if err != nil {
		return form, d.advise(err)
	}
	form.Redirect = need.Redirect
	fields := []tui.Field{{Name: clientID, Label: "Client ID"}}
	if need.Secret || !needed {
		fields = append(fields, tui.Field{Name: clientSecret, Label: "Client secret", Secret: true, Optional: need.SecretOptional || !needed})
	}
	if needed && !need.Dynamic {
		form.Fields = fields
		form.Note = strings.TrimSpace(p.Title + " wants an OAuth client of your own, once; kb keeps it in the vault for every login there. " + p.Note)
	} else {
		form.Own = fields
	}
	return form, nil
}

// ways are the ways in of a definition, the one that is meant first.
func ways(p *providers.Provider) (list []tui.Way) {
	for _, m := range p.Login.Methods() {
		title := cmp.Or(m.Title, m.Name)
		if m.Flow == providers.FlowAgent {
			list = append(list, tui.Way{Method: m.Name, Text: title + ", taken over from the program", Import: broker.ImportSource(m)})
			continue
		}
		granted := m.Ways()
		for _, way := range granted {
			text := title + ", in a browser"
			if way == providers.WayDevice {
				text = title + ", with a code typed on any machine"
			}
			w := tui.Way{Method: m.Name, Text: text, Way: string(way)}
			if len(granted) == 1 {
				w.Way = ""
			}
			list = append(list, w)
		}
		if len(granted) == 0 {
			list = append(list, tui.Way{Method: m.Name, Text: title})
		}
	}
	return list
}

// anyDefinition is a definition of that name as some vault has it, without a base
// URL; the zero one where none has.
func anyDefinition(b *broker.Broker, provider string) *providers.Provider {
	if p, err := b.Catalog().Get(provider); err == nil {
		return p
	}
	for _, own := range b.OwnElsewhere() {
		if own.Name == provider {
			return own.Provider
		}
	}
	return &providers.Provider{Name: provider, Title: provider}
}
