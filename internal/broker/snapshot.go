package broker

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"kb/internal/policy"
	"kb/internal/secretref"
	"kb/profile"
	"kb/providers"
	"kb/vaultfile"
)

// snapshot is what a session knows at one moment. It is immutable but for its
// cache of hosts, and replaced whole when the vault changes.
type snapshot struct {
	profiles map[string]profile.Profile // by full name, as everywhere here
	names    *names
	granted  map[string]bool
	logins   []*credentials // of the granted profiles
	remotes  *profile.Remotes
	policy   *policy.Set   // of the granted profiles; nil: no lines
	gitHosts []string      // hosts whose git goes over https with a login
	refs     []string      // files that references read
	seen     []fs.FileInfo // the vaults' files and then refs, as old as what is above or older
	hosts    sync.Map      // authority -> []*credentials: those with a rule for it

	// tokenHosts are where token endpoints are besides the providers' hosts, as
	// far as the certificates that the child holds since its start serve them.
	tokenHosts map[authority]bool
}

type authority struct {
	host string
	port uint16
}

// newSnapshot joins what the vaults hold for the session that query describes.
// Known are the logins that the session has had: one that its vault no longer
// holds still keeps its hosts, whose requests are then refused and not sent
// bare.
func (b *Broker) newSnapshot(granted []string, query profile.Query, known []vaultfile.Login) *snapshot {
	seen := b.vaultStamps() // first: what is newer than its stamp is looked at once more
	c := b.All()
	s := &snapshot{
		seen:     seen,
		names:    b.names(),
		profiles: map[string]profile.Profile{},
		granted:  map[string]bool{},
		remotes:  profile.CompileRemotes(query, c.Rules),
	}
	for _, p := range c.Profiles {
		s.profiles[p.Name] = p
	}
	for _, name := range granted {
		if _, ok := s.profiles[name]; ok {
			s.granted[name] = true
		}
	}
	for _, l := range c.Logins {
		if s.granted[l.Profile] {
			for _, name := range slices.Sorted(maps.Keys(l.Refs)) {
				if file := secretref.File(l.Refs[name]); file != "" {
					s.refs, s.seen = append(s.refs, file), append(s.seen, stampOf(file))
				}
			}
			c := b.join(l, b.referencesNow(l))
			if c.flows() {
				b.bindStored(c)
				c.endpoints = b.endpointsOf(c)
			}
			s.logins = append(s.logins, c)
		}
	}
	for _, l := range known {
		if !slices.ContainsFunc(s.logins, func(c *credentials) bool { return c.key == keyOf(l) }) {
			s.logins = append(s.logins, b.removed(l))
		}
	}
	s.policy = compilePolicies(c.Policies, s.granted)
	s.gitHosts = s.findGitHosts()
	return s
}

// at returns the credentials with a rule for an authority, in the order of the
// vault.
func (s *snapshot) at(host string, port uint16) []*credentials {
	at := authority{host, port}
	if found, ok := s.hosts.Load(at); ok {
		return found.([]*credentials)
	}
	var found []*credentials
	for _, c := range s.logins {
		switch {
		case c.rules != nil && c.rules.Intercepts(host, port):
			found = append(found, c)
		case s.tokenHosts[at] && slices.ContainsFunc(c.endpoints, func(e endpoint) bool { return e.authority == at }):
			found = append(found, c)
		case c.rules == nil && c.definition != nil && matchesAny(c.definition.Hosts, host, port):
			found = append(found, c) // unusable: its requests are refused, not sent bare
		}
	}
	if len(found) > 0 { // hosts without a login are asked for once a tunnel and are not worth keeping
		s.hosts.Store(at, found)
	}
	return found
}

func matchesAny(patterns []string, host string, port uint16) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return providers.MatchHost(p, host, port) })
}

// private reports whether a login's own base URL is that authority: only then
// may a private address be dialled.
func (s *snapshot) private(host string, port uint16) bool {
	return slices.ContainsFunc(s.at(host, port), func(c *credentials) bool {
		// A token endpoint that a server named is no host of the login's.
		return c.login.Base != "" && (c.rules == nil || c.rules.Intercepts(host, port))
	})
}

// service is what a vault's definitions make of a request.
type service struct {
	vault      string // "" for the default one
	provider   string
	repository string // that the path names; "" for none
}

