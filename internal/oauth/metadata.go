package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kb/internal/plain"
)

// metadata is what kb reads of an authorization server's metadata (RFC 8414
// section 2).
type metadata struct {
	server      Server
	scopes      []string
	grants      []string
	authMethods []string
	pkce        []string // nil when the document has no word on it
}

// Metadata asks an issuer for its metadata (RFC 8414), or its OpenID
// configuration, and returns it as a Server. ClientAuth is AuthNone where the
// server takes public clients.
func (f *Flows) Metadata(ctx context.Context, issuer string) (Server, error) {
	m, err := f.metadata(ctx, issuer)
	if err != nil {
		return Server{}, err
	}
	if m.pkce != nil && !slices.Contains(m.pkce, "S256") {
		return Server{}, errNoPKCE(m.server.Issuer)
	}
	return m.server, nil
}

// errNoPKCE is the refusal of a server that does without S256: what looks like
// an old server may be somebody who wants the code in the clear.
func errNoPKCE(issuer string) error {
	return fmt.Errorf("refuse authorization server %q: its metadata does not offer PKCE with S256", short(issuer))
}

// metadata tries the places in which metadata may be: RFC 8414 section 3.1,
// then OpenID Connect Discovery 1.0 section 4 with the path put in as the
// former does it and as the latter does.
func (f *Flows) metadata(ctx context.Context, issuer string) (metadata, error) {
	u, err := endpoint("metadata", issuer)
	if err != nil {
		return metadata{}, err
	}
	if u.RawQuery != "" || u.ForceQuery {
		return metadata{}, fmt.Errorf("refuse issuer at %q: it has a query", plain.Clean(u.Host))
	}
	path := strings.TrimSuffix(u.EscapedPath(), "/")
	places := []string{
		wellKnown(u, "oauth-authorization-server"),
		wellKnown(u, "openid-configuration"),
	}
	if path != "" {
		places = append(places, u.Scheme+"://"+u.Host+path+"/.well-known/openid-configuration")
	}
	var first error
	for _, place := range places {
		m, err := f.metadataAt(ctx, place, issuer)
		if err == nil {
			return m, nil
		}
		if e, ok := errors.AsType[*Error](err); !ok || !absent(e) {
			return metadata{}, err
		}
		if first == nil {
			first = err
		}
	}
	return metadata{}, first
}

// absent reports that there is no document, so that another place may have
// it: a status of 4xx, or a page for people where JSON was to be.
func absent(e *Error) bool {
	return e.Status >= 400 && e.Status < 500 && e.Status != http.StatusTooManyRequests || e.Status >= 200 && e.Status < 300
}

// wellKnown puts a well-known path between an identifier's host and path
// (RFC 8615, RFC 8414 section 3, RFC 9728 section 3).
func wellKnown(u *url.URL, name string) string {
	return u.Scheme + "://" + u.Host + "/.well-known/" + name + strings.TrimSuffix(u.EscapedPath(), "/")
}

func (f *Flows) metadataAt(ctx context.Context, place, issuer string) (metadata, error) {
	a, m, err := f.get(ctx, place)
	if err != nil {
		return metadata{}, err
	}
	// RFC 8414 section 3.3: identical, or somebody else's document. A slash at
	// the end is the one difference that is let pass, since it is the root
	// either way and documents are found at the same place.
	named := text(m["issuer"])
	if named != issuer && strings.TrimSuffix(named, "/") != strings.TrimSuffix(issuer, "/") {
		return metadata{}, fmt.Errorf("refuse metadata of %q: it says that its issuer is %q", a.host, short(named))
	}
	out := metadata{
		server: Server{Issuer: named},
		scopes: words(m["scopes_supported"]), grants: words(m["grant_types_supported"]),
		authMethods: words(m["token_endpoint_auth_methods_supported"]), pkce: words(m["code_challenge_methods_supported"]),
	}
	s := &out.server
	for _, e := range []struct {
		name, member string
		to           *string
	}{
		{"authorization", "authorization_endpoint", &s.Authorization},
		{"token", "token_endpoint", &s.Token},
		{"device", "device_authorization_endpoint", &s.Device},
		{"revocation", "revocation_endpoint", &s.Revocation},
		{"registration", "registration_endpoint", &s.Registration},
		{"par", "pushed_authorization_request_endpoint", &s.PAR},
	} {
		raw := text(m[e.member])
		if raw == "" {
			continue
		}
		if _, err := endpoint(e.name, raw); err != nil {
			return metadata{}, fmt.Errorf("refuse metadata of %q: %w", a.host, err)
		}
		*e.to = raw
	}
	if s.Token == "" {
		return metadata{}, fmt.Errorf("refuse metadata of %q: it names no token endpoint", a.host)
	}
	if string(m["require_pushed_authorization_requests"]) != "true" {
		s.PAR = "" // RFC 9126 section 5: only where it is required
	}
	s.ISS = string(m["authorization_response_iss_parameter_supported"]) == "true"
	s.ClientAuth = out.clientAuth(false)
	return out, nil
}

// clientAuth chooses among the server's ways: none for a public client, if the
// server takes any, and for one with a secret the body before Basic, in whose
// encoding servers err. A server that does not say takes Basic (RFC 8414
// section 2).
func (m metadata) clientAuth(withSecret bool) ClientAuth {
	switch {
	case !withSecret && (len(m.authMethods) == 0 || slices.Contains(m.authMethods, "none")):
		return AuthNone
	case slices.Contains(m.authMethods, "client_secret_post"):
		return AuthPost
	}
	return AuthBasic
}

// get asks for a document that is a JSON object.
func (f *Flows) get(ctx context.Context, place string) (*answer, map[string]json.RawMessage, error) {
	u, err := endpoint("metadata", place)
	if err != nil {
		return nil, nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, nil, errors.New("make request: the address is none")
	}
	req.Header.Set("Accept", "application/json")
	// Some servers of the Model Context Protocol answer by its version
	// (https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization).
	req.Header.Set("MCP-Protocol-Version", mcpVersion)
	a, err := f.send(ctx, "metadata", req)
	if err != nil {
		return nil, nil, err
	}
	if a.status != http.StatusOK {
		return nil, nil, a.odd(fmt.Sprintf("status %d", a.status))
	}
	m, err := a.object()
	return a, m, err
}
