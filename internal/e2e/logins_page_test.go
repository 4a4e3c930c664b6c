package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"kb/internal/testkit"
)

// TestLoginsPage types docs/logins.md.
func TestLoginsPage(t *testing.T) {
	typePage(t, "../../docs/logins.md", 15, func(p *page) {
		p.serveLinear()
		p.serveGitHubLogins()
		p.serveMCP()
		r := p.reader(t, "")
		m := r.machine("laptop")
		// Somebody who agrees to all that the browser shows.
		m.write(r.t, "bin/browse", "#!/bin/sh\nexec curl -sSL --max-time 20 -o /dev/null \"$1\"\n")
		m.env = append(m.env, "BROWSER=browse", "TOKEN="+p.token("me-at-acme"))
	})
}

// appID is the id of the OAuth client that the reader of docs/logins.md made
// everywhere.
const appID = "acme-app"

func newAuthServer(issuer string) *testkit.AuthServer {
	s := testkit.NewAuthServer(issuer)
	s.SetISS(false)
	s.AddClient(appID, "")
	return s
}

// asPath serves a request as if it were for another path.
func asPath(path string, h http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r = r.Clone(r.Context())
		r.URL.Path = path
		h.ServeHTTP(w, r)
	}
}

func bearer(r *http.Request) string {
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

// serveLinear answers at the addresses of linear.app.
func (p *page) serveLinear() {
	auth := newAuthServer("https://linear.app")
	web, api := http.NewServeMux(), http.NewServeMux()
	web.HandleFunc("GET /oauth/authorize", asPath("/authorize", auth))
	api.HandleFunc("POST /oauth/token", asPath("/token", auth))
	api.HandleFunc("POST /oauth/revoke", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	api.HandleFunc("POST /graphql", func(w http.ResponseWriter, r *http.Request) {
		if !auth.Valid(bearer(r)) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"data":{"viewer":{"email":"me@acme.example"}}}`))
	})
	p.world.Serve("linear.app", testkit.OriginConfig{Handler: web})
	p.world.Serve("api.linear.app", testkit.OriginConfig{Handler: api})
}

// serveGitHubLogins answers at the addresses of github.com for a code that is
// typed at once.
func (p *page) serveGitHubLogins() {
	auth := newAuthServer("https://github.com")
	auth.SetLife(0)
	web := http.NewServeMux()
	web.HandleFunc("POST /login/device/code", func(w http.ResponseWriter, r *http.Request) {
		recorder := httptest.NewRecorder()
		asPath("/device", auth)(recorder, r)
		var answer map[string]any
		_ = json.Unmarshal(recorder.Body.Bytes(), &answer)
		code, _ := answer["user_code"].(string)
		auth.Device(code, "approved")
		answer["interval"], answer["verification_uri"] = 1, "https://github.com/login/device"
		delete(answer, "verification_uri_complete")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(recorder.Code)
		_ = json.NewEncoder(w).Encode(answer)
	})
	web.HandleFunc("POST /login/oauth/access_token", asPath("/token", auth))
	p.world.Serve("github.com", testkit.OriginConfig{Handler: web})
	var mu sync.Mutex
	p.world.Serve("api.github.com", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth.Valid(bearer(r)) {
			mu.Lock()
			p.users[bearer(r)] = "me-at-acme"
			mu.Unlock()
		}
		mu.Lock()
		defer mu.Unlock()
		(&testkit.GitHub{Users: p.users}).ServeHTTP(w, r)
	})})
}

// serveMCP answers as an MCP server, and as the authorization server that it
// names.
func (p *page) serveMCP() {
	auth := newAuthServer("https://auth.acme.example")
	mcp := http.NewServeMux()
	const metadata = "/.well-known/oauth-protected-resource/mcp"
	mcp.HandleFunc("GET "+metadata, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"resource":"https://mcp.acme.example/mcp","authorization_servers":["https://auth.acme.example"]}`))
	})
	mcp.HandleFunc("/mcp", func(w http.ResponseWriter, r *http.Request) {
		if !auth.Valid(bearer(r)) {
			w.Header().Set("WWW-Authenticate", `Bearer resource_metadata="https://mcp.acme.example`+metadata+`"`)
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	p.world.Serve("mcp.acme.example", testkit.OriginConfig{Handler: mcp})
	p.world.Serve("auth.acme.example", testkit.OriginConfig{Handler: auth})
}
