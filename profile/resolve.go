package profile

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// Resolve decides which profile an agent gets that starts as q says. The order
// of rules and of profiles does not matter.
//
// The error is ErrNoMatch when nobody is to be had (the Match then still says
// in Reason what was looked at), *AmbiguousError for a tie between profiles,
// *UnknownProfileError when what decides names a profile that is not among
// profiles.
func Resolve(q Query, profiles []Profile, rules []Rule) (Match, error) {
	var held []candidate
	names := primaryNames(&q.Workspace)
	dirs := newDirMatcher(&q)
	for i := range rules {
		r := &rules[i]
		if !r.holdsFor(&q) {
			continue
		}
		c := candidate{rule: r}
		if r.Remote != "" {
			if c.remote = firstMatch(r.Remote, names); c.remote == "" {
				continue
			}
		}
		if r.Dir != "" {
			if c.dir = dirs.match(r.Dir); c.dir.how == dirNone {
				continue
			}
		}
		if c.conditions = r.conditions(); c.conditions == 0 {
			continue
		}
		c.remoteW = weigh(r.Remote)
		held = append(held, c)
	}
	m := Match{Matched: sortCandidates(held)}
	if q.Explicit != "" {
		m.Profile = q.Explicit
		m.Reason = "profile " + q.Explicit + " was named by the user"
		return m, known(q.Explicit, nil, profiles)
	}
	if len(held) == 0 {
		m.Profile = q.Default
		m.Reason = "no rule matches " + standing(&q, names)
		if q.Default == "" {
			m.Reason += ", and there is no default profile"
			return m, fmt.Errorf("resolve %q: %w", q.Workspace.Dir, ErrNoMatch)
		}
		m.Reason += "; " + q.Default + " is the default profile"
		return m, known(q.Default, nil, profiles)
	}
	if err := tie(held, &q); err != nil {
		m.Reason = err.Error()
		return m, err
	}
	best := held[0]
	rule := *best.rule
	m.Profile, m.Rule, m.Remote = rule.Profile, &rule, best.remote
	m.Reason = best.reason(&q)
	return m, known(rule.Profile, &rule, profiles)
}

// candidate is a rule whose conditions hold, and how strong it is.
type candidate struct {
	rule       *Rule
	conditions int
	remote     string // the normal form that matched
	remoteW    weight
	dir        dirHold
	elsewhere  bool // in a Claim: the directory condition does not hold
}

// stronger orders candidates, the strongest first; 0 is a tie. A condition
// without a pattern (user, machine, agent) counts as the shortest pattern.
func stronger(a, b candidate) int {
	return cmp.Or(
		cmp.Compare(b.conditions, a.conditions),
		cmpBool(b.rule.Remote != "", a.rule.Remote != ""),
		b.remoteW.compare(a.remoteW),
		cmpBool(b.rule.Dir != "", a.rule.Dir != ""),
		cmp.Compare(b.dir.how, a.dir.how),
		b.dir.weight.compare(a.dir.weight),
	)
}

func cmpBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// sortCandidates sorts in place, strongest first and among equals by profile
// and id, and returns copies of the rules in that order.
func sortCandidates(cs []candidate) []Rule {
	sort.Slice(cs, func(i, j int) bool {
		return cmp.Or(stronger(cs[i], cs[j]), compareRules(cs[i].rule, cs[j].rule)) < 0
	})
	var rules []Rule
	for _, c := range cs {
		rules = append(rules, *c.rule)
	}
	return rules
}

func compareRules(a, b *Rule) int {
	return cmp.Or(
		strings.Compare(a.Profile, b.Profile), strings.Compare(a.ID, b.ID),
		strings.Compare(a.Remote, b.Remote), strings.Compare(a.Dir, b.Dir),
	)
}

