package providers

import "testing"

func TestRepositoryMatch(t *testing.T) {
	rest := Repository{Path: "/repos/{owner}/{name}/**", Is: "github.com/{owner}/{name}"}
	coded := Repository{Path: "/api/v4/projects/{project%}/**", Is: "gitlab.com/{project}"}
	span := Repository{Path: "/{project**}/info/refs", Is: "gitlab.com/{project}"}
	for _, row := range []struct {
		r          Repository
		path, want string
	}{
		{rest, "/repos/acme/api", "github.com/acme/api"},
		{rest, "/repos/acme/api/pulls/1", "github.com/acme/api"},
		{rest, "/repos/Acme/API.git", "github.com/Acme/API"},
		{rest, "/repos/acme/a%2Db", "github.com/acme/a-b"},
		{rest, "/repos/acme", ""},
		{rest, "/repos/acme/", ""},
		{rest, "/repos/acme%2Fapi/x", ""},
		{rest, "/repos/acme/%2E%2E", ""},
		{rest, "/repos/../api", ""},
		{rest, "/repos/acme/%00", ""},
		{rest, "/repos/acme/%zz", ""},
		{rest, "/repos/{name}/evil", ""},
		{rest, "/repos/%7Bname%7D/evil", ""},
		{rest, "/repos/acme/.git", ""},
		{rest, "/user", ""},
		{coded, "/api/v4/projects/acme%2Fapi", "gitlab.com/acme/api"},
		{coded, "/api/v4/projects/acme%2Fplatform%2Fapi/issues", "gitlab.com/acme/platform/api"},
		{coded, "/api/v4/projects/42", ""},
		{coded, "/api/v4/projects/acme%2F", ""},
		{coded, "/api/v4/projects/acme%2F..%2Fother", ""},
		{coded, "/api/v4/projects/acme%252Fapi", ""},
		{span, "/acme/platform/api.git/info/refs", "gitlab.com/acme/platform/api"},
		{span, "/acme/info/refs/info/refs", "gitlab.com/acme/info/refs"},
		{span, "/info/refs", ""},
		{span, "/acme/a%2Fb/info/refs", ""},
		{span, "/acme//api/info/refs", ""},
	} {
		got, ok := row.r.Match(row.path)
		if got != row.want || ok != (row.want != "") {
			t.Errorf("%s on %s = %q, %v; want %q", row.r.Path, row.path, got, ok, row.want)
		}
	}
}

func TestGitService(t *testing.T) {
	for _, row := range []struct {
		path, query, want string
	}{
		{"/acme/api.git/info/refs", "service=git-upload-pack", "git-upload-pack"},
		{"/acme/api.git/info/refs", "service=git-receive-pack", "git-receive-pack"},
		{"/acme/api.git/info/refs", "service=git%2Dreceive-pack", "git-receive-pack"},
		{"/acme/api.git/info/refs", "serv%69ce=git-receive-pack", "git-receive-pack"},
		{"/acme/api.git/info/refs", "service=git-upload-pack&service=git-receive-pack", "git-receive-pack"},
		{"/acme/api.git/info/refs", "a=b;service=git-receive-pack", "git-receive-pack"},
		{"/acme/api.git/info/refs", "", ""},
		{"/acme/api.git/git-receive-pack", "", "git-receive-pack"},
		{"/acme/api.git/git-upload-pack", "", "git-upload-pack"},
		{"/acme/api", "service=git-receive-pack", ""},
	} {
		if got := GitService(row.path, row.query); got != row.want {
			t.Errorf("GitService(%q, %q) = %q, want %q", row.path, row.query, got, row.want)
		}
	}
}
