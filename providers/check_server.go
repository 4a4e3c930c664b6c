package providers

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// server holds an authorization server to its method.
func (c *checker) server(at string, m *Method) {
	s := m.Server
	if s.Source != "" {
		c.webPage(at+".source", s.Source)
	} else if !s.Unverified && !m.Unverified && !c.p.Unverified {
		c.add(at, "no vendor page is given for it", `add source = "https://..." or unverified = true`)
	}
	c.endpointsFor(at, m)
	for key, address := range s.endpoints() {
		if *address != "" {
			c.endpoint(at+"."+key, key, *address, m)
		}
	}
	c.identifier(at+".issuer", s.Issuer)
	c.identifier(at+".resource", s.Resource)
	c.redirect(at+".redirect", m)
	c.habits(at, m)
	c.parameters(at+".authorize", s.Authorize, m, authorizeParams)
	reserved := tokenParams
	if m.Flow == FlowClientCredentials {
		// Some vendors call theirs otherwise: Zoom's is account_credentials.
		reserved = slices.DeleteFunc(slices.Clone(reserved), func(name string) bool { return name == "grant_type" })
	}
	c.parameters(at+".token_params", s.TokenParams, m, reserved)
	for _, name := range sortedKeys(s.Header) {
		at := at + ".header." + name
		c.headerName(at, name)
		if strings.EqualFold(name, "Authorization") {
			c.add(at, "Authorization is client_auth's", "")
		}
		if value := s.Header[name]; value == "" || !sendable(value) || !printableASCII(value) || strings.ContainsAny(value, "{}") {
			c.add(at, fmt.Sprintf("header field %q is not a constant line", name), "")
		}
	}
}

// endpointsFor asks for the endpoints that the method's flow needs.
func (c *checker) endpointsFor(at string, m *Method) {
	s := m.Server
	switch {
	case m.Discover:
		if s.Resource == "" {
			c.add(at+".resource", "discover = true starts at a resource, and none is given", `add resource = "https://{host}", or the resource's own address`)
		}
	case s.Token == "" && (m.Flow != FlowOAuth || s.Issuer == ""):
		c.add(at, "token is missing", "give the token endpoint")
	case m.Flow == FlowOAuth && s.Authorization == "" && s.Device == "" && s.Issuer == "":
		c.add(at, "neither authorization nor device is given", "give the endpoint that a person is sent to")
	}
	if m.Flow != FlowOAuth {
		for key, given := range map[string]bool{
			"authorization": s.Authorization != "", "device": s.Device != "", "registration": s.Registration != "",
			"refresh_token": s.RefreshToken != "", "redirect": s.RedirectTo != "", "authorize": s.Authorize != nil, "pkce": s.PKCE != "", "scope_param": s.ScopeParam != "", "iss": s.ISS,
		} {
			if given {
				c.add(at+"."+key, fmt.Sprintf("flow %q has no use for %s", m.Flow, key), "")
			}
		}
	}
	if m.Flow == FlowGitHubApp && !strings.HasSuffix(s.Token, installationPath) {
		c.add(at+".token", "the token endpoint of an app does not end in "+installationPath, "")
	}
}

// installationPath is where GitHub gives an app's tokens.
// https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
const installationPath = "/app/installations/{installation_id}/access_tokens"

// endpoint holds an address to https and a host of somebody's own, and asks for
// a mint rule where a session could reach it.
func (c *checker) endpoint(at, key, address string, m *Method) {
	filled := address
	switch {
	case key == "revocation":
		filled = strings.Replace(address, "/{client_id}", "/client_id", 1)
	case key == "token" && m.Flow == FlowGitHubApp:
		filled = strings.Replace(address, "/{installation_id}", "/1", 1)
	}
	u, ok := c.address(at, filled)
	if !ok || key == "authorization" || key == "device" || key == "revocation" || !c.intercepted(u) {
		return
	}
	if !c.minted(u) {
		c.add(at, fmt.Sprintf("%s returns credentials at a host of the provider's, and no [[mints]] says so", address), fmt.Sprintf("add [[mints]] with path = %q", u.EscapedPath()))
	}
}