// tie returns an *AmbiguousError if sorted starts with equals of two profiles.
func tie(sorted []candidate, q *Query) error {
	n := 1
	for n < len(sorted) && stronger(sorted[0], sorted[n]) == 0 {
		n++
	}
	if sorted[0].rule.Profile == sorted[n-1].rule.Profile { // sorted by profile
		return nil
	}
	e := &AmbiguousError{Remote: sorted[0].remote}
	if sorted[0].rule.Dir != "" {
		e.Dir = q.Workspace.Dir
	}
	for _, c := range sorted[:n] {
		e.Rules = append(e.Rules, *c.rule)
		e.Profiles = append(e.Profiles, c.rule.Profile)
	}
	e.Profiles = slices.Compact(e.Profiles)
	return e
}

func known(name string, rule *Rule, profiles []Profile) error {
	for i := range profiles {
		if profiles[i].Name == name {
			return nil
		}
	}
	return &UnknownProfileError{Name: name, Rule: rule}
}

// conditions counts what a rule demands.
func (r *Rule) conditions() int {
	n := 0
	for _, s := range [...]string{r.Remote, r.Dir, r.User, r.Machine, r.Agent} {
		if s != "" {
			n++
		}
	}
	return n
}

// Conditions says what a rule demands: "remote github.com/acme/*, user me".
func (r Rule) Conditions() string {
	var parts []string
	for _, c := range [...][2]string{
		{"remote", r.Remote}, {"dir", r.Dir}, {"user", r.User}, {"machine", r.Machine}, {"agent", r.Agent},
	} {
		if c[1] != "" {
			parts = append(parts, c[0]+" "+c[1])
		}
	}
	if parts == nil {
		return "no conditions"
	}
	return strings.Join(parts, ", ")
}

// holdsFor reports whether the conditions hold that need no looking up. Host
// names compare without case and domain: macOS and DHCP change both.
func (r *Rule) holdsFor(q *Query) bool {
	if r.User != "" && r.User != q.User || r.Agent != "" && r.Agent != q.Agent {
		return false
	}
	if r.Machine == "" {
		return true
	}
	machine, _, _ := strings.Cut(q.Machine, ".")
	return strings.EqualFold(r.Machine, machine)
}

// primaryNames are the normal forms by which rules may know the primary
// remote: where it pushes, if that is elsewhere; else as configured and as
// insteadOf rules and host aliases make it.
func primaryNames(w *Workspace) []string {
	r, ok := w.Remote(w.Primary)
	switch {
	case !ok || w.Primary == "":
		return nil
	case r.Push != "":
		return []string{r.Push}
	case r.Normal == "" || r.Normal == r.NormalResolved:
		if r.NormalResolved == "" {
			return nil
		}
		return []string{r.NormalResolved}
	case r.NormalResolved == "":
		return []string{r.Normal}
	}
	return []string{r.Normal, r.NormalResolved}
}

func firstMatch(pattern string, names []string) string {
	for _, n := range names {
		if matchRemote(pattern, n) {
			return n
		}
	}
	return ""
}

func standing(q *Query, names []string) string {
	if len(names) > 0 {
		return "remote " + strings.Join(names, " or ") + " or directory " + q.Workspace.Dir
	}
	return "directory " + q.Workspace.Dir
}

func (c *candidate) reason(q *Query) string {
	r := c.rule
	var held []string
	if r.Remote != "" {
		held = append(held, "remote "+c.remote)
	}
	if r.Dir != "" {
		if c.dir.how == dirMain {
			held = append(held, "main worktree "+q.Workspace.MainRoot)
		} else {
			held = append(held, "directory "+q.Workspace.Dir)
		}
	}
	if r.User != "" {
		held = append(held, "user "+q.User)
	}
	if r.Machine != "" {
		held = append(held, "machine "+q.Machine)
	}
	if r.Agent != "" {
		held = append(held, "agent "+q.Agent)
	}
	pattern := r.Conditions()
	if len(held) == 1 && r.Remote+r.Dir != "" {
		pattern = r.Remote + r.Dir
	}
	verb := " matches rule "
	if len(held) > 1 {
		verb = " match rule "
	}
	return strings.Join(held, ", ") + verb + r.ID + " (" + pattern + ")"
}
