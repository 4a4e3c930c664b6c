package profile

import (
	"errors"
	"slices"
	"testing"
)

func TestClaim(t *testing.T) {
	q := at("/home/me/src/api", "github.com/acme/api")
	for name, c := range map[string]struct {
		repository string
		rules      []Rule
		want       string // profile and rule, "elsewhere" added; "" for ErrNoMatch, "tie"
	}{
		"no rules":        {"github.com/acme/api", nil, ""},
		"by organisation": {"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, "work a"},
		"exact":           {"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/api"}}, "work a"},
		"by host":         {"gitlab.acme.example/a/b/c", []Rule{{ID: "a", Profile: "work", Remote: "gitlab.acme.example/**"}}, "work a"},
		"by host's name":  {"git.acme.example/a", []Rule{{ID: "a", Profile: "work", Remote: "*.acme.example/**"}}, "work a"},
		"wildcard segment": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/a*/api"}}, "work a",
		},
		"any case on github":   {"github.com/ACME/Api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/Acme/*"}}, "work a"},
		"case elsewhere":       {"git.acme.example/ACME/Api", []Rule{{ID: "a", Profile: "work", Remote: "git.acme.example/Acme/*"}}, ""},
		"another host":         {"github.com.evil.example/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/**"}}, ""},
		"an org that starts":   {"github.com/acmeevil/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, ""},
		"no repository":        {"github.com", []Rule{{ID: "a", Profile: "work", Remote: "github.com/**"}}, ""},
		"directory rules mute": {"github.com/other/x", []Rule{{ID: "a", Profile: "work", Dir: "~/**"}}, ""},
		"a segment that is the whole path": {
			"git.acme.example/api", []Rule{{ID: "a", Profile: "work", Remote: "git.acme.example/api"}}, "work a",
		},
		"a/** covers a": {
			"git.acme.example/api", []Rule{{ID: "a", Profile: "work", Remote: "git.acme.example/api/**"}}, "work a",
		},
		"longer": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "oss", Remote: "github.com/acme/api"}}, "oss b",
		},
		"more conditions": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/api"}, {ID: "b", Profile: "oss", Remote: "github.com/**", User: "me"}}, "oss b",
		},
		"another user's rule": {
			"github.com/acme/api", []Rule{{ID: "b", Profile: "oss", Remote: "github.com/**", User: "you"}}, "",
		},
		"tie": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "oss", Remote: "github.com/acme/*"}}, "tie",
		},
		"tie across the index": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/a?i"}, {ID: "b", Profile: "oss", Remote: "github.com/?cme/api"}}, "tie",
		},
		"tie below the strongest": {
			"github.com/acme/api", []Rule{
				{ID: "a", Profile: "work", Remote: "github.com/acme/*"},
				{ID: "b", Profile: "oss", Remote: "github.com/acme/*"},
				{ID: "c", Profile: "oss", Remote: "github.com/acme/api"},
			}, "oss c",
		},
		"the session's own directory": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "oss", Remote: "github.com/acme/*"}, {ID: "b", Profile: "work", Remote: "github.com/acme/*", Dir: "~/src/**"}}, "work b",
		},
		"another directory loses to any rule": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "oss", Remote: "github.com/**"}, {ID: "b", Profile: "work", Remote: "github.com/acme/*", Dir: "~/client/**"}}, "oss a",
		},
		"another directory, the only word": {
			"github.com/acme/api", []Rule{{ID: "b", Profile: "work", Remote: "github.com/acme/*", Dir: "~/client/**"}}, "work b elsewhere",
		},
		"two other directories": {
			"github.com/acme/api", []Rule{{ID: "a", Profile: "oss", Remote: "github.com/acme/*", Dir: "~/one/**"}, {ID: "b", Profile: "work", Remote: "github.com/acme/*", Dir: "~/two/**"}}, "tie",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // and in the other order
				claim, err := CompileRemotes(q, c.rules).Claim(c.repository)
				got := claim.Profile
				if err == nil {
					got += " " + claim.Rule.ID
				}
				if claim.Elsewhere {
					got += " elsewhere"
				}
				var tied *AmbiguousError
				if errors.As(err, &tied) {
					got = "tie"
					if !slices.Equal(tied.Profiles, []string{"oss", "work"}) || len(tied.Rules) != 2 {
						t.Errorf("tie of %+v", tied)
					}
				} else if err != nil && !errors.Is(err, ErrNoMatch) {
					t.Error(err)
				}
				if got != c.want {
					t.Errorf("got %q, want %q", got, c.want)
				}
				slices.Reverse(c.rules)
			}
		})
	}
}

// Claim is on the path of every request.
func TestClaimAllocatesNothing(t *testing.T) {
	_, rules := manyRules(1000)
	c := CompileRemotes(at("/x"), rules)
	if n := testing.AllocsPerRun(100, func() { _, _ = c.Claim("github.com/acme/api") }); n != 0 {
		t.Errorf("%v allocations a claim", n)
	}
}
