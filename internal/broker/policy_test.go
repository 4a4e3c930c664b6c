package broker

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kb/internal/audit"
	"kb/internal/control"
	"kb/internal/policy"
	"kb/proxy"
	"kb/vaultfile"
)

// line adds a policy line and has running sessions know it.
func (f *fixture) line(p vaultfile.Policy, sessions ...*Session) string {
	f.Helper()
	id, err := f.broker.AddPolicy(f.Context(), p)
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range sessions {
		s.lookNow(f.Context())
	}
	return id
}

// outcome is what the proxy is told of a request.
type outcome struct {
	code   string // of the refusal; "" when it goes on
	bearer bool   // with a credential
}

// authorize asks the session about a request, as its proxy does.
func (f *fixture) authorize(ctx context.Context, s *Session, user, method, target string, header http.Header) outcome {
	u, err := url.Parse(target)
	if err != nil {
		f.Error(err)
		return outcome{}
	}
	info := &proxy.RequestInfo{Scheme: u.Scheme, Method: method, Path: u.EscapedPath(), Query: u.RawQuery, Header: proxy.NewHeader(header)}
	info.Host, info.Port, info.User = u.Hostname(), 443, user
	injection, err := s.Authorize(ctx, info)
	var refusal *proxy.Refusal
	if errors.As(err, &refusal) {
		if refusal.Message == "" || refusal.Fix == "" {
			f.Errorf("a refusal without a message or a fix: %+v", refusal)
		}
		return outcome{code: refusal.Code}
	}
	if err != nil {
		f.Error(err)
		return outcome{}
	}
	injection.Done(proxy.Outcome{Status: 200})
	return outcome{bearer: len(injection.Header) > 0}
}

// asks has a request under way, of which a person is asked.
func (f *fixture) asks(ctx context.Context, s *Session, method, target string, header http.Header) <-chan outcome {
	ended := make(chan outcome, 1)
	go func() { ended <- f.authorize(ctx, s, "kb", method, target, header) }()
	return ended
}

// waiting waits until so many requests wait, and returns them.
func (f *fixture) waiting(s *Session, n int) []control.Request {
	f.Helper()
	late := time.After(20 * time.Second)
	for {
		changed := s.Changed()
		list := s.Waiting()
		if len(list) == n {
			return list
		}
		select {
		case <-changed:
		case <-late:
			f.Fatalf("%d requests wait, want %d", len(list), n)
		}
	}
}

func (f *fixture) answer(s *Session, id string, a control.Answer) {
	f.Helper()
	if err := s.Answer(f.Context(), id, a); err != nil {
		f.Fatal(err)
	}
}

// ended takes the outcome of a request that was under way.
func (f *fixture) ended(of <-chan outcome) outcome {
	f.Helper()
	select {
	case o := <-of:
		return o
	case <-time.After(20 * time.Second):
		f.Fatal("the request still waits")
		return outcome{}
	}
}

// lines are the session's lines in the audit that say something of policy.
func (f *fixture) auditOf(s *Session) []audit.Event {
	f.Helper()
	var list []audit.Event
	for e, err := range audit.Read(f.options.Paths.State+"/audit", audit.Filter{}) {
		if err == nil && e.Session == s.ID {
			list = append(list, e)
		}
	}
	return list
}

const (
	apiUser  = "https://api.github.com/user"
	apiIssue = "https://api.github.com/repos/acme/api/issues"
	mintPath = "https://api.github.com/app/installations/1/access_tokens"
)

var sendsOn = outcome{bearer: true}

