package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
)

// What a server can do in place of an answer, over real TLS. The token that
// lives is used on, the state says why, and nothing is needed to recover.
func TestBadAnswersKeepTheOldToken(t *testing.T) {
	big := strings.Repeat("x", 2<<20)
	for name, bad := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
		"503 with an error code": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(503)
			fmt.Fprint(w, `{"error":"invalid_grant"}`)
		},
		"429": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(429)
		},
		"HTML": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<html>Welcome to our hotel's network</html>")
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"%s"}`, big)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `{"access_`)
			panic(http.ErrAbortHandler)
		},
		"no token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{}`)
		},
		"a line break in the token": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"access_token":"a\r\nX: y","token_type":"Bearer"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemote(t, false)
			failing := true
			r.answer = func(w http.ResponseWriter, q *http.Request) bool {
				if failing {
					bad(w, q)
				}
				return failing
			}
			// Due, and alive for another minute.
			due := r.stored()
			due.Access, due.Expires = secret.New("alive"), time.Now().Add(time.Minute)
			r.put(due)
			m := managerOf(r.store, nil)
			for range 50 {
				got, err := m.Token(t.Context(), remoteLogin(r.url))
				if err != nil || got.Access.Reveal() != "alive" {
					t.Fatalf("%v", err)
				}
			}
			m.Wait()
			got := r.stored()
			if got.State != refresh.StateOffline || got.Failures == 0 || got.Reason == "" || got.Retry.IsZero() {
				t.Errorf("stored: %q because %q, %d failures", got.State, got.Reason, got.Failures)
			}
			if strings.Contains(got.Reason, "refresh-0") || strings.Contains(got.Reason, "client-secret") {
				t.Errorf("the reason holds a secret: %q", got.Reason)
			}
			if wait := got.Retry.Sub(got.Since); name == "429" && (wait < 6*time.Second || wait > 8*time.Second) {
				t.Errorf("it waits for %v, and was asked for 7s", wait)
			}
			st, _, _, next := refresh.Standing(got, nil, time.Now())
			if st != refresh.StateOffline || !next.Equal(got.Retry) {
				t.Errorf("standing is %q until %v", st, next)
			}
			// It recovers by itself, when the wait is over.
			failing = false
			got.Retry = time.Now().Add(-time.Second)
			got.Expires = time.Now().Add(-time.Second)
			r.put(got)
			now, err := managerOf(r.store, nil).Token(t.Context(), remoteLogin(r.url))
			if err != nil || !r.accepts(now) {
				t.Fatalf("stale, or %v", err)
			}
			if got := r.stored(); got.State != refresh.StateOK || got.Failures != 0 || !got.Retry.IsZero() {
				t.Errorf("stored: %q, %d failures", got.State, got.Failures)
			}
		})
	}
}

func (r *remote) stored() state.Token {
	r.t.Helper()
	t, _, err := r.store.Token(remoteLogin("").Key)
	if err != nil {
		r.t.Fatal(err)
	}
	return t
}

func (r *remote) put(t state.Token) {
	r.t.Helper()
	if err := r.store.PutToken(context.Background(), remoteLogin("").Key, t); err != nil {
		r.t.Fatal(err)
	}
}

// A server that is down for an hour is asked with growing waits of at most a
// minute, by all sessions together, and a token that is over is an error at
// once.
func TestBackoffIsSharedAndBounded(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.fault = func(int) (error, bool) { return &oauth.Error{Endpoint: "token", Status: 502}, false }
	r.clock.pass(time.Hour)
	managers := []*refresh.Manager{r.m, r.manager(), r.manager()}
	for range 3600 {
		for _, m := range managers {
			var offline *refresh.OfflineError
			if _, err := m.Token(t.Context(), r.login); !errors.As(err, &offline) {
				t.Fatalf("error is %v", err)
			}
		}
		r.clock.pass(time.Second)
	}
	// Full jitter over a minute is half a minute on average.
	if n := r.issuer.asked(); n < 80 || n > 200 {
		t.Errorf("%d token requests in an hour", n)
	}
	r.issuer.fault = nil
	r.clock.pass(time.Minute)
	r.use(managers[1])
}

