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
	"kb/internal/testkit"
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
		s.refresh(f.Context())
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
		changed := s.WaitingChanged()
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
	s.refresh(t.Context())
	if got := send(http.MethodDelete, apiUser); got.status != http.StatusOK {
		t.Errorf("after the line was removed: %d %+v", got.status, got.refusal)
	}
	requests, injected, refused := s.Counts()
	if requests != 5 || injected != 4 || refused != 1 {
		t.Errorf("counted %d requests, %d with a credential, %d refused", requests, injected, refused)
	}
}

// TestHeldRequest: what a person is shown, what each answer does, and what the
// audit says of it.
func TestHeldRequest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	line := f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Provider: "github", Methods: []string{"POST"}}, s)
	ctx := t.Context()
	post := func() <-chan outcome {
		return f.asks(ctx, s, http.MethodPost, apiIssue+"?secret=1", http.Header{"Content-Type": {"application/json; charset=utf-8"}})
	}

	first := post()
	r := f.waiting(s, 1)[0]
	if len(r.ID) != 6 || r.Session != s.ID || r.Profile != "work" || r.Provider != "github" || r.Method != "POST" || r.Host != "api.github.com" || r.Port != 443 ||
		r.Path != "/repos/acme/api/issues" || r.Repository != "github.com/acme/api" || r.Git != "" || r.Mint || r.Policy != line || r.Rule != "ask POST at github" ||
		r.Agent != "agent" || r.Dir != f.workDir || r.Type != "application/json" || r.Deadline.Sub(r.Asked).Round(time.Second) != holdTime {
		t.Errorf("a person is shown %+v", r)
	}
	f.answer(s, r.ID, control.Once)
	if got := f.ended(first); got != sendsOn {
		t.Errorf("approved: %+v", got)
	}
	if err := s.Answer(ctx, r.ID, control.Once); !errors.Is(err, control.ErrNoRequest) {
		t.Errorf("answered twice: %v", err)
	}

	second := post() // once was once
	r = f.waiting(s, 1)[0]
	if err := s.Answer(ctx, r.ID, "perhaps"); err == nil || errors.Is(err, control.ErrNoRequest) {
		t.Errorf("an answer that is none: %v", err)
	}
	f.answer(s, r.ID, control.Deny)
	if got := f.ended(second); got.code != CodeApprovalDenied {
		t.Errorf("denied: %+v", got)
	}

	third, fourth := post(), post()
	r = f.waiting(s, 2)[1]
	f.answer(s, r.ID, control.Session)
	if a, b := f.ended(third), f.ended(fourth); a != sendsOn || b != sendsOn {
		t.Errorf("approved for the session: %+v, %+v", a, b)
	}
	if got := f.ended(post()); got != sendsOn {
		t.Errorf("after that: %+v", got)
	}

	var told []string
	for _, e := range f.auditOf(s) {
		if e.Action == actionAsk || e.Phase == audit.PhaseIntent || e.Phase == audit.PhaseRefused {
			told = append(told, e.Phase+" "+e.Action+" "+e.Reason+" "+e.Error)
		}
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{
		"ask ask", "policy " + line + ": ask POST at github; a person approved it ", "a person denied it approval-denied",
		"a person approved it and its like for this session", "a person approved such requests for this session",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the audit does not say %q:\n%s", want, text)
		}
	}
	if n := strings.Count(text, "ask ask"); n != 4 {
		t.Errorf("%d lines of waiting requests, want 4:\n%s", n, text)
	}
}

func TestDeniedForTheSession(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	first := f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
	f.answer(s, f.waiting(s, 1)[0].ID, control.DenySession)
	if got := f.ended(first); got.code != CodeApprovalDenied {
		t.Errorf("%+v", got)
	}
	if got := f.ended(f.asks(t.Context(), s, http.MethodGet, apiUser, nil)); got.code != CodeApprovalDenied {
		t.Errorf("the next: %+v", got)
	}
}

// TestHeldRequestThroughTheProxy: a real client waits and gets its answer.
func TestHeldRequestThroughTheProxy(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	got := make(chan answer, 1)
	go func() {
		defer close(got)
		got <- f.get(s, "", http.MethodPost, apiIssue, nil)
	}()
	r := f.waiting(s, 1)[0]
	if _, n := f.arrived(); n != 0 || r.Body != 0 {
		t.Errorf("%d requests arrived before the answer, a body of %d", n, r.Body)
	}
	f.answer(s, r.ID, control.Once)
	if a := <-got; a.status != http.StatusOK {
		t.Errorf("%d %+v", a.status, a.refusal)
	}
	if token, n := f.arrived(); n != 1 || token != f.workToken {
		t.Errorf("%d requests arrived, with %q", n, token)
	}
}

// TestHeldRequestTimesOut: nobody answers, and the agent is told.
func TestHeldRequestTimesOut(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	over := make(chan time.Time)
	var patience atomic.Int64
	s.approvals.after = func(d time.Duration) (<-chan time.Time, func() bool) {
		patience.Store(int64(d))
		return over, func() bool { return true }
	}
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	request := f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
	r := f.waiting(s, 1)[0]
	over <- time.Time{}
	if got := f.ended(request); got.code != CodeApprovalTimeout {
		t.Errorf("%+v", got)
	}
	if d := time.Duration(patience.Load()); d > holdTime || d < holdTime-time.Minute {
		t.Errorf("it would have waited %s", d)
	}
	if err := s.Answer(t.Context(), r.ID, control.Once); !errors.Is(err, control.ErrNoRequest) || len(s.Waiting()) != 0 {
		t.Errorf("it still waits: %v", err)
	}
}

