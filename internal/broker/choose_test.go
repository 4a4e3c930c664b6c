package broker

import (
	"net/http"
	"strings"
	"testing"

	"kb/profile"
	"kb/vaultfile"
)

// TestWhichCredentialARequestGets walks decision 2 of docs/architecture.md.
func TestWhichCredentialARequestGets(t *testing.T) {
	f := newFixture(t)
	bot := "ghp_" + strings.Repeat("b", 36)
	f.login("work", "github", "bot", bot)
	alone := f.start(f.workDir)
	both := f.start(f.workDir, "oss")

	bearer := func(variable string, s *Session) http.Header {
		v := value(s, variable)
		if v == "" {
			t.Fatalf("the child has no %s", variable)
		}
		return http.Header{"Authorization": {"Bearer " + v}}
	}
	named := func(name, v string) http.Header { return http.Header{name: {v}} }
	const api = "https://api.github.com"
	cases := []struct {
		name    string
		session *Session
		user    string
		path    string
		header  http.Header
		token   string // "" means refused
		code    string
	}{
		{"nothing said", alone, "", "/user", nil, f.workToken, ""},
		{"any string in its place", alone, "", "/user", named("Authorization", "token nonsense"), f.workToken, ""},
		{"own placeholder says nothing", both, "", "/repos/libre/tool", bearer("GITHUB_TOKEN", both), f.ossToken, ""},
		{"own repository", both, "", "/repos/acme/api", nil, f.workToken, ""},
		{"own repository in upper case", both, "", "/repos/ACME/API", nil, f.workToken, ""},
		{"repository of the other profile", both, "", "/repos/libre/tool", nil, f.ossToken, ""},
		{"repository that no rule claims", both, "", "/repos/someone/else", nil, f.workToken, ""},
		{"placeholder of the other profile", both, "", "/user", bearer("KB_OSS_GITHUB_TOKEN", both), f.ossToken, ""},
		{"proxy user of the other profile", both, "kb.oss", "/user", nil, f.ossToken, ""},
		{"Kb-Profile of the other profile", both, "", "/user", named("Kb-Profile", "oss"), f.ossToken, ""},
		{"annotation and repository agree", both, "kb.oss", "/repos/libre/tool", nil, f.ossToken, ""},
		{"login made with --as, by its placeholder", alone, "", "/user", bearer("KB_GITHUB_BOT", alone), bot, ""},
		{"login made with --as, by Kb-Login", alone, "", "/user", named("Kb-Login", "bot"), bot, ""},

		{"annotation and repository differ", both, "kb.oss", "/repos/acme/api", nil, "", CodeConflict},
		{"annotation and placeholder differ", both, "kb.work", "/user", bearer("KB_OSS_GITHUB_TOKEN", both), "", CodeConflict},
		{"two annotations differ", both, "kb.work", "/user", named("Kb-Profile", "oss"), "", CodeConflict},
		{"repository of a profile outside the set", both, "", "/repos/customer/x", nil, "", CodeUnknownProfile},
		{"the same, whatever is said", both, "kb.work", "/repos/customer/x", nil, "", CodeUnknownProfile},
		{"profile outside the set by user name", alone, "kb.oss", "/user", nil, "", CodeUnknownProfile},
		{"profile outside the set by header", alone, "", "/user", named("Kb-Profile", "oss"), "", CodeUnknownProfile},
		{"profile outside the set by repository", alone, "", "/repos/libre/tool", nil, "", CodeUnknownProfile},
		{"profile that does not exist", both, "kb.nobody", "/user", nil, "", CodeUnknownProfile},
		{"login that does not exist", alone, "", "/user", named("Kb-Login", "nobody"), "", CodeLoginNeeded},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, before := f.arrived()
			got := f.get(c.session, c.user, http.MethodGet, api+c.path, c.header)
			token, after := f.arrived()
			if c.token == "" {
				if got.status != http.StatusForbidden || got.refusal.Code != c.code || got.refusal.Fix == "" {
					t.Errorf("got %d %+v, want 403 %s with a fix", got.status, got.refusal, c.code)
				}
				if after != before {
					t.Error("a refused request reached the API")
				}
				return
			}
			if got.status != http.StatusOK || after != before+1 || token != c.token {
				t.Errorf("got %d (%s), %d requests arrived, the last with %q, want %q", got.status, got.refusal.Message, after-before, token, c.token)
			}
			for _, q := range f.api.Requests() {
				for name := range q.Header {
					if strings.HasPrefix(name, "Kb-") || strings.HasPrefix(name, "Proxy-") {
						t.Errorf("%s left the hop", name)
					}
				}
			}
		})
	}
}

func TestNoLoginIsRefusedNotSentBare(t *testing.T) {
	f := newFixture(t)
	client := f.repository("customer", "https://github.com/customer/x.git")
	s := f.start(client, "work")
	got := f.get(s, "", http.MethodGet, "https://api.github.com/user", nil)
	if got.refusal.Code != CodeLoginNeeded || got.refusal.Fix != "run kb login github -p client" {
		t.Errorf("got %+v, want %s with the command that fixes it", got.refusal, CodeLoginNeeded)
	}
	if _, n := f.arrived(); n != 0 {
		t.Error("the request was sent without a credential")
	}
}

func TestExpectedAccountIsEnforcedBeforeUse(t *testing.T) {
	f := newFixture(t)
	f.edit(func(tx *vaultfile.Tx) error {
		return tx.PutProfile(profile.Profile{Name: "work", Expect: map[string]string{"github": "me-at-acme"}})
	})
	s := f.start(f.workDir)
	got := f.get(s, "", http.MethodGet, "https://api.github.com/user", nil)
	if got.refusal.Code != CodeWrongAccount {
		t.Errorf("got %+v, want %s", got.refusal, CodeWrongAccount)
	}
	if _, n := f.arrived(); n != 0 {
		t.Error("an unverified login was used where an account is expected")
	}
}

func TestMintingIsDenied(t *testing.T) {
	f := newFixture(t)
	s := f.start(f.workDir)
	got := f.get(s, "", http.MethodPost, "https://api.github.com/app/installations/1/access_tokens", nil)
	if got.refusal.Code != CodeMint {
		t.Errorf("got %d %+v, want %s", got.status, got.refusal, CodeMint)
	}
	if _, n := f.arrived(); n != 0 {
		t.Error("a request that makes a credential was sent")
	}
}
