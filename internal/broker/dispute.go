package broker

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kb/internal/secret"
	"kb/providers"
	"kb/vaultfile"
)

// dispute is a provider definition of a vault that must not be used: two
// devices changed it apart, or each added one for the same requests. Which of
// them is meant is for a person to say. Its hosts stay those of its logins,
// whose requests are refused and not sent bare.
type dispute struct {
	definition *providers.Provider
	reason     string
}

// catalogWithout makes the catalogue of a vault, less what is in dispute. Both
// definitions of a clash are: that one of them comes first in some order is no
// reason to send a credential to its hosts.
func catalogWithout(own []*providers.Provider, c vaultfile.Contents) (*providers.Catalog, map[string]dispute, error) {
	disputes := map[string]dispute{}
	add := func(p *providers.Provider, reason string) {
		disputes[p.Name] = dispute{p, reason}
		if p.Replaces != "" {
			disputes[p.Replaces] = dispute{p, reason}
		}
	}
	for _, conflict := range c.Conflicts {
		for _, p := range own {
			if conflict.Type == "provider" && p.Name == conflict.Key {
				add(p, fmt.Sprintf("its definition was changed on two devices (%s): say which is right with kb provider add FILE", sides(conflict, c.Devices)))
			}
		}
	}
	undisputed := func() []*providers.Provider {
		return slices.DeleteFunc(slices.Clone(own), func(p *providers.Provider) bool { _, ok := disputes[p.Name]; return ok })
	}
	rest := undisputed()
	catalog, err := providers.NewCatalog(rest...)
	if !errors.Is(err, providers.ErrConflict) {
		return catalog, disputes, err
	}
	for i, p := range rest {
		for _, q := range rest[i+1:] {
			if _, err := providers.NewCatalog(p, q); errors.Is(err, providers.ErrConflict) {
				reason := fmt.Sprintf("the definitions %q and %q are for the same requests: remove one with kb provider rm NAME", p.Name, q.Name)
				add(p, reason)
				add(q, reason)
			}
		}
	}
	catalog, err = providers.NewCatalog(undisputed()...)
	return catalog, disputes, err
}

// sides says who made the versions of a conflict, and when.
func sides(c vaultfile.Conflict, devices []vaultfile.Device) string {
	var out []string
	for _, v := range c.Versions {
		name := v.Device
		for _, d := range devices {
			if d.ID == v.Device {
				name = d.Name
			}
		}
		out = append(out, fmt.Sprintf("%s at %s", name, v.When.Local().Format(time.DateTime)))
	}
	return strings.Join(out, ", ")
}

// join makes a login of a vault ready for requests.
func (b *Broker) join(l vaultfile.Login, resolve func(field, ref string) (secret.Value, error)) *credentials {
	b.mu.RLock()
	var d dispute
	var disputed bool
	if v, _ := b.split(l.Profile); v != nil {
		d, disputed = v.disputes[l.Provider]
	}
	b.mu.RUnlock()
	if !disputed {
		for {
			what := b.grantedFor(l)
			c := join(l, b.catalogOf(l.Profile), resolve)
			if c.what = what; b.grantedFor(l) == what { // else the vault was read again in between
				return c
			}
		}
	}
	c := &credentials{login: l, key: keyOf(l), problem: d.reason}
	if definition, err := d.definition.ForBase(l.Base); err == nil {
		c.definition = definition
	}
	return c
}

// conflicts lists what devices changed apart and nobody settled, with the
// command that does.
func (b *Broker) conflicts() (out []string) {
	names := b.names()
	b.mu.RLock()
	defer b.mu.RUnlock()
	for _, v := range b.vaults {
		in := ""
		if b.several() {
			in = " --vault " + v.name
		}
		for _, c := range v.contents.Conflicts {
			name := names.show(b.full(v, c.Key))
			who := sides(c, v.contents.Devices)
			switch c.Type {
			case "profile":
				out = append(out, fmt.Sprintf("profile %s: what it may also use was changed on two devices (%s), and only what both say counts; settle it with kb profile set %s --also …",
					name, who, name))
			case "provider":
				out = append(out, fmt.Sprintf("provider %s: its definition was changed on two devices (%s), and its logins are refused; settle it with kb provider add FILE%s", c.Key, who, in))
			}
		}
	}
	return out
}
