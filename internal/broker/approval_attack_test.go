package broker

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"kb/internal/control"
	"kb/internal/secret"
	"kb/proxy"
	"kb/vaultfile"
)

// sameBytes is a source of the same bytes for ever: the luck of who asks again and
// again until an id comes a second time.
type sameBytes struct{}

func (sameBytes) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}

// TestAttackIDComesAgain: a person is about to type the id of the request that
// they see, or its beginning. The agent withdraws that one, and makes others until
// one has the id.
func TestAttackIDComesAgain(t *testing.T) {
	t.Parallel()
	now := time.Now()
	a := newApprovals(func() time.Time { return now })
	a.random = sameBytes{}
	hold := func() (*held, bool) {
		t.Helper()
		h, full, err := a.hold(control.Request{}, likeness{}, now.Add(holdTime), func(control.Request) error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		return h, full
	}
	gone, leave := context.WithCancel(t.Context())
	leave()
	seen := map[string]bool{}
	first, _ := hold()
	if got := a.find(first.request.ID); got != 0 { // the positive control
		t.Fatalf("it waits at %d", got)
	}
	seen[first.request.ID[:4]] = true
	if ended := a.wait(gone, t.Context(), first); ended != abandoned {
		t.Fatalf("ended %d", ended)
	}
	for i := range holdRate - 1 {
		h, full := hold()
		if full {
			t.Fatalf("only %d may wait within a minute", i+1)
		}
		if id := h.request.ID; len(id) != 6 || seen[id[:4]] {
			t.Fatalf("%s begins as an id of before", id)
		}
		seen[h.request.ID[:4]] = true
		if err := a.answer(first.request.ID, control.Once); !errors.Is(err, control.ErrNoRequest) {
			t.Fatalf("the answer to the first was taken for %s: %v", h.request.ID, err)
		}
		a.wait(gone, t.Context(), h)
	}
	if _, full := hold(); !full {
		t.Error("an agent may make as many as it likes")
	}
	now = now.Add(2 * time.Minute)
	if _, full := hold(); full {
		t.Error("none may wait a minute later")
	}
}

// TestAttackApprovedAsAnother: what a person approved as one account goes on as
// another, because the login of the name has become another one's.
func TestAttackApprovedAsAnother(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	become := func(account string, sessions ...*Session) {
		f.edit(func(tx *vaultfile.Tx) error {
			return tx.PutLogin(vaultfile.Login{
				Profile: "work", Provider: "github", Method: "token", Account: account,
				Secrets: map[string]secret.Value{"token": secret.New(f.workToken)},
			})
		})
		for _, s := range sessions {
			s.refresh(t.Context())
		}
	}
	become("octocat")
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	get := func() <-chan outcome { return f.asks(t.Context(), s, http.MethodGet, apiUser, nil) }

	ended := get()
	r := f.waiting(s, 1)[0]
	if r.Login != "octocat" {
		t.Fatalf("asked as %q", r.Login)
	}
	f.answer(s, r.ID, control.Session)
	if got := f.ended(ended); got != sendsOn {
		t.Fatalf("%+v", got)
	}
	become("octocat", s) // the positive control: it is the same one
	if got := f.ended(get()); got != sendsOn {
		t.Fatalf("its like: %+v", got)
	}

	// For the session, and then another one is logged in.
	become("admin", s)
	ended = get()
	r2 := f.waitingOr(s, ended, "as another account")
	if r2 == nil {
		return
	}
	if r2.Login != "admin" {
		t.Errorf("asked as %q", r2.Login)
	}
	// Once, and while it waited.
	become("root", s)
	f.answer(s, r2.ID, control.Once)
	if r3 := f.waitingOr(s, ended, "as another account than was shown"); r3 != nil {
		if r3.Login != "root" {
			t.Errorf("asked as %q", r3.Login)
		}
		f.answer(s, r3.ID, control.Deny)
		if got := f.ended(ended); got.code != CodeApprovalDenied {
			t.Errorf("%+v", got)
		}
	}
}

// TestAttackDressedPath: the path is written so that nobody reads what it says.
func TestAttackDressedPath(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "ask"}, s)
	for given, want := range map[string]string{
		"/repos/acme/api/issues":                                             "/repos/acme/api/issues",
		"/%72%65%70%6f%73/acme/api/%68%6f%6f%6b%73/%64%65lete":               "/repos/acme/api/hooks/delete",
		"/repos/acme/api/contents/a%2fb%e2%80%ae":                            "/repos/acme/api/contents/a%2Fb%E2%80%AE",
		"/app/installations/1/%61ccess_tokens/" + strings.Repeat("%61", 700): "/app/installations/1/access_tokens/" + strings.Repeat("a", 700),
	} {
		info := &proxy.RequestInfo{Scheme: "https", Method: http.MethodPost, Path: given}
		info.Host, info.Port, info.User = "api.github.com", 443, "kb"
		ended := make(chan error, 1)
		go func() { _, err := s.Authorize(t.Context(), info); ended <- err }()
		r := f.waiting(s, 1)[0]
		if r.Path != want {
			t.Errorf("%.60s is shown as %.60q", given, r.Path)
		}
		f.answer(s, r.ID, control.Deny)
		if err := <-ended; err == nil {
			t.Error("it went on")
		}
	}
}

// TestAttackPathNamedElsewhere: a field by which some servers read another path
// than the one that was judged.
func TestAttackPathNamedElsewhere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	s := f.start(f.workDir)
	f.line(vaultfile.Policy{Profile: "work", Effect: "deny", Path: "/repos/acme/api/hooks/**"}, s)
	if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, http.Header{"X-Original-Name": {"/repos/acme/api/hooks"}}); got != sendsOn { // the positive control
		t.Fatalf("%+v", got)
	}
	for _, name := range []string{"X-Original-URL", "X-Rewrite-URL", "x_original_url"} {
		if got := f.authorize(t.Context(), s, "kb", http.MethodGet, apiUser, http.Header{name: {"/repos/acme/api/hooks"}}); got.code != CodePath {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
