package profile

import (
	"slices"
	"sort"
	"strings"
)

// Remotes answers, for the requests of one session, whose a repository is. It
// is immutable and safe for concurrent use.
//
// The conditions other than the remote are facts of the session, decided once
// from its Query: the same rules hold for its requests that hold for itself.
// One case is left, a rule that wants a remote *and* a directory where the
// session does not stand. It takes no part while any other rule claims the
// repository. When none does, its profile is the only one that was ever named
// for this repository, so it claims it all the same (Claim.Elsewhere): the
// session's own identity would be a guess, and a broker that refuses what
// another profile claims then refuses.
type Remotes struct {
	hosts map[string][]candidate // by host/first segment, in folded case, or by host
	any   []candidate            // with a wildcard in the host
}

// Claim says whose a repository is.
type Claim struct {
	Profile   string
	Rule      Rule
	Elsewhere bool // the rule's directory is not the session's
}

// CompileRemotes prepares the rules that speak of remotes for the session that
// q describes. q.Explicit and q.Default say nothing about repositories.
func CompileRemotes(q Query, rules []Rule) *Remotes {
	c := &Remotes{hosts: make(map[string][]candidate)}
	dirs := newDirMatcher(&q)
	for _, r := range rules {
		if r.Remote == "" || !r.holdsFor(&q) {
			continue
		}
		e := candidate{rule: &r, conditions: r.conditions(), remoteW: weigh(r.Remote)}
		if r.Dir != "" {
			e.dir = dirs.match(r.Dir)
			e.elsewhere = e.dir.how == dirNone
		}
		if key, ok := patternKey(r.Remote); ok {
			c.hosts[key] = append(c.hosts[key], e)
		} else {
			c.any = append(c.any, e)
		}
	}
	return c
}

// patternKey is what normal forms that match the pattern must start with: host
// and first segment, or the host alone. It is false if a wildcard comes first.
func patternKey(pattern string) (string, bool) {
	fixed := pattern[:literalLen(pattern)]
	host, rest, ok := strings.Cut(fixed, "/")
	if !ok {
		return "", false
	}
	host = strings.ToLower(host)
	seg, _, ok := strings.Cut(rest, "/")
	if !ok {
		return host, true
	}
	return FoldRemote(host + "/" + seg), true
}

// Claim says whose the repository with this normal form is. The error is
// ErrNoMatch if no rule speaks of it, *AmbiguousError if rules of two profiles
// do, equally strong.
func (c *Remotes) Claim(normal string) (Claim, error) {
	normal = FoldRemote(normal)
	host, rest, ok := strings.Cut(normal, "/")
	if !ok {
		return Claim{}, ErrNoMatch
	}
	var s search
	segment, _, _ := strings.Cut(rest, "/")
	s.look(c.hosts[normal[:len(host)+1+len(segment)]], normal)
	s.look(c.hosts[host], normal)
	s.look(c.any, normal)
	if s.best == nil {
		return Claim{}, ErrNoMatch
	}
	if s.tied {
		return Claim{}, c.ambiguous(s.best, normal)
	}
	return Claim{Profile: s.best.rule.Profile, Rule: *s.best.rule, Elsewhere: s.best.elsewhere}, nil
}

// search keeps the strongest of the candidates that match.
type search struct {
	best *candidate
	tied bool // another profile's candidate is as strong
}

func (s *search) look(cs []candidate, normal string) {
	for i := range cs {
		c := &cs[i]
		if !matchRemote(c.rule.Remote, normal) {
			continue
		}
		if s.best == nil {
			s.best = c
			continue
		}
		switch d := claimOrder(c, s.best); {
		case d < 0:
			s.best, s.tied = c, false
		case d == 0 && c.rule.Profile != s.best.rule.Profile:
			s.tied = true
		}
	}
}

// claimOrder is stronger, but that a rule whose directory is elsewhere comes
// after every other.
func claimOrder(a, b *candidate) int {
	if a.elsewhere != b.elsewhere {
		return cmpBool(a.elsewhere, b.elsewhere)
	}
	return stronger(*a, *b)
}

func (c *Remotes) ambiguous(best *candidate, normal string) error {
	e := &AmbiguousError{Remote: normal}
	add := func(cs []candidate) {
		for i := range cs {
			if matchRemote(cs[i].rule.Remote, normal) && claimOrder(&cs[i], best) == 0 {
				e.Rules = append(e.Rules, *cs[i].rule)
			}
		}
	}
	for _, cs := range c.hosts {
		add(cs)
	}
	add(c.any)
	sort.Slice(e.Rules, func(i, j int) bool { return compareRules(&e.Rules[i], &e.Rules[j]) < 0 })
	for _, r := range e.Rules {
		e.Profiles = append(e.Profiles, r.Profile)
	}
	e.Profiles = slices.Compact(e.Profiles)
	return e
}
