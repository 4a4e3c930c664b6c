package oauth_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
)

// web answers addresses from a table, and 404 elsewhere.
type web struct {
	mu    sync.Mutex
	pages map[string]page
	asked []string
}

type page struct {
	status int
	header http.Header
	body   string
}

func (w *web) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	address := r.URL.String()
	w.asked = append(w.asked, address)
	if r.Header.Get("Authorization") != "" || r.Header.Get("Cookie") != "" {
		return nil, errors.New("discovery showed a credential")
	}
	p, ok := w.pages[address]
	if !ok {
		return response(r, 404, "text/html", "<html>"), nil
	}
	res := response(r, p.status, "application/json", p.body)
	for k, v := range p.header {
		res.Header[k] = v
	}
	return res, nil
}

func document(v map[string]any) page {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return page{status: 200, body: string(b)}
}

func serverDocument(issuer string, change ...func(map[string]any)) page {
	m := map[string]any{
		"issuer": issuer, "authorization_endpoint": issuer + "/authorize", "token_endpoint": issuer + "/token",
		"code_challenge_methods_supported": []string{"S256"}, "response_types_supported": []string{"code"},
	}
	for _, f := range change {
		f(m)
	}
	return document(m)
}

func resourceDocument(resource string, issuers ...string) page {
	return document(map[string]any{"resource": resource, "authorization_servers": issuers, "resource_name": "An\x1b API", "scopes_supported": []string{"a", "b"}})
}

func unauthorized(challenge string) page {
	return page{status: 401, header: http.Header{"Www-Authenticate": {challenge}}, body: "{}"}
}

func discover(t *testing.T, pages map[string]page, resource string) (oauth.Server, oauth.Found, *web, error) {
	t.Helper()
	w := &web{pages: pages}
	s, found, err := oauth.New(oauth.Options{Client: &http.Client{Transport: w}}).Discover(t.Context(), resource)
	return s, found, w, err
}

const (
	mcpURL  = "https://mcp.example.com/team/mcp"
	mcpMeta = "https://mcp.example.com/.well-known/oauth-protected-resource/team/mcp"
	mcpRoot = "https://mcp.example.com/.well-known/oauth-protected-resource"
	asURL   = "https://as.example.com"
	asMeta  = "https://as.example.com/.well-known/oauth-authorization-server"
)

func TestDiscover(t *testing.T) {
	for _, c := range []struct {
		name     string
		pages    map[string]page
		resource string // that tokens are for
		issuer   string
		scopes   []string
	}{
		{
			"the challenge names the metadata and scopes", map[string]page{
				mcpURL:                              unauthorized(`Basic realm="x", Bearer error="invalid_token", resource_metadata="https://mcp.example.com/meta.json", scope="c d"`),
				"https://mcp.example.com/meta.json": resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL),
			}, mcpURL, asURL, []string{"c", "d"},
		},
		{"the well-known place, with the path put in", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL)}, mcpURL, asURL, []string{"a", "b"}},
		{
			"the well-known place of the whole host",
			map[string]page{mcpRoot: resourceDocument("https://mcp.example.com", asURL), asMeta: serverDocument(asURL)},
			"https://mcp.example.com", asURL,
			[]string{"a", "b"},
		},
		{
			"the whole host's document, in the challenge", map[string]page{
				mcpURL: unauthorized(`Bearer resource_metadata="` + mcpRoot + `"`), mcpRoot: resourceDocument("https://mcp.example.com/", asURL), asMeta: serverDocument(asURL),
			}, "https://mcp.example.com/", asURL, []string{"a", "b"},
		},
		{
			"an issuer with a path (RFC 8414 section 3.1)", map[string]page{
				mcpMeta: resourceDocument(mcpURL, asURL+"/issuer1"), asMeta + "/issuer1": serverDocument(asURL + "/issuer1"),
			}, mcpURL, asURL + "/issuer1", []string{"a", "b"},
		},
		{
			"an OpenID provider", map[string]page{
				mcpMeta: resourceDocument(mcpURL, asURL+"/tenant"), asURL + "/tenant/.well-known/openid-configuration": serverDocument(asURL + "/tenant"),
			}, mcpURL, asURL + "/tenant", []string{"a", "b"},
		},
		{
			"an OpenID provider with the path put in", map[string]page{
				mcpMeta: resourceDocument(mcpURL, asURL+"/tenant"), asURL + "/.well-known/openid-configuration/tenant": serverDocument(asURL + "/tenant"),
			}, mcpURL, asURL + "/tenant", []string{"a", "b"},
		},
		{
			"no metadata of the resource: its host is the server", map[string]page{
				"https://mcp.example.com/.well-known/oauth-authorization-server": serverDocument("https://mcp.example.com"),
			}, "", "https://mcp.example.com", nil,
		},
		{
			"a page for people where no document is", map[string]page{
				mcpMeta: {status: 200, body: "<html>"}, mcpRoot: resourceDocument("https://mcp.example.com", asURL), asMeta: serverDocument(asURL),
			}, "https://mcp.example.com", asURL, []string{"a", "b"},
		},
		{
			"a resource that redirects browsers", map[string]page{
				mcpURL: {status: 302, header: http.Header{"Location": {"https://docs.example.com/"}}}, mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL),
			}, mcpURL, asURL, []string{"a", "b"},
		},
	} {
		s, found, w, err := discover(t, c.pages, mcpURL)
		if err != nil {
			t.Errorf("%s: %v (asked %q)", c.name, err, w.asked)
			continue
		}
		if s.Resource != c.resource || found.Resource != c.resource || s.Issuer != c.issuer || s.Token != c.issuer+"/token" || !slices.Equal(found.Scopes, c.scopes) || strings.Contains(found.Name, "\x1b") {
			t.Errorf("%s: found %+v, server %+v", c.name, found, s)
		}
	}
}

