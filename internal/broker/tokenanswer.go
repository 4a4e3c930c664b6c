package broker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"time"

	"kb/internal/audit"
	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/providers"
	"kb/proxy"
)

// An agent that logs in by itself refreshes by itself, too: in place of tokens
// it holds two placeholders, and when it thinks that the first is over it posts
// the second to its vendor's token endpoint. That request never gets there. kb
// answers it, after seeing to it that the real token is good, with the same two
// placeholders. Any other request to the token endpoint of a login is refused
// as what it is, a request for a credential that the agent would hold.

// endpoint is where a login's tokens are asked for.
type endpoint struct {
	authority
	path string
}

// endpointsOf are the token endpoints of a login that a person granted.
func (b *Broker) endpointsOf(c *credentials) []endpoint {
	if !c.method.Renews() {
		return nil // its secrets are not in the session: nothing there can ask
	}
	server, err := b.serverKnown(c.login, c.method)
	if err != nil {
		return nil
	}
	var list []endpoint
	for _, address := range []string{server.Token, server.RefreshToken} {
		u, err := url.Parse(address)
		if err != nil || address == "" {
			continue
		}
		host, port, err := authorityOf(u)
		if err != nil {
			continue
		}
		list = append(list, endpoint{authority{host, port}, strings.TrimSuffix(u.EscapedPath(), "/")})
	}
	return list
}

// asksForTokens reports whether a path is the login's token endpoint, also to a
// server that is lenient about paths.
func (c *credentials) asksForTokens(host string, port uint16, path string) bool {
	for _, at := range c.endpoints {
		if at.authority != (authority{host, port}) {
			continue
		}
		for _, reading := range []string{path, providers.LenientPath(path)} {
			if strings.EqualFold(strings.TrimSuffix(reading, "/"), at.path) {
				return true
			}
		}
	}
	return false
}

// tokenPair is what the child holds in place of a login's tokens.
type tokenPair struct{ access, refresh string }

