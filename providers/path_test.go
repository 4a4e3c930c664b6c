package providers

import "testing"

func TestPathPattern(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		decoded, fold bool
		want          bool
	}{
		{"/repos/*/x", "/repos/a/x", false, false, true},
		{"/repos/*/x", "/Repos/a/x", false, false, false},
		{"/repos/*/x", "/Repos/a/x", false, true, true},
		{"/repos/*/x", "/repos/a/x/", false, false, false},
		{"/repos/*/x", "/repos/a/x/", false, true, true},
		{"/admin/", "/admin", false, false, false},
		{"/admin/", "/admin", false, true, true},
		{"/a/*.json", "/a/b.json", false, true, true},
		{"/p/acme%2Fapi", "/p/acme%2Fapi", false, false, true},
		{"/p/acme%2fapi", "/p/acme/api", true, false, true},
		{"/p/acme%2Fapi", "/p/acme/api", false, false, false},
		{"/p/a%3Ab", "/p/a:b", true, false, true},
		{"/p/a:b", "/p/a:b", true, false, true},
		{"/**", "/anything/at/all", false, false, true},
		{"/", "/", false, true, true},
	} {
		p, err := ParsePath(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Match(c.path, c.decoded, c.fold); got != c.want {
			t.Errorf("%q on %q (decoded %v, fold %v) = %v", c.pattern, c.path, c.decoded, c.fold, got)
		}
	}
	for _, bad := range []string{"", "x", "/a//b", "/a/../b", "/{name}", "/a%2F/b", "/a b"} {
		if _, err := ParsePath(bad); err == nil {
			t.Errorf("%q is a pattern", bad)
		}
	}
}

func TestDecodedPath(t *testing.T) {
	for path, want := range map[string]string{
		"/plain": "/plain", "/a%2Fb": "/a/b", "/a;x=1/b%3By": "/a/b", "/v1/p%3Aset": "/v1/p:set", "/a%20b%3F": "/a b?",
	} {
		if got := DecodedPath(path); got != want {
			t.Errorf("DecodedPath(%q) = %q, want %q", path, got, want)
		}
	}
}

func TestGitRequest(t *testing.T) {
	const read, write, both, none = "read", "write", "read write", ""
	for _, c := range []struct{ method, path, query, want string }{
		{"GET", "/acme/api.git/info/refs", "service=git-upload-pack", read},
		{"GET", "/acme/api.git/info/refs", "", read},
		{"GET", "/acme/api.git/info/refs", "service=git-receive-pack", write},
		{"GET", "/acme/api.git/info/refs", "service=git-upload-pack&service=git-receive-pack", write},
		{"GET", "/acme/api.git/info/refs", "serv%69ce=git-receive%2Dpack", write},
		{"GET", "/acme/api.git%2Finfo%2Frefs", "service=git-receive-pack", write},
		{"GET", "/acme/api.git/Info/Refs/", "service=git-receive-pack", write},
		{"POST", "/acme/api.git/git-upload-pack", "", read},
		{"POST", "/acme/api.git/git-receive-pack", "", write},
		{"POST", "/acme/api.git/git-receive-pack/", "", write},
		{"POST", "/acme/api.git/git-receive-pack;x", "", write},
		{"POST", "/acme/api.git/info/lfs/objects/batch", "", both},
		{"GET", "/acme/api.git/info/lfs/locks", "", read},
		{"POST", "/acme/api.git/info/lfs/locks", "", write},
		{"PUT", "/acme/api.git/info/lfs/objects/abc", "", write},
		{"GET", "/repos/acme/api", "", none},
	} {
		reads, writes := GitRequest([]string{c.method}, c.path, c.query)
		got := none
		switch {
		case reads && writes:
			got = both
		case reads:
			got = read
		case writes:
			got = write
		}
		if got != c.want {
			t.Errorf("%s %s?%s is %q, want %q", c.method, c.path, c.query, got, c.want)
		}
	}
	if reads, writes := GitRequest([]string{"GET", "PUT"}, "/acme/api.git/info/lfs/objects/abc", ""); reads || !writes {
		t.Error("a GET that names PUT in a field reads")
	}
}