func TestDiscoverRefuses(t *testing.T) {
	withServer := func(pages map[string]page) map[string]page {
		pages[asMeta] = serverDocument(asURL)
		return pages
	}
	for _, c := range []struct {
		name  string
		pages map[string]page
		says  string
	}{
		{"a document about another host", withServer(map[string]page{mcpMeta: resourceDocument("https://api.honest.example/mcp", asURL)}), "is about"},
		{"a tenant that speaks for the whole host", withServer(map[string]page{
			mcpURL:                                   unauthorized(`Bearer resource_metadata="https://mcp.example.com/team/meta.json"`),
			"https://mcp.example.com/team/meta.json": resourceDocument("https://mcp.example.com", asURL),
		}), "is about"},
		{"a tenant that speaks for another", withServer(map[string]page{mcpMeta: resourceDocument("https://mcp.example.com/other/mcp", asURL)}), "is about"},
		{"a name that only begins alike", withServer(map[string]page{mcpMeta: resourceDocument("https://mcp.example.com/team/m", asURL)}), "is about"},
		{"metadata at another host", withServer(map[string]page{
			mcpURL:                           unauthorized(`Bearer resource_metadata="https://evil.example/meta.json"`),
			"https://evil.example/meta.json": resourceDocument(mcpURL, asURL),
		}), "another host"},
		{"metadata over http", withServer(map[string]page{mcpURL: unauthorized(`Bearer resource_metadata="http://mcp.example.com/meta.json"`)}), "not https"},
		{"promised metadata that are not there", withServer(map[string]page{mcpURL: unauthorized(`Bearer resource_metadata="https://mcp.example.com/meta.json"`)}), "404"},
		{"no authorization server", withServer(map[string]page{mcpMeta: resourceDocument(mcpURL)}), "names no authorization server"},
		{"an http issuer", withServer(map[string]page{mcpMeta: resourceDocument(mcpURL, "http://as.example.com")}), "not https"},
		{"an issuer with a query", withServer(map[string]page{mcpMeta: resourceDocument(mcpURL, asURL+"?x=y")}), "has a query"},
		{"another issuer's document", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument("https://honest.example")}, "its issuer is"},
		{"an http endpoint", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL, func(m map[string]any) { m["token_endpoint"] = "http://as.example.com/token" })}, "not https"},
		{"no token endpoint", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL, func(m map[string]any) { delete(m, "token_endpoint") })}, "no token endpoint"},
		{"no word on PKCE", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL, func(m map[string]any) { delete(m, "code_challenge_methods_supported") })}, "PKCE"},
		{"PKCE with plain alone", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL, func(m map[string]any) { m["code_challenge_methods_supported"] = []string{"plain"} })}, "PKCE"},
		{"a document that redirects", withServer(map[string]page{mcpMeta: {status: 301, header: http.Header{"Location": {"https://evil.example/"}}}}), "redirect"},
		{"a server that is down", map[string]page{mcpMeta: resourceDocument(mcpURL, asURL), asMeta: {status: 503}}, "503"},
		{"nothing anywhere", map[string]page{}, "404"},
	} {
		_, _, w, err := discover(t, c.pages, mcpURL)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		for _, address := range w.asked {
			if strings.Contains(address, "evil") || strings.HasPrefix(address, "http:") {
				t.Errorf("%s: asked %s", c.name, address)
			}
		}
	}
}