// answersItself returns what answers a request to the token endpoint of one of
// the session's logins, nil where it cannot be an agent's own refresh.
func (s *Session) answersItself(found []*credentials, r *proxy.RequestInfo, path string, event audit.Event) func(context.Context, []byte) proxy.Reply {
	if r.Method != http.MethodPost {
		return nil
	}
	meant := map[loginKey]bool{}
	for _, c := range found {
		if _, has := s.placeholders.pairs[c.key]; has && c.asksForTokens(r.Host, r.Port, path) {
			meant[c.key] = true
		}
	}
	if len(meant) == 0 {
		return nil
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	authorization := r.Header.Get("Authorization")
	return func(ctx context.Context, body []byte) proxy.Reply {
		ask := readTokenRequest(kind, authorization, body)
		key, ours := s.placeholders.byRefresh[ask.refresh]
		var c *credentials
		for _, other := range s.snapshot.Load().logins {
			if other.key == key {
				c = other
			}
		}
		if ask.grant != "refresh_token" || !ours || !meant[key] || c == nil || c.problem != "" {
			return s.refuseLocally(event, refuseMint(s.show(s.own), event.Provider), nil)
		}
		event.Profile, event.Login = key.profile, key.as
		shown := s.show(key.profile)
		if want := s.snapshot.Load().profiles[key.profile].Expect[key.provider]; want != "" && want != c.login.Account {
			return s.refuseLocally(event, refuseAccount(shown, key.provider, want, c.login.Account), nil)
		}
		s.broker.learnClient(ctx, c, ask.client)
		now, err := s.broker.usable(ctx, c)
		if err != nil {
			return s.refuseLocally(event, refuseUnusable(shown, c, err), err)
		}
		return s.broker.tokenReply(s.placeholders.pairs[key], now, c)
	}
}

// tokenRequest is what matters of a request to a token endpoint.
type tokenRequest struct {
	grant, refresh string
	client         oauth.Client
}

// readTokenRequest reads a body in one of the two forms in which agents send
// it; the zero request is what it makes of any other.
func readTokenRequest(kind, authorization string, body []byte) tokenRequest {
	value := func(string) string { return "" }
	switch kind {
	case "application/x-www-form-urlencoded":
		form, err := url.ParseQuery(string(body))
		if err != nil {
			return tokenRequest{}
		}
		value = form.Get
	case "application/json":
		var object map[string]any
		if json.Unmarshal(body, &object) != nil {
			return tokenRequest{}
		}
		value = func(name string) string { s, _ := object[name].(string); return s }
	}
	ask := tokenRequest{grant: value("grant_type"), refresh: value("refresh_token")}
	ask.client = oauth.Client{ID: value("client_id"), Secret: secret.New(value("client_secret"))}
	if scheme, pair, _ := strings.Cut(authorization, " "); strings.EqualFold(scheme, "basic") && ask.client.ID == "" {
		if text, err := base64.StdEncoding.DecodeString(strings.TrimSpace(pair)); err == nil {
			id, key, _ := strings.Cut(string(text), ":")
			id, _ = url.QueryUnescape(id)
			key, _ = url.QueryUnescape(key)
			ask.client = oauth.Client{ID: id, Secret: secret.New(key)}
		}
	}
	return ask
}

// shortestLife is the least that an agent is told of its placeholder's life:
// kb refreshes by itself, and an agent that is told less asks all the time.
const shortestLife = 5 * time.Minute

// unknownLife is what it is told where nobody knows.
const unknownLife = time.Hour

// tokenReply is an answer of RFC 6749 section 5.1 with placeholders in it.
func (b *Broker) tokenReply(pair tokenPair, now *bound, c *credentials) proxy.Reply {
	life := unknownLife
	if !now.expires.IsZero() {
		life = max(now.expires.Sub(b.now()), shortestLife)
	}
	answer := map[string]any{
		"access_token": shaped(now.token, pair.access), "refresh_token": pair.refresh,
		"token_type": "Bearer", "expires_in": int(life.Seconds()),
	}
	if len(c.login.Scopes) > 0 {
		answer["scope"] = strings.Join(c.login.Scopes, " ")
	}
	if c.method.Server != nil && c.method.Server.At != "" {
		for _, name := range strings.Split(c.method.Server.At, ".") {
			answer = map[string]any{name: answer}
		}
	}
	body, _ := json.Marshal(answer) // strings and a number
	return proxy.Reply{Status: http.StatusOK, Header: http.Header{"Cache-Control": {"no-store"}}, Body: body}
}

// shaped is a placeholder as a client can read it that takes its token apart: a
// JWT's claims say who it is for, which is no secret, and without its signature
// it opens nothing. One that has none is a secret as a whole.
func shaped(token secret.Value, placeholder string) string {
	parts := strings.Split(token.Reveal(), ".")
	if len(parts) != 3 || !strings.HasPrefix(parts[0], "eyJ") || parts[2] == "" {
		return placeholder
	}
	return parts[0] + "." + parts[1] + "." + base64.RawURLEncoding.EncodeToString([]byte(placeholder))
}

// refuseLocally is a refusal as an answer, with its line in the audit.
func (s *Session) refuseLocally(event audit.Event, refusal *proxy.Refusal, detail error) proxy.Reply {
	s.denied.Add(1)
	event.Phase, event.Reason, event.Status, event.Error = audit.PhaseRefused, refusal.Message, refusal.Status, refusal.Code
	if detail != nil {
		event.Detail = detail.Error()
	}
	if s.log.Append(event) != nil {
		refusal = refuseAudit()
	}
	body, _ := json.Marshal(map[string]string{
		"error": refusal.Code, "message": refusal.Message, "fix": refusal.Fix,
		"profile": refusal.Profile, "provider": refusal.Provider,
	})
	return proxy.Reply{Status: refusal.Status, Header: http.Header{"X-Should-Retry": {"false"}}, Body: body}
}