// address reads an https address of a definition. What is wrong with it is said.
func (c *checker) address(at, address string) (*url.URL, bool) {
	refuse := func(why string) (*url.URL, bool) {
		c.add(at, fmt.Sprintf("%q %s", address, why), `write it like "https://auth.acme.example/oauth/token"`)
		return nil, false
	}
	filled := address
	if before, _, ok := strings.Cut(address, hostVar); ok {
		if !c.p.NeedsBase() {
			return refuse("holds {host}, and the provider has hosts of its own")
		}
		label, cut := strings.CutPrefix(before, "https://")
		if !cut || label != "" && (!strings.HasSuffix(label, ".") || checkName(strings.TrimSuffix(label, ".")) != nil) {
			return refuse("has {host} where no host stands")
		}
		filled = strings.Replace(address, hostVar, anyBase, 1)
	}
	if strings.ContainsFunc(filled, func(r rune) bool { return r <= ' ' || r >= 0x7f }) || strings.ContainsAny(filled, `{}\"<>^|`) {
		return refuse("holds a character that no address has")
	}
	u, err := url.Parse(filled)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return refuse("is no https address")
	case u.Scheme != "https":
		return refuse("is not https")
	case u.User != nil:
		return refuse("holds a user name")
	case u.RawQuery != "" || u.ForceQuery:
		return refuse("holds a query")
	case u.Fragment != "" || strings.Contains(filled, "#"):
		return refuse("holds a fragment")
	case strings.Contains(u.EscapedPath(), "%") || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/."):
		return refuse("has a path that is not in normal form")
	}
	if strings.Contains(address, hostVar) {
		return u, true
	}
	host, err := CanonicalHost(u.Hostname())
	if err != nil || host != u.Hostname() {
		return refuse("has a host that is not in canonical form")
	}
	if _, err := netip.ParseAddr(host); err == nil || !strings.Contains(host, ".") {
		return refuse("names no host of somebody's own")
	}
	if err := checkOwned(host); err != nil {
		return refuse("is at a public suffix: anybody can own names under it")
	}
	if port := u.Port(); port != "" || strings.HasSuffix(u.Host, ":") {
		if n, err := parsePort(port); err != nil || n == httpsPort {
			return refuse("has a port that is none, or goes without saying")
		}
	}
	return u, true
}

// identifier is an issuer or a resource: an address that is compared, and where
// discovery starts.
func (c *checker) identifier(at, address string) {
	if address != "" {
		c.address(at, address)
	}
}

func portOf(u *url.URL) uint16 {
	if n, err := parsePort(u.Port()); err == nil {
		return n
	}
	return httpsPort
}

// intercepted reports whether a session's proxy opens connections to the host of
// an address.
func (c *checker) intercepted(u *url.URL) bool {
	return slices.ContainsFunc(c.p.Hosts, func(h string) bool {
		return MatchHost(strings.Replace(h, hostVar, anyBase, 1), u.Hostname(), portOf(u))
	})
}

// minted reports whether a mint rule denies POST at an address.
func (c *checker) minted(u *url.URL) bool {
	based := Provider{Mints: slices.Clone(c.p.Mints)}
	for i := range based.Mints {
		m := &based.Mints[i]
		m.Hosts = slices.Clone(m.Hosts)
		for j, h := range m.Hosts {
			m.Hosts[j] = strings.Replace(h, hostVar, anyBase, 1)
		}
		m.hosts, m.path = nil, nil
	}
	_, ok := based.MintFor(u.Hostname(), portOf(u), "POST", u.EscapedPath())
	return ok
}

// redirect holds a redirect to the forms of RFC 8252 section 7.3, and to https,
// where the browser ends at a page that cannot be reached and a person pastes
// its address: on this machine, or at the vendor's.
func (c *checker) redirect(at string, m *Method) {
	s := m.Server.RedirectTo
	if s == "" {
		return
	}
	u, err := url.Parse(strings.Replace(s, ":{port}/", ":1/", 1))
	if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.ContainsAny(s, "#{}%\\ ") && !strings.Contains(s, ":{port}/") ||
		u.Fragment != "" || strings.Contains(u.Path, "//") || strings.Contains(u.Path, "/.") || strings.ContainsAny(u.Path, "{}") || u.EscapedPath() != u.Path {
		c.add(at, fmt.Sprintf("redirect %q is no plain address", s), `write it like redirect = "http://127.0.0.1:{port}/callback"`)
		return
	}
	local := u.Hostname() == "127.0.0.1" || u.Hostname() == "localhost"
	port, portErr := parsePort(u.Port())
	switch u.Scheme {
	case "http":
		if !local || portErr != nil || u.Path == "" {
			c.add(at, fmt.Sprintf("redirect %q does not go to this machine", s), `write it like redirect = "http://127.0.0.1:{port}/callback"`)
		} else if port < 1024 && !strings.Contains(s, ":{port}/") {
			c.add(at, fmt.Sprintf("redirect %q has a port that only root may listen on", s), "")
		}
	case "https":
		if strings.Contains(s, "{port}") {
			c.add(at, fmt.Sprintf("redirect %q: kb listens by http only", s), "an https redirect is pasted and needs no port")
		} else if !local && !c.own(u.Hostname(), m) {
			c.add(at, fmt.Sprintf("redirect %q gives the code to a host that is not the vendor's", s), `write redirect = "https://localhost/callback": its address is pasted`)
		}
	default:
		c.add(at, fmt.Sprintf("redirect %q is neither http nor https", s), "")
	}
}

