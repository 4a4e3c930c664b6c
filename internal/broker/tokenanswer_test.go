package broker

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/vaultfile"
)

const tokenURL = "https://auth.acme.example/token"

// tokenPlaceholders are what stands for the tokens of the session's own login at
// acme.
func tokenPlaceholders(s *Session) (access, refresh string, ok bool) {
	pair, ok := s.placeholders.pairs[loginKey{profile: s.own, provider: "acme"}]
	return pair.access, pair.refresh, ok
}

// TestAgentsOwnRefresh: an agent that logged in by itself holds placeholders,
// and refreshes them.
func TestAgentsOwnRefresh(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	s := g.start(g.workDir)
	access, refresh, ok := tokenPlaceholders(s)
	if !ok || access != value(s, "ACME_TOKEN") || refresh == "" || refresh == access {
		t.Fatalf("the placeholders are %q and %q", access, refresh)
	}
	g.clock.move(2 * time.Hour)
	before := len(g.authAt.Requests())
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}, "client_id": {"agents-own"}}.Encode()
	object, _ := json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": refresh, "client_id": "agents-own"})
	for kind, body := range map[string][]byte{
		"application/x-www-form-urlencoded": []byte(form), "application/json; charset=utf-8": object,
	} {
		status, text := g.post(s, tokenURL, kind, body, nil)
		var answer struct {
			Access  string `json:"access_token"`
			Refresh string `json:"refresh_token"`
			Type    string `json:"token_type"`
			Scope   string `json:"scope"`
			Life    int    `json:"expires_in"`
		}
		if err := json.Unmarshal([]byte(text), &answer); err != nil || status != http.StatusOK {
			t.Fatalf("%s: %d %s", kind, status, text)
		}
		if answer.Access != access || answer.Refresh != refresh || answer.Type != "Bearer" || answer.Scope != "read" || answer.Life < 3000 {
			t.Errorf("%s: answered %+v", kind, answer)
		}
	}
	if n := g.auth.Count("refresh_token"); n != 1 || len(g.authAt.Requests()) != before+1 {
		t.Errorf("%d refreshes, %d requests at the server: want one, kb's own", n, len(g.authAt.Requests())-before)
	}
	if got := g.ask(s); got.status != http.StatusOK || g.auth.Count("refresh_token") != 1 {
		t.Errorf("with the placeholder that was answered: status %d", got.status)
	}
	// What was answered, and what was written of it, holds no token.
	token, _ := g.stored()
	oracle := testkit.NewOracle(token.Access.Reveal(), token.Refresh.Reveal())
	oracle.Control(t, token.Access.Reveal(), token.Refresh.Reveal())
	_, text := g.post(s, tokenURL, "application/json", object, nil)
	oracle.Look("answer", []byte(text))
	oracle.Look("audit", []byte(g.audit(s)))
	for _, finding := range oracle.Findings() {
		t.Errorf("canary: %s", finding)
	}
}