// TestPolicyEffects: each effect on a request that really goes through.
func TestPolicyEffects(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	send := func(method, target string) answer { t.Helper(); return f.get(s, "", method, target, nil) }
	if got := send(http.MethodDelete, apiIssue); got.status != http.StatusOK {
		t.Fatalf("without a policy: %d %+v", got.status, got.refusal)
	}
	denied := f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Provider: "github", Methods: []string{"DELETE"}}, s)
	_, before := f.arrived()
	got := send(http.MethodDelete, apiIssue)
	if got.status != http.StatusForbidden || got.refusal.Code != CodePolicy || got.refusal.Profile != "work" || got.refusal.Provider != "github" ||
		!strings.Contains(got.refusal.Message, denied+": deny DELETE at github") || !strings.Contains(got.refusal.Fix, "kb policy ls") || !strings.Contains(got.refusal.Fix, denied) {
		t.Errorf("denied: %d %+v", got.status, got.refusal)
	}
	if got := send(http.MethodGet, apiIssue); got.status != http.StatusOK {
		t.Errorf("another method: %d %+v", got.status, got.refusal)
	}
	if _, after := f.arrived(); after != before+1 {
		t.Errorf("%d requests arrived, want the GET alone", after-before)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "allow", Provider: "github", Methods: []string{"DELETE"}, Path: "/repos/acme/api/issues"}, s)
	if got := send(http.MethodDelete, apiIssue); got.status != http.StatusOK {
		t.Errorf("allowed by more conditions: %d %+v", got.status, got.refusal)
	}
	if err := f.broker.RemovePolicy(t.Context(), denied); err != nil {
		t.Fatal(err)
	}
	s.lookNow(t.Context())
	if got := send(http.MethodDelete, apiUser); got.status != http.StatusOK {
		t.Errorf("after the line was removed: %d %+v", got.status, got.refusal)
	}
	if now := s.Status(); now.Requests != 5 || now.Injected != 4 || now.Denied != 1 {
		t.Errorf("counted %d requests, %d with a credential, %d refused", now.Requests, now.Injected, now.Denied)
	}
}

// TestPolicyLimit: a limit counts, says when there is room, and forgets.
func TestPolicyLimit(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	now := &atomic.Int64{}
	now.Store(time.Now().Unix())
	f.options.Now = func() time.Time { return time.Unix(now.Load(), 0) }
	f.broker = f.open()
	s := f.start(f.workDir)
	line := f.line(vaultfile.Policy{Profile: "work", Effect: "limit", PerMinute: 2, Provider: "github"}, s)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}}, s)
	if got := f.authorize(t.Context(), s, "kb", http.MethodDelete, apiUser, nil); got.code != CodePolicy {
		t.Errorf("denied, which does not count: %+v", got)
	}
	for range 2 {
		if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, nil); got != sendsOn {
			t.Errorf("within the limit: %+v", got)
		}
	}
	got := f.get(s, "", http.MethodGet, apiUser, nil)
	if got.status != http.StatusTooManyRequests || got.refusal.Code != CodeLimit || !strings.Contains(got.refusal.Message, line) || !strings.Contains(got.refusal.Fix, " 61 s") {
		t.Errorf("beyond the limit: %d %+v", got.status, got.refusal)
	}
	now.Add(61)
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, nil); got != sendsOn {
		t.Errorf("a minute later: %+v", got)
	}
}

