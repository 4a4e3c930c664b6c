package oauth_test

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kb/internal/oauth"
	"kb/internal/plain"
	"kb/internal/secret"
)

// FuzzTokenAnswer: whatever a token endpoint answers, the result is either a
// token that fits a header or an error that is clean, short and holds nothing
// of what was sent.
func FuzzTokenAnswer(f *testing.F) {
	f.Add(200, tokenExample)
	f.Add(200, `{"authed_user":{"access_token":"a","expires_in":"1e3","scope":["x"]}}`)
	f.Add(400, `{"error":"invalid_grant","error_description":"kb-canary-refresh \u001b[31m"}`)
	f.Add(200, `{"error":"kb-canary-refresh"}`)
	f.Add(307, `{}`)
	f.Add(200, `{"access_token":"a\nb"}`)
	f.Fuzz(func(t *testing.T, status int, body string) {
		if status < 200 || status > 599 {
			status = 200
		}
		s := exampleServer()
		s.At = "authed_user"
		flows := oauth.New(oauth.Options{Client: answering(status, "text/html", body)})
		got, err := flows.Refresh(t.Context(), s, oauth.Client{ID: "c"}, secret.New("kb-canary-refresh"), nil)
		if err == nil {
			if got.Access.IsZero() || got.Access.Check() != nil || got.Refresh.IsZero() || got.Refresh.Check() != nil || plain.Clean(got.Type) != got.Type {
				t.Errorf("%d %q gave a token that cannot be used", status, body)
			}
			return
		}
		text := err.Error()
		if !errors.As(err, new(*oauth.Error)) || len(text) > 400 || plain.Clean(text) != text || strings.Contains(text, "kb-canary-refresh") {
			t.Errorf("%d %q gave the error %q", status, body, text)
		}
	})
}

// FuzzCallback: a query ends the flow only if it names the state and the
// issuer once and rightly, and either a code or an error. {state} in it stands
// for the right state.
func FuzzCallback(f *testing.F) {
	f.Add("code=c&state={state}&iss=https%3A%2F%2Fserver.example.com")
	f.Add("error=access_denied&state={state}&iss=https%3A%2F%2Fserver.example.com&error_description=%1b")
	f.Add("code=c&state={state}&state={state}&iss=https%3A%2F%2Fserver.example.com")
	f.Add("code=c&state={state}")
	f.Add("?code=c&state=x;iss=https://server.example.com")
	f.Add("https://client.example.com/cb?code=c&state={state}&iss=https%3A%2F%2Fserver.example.com#_=_")
	f.Fuzz(func(t *testing.T, text string) {
		s := exampleServer()
		s.Issuer, s.ISS = "https://server.example.com", true
		flows := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(nil)}})
		l, err := flows.Loopback(t.Context(), s, oauth.Client{ID: "c", Redirect: "https://client.example.com/cb"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		u, err := url.Parse(l.URL())
		if err != nil {
			t.Fatal(err)
		}
		state := u.Query().Get("state")
		text = strings.ReplaceAll(text, "{state}", state)
		if l.Paste(text) != nil {
			return
		}
		_, query, found := strings.Cut(text, "?")
		if eq := strings.IndexByte(text, '='); !found || eq < strings.IndexByte(text, '?') {
			query = text
		}
		query, _, _ = strings.Cut(strings.TrimSpace(query), "#")
		q, err := url.ParseQuery(query)
		if err != nil || len(q["state"]) != 1 || q.Get("state") != state || len(q["iss"]) != 1 || q.Get("iss") != s.Issuer ||
			len(q["code"]) > 1 || len(q["error"]) > 1 || (q.Get("code") == "") == (q.Get("error") == "") {
			t.Errorf("%q ended the flow", text)
		}
	})
}

// FuzzDiscovery: whatever a resource and its metadata say, discovery asks only
// https addresses of the resource's host and of the issuer that is named, and
// what it returns is https.
func FuzzDiscovery(f *testing.F) {
	f.Add(`Bearer resource_metadata="https://mcp.example.com/m", scope="a"`, `{"resource":"https://mcp.example.com/team/mcp","authorization_servers":["https://as.example.com"]}`,
		`{"issuer":"https://as.example.com","token_endpoint":"https://as.example.com/t","code_challenge_methods_supported":["S256"]}`)
	f.Add(`Basic Zm9vOmJhcg==, bearer realm = "x\"y" , resource_metadata=https`, `{"resource":"https://mcp.example.com"}`, `{"issuer":"https://mcp.example.com"}`)
	f.Add(`Negotiate a/b==,,Digest qop=auth`, `[]`, `null`)
	f.Fuzz(func(t *testing.T, challenge, resource, server string) {
		flows := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			if r.URL.Scheme != "https" || r.URL.User != nil {
				t.Errorf("asked %s", r.URL)
			}
			switch {
			case r.URL.String() == mcpURL:
				res := response(r, 401, "text/plain", "")
				res.Header["Www-Authenticate"] = []string{challenge}
				return res, nil
			case strings.Contains(r.URL.Path, "oauth-authorization-server"), strings.Contains(r.URL.Path, "openid-configuration"):
				return response(r, 200, "application/json", server), nil
			case r.URL.Host != "mcp.example.com":
				t.Errorf("asked %s for the resource's metadata", r.URL.Host)
			}
			return response(r, 200, "application/json", resource), nil
		})}})
		s, found, err := flows.Discover(t.Context(), mcpURL)
		if err != nil {
			if text := err.Error(); len(text) > 700 || plain.Clean(text) != text {
				t.Errorf("the error %q", text)
			}
			return
		}
		for _, u := range []string{s.Token, s.Authorization, s.Device, s.Revocation, s.Registration, s.PAR} {
			if u != "" && !strings.HasPrefix(strings.ToLower(u), "https://") {
				t.Errorf("found the endpoint %q", u)
			}
		}
		if found.Resource != "" && !strings.HasPrefix(mcpURL, strings.TrimSuffix(found.Resource, "/")) && !strings.Contains(found.Resource, "%") && !strings.HasPrefix(found.Resource, "HTTPS") {
			t.Errorf("found the resource %q", found.Resource)
		}
	})
}