// own reports whether a host is the provider's or the authorization server's.
func (c *checker) own(host string, m *Method) bool {
	if slices.ContainsFunc(c.p.Hosts, func(h string) bool { return MatchHost(h, host, httpsPort) }) {
		return true
	}
	for _, address := range m.Server.endpoints() {
		if u, err := url.Parse(*address); err == nil && u.Hostname() == host && host != "" {
			return true
		}
	}
	return false
}

// habits are the fields that have a few values each.
func (c *checker) habits(at string, m *Method) {
	s := m.Server
	oneOf := func(key, value string, values ...string) {
		if value != "" && !slices.Contains(values, value) {
			c.add(at+"."+key, fmt.Sprintf("%s %q is none of %s", key, value, strings.Join(values, ", ")), "")
		}
	}
	oneOf("client_auth", s.ClientAuth, "post", "basic", "none")
	oneOf("separator", s.Separator, ",", ";", "+")
	oneOf("pkce", s.PKCE, "none")
	oneOf("revoke_method", s.RevokeMethod, "DELETE", "GET")
	oneOf("revoke_what", s.RevokeWhat, "refresh", "access", "both", "grant")
	oneOf("revoke_auth", s.RevokeAuth, "post", "basic", "none", "bearer")
	if s.ClientAuth == "none" && m.Flow != FlowOAuth {
		c.add(at+".client_auth", fmt.Sprintf("flow %q has a secret to show", m.Flow), "")
	}
	if s.Revocation == "" && (s.RevokeMethod != "" || s.RevokeWhat != "" || s.RevokeAuth != "" || s.RevokeParam != "" || s.RevokeJSON) {
		c.add(at, "how tokens are revoked is given, but not where", "add revocation")
	}
	if s.ScopeParam != "" && (!isToken(s.ScopeParam) || slices.Contains(authorizeParams, s.ScopeParam) || s.Authorize[s.ScopeParam] != "") {
		c.add(at+".scope_param", fmt.Sprintf("%q is no parameter of its own", s.ScopeParam), "leave it out where the scopes go in scope")
	}
	if s.RevokeParam != "" && !isToken(s.RevokeParam) { // "-" is one
		c.add(at+".revoke_param", fmt.Sprintf("%q is no parameter's name", s.RevokeParam), "")
	}
	for i, code := range s.InvalidGrant {
		if !isToken(code) || code == "invalid_grant" {
			c.add(fmt.Sprintf("%s.invalid_grant[%d]", at, i), fmt.Sprintf("%q is no further error code", code), "")
		}
	}
	if s.ISS && s.Issuer == "" && !m.Discover {
		c.add(at+".iss", "iss cannot be checked without an issuer", "add issuer")
	}
	for part := range strings.SplitSeq(s.At, ".") {
		if s.At != "" && !isToken(part) {
			c.add(at+".at", fmt.Sprintf("%q is no path into a JSON answer", s.At), `write it like at = "authed_user"`)
			break
		}
	}
	if s.AccessLifetime != "" {
		if d, err := time.ParseDuration(s.AccessLifetime); err != nil || d < time.Minute || d > maxLifetime {
			c.add(at+".lifetime", fmt.Sprintf("lifetime %q is no time between a minute and a year", s.AccessLifetime), `write it like lifetime = "1h"`)
		}
	}
}

// maxLifetime bounds what a definition says of a token's life; one that lives
// longer does not end.
const maxLifetime = 366 * 24 * time.Hour

// Parameters that a flow sets itself. A definition that set one could send the
// code elsewhere, or take a check away.
var (
	authorizeParams = []string{
		"state", "code_challenge", "code_challenge_method", "redirect_uri", "client_id", "client_secret",
		"response_type", "response_mode", "scope", "resource", "request", "request_uri",
	}
	tokenParams = []string{
		"grant_type", "code", "code_verifier", "redirect_uri", "client_id", "client_secret", "client_assertion",
		"client_assertion_type", "refresh_token", "device_code", "assertion", "scope", "resource",
	}
)

func (c *checker) parameters(at string, params map[string]string, m *Method, reserved []string) {
	for _, name := range sortedKeys(params) {
		at := at + "." + name
		if !isToken(name) {
			c.add(at, fmt.Sprintf("%q is no parameter's name", name), "")
		}
		if slices.Contains(reserved, strings.ToLower(name)) {
			c.add(at, fmt.Sprintf("parameter %q is the flow's to set", name), "")
		}
		value := params[name]
		if field, ok := strings.CutPrefix(value, "{"); ok && m.Flow == FlowClientCredentials {
			if !slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Name+"}" == field && !f.Secret && !f.Optional }) {
				c.add(at, fmt.Sprintf("%s is no field that is asked for and not secret", value), "")
			}
			continue
		}
		if !printableASCII(value) || strings.ContainsAny(value, "{}") {
			c.add(at, fmt.Sprintf("parameter %q is not constant", name), "")
		}
	}
}

func printableASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r >= 0x7f })
}
