package e2e

import (
	"encoding/base64"
	"strings"
	"testing"
)

// requests steers requests of a session that has oss alone towards acme's
// repository, or towards the identity of work.
func (i *identities) requests(t *testing.T) {
	i.child = i.start(i.home.Env, i.ossDir)
	hasToken := func(t *testing.T) {
		t.Helper()
		for _, r := range i.good.Requests() {
			if r.Credential() == i.work {
				t.Error("the token of work was used")
			}
		}
	}
	for _, path := range []string{
		"/repos/acme/api", "/repos/ACME/Api", "/repos/acme%2fapi", "/repos/acme%2Fapi/issues", "//repos/acme/api", "/repos//acme/api", "/repos/libre/../acme/api",
		"/repos/libre/%2e%2e/acme/api", "/repos/libre/.%2e/acme/api", "/repos/libre/tool/../../acme/api", "/repos/./acme/api", "/repos/acme/api.git",
		"/repos/acme/api/", "/repos/%61cme/api", "/repos/%41CME/api", "/repos/acme;x=y/api", "/repos/acme/api;x=y", "/repos/libre/..;/acme/api",
		"/repos/acme/api%00", "/repos/acme%5capi", `/repos/acme\api`, "/%72epos/acme/api", "/Repos/acme/api", "/REPOS/acme/api", "/repos/acme/%61pi/issues", "/repos/acme%252fapi",
		"/repos/acme/api.git/issues", "/repos/libre/%252e%252e/acme/api", "/repos/acme/api?x=/repos/libre/tool", "/repos/acme%2Fapi%2Fissues", "/repos%2Facme%2Fapi", "/repos%2Facme/api",
	} {
		i.trick("path "+path, func(t *testing.T) answer {
			got := i.inside(goodHost+":443", goodHost, get(goodHost, path))
			hasToken(t)
			return got
		}, 400, 403)
	}
	i.trick("the bytes that were judged", func(t *testing.T) answer {
		got := i.inside(goodHost+":443", goodHost, get(goodHost, "/%72epos/libre/t%6fol?x=%41"))
		r := i.good.Requests()
		if len(r) != 1 || r[0].Path != "/repos/libre/tool" || r[0].Query != "x=%41" || r[0].Credential() != i.acme {
			t.Errorf("%d requests arrived, not the one that was judged", len(r))
		}
		return got
	}, 200)
	for _, path := range []string{
		"/acme/api.git/info/refs?service=git-upload-pack", "/acme/api/info/refs", "/ACME/API.git/info/refs", "/acme%2Fapi.git/info/refs", "/acme%2Fapi/x/info/refs", "/acme/api.git//info/refs",
		"/libre/../acme/api.git/info/refs", "/acme/%61pi.git/info/refs", "/acme/api.git.git/info/refs", "/acme/api.GIT/info/refs", "/acme/api.git/git-upload-pack", "/acme/api.git/info%2Frefs", "/acme/api.git/info/lfs/objects/batch",
	} {
		i.trick("git path "+path, func(t *testing.T) answer {
			return i.inside("github.com:443", "github.com", get("github.com", path))
		})
	}
	for _, user := range []string{"kb.work", "kb.%00", "kb.work\x00", "kb.", "kb.oss.work", "kb.OSS", "kb.oss\r\nKb-Profile: work", "kb.*", "kb.../work", "kb.\u202ework"} {
		i.trick("proxy user "+user, func(t *testing.T) answer {
			host := "Host: " + goodHost + ":443\r\nConnection: close\r\nProxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+i.child.token)) + "\r\n"
			c, got := i.tunnelTLS(goodHost+":443", host, tlsTo(goodHost))
			if c == nil {
				return got
			}
			defer func() { _ = c.Close() }()
			got = i.exchange(c, get(goodHost, "/user"))
			hasToken(t)
			return got
		}, 403, 407)
	}
	for name, header := range map[string][]string{
		"Kb-Profile":                 {"Kb-Profile: work"},
		"Kb-Profile twice":           {"Kb-Profile: oss", "Kb-Profile: work"},
		"Kb-Profile with a space":    {"Kb-Profile:  work "},
		"Kb-Profile, Connection":     {"Connection: Kb-Profile", "Kb-Profile: work"},
		"Kb-Login of another":        {"Kb-Login: work/github"},
		"placeholder of another":     {"Authorization: Bearer " + i.placeholderOfWork(t)},
		"Kb-Profile in odd case":     {"kB-pRoFiLe: work"},
		"Kb-Profile and placeholder": {"Kb-Profile: work", "Authorization: token " + i.child.env["GITHUB_TOKEN"]},
	} {
		i.trick("header "+name, func(t *testing.T) answer {
			got := i.inside(goodHost+":443", goodHost, get(goodHost, "/user", header...))
			hasToken(t)
			for _, r := range i.good.Requests() {
				for h := range r.Header {
					if strings.HasPrefix(strings.ToLower(h), "kb-") {
						t.Errorf("%s reached the provider", h)
					}
				}
			}
			return got
		}, 200, 403)
	}
	for _, method := range []string{"POST", "post", "Post"} {
		for _, path := range []string{
			"/app/installations/1/access_tokens", "/app/installations/1/access_tokens/", "/App/Installations/1/Access_Tokens", "/app/installations/1/%61ccess_tokens",
			"/app/installations/1%2Faccess_tokens", "/app/installations/1/access_tokens.json", "/app%2Finstallations%2F1%2Faccess_tokens", "/app/installations/1/access_tokens;x",
			"/app/installations/1/access_tokens?x", "/app/installations/1/access%5ftokens",
		} {
			i.trick("mint "+method+" "+path, func(t *testing.T) answer {
				raw := strings.Replace(get(goodHost, path, "Content-Length: 0"), "GET", method, 1)
				got := i.inside(goodHost+":443", goodHost, raw)
				for _, r := range i.good.Requests() {
					if r.Credential() != "" {
						t.Errorf("it arrived with a credential: %s %s", r.Method, r.Path)
					}
				}
				return got
			}, 400, 403)
		}
	}
}

// placeholderOfWork is a placeholder as a session of work has it.
func (i *identities) placeholderOfWork(t *testing.T) string {
	t.Helper()
	r := i.in(i.workDir, i.kb, "exec", "--", "printenv", "GITHUB_TOKEN")
	if r.Code != 0 {
		t.Fatal(r.All())
	}
	return strings.TrimSpace(r.Stdout)
}
