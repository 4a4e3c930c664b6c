package testkit

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
)

// ProtectedResource is an API behind an authorization server, as a server of
// the Model Context Protocol is: without a good bearer token it answers 401 and
// says where its metadata are (RFC 9728).
type ProtectedResource struct {
	mu       sync.Mutex
	valid    func(access string) bool
	metadata map[string]any
	quiet    bool
}

// NewProtectedResource returns one that names an issuer and takes no token.
func NewProtectedResource(issuer string) *ProtectedResource {
	return &ProtectedResource{
		valid:    func(string) bool { return false },
		metadata: map[string]any{"authorization_servers": []string{issuer}, "scopes_supported": []string{"read", "write"}},
	}
}

// SetValid says which access tokens are good.
func (p *ProtectedResource) SetValid(valid func(access string) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.valid = valid
}

// SetMetadata overrides a member of the metadata. "resource" is else the
// address whose well-known place was asked.
func (p *ProtectedResource) SetMetadata(name string, v any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.metadata[name] = v
}

// SetQuiet makes the challenge say nothing of the metadata.
func (p *ProtectedResource) SetQuiet(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.quiet = on
}

// ServeHTTP implements http.Handler.
func (p *ProtectedResource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	const place = "/.well-known/oauth-protected-resource"
	if path, ok := strings.CutPrefix(r.URL.Path, place); ok {
		m := map[string]any{"resource": "https://" + r.Host + path}
		for k, v := range p.metadata {
			m[k] = v
		}
		writeJSON(w, http.StatusOK, m)
		return
	}
	access, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if ok && p.valid(access) {
		writeJSON(w, http.StatusOK, map[string]any{"ok": true})
		return
	}
	challenge := `Bearer realm="test"`
	if ok {
		challenge += `, error="invalid_token"`
	}
	if !p.quiet {
		challenge += fmt.Sprintf(`, resource_metadata="https://%s%s%s", scope="read"`, r.Host, place, r.URL.Path)
	}
	w.Header().Set("WWW-Authenticate", challenge)
	writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
}
