package desk_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"kb/internal/broker"
	"kb/internal/desk"
	"kb/internal/hint"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/profile"
	"kb/tui"
	"kb/vaultfile"
)

// acme is a provider with an authorization server of the test's own.
const acme = `
name = "acme"
title = "Acme"
docs = "https://acme.example/docs"
hosts = ["api.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }
unverified = true

[[login]]
method = "oauth"
title = "OAuth app"
flow = "oauth"
client = "own"
page = "https://acme.example/apps"
scopes = ["read"]
refresh = "rotate"
[login.server]
authorization = "https://auth.acme.example/authorize"
token = "https://auth.acme.example/token"
device = "https://auth.acme.example/device"
revocation = "https://auth.acme.example/revoke"
client_auth = "none"

[[login]]
method = "token"
title = "token"
page = "https://acme.example/keys"
[[login.field]]
name = "token"
label = "Token"
secret = true

[[inject]]
hosts = ["api.acme.example"]
header = { Authorization = "Bearer {token}" }

[identity]
url = "https://api.acme.example/me"
name = "login"
`

// granting is a desk with profile work, the provider acme, its API and its
// authorization server.
type granting struct {
	*testing.T
	world   *testkit.World
	auth    *testkit.AuthServer
	desk    *desk.Desk
	options broker.Options
	key     string // that the API takes besides tokens
}

func newGranting(t *testing.T) *granting {
	t.Helper()
	home := t.TempDir()
	g := &granting{T: t, world: testkit.New(t), auth: testkit.NewAuthServer("https://auth.acme.example"), key: testkit.NewCanary("acme_", 36)}
	g.auth.AddClient("kb-client", "")
	g.world.Serve("auth.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(g.hasty)})
	g.world.Serve("api.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(g.api)})
	g.options = broker.Options{
		Paths:  broker.Paths{Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"), Runtime: filepath.Join(home, "run"), Home: home},
		Getenv: func(string) string { return "" }, Resolver: g.world.Resolver(), Roots: g.world.Roots(), Bundle: g.world.CA.PEM(),
		Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return g.world.Dial(ctx, "tcp", addr.String())
		},
	}
	if _, err := broker.Init(t.Context(), broker.InitOptions{Options: g.options, Device: "laptop"}); err != nil {
		t.Fatal(err)
	}
	b := g.broker()
	err := b.Edit(t.Context(), func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{Name: "work"}) })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.AddProvider(t.Context(), vaultfile.Provider{Name: "acme", TOML: acme}); err != nil {
		t.Fatal(err)
	}
	g.desk = desk.New(desk.Options{Paths: g.options.Paths, Getenv: func(string) string { return "" }, Dir: home, Broker: g.options})
	return g
}

// broker is another kb at the same vault.
func (g *granting) broker() *broker.Broker {
	g.Helper()
	b, err := broker.Open(g.Context(), g.options)
	if err != nil {
		g.Fatal(err)
	}
	return b
}

// hasty is the authorization server, but that it may be asked about a code every
// second.
func (g *granting) hasty(w http.ResponseWriter, r *http.Request) {
	if !strings.HasSuffix(r.URL.Path, "/device") {
		g.auth.ServeHTTP(w, r)
		return
	}
	answer := httptest.NewRecorder()
	g.auth.ServeHTTP(answer, r)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.Header().Del("Content-Length")
	w.WriteHeader(answer.Code)
	_, _ = w.Write(bytes.Replace(answer.Body.Bytes(), []byte(`"interval": 5`), []byte(`"interval": 1`), 1))
}

// api says whose a key or a token is.
func (g *granting) api(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	w.Header().Set("Content-Type", "application/json")
	if token != g.key && !g.auth.Valid(token) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"unauthorized"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"login": "me"})
}

// person is a LoginScreen: somebody who opens the address at once, whose browser is
// on another machine, or who types the code.
type person struct {
	g         *granting
	elsewhere bool
	away      func() // is called in place of doing anything

	mu    sync.Mutex
	steps []tui.LoginStep
	ended chan string
}

