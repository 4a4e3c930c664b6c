package demo

import (
	"strings"
	"testing"

	"kb/internal/audit"
)

// goodReport is a report by hand of a demo in which all went well.
func goodReport() *report {
	r := &report{
		lines:   make([]audit.Event, 12),
		verdict: audit.Report{Lines: 12, Files: []audit.FileReport{{Status: audit.Intact}, {Status: audit.Intact}}},
	}
	r.sides[0] = sighting{
		side:      side{profile: "work", repository: "acme/api", account: account{login: "you-work", token: "forge_work_secret1"}, author: "You at Acme <you@acme.example>"},
		directory: "~/src/api", decided: "work", variable: "forge_placeholder_1",
		user:    reply{200, `{"login":"you-work"}`},
		private: reply{200, `{"full_name":"acme/api"}`},
		pushed:  "You at Acme <you@acme.example>", subject: commitMessage,
		output:      "forge_placeholder_1\n200\n",
		environment: []string{"PATH=/bin", "FORGE_TOKEN=forge_placeholder_1"},
	}
	r.sides[1] = sighting{
		side:      side{profile: "oss", repository: "you/parser", account: account{login: "you-oss", token: "forge_oss_secret2"}, author: "You <you@home.example>"},
		directory: "~/oss/parser", decided: "oss", variable: "forge_placeholder_2",
		user:    reply{200, `{"login":"you-oss"}`},
		private: reply{403, `{"error":"profile-not-granted","message":"no","fix":"run kb exec --also work -- …"}`},
		pushed:  "You <you@home.example>", subject: commitMessage,
		output:      "forge_placeholder_2\n200\n",
		environment: []string{"FORGE_TOKEN=forge_placeholder_2"},
	}
	at := func(i int, host, method, path, scheme string) {
		a := r.sides[i].account
		r.arrivals = append(r.arrivals, arrival{host, method, path, scheme, a.token, a.login})
	}
	for i, repository := range []string{"/acme/api.git/", "/you/parser.git/"} {
		at(i, gitHost, "GET", repository+"info/refs", "Basic")
		at(i, gitHost, "POST", repository+"git-upload-pack", "Basic")
		at(i, gitHost, "GET", repository+"info/refs", "Basic")
		at(i, gitHost, "POST", repository+"git-receive-pack", "Basic")
		at(i, apiHost, "GET", "/user", "Bearer")
	}
	at(0, apiHost, "GET", "/repos/acme/api", "Bearer")
	return r
}

func TestAGoodDemoPasses(t *testing.T) {
	if wrong := goodReport().wrong(); len(wrong) > 0 {
		t.Errorf("complains about a good demo: %q", wrong)
	}
}

// TestABrokenPromiseFailsTheDemo changes one thing that kb promises at a time.
func TestABrokenPromiseFailsTheDemo(t *testing.T) {
	find := func(r *report, path string) *arrival {
		for i := range r.arrivals {
			if r.arrivals[i].path == path {
				return &r.arrivals[i]
			}
		}
		t.Fatalf("no arrival at %s", path)
		return nil
	}
	for name, c := range map[string]struct {
		change func(*report)
		want   string // a part of the complaint
	}{
		"the agent holds the real token": {func(r *report) {
			s := &r.sides[0]
			s.variable, s.environment = s.account.token, []string{"FORGE_TOKEN=" + s.account.token}
		}, "holds the token of you-work"},
		"the agent holds the other's token": {func(r *report) { r.sides[0].variable = r.sides[1].account.token }, "holds the token of you-oss"},
		"the token is in another variable": {func(r *report) {
			r.sides[1].environment = append(r.sides[1].environment, "GH_TOKEN="+r.sides[1].account.token)
		}, "the environment in ~/oss/parser has the token of you-oss"},
		"a child printed a token":   {func(r *report) { r.sides[1].output += r.sides[0].account.token }, "printed the token of you-work"},
		"the agent has no variable": {func(r *report) { r.sides[0].variable = "" }, "did not print"},
		"one placeholder for both":  {func(r *report) { r.sides[1].variable = r.sides[0].variable }, "the same placeholder"},
		"the wrong profile":         {func(r *report) { r.sides[0].decided = "oss" }, `got profile "oss"`},
		"the API saw a placeholder": {func(r *report) { a := find(r, "/repos/acme/api"); a.token, a.login = "forge_placeholder_1", "" }, "arrived with a placeholder"},
		"git sent a placeholder": {func(r *report) {
			a := find(r, "/you/parser.git/info/refs")
			a.token, a.login = "forge_placeholder_2", ""
		}, "arrived with a placeholder"},
		"a request without a token": {func(r *report) { a := find(r, "/acme/api.git/info/refs"); a.token, a.login = "", "" }, "arrived without a credential"},
		"identities swapped in git": {func(r *report) { find(r, "/acme/api.git/git-upload-pack").login = "you-oss" }, "arrived as you-oss"},
		"identities swapped at push": {func(r *report) {
			*find(r, "/you/parser.git/git-receive-pack") = *find(r, "/acme/api.git/git-receive-pack")
		}, "not pushed as you-oss"},
		"identities swapped in the API": {func(r *report) {
			a, b := &r.sides[0], &r.sides[1]
			a.user, b.user = b.user, a.user
		}, `is "you-oss" instead of "you-work"`},
		"a fetch that was asked twice for who one is": {func(r *report) { r.arrivals = append(r.arrivals, *find(r, "/user")) }, "2 requests for /user"},
		"a wrong author":                {func(r *report) { r.sides[1].pushed = r.sides[0].author }, "pushed with author"},
		"nothing was pushed":            {func(r *report) { r.sides[0].subject = "Start" }, "acme/api was pushed"},
		"a refusal that did not happen": {func(r *report) { r.sides[1].private = reply{200, "{}"} }, "not a refusal by kb"},
		"a refusal by the host":         {func(r *report) { r.sides[1].private = reply{403, `{"message":"no"}`} }, "not a refusal by kb"},
		"a refused request that arrived": {func(r *report) {
			a := r.sides[1].account
			r.arrivals = append(r.arrivals, arrival{apiHost, "GET", privatePath, "Bearer", a.token, a.login})
		}, "/repos/acme/api arrived as you-oss"},
		"one's own repository refused": {func(r *report) { r.sides[0].private.status = 403 }, "refused its own repository"},
		"an audit that was changed":    {func(r *report) { r.verdict.Files[1].Status = audit.Broken }, "audit does not verify"},
		"an audit that misses lines":   {func(r *report) { r.verdict.Lines-- }, "audit does not verify"},
		"an audit that misses a file":  {func(r *report) { r.verdict.Files = r.verdict.Files[:1] }, "audit does not verify"},
	} {
		t.Run(name, func(t *testing.T) {
			r := goodReport()
			c.change(r)
			all := strings.Join(r.wrong(), "; ")
			if !strings.Contains(all, c.want) {
				t.Errorf("wrong() = %q, want a complaint with %q", all, c.want)
			}
			for _, s := range goodReport().sides {
				if strings.Contains(all, s.account.token) {
					t.Errorf("the complaint prints a token: %q", all)
				}
			}
		})
	}
}
