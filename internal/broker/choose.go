package broker

import (
	"fmt"
	"slices"
	"strings"

	"kb/proxy"
)

// claim is one sign of which profile a request is meant for.
type claim struct {
	profile string
	why     string
}

// choice is what a request gets.
type choice struct {
	profile string
	service service
	as      string
	why     string
}

// choose decides which profile a request gets, within the session's set:
//
//  1. an annotation: the proxy user name kb.PROFILE, the header Kb-Profile;
//  2. a placeholder of a profile other than the session's own;
//  3. the repository that the request names, by the remote rules.
//
// A profile can be named without its vault where that is unique; a name that
// two vaults have is refused. None: the session's own. Two that differ: refused. A repository claimed by a
// rule of a profile outside the set is refused whatever else is said. This
// keeps honest work apart; it is no boundary against an agent, which may use
// every profile of its set.
func (s *Session) choose(snap *snapshot, r *proxy.RequestInfo, services []service) (choice, *proxy.Refusal) {
	var claims []claim
	annotated := func(given, why string) *proxy.Refusal {
		name, err := snap.names.find(given)
		if err != nil {
			return refuse(CodeConflict, err.Error(), "name the profile with its vault")
		}
		claims = append(claims, claim{profile: name, why: why})
		return nil
	}
	if name, ok := strings.CutPrefix(r.User, "kb."); ok {
		if refusal := annotated(name, "proxy user name kb."+name); refusal != nil {
			return choice{}, refusal
		}
	}
	if r.Profile != "" {
		if refusal := annotated(r.Profile, "header Kb-Profile"); refusal != nil {
			return choice{}, refusal
		}
	}
	as := r.Login
	for _, key := range s.placeholders.find(r.Header, r.Query) {
		if !slices.ContainsFunc(services, func(at service) bool { return at.provider == key.provider && at.vault == vaultOf(key.profile) }) {
			continue // a placeholder sent to another service's host is only text
		}
		switch {
		case as == "" || as == key.as:
			as = key.as
		case key.as != "":
			return choice{}, refuse(CodeConflict,
				fmt.Sprintf("two logins at %s are meant at once: %q and %q", key.provider, as, key.as), "name one login only")
		}
		if key.profile != s.own {
			claims = append(claims, claim{profile: key.profile, why: "its placeholder"})
		}
	}
	for i, at := range services {
		if at.repository == "" || i > 0 && at.repository == services[0].repository {
			continue
		}
		owner, why, err := snap.repositoryOwner(at.repository)
		if err != nil {
			return choice{}, refuse(CodeConflict, err.Error(), "run kb rule ls and make one rule stronger")
		}
		if owner != "" {
			if !snap.granted[owner] {
				return choice{}, refuseNotGranted(snap.names.show(owner), why)
			}
			claims = append(claims, claim{profile: owner, why: why})
		}
	}
	for _, c := range claims {
		if !snap.granted[c.profile] {
			return choice{}, refuseNotGranted(snap.names.show(c.profile), "named by "+c.why)
		}
		if c.profile != claims[0].profile {
			a, b := claims[0], c
			a.profile, b.profile = snap.names.show(a.profile), snap.names.show(b.profile)
			return choice{}, refuseConflict(a, b)
		}
	}
	chosen := choice{profile: s.own, as: as, why: "the session's own profile"}
	if len(claims) > 0 {
		chosen.profile, chosen.why = claims[0].profile, claims[0].why
	}
	chosen.service = services[0] // one that says what is missing, if the profile's vault has none
	for _, at := range services {
		if at.vault == vaultOf(chosen.profile) {
			chosen.service = at
		}
	}
	return chosen, nil
}
