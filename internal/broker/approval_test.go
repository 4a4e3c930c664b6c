package broker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kb/internal/audit"
	"kb/internal/control"
	"kb/internal/testkit"
	"kb/proxy"
	"kb/vaultfile"
)

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

// TestClientOfAHeldRequestGoes: a real client breaks off, and what it asked is
// not asked any more.
func TestClientOfAHeldRequestGoes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	ctx, leave := context.WithCancel(t.Context())
	transport := f.transport(s, "")
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, apiIssue, nil)
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() {
		response, err := transport.RoundTrip(request)
		if err == nil {
			_ = response.Body.Close()
		}
		failed <- err
	}()
	r := f.waiting(s, 1)[0]
	leave()
	if err := <-failed; err == nil {
		t.Error("the client got an answer")
	}
	f.waiting(s, 0)
	if err := s.Answer(t.Context(), r.ID, control.Once); !errors.Is(err, control.ErrNoRequest) {
		t.Errorf("it can still be approved: %v", err)
	}
	if _, n := f.arrived(); n != 0 {
		t.Errorf("%d requests arrived", n)
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
		{"the login is gone", func() error { return f.logout("work", "github") }, outcome{code: CodeLoginNeeded}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := f.start(f.workDir)
			ask := vaultfile.Policy{Profile: "work", Effect: "ask", Provider: "github"}
			if _, err := f.broker.AddPolicy(t.Context(), ask); err != nil {
				t.Fatal(err)
			}
			s.lookNow(t.Context())
			request := f.asks(t.Context(), s, http.MethodGet, apiUser, nil)
			r := f.waiting(s, 1)[0]
			if err := c.change(); err != nil {
				t.Fatal(err)
			}
			s.lookNow(t.Context())
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
	if a, b := PolicyWords(shown), PolicyWords(written); a != b || a != "allow POST at github on api.github.com path /repos/acme/api/issues repository github.com/acme/api" {
		t.Errorf("shown %q, written %q", a, b)
	}
	if again, err := f.broker.AllowAlways(t.Context(), r); err != nil || again.ID != written.ID || len(f.broker.Policies()) != 2 {
		t.Errorf("twice: %v, %d lines", err, len(f.broker.Policies()))
	}
	f.answer(s, r.ID, control.Once)
	if got := f.ended(request); got != sendsOn {
		t.Error(got)
	}
	// At once, and not when the session looks at its vault the next time.
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

// TestWatchersHearOfWhatWaits: whoever takes the channel before the list misses
// nothing.
func TestWatchersHearOfWhatWaits(t *testing.T) {
	t.Parallel()
	a := newApprovals(time.Now)
	s := &Session{approvals: a}
	s.prepareConsole()
	changed := s.Changed()
	h, _, err := a.hold(control.Request{}, likeness{}, time.Now().Add(time.Minute), func(control.Request) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, time.Second, "a request waits", func() bool { return closed(changed) })
	changed = s.Changed()
	if closed(changed) {
		t.Fatal("closed without a change")
	}
	if err := s.approvals.answer(h.request.ID, control.Once); err != nil || !closed(changed) {
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
