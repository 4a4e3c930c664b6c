package oauth_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"kb/internal/oauth"
	"kb/internal/testkit"
)

// attack is what arrives at the loopback port in place of the right answer.
type attack struct {
	method string // "" is GET
	host   string // "" is the redirect's own
	query  func(url.Values)
	path   string // "" is the redirect's own
	raw    string // the whole query; "" is what query made
}

// attacked plays an attack on a flow whose right answer is known to the
// attacker but for what it changes. It must be refused, nothing may reach the
// token endpoint, and the right answer must end the flow after it: that is the
// control that the same request, unchanged, is taken.
func attacked(t *testing.T, server func(*oauth.Server), a attack, status int, why error) {
	t.Helper()
	w := newWorld(t)
	s := w.server()
	if server != nil {
		server(&s)
	}
	l := w.start(s)
	right := w.browse(l.URL())
	wrong := *right
	q := wrong.Query()
	if a.query != nil {
		a.query(q)
	}
	wrong.RawQuery = q.Encode()
	if a.raw != "" {
		wrong.RawQuery = a.raw
	}
	if a.path != "" {
		wrong.Path = a.path
	}
	method := a.method
	if method == "" {
		method = http.MethodGet
	}
	got, page := w.knock(method, wrong.String(), a.host)
	if got != status {
		t.Errorf("the attack was answered with %d, want %d", got, status)
	}
	if method != http.MethodHead && !strings.Contains(page, why.Error()) {
		t.Errorf("the page does not say %q:\n%s", why, page)
	}
	stopped, cancel := context.WithCancel(w.ctx())
	cancel()
	if _, err := l.Wait(stopped); !errors.Is(err, context.Canceled) {
		t.Fatalf("the attack ended the flow: %v", err)
	}
	if n := w.Count(""); n != 0 {
		t.Fatalf("%d requests reached the token endpoint", n)
	}
	w.finish(l, right)
}

// finish brings the right answer and expects tokens.
func (w *world) finish(l *oauth.Loopback, right *url.URL) {
	w.t.Helper()
	if got, page := w.knock(http.MethodGet, right.String(), ""); got != http.StatusOK {
		w.t.Fatalf("the right answer was answered with %d:\n%s", got, page)
	}
	tokens, err := l.Wait(w.ctx())
	if err != nil {
		w.t.Fatalf("after the attack the flow is broken: %v", err)
	}
	if !w.Valid(tokens.Access.Reveal()) {
		w.t.Error("the token is not the server's")
	}
}

