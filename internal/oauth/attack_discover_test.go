package oauth_test

import (
	"strings"
	"testing"
)

// TestAttackHugeDiscovery: a server whose words would become an address of
// megabytes, which is printed, drawn and given to a browser as an argument.
func TestAttackHugeDiscovery(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	many := strings.TrimSpace(strings.Repeat("a-scope ", 8<<10))
	endpoint := func(name, value string) map[string]page {
		return map[string]page{
			mcpMeta: resourceDocument(mcpURL, asURL),
			asMeta:  serverDocument(asURL, func(m map[string]any) { m[name] = value }),
		}
	}
	challenged := func(scope string) map[string]page {
		return map[string]page{
			mcpURL:  unauthorized(`Bearer resource_metadata="` + mcpMeta + `", scope="` + scope + `"`),
			mcpMeta: resourceDocument(mcpURL, asURL), asMeta: serverDocument(asURL),
		}
	}
	for name, c := range map[string]struct {
		pages map[string]page
		says  string
	}{
		"an authorization endpoint": {endpoint("authorization_endpoint", asURL+"/authorize?"+long), "longer than"},
		"a device endpoint":         {endpoint("device_authorization_endpoint", asURL+"/"+long), "longer than"},
		"an issuer":                 {map[string]page{mcpMeta: resourceDocument(mcpURL, asURL+"/"+long)}, "longer than"},
		"one scope":                 {challenged(long), "scopes of more than"},
		"many scopes":               {challenged(many), "scopes of more than"},
		"control":                   {challenged("read write"), ""},
	} {
		_, found, _, err := discover(t, c.pages, mcpURL)
		switch {
		case c.says == "" && (err != nil || strings.Join(found.Scopes, " ") != "read write"):
			t.Errorf("%s: %v, scopes %q", name, err, found.Scopes)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says) || len(err.Error()) > 1<<10):
			t.Errorf("%s: %.300v", name, err)
		}
	}
	// Words that no scope has are not asked for.
	_, found, _, err := discover(t, challenged(`read wr\\ite \"quoted\" p	q e\u001b`), mcpURL)
	if err != nil || strings.ContainsAny(strings.Join(found.Scopes, ""), "\"\\\x1b") {
		t.Errorf("%v, scopes %q", err, found.Scopes)
	}
}

// TestAttackAuthorizationEndpointWithAQuery: an endpoint that says the flow's own
// parameters before the flow does. A server that takes the first of two would
// answer another request than kb's.
func TestAttackAuthorizationEndpointWithAQuery(t *testing.T) {
	w := newWorld(t)
	for _, query := range []string{
		"client_id=another", "redirect_uri=https://evil.example/", "state=known", "code_challenge=known&code_challenge_method=plain",
		"response_type=token", "response_mode=form_post", "request_uri=https://evil.example/r", "%73tate=known", "a=b&state=known", "state=a;b",
	} {
		s := w.server()
		s.Authorization += "?" + query
		if l, err := w.flows.Loopback(w.ctx(), s, w.client, nil); err == nil {
			l.Close()
			t.Errorf("%s: the browser is sent to %s", query, l.URL())
		}
	}
	// Positive control: another one is a server's own business, as a tenant's name.
	s := w.server()
	s.Authorization += "?tenant=acme"
	l, err := w.flows.Loopback(w.ctx(), s, w.client, nil)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if !strings.Contains(l.URL(), "tenant=acme&") {
		t.Errorf("the browser is sent to %s", l.URL())
	}
}
