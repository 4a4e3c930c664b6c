package providers

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// ErrNeedsBase says that a definition is for many servers and the login names
// none.
var ErrNeedsBase = errors.New("provider needs a base URL")

// NeedsBase reports whether {host} is still to be filled in.
func (p *Provider) NeedsBase() bool {
	return slices.ContainsFunc(p.Hosts, func(h string) bool { return strings.Contains(h, hostVar) })
}

// ForBase returns the definition for the server at a base URL:
// "https://git.acme.example", with a port or a path where the server has one.
// "" means the definition's default. A definition that names its own hosts comes
// back as it is when base is empty, and refuses any other.
//
// A base that is not https, that holds a user, a query or a fragment, or whose
// host is a public suffix, is refused.
func (p *Provider) ForBase(base string) (*Provider, error) {
	if !p.NeedsBase() {
		if base != "" {
			return nil, fmt.Errorf("use %q at another host: it has hosts of its own", p.Name)
		}
		return p, nil
	}
	if base == "" && p.Base != nil {
		base = p.Base.Default
	}
	if base == "" {
		return nil, fmt.Errorf("use %q: %w", p.Name, ErrNeedsBase)
	}
	at, err := parseBase(base)
	if err != nil {
		return nil, err
	}
	q := *p
	q.Hosts = at.hosts(p.Hosts)
	q.Inject = make([]Inject, len(p.Inject))
	for i, in := range p.Inject {
		q.Inject[i] = at.inject(in)
		if err := q.Inject[i].prepare(); err != nil {
			return nil, fmt.Errorf("use %q at %q: %w", p.Name, base, err)
		}
	}
	q.Mints = make([]Mint, len(p.Mints))
	for i, m := range p.Mints {
		if usesBase(m.Hosts) {
			m.Path = at.prefix + m.Path
		}
		m.Hosts = at.hosts(m.Hosts)
		if err := m.prepare(); err != nil {
			return nil, fmt.Errorf("use %q at %q: %w", p.Name, base, err)
		}
		q.Mints[i] = m
	}
	if p.Identity != nil {
		id := *p.Identity
		id.URL = at.fill(id.URL)
		q.Identity = &id
	}
	q.SecretPaths, q.secret = slices.Clone(p.SecretPaths), nil
	for i, s := range q.SecretPaths {
		q.SecretPaths[i] = at.prefix + s
	}
	if err := q.prepareSecret(); err != nil {
		return nil, fmt.Errorf("use %q at %q: %w", p.Name, base, err)
	}
	q.Login = at.login(p.Login)
	return &q, nil
}

// baseURL is a base URL taken apart.
type baseURL struct {
	authority string // canonical host, in brackets if it is IPv6, and ":port" unless 443
	prefix    string // path without a slash at its end; "" for the root
}

func parseBase(base string) (baseURL, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" {
		return baseURL{}, fmt.Errorf("read base URL: it is written https://git.acme.example")
	}
	switch {
	case u.Scheme != "https":
		return baseURL{}, fmt.Errorf("read base URL of %q: a credential travels by https only", u.Host)
	case u.User != nil:
		return baseURL{}, fmt.Errorf("read base URL of %q: it holds a user name", u.Host)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return baseURL{}, fmt.Errorf("read base URL of %q: it holds a query or a fragment", u.Host)
	}
	host, err := CanonicalHost(u.Hostname())
	if err != nil {
		return baseURL{}, err
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		if addr.Is6() {
			host = "[" + host + "]"
		}
	} else if err := checkOwned(host); err != nil {
		return baseURL{}, fmt.Errorf("read base URL: %w", err)
	}
	if port := u.Port(); port != "" {
		n, err := parsePort(port)
		if err != nil {
			return baseURL{}, fmt.Errorf("read base URL of %q: bad port", u.Host)
		}
		if n != httpsPort {
			host += ":" + strconv.Itoa(int(n))
		}
	}
	prefix := strings.TrimRight(u.EscapedPath(), "/")
	if prefix != "" {
		g, err := parseGlob(prefix, false)
		if err != nil {
			return baseURL{}, err
		}
		if slices.ContainsFunc(g, func(s segment) bool { return s.kind != segLiteral }) || strings.Contains(prefix, "%") {
			return baseURL{}, fmt.Errorf("read base URL of %q: its path holds characters that a pattern reads otherwise", u.Host)
		}
	}
	return baseURL{authority: host, prefix: prefix}, nil
}

func (b baseURL) hosts(patterns []string) []string {
	out := slices.Clone(patterns)
	for i, h := range out {
		out[i] = strings.Replace(h, hostVar, b.authority, 1)
	}
	return out
}

// login fills in the pages where one makes a credential, and the authorization
// server's addresses.
func (b baseURL) login(l Login) Login {
	fill := func(m Method) Method {
		m.Page = b.fill(m.Page)
		m.Server = m.Server.clone()
		if m.Server != nil {
			for _, address := range m.Server.addresses() {
				*address = b.fill(*address)
			}
		}
		return m
	}
	if l.Default != nil {
		first := fill(*l.Default)
		l.Default = &first
	}
	l.Other = slices.Clone(l.Other)
	for i := range l.Other {
		l.Other[i] = fill(l.Other[i])
	}
	return l
}

// fill puts the base URL in an address's place for it.
func (b baseURL) fill(address string) string {
	return strings.Replace(address, hostVar, b.authority+b.prefix, 1)
}

func usesBase(hosts []string) bool {
	return slices.ContainsFunc(hosts, func(h string) bool { return strings.Contains(h, hostVar) })
}

// inject moves a rule below the base URL. Validation holds a rule to hosts of
// one kind, so that the path belongs to all of them.
func (b baseURL) inject(in Inject) Inject {
	if !usesBase(in.Hosts) {
		in.Repository = slices.Clone(in.Repository)
		return in
	}
	in.Hosts = b.hosts(in.Hosts)
	in.Paths = slices.Clone(in.Paths)
	for i := range in.Paths {
		in.Paths[i] = b.prefix + in.Paths[i]
	}
	if len(in.Paths) == 0 && b.prefix != "" {
		in.Paths = []string{b.prefix + "/**"}
	}
	in.Repository = slices.Clone(in.Repository)
	for i := range in.Repository {
		r := &in.Repository[i]
		r.Path = b.prefix + r.Path
		r.Is = strings.Replace(r.Is, hostVar, b.authority+b.prefix, 1)
	}
	return in
}