// knock asks the loopback port with another Host, and checks what every page
// must hold to.
func (w *world) knock(method, address, host string) (int, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx(), method, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Host = host
	res, err := w.ca.Client(w.t).Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	page, err := io.ReadAll(res.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := res.Header.Get(name); got != want {
			w.t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if !strings.Contains(res.Header.Get("Content-Security-Policy"), "default-src 'none'") {
		w.t.Error("the page may load things")
	}
	for _, v := range req.URL.Query() {
		if len(v[0]) > 6 && strings.Contains(string(page), v[0]) {
			w.t.Errorf("the page repeats %q of the query", v[0])
		}
	}
	return res.StatusCode, string(page)
}

func TestLoginWrongState(t *testing.T) {
	attacked(t, nil, attack{query: func(q url.Values) { q.Set("state", "guessed-by-a-page") }}, http.StatusBadRequest, oauth.ErrState)
}

func TestLoginWrongStateWithError(t *testing.T) {
	attacked(t, nil, attack{query: func(q url.Values) {
		q.Set("state", "guessed-by-a-page")
		q.Del("code")
		q.Set("error", "access_denied")
	}}, http.StatusBadRequest, oauth.ErrState)
}

func TestLoginMissingState(t *testing.T) {
	attacked(t, nil, attack{query: func(q url.Values) { q.Del("state") }}, http.StatusBadRequest, oauth.ErrState)
}

// TestLoginReusedState: the state of a flow that is over opens no other.
func TestLoginReusedState(t *testing.T) {
	w := newWorld(t)
	before := w.start(w.server())
	old := w.browse(before.URL())
	w.finish(before, old)
	now := w.start(w.server())
	right := w.browse(now.URL())
	wrong := *right
	q := wrong.Query()
	q.Set("state", old.Query().Get("state"))
	wrong.RawQuery = q.Encode()
	if got, _ := w.knock(http.MethodGet, wrong.String(), ""); got != http.StatusBadRequest {
		t.Errorf("the old state was answered with %d", got)
	}
	w.finish(now, right)
}

func TestLoginWrongIssuer(t *testing.T) {
	attacked(t, nil, attack{query: func(q url.Values) { q.Set("iss", "https://evil.example") }}, http.StatusBadRequest, oauth.ErrIssuer)
}

// TestLoginWrongIssuerUnannounced: the server does not say that iss comes, but
// it came, and is another's.
func TestLoginWrongIssuerUnannounced(t *testing.T) {
	attacked(t, func(s *oauth.Server) { s.ISS = false },
		attack{query: func(q url.Values) { q.Set("iss", "https://evil.example") }}, http.StatusBadRequest, oauth.ErrIssuer)
}

func TestLoginMissingIssuer(t *testing.T) {
	attacked(t, nil, attack{query: func(q url.Values) { q.Del("iss") }}, http.StatusBadRequest, oauth.ErrIssuer)
}

func TestLoginPOST(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodOptions, http.MethodPut} {
		attacked(t, nil, attack{method: method}, http.StatusMethodNotAllowed, oauth.ErrMethod)
	}
}

func TestLoginForeignHost(t *testing.T) {
	for _, host := range []string{"evil.example", "localhost", "127.0.0.1", "127.0.0.1.evil.example:80", "127.0.0.1:1"} {
		attacked(t, nil, attack{host: host}, http.StatusMisdirectedRequest, oauth.ErrNotTheRedirect)
	}
}

func TestLoginForeignPath(t *testing.T) {
	for _, path := range []string{"/", "/callback/", "/favicon.ico", "/Callback"} {
		attacked(t, nil, attack{path: path}, http.StatusNotFound, oauth.ErrNotTheRedirect)
	}
}

func TestLoginRepeatedParameter(t *testing.T) {
	for _, name := range []string{"state", "code", "iss"} {
		attacked(t, nil, attack{query: func(q url.Values) { q.Add(name, "another") }}, http.StatusBadRequest, oauth.ErrQuery)
	}
	attacked(t, nil, attack{query: func(q url.Values) { q.Set("error", "access_denied") }}, http.StatusBadRequest, oauth.ErrQuery)
	attacked(t, nil, attack{query: func(q url.Values) { q.Del("code") }}, http.StatusBadRequest, oauth.ErrNoCode)
	attacked(t, nil, attack{raw: "state=%zz"}, http.StatusBadRequest, oauth.ErrQuery)
}

// TestLoginSecondHit: the answer counts once, whoever brings it again.
func TestLoginSecondHit(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	right := w.browse(l.URL())
	w.finish(l, right)
	for range 2 {
		got, page := w.knock(http.MethodGet, right.String(), "")
		if got != http.StatusGone || !strings.Contains(page, oauth.ErrUsed.Error()) {
			t.Errorf("the second hit was answered with %d:\n%s", got, page)
		}
	}
	if err := l.Paste(right.String()); !errors.Is(err, oauth.ErrUsed) {
		t.Errorf("pasting it again: %v", err)
	}
	if n := w.Count("authorization_code"); n != 1 {
		t.Errorf("the code was redeemed %d times", n)
	}
}

// TestLoginDenied: the server's no, with the right state, ends the flow.
func TestLoginDenied(t *testing.T) {
	w := newWorld(t)
	w.SetApprove(false)
	l := w.start(w.server())
	w.knock(http.MethodGet, w.browse(l.URL()).String(), "")
	_, err := l.Wait(w.ctx())
	e, ok := errors.AsType[*oauth.Error](err)
	if !ok || e.Code != oauth.CodeAccessDenied || e.Endpoint != "authorization" {
		t.Errorf("the person said no: %v", err)
	}
}

// TestLoginPKCEDowngrade: the challenge is always S256, the verifier always
// comes, a code that was got without a challenge is worth nothing, and metadata
// that offer no S256 are refused.
func TestLoginPKCEDowngrade(t *testing.T) {
	w := newWorld(t)
	l := w.start(w.server())
	open, err := url.Parse(l.URL())
	if err != nil {
		t.Fatal(err)
	}
	if q := open.Query(); q.Get("code_challenge_method") != "S256" || len(q.Get("code_challenge")) != 43 {
		t.Fatalf("the request has challenge method %q", q.Get("code_challenge_method"))
	}
	// Somebody opens the address without the challenge (RFC 9700 section
	// 4.8.2): the server gives a code, since this client could have had none.
	w.AddClient("shared", "s3cret-of-shared")
	w.client = oauth.Client{ID: "shared"}
	s := w.server()
	victim := w.start(s)
	stripped, err := url.Parse(victim.URL())
	if err != nil {
		t.Fatal(err)
	}
	q := stripped.Query()
	q.Del("code_challenge")
	q.Del("code_challenge_method")
	stripped.RawQuery = q.Encode()
	if got, _ := w.knock(http.MethodGet, w.browse(stripped.String()).String(), ""); got != http.StatusOK {
		t.Fatalf("the callback was answered with %d", got)
	}
	if _, err := victim.Wait(w.ctx()); err == nil {
		t.Error("a code without a challenge was redeemed")
	}
	sent := w.Requests()
	if len(sent) != 1 || len(sent[0].Form.Get("code_verifier")) != 43 {
		t.Error("the verifier was not sent")
	}

	for _, methods := range []any{[]string{"plain"}, []string{}} {
		w.SetMetadata("code_challenge_methods_supported", methods)
		if _, err := w.flows.Metadata(w.ctx(), w.Issuer); err == nil || !strings.Contains(err.Error(), "PKCE") {
			t.Errorf("metadata with methods %q: %v", methods, err)
		}
	}
	w.SetMetadata("code_challenge_methods_supported", []string{"plain", "S256"})
	if _, err := w.flows.Metadata(w.ctx(), w.Issuer); err != nil {
		t.Errorf("control: %v", err)
	}
	s.PKCE = "plain"
	if _, err := w.flows.Loopback(w.ctx(), s, w.client, nil); err == nil {
		t.Error("a flow with plain was started")
	}
	s = w.server()
	for _, name := range []string{"code_challenge", "code_challenge_method", "state", "redirect_uri", "response_type", "client_id", "response_mode"} {
		s.Authorize = map[string]string{name: "x"}
		if _, err := w.flows.Loopback(w.ctx(), s, w.client, nil); err == nil {
			t.Errorf("a definition replaced %q", name)
		}
	}
}

// TestLoginMixUp is RFC 9700 section 4.4.1: the person logs in at an attacker's
// server, which sends the browser on to an honest one, so that the honest
// server's code comes to the attacker's flow and would be redeemed there.
func TestLoginMixUp(t *testing.T) {
	w := newWorld(t)
	evil := testkit.StartAuthServer(t, w.ca)
	evil.AddClient("cli", "")
	s := oauth.Server{
		Issuer: evil.Issuer, Authorization: evil.Endpoint("authorize"), Token: evil.Endpoint("token"), ClientAuth: oauth.AuthNone,
	}
	for _, announced := range []bool{false, true} {
		s.ISS = announced
		l := w.start(s)
		open, err := url.Parse(l.URL())
		if err != nil {
			t.Fatal(err)
		}
		honest, err := url.Parse(w.Endpoint("authorize") + "?" + open.RawQuery)
		if err != nil {
			t.Fatal(err)
		}
		if got, page := w.knock(http.MethodGet, w.browse(honest.String()).String(), ""); got != http.StatusBadRequest || !strings.Contains(page, oauth.ErrIssuer.Error()) {
			t.Errorf("announced=%v: the honest server's answer was answered with %d:\n%s", announced, got, page)
		}
		if n := evil.Count(""); n != 0 {
			t.Fatal("the honest server's code went to the attacker")
		}
	}
	// Control: without an issuer in the answer nothing tells them apart, and the
	// code does go astray: it is the check of the issuer that stops it.
	w.SetISS(false)
	s.ISS = false
	l := w.start(s)
	open, err := url.Parse(l.URL())
	if err != nil {
		t.Fatal(err)
	}
	w.knock(http.MethodGet, w.browse(w.Endpoint("authorize")+"?"+open.RawQuery).String(), "")
	if _, err := l.Wait(w.ctx()); err == nil {
		t.Error("the attacker's server knew the honest one's code")
	}
	if evil.Count("") != 1 {
		t.Error("control: the attack does not work at all")
	}
}

// TestLoginTokenEndpointRedirects: whoever can make the token endpoint answer
// with a redirect gets neither the code nor the refresh token nor the secret.
func TestLoginTokenEndpointRedirects(t *testing.T) {
	w := newWorld(t)
	thief := testkit.StartAuthServer(t, w.ca)
	w.AuthServer.Fault(testkit.AuthFault{Redirect: thief.Endpoint("token")})
	l := w.start(w.server())
	w.knock(http.MethodGet, w.browse(l.URL()).String(), "")
	_, err := l.Wait(w.ctx())
	if err == nil || !strings.Contains(err.Error(), "redirect") || strings.Contains(err.Error(), thief.Issuer) {
		t.Errorf("the redirect: %v", err)
	}
	if n := thief.Count(""); n != 0 {
		t.Errorf("%d requests came to where the redirect led", n)
	}
}
