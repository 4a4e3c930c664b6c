package oauth_test

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
)

func TestCodeFlow(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	if res := w.do(http.MethodGet, w.browse(l.URL()).String()); res.StatusCode != http.StatusOK {
		t.Fatalf("the callback answered %d", res.StatusCode)
	}
	got, err := l.Wait(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if !w.Valid(got.Access.Reveal()) || !w.Good(got.Refresh.Reveal()) {
		t.Error("the tokens are not the server's")
	}
	if want := w.clock.Now().Add(time.Hour); !got.Expires.Equal(want) {
		t.Errorf("expires %v, want %v", got.Expires, want)
	}
	if len(got.Scopes) != 1 || got.Scopes[0] != "read" || got.Type != "Bearer" {
		t.Errorf("got scopes %q, type %q", got.Scopes, got.Type)
	}
}

func TestRefresh(t *testing.T) {
	w := newWorld(t)
	_, old := w.Grant("cli", "read")
	got, err := w.flows.Refresh(w.ctx(), w.server(), w.client, secret.New(old), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !w.Valid(got.Access.Reveal()) || got.Refresh.Equal(secret.New(old)) {
		t.Error("the tokens were not changed")
	}
	// A server that does not rotate leaves the refresh token out.
	w.SetRotate(false)
	again, err := w.flows.Refresh(w.ctx(), w.server(), w.client, got.Refresh, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !again.Refresh.Equal(got.Refresh) {
		t.Error("the refresh token that stays good was lost")
	}
	_, err = w.flows.Refresh(w.ctx(), w.server(), w.client, secret.New(old), nil)
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.CodeInvalidGrant || e.Temporary() {
		t.Errorf("a used refresh token: %v", err)
	}
}

func TestDeviceFlow(t *testing.T) {
	w := newWorld(t)
	d, err := w.flows.Device(w.ctx(), w.server(), w.client, []string{"read"})
	if err != nil {
		t.Fatal(err)
	}
	w.AuthServer.Device(d.UserCode, "approved", "authorization_pending", "slow_down", "authorization_pending")
	got, err := d.Wait(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if !w.Valid(got.Access.Reveal()) {
		t.Error("the token is not the server's")
	}
	want := []time.Duration{5 * time.Second, 5 * time.Second, 10 * time.Second, 10 * time.Second}
	if len(w.clock.waits) != len(want) {
		t.Fatalf("waited %v, want %v", w.clock.waits, want)
	}
	for i := range want {
		if w.clock.waits[i] != want[i] {
			t.Fatalf("waited %v, want %v", w.clock.waits, want)
		}
	}
}
