package broker

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/state"
	"kb/internal/testkit"
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
title = "OAuth, rotating"
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
method = "kept"
title = "OAuth, synced"
flow = "oauth"
client = "own"
page = "https://acme.example/apps"
refresh = "keep"
[login.server]
authorization = "https://auth.acme.example/authorize"
token = "https://auth.acme.example/token"
revocation = "https://auth.acme.example/revoke"
client_auth = "none"

[[login]]
method = "client"
title = "client credentials"
flow = "client-credentials"
page = "https://acme.example/apps"
[login.server]
token = "https://auth.acme.example/token"
[[login.field]]
name = "client_id"
label = "Client ID"
[[login.field]]
name = "client_secret"
label = "Client secret"
secret = true

[[login]]
method = "token"
title = "token"
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

// movable is a clock that only the test moves.
type movable struct {
	mu sync.Mutex
	t  time.Time
}

func (m *movable) now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.t
}

func (m *movable) move(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.t = m.t.Add(d)
}

// granted is a fixture with the provider acme, its API and its authorization
// server, on a clock of the test's.
type granted struct {
	*fixture
	auth    *testkit.AuthServer
	acme    *testkit.Origin
	authAt  *testkit.Origin
	clock   *movable
	account string // that the API says tokens are of
	refuses bool   // the API answers 401 to everything
	mu      sync.Mutex
}

func newGranted(t *testing.T) *granted {
	t.Helper()
	g := &granted{fixture: newFixture(t), clock: &movable{t: time.Now()}, account: "me"}
	g.auth = testkit.NewAuthServer("https://auth.acme.example")
	g.auth.SetNow(g.clock.now)
	g.auth.AddClient("kb-client", "")
	g.auth.AddClient("kb-minter", "minter-secret")
	g.authAt = g.world.Serve("auth.acme.example", testkit.OriginConfig{Handler: g.auth})
	g.acme = g.world.Serve("api.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(g.api)})
	g.options.Now = g.clock.now
	g.broker = g.open()
	if err := g.broker.AddProvider(t.Context(), vaultfile.Provider{Name: "acme", TOML: acme}); err != nil {
		t.Fatal(err)
	}
	g.edit(func(tx *vaultfile.Tx) error {
		return tx.PutClient(vaultfile.Client{Name: "acme", ClientID: "kb-client"})
	})
	return g
}

// api takes the access tokens that are valid, and says whose they are.
func (g *granted) api(w http.ResponseWriter, r *http.Request) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	g.mu.Lock()
	account, refuses := g.account, g.refuses
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	if refuses || !g.auth.Valid(token) {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"error":"unauthorized"}`)
		return
	}
	_ = json.NewEncoder(w).Encode(map[string]string{"login": account})
}

func (g *granted) set(account string, refuses bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.account, g.refuses = account, refuses
}

// person is a Screen: somebody who opens the address at once, and whose browser
// is wherever kb is, or elsewhere.
type person struct {
	g         *granted
	elsewhere bool // the address is pasted
	wrong     string
	mu        sync.Mutex
	visits    []Visit
	ended     chan string
}

func (g *granted) person() *person { return &person{g: g, ended: make(chan string, 2)} }

func (p *person) Visit(v Visit) {
	p.mu.Lock()
	first := len(p.visits) == 0
	p.visits = append(p.visits, v)
	p.mu.Unlock()
	if v.Code != "" || !first {
		return
	}
	if p.wrong != "" {
		p.ended <- p.wrong
	}
	go func() {
		client, err := p.g.broker.client()
		if err != nil {
			return
		}
		response, err := client.Get(v.URL)
		if err != nil {
			return
		}
		_ = response.Body.Close()
		to := response.Header.Get("Location")
		if p.elsewhere {
			p.ended <- to
			return
		}
		if response, err = http.Get(to); err == nil {
			_ = response.Body.Close()
		}
	}()
}

func (p *person) Redirected(ctx context.Context) (string, error) {
	select {
	case address := <-p.ended:
		return address, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (p *person) seen() []Visit {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]Visit(nil), p.visits...)
}

// grant logs profile work in at acme.
func (g *granted) grant(o OAuthLogin) (LoginResult, error) {
	g.Helper()
	if o.Login.Profile == "" {
		o.Login.Profile = "work"
	}
	if o.Login.Method == "" {
		o.Login.Method = "oauth"
	}
	o.Login.Provider = "acme"
	if o.Screen == nil {
		o.Screen = g.person()
	}
	ctx, cancel := context.WithTimeout(g.Context(), 20*time.Second)
	defer cancel()
	return g.broker.LoginOAuth(ctx, o)
}

func (g *granted) mustGrant(o OAuthLogin) LoginResult {
	g.Helper()
	result, err := g.grant(o)
	if err != nil {
		g.Fatal(err)
	}
	return result
}

// stored is what the device holds of profile work's login at acme.
func (g *granted) stored() (state.Token, bool) {
	g.Helper()
	token, ok, err := g.broker.store.Token(g.broker.tokenKey(loginKey{"work", "acme", ""}))
	if err != nil {
		g.Fatal(err)
	}
	return token, ok
}

// record is the login as the vault has it.
func (g *granted) record() (vaultfile.Login, bool) {
	c := g.broker.Contents()
	return c.Login("work", "acme", "")
}

// state is how the login stands.
func (g *granted) state() LoginState {
	g.Helper()
	for _, s := range g.broker.LoginStates() {
		if s.Login.Provider == "acme" {
			return s
		}
	}
	g.Fatal("no login at acme is listed")
	return LoginState{}
}

// ask sends a request to acme's API in a session.
func (g *granted) ask(s *Session) answer {
	g.Helper()
	return g.get(s, "", http.MethodGet, "https://api.acme.example/me", http.Header{"Authorization": {"Bearer " + value(s, "ACME_TOKEN")}})
}

// credentials that arrived at the API, in order.
func (g *granted) arrivals() []string {
	var list []string
	for _, r := range g.acme.Requests() {
		list = append(list, r.Credential())
	}
	return list
}

// post sends a body as the session's child would, and returns the answer.
func (g *granted) post(s *Session, target, kind string, body []byte, header http.Header) (int, string) {
	g.Helper()
	proxyURL, err := url.Parse(value(s, "HTTPS_PROXY"))
	if err != nil {
		g.Fatal(err)
	}
	pool := x509.NewCertPool()
	bundle, err := os.ReadFile(value(s, "SSL_CERT_FILE"))
	if err != nil || !pool.AppendCertsFromPEM(bundle) {
		g.Fatalf("read the child's bundle: %v", err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxyURL), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(g.Context(), http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		g.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", kind)
	response, err := transport.RoundTrip(request)
	if err != nil {
		g.Fatalf("POST %s: %v", target, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// said is an error code in an error.
func said(err error) string {
	var e *oauth.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// audit is the text of a session's audit.
func (g *granted) audit(s *Session) string {
	g.Helper()
	text, err := os.ReadFile(s.log.Path())
	if err != nil {
		g.Fatal(err)
	}
	return string(text)
}
