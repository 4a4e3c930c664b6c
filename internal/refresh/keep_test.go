package refresh_test

import (
	"context"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

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
			if left := got.Expires.Sub(time.Now()); left < 3*time.Minute {
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