func (g *granting) person() *person { return &person{g: g, ended: make(chan string, 2)} }

func (p *person) Step(s tui.LoginStep) {
	p.mu.Lock()
	first := len(p.steps) == 0
	p.steps = append(p.steps, s)
	p.mu.Unlock()
	switch {
	case !first:
	case p.away != nil:
		p.away()
	case s.Code != "":
		p.g.auth.Device(s.Code, "approved")
	default:
		go p.browse(s.URL)
	}
}

func (p *person) browse(url string) {
	response, err := p.g.world.Client().Get(url)
	if err != nil {
		return
	}
	_ = response.Body.Close()
	to := response.Header.Get("Location")
	if p.elsewhere {
		p.ended <- "http://127.0.0.1:1/callback?code=x&state=wrong"
		p.ended <- to
		return
	}
	if response, err = http.Get(to); err == nil {
		_ = response.Body.Close()
	}
}

func (p *person) Pasted(ctx context.Context) (secret.Value, error) {
	select {
	case address := <-p.ended:
		return secret.New(address), nil
	case <-ctx.Done():
		return secret.Value{}, ctx.Err()
	}
}

func (p *person) seen() []tui.LoginStep {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.steps)
}

func request(method string) tui.LoginRequest {
	return tui.LoginRequest{LoginKey: tui.LoginKey{Profile: "work", Provider: "acme"}, Method: method}
}

// withClient gives the OAuth client that acme wants.
func withClient(r tui.LoginRequest) tui.LoginRequest {
	r.Values = map[string]secret.Value{"client_id": secret.New("kb-client")}
	return r
}

func (g *granting) form(r tui.LoginRequest) tui.LoginForm {
	g.Helper()
	f, err := g.desk.LoginForm(g.Context(), r)
	if err != nil {
		g.Fatal(err)
	}
	return f
}

// logins are those that the dashboard shows.
func (g *granting) logins() []tui.Login {
	g.Helper()
	all, err := g.desk.Logins(g.Context())
	if err != nil {
		g.Fatal(err)
	}
	return all
}

func TestLoginInTheBrowser(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	choice := g.form(request(""))
	var ways []string
	for _, w := range choice.Ways {
		ways = append(ways, w.Method+" "+w.Way)
	}
	if !slices.Equal(ways, []string{"oauth code", "oauth device", "token "}) || len(choice.Fields) > 0 {
		t.Fatalf("the ways in are %q, with fields %v", ways, choice.Fields)
	}
	f := g.form(request("oauth"))
	if len(f.Fields) != 1 || f.Fields[0].Name != "client_id" || f.Redirect == "" || f.Page != "https://acme.example/apps" || !f.Grant {
		t.Fatalf("the form is %+v", f)
	}
	p := g.person()
	way := request("oauth")
	way.Way = "code"
	note, err := g.desk.Login(t.Context(), withClient(way), p)
	if err != nil || !strings.Contains(note, "logged in at acme as me") {
		t.Fatalf("Login: %q, %v", note, err)
	}
	s := p.seen()
	if len(s) != 1 || !s[0].Paste || s[0].Until.IsZero() || s[0].Opened || s[0].Code != "" {
		t.Errorf("the person was shown %+v", s)
	}
	l := g.logins()
	if len(l) != 1 || l[0].State != "ok" || !l[0].OAuth || !l[0].Renews || l[0].Kind != "oauth code" || l[0].Expires.IsZero() || l[0].Next.IsZero() || l[0].Account != "me" {
		t.Errorf("the logins are %+v", l)
	}
	if f := g.form(request("")); len(f.Fields) != 0 || len(f.Own) == 0 || !f.Exists || f.Request.Method != "oauth" {
		t.Errorf("the form of a second time is %+v", f)
	}
	before := l[0].Expires
	if note, err := g.desk.Refresh(t.Context(), l[0].LoginKey); err != nil || g.logins()[0].Expires.Before(before) {
		t.Errorf("Refresh: %q, %v", note, err)
	}
	if g.auth.Count("refresh_token") != 1 {
		t.Error("no token was asked for")
	}
	if h := g.logins()[0].History; len(h) != 2 || h[0].What != "refreshed" || h[1].What != "logged in" {
		t.Errorf("the history is %+v", h)
	}
}