// A person who asks does not wait, and a clock that is set back does not make
// the wait a day.
func TestWaitIsOverEarlier(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.fault = func(n int) (error, bool) {
		if n == 1 {
			return &oauth.Error{Endpoint: "token", Status: 429, RetryAfter: 24 * time.Hour}, false
		}
		return nil, false
	}
	r.clock.pass(2 * time.Hour)
	if _, err := r.m.Token(t.Context(), r.login); err == nil {
		t.Fatal("a token that is over")
	}
	if wait := r.stored().Retry.Sub(r.clock.now()); wait != 10*time.Minute {
		t.Errorf("it waits for %v", wait)
	}
	if _, err := r.m.Token(t.Context(), r.login); err == nil {
		t.Fatal("a token that is over")
	}
	r.requests(1)
	if _, err := r.m.Now(t.Context(), r.login); err != nil {
		t.Error(err)
	}
	r.requests(2)
	bad := r.stored()
	bad.State, bad.Retry, bad.Expires = refresh.StateOffline, r.clock.now().Add(24*time.Hour), r.clock.now().Add(-time.Second)
	if err := r.store.PutToken(t.Context(), r.login.Key, bad); err != nil {
		t.Fatal(err)
	}
	r.use(r.m)
}

// The answer is lost on its way, after the server rotated: asked again, a
// server that minds ends the login, and the reason names the loss. One that does not mind
// gives tokens.
func TestResponseLostAfterRotation(t *testing.T) {
	for _, reuse := range []bool{true, false} {
		r := newRig(t, time.Hour).loggedIn()
		r.issuer.reuse, r.issuer.rotate = reuse, reuse
		r.issuer.fault = func(n int) (error, bool) {
			if n == 1 {
				return &oauth.Error{Endpoint: "token", Description: "connection reset"}, true
			}
			return nil, false
		}
		r.clock.pass(2 * time.Hour)
		if _, err := r.m.Token(t.Context(), r.login); err == nil {
			t.Fatal("a token that is over")
		}
		if r.journal() == nil {
			t.Error("the journal was cleared without an answer")
		}
		lost := r.clock.now()
		r.clock.pass(time.Minute)
		got, err := r.m.Token(t.Context(), r.login)
		if !reuse {
			if err != nil || !r.issuer.accepts(got) || r.journal() != nil {
				t.Errorf("stale, or %v", err)
			}
			continue
		}
		var needs *refresh.NeedsLoginError
		if !errors.As(err, &needs) || !strings.Contains(needs.Reason, lost.Format(time.RFC3339)+" was lost") {
			t.Errorf("error is %v", err)
		}
		for range 100 {
			r.clock.pass(time.Minute)
			if _, err := r.manager().Token(t.Context(), r.login); err == nil {
				t.Fatal("a token of a dead family")
			}
		}
		r.requests(2)
	}
}

// A request that never left is no lost answer.
func TestUnreachableServerLosesNothing(t *testing.T) {
	r := newRemote(t, true)
	m := managerOf(r.store, nil)
	l := remoteLogin("https://127.0.0.1:1/token")
	var offline *refresh.OfflineError
	if _, err := m.Token(t.Context(), l); !errors.As(err, &offline) {
		t.Fatalf("error is %v", err)
	}
	if _, ok, err := r.store.Journal(l.Key); ok || err != nil {
		t.Errorf("there is a journal entry: %v, %v", ok, err)
	}
}

// invalid_grant, and another process has saved other tokens meanwhile: they are
// adopted.
func TestInvalidGrantAdoptsWhatChanged(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.clock.pass(2 * time.Hour)
	r.issuer.current = "refresh-of-a-new-login"
	r.issuer.fault = func(int) (error, bool) {
		r.loggedIn() // by somebody who does not take locks
		return &oauth.Error{Endpoint: "token", Status: 400, Code: oauth.CodeInvalidGrant}, false
	}
	r.use(r.m)
	r.requests(1)
	if r.journal() != nil {
		t.Error("the journal was not cleared")
	}
}

