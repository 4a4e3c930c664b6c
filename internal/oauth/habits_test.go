package oauth_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
)

// asked is a transport that keeps the one request it gets.
type asked struct {
	header http.Header
	body   string
}

func (a *asked) RoundTrip(r *http.Request) (*http.Response, error) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	a.header, a.body = r.Header, string(text)
	return &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
		Body: io.NopCloser(strings.NewReader(`{"access_token":"a1","token_type":"bearer"}`)),
	}, nil
}

func (a *asked) flows() *oauth.Flows {
	return oauth.New(oauth.Options{Client: &http.Client{Transport: a}})
}

// Slack takes a person's scopes in user_scope; those in scope are a bot's.
func TestScopesInAnotherParameter(t *testing.T) {
	for param, want := range map[string]string{"": "scope", "user_scope": "user_scope"} {
		l, err := (&asked{}).flows().Loopback(t.Context(), oauth.Server{
			Authorization: "https://auth.example/authorize", Token: "https://auth.example/token", Separator: ",", ScopeParam: param,
		}, oauth.Client{ID: "cli"}, []string{"a", "b"})
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
		u, err := url.Parse(l.URL())
		if err != nil {
			t.Fatal(err)
		}
		got := u.Query()
		if got.Get(want) != "a,b" || got.Has("scope") != (want == "scope") {
			t.Errorf("scope parameter %q: the query is %v", param, got)
		}
	}
}

// Zoom's client credentials have a grant type of their own.
func TestGrantTypeOfTheVendor(t *testing.T) {
	for own, want := range map[string]string{"": "client_credentials", "account_credentials": "account_credentials"} {
		a := &asked{}
		s := oauth.Server{Token: "https://auth.example/token", ClientAuth: oauth.AuthBasic, TokenParams: map[string]string{"account_id": "1"}}
		if own != "" {
			s.TokenParams["grant_type"] = own
		}
		if _, err := a.flows().ClientCredentials(context.Background(), s, oauth.Client{ID: "cli", Secret: secret.New("s")}, nil); err != nil {
			t.Fatal(err)
		}
		v, err := url.ParseQuery(a.body)
		if err != nil || len(v["grant_type"]) != 1 || v.Get("grant_type") != want || v.Get("account_id") != "1" {
			t.Errorf("grant type %q: asked %v, %v", own, v, err)
		}
	}
}

// A revocation that holds nothing but the token as Bearer has no body, and then
// no kind of one: Dropbox refuses a form there.
func TestRevocationWithoutBody(t *testing.T) {
	for param, want := range map[string]string{"-": "", "token": "application/x-www-form-urlencoded"} {
		a := &asked{}
		err := a.flows().Revoke(t.Context(), oauth.Server{
			Revocation: "https://auth.example/revoke", RevokeWhat: "grant", RevokeAuth: "bearer", RevokeParam: param,
		}, oauth.Client{ID: "cli"}, oauth.Tokens{Access: secret.New("a1"), Refresh: secret.New("r1")})
		if err != nil {
			t.Fatal(err)
		}
		if a.header.Get("Authorization") != "Bearer a1" || a.header.Get("Content-Type") != want || (a.body == "") != (want == "") {
			t.Errorf("parameter %q: kind %q, body of %d bytes", param, a.header.Get("Content-Type"), len(a.body))
		}
	}
}

// slow is a server that takes its time, on a clock of the test's.
type slow struct {
	asked
	clock *clock
}

func (s *slow) RoundTrip(r *http.Request) (*http.Response, error) {
	<-s.clock.After(8 * time.Second)
	response, err := s.asked.RoundTrip(r)
	if err == nil {
		response.Body = io.NopCloser(strings.NewReader(`{"access_token":"a1","token_type":"bearer","expires_in":60}`))
	}
	return response, err
}

// A server counts a token's life from when it made it, which was no earlier
// than the request: counted from the answer, kb would use one that is over.
func TestLifeIsCountedFromTheRequest(t *testing.T) {
	at := &clock{now: time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)}
	asked := at.Now()
	f := oauth.New(oauth.Options{Client: &http.Client{Transport: &slow{clock: at}}, Now: at.Now})
	got, err := f.Refresh(t.Context(), oauth.Server{Token: "https://auth.example/token"}, oauth.Client{ID: "cli"}, secret.New("r1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := asked.Add(time.Minute); !got.Expires.Equal(want) {
		t.Errorf("it ends at %v, want %v", got.Expires, want)
	}
}