// TestLoginByPastedAddress: a wrong address is told, and the right one taken.
func TestLoginByPastedAddress(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	p := g.person()
	p.elsewhere = true
	r := withClient(request("oauth"))
	r.Way = "code"
	if _, err := g.desk.Login(t.Context(), r, p); err != nil {
		t.Fatal(err)
	}
	if s := p.seen(); len(s) != 2 || s[0].Problem != "" || s[1].Problem == "" {
		t.Errorf("the person was shown %+v", s)
	}
}

// TestLoginWithADeviceCode: where no browser can be opened it goes without being
// asked for.
func TestLoginWithADeviceCode(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	p := g.person()
	if _, err := g.desk.Login(t.Context(), withClient(request("oauth")), p); err != nil {
		t.Fatal(err)
	}
	if s := p.seen(); len(s) != 1 || s[0].Code == "" || s[0].Paste || s[0].Until.IsZero() {
		t.Errorf("the person was shown %+v", s)
	}
}

// TestCancelledLoginKeepsNothing: neither a login nor the client that was typed for
// it.
func TestCancelledLoginKeepsNothing(t *testing.T) {
	t.Parallel()
	for _, way := range []string{"code", "device"} {
		g := newGranting(t)
		p := g.person()
		ctx, cancel := context.WithCancel(t.Context())
		p.away = cancel
		r := withClient(request("oauth"))
		r.Way = way
		_, err := g.desk.Login(ctx, r, p)
		if hint.Code(err) != hint.Cancelled || !strings.Contains(err.Error(), "nothing was kept") {
			t.Errorf("%s: %v", way, err)
		}
		c := g.broker().Contents()
		if len(g.logins()) != 0 || len(c.Logins) != 0 || len(c.Clients) != 0 {
			t.Errorf("%s: kept %v, %v", way, c.Logins, c.Clients)
		}
	}
}

func TestRefusedGrantSaysWhatToDo(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	g.auth.SetApprove(false)
	r := withClient(request("oauth"))
	r.Way = "code"
	if _, err := g.desk.Login(t.Context(), r, g.person()); err == nil || !strings.Contains(hint.Fix(err), "agree in the browser") {
		t.Errorf("a person who says no: %v (%s)", err, hint.Fix(err))
	}
	if _, err := g.desk.Login(t.Context(), request("oauth"), g.person()); err == nil || !strings.Contains(hint.Fix(err), "OAuth client of your own") {
		t.Errorf("without a client: %v (%s)", err, hint.Fix(err))
	}
	r = withClient(request("oauth"))
	r.Sync = "vault"
	if _, err := g.desk.Login(t.Context(), r, g.person()); err == nil || !strings.Contains(hint.Fix(err), "on this device") {
		t.Errorf("a rotating login in the vault: %v (%s)", err, hint.Fix(err))
	}
}