// TestMetadata reads what the flows need.
func TestMetadata(t *testing.T) {
	w := newWorld(t)
	w.SetMetadata("pushed_authorization_request_endpoint", w.Endpoint("par"))
	s, err := w.flows.Metadata(w.ctx(), w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	if want := w.server(); s.Authorization != want.Authorization || s.Token != want.Token || s.Device != want.Device || s.Revocation != want.Revocation ||
		s.Registration != want.Registration || !s.ISS || s.Issuer != w.Issuer || s.ClientAuth != oauth.AuthNone || s.PAR != "" {
		t.Errorf("read as %+v", s)
	}
	w.SetMetadata("require_pushed_authorization_requests", true)
	w.SetMetadata("token_endpoint_auth_methods_supported", nil)
	w.SetMetadata("code_challenge_methods_supported", nil)
	if s, err = w.flows.Metadata(w.ctx(), w.Issuer+"/"); err != nil || s.PAR != w.Endpoint("par") || s.ClientAuth != oauth.AuthNone || s.Issuer != w.Issuer {
		t.Errorf("%v: read as %+v", err, s)
	}
	for methods, want := range map[string]oauth.ClientAuth{
		"client_secret_basic": oauth.AuthBasic, "client_secret_basic client_secret_post": oauth.AuthPost, "private_key_jwt": oauth.AuthBasic, "client_secret_post none": oauth.AuthNone,
	} {
		w.SetMetadata("token_endpoint_auth_methods_supported", strings.Fields(methods))
		if s, err = w.flows.Metadata(w.ctx(), w.Issuer); err != nil || s.ClientAuth != want {
			t.Errorf("%s: %v, %q", methods, err, s.ClientAuth)
		}
	}
}

// TestRegister: the request is a native client's, and what came is used.
func TestRegister(t *testing.T) {
	w := newWorld(t)
	s, err := w.flows.Metadata(w.ctx(), w.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.flows.Register(w.ctx(), s, oauth.Registration{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Auth != oauth.AuthNone || !r.Client.Secret.IsZero() || !strings.HasPrefix(r.Client.Redirect, "http://127.0.0.1:") || r.RegistrationURI == "" || !r.Expires.IsZero() {
		t.Errorf("registered as %+v", r)
	}
	l, err := w.flows.Loopback(w.ctx(), s, r.Client, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if l.Redirect() != r.Client.Redirect || l.PasteOnly() {
		t.Errorf("the flow has %q, registered was %q", l.Redirect(), r.Client.Redirect)
	}
	w.finish(l, w.browse(l.URL()))

	// A server of another issuer gets another path: one that answers with the
	// identifier of this client cannot have its codes sent here.
	other := testkit.StartAuthServer(t, w.ca)
	s2, err := w.flows.Metadata(w.ctx(), other.Issuer)
	if err != nil {
		t.Fatal(err)
	}
	r2, err := w.flows.Register(w.ctx(), s2, oauth.Registration{})
	if err != nil {
		t.Fatal(err)
	}
	path := func(u string) string { return u[strings.Index(u, "/callback"):] }
	if path(r.Client.Redirect) == path(r2.Client.Redirect) {
		t.Errorf("two issuers share %q", path(r.Client.Redirect))
	}

	r, err = w.flows.Register(w.ctx(), s, oauth.Registration{Secret: true})
	if err != nil || r.Client.Secret.IsZero() || r.Auth != oauth.AuthBasic {
		t.Errorf("%v: registered as %+v", err, r)
	}
}

// TestRegisterAnswers: RFC 7591 section 3.2.1's example and others.
func TestRegisterAnswers(t *testing.T) {
	var sent map[string]any
	var header http.Header
	status, answer := 201, `{"client_id":"s6BhdRkqt3","client_secret":"cf136dc3c1fc93f31185e5885805d","client_id_issued_at":2893256800,"client_secret_expires_at":2893276800,
		"redirect_uris":["http://127.0.0.1:8123/cb","https://client.example.org/callback2"],"grant_types":["authorization_code","refresh_token"],
		"client_name":"My Example Client","token_endpoint_auth_method":"client_secret_basic"}`
	f := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		header, sent = r.Header, nil
		if err := json.Unmarshal(b, &sent); err != nil {
			t.Error(err)
		}
		return response(r, status, "application/json", answer), nil
	})}})
	s := exampleServer()
	ask := oauth.Registration{Name: "kb", URI: "https://kb.example/", Scopes: []string{"a", "b"}, Redirect: "http://127.0.0.1:8123/cb", Token: secret.New("initial-access-token")}
	r, err := f.Register(t.Context(), s, ask)
	if err != nil {
		t.Fatal(err)
	}
	if r.Client.ID != "s6BhdRkqt3" || r.Client.Secret.Reveal() != "cf136dc3c1fc93f31185e5885805d" || r.Auth != oauth.AuthBasic || !r.Expires.Equal(time.Unix(2893276800, 0)) {
		t.Errorf("read as %+v", r)
	}
	want := map[string]any{
		"client_name": "kb", "client_uri": "https://kb.example/", "scope": "a b", "application_type": "native", "token_endpoint_auth_method": "none",
		"redirect_uris": []any{"http://127.0.0.1:8123/cb"}, "response_types": []any{"code"},
		"grant_types": []any{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"},
	}
	got, _ := json.Marshal(sent)
	wanted, _ := json.Marshal(want)
	if string(got) != string(wanted) || header.Get("Authorization") != "Bearer initial-access-token" {
		t.Errorf("sent %s, want %s", got, wanted)
	}
	for name, bad := range map[string]string{
		"no client_id":        `{"client_secret":"x"}`,
		"another redirect":    `{"client_id":"c","redirect_uris":["https://evil.example/"],"token_endpoint_auth_method":"none"}`,
		"a way without a key": `{"client_id":"c","token_endpoint_auth_method":"client_secret_basic"}`,
		"an unknown way":      `{"client_id":"c","client_secret":"x","token_endpoint_auth_method":"private_key_jwt"}`,
		"escapes":             `{"client_id":"c\u001b[2J"}`,
		"a line break":        `{"client_id":"c","client_secret":"x\r\ny"}`,
	} {
		answer = bad
		if _, err := f.Register(t.Context(), s, ask); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	status, answer = 400, `{"error":"invalid_redirect_uri","error_description":"initial-access-token is no good"}`
	_, err = f.Register(t.Context(), s, ask)
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != "invalid_redirect_uri" || strings.Contains(err.Error(), "initial") {
		t.Errorf("an error: %v", err)
	}
}

// TestRevokeHabits: what providers do in their own ways, each as data.
func TestRevokeHabits(t *testing.T) {
	tokens := oauth.Tokens{Access: secret.New("the-access-token"), Refresh: secret.New("the-refresh-token")}
	c := oauth.Client{ID: "id/1", Secret: secret.New("the-client-secret")}
	var sent []string
	status, answer := 200, ""
	f := oauth.New(oauth.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		auth := r.Header.Get("Authorization")
		if id, pw, ok := r.BasicAuth(); ok {
			auth = "Basic " + id + ":" + pw
		}
		sent = append(sent, r.Method+" "+r.URL.RequestURI()+" "+auth+" "+string(b))
		return response(r, status, "application/json", answer), nil
	})}})
	for _, h := range []struct {
		name   string
		change func(*oauth.Server)
		want   []string
	}{
		{"RFC 7009", func(*oauth.Server) {}, []string{"POST /revoke  client_id=id%2F1&client_secret=the-client-secret&token=the-refresh-token&token_type_hint=refresh_token"}},
		{"GitHub", func(s *oauth.Server) {
			s.Revocation = "https://server.example.com/applications/{client_id}/grant"
			s.RevokeMethod, s.RevokeWhat, s.RevokeAuth, s.RevokeParam, s.RevokeJSON = "DELETE", "grant", "basic", "access_token", true
		}, []string{`DELETE /applications/id%2F1/grant Basic id%2F1:the-client-secret {"access_token":"the-access-token"}`}},
		{"Slack", func(s *oauth.Server) { s.RevokeWhat, s.RevokeAuth, s.RevokeParam = "access", "bearer", "-" }, []string{"POST /revoke Bearer the-access-token "}},
		{"both", func(s *oauth.Server) { s.RevokeWhat, s.RevokeAuth = "both", "none" }, []string{
			"POST /revoke  client_id=id%2F1&token=the-refresh-token&token_type_hint=refresh_token", "POST /revoke  client_id=id%2F1&token=the-access-token&token_type_hint=access_token",
		}},
	} {
		s := exampleServer()
		s.ClientAuth = oauth.AuthPost
		h.change(&s)
		sent = nil
		if err := f.Revoke(t.Context(), s, c, tokens); err != nil || !slices.Equal(sent, h.want) {
			t.Errorf("%s: %v, sent %q, want %q", h.name, err, sent, h.want)
		}
	}
	s := exampleServer()
	for _, no := range []struct {
		status int
		body   string
	}{{200, `{"ok":false,"error":"invalid_auth the-refresh-token"}`}, {400, `{"error":"invalid_request","error_description":"the-refresh-token"}`}, {503, ``}, {404, `<html>`}} {
		status, answer = no.status, no.body
		if err := f.Revoke(t.Context(), s, c, tokens); err == nil || strings.Contains(err.Error(), "the-refresh-token") {
			t.Errorf("%d %s: %v", no.status, no.body, err)
		}
	}
	s.RevokeWhat = "everything"
	if err := f.Revoke(t.Context(), s, c, tokens); err == nil {
		t.Error("an unknown way was taken")
	}
}
