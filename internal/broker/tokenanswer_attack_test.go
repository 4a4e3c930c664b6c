package broker

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/vaultfile"
)

// agentOf is a session whose login's client nobody knows yet, and an agent in it
// that refreshes as whoever it says it is.
func agentOf(g *granted) (s *Session, refresh func(client string) int) {
	g.Helper()
	g.mustGrant(OAuthLogin{})
	g.edit(func(tx *vaultfile.Tx) error { return tx.DeleteClient("acme") })
	s = g.start(g.workDir)
	_, placeholder, _ := tokenPlaceholders(s)
	return s, func(client string) int {
		g.Helper()
		body, _ := json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": placeholder, "client_id": client})
		status, _ := g.post(s, tokenURL, "application/json", body, nil)
		return status
	}
}

// TestAttackClientOfAnotherProgram: an agent says that it is a program which the
// server knows, and which the login is not of. The server refuses the refresh
// token as one that is no good; the login does not end with that.
func TestAttackClientOfAnotherProgram(t *testing.T) {
	g := newGranted(t)
	g.auth.AddClient("another-program", "")
	s, refresh := agentOf(g)
	if status := refresh("another-program"); status != http.StatusOK {
		t.Errorf("while the token lives: status %d", status)
	}
	// Positive control: the server was asked, and said that about the token.
	requests := g.auth.Requests()
	if last := requests[len(requests)-1]; last.Grant != "refresh_token" || last.Said != "invalid_grant" {
		t.Fatalf("control: the last request was %+v", last)
	}
	if token, _ := g.stored(); !g.auth.Good(token.Refresh.Reveal()) {
		t.Fatal("the refresh token is lost")
	}
	if status := refresh("kb-client"); status != http.StatusOK {
		t.Errorf("the program itself: status %d", status)
	}
	g.clock.move(2 * time.Hour)
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("two hours later: status %d %+v; the login stands as %+v", got.status, got, g.state())
	}
}

// TestAttackManyClients: an agent makes up clients without end. The server is
// not asked about each, and the right one is learned all the same.
func TestAttackManyClients(t *testing.T) {
	g := newGranted(t)
	s, refresh := agentOf(g)
	before := g.auth.Count("refresh_token")
	for i := range 40 {
		refresh(fmt.Sprintf("made-up-%d", i))
	}
	if n := g.auth.Count("refresh_token") - before; n > freeTries {
		t.Errorf("%d token requests", n)
	}
	// An hour of the same: a try after 1, 2, 4 … minutes.
	before = g.auth.Count("refresh_token")
	for i := range 60 {
		g.clock.move(time.Minute)
		refresh(fmt.Sprintf("made-up-too-%d", i))
	}
	if n := g.auth.Count("refresh_token") - before; n == 0 || n > 12 {
		t.Errorf("%d token requests in an hour", n)
	}
	g.clock.move(tryLast)
	if status := refresh("kb-client"); status != http.StatusOK {
		t.Errorf("the right one: status %d", status)
	}
	if got := g.ask(s); got.status != http.StatusOK {
		t.Errorf("after all that: status %d", got.status)
	}
}

// TestAttackTokenWithoutASignature: a JWT that nobody signed opens what it opens
// without one, so that its claims are not for the agent.
func TestAttackTokenWithoutASignature(t *testing.T) {
	const head, claims = "eyJhbGciOiJub25lIn0", "eyJzdWIiOiJtZSJ9"
	if got := shaped(secret.New(head+"."+claims+"."), "acme_x"); got != "acme_x" {
		t.Errorf("the agent gets %q, which is the token", got)
	}
	// Positive control: a signed one's claims are for it.
	if got := shaped(secret.New(head+"."+claims+".c2lnbmF0dXJl"), "acme_x"); !strings.HasPrefix(got, head+"."+claims+".") || strings.Contains(got, "c2lnbmF0dXJl") {
		t.Errorf("control: the agent gets %q", got)
	}
}
