package broker

import (
	"slices"

	"kb/internal/policy"
	"kb/vaultfile"
)

// rulesOf are lines of a vault as policy takes them.
func rulesOf(lines []vaultfile.Policy) []policy.Rule {
	rules := make([]policy.Rule, len(lines))
	for i := range lines {
		rules[i] = ruleOf(&lines[i])
	}
	return rules
}

func ruleOf(l *vaultfile.Policy) policy.Rule {
	return policy.Rule{
		ID: l.ID, Profile: l.Profile, Effect: policy.Effect(l.Effect), PerMinute: l.PerMinute, Provider: l.Provider,
		Methods: l.Methods, Host: l.Host, Path: l.Path, Repository: l.Repository, Git: l.Git, Mint: l.Mint,
	}
}

func lineOf(r *policy.Rule) vaultfile.Policy {
	return vaultfile.Policy{
		ID: r.ID, Profile: r.Profile, Effect: string(r.Effect), PerMinute: r.PerMinute, Provider: r.Provider,
		Methods: r.Methods, Host: r.Host, Path: r.Path, Repository: r.Repository, Git: r.Git, Mint: r.Mint,
	}
}

// compilePolicies are the lines of the granted profiles. A vault whose lines
// cannot be read is not opened; should one get here, nothing is allowed.
func compilePolicies(lines []vaultfile.Policy, granted map[string]bool) *policy.Set {
	rules := slices.DeleteFunc(rulesOf(lines), func(r policy.Rule) bool { return !granted[r.Profile] })
	set, err := policy.Compile(rules, grammar)
	if err != nil {
		return policy.Closed(err)
	}
	return set
}

// mayMint reports whether some granted profile's policy may let a request make
// a new credential.
func (s *snapshot) mayMint() bool {
	for name := range s.granted {
		if s.policy.Mints(name) {
			return true
		}
	}
	return false
}
