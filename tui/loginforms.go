package tui

import (
	"errors"
	"strings"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/secret"
)

// Names of the form's own fields; those of a provider have none with a blank.
const (
	whereProfile = "the profile"
	whereAs      = "the name"
	wantBase     = "the base"
	wantGiven    = "given as"
	wantReplace  = "the replacing"
	wantScopes   = "the scopes"
	wantKept     = "the keeping"
	wantVerify   = "the asking"
	wantOwn      = "whose client"
	refOf        = "reference for "
)

// askWhere asks which profile gets the login, and what it is called beside others
// there.
func (d *loginDialog) askWhere() {
	var profiles []Choice
	for _, p := range d.world.profiles.value.Profiles {
		profiles = append(profiles, Choice{Value: p.Name, Text: p.Name})
	}
	d.page = loginAsks
	d.inner = newForm(form{
		shared: d.shared, about: "where", does: "go on",
		fields: []formField{
			{name: whereProfile, label: "Profile", kind: choiceField, text: d.want.Profile, choices: profiles, need: true, help: "that gets the login"},
			{name: whereAs, label: "Name", kind: textField, text: d.want.As, help: "of a further login at the same provider; usually none"},
		},
		check: func(values) error {
			if len(profiles) == 0 {
				return errors.New("there is no profile yet: 2 and n make one")
			}
			return nil
		},
		act: func(v values) tea.Cmd {
			d.want.Profile, d.want.As, d.placed = v.text(whereProfile), v.text(whereAs), true
			return d.next()
		},
	})
}

// askBase asks for the address of a service that many run.
func (d *loginDialog) askBase() {
	d.page = loginAsks
	d.inner = newForm(form{
		shared: d.shared, about: "address", does: "go on", note: d.form.Note,
		fields: []formField{{
			name: wantBase, label: "Address", kind: textField, need: true, help: "of your own server, such as " + d.form.Base,
			check: func(text string) error {
				if !strings.HasPrefix(text, "https://") {
					return errors.New("it begins with https://")
				}
				return nil
			},
		}},
		act: func(v values) tea.Cmd {
			d.want.Base = v.text(wantBase)
			return d.look()
		},
	})
}

// askFields asks for what the backend needs, and where a person wants that for the
// settings.
func (d *loginDialog) askFields() {
	f := d.form
	var fields []formField
	if f.Exists && !d.want.Replace {
		fields = append(fields, formField{
			name: wantReplace, label: "Replace it", kind: yesNoField, text: "no",
			help: "profile " + d.want.Profile + " has a login at " + loginName(d.want.LoginKey) + " already",
		})
	}
	first := len(fields)
	needs := f.Fields
	own := func(values) bool { return true }
	if len(f.Own) > 0 && d.settings {
		needs = append(needs[:len(needs):len(needs)], f.Own...)
		own = func(v values) bool { return v.text(wantOwn) == "own" }
		fields = append(fields, formField{
			name: wantOwn, label: "OAuth client", kind: choiceField, choices: []Choice{{"", "the one that kb has or registers"}, {"own", "one of my own"}},
		})
	}
	given := func(v values) bool { return v.text(wantGiven) != "reference" }
	fields = append(fields, d.valueFields(needs, own, given)...)
	if d.settings {
		fields = append(fields, d.settingFields()...)
	}
	d.page = loginAsks
	inner := newForm(form{
		shared: d.shared, about: f.Title, note: d.fieldsNote(), fields: fields, does: "log in", act: d.entered,
		check: func(v values) error {
			if f.Exists && !d.want.Replace && !v.yes(wantReplace) {
				return errors.New("say that it is to be replaced, or leave, and give the new one a name of its own")
			}
			return nil
		},
	})
	if !d.settings {
		inner.at = first
	}
	d.inner = inner
}