// A login or a logout while a refresh is on its way is not undone by it.
func TestRefreshDoesNotUndoAPerson(t *testing.T) {
	t.Run("login", func(t *testing.T) {
		r := newRig(t, time.Hour).loggedIn()
		r.clock.pass(2 * time.Hour)
		old := r.login
		r.issuer.fault = func(int) (error, bool) {
			r.login.Made = r.clock.now()
			r.loggedIn()
			return nil, false
		}
		if _, err := r.m.Token(t.Context(), old); err != nil {
			t.Fatal(err)
		}
		if !r.stored().Made.Equal(r.login.Made) {
			t.Error("the tokens of the older login replaced those of the newer")
		}
	})
	t.Run("logout", func(t *testing.T) {
		r := newRig(t, time.Hour).loggedIn()
		r.clock.pass(2 * time.Hour)
		r.issuer.fault = func(int) (error, bool) { return nil, r.store.DeleteToken(r.login.Key) != nil }
		if _, err := r.m.Token(t.Context(), r.login); err == nil {
			t.Error("a token after a logout")
		}
		if _, ok, _ := r.store.Token(r.login.Key); ok {
			t.Error("the tokens are back after a logout")
		}
	})
}

// The disk is full, or read-only, when new tokens are to be saved: they are
// used, it is said, no other process uses the dead refresh token, and they are
// saved as soon as that is possible.
func TestSaveFailed(t *testing.T) {
	for _, errno := range []error{syscall.ENOSPC, syscall.EROFS} {
		r := newRig(t, time.Hour).loggedIn()
		r.issuer.rotate, r.issuer.reuse = true, true
		full := newFullDisk(t, r.dir, errno)
		r.m.SetDisk(full)
		r.m.SetStep(func(step string) {
			if step == "answered" {
				full.on.Store(true)
			}
		})
		r.clock.pass(2 * time.Hour)
		first := r.use(r.m)
		if len(r.warned) == 0 || !strings.Contains(r.warned[0], "could not be saved") || !strings.Contains(first.Reason, "could not be saved") {
			t.Errorf("said: %q, reason %q", r.warned, first.Reason)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := r.manager().Token(ctx, r.login); err == nil {
			t.Error("another process has a token")
		}
		cancel()
		r.requests(1)
		// For as long as it takes, and over the next refresh.
		r.clock.pass(2 * time.Hour)
		r.use(r.m)
		r.requests(2)
		full.on.Store(false)
		r.m.SetStep(func(string) {})
		r.clock.pass(2 * time.Second)
		last := r.use(r.m)
		if got := r.stored(); !got.Access.Equal(last.Access) || r.journal() != nil || strings.Contains(got.Reason, "saved") {
			t.Errorf("%v: not saved; reason %q", errno, got.Reason)
		}
		r.use(r.manager())
		r.requests(2)
		if !r.issuer.alive() {
			t.Error("the family is dead")
		}
	}
}

// A disk that cannot keep an answer: nothing is asked.
func TestNothingIsAskedThatCannotBeKept(t *testing.T) {
	r := newRig(t, time.Hour).loggedIn()
	r.issuer.rotate, r.issuer.reuse = true, true
	full := newFullDisk(t, r.dir, syscall.ENOSPC)
	full.on.Store(true)
	r.m.SetDisk(full)
	r.clock.pass(2 * time.Hour)
	var offline *refresh.OfflineError
	if _, err := r.m.Token(t.Context(), r.login); !errors.As(err, &offline) || !strings.Contains(offline.Reason, "no space left") {
		t.Errorf("error is %v", err)
	}
	r.requests(0)
	full.on.Store(false)
	r.clock.pass(time.Minute)
	r.use(r.m)
	r.requests(1)
}

// fullDisk makes no files while it is on.
type fullDisk struct {
	*faultdisk.Disk
	err error
	on  atomic.Bool
}

func newFullDisk(t *testing.T, dir string, err error) *fullDisk {
	t.Helper()
	d, failed := faultdisk.New(dir, nil)
	if failed != nil {
		t.Fatal(failed)
	}
	return &fullDisk{Disk: d, err: err}
}

func (d *fullDisk) Create(path string) (atomicfile.File, error) {
	if d.on.Load() {
		return nil, &fs.PathError{Op: "create", Path: path, Err: d.err}
	}
	return d.Disk.Create(path)
}