// servicesOf finds, for each vault, the provider whose rule has the path, and
// the repository that the path names by it. Within one vault no two
// definitions have a say about a request; those of several may.
func servicesOf(found []*credentials, host string, port uint16, path string) []service {
	var services []service
	for _, c := range found {
		in := vaultOf(c.key.profile)
		if slices.ContainsFunc(services, func(s service) bool { return s.vault == in }) {
			continue
		}
		if c.rules == nil {
			services = append(services, service{in, c.login.Provider, ""})
		} else if cred, match := c.rules.Match(host, port, path); match {
			repository, _ := cred.Inject.Remote(path)
			services = append(services, service{in, c.login.Provider, repository})
		}
	}
	return services
}

// vaultOf is the vault's name in a profile's full name, "" for the default
// vault.
func vaultOf(full string) string { return full[:max(0, strings.LastIndexByte(full, '/'))] }

// lenientRepository is the repository that a server would find in a path which
// takes "%2F" for a slash, drops a segment's parameters, or does not see case.
func lenientRepository(rule *providers.Inject, path string) string {
	path = providers.LenientPath(path)
	repository, ok := rule.Remote(path)
	if !ok {
		repository, _ = rule.Remote(strings.ToLower(path))
	}
	return repository
}

// pick returns a profile's login at a provider for a host: the one named, else
// the default one. Where the default serves another host (a self-hosted
// provider), the only other login that serves this one is meant.
func pick(found []*credentials, profile, provider, as string) *credentials {
	var others []*credentials
	for _, c := range found {
		if c.key == (loginKey{profile, provider, as}) {
			return c
		}
		if c.key.profile == profile && c.key.provider == provider {
			others = append(others, c)
		}
	}
	if as == "" && len(others) == 1 && others[0].login.Base != "" {
		return others[0]
	}
	return nil
}

// repositoryOwner says which profile a remote rule gives a repository to;
// empty when no rule speaks of it.
func (s *snapshot) repositoryOwner(repository string) (owner, why string, err error) {
	claim, err := s.remotes.Claim(repository)
	if errors.Is(err, profile.ErrNoMatch) {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	return claim.Profile, fmt.Sprintf("repository %s is claimed by rule %s (%s)", repository, claim.Rule.ID, claim.Rule.Conditions()), nil
}

// gitProbe is a path that every git host has: clone's first request.
const gitProbe = "/a/b.git/info/refs"

// findGitHosts lists the hosts whose clones would get a credential.
func (s *snapshot) findGitHosts() []string {
	var hosts []string
	for _, c := range s.logins {
		if c.rules == nil {
			continue
		}
		for _, pattern := range c.definition.Hosts {
			host, port, err := providers.SplitHost(pattern)
			if err != nil || port != 443 || strings.HasPrefix(host, "*") || slices.Contains(hosts, host) {
				continue
			}
			cred, ok := c.rules.Match(host, port, gitProbe)
			if !ok {
				continue
			}
			if remote, _ := cred.Inject.Remote(gitProbe); remote == host+"/a/b" {
				hosts = append(hosts, host)
			}
		}
	}
	slices.Sort(hosts)
	return hosts
}

func (s *snapshot) isGitHost(host string) bool {
	_, found := slices.BinarySearch(s.gitHosts, host)
	return found
}

// authorities are the names that the session's certificate authority may sign
// for: the hosts of the granted logins and of the whole catalogue, so that a
// login made while the session runs needs nothing new.
func (b *Broker) authorities(s *snapshot) (names []string, addrs []netip.Addr) {
	seen := map[string]bool{}
	add := func(pattern string) {
		host, _, err := providers.SplitHost(pattern)
		if err != nil {
			return
		}
		if addr, err := netip.ParseAddr(host); err == nil {
			addrs = append(addrs, addr)
			return
		}
		if !seen[host] {
			seen[host] = true
			names = append(names, host)
		}
	}
	for _, c := range s.logins {
		if c.definition != nil {
			for _, h := range c.definition.Hosts {
				add(h)
			}
		}
	}
	for at := range s.tokenHosts {
		add(at.host)
	}
	for _, catalog := range b.catalogs() {
		for _, e := range catalog.Index() {
			for _, h := range e.Hosts {
				add(h)
			}
		}
	}
	return names, addrs
}