// valueFields are the fields for values: each secret is typed masked, or a
// reference stands in its place.
func (d *loginDialog) valueFields(needs []Field, there, given func(values) bool) []formField {
	var fields []formField
	secrets := false
	for _, n := range needs {
		field := formField{name: n.Name, label: n.Label, help: n.Help, need: !n.Optional, kind: textField, text: d.texts[n.Name], when: there}
		if n.Optional && field.help == "" {
			field.help = "may stay empty"
		}
		if !n.Secret {
			fields = append(fields, field)
			continue
		}
		secrets = true
		masked := field
		masked.kind = secretField
		masked.when = func(v values) bool { return there(v) && given(v) }
		ref := field
		ref.name, ref.help = refOf+n.Name, "env:NAME, file:/path, op://…, keyring:… and others; it is resolved at each use"
		ref.text = d.texts[ref.name]
		ref.when = func(v values) bool { return there(v) && !given(v) }
		fields = append(fields, masked, ref)
	}
	if secrets {
		fields = append(fields, formField{
			name: wantGiven, label: "Given as", kind: choiceField, when: there, text: d.texts[wantGiven],
			choices: []Choice{{"value", "the value itself, kept in the vault"}, {"reference", "a reference to where it is"}},
		})
	}
	return fields
}

// settingFields are what can be set besides.
func (d *loginDialog) settingFields() []formField {
	verify := "yes"
	if d.want.NoVerify {
		verify = "no"
	}
	fields := []formField{{name: wantVerify, label: "Ask whose it is", kind: yesNoField, text: verify, help: "at the provider, before it is kept"}}
	if !d.form.Grant {
		return fields
	}
	return append([]formField{
		{name: wantScopes, label: "Scopes", kind: wordsField, text: strings.Join(d.want.Scopes, " "), help: "to ask for; empty is those of the definition"},
		{name: wantKept, label: "Refresh token", kind: choiceField, text: d.want.Sync, choices: []Choice{
			{"", "kept as the provider's definition says"}, {"vault", "in the vault, for every device"}, {"device", "on this device alone"},
		}},
	}, fields...)
}

// fieldsNote is what a person should know before the fields.
func (d *loginDialog) fieldsNote() string {
	f := d.form
	title := f.Title + "."
	if f.Page != "" && len(f.Fields) > 0 {
		title = f.Title + ", made at " + f.Page + " (ctrl+o opens it)."
	}
	parts := []string{title}
	if f.Note != "" {
		parts = append(parts, f.Note)
	}
	if f.Redirect != "" && len(f.Fields) > 0 {
		parts = append(parts, "The redirect URI is entered there exactly so: "+f.Redirect+" (some call it callback URL).")
	}
	if f.Exists && d.want.Replace && !f.Grant {
		parts = append(parts, "What is kept now stays until the new one was taken.")
	}
	return strings.Join(parts, " ")
}

// entered makes the login of what the form holds. Secrets go into the request
// alone; of the rest the dialog keeps what saves typing at a second try.
func (d *loginDialog) entered(v values) tea.Cmd {
	f := d.form
	if f.Exists && !d.want.Replace {
		d.want.Replace = v.yes(wantReplace)
	}
	if d.settings {
		d.want.NoVerify = !v.yes(wantVerify)
		if f.Grant {
			d.want.Sync, d.want.Scopes = v.text(wantKept), v.words(wantScopes)
		}
	}
	d.texts = v.texts
	r := d.want
	r.Values, r.Refs = map[string]secret.Value{}, map[string]string{}
	needs := f.Fields
	if v.text(wantOwn) == "own" {
		needs = append(needs[:len(needs):len(needs)], f.Own...)
	}
	for _, n := range needs {
		switch {
		case !n.Secret && v.text(n.Name) != "":
			r.Values[n.Name] = secret.New(v.text(n.Name))
		case n.Secret && v.text(refOf+n.Name) != "":
			r.Refs[n.Name] = v.text(refOf + n.Name)
		case n.Secret && !v.secret(n.Name).IsZero():
			r.Values[n.Name] = v.secret(n.Name)
		}
	}
	return d.begin(r)
}