// TestAttackTokenEndpoint: whatever else is asked of the token endpoint of a
// login is refused, and never gets there.
func TestAttackTokenEndpoint(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	token, _ := g.stored()
	s := g.start(g.workDir)
	_, refresh, _ := tokenPlaceholders(s)
	other, _, _ := tokenPlaceholders(g.start(g.workDir))
	before := len(g.authAt.Requests())
	form := func(pairs ...string) []byte {
		v := url.Values{}
		for i := 0; i < len(pairs); i += 2 {
			v.Set(pairs[i], pairs[i+1])
		}
		return []byte(v.Encode())
	}
	for name, c := range map[string]struct {
		url, kind string
		body      []byte
	}{
		"another's refresh token":       {tokenURL, "application/x-www-form-urlencoded", form("grant_type", "refresh_token", "refresh_token", token.Refresh.Reveal(), "client_id", "kb-client")},
		"another session's placeholder": {tokenURL, "application/x-www-form-urlencoded", form("grant_type", "refresh_token", "refresh_token", other, "client_id", "kb-client")},
		"a code":                        {tokenURL, "application/x-www-form-urlencoded", form("grant_type", "authorization_code", "code", "x", "refresh_token", refresh)},
		"the client's own":              {tokenURL, "application/x-www-form-urlencoded", form("grant_type", "client_credentials", "client_id", "kb-minter", "client_secret", "minter-secret")},
		"a form that is called text":    {tokenURL, "text/plain", form("grant_type", "refresh_token", "refresh_token", refresh)},
		"JSON that is none":             {tokenURL, "application/json", []byte(`{"grant_type":"refresh_token"`)},
		"nothing":                       {tokenURL, "application/json", nil},
		"another case of the path":      {"https://auth.acme.example/Token/", "application/x-www-form-urlencoded", form("grant_type", "client_credentials", "client_id", "kb-minter", "client_secret", "minter-secret")},
		"a parameter in the path":       {"https://auth.acme.example/token;x=1", "application/x-www-form-urlencoded", form("grant_type", "client_credentials")},
	} {
		status, text := g.post(s, c.url, c.kind, c.body, nil)
		if status != http.StatusForbidden || !strings.Contains(text, CodeMint) {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
	if n := len(g.authAt.Requests()) - before; n != 0 {
		t.Errorf("%d requests got to the server", n)
	}
	// Positive control: elsewhere on that host a request passes.
	if status, _ := g.post(s, "https://auth.acme.example/elsewhere", "text/plain", nil, nil); status != http.StatusNotFound || len(g.authAt.Requests()) != before+1 {
		t.Errorf("control: status %d, %d requests", status, len(g.authAt.Requests())-before)
	}
}

// TestAgentsClientIsLearned: kb ships no vendor's client; an agent's own
// request names its.
func TestAgentsClientIsLearned(t *testing.T) {
	g := newGranted(t)
	g.mustGrant(OAuthLogin{})
	g.edit(func(tx *vaultfile.Tx) error { return tx.DeleteClient("acme") })
	s := g.start(g.workDir)
	_, refresh, _ := tokenPlaceholders(s)
	ask := func(id string, header http.Header) (int, string) {
		body, _ := json.Marshal(map[string]string{"grant_type": "refresh_token", "refresh_token": refresh, "client_id": id})
		return g.post(s, tokenURL, "application/json", body, header)
	}
	if status, text := ask("nobody's", nil); status != http.StatusOK { // the token is good yet
		t.Errorf("a client that the server does not know: %d %s", status, text)
	}
	if _, ok := g.broker.clientRecord("work", "acme"); ok {
		t.Error("a client that the server does not know was kept")
	}
	if status, text := ask("kb-client", nil); status != http.StatusOK {
		t.Fatalf("the right one: %d %s", status, text)
	}
	if record, ok := g.broker.clientRecord("work", "acme"); !ok || record.ClientID != "kb-client" {
		t.Errorf("kept as %+v", record)
	}
	if request := readTokenRequest("application/x-www-form-urlencoded",
		"Basic "+base64.StdEncoding.EncodeToString([]byte("my%3Aid:k%20y")), []byte("grant_type=refresh_token")); request.client.ID != "my:id" || request.client.Secret.Reveal() != "k y" {
		t.Errorf("a client in Basic is read as %q", request.client.ID)
	}
}

func TestPlaceholderOfAJWT(t *testing.T) {
	jwt := shaped(secret.New("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.c2lnbmF0dXJl"), "acme_x")
	if !strings.HasPrefix(jwt, "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJtZSJ9.") || strings.Contains(jwt, "c2lnbmF0dXJl") {
		t.Errorf("a JWT's placeholder is %q", jwt)
	}
	if plain := shaped(secret.New("opaque"), "acme_x"); plain != "acme_x" {
		t.Errorf("another token's placeholder is %q", plain)
	}
}
