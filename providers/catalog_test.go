package providers

import (
	"testing"

	"kb/internal/secret"
)

func TestGitHubTokenGoesOnAPIAndGit(t *testing.T) {
	c, err := NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	p, err := c.Get("github")
	if err != nil {
		t.Fatal(err)
	}
	compiled, err := p.Compile("", map[string]secret.Value{"token": secret.New("kb-golden")})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct{ host, path, want, remote string }{
		{"api.github.com", "/user", "Bearer kb-golden", ""},
		{"api.github.com", "/repos/acme/api", "Bearer kb-golden", "github.com/acme/api"},
		{"github.com", "/acme/api.git/info/refs", "Basic eC1hY2Nlc3MtdG9rZW46a2ItZ29sZGVu", "github.com/acme/api"},
		{"github.com", "/acme/api", "", ""},
		{"evilgithub.com", "/acme/api.git/info/refs", "", ""},
	} {
		cred, ok := compiled.Match(row.host, 443, row.path)
		if ok != (row.want != "") {
			t.Errorf("%s%s: credential %v", row.host, row.path, ok)
			continue
		}
		if !ok {
			continue
		}
		if got := cred.Header[0].Value.Reveal(); got != row.want {
			t.Errorf("%s%s: sends %q, want %q", row.host, row.path, got, row.want)
		}
		if remote, _ := cred.Inject.Remote(row.path); remote != row.remote {
			t.Errorf("%s%s: remote %q, want %q", row.host, row.path, remote, row.remote)
		}
	}
}
