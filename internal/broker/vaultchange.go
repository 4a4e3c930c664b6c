package broker

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"kb/profile"
	"kb/vaultfile"
)

// VaultChange is what a person changed in a vault's text.
type VaultChange struct {
	vault    *vault
	profiles []profileChange
	rules    []ruleChange
	setting  *settingChange
}

// profileChange is a profile as shown and as edited; nil where it was not, or
// is no more.
type profileChange struct{ old, new *profile.Profile }

type ruleChange struct{ old, new *profile.Rule }

type settingChange struct{ old, new string }

// MeanwhileError says that somebody else changed what was being edited.
type MeanwhileError struct{ What string }

func (e *MeanwhileError) Error() string {
	return fmt.Sprintf("save edited vault: %s was changed meanwhile; nothing was saved", e.What)
}

// compare finds what an edited text changes of what was shown.
func (t *VaultText) compare(doc *document) *VaultChange {
	c := &VaultChange{vault: t.vault}
	edited := doc.profiles()
	for i := range t.shown.Profiles {
		old := &t.shown.Profiles[i]
		j := slices.IndexFunc(edited, func(p profile.Profile) bool { return p.Name == old.Name })
		switch {
		case j < 0:
			c.profiles = append(c.profiles, profileChange{old: old})
		case len(changedFields(old, &edited[j])) > 0:
			c.profiles = append(c.profiles, profileChange{old, &edited[j]})
		}
	}
	for i := range edited {
		if _, was := t.shown.Profile(edited[i].Name); !was {
			c.profiles = append(c.profiles, profileChange{new: &edited[i]})
		}
	}
	rules := make([]profile.Rule, len(doc.Rules))
	for i, r := range doc.Rules {
		rules[i] = profile.Rule(r)
	}
	for i := range t.shown.Rules {
		old := &t.shown.Rules[i]
		j := slices.IndexFunc(rules, func(r profile.Rule) bool { return r.ID == old.ID })
		switch {
		case j < 0:
			c.rules = append(c.rules, ruleChange{old: old})
		case rules[j] != *old:
			c.rules = append(c.rules, ruleChange{old, &rules[j]})
		}
	}
	for i := range rules {
		if !slices.ContainsFunc(t.shown.Rules, func(r profile.Rule) bool { return r.ID == rules[i].ID }) {
			c.rules = append(c.rules, ruleChange{new: &rules[i]})
		}
	}
	if old := t.shown.Setting(vaultfile.SettingDefaultProfile); old != doc.DefaultProfile {
		c.setting = &settingChange{old, doc.DefaultProfile}
	}
	return c
}

// touches reports whether a profile, or the rule of an id, is among what
// changed.
func (c *VaultChange) touches(name, ruleID string) bool {
	return slices.ContainsFunc(c.profiles, func(p profileChange) bool {
		return p.old != nil && p.old.Name == name || p.new != nil && p.new.Name == name
	}) || slices.ContainsFunc(c.rules, func(r ruleChange) bool { return r.new != nil && r.new.ID == ruleID })
}

// Empty reports whether nothing changed.
func (c *VaultChange) Empty() bool {
	return len(c.profiles) == 0 && len(c.rules) == 0 && c.setting == nil
}

// Lines says what changed, by name: "~ profile work: git_email, also".
func (c *VaultChange) Lines() []string {
	var lines []string
	for _, p := range c.profiles {
		switch {
		case p.old == nil:
			lines = append(lines, "+ profile "+p.new.Name)
		case p.new == nil:
			lines = append(lines, "- profile "+p.old.Name)
		default:
			lines = append(lines, "~ profile "+p.new.Name+": "+strings.Join(changedFields(p.old, p.new), ", "))
		}
	}
	for _, r := range c.rules {
		switch {
		case r.old == nil:
			lines = append(lines, "+ rule: "+r.new.Conditions()+" gets "+r.new.Profile)
		case r.new == nil:
			lines = append(lines, "- rule "+r.old.ID+": "+r.old.Conditions()+" gets "+r.old.Profile)
		default:
			lines = append(lines, fmt.Sprintf("~ rule %s: %s gets %s, was %s gets %s",
				r.new.ID, r.new.Conditions(), r.new.Profile, r.old.Conditions(), r.old.Profile))
		}
	}
	if c.setting != nil {
		lines = append(lines, fmt.Sprintf("~ default_profile: %s, was %s", orNone(c.setting.new), orNone(c.setting.old)))
	}
	return lines
}

func orNone(name string) string {
	if name == "" {
		return "none"
	}
	return name
}

// field is a part of a profile that changes by itself.
type field struct {
	name  string
	equal func(a, b *profile.Profile) bool
	copy  func(to, from *profile.Profile)
}

