package broker

import (
	"fmt"
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
	as      string
	why     string
}

// choose decides which profile a request gets, within the session's set:
//
//  1. an annotation: the proxy user name kb.PROFILE, the header Kb-Profile;
//  2. a placeholder of a profile other than the session's own;
//  3. the repository that the request names, by the remote rules.
//
// None: the session's own. Two that differ: refused. A repository claimed by a
// rule of a profile outside the set is refused whatever else is said. This
// keeps honest work apart; it is no boundary against an agent, which may use
// every profile of its set.
func (s *Session) choose(snap *snapshot, r *proxy.RequestInfo, provider, repository string) (choice, *proxy.Refusal) {
	var claims []claim
	if name, ok := strings.CutPrefix(r.User, "kb."); ok {
		claims = append(claims, claim{profile: name, why: "proxy user name kb." + name})
	}
	if r.Profile != "" {
		claims = append(claims, claim{profile: r.Profile, why: "header Kb-Profile"})
	}
	as := r.Login
	for _, key := range s.placeholders.find(r.Header, r.Query) {
		if key.provider != provider {
			continue // a placeholder sent to another service's host is only text
		}
		switch {
		case as == "" || as == key.as:
			as = key.as
		case key.as != "":
			return choice{}, refuse(CodeConflict,
				fmt.Sprintf("two logins at %s are meant at once: %q and %q", provider, as, key.as), "name one login only")
		}
		if key.profile != s.own {
			claims = append(claims, claim{profile: key.profile, why: "its placeholder"})
		}
	}
	if repository != "" {
		owner, why, err := snap.repositoryOwner(repository)
		if err != nil {
			return choice{}, refuse(CodeConflict, err.Error(), "run kb rule ls and make one rule stronger")
		}
		if owner != "" {
			if !snap.granted[owner] {
				return choice{}, refuseNotGranted(owner, why)
			}
			claims = append(claims, claim{profile: owner, why: why})
		}
	}
	for _, c := range claims {
		if !snap.granted[c.profile] {
			return choice{}, refuseNotGranted(c.profile, "named by "+c.why)
		}
		if c.profile != claims[0].profile {
			return choice{}, refuseConflict(claims[0], c)
		}
	}
	if len(claims) > 0 {
		return choice{profile: claims[0].profile, as: as, why: claims[0].why}, nil
	}
	return choice{profile: s.own, as: as, why: "the session's own profile"}, nil
}
