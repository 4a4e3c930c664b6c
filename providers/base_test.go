package providers

import (
	"errors"
	"strings"
	"testing"
)

func TestForBase(t *testing.T) {
	p := shippedProvider(t, "gitlab")
	for base, want := range map[string]struct{ host, identity string }{
		"":                                    {"gitlab.com", "https://gitlab.com/api/v4/user"},
		"https://Git.Acme.Example":            {"git.acme.example", "https://git.acme.example/api/v4/user"},
		"https://git.acme.example./":          {"git.acme.example", "https://git.acme.example/api/v4/user"},
		"https://git.acme.example:443":        {"git.acme.example", "https://git.acme.example/api/v4/user"},
		"https://git.acme.example:8443/":      {"git.acme.example:8443", "https://git.acme.example:8443/api/v4/user"},
		"https://acme.example/tools/gitlab//": {"acme.example", "https://acme.example/tools/gitlab/api/v4/user"},
		"https://[2001:db8::1]:8443":          {"[2001:db8::1]:8443", "https://[2001:db8::1]:8443/api/v4/user"},
		"https://192.0.2.7":                   {"192.0.2.7", "https://192.0.2.7/api/v4/user"},
		"https://gitlab":                      {"gitlab", "https://gitlab/api/v4/user"},
		"https://bücher.example":              {"xn--bcher-kva.example", "https://xn--bcher-kva.example/api/v4/user"},
	} {
		q, err := p.ForBase(base)
		if err != nil {
			t.Errorf("ForBase(%q): %v", base, err)
			continue
		}
		if page := "https://" + strings.TrimSuffix(strings.TrimPrefix(want.identity, "https://"), "/api/v4/user") + "/-/user_settings/personal_access_tokens"; q.Login.Default.Page != page {
			t.Errorf("ForBase(%q): tokens are made at %q, want %q", base, q.Login.Default.Page, page)
		}
		if q.Hosts[0] != want.host || q.Identity.URL != want.identity || q.NeedsBase() {
			t.Errorf("ForBase(%q): host %q, identity %q", base, q.Hosts[0], q.Identity.URL)
		}
	}
	if !p.NeedsBase() || p.Hosts[0] != "{host}" || p.Inject[0].Hosts[0] != "{host}" || p.Mints[0].Hosts[0] != "{host}" {
		t.Error("ForBase changed the definition that it was asked of")
	}
	for _, base := range []string{
		"http://git.acme.example", "git.acme.example", "https://", "https://u:p@git.acme.example", "https://git.acme.example?x=1",
		"https://git.acme.example?", "https://git.acme.example#x", "https://github.io", "https://co.uk", "https://git_acme.example",
		"https://git.acme.example:0", "https://git.acme.example:99999", "https://git.acme.example/a*b", "https://git.acme.example/../x",
		"https://git.acme.example/%2e%2e", "https://git.acme.example/{host}", "ftp://git.acme.example", "https://127.1", "https://*.acme.example",
	} {
		if q, err := p.ForBase(base); err == nil {
			t.Errorf("ForBase(%q) gave %v", base, q.Hosts)
		}
	}
}

func TestForBaseOfOthers(t *testing.T) {
	if _, err := shippedProvider(t, "gitea").ForBase(""); !errors.Is(err, ErrNeedsBase) {
		t.Errorf("gitea has no server of its own: %v", err)
	}
	p := shippedProvider(t, "github")
	if q, err := p.ForBase(""); err != nil || q != p {
		t.Errorf("%v, %v", q, err)
	}
	if _, err := p.ForBase("https://git.acme.example"); err == nil {
		t.Error("a definition with hosts of its own was moved to another")
	}
}

// A rule without {host} stays where it is, at its own port and path.
func TestForBaseKeepsFixedHosts(t *testing.T) {
	p := shippedProvider(t, "jira")
	gateway := p.Inject[0]
	gateway.Hosts, gateway.Paths = []string{"api.atlassian.com"}, []string{"/ex/jira/**"}
	p.Hosts, p.Inject = append(p.Hosts, "api.atlassian.com"), append(p.Inject, gateway)
	for i := range p.Inject {
		p.Inject[i].hosts = nil
	}
	if err := p.prepare(); err != nil {
		t.Fatal(err)
	}
	q, err := p.ForBase("https://jira.acme.example:8443/jira")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		host string
		port uint16
		path string
		want bool
	}{
		{"jira.acme.example", 8443, "/jira/rest/api/3/myself", true},
		{"jira.acme.example", 8443, "/rest/api/3/myself", false},
		{"api.atlassian.com", 443, "/ex/jira/1/rest/api/3/myself", true},
		{"api.atlassian.com", 443, "/jira/ex/jira/1", false},
	} {
		if _, ok := q.InjectFor(row.host, row.port, "", row.path); ok != row.want {
			t.Errorf("%s:%d%s: %v", row.host, row.port, row.path, ok)
		}
	}
}