// TestMintByPolicy: a new credential is made only by a line that says so.
func TestMintByPolicy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	mint := func() outcome { return f.authorize(t.Context(), s, "kb", http.MethodPost, mintPath, nil) }
	if got := mint(); got.code != CodeMint {
		t.Errorf("without a policy: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "allow"}, s)
	if got := mint(); got.code != CodeMint {
		t.Errorf("everything allowed, minting not named: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "oss", Effect: "allow", Mint: true}, s)
	if got := mint(); got.code != CodeMint {
		t.Errorf("allowed for another profile: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "allow", Mint: true, Host: "uploads.github.com"}, s)
	if got := mint(); got.code != CodeMint {
		t.Errorf("allowed on another host, and everything else allowed: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Mint: true}, s)
	request := f.asks(t.Context(), s, http.MethodPost, mintPath, nil)
	r := f.waiting(s, 1)[0]
	if !r.Mint || r.Rule != "ask mint" {
		t.Errorf("a person is shown %+v", r)
	}
	f.answer(s, r.ID, control.Once)
	if got := f.ended(request); got != sendsOn {
		t.Errorf("approved: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "allow", Provider: "github", Mint: true}, s)
	if got := mint(); got != sendsOn {
		t.Errorf("allowed: %+v", got)
	}
	last := f.auditOf(s)
	intent := last[len(last)-2]
	if intent.Action != actionMint || intent.Phase != audit.PhaseIntent || !strings.Contains(intent.Reason, "allow at github mint") {
		t.Errorf("the audit says %+v", intent)
	}
}

// TestPolicyOnTunnels: a line whose one condition is a host holds where
// nothing is read, and no other does.
func TestPolicyOnTunnels(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	line := f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Host: "*.paste.example"}, s)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Host: "ask.example"}, s)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny"}, s)
	f.line(vaultfile.Policy{Profile: "oss", Effect: "deny", Host: "elsewhere.example"}, s)
	for host, want := range map[string]proxy.Action{
		"a.paste.example": proxy.Deny, "apaste.example": proxy.Tunnel, "ask.example": proxy.Deny, "elsewhere.example": proxy.Tunnel, "api.github.com": proxy.Intercept,
	} {
		route := s.Route(t.Context(), proxy.ConnectInfo{Host: host, Port: 443})
		if route.Action != want || want == proxy.Deny && (route.Refusal == nil || route.Refusal.Code != CodePolicy) {
			t.Errorf("%s: %+v", host, route)
		}
		if host == "a.paste.example" && !strings.Contains(route.Reason, line) {
			t.Errorf("%s: %s", host, route.Reason)
		}
	}
}

// TestPolicyWithoutACredential: on a host of a login's, lines hold also where
// no rule has the path and nothing is put on the request.
func TestPolicyWithoutACredential(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	const page = "https://github.com/acme/api/settings"
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, page, nil); got != (outcome{}) {
		t.Fatalf("without a policy: %+v", got)
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Provider: "github", Path: "/*/*/settings"}, s)
	for _, target := range []string{page, "https://github.com/acme/api/Settings", "http://github.com/acme/api/settings"} {
		want := CodePolicy
		if strings.HasPrefix(target, "http:") {
			want = "" // no login has a rule for plain http, so no provider is meant
		}
		if got := f.authorize(t.Context(), s, "kb", http.MethodGet, target, nil); got.code != want {
			t.Errorf("%s: %+v", target, got)
		}
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Host: "github.com"}, s)
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, "http://github.com/other", nil); got.code != CodePolicy {
		t.Errorf("plain http: %+v", got)
	}
}

// TestPolicyOfSeveralVaults: a line is about the profile of its own vault.
func TestPolicyOfSeveralVaults(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.addTeam()
	id := f.line(vaultfile.Policy{Profile: "team/work", Effect: "deny"})
	s := f.start(f.workDir, "team/work")
	if got := f.authorize(t.Context(), s, "kb.team/work", http.MethodGet, apiUser, nil); got.code != CodePolicy {
		t.Errorf("team/work: %+v", got)
	}
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, nil); got != sendsOn {
		t.Errorf("work of the default vault: %+v", got)
	}
	lines := f.broker.Policies()
	if len(lines) != 1 || lines[0].Profile != "team/work" || lines[0].Vault != "team" {
		t.Errorf("%+v", lines)
	}
	if err := f.broker.RemovePolicy(t.Context(), "team/"+id); err != nil || len(f.broker.Policies()) != 0 {
		t.Error(err)
	}
	var unknown *UnknownPolicyError
	if err := f.broker.RemovePolicy(t.Context(), id); !errors.As(err, &unknown) {
		t.Error(err)
	}
}

// TestPolicyThatCannotBeEnforced: a vault with such a line is not used, and a
// session that runs goes on with what it knew.
func TestPolicyThatCannotBeEnforced(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Methods: []string{"DELETE"}}, s)
	err := f.broker.Edit(t.Context(), func(tx *vaultfile.Tx) error {
		_, err := tx.PutPolicy(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/[a-z]+//"})
		return err
	})
	var invalid *policy.InvalidError
	if !errors.As(err, &invalid) || invalid.Field != "path" {
		t.Errorf("taken: %v", err)
	}
	if _, err := Open(t.Context(), f.options); !errors.As(err, &invalid) {
		t.Errorf("opened: %v", err)
	}
	s.lookNow(t.Context())
	if got := f.authorize(t.Context(), s, "kb", http.MethodDelete, apiUser, nil); got.code != CodePolicy {
		t.Errorf("the session forgot its policy: %+v", got)
	}
}