// TestHeldRequestIsAbandoned: the client goes, or the session ends.
func TestHeldRequestIsAbandoned(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	ctx, leave := context.WithCancel(t.Context())
	request := f.asks(ctx, s, http.MethodGet, apiUser, nil)
	f.waiting(s, 1)
	leave()
	if got := f.ended(request); got.code != CodeApprovalAbandoned {
		t.Errorf("the client left: %+v", got)
	}
	f.waiting(s, 0)
	request = f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
	f.waiting(s, 1)
	s.end()
	if got := f.ended(request); got.code != CodeApprovalAbandoned {
		t.Errorf("the session ended: %+v", got)
	}
	if _, n := f.arrived(); n != 0 {
		t.Errorf("%d requests arrived", n)
	}
}

// TestJudgedAgainAfterTheWait: what the vault says when a person has answered
// counts, not what it said when the request came.
func TestJudgedAgainAfterTheWait(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for _, c := range []struct {
		name   string
		change func() error
		want   outcome
	}{
		{"nothing changed", func() error { return nil }, sendsOn},
		{"a line denies it now", func() error {
			_, err := f.broker.AddPolicy(t.Context(), vaultfile.Policy{Profile: "work", Effect: "deny", Provider: "github", Host: "api.github.com", Path: "/user"})
			return err
		}, outcome{code: CodePolicy}},
		{"the login is gone", func() error { return f.broker.RemoveLogin(t.Context(), "work", "github", "") }, outcome{code: CodeLoginNeeded}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := f.start(f.workDir)
			ask := vaultfile.Policy{Profile: "work", Effect: "ask", Provider: "github"}
			if _, err := f.broker.AddPolicy(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
			s.refresh(t.Context())
			request := f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
			r := f.waiting(s, 1)[0]
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			s.refresh(t.Context())
			f.answer(s, r.ID, control.Once)
			if got := f.ended(request); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
			for _, l := range f.broker.Policies() {
				if err := f.broker.RemovePolicy(t.Context(), l.ID); err != nil {
					t.Fatal(err)
				}
			}
		})
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
	s.refresh(t.Context())
	if got := f.authorize(t.Context(), s, "kb", http.MethodDelete, apiUser, nil); got.code != CodePolicy {
		t.Errorf("the session forgot its policy: %+v", got)
	}
}

// TestAllowAlways: the line that "always" writes wins over the one that asks,
// and is about that request alone.
func TestAllowAlways(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask", Provider: "github", Methods: []string{"POST", "PATCH"}, Path: "/repos/**"}, s)
	request := f.asks(t.Context(), s, http.MethodPost, apiIssue, nil)
	r := f.waiting(s, 1)[0]
	shown, err := f.broker.AlwaysLine(r)
	if err != nil || len(f.broker.Policies()) != 1 {
		t.Fatalf("%v, %d lines", err, len(f.broker.Policies()))
	}
	written, err := f.broker.AllowAlways(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	shown.ID = written.ID
	if a, b := ruleWords(&shown), ruleWords(&written); a != b || a != "allow POST at github on api.github.com path /repos/acme/api/issues repository github.com/acme/api" {
		t.Errorf("shown %q, written %q", a, b)
	}
	if again, err := f.broker.AllowAlways(t.Context(), r); err != nil || again.ID != written.ID || len(f.broker.Policies()) != 2 {
		t.Errorf("twice: %v, %d lines", err, len(f.broker.Policies()))
	}
	f.answer(s, r.ID, control.Once)
	if got := f.ended(request); got != sendsOn {
		t.Error(got)
	}
	s.refresh(t.Context())
	if got := f.ended(f.asks(t.Context(), s, http.MethodPost, apiIssue, nil)); got != sendsOn {
		t.Errorf("the same again: %+v", got)
	}
	other := f.asks(t.Context(), s, http.MethodPost, "https://api.github.com/repos/acme/api/pulls", nil)
	f.answer(s, f.waiting(s, 1)[0].ID, control.Deny)
	f.ended(other)

	// What one line cannot say without saying more is not said.
	for name, c := range map[string]struct {
		change func(*control.Request)
		want   error
	}{
		"a star in the path": {func(r *control.Request) { r.Path = "/repos/acme/*/issues" }, errWildPath},
		"several methods":    {func(r *control.Request) { r.Method = "POST, DELETE" }, errManyWays},
		"two dots":           {func(r *control.Request) { r.Path = "/repos/../x" }, proxy.ErrAmbiguousPath},
	} {
		odd := r
		c.change(&odd)
		if _, err := f.broker.AlwaysLine(odd); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	f.line(vaultfile.Policy{
		Profile: "work", Effect: "ask", Provider: "github", Methods: []string{"POST"}, Host: "api.github.com", Path: "/repos/acme/api/pulls", Repository: "github.com/acme/api",
	}, s)
	exact := r
	exact.Path = "/repos/acme/api/pulls"
	if _, err := f.broker.AllowAlways(t.Context(), exact); !errors.Is(err, errStillAsks) {
		t.Errorf("a line that says as much: %v", err)
	}
}

// TestWaitingChangedTellsEachChange: whoever takes the channel before the list
// misses nothing.
func TestWaitingChangedTellsEachChange(t *testing.T) {
	t.Parallel()
	a := newApprovals(time.Now)
	s := &Session{approvals: a}
	changed := s.WaitingChanged()
	h, _, err := a.hold(control.Request{}, likeness{}, time.Now().Add(time.Minute), func(control.Request) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Second, "a request waits", func() bool { return closed(changed) })
	changed = s.WaitingChanged()
	if closed(changed) {
		t.Fatal("closed without a change")
	}
	if err := s.Answer(t.Context(), h.request.ID, control.Once); err != nil || !closed(changed) {
		t.Errorf("answered: %v, told %v", err, closed(changed))
	}
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
