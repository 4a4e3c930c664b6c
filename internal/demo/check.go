package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// wrong lists what a demo saw that is not what kb promises. The words go to a
// person and never hold a token.
func (r *report) wrong() []string {
	var out []string
	check := func(ok bool, format string, args ...any) {
		if !ok {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for i := range r.sides {
		s, other := &r.sides[i], &r.sides[1-i]
		check(s.decided == s.profile, "%s got profile %q instead of %q", s.directory, s.decided, s.profile)
		check(s.variable != "" && s.variable == environmentValue(s.environment, variable), "the agent in %s did not print the %s that it was given", s.directory, variable)
		check(s.variable != other.variable, "both agents hold the same placeholder")
		for _, secret := range []*sighting{s, other} {
			token := secret.account.token
			check(!strings.Contains(s.variable, token), "the agent in %s holds the token of %s", s.directory, secret.account.login)
			check(!strings.Contains(s.output, token), "the agent in %s printed the token of %s", s.directory, secret.account.login)
			check(!strings.Contains(strings.Join(s.environment, "\n"), token), "the environment in %s has the token of %s", s.directory, secret.account.login)
		}
		check(s.user.status == http.StatusOK && s.user.field("login") == s.account.login,
			"the API told the agent in %s that it is %q instead of %q", s.directory, s.user.field("login"), s.account.login)
		check(s.pushed == s.author && s.subject == commitMessage, "%s was pushed with author %q instead of %q", s.repository, s.pushed, s.author)
		check(len(r.of(s.account, apiHost, userPath)) == 1, "the API got %d requests for %s as %s, not one", len(r.of(s.account, apiHost, userPath)), userPath, s.account.login)
		check(r.push(s).login != "", "%s was not pushed as %s", s.repository, s.account.login)
	}
	work, oss := &r.sides[0], &r.sides[1]
	check(work.private.status == http.StatusOK, "the agent in %s was refused its own repository with status %d", work.directory, work.private.status)
	check(oss.private.status == http.StatusForbidden && oss.private.field("error") != "" && oss.private.field("fix") != "",
		"the agent in %s asked for %s and got status %d, not a refusal by kb", oss.directory, workRepository, oss.private.status)
	for _, a := range r.arrivals {
		placeholder := a.token == work.variable || a.token == oss.variable
		check(a.login != "" || !placeholder, "%s %s arrived with a placeholder", a.host, a.path)
		check(a.login != "" || placeholder, "%s %s arrived without a credential", a.host, a.path)
		owner := oss
		if strings.HasPrefix(a.path, "/"+workRepository) || a.path == privatePath {
			owner = work
		}
		check(a.path == userPath || a.login == "" || a.login == owner.account.login, "%s %s arrived as %s", a.host, a.path, a.login)
	}
	check(r.verdict.OK() && len(r.verdict.Files) == 2 && r.verdict.Lines == uint64(len(r.lines)), "the audit does not verify")
	return slices.Compact(out)
}

// of lists the arrivals with an account's own token at a place.
func (r *report) of(a account, host, path string) []arrival {
	var out []arrival
	for _, x := range r.arrivals {
		if x.host == host && x.path == path && x.token == a.token {
			out = append(out, x)
		}
	}
	return out
}

// push is how a side's push arrived; zero when it did not.
func (r *report) push(s *sighting) arrival {
	found := r.of(s.account, gitHost, "/"+s.repository+".git/"+receivePack)
	if len(found) != 1 {
		return arrival{}
	}
	return found[0]
}

// field is a text member of a JSON answer.
func (p reply) field(name string) string {
	var body map[string]any
	if json.Unmarshal([]byte(p.body), &body) != nil {
		return ""
	}
	text, _ := body[name].(string)
	return text
}

func environmentValue(environ []string, name string) string {
	for _, entry := range environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}
