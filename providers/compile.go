package providers

import (
	"fmt"
	"slices"
	"strings"

	"kb/internal/secret"
)

// InjectFor returns the first rule for a request by a login method. Host is
// canonical ([CanonicalHost]), path normalised. ok is false when the request
// gets no credential.
func (p *Provider) InjectFor(host string, port uint16, method, path string) (in *Inject, ok bool) {
	for i := range p.Inject {
		in := &p.Inject[i]
		if p.appliesTo(in, method) && in.matches(host, port, path) {
			return in, true
		}
	}
	return nil, false
}

// appliesTo resolves the default method's empty name.
func (p *Provider) appliesTo(in *Inject, method string) bool {
	if method == "" && p.Login.Default != nil {
		method = p.Login.Default.Name
	}
	return in.Method == "" || in.Method == method
}

func (in *Inject) matches(host string, port uint16, path string) bool {
	if in.hosts == nil { // made by hand, not by Parse; the shared value stays as it is
		own := *in
		own.Repository = nil
		if own.prepare() != nil {
			return false
		}
		in = &own
	}
	found := false
	for i := range in.hosts {
		if in.hosts[i].match(host, port) {
			found = true
			break
		}
	}
	if !found || len(in.paths) == 0 {
		return found
	}
	for i := range in.paths {
		if in.paths[i].match(path) {
			return true
		}
	}
	return false
}

// prepare parses the patterns once.
func (in *Inject) prepare() error {
	hosts := make([]hostPattern, 0, len(in.Hosts))
	for _, h := range in.Hosts {
		if strings.Contains(h, hostVar) { // fits nothing until ForBase
			continue
		}
		parsed, err := parseHost(h)
		if err != nil {
			return err
		}
		hosts = append(hosts, parsed)
	}
	paths := make([]glob, 0, len(in.Paths))
	for _, s := range in.Paths {
		g, err := parseGlob(s, false)
		if err != nil {
			return err
		}
		paths = append(paths, g)
	}
	for i := range in.Repository {
		g, err := parseGlob(in.Repository[i].Path, true)
		if err != nil {
			return err
		}
		in.Repository[i].path = g
	}
	in.hosts, in.paths = hosts, paths
	return nil
}

// Compiled is a provider joined with one login's values: what the request path
// asks. It is immutable and safe for concurrent use; a changed login is compiled
// anew.
type Compiled struct {
	rules []*Credential
}

// Compile renders every rule of a login method. Fields are the login's values
// by field name. An error wraps [ErrNoField] or [ErrBadField], or says that the
// provider still needs a base URL.
func (p *Provider) Compile(method string, fields map[string]secret.Value) (*Compiled, error) {
	if _, ok := p.Login.Method(method); !ok {
		return nil, fmt.Errorf("compile %q: %w: no login method %q", p.Name, ErrNoField, method)
	}
	if p.NeedsBase() {
		return nil, fmt.Errorf("compile %q: %w", p.Name, ErrNeedsBase)
	}
	c := &Compiled{}
	for i := range p.Inject {
		in := &p.Inject[i]
		if !p.appliesTo(in, method) {
			continue
		}
		if in.hosts == nil { // made by hand, not by Parse
			own := *in
			own.Repository = slices.Clone(in.Repository)
			if err := own.prepare(); err != nil {
				return nil, fmt.Errorf("compile %q: %w", p.Name, err)
			}
			in = &own
		}
		cred, err := p.Render(in, fields)
		if err != nil {
			return nil, err
		}
		c.rules = append(c.rules, cred)
	}
	return c, nil
}

// Credentials returns every rule's credential, in the definition's order. The
// slice is shared and must not be changed.
func (c *Compiled) Credentials() []*Credential { return c.rules }

// Match returns what goes on a request; ok is false when it gets no credential.
// Host is canonical, path normalised. It does not allocate.
func (c *Compiled) Match(host string, port uint16, path string) (cred *Credential, ok bool) {
	for _, rule := range c.rules {
		if rule.Inject.matches(host, port, path) {
			return rule, true
		}
	}
	return nil, false
}

// Intercepts reports whether some path of that authority gets a credential.
func (c *Compiled) Intercepts(host string, port uint16) bool {
	for _, rule := range c.rules {
		for _, h := range rule.Inject.hosts {
			if h.match(host, port) {
				return true
			}
		}
	}
	return false
}