var profileFields = [...]field{
	text("git_name", func(p *profile.Profile) *string { return &p.GitName }),
	text("git_email", func(p *profile.Profile) *string { return &p.GitEmail }),
	text("signing_key", func(p *profile.Profile) *string { return &p.SigningKey }),
	text("egress", func(p *profile.Profile) *string { return &p.Egress }),
	{
		"also",
		func(a, b *profile.Profile) bool { return slices.Equal(sortedSet(a.Also), sortedSet(b.Also)) },
		func(to, from *profile.Profile) { to.Also = from.Also },
	},
	{
		"expect",
		func(a, b *profile.Profile) bool { return maps.Equal(a.Expect, b.Expect) },
		func(to, from *profile.Profile) { to.Expect = from.Expect },
	},
}

func text(name string, of func(*profile.Profile) *string) field {
	return field{
		name,
		func(a, b *profile.Profile) bool { return *of(a) == *of(b) },
		func(to, from *profile.Profile) { *of(to) = *of(from) },
	}
}

func changedFields(a, b *profile.Profile) []string {
	var names []string
	for _, f := range profileFields {
		if !f.equal(a, b) {
			names = append(names, f.name)
		}
	}
	return names
}

// Apply makes a change to the vault as it is by now. What else was changed
// since it was shown stays; where both changed the same, nothing is saved and
// the error is a *MeanwhileError.
func (b *Broker) Apply(ctx context.Context, c *VaultChange) error {
	return b.edit(ctx, c.vault, func(tx *vaultfile.Tx) error {
		now, err := tx.Contents()
		if err != nil {
			return err
		}
		for _, p := range c.profiles {
			if err := p.apply(tx, &now); err != nil {
				return err
			}
		}
		for _, r := range c.rules {
			if err := r.apply(tx, &now); err != nil {
				return err
			}
		}
		if s := c.setting; s != nil {
			if is := now.Setting(vaultfile.SettingDefaultProfile); is != s.old && is != s.new {
				return &MeanwhileError{"the default profile"}
			}
			if err := tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile, Value: s.new}); err != nil {
				return err
			}
		}
		return c.stillHolds(tx)
	})
}

func (c profileChange) apply(tx *vaultfile.Tx, now *vaultfile.Contents) error {
	name := ""
	if c.old != nil {
		name = c.old.Name
	} else {
		name = c.new.Name
	}
	is, exists := now.Profile(name)
	meanwhile := &MeanwhileError{fmt.Sprintf("profile %q", name)}
	switch {
	case c.old == nil:
		if exists && len(changedFields(&is, c.new)) > 0 {
			return meanwhile
		}
		return tx.PutProfile(*c.new)
	case c.new == nil:
		if !exists {
			return nil
		}
		if len(changedFields(&is, c.old)) > 0 || slices.ContainsFunc(now.Logins, func(l vaultfile.Login) bool { return l.Profile == name }) {
			return meanwhile
		}
		return tx.DeleteProfile(name)
	case !exists:
		return meanwhile
	}
	settles := false
	for _, f := range profileFields {
		switch {
		case f.equal(c.old, c.new):
		case !f.equal(&is, c.old) && !f.equal(&is, c.new):
			return meanwhile
		default:
			f.copy(&is, c.new)
			settles = settles || f.name == "also"
		}
	}
	if err := tx.PutProfile(is); err != nil {
		return err
	}
	if settles {
		tx.Settle("profile", name) // a person has said what the list is
	}
	return nil
}

func (c ruleChange) apply(tx *vaultfile.Tx, now *vaultfile.Contents) error {
	if c.old == nil {
		_, err := tx.PutRule(*c.new)
		return err
	}
	meanwhile := &MeanwhileError{fmt.Sprintf("rule %q", c.old.ID)}
	i := slices.IndexFunc(now.Rules, func(r profile.Rule) bool { return r.ID == c.old.ID })
	switch {
	case c.new == nil && i < 0:
		return nil
	case i < 0 || now.Rules[i] != *c.old && (c.new == nil || now.Rules[i] != *c.new):
		return meanwhile
	case c.new == nil:
		return tx.DeleteRule(c.old.ID)
	}
	_, err := tx.PutRule(*c.new)
	return err
}

// stillHolds looks whether names that the change relies on are still there.
func (c *VaultChange) stillHolds(tx *vaultfile.Tx) error {
	after, err := tx.Contents()
	if err != nil {
		return err
	}
	need := func(name string) error {
		if _, ok := after.Profile(name); !ok && name != "" {
			return &MeanwhileError{fmt.Sprintf("profile %q", name)}
		}
		return nil
	}
	for _, r := range c.rules {
		if r.new != nil {
			if err := need(r.new.Profile); err != nil {
				return err
			}
		}
	}
	for _, p := range c.profiles {
		if p.new != nil {
			for _, name := range p.new.Also {
				if p.old != nil && slices.Contains(p.old.Also, name) {
					continue
				}
				if err := need(name); err != nil {
					return err
				}
			}
			continue
		}
		for _, r := range after.Rules {
			if r.Profile == p.old.Name {
				return &MeanwhileError{fmt.Sprintf("profile %q", p.old.Name)}
			}
		}
	}
	if c.setting != nil {
		return need(c.setting.new)
	}
	return nil
}
