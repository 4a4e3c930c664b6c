package profile

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateRule(t *testing.T) {
	rule := func(change func(r *Rule)) Rule {
		r := Rule{ID: "r1", Profile: "work"}
		change(&r)
		return r
	}
	remote := func(p string) Rule { return rule(func(r *Rule) { r.Remote = p }) }
	dir := func(p string) Rule { return rule(func(r *Rule) { r.Dir = p }) }
	for _, c := range []struct {
		rule Rule
		want string // part of the error; "" for a good rule
	}{
		{remote("github.com/acme/*"), ""},
		{remote("github.com/Acme/API"), ""},
		{remote("gitlab.acme.dev/**"), ""},
		{remote("*.acme.example/**"), ""},
		{remote("*/acme/*"), ""},
		{remote("git.acme.example:2222/**"), ""},
		{remote("github-work/acme/*"), ""},
		{remote("[::1]/x"), `write \[::1\]/x`},
		{remote(`\[::1\]/x`), ""},
		{remote("dev.azure.com/acme/**"), ""},
		{remote("https://github.com/acme/*"), "write github.com/acme/*"},
		{remote("https://me:pw@github.com/acme/api.git"), "write github.com/acme/api"},
		{remote("git@github.com:acme/*"), "write github.com/acme/*"},
		{remote("git@github.com:acme/api.git"), "write github.com/acme/api"},
		{remote("github.com:acme/*"), "write github.com/acme/*"},
		{remote("github.com:443/acme/*"), "write github.com/acme/*"},
		{remote("github.com"), "write github.com/**"},
		{remote("github.com/"), "write github.com/**"},
		{remote("GitHub.com/acme/*"), "write github.com/acme/*"},
		{remote("github.com/acme/api.git"), "write github.com/acme/api"},
		{remote("ssh.github.com/acme/*"), "write github.com/acme/*"},
		{remote("github.com//acme"), "empty path segment"},
		{remote("github.com/acme/"), "empty path segment"},
		{remote("/srv/git/*"), "use a dir condition"},
		{remote("~/work/**"), "use a dir condition"},
		{remote("**/acme/*"), "write * for any host"},
		{remote("github.com/acme**"), "stand alone"},
		{remote("github.com/{acme,beta}/*"), "one rule for each"},
		{remote("github.com/[acme"), "left open"},
		{remote(`github.com/acme\`), "left open"},
		{remote("github.com/../acme"), "holds .."},
		{remote("github.com/acme\n"), "control"},
		{remote("github.com/\u202eemca"), "control"},
		{remote("github.com/" + strings.Repeat("a", maxPattern)), "too long"},
		{remote("github.com/" + strings.Repeat("*a", 40)), "too many"},

		{dir("~/work/**"), ""},
		{dir("~"), ""},
		{dir("/srv/git"), ""},
		{dir("~/a b/*"), ""},
		{dir("~/work/"), "write ~/work/**"},
		{dir("work/**"), "start it with / or ~/"},
		{dir("~me/work/**"), "another user's home"},
		{dir("~/work/../x"), "holds .."},
		{dir("~/./x"), "holds ."},
		{dir("~//x"), "empty path segment"},
		{dir("~/work**"), "stand alone"},

		{rule(func(r *Rule) {}), "are missing"},
		{rule(func(r *Rule) { r.User = "me" }), ""},
		{rule(func(r *Rule) { r.User = "m*" }), "wildcard"},
		{rule(func(r *Rule) { r.Machine = "laptop" }), ""},
		{rule(func(r *Rule) { r.Machine = "laptop.acme.example" }), "write laptop"},
		{rule(func(r *Rule) { r.Agent = "claude" }), ""},
		{rule(func(r *Rule) { r.Agent = "/usr/bin/claude" }), "write claude"},
		{rule(func(r *Rule) { r.Agent = "cl\x1baude" }), "control"},
		{rule(func(r *Rule) { r.User, r.Profile = "me", "Work" }), "a-z"},
		{rule(func(r *Rule) { r.User, r.Profile = "me", "none" }), "no profile"},
		{rule(func(r *Rule) { r.User, r.ID = "me", "" }), ""},
		{rule(func(r *Rule) { r.User, r.ID = "me", "a b" }), "a-z"},
	} {
		err := ValidateRule(c.rule)
		var invalid *InvalidError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%+v: %v", c.rule, err)
		case c.want != "" && !errors.As(err, &invalid):
			t.Errorf("%+v: accepted", c.rule)
		case c.want != "" && !strings.HasSuffix(invalid.Why, c.want) && (strings.HasPrefix(c.want, "write ") || !strings.Contains(invalid.Why, c.want)):
			t.Errorf("%+v: %q, want %q", c.rule, invalid.Why, c.want)
		}
		if err != nil && strings.Contains(err.Error(), ":pw@") {
			t.Errorf("error shows a password: %v", err)
		}
	}
}

// What an error tells the user to write must itself be good.
func TestRemoteAdviceIsValid(t *testing.T) {
	for _, p := range []string{
		"https://github.com/acme/*", "https://github.com:443/acme/*", "https://GitHub.com/acme/api.git/", "ssh://git@ssh.github.com:443/acme/*",
		"git@github.com:acme/api.git", "github.com:acme/*", "github.com", "GitHub.com/Acme/*", "github.com/acme/api.git", "ssh.github.com/acme/*",
	} {
		var invalid *InvalidError
		seen := p
		for range 4 { // one step at a time is enough, but it must lead there
			err := ValidateRule(Rule{Profile: "work", Remote: seen})
			if err == nil {
				break
			}
			if !errors.As(err, &invalid) {
				t.Fatal(err)
			}
			_, advice, ok := strings.Cut(invalid.Why, "write ")
			if !ok || advice == seen {
				t.Fatalf("%q: no way on from %q", p, invalid.Why)
			}
			seen = advice
		}
		if err := ValidateRule(Rule{Profile: "work", Remote: seen}); err != nil {
			t.Errorf("%q leads to %q: %v", p, seen, err)
		}
	}
}

func TestValidateProfile(t *testing.T) {
	for _, c := range []struct {
		profile Profile
		field   string // the field that is wrong; "" for a good profile
	}{
		{Profile{Name: "work"}, ""},
		{Profile{Name: "0"}, ""},
		{Profile{Name: "a.b_c-d"}, ""},
		{Profile{Name: strings.Repeat("a", 64)}, ""},
		{Profile{Name: strings.Repeat("a", 65)}, "name"},
		{Profile{}, "name"},
		{Profile{Name: "Work"}, "name"},
		{Profile{Name: "-work"}, "name"},
		{Profile{Name: "wörk"}, "name"},
		{Profile{Name: "a/b"}, "name"},
		{Profile{Name: "none"}, "name"},
		{Profile{Name: "work", GitName: "Ada Ångström", GitEmail: "ada@acme.example", SigningKey: "ssh-ed25519 AAAA", Also: []string{"oss"}, Egress: "listed", Expect: map[string]string{"github": "ada"}}, ""},
		{Profile{Name: "work", GitName: "a\nb"}, "git name"},
		{Profile{Name: "work", GitName: "Ada <ada@acme.example>"}, "git name"},
		{Profile{Name: "work", GitEmail: "a\x00"}, "git email"},
		{Profile{Name: "work", SigningKey: "a\rb"}, "signing key"},
		{Profile{Name: "work", Also: []string{"work"}}, "also"},
		{Profile{Name: "work", Also: []string{"O"}}, "also"},
		{Profile{Name: "work", Egress: "closed"}, "egress"},
		{Profile{Name: "work", Expect: map[string]string{"github": ""}}, "expect"},
		{Profile{Name: "work", Expect: map[string]string{"Git": "x"}}, "expect"},
	} {
		err := ValidateProfile(c.profile)
		var invalid *InvalidError
		if c.field == "" && err != nil || c.field != "" && (!errors.As(err, &invalid) || invalid.Field != c.field) {
			t.Errorf("%+v: %v, want a complaint about %q", c.profile, err, c.field)
		}
	}
}
