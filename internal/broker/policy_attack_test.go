package broker

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"testing"

	"kb/internal/control"
	"kb/vaultfile"
)

// TestAttackPathsRoundADeny: a path is dressed up so that the line that denies
// it does not see it, and the server still does.
func TestAttackPathsRoundADeny(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/repos/acme/api/hooks/**"})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Repository: "github.com/acme/secret"})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}})
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/v1/projects/p:setIamPolicy"}, s)
	const api = "https://api.github.com"
	for _, path := range []string{ // the positive control: neighbours pass
		"/repos/acme/api/issues", "/repos/acme/api/hook", "/repos/acme/secrets", "/v1/projects/p:getIamPolicy",
	} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodPost, api+path, nil); got != sendsOn {
			t.Errorf("%s does not pass: %+v", path, got)
		}
	}
	tried := 0
	denied := func(method, path string, header http.Header) {
		t.Helper()
		tried++
		if got := f.authorize(t.Context(), s, "kb", method, api+path, header); got.code != CodePolicy && got.code != CodePath {
			t.Errorf("%s %s %v: %+v", method, path, header, got)
		}
	}
	for _, path := range []string{
		"/repos/acme/api/hooks", "/repos/acme/api/hooks/1", "/repos/acme/api/hooks/", "/repos/acme/api/hooks.json", "/Repos/ACME/api/HOOKS/1",
		"/repos/acme/api%2Fhooks/1", "/repos/acme/api%2fhooks%2f1", "/repos%2Facme%2Fapi%2Fhooks", "/repos/acme/api/%68ooks/1",
		"/repos/acme/api/hooks;x=y/1", "/repos;x/acme/api/hooks/1", "/repos/acme/api/hooks%3Bx/1", "/repos/acme/api//hooks/1",
		"//repos/acme/api/hooks/1", "/repos/acme/api/x/../hooks/1", "/repos/acme/api/./hooks/1", "/repos/acme/api/x/%2e%2e/hooks/1",
		"/repos/acme/api/x/..%2Fhooks/1", "/repos/acme/api/x/%252e%252e/hooks", "/repos/acme/api/hooks%00", "/repos/acme/api\\hooks",
		"/repos/acme/api/%2568ooks/../hooks", "/ok/..;/repos/acme/api/hooks/1",
		"/repos/acme/secret", "/repos/ACME/Secret", "/REPOS/acme/secret/issues", "/repos/acme%2Fsecret", "/repos/acme/secret;x/issues", "/repos/acme/%73ecret",
		"/v1/projects/p:setIamPolicy", "/v1/projects/p%3AsetIamPolicy", "/v1/projects/p%3asetiampolicy",
	} {
		if strings.Contains(path, `\`) {
			path = strings.ReplaceAll(path, `\`, "%5C")
		}
		denied(http.MethodPost, path, nil)
	}
	denied(http.MethodDelete, "/user", nil)
	denied("delete", "/user", nil)
	for _, name := range methodOverrides {
		denied(http.MethodPost, "/user", http.Header{name: {"DELETE"}})
		denied(http.MethodPost, "/user", http.Header{name: {"GET", "delete"}})
	}
	denied(http.MethodPost, "/user?_method=DELETE", nil)
	denied(http.MethodPost, "/user?a=b&%5fmethod=del%65te", nil)
	t.Logf("%d ways round, all denied", tried)
}

// TestAttackAllowedPathIsStretched: everything is denied but one path, which
// some servers read as more.
func TestAttackAllowedPathIsStretched(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny"})
	f.line(vaultfile.Policy{Profile: "work", Effect: "allow", Methods: []string{"GET"}, Path: "/repos/acme/*"}, s)
	const api = "https://api.github.com"
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, api+"/repos/acme/api", nil); got != sendsOn {
		t.Fatalf("what is allowed does not pass: %+v", got)
	}
	for _, path := range []string{
		"/repos/acme/api%2Fhooks", "/repos/acme/api%2F..%2F..%2Fother%2Fapi", "/REPOS/acme/api", "/repos/Acme/api", "/repos/acme/api/hooks", "/repos/acme/api/", "/repos/acme/x%2Fy%3Bz",
	} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodGet, api+path, nil); got.code != CodePolicy && got.code != CodePath {
			t.Errorf("%s: %+v", path, got)
		}
	}
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, api+"/repos/acme/api", http.Header{"X-Http-Method-Override": {"DELETE"}}); got.code != CodePolicy {
		t.Errorf("another method in a field: %+v", got)
	}
}

// TestAttackHostsRoundADeny: another spelling of a host is the same host, and a
// host that looks like it is another. Through the proxy, which canonicalises.
func TestAttackHostsRoundADeny(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Host: "api.github.com", Methods: []string{"POST"}}, s)
	if got := f.get(s, "", http.MethodGet, apiUser, nil); got.status != http.StatusOK {
		t.Fatalf("another method does not pass: %d %+v", got.status, got.refusal)
	}
	_, before := f.arrived()
	for _, host := range []string{"api.github.com", "API.GitHub.com", "api.github.com.", "api.github.com:443"} {
		if got := f.get(s, "", http.MethodPost, "https://"+host+"/user", nil); got.refusal.Code != CodePolicy {
			t.Errorf("%s: %d %+v", host, got.status, got.refusal)
		}
	}
	if _, after := f.arrived(); after != before {
		t.Errorf("%d requests arrived", after-before)
	}
}

// TestAttackPushThroughAReadOnlyLine: git's ways to write, under a line that
// leaves an agent to read.
func TestAttackPushThroughAReadOnlyLine(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Git: "write"}, s)
	const repo = "https://github.com/acme/api.git"
	for _, c := range [][2]string{
		{"GET", "/info/refs?service=git-upload-pack"},
		{"POST", "/git-upload-pack"},
		{"GET", "/info/lfs/locks"},
	} {
		if got := f.authorize(t.Context(), s, "kb", c[0], repo+c[1], nil); got != sendsOn {
			t.Errorf("a clone's %s %s does not pass: %+v", c[0], c[1], got)
		}
	}
	for _, c := range [][2]string{
		{"GET", "/info/refs?service=git-receive-pack"},
		{"GET", "/info/refs?service=git-upload-pack&service=git-receive-pack"},
		{"GET", "/info/refs?serv%69ce=git%2Dreceive-pack"},
		{"POST", "/git-receive-pack"},
		{"POST", "/git-receive-pack/"},
		{"POST", "/git%2Dreceive-pack"},
		{"POST", "/git-receive-pack;x"},
		{"POST", "/Git-Receive-Pack"},
		{"POST", "/info/lfs/objects/batch"}, // whether it is for an upload only its body says
		{"POST", "/info/lfs/locks"},
		{"PUT", "/info/lfs/objects/0123/45"},
		{"POST", "/info%2Flfs/objects/batch"},
	} {
		if got := f.authorize(t.Context(), s, "kb", c[0], repo+c[1], nil); got.code != CodePolicy {
			t.Errorf("%s %s: %+v", c[0], c[1], got)
		}
	}
	// The same under "nothing but git reads".
	only := f.start(f.ossDir)
	f.line(vaultfile.Policy{Profile: "oss", Effect: "deny"})
	f.line(vaultfile.Policy{Profile: "oss", Effect: "allow", Git: "read"}, only)
	const libre = "https://github.com/libre/tool.git"
	if got := f.authorize(t.Context(), only, "kb", "POST", libre+"/git-upload-pack", nil); got != sendsOn {
		t.Errorf("a fetch does not pass: %+v", got)
	}
	for _, path := range []string{"/git-receive-pack", "/info/refs?service=git-receive-pack", "/info/lfs/objects/batch"} {
		if got := f.authorize(t.Context(), only, "kb", "POST", libre+path, nil); got.code != CodePolicy {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

// TestAttackApprovalServesAnother: what a person said about one request is used
// for another.
func TestAttackApprovalServesAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.login("work", "github", "bot", f.workToken)
	s := f.start(f.workDir, "oss")
	line := f.line(vaultfile.Policy{Profile: "work", Effect: "ask"})
	f.line(vaultfile.Policy{Profile: "oss", Effect: "ask"})
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Mint: true})
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Path: "/orgs/**"}, s)

	// Two wait; the answer is for one.
	a := f.asks(t.Context(), s, http.MethodPost, apiUser, nil)
	first := f.waiting(s, 1)[0]
	b := f.asks(t.Context(), s, http.MethodPost, apiIssue, nil)
	f.waiting(s, 2)
	f.answer(s, first.ID, control.Once)
	if got := f.ended(a); got != sendsOn {
		t.Errorf("the one that was answered: %+v", got)
	}
	second := f.waiting(s, 1)[0]
	if second.ID == first.ID || second.Path != "/repos/acme/api/issues" {
		t.Errorf("the one that waits: %+v", second)
	}
	f.answer(s, second.ID, control.Session)
	if got := f.ended(b); got != sendsOn {
		t.Errorf("approved for the session: %+v", got)
	}
	// The positive control: its like passes without a person.
	if got := f.ended(f.asks(t.Context(), s, http.MethodPost, "https://api.github.com/gists", nil)); got != sendsOn {
		t.Fatalf("its like does not pass: %+v", got)
	}
	for name, c := range map[string]struct {
		method, target, user string
		header               http.Header
	}{
		"another method":          {method: http.MethodDelete, target: apiUser},
		"another method, named":   {method: http.MethodPost, target: apiUser, header: http.Header{"X-Http-Method-Override": {"DELETE"}}},
		"another host":            {method: http.MethodPost, target: "https://uploads.github.com/user"},
		"another login":           {method: http.MethodPost, target: apiUser, header: http.Header{"Authorization": {"Bearer " + value(s, "KB_GITHUB_BOT")}}},
		"another profile":         {method: http.MethodPost, target: apiUser, user: "kb.oss"},
		"a mint":                  {method: http.MethodPost, target: mintPath},
		"what another line asks":  {method: http.MethodPost, target: "https://api.github.com/orgs/acme"},
		"git, which is not a api": {method: http.MethodPost, target: "https://github.com/acme/api.git/git-receive-pack"},
	} {
		user := c.user
		if user == "" {
			user = "kb"
		}
		ended := make(chan outcome, 1)
		go func() { ended <- f.authorize(t.Context(), s, user, c.method, c.target, c.header) }()
		r := f.waitingOr(s, ended, name)
		if r == nil {
			continue
		}
		f.answer(s, r.ID, control.Deny)
		if got := f.ended(ended); got.code != CodeApprovalDenied {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// The line is edited: what was said of the old one is not said of the new.
	if err := f.broker.RemovePolicy(t.Context(), line); err != nil {
		t.Fatal(err)
	}
	f.edit(func(tx *vaultfile.Tx) error {
		_, err := tx.PutPolicy(vaultfile.Policy{ID: line, Profile: "work", Effect: "ask", Provider: "github"})
		return err
	})
	s.lookNow(t.Context())
	ended := f.asks(t.Context(), s, http.MethodPost, apiUser, nil)
	if r := f.waitingOr(s, ended, "a line that was edited"); r != nil {
		f.answer(s, r.ID, control.Deny)
		f.ended(ended)
	}
	// Nor does the next session know of it.
	next := f.start(f.workDir)
	ended = f.asks(t.Context(), next, http.MethodPost, apiUser, nil)
	if r := f.waitingOr(next, ended, "another session"); r != nil {
		if err := s.Answer(t.Context(), r.ID, control.Once); err == nil {
			t.Error("a session answered for another one")
		}
		f.answer(next, r.ID, control.Deny)
		f.ended(ended)
	}
}

// TestAttackLineOfAnotherVault: who writes a shared vault gives a line there the
// id and words of a line of yours. What you said of yours is not said of it.
func TestAttackLineOfAnotherVault(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.addTeam()
	line := vaultfile.Policy{ID: "p0000000a", Profile: "work", Effect: "ask"}
	put := func(tx *vaultfile.Tx) error { _, err := tx.PutPolicy(line); return err }
	f.edit(put)
	f.editTeam(put)
	s := f.start(f.workDir, "team/work")
	mine := f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
	f.answer(s, f.waiting(s, 1)[0].ID, control.Session)
	if got := f.ended(mine); got != sendsOn {
		t.Fatalf("mine: %+v", got)
	}
	ended := make(chan outcome, 1)
	go func() { ended <- f.authorize(t.Context(), s, "kb.team/work", http.MethodGet, apiUser, nil) }()
	if r := f.waitingOr(s, ended, "the team's"); r != nil {
		f.answer(s, r.ID, control.Deny)
		f.ended(ended)
	}
}

// waitingOr waits until a request waits, or reports that it ended without.
func (f *fixture) waitingOr(s *Session, ended <-chan outcome, name string) *control.Request {
	f.Helper()
	for {
		changed := s.Changed()
		if list := s.Waiting(); len(list) == 1 {
			return &list[0]
		}
		select {
		case <-changed:
		case got := <-ended:
			f.Errorf("%s: nobody was asked: %+v", name, got)
			return nil
		}
	}
}

// TestAttackManyHeldRequests: an agent floods the person. Few wait, the rest
// are refused at once, and what waits is let go with the session.
func TestAttackManyHeldRequests(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	const all = 1000
	ended := make(chan outcome, all)
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	for range all {
		go func() { ended <- f.authorize(ctx, s, "kb", http.MethodGet, apiUser, nil) }()
	}
	for range all - holdMax {
		if got := <-ended; got.code != CodeApprovalFull {
			t.Fatalf("%+v", got)
		}
	}
	list := s.Waiting()
	if len(list) != holdMax {
		t.Fatalf("%d wait, want %d", len(list), holdMax)
	}
	ids := map[string]bool{}
	for _, r := range list {
		ids[r.ID] = true
	}
	if len(ids) != holdMax || !slices.IsSortedFunc(list, func(a, b control.Request) int { return a.Asked.Compare(b.Asked) }) {
		t.Errorf("%d ids among %d, or not the oldest first", len(ids), holdMax)
	}
	// One answered makes room for one.
	f.answer(s, list[0].ID, control.Once)
	if got := <-ended; got != sendsOn {
		t.Errorf("approved: %+v", got)
	}
	another := f.asks(ctx, s, http.MethodGet, apiUser, nil)
	f.waiting(s, holdMax)
	leave()
	f.ended(another)
	for range holdMax - 1 {
		if got := <-ended; got.code != CodeApprovalAbandoned {
			t.Fatalf("%+v", got)
		}
	}
	f.waiting(s, 0)
}

// TestAttackTextForThePerson: what an agent puts into a request cannot make the
// question say another thing than it is.
func TestAttackTextForThePerson(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	header := http.Header{"Content-Type": {"text/\x1b[2J\u202eplain; " + strings.Repeat("x", 100_000)}, "X-Http-Method-Override": {"GET\x1b]0;approved\a" + strings.Repeat("y", 100_000)}}
	request := f.asks(t.Context(), s, http.MethodPost, apiUser, header)
	r := f.waiting(s, 1)[0]
	for _, text := range []string{r.Method, r.Type, r.Path, r.Agent, r.Dir} {
		if strings.ContainsAny(text, "\x1b\a\n\u202e") || len(text) > 3*4096 {
			t.Errorf("a person is shown %.200q, %d bytes", text, len(text))
		}
	}
	if !strings.HasPrefix(r.Method, "POST, GET") {
		t.Errorf("the method is shown as %.60q", r.Method)
	}
	f.answer(s, r.ID, control.Deny)
	f.ended(request)
}