func TestLoginByKey(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	r := request("token")
	if f := g.form(r); len(f.Fields) != 1 || !f.Fields[0].Secret || f.Exists || f.Grant || f.Page != "https://acme.example/keys" {
		t.Fatalf("the form is %+v", f)
	}
	give := func(key string, replace bool) (string, error) {
		r.Values, r.Replace = map[string]secret.Value{"token": secret.New(key)}, replace
		return g.desk.Login(t.Context(), r, g.person())
	}
	if _, err := give("acme_of-somebody-else", false); err == nil || hint.Fix(err) == "" || len(g.logins()) != 0 {
		t.Errorf("a key that is refused: %v, logins %v", err, g.logins())
	}
	if _, err := give("", false); err == nil || !strings.Contains(err.Error(), "no Token given") {
		t.Errorf("no key: %v", err)
	}
	if note, err := give(g.key, false); err != nil || !strings.Contains(note, "as me") {
		t.Fatalf("Login: %q, %v", note, err)
	}
	if l := g.logins(); len(l) != 1 || l[0].Renews || l[0].Kind != "token" || l[0].State != "ok" {
		t.Errorf("the logins are %+v", l)
	}
	if _, err := give(g.key, false); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("a key that is there is replaced by a slip: %v", err)
	}
	if _, err := give(g.key, true); err != nil {
		t.Errorf("a key that is to be replaced: %v", err)
	}
	r.Values, r.Replace, r.NoVerify = nil, true, true
	r.Refs = map[string]string{"token": g.key}
	if _, err := g.desk.Login(t.Context(), r, g.person()); err == nil || strings.Contains(err.Error(), g.key) || strings.Contains(hint.Fix(err), g.key) {
		t.Errorf("a key in place of a reference: taken, or shown: %v", err)
	}
	r.Refs["token"] = "env:ACME_KEY"
	if _, err := g.desk.Login(t.Context(), r, g.person()); err != nil {
		t.Errorf("a reference: %v", err)
	}
	if l := g.logins(); !slices.Equal(l[0].Refs, []string{"token from env:ACME_KEY"}) {
		t.Errorf("the references are %q", l[0].Refs)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	r := withClient(request("oauth"))
	r.Way = "code"
	if _, err := g.desk.Login(t.Context(), r, g.person()); err != nil {
		t.Fatal(err)
	}
	k := r.LoginKey
	here, err := g.desk.LogoutPlan(t.Context(), k, false)
	everywhere, err2 := g.desk.LogoutPlan(t.Context(), k, true)
	if err != nil || err2 != nil || !strings.Contains(here, "other devices go on") || !strings.Contains(everywhere, "leaves the vault") {
		t.Errorf("the plans are %q, %q; %v, %v", here, everywhere, err, err2)
	}
	if note, err := g.desk.Logout(t.Context(), k, false); err != nil || !strings.Contains(note, "its tokens are revoked") {
		t.Errorf("Logout: %q, %v", note, err)
	}
	if l := g.logins(); len(l) != 1 || l[0].State != "needs login" || !l[0].Missing || l[0].Fix == "" {
		t.Errorf("after it: %+v", l)
	}
	if note, err := g.desk.Logout(t.Context(), k, true); err != nil || len(g.logins()) != 0 {
		t.Errorf("everywhere: %q, %v, left %v", note, err, g.logins())
	}
	if _, err := g.desk.LogoutPlan(t.Context(), k, false); err == nil {
		t.Error("a login that is not there has a plan")
	}
}

func TestProviders(t *testing.T) {
	t.Parallel()
	g := newGranting(t)
	all, err := g.desk.Providers(t.Context())
	if err != nil || len(all) < 40 {
		t.Fatalf("%d providers, %v", len(all), err)
	}
	i := slices.IndexFunc(all, func(p tui.Provider) bool { return p.Name == "acme" })
	p := all[i]
	if p.Vault == "" || !slices.Equal(p.Kinds, []string{"oauth code", "token"}) || !slices.Equal(p.Env, []string{"ACME_TOKEN=acme_{random36}"}) ||
		!slices.Equal(p.Injects, []string{"Authorization: Bearer <token>  on api.acme.example"}) || !p.Unverified || len(p.Pages) != 2 {
		t.Errorf("acme is shown as %+v", p)
	}
	if lines, err := g.desk.LintProvider(t.Context(), p.Vault, "acme"); err != nil {
		t.Errorf("lint: %q, %v", lines, err)
	}
	if _, err := g.desk.RemoveProvider(t.Context(), "", "github"); err == nil {
		t.Error("a built-in definition was removed")
	}
	if _, err := g.desk.RemoveProvider(t.Context(), p.Vault, "acme"); err != nil {
		t.Error(err)
	}
	if err := g.desk.OpenPage(t.Context(), "https://acme.example/docs"); err == nil || !strings.Contains(hint.Fix(err), "https://acme.example/docs") {
		t.Errorf("where no browser is: %v", err)
	}
}
