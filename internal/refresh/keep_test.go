package refresh_test

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
)

// A session that nobody uses for a day keeps its logins: at every moment there
// is a token with life left, and it costs one request a life.
func TestKeepForADay(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, dir)
		start := time.Now()
		s := newIssuer(time.Now, time.Hour)
		s.rotate, s.reuse = true, true
		m := refresh.New(refresh.Options{
			Store: store, Exchange: s.exchange(time.Now), Elapsed: func() time.Duration { return time.Since(start) },
		})
		l := refresh.Login{
			Key: state.LoginKey{Profile: "work", Provider: "linear"}, Made: start,
			Grant: func() (refresh.Grant, error) { return refresh.Grant{Kind: refresh.KindRefresh}, nil },
		}
		unused := l
		unused.Key.Provider = "jira"
		err := store.PutToken(t.Context(), l.Key, state.Token{
			Access: secret.New("over"), Refresh: secret.New("refresh-0"), Made: start, Obtained: start.Add(-time.Hour), Expires: start,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Keep(ctx, func() []refresh.Login { return []refresh.Login{l, unused} })
		}()
		for range 24 * 60 {
			time.Sleep(time.Minute)
			got, _, err := store.Token(l.Key)
			if err != nil {
				t.Fatal(err)
			}
			if left := time.Until(got.Expires); left < 3*time.Minute {
				t.Fatalf("%v of life left", left)
			}
		}
		if n := s.asked(); n < 25 || n > 28 {
			t.Errorf("%d token requests in a day", n)
		}
		cancel()
		<-done
		m.Wait()
	})
}

// Users of one process who find a token that is over wait for one flight, and
// do not queue for the lock one after the other.
func TestSingleFlight(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer(time.Now, time.Hour)
		s.rotate, s.reuse = true, true
		exchange := s.exchange(time.Now)
		store, start := openStore(t, dir), time.Now()
		m := refresh.New(refresh.Options{
			Store: store, Elapsed: func() time.Duration { return time.Since(start) },
			Exchange: func(ctx context.Context, g refresh.Grant, with secret.Value) (oauth.Tokens, error) {
				time.Sleep(time.Second)
				return exchange(ctx, g, with)
			},
		})
		var flights atomic.Int64
		m.SetStep(func(step string) {
			if step == "flight" {
				flights.Add(1)
			}
		})
		l := refresh.Login{
			Key: state.LoginKey{Profile: "work", Provider: "linear"}, Made: start, Shared: secret.New("refresh-0"),
			Grant: func() (refresh.Grant, error) { return refresh.Grant{Kind: refresh.KindRefresh}, nil },
		}
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got, err := m.Token(t.Context(), l); err != nil || !s.accepts(got) {
					t.Errorf("stale, or %v", err)
				}
			})
		}
		// One whose caller leaves goes on without it.
		gone, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := m.Token(gone, l); !errors.Is(err, context.Canceled) {
				t.Errorf("error is %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if n := flights.Load(); n != 1 {
			t.Errorf("%d flights, want 1", n)
		}
	})
}

// What a grant needs, a reference or a server's metadata, may be out of reach
// for hours. It is not asked for every second.
func TestGrantThatFailsIsNotAskedForAllTheTime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	synctest.Test(t, func(t *testing.T) {
		store := openStore(t, dir)
		start := time.Now()
		s := newIssuer(time.Now, time.Hour)
		m := refresh.New(refresh.Options{
			Store: store, Exchange: s.exchange(time.Now), Elapsed: func() time.Duration { return time.Since(start) },
		})
		var asked atomic.Int64
		var broken atomic.Bool
		broken.Store(true)
		l := refresh.Login{Key: state.LoginKey{Profile: "work", Provider: "linear"}, Made: start, Grant: func() (refresh.Grant, error) {
			asked.Add(1)
			if broken.Load() {
				return refresh.Grant{}, errors.New("the keyring is locked")
			}
			return refresh.Grant{Kind: refresh.KindRefresh}, nil
		}}
		err := store.PutToken(t.Context(), l.Key, state.Token{
			Access: secret.New("over"), Refresh: secret.New("refresh-0"), Made: start, Obtained: start.Add(-time.Hour), Expires: start,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			m.Keep(ctx, func() []refresh.Login { return []refresh.Login{l} })
		}()
		time.Sleep(time.Hour)
		if n := asked.Load(); n < 6 || n > 20 {
			t.Errorf("asked %d times in an hour", n)
		}
		broken.Store(false)
		time.Sleep(11 * time.Minute)
		if s.asked() != 1 {
			t.Errorf("%d token requests when it could be had again", s.asked())
		}
		cancel()
		<-done
		m.Wait()
	})
}
