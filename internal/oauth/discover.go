package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"kb/internal/plain"
)

// mcpVersion is the version of the Model Context Protocol whose authorization
// is spoken here
// (https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization).
const mcpVersion = "2025-06-18"

// Found is what discovery learned beside the Server.
type Found struct {
	Resource string   // the identifier that tokens are for; empty when the resource has no metadata of its own
	Name     string   // of the resource, for people; may be empty
	Issuers  []string // that the resource names; the first is the one that was taken
	Scopes   []string // that the challenge asked for, else those that the resource or its server list
	Grants   []string // grant types of the server; nil when it does not say
}

// Discover finds the authorization server of a protected resource, such as a
// server of the Model Context Protocol: the resource is asked without a
// credential, its metadata (RFC 9728) is where the challenge says or at its
// well-known place, and names the server, whose metadata (RFC 8414) say the
// rest. A resource without metadata of its own may have its host's server (the
// protocol's revision of 2025-03-26).
//
// Every address is https, and the resource's metadata is on the resource's own
// host and says that it is about the resource; the server's says that it is
// about the issuer. A server that does not offer PKCE with S256 is refused.
func (f *Flows) Discover(ctx context.Context, resource string) (Server, Found, error) {
	u, err := endpoint("resource", resource)
	if err != nil {
		return Server{}, Found{}, err
	}
	asked, err := f.challenge(ctx, u)
	if err != nil {
		return Server{}, Found{}, err
	}
	found, err := f.resource(ctx, u, asked)
	if err != nil {
		return Server{}, Found{}, err
	}
	issuer := u.Scheme + "://" + u.Host
	if len(found.Issuers) > 0 {
		issuer = found.Issuers[0]
	}
	m, err := f.metadata(ctx, issuer)
	if err != nil {
		return Server{}, Found{}, err
	}
	if !slices.Contains(m.pkce, "S256") {
		return Server{}, Found{}, errNoPKCE(issuer)
	}
	m.server.Resource = found.Resource
	found.Grants = m.grants
	if scope := strings.Fields(asked["scope"]); len(scope) > 0 {
		found.Scopes = scope
	}
	if found.Scopes, err = askable(found.Scopes); err != nil {
		return Server{}, Found{}, fmt.Errorf("refuse metadata of %q: %w", plain.Clean(u.Host), err)
	}
	return m.server, found, nil
}

// scopesAsked bounds the scopes that a resource has kb ask for, in bytes: they
// become a part of the address that a browser is given.
const scopesAsked = 4 << 10

// askable are the scopes among words of a server's (RFC 6749 section 3.3).
func askable(words []string) ([]string, error) {
	var list []string
	sum := 0
	for _, w := range words {
		if w == "" || strings.ContainsFunc(w, func(r rune) bool { return r < 0x21 || r > 0x7e || r == '"' || r == '\\' }) {
			continue
		}
		list = append(list, w)
		if sum += len(w) + 1; sum > scopesAsked {
			return nil, fmt.Errorf("it wants scopes of more than %d bytes", scopesAsked)
		}
	}
	return list, nil
}

// challenge asks the resource and returns the parameters of its Bearer
// challenge. An answer that is no challenge has none: some servers want POST.
func (f *Flows) challenge(ctx context.Context, u *url.URL) (map[string]string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("make request: the address is none")
	}
	req.Header.Set("Accept", "application/json, text/event-stream")
	req.Header.Set("MCP-Protocol-Version", mcpVersion)
	a, err := f.sendMax(ctx, "resource", req, 0)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Status > 0 {
			return nil, nil
		}
		return nil, err
	}
	if a.status != http.StatusUnauthorized {
		return nil, nil
	}
	for _, c := range challenges(a.header.Values("WWW-Authenticate")) {
		if c.scheme == "bearer" {
			return c.params, nil
		}
	}
	return nil, nil
}

// resource finds the resource's metadata and checks it. Found is empty if there
// is none and no challenge promised one.
func (f *Flows) resource(ctx context.Context, u *url.URL, asked map[string]string) (Found, error) {
	const name = "oauth-protected-resource"
	if place := asked["resource_metadata"]; place != "" {
		at, err := endpoint("metadata", place)
		if err != nil {
			return Found{}, err
		}
		if at.Host != u.Host {
			return Found{}, fmt.Errorf("refuse metadata of %q: it is at another host, %q", plain.Clean(u.Host), plain.Clean(at.Host))
		}
		return f.resourceAt(ctx, place, u)
	}
	places := []string{wellKnown(u, name)}
	if root := wellKnown(&url.URL{Scheme: u.Scheme, Host: u.Host}, name); root != places[0] {
		places = append(places, root)
	}
	for _, place := range places {
		found, err := f.resourceAt(ctx, place, u)
		if err == nil {
			return found, nil
		}
		if e, ok := errors.AsType[*Error](err); !ok || !absent(e) {
			return Found{}, err
		}
	}
	return Found{}, nil
}

func (f *Flows) resourceAt(ctx context.Context, place string, u *url.URL) (Found, error) {
	_, m, err := f.get(ctx, place)
	if err != nil {
		return Found{}, err
	}
	found := Found{
		Resource: text(m["resource"]), Name: short(text(m["resource_name"])),
		Issuers: words(m["authorization_servers"]), Scopes: words(m["scopes_supported"]),
	}
	if !about(found.Resource, place, u) {
		return Found{}, fmt.Errorf("refuse metadata of %q: it is about %q", plain.Clean(u.Host), short(found.Resource))
	}
	if len(found.Issuers) == 0 {
		return Found{}, fmt.Errorf("refuse metadata of %q: it names no authorization server", plain.Clean(u.Host))
	}
	return found, nil
}

// about reports whether metadata found at a place may speak for the resource
// at u (RFC 9728 section 3.3): its identifier is that of the resource, or it is
// one whose own well-known place this is, and the resource is below it. The
// latter is how a whole host has one document; that it is at its own place
// shows that the host and not one of its tenants wrote it.
func about(identifier, place string, u *url.URL) bool {
	id, err := endpoint("resource", identifier)
	if err != nil || id.Host != u.Host || id.RawQuery != "" && id.RawQuery != u.RawQuery {
		return false
	}
	own, here := strings.TrimSuffix(id.EscapedPath(), "/"), strings.TrimSuffix(u.EscapedPath(), "/")
	if own == here {
		return true
	}
	return strings.HasPrefix(here, own+"/") && place == wellKnown(id, "oauth-protected-resource")
}
