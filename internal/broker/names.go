package broker

import (
	"errors"
	"fmt"
	"strings"
)

// names tells the profiles of several vaults apart. The zero value is for one
// vault: every name is itself.
type names struct {
	several bool
	primary string              // the default vault's name
	bare    map[string][]string // name without a vault -> full names, by vault
}

// AmbiguousProfileError says that several vaults have a profile of a name. The
// default vault's does not win: whoever names an identity means one.
type AmbiguousProfileError struct {
	Name string
	Full []string // what to say instead
}

func (e *AmbiguousProfileError) Error() string {
	return fmt.Sprintf("find profile %q: several vaults have one: %s", e.Name, strings.Join(e.Full, " and "))
}

// names collects the names of the profiles of every open vault.
func (b *Broker) names() *names {
	n := &names{several: b.several(), primary: b.primary.name}
	if !n.several {
		return n
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	n.bare = map[string][]string{}
	for _, v := range b.vaults {
		for _, p := range v.contents.Profiles {
			n.bare[p.Name] = append(n.bare[p.Name], b.full(v, p.Name))
		}
	}
	return n
}

// show is how a profile is called in talk: by its own name where that is
// unique among the vaults, else VAULT/NAME.
func (n *names) show(full string) string {
	if !n.several {
		return full
	}
	name := full[strings.LastIndexByte(full, '/')+1:]
	if homes := n.bare[name]; len(homes) == 1 && homes[0] == full {
		return name
	}
	return n.spell(full)
}

// spell is a name with its vault, whatever else there is.
func (n *names) spell(full string) string {
	if full == "" || strings.Contains(full, "/") {
		return full
	}
	return n.primary + "/" + full
}

// find is the reverse of show: the full name of the profile that somebody
// named. What no profile is called is returned as it is.
func (n *names) find(given string) (string, error) {
	if rest, ok := strings.CutPrefix(given, n.primary+"/"); ok {
		return rest, nil
	}
	homes := n.bare[given]
	switch len(homes) {
	case 0:
		return given, nil
	case 1:
		return homes[0], nil
	}
	e := &AmbiguousProfileError{Name: given}
	for _, full := range homes {
		e.Full = append(e.Full, n.spell(full))
	}
	return "", e
}

// Find returns the full name of the profile that a person named: by its own
// name, where that is unique among the vaults of this device, or as VAULT/NAME.
// A full name is what the other methods take and return, and no text for
// people: that of a profile of the default vault is its own name, whatever
// other vaults have. See [Broker.Show].
func (b *Broker) Find(given string) (string, error) {
	full, err := b.find(given)
	if err != nil {
		return "", err
	}
	if _, _, err := b.home(full); err != nil {
		return "", &UnknownProfileError{given}
	}
	return full, nil
}

// find does what Find does, and leaves open whether there is such a profile.
func (b *Broker) find(given string) (string, error) {
	full, err := b.names().find(given)
	if err != nil || !b.several() {
		return full, err
	}
	if !strings.Contains(given, "/") {
		// A vault that is not open may have one of that name too.
		return full, b.whole()
	}
	if v, _ := b.split(full); v != nil {
		return full, b.available(v)
	}
	return full, nil
}

// Show is how a profile is called in talk: by its own name where that is
// unique, else VAULT/NAME.
func (b *Broker) Show(full string) string { return b.names().show(full) }

// VaultOf is the name of the vault that a profile is in, by its full name.
func (b *Broker) VaultOf(full string) string {
	if v, _ := b.split(full); v != nil {
		return v.name
	}
	return ""
}

// home finds the vault of a profile, and its name there.
func (b *Broker) home(full string) (*vault, string, error) {
	v, name := b.split(full)
	if v == nil {
		return nil, "", &UnknownProfileError{full}
	}
	b.mu.RLock()
	defer b.mu.RUnlock()
	if _, ok := v.contents.Profile(name); !ok {
		return nil, "", &UnknownProfileError{full}
	}
	return v, name, nil
}

// ErrAmbiguousRule says that several vaults have a rule of an id.
var ErrAmbiguousRule = errors.New("several vaults have a rule of that id")

// findRule finds the vault of a rule by its id, or by VAULT/ID.
func (b *Broker) findRule(given string) (*vault, string, error) {
	id := given[strings.LastIndexByte(given, '/')+1:]
	b.mu.RLock()
	defer b.mu.RUnlock()
	var found []*vault
	for _, v := range b.vaults {
		if given != id && given != v.name+"/"+id {
			continue
		}
		for _, r := range v.contents.Rules {
			if r.ID == id {
				found = append(found, v)
			}
		}
	}
	switch len(found) {
	case 0:
		return nil, "", &UnknownRuleError{given}
	case 1:
		return found[0], id, nil
	}
	where := make([]string, len(found))
	for i, v := range found {
		where[i] = v.name + "/" + id
	}
	return nil, "", fmt.Errorf("find rule %q: %w: %s", given, ErrAmbiguousRule, strings.Join(where, " and "))
}

// UnknownRuleError names a rule that no open vault has.
type UnknownRuleError struct{ ID string }

func (e *UnknownRuleError) Error() string {
	return fmt.Sprintf("find rule %q: there is none of that id", e.ID)
}
