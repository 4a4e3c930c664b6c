package providers

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Server is one authorization server and its habits, as a definition has it:
// the broker makes internal/oauth's of it, which says what each field does.
// {host} in an address stands for the login's base URL.
type Server struct {
	Issuer        string `toml:"issuer"`        // RFC 8414 issuer identifier
	Authorization string `toml:"authorization"` // endpoints; empty: the server has none
	Token         string `toml:"token"`         // of FlowGitHubApp with {installation_id}
	Device        string `toml:"device"`
	Revocation    string `toml:"revocation"` // may hold {client_id}
	Registration  string `toml:"registration"`
	Resource      string `toml:"resource"` // RFC 8707 resource; what is discovered starts here
	ISS           bool   `toml:"iss"`      // the callback carries iss (RFC 9207)

	ClientAuth     string            `toml:"client_auth"`   // post (the default), basic, none
	JSON           bool              `toml:"json"`          // the token endpoint takes JSON
	Separator      string            `toml:"separator"`     // between scopes; "" is a space
	ScopeParam     string            `toml:"scope_param"`   // parameter of the authorization request that holds them; "" is scope
	PKCE           string            `toml:"pkce"`          // "" is S256, or none
	Authorize      map[string]string `toml:"authorize"`     // further parameters of the authorization request
	TokenParams    map[string]string `toml:"token_params"`  // further parameters of every token request
	Header         map[string]string `toml:"header"`        // constant fields of every token request
	At             string            `toml:"at"`            // path to the token's object in the answer
	InvalidGrant   []string          `toml:"invalid_grant"` // further error codes that mean it
	RefreshToken   string            `toml:"refresh_token"` // endpoint, where refreshing has its own
	RevokeMethod   string            `toml:"revoke_method"` // "" is POST
	RevokeWhat     string            `toml:"revoke_what"`   // refresh (the default), access, both, grant
	RevokeAuth     string            `toml:"revoke_auth"`   // "" as client_auth; post, basic, none, bearer
	RevokeParam    string            `toml:"revoke_param"`  // "" is token; "-": it is not sent
	RevokeJSON     bool              `toml:"revoke_json"`   // the revocation endpoint takes JSON
	RedirectTo     string            `toml:"redirect"`      // "" is http://127.0.0.1:{port}/callback
	AccessLifetime string            `toml:"lifetime"`      // of an access token where the answer does not say: "1h"

	Source     string `toml:"source"`     // vendor page
	Unverified bool   `toml:"unverified"` // no vendor page was read
}

// Lifetime is the life of an access token where the answer does not say; 0
// where the definition does not say either.
func (s *Server) Lifetime() time.Duration {
	d, err := time.ParseDuration(s.AccessLifetime)
	if err != nil {
		return 0
	}
	return d
}

// endpoints are the addresses that requests go to, by their keys.
func (s *Server) endpoints() map[string]*string {
	return map[string]*string{
		"authorization": &s.Authorization, "token": &s.Token, "device": &s.Device,
		"revocation": &s.Revocation, "registration": &s.Registration, "refresh_token": &s.RefreshToken,
	}
}

// addresses are every address that may hold {host}.
func (s *Server) addresses() []*string {
	all := []*string{&s.Issuer, &s.Resource}
	for _, address := range s.endpoints() {
		all = append(all, address)
	}
	return all
}

// clone copies what may be changed.
func (s *Server) clone() *Server {
	if s == nil {
		return nil
	}
	own := *s
	own.Authorize, own.TokenParams, own.Header = maps.Clone(s.Authorize), maps.Clone(s.TokenParams), maps.Clone(s.Header)
	own.InvalidGrant = slices.Clone(s.InvalidGrant)
	return &own
}

// AppAPI is the address of the API at which a GitHub App gets its tokens:
// "https://api.github.com", "https://git.acme.example/api/v3".
func (s *Server) AppAPI() string { return strings.TrimSuffix(s.Token, installationPath) }
