package profile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// drawRules draws rules that often meet drawQuery, so that ties, wins and
// misses all happen.
func drawRules(t *rapid.T) []Rule {
	one := rapid.Custom(func(t *rapid.T) Rule {
		return Rule{
			Profile: rapid.SampledFrom([]string{"work", "oss"}).Draw(t, "profile"),
			Remote: rapid.SampledFrom([]string{
				"", "", "github.com/acme/*", "github.com/acme/**", "github.com/**", "github.com/acme/api", "github.com/me/*",
				"*.com/acme/*", "git.acme.example/**", "github.com/a*/api", "github.com/ACME/api",
			}).Draw(t, "remote"),
			Dir:     rapid.SampledFrom([]string{"", "", "", "~/**", "~/src/**", "~/src/*", "/home/me/src/api", "~/oss/**", "/**"}).Draw(t, "dir"),
			User:    rapid.SampledFrom([]string{"", "", "me", "you"}).Draw(t, "user"),
			Machine: rapid.SampledFrom([]string{"", "", "laptop", "desk"}).Draw(t, "machine"),
			Agent:   rapid.SampledFrom([]string{"", "", "claude", "codex"}).Draw(t, "agent"),
		}
	})
	rules := rapid.SliceOfN(one, 0, 6).Draw(t, "rules")
	for _, r := range rules { // twins, for ties within a profile and between two
		switch rapid.IntRange(0, 3).Draw(t, "twin") {
		case 0:
			rules = append(rules, r)
		case 1:
			r.Profile = "oss"
			rules = append(rules, r)
		}
	}
	for i := range rules {
		rules[i].ID = fmt.Sprintf("r%d", i)
	}
	return rules
}

func drawQuery(t *rapid.T) Query {
	remotes := rapid.SampledFrom([][]string{
		nil, {"github.com/acme/api"}, {"github.com/me/api", "github.com/acme/api"}, {"git.acme.example/x"}, {"github.com/Acme/API"},
	}).Draw(t, "remotes")
	return at(rapid.SampledFrom([]string{"/home/me/src/api", "/home/me/oss/x", "/srv/x"}).Draw(t, "dir"), remotes...)
}

// answer is what a caller acts on.
func answer(m Match, err error) string {
	var tied *AmbiguousError
	if errors.As(err, &tied) {
		return fmt.Sprintf("tie %v %+v %s", tied.Profiles, tied.Rules, m.Reason)
	}
	return fmt.Sprintf("%s %+v %q %v", m.Profile, m.Rule, m.Reason, err)
}

// The order in which a vault happens to keep its rules decides nothing.
func TestOrderOfRulesDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, q := drawRules(t), drawQuery(t)
		want := answer(Resolve(q, twoProfiles, rules))
		shuffled := rapid.Permutation(rules).Draw(t, "shuffled")
		if got := answer(Resolve(q, twoProfiles, shuffled)); got != want {
			t.Fatalf("shuffled: %s\nbefore:   %s", got, want)
		}
	})
}

// A rule that does not hold here changes nothing here, and neither does one
// that holds but is weaker.
func TestUnrelatedRulesDoNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, q := drawRules(t), drawQuery(t)
		m, err := Resolve(q, twoProfiles, rules)
		want := answer(m, err)
		unrelated := rapid.SampledFrom([]Rule{
			{ID: "u", Profile: "oss", Remote: "github.com/stranger/*"},
			{ID: "u", Profile: "oss", Dir: "/nowhere/**", Remote: "github.com/**"},
			{ID: "u", Profile: "oss", Remote: "github.com/acme/api", User: "nobody"},
			{ID: "u", Profile: "oss", Agent: "other", Machine: "laptop"},
		}).Draw(t, "unrelated")
		if got := answer(Resolve(q, twoProfiles, append(slices.Clone(rules), unrelated))); got != want {
			t.Fatalf("with an unrelated rule: %s\nbefore: %s", got, want)
		}
		if err == nil && m.Rule != nil && m.Rule.conditions() > 1 {
			weaker := Rule{ID: "weak", Profile: "oss", User: "me"}
			if got := answer(Resolve(q, twoProfiles, append(slices.Clone(rules), weaker))); got != want {
				t.Fatalf("with a weaker rule: %s\nbefore: %s", got, want)
			}
		}
	})
}

// The winner is one of the rules that hold, no other that holds has more
// conditions, and a single rule that holds always wins.
func TestTheStrongestWins(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, q := drawRules(t), drawQuery(t)
		m, err := Resolve(q, twoProfiles, rules)
		for _, r := range m.Matched {
			if m.Rule != nil && r.conditions() > m.Rule.conditions() {
				t.Fatalf("%+v won over %+v", m.Rule, r)
			}
			alone, aerr := Resolve(q, twoProfiles, []Rule{r})
			if aerr != nil || alone.Profile != r.Profile {
				t.Fatalf("%+v is said to hold, but alone gives %+v, %v", r, alone, aerr)
			}
		}
		if err == nil && !reflect.DeepEqual(*m.Rule, m.Matched[0]) {
			t.Fatalf("%+v won, %+v is first", m.Rule, m.Matched[0])
		}
		if (len(m.Matched) == 0) != errors.Is(err, ErrNoMatch) {
			t.Fatalf("%d rules hold, but %v", len(m.Matched), err)
		}
	})
}

// What a session is by its remote, its requests to that remote are too: a
// session never refuses its own repository.
func TestClaimAgreesWithResolve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules, q := drawRules(t), drawQuery(t)
		if len(q.Workspace.Remotes) == 0 {
			return
		}
		var remoteRules []Rule
		for _, r := range rules {
			if r.Remote != "" {
				remoteRules = append(remoteRules, r)
			}
		}
		m, err := Resolve(q, twoProfiles, remoteRules)
		claim, cerr := CompileRemotes(q, remoteRules).Claim(q.Workspace.Remotes[0].Normal)
		switch {
		case claim.Elsewhere || errors.Is(err, ErrNoMatch):
			if !errors.Is(err, ErrNoMatch) {
				t.Fatalf("claimed elsewhere though %+v holds", m.Rule)
			}
		case (err == nil) != (cerr == nil) || err == nil && claim.Profile != m.Profile:
			t.Fatalf("resolves to %s, claims %+v, %v", answer(m, err), claim, cerr)
		}
	})
}

// FuzzMatchRemote: no pattern that ValidateRule accepts can be made to match a
// host that it does not name, or to panic.
func FuzzMatchRemote(f *testing.F) {
	f.Add("github.com/acme/*", "github.com/acme/api")
	f.Add("*.acme.example/**", "git.acme.example/x/y")
	f.Add(`github.com/a\*[a-z]?`, "github.com/a*bc")
	f.Fuzz(func(t *testing.T, pattern, normal string) {
		if ValidateRule(Rule{Profile: "work", Remote: pattern}) != nil {
			return
		}
		n, err := NormalRemote("https://" + normal)
		if err != nil || !matchRemote(pattern, n.String()) {
			return
		}
		slash := slices.Index([]byte(pattern), '/')
		if host := pattern[:slash]; literalLen(host) == len(host) && n.String()[:slash+1] != host+"/" {
			t.Errorf("%q matches %q", pattern, n)
		}
	})
}
