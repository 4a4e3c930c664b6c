package testkit

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// authorize is the authorization endpoint: whoever comes is logged in and
// agrees, unless [AuthServer.SetApprove] says otherwise.
func (s *AuthServer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.clients[q.Get("client_id")]
	if c == nil || err != nil || len(c.redirects) > 0 && !slices.Contains(c.redirects, q.Get("redirect_uri")) {
		http.Error(w, "no such client, or not its redirect", http.StatusBadRequest)
		return
	}
	back := to.Query()
	back.Set("state", q.Get("state"))
	if s.iss {
		back.Set("iss", s.Issuer)
	}
	switch {
	case !s.approve:
		back.Set("error", "access_denied")
	case q.Get("response_type") != "code", c.secret == "" && q.Get("code_challenge_method") != "S256":
		back.Set("error", "invalid_request")
	default:
		code := s.random("code")
		s.codes[code] = &authCode{
			client: c.id, redirect: q.Get("redirect_uri"), challenge: q.Get("code_challenge"), scope: q.Get("scope"), family: &authFamily{},
		}
		back.Set("code", code)
	}
	to.RawQuery = back.Encode()
	w.Header().Set("Location", to.String())
	w.WriteHeader(http.StatusFound)
}

// client finds the client of a request, or nil.
func (s *AuthServer) client(r *http.Request) *authClient {
	id, key := r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	if u, p, ok := r.BasicAuth(); ok {
		id, _ = url.QueryUnescape(u)
		key, _ = url.QueryUnescape(p)
	}
	c := s.clients[id]
	if c == nil || c.secret != key {
		return nil
	}
	return c
}

// form reads the parameters of a request, from a form or a JSON object.
func form(r *http.Request) {
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/json") {
		m := map[string]string{}
		_ = json.NewDecoder(r.Body).Decode(&m)
		r.PostForm = url.Values{}
		for k, v := range m {
			r.PostForm.Set(k, v)
		}
		return
	}
	_ = r.ParseForm()
}

// token is the token endpoint.
func (s *AuthServer) token(w http.ResponseWriter, r *http.Request) {
	form(r)
	answer, code := s.grant(r)
	if code != "" {
		s.note(r, code)
		status := http.StatusBadRequest
		if code == "invalid_client" {
			status = http.StatusUnauthorized
		}
		writeJSON(w, status, map[string]string{"error": code, "error_description": "the test's server says " + code})
		return
	}
	s.note(r, "ok")
	writeJSON(w, http.StatusOK, answer)
}

// grant does what a token request asks for and returns its answer, or an error code.
func (s *AuthServer) grant(r *http.Request) (map[string]any, string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := r.PostForm
	kind := f.Get("grant_type")
	if kind == "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		if strings.Count(f.Get("assertion"), ".") != 2 {
			return nil, "invalid_grant"
		}
		return s.answer(nil, "", f.Get("scope"), false), ""
	}
	c := s.client(r)
	if c == nil {
		return nil, "invalid_client"
	}
	switch kind {
	case "authorization_code":
		code := s.codes[f.Get("code")]
		if code == nil || code.client != c.id || code.redirect != f.Get("redirect_uri") {
			return nil, "invalid_grant"
		}
		if code.used {
			code.family.dead = true // RFC 6749 section 4.1.2
			return nil, "invalid_grant"
		}
		// RFC 9700 section 4.8.2: a verifier without a challenge is as wrong as
		// a challenge without its verifier.
		if v := f.Get("code_verifier"); (code.challenge != "" || v != "") && code.challenge != s256(v) {
			return nil, "invalid_grant"
		}
		code.used = true
		return s.answer(code.family, c.id, code.scope, true), ""
	case "refresh_token":
		t := s.refresh[f.Get("refresh_token")]
		if t == nil || t.client != c.id || t.family.dead {
			return nil, "invalid_grant"
		}
		if t.used {
			t.family.dead = true
			return nil, "invalid_grant"
		}
		t.used = s.rotate
		return s.answer(t.family, c.id, t.scope, s.rotate), ""
	case "client_credentials":
		if c.secret == "" {
			return nil, "unauthorized_client"
		}
		return s.answer(nil, "", f.Get("scope"), false), ""
	case "urn:ietf:params:oauth:grant-type:device_code":
		return s.deviceGrant(c, f.Get("device_code"))
	}
	return nil, "unsupported_grant_type"
}

// answer mints what a token request is answered with.
func (s *AuthServer) answer(fam *authFamily, client, scope string, refresh bool) map[string]any {
	m := map[string]any{"access_token": s.mintAccess(fam), "token_type": "Bearer"}
	if s.life > 0 {
		m["expires_in"] = int(s.life / time.Second)
	}
	if scope != "" {
		m["scope"] = scope
	}
	if refresh {
		m["refresh_token"] = s.mintRefresh(client, scope, fam)
	}
	return m
}

// deviceInterval is what the server asks of device clients, seconds.
const deviceInterval = 5

func (s *AuthServer) device(w http.ResponseWriter, r *http.Request) {
	form(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.client(r)
	if c == nil {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	code := s.random("dc")
	d := &authDevice{client: c.id, scope: r.PostForm.Get("scope"), expires: s.now().Add(10 * time.Minute)}
	d.user = strings.ToUpper(code[3:7] + "-" + code[7:11])
	s.devices[code] = d
	writeJSON(w, http.StatusOK, map[string]any{
		"device_code": code, "user_code": d.user, "verification_uri": s.Issuer + "/activate",
		"verification_uri_complete": s.Issuer + "/activate?user_code=" + d.user, "expires_in": 600, "interval": deviceInterval,
	})
}

func (s *AuthServer) deviceGrant(c *authClient, code string) (map[string]any, string) {
	d := s.devices[code]
	switch {
	case d == nil || d.client != c.id || d.state == "used":
		return nil, "invalid_grant"
	case !s.now().Before(d.expires):
		return nil, "expired_token"
	case len(d.answers) > 0:
		said := d.answers[0]
		d.answers = d.answers[1:]
		return nil, said
	case d.state == "denied":
		return nil, "access_denied"
	case d.state == "":
		return nil, "authorization_pending"
	}
	d.state = "used"
	return s.answer(&authFamily{}, c.id, d.scope, true), ""
}

// revoke is RFC 7009: a refresh token takes its family with it.
func (s *AuthServer) revoke(w http.ResponseWriter, r *http.Request) {
	form(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.client(r) == nil {
		writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "invalid_client"})
		return
	}
	t := r.PostForm.Get("token")
	if f := s.refresh[t]; f != nil {
		f.family.dead = true
	}
	if a := s.access[t]; a != nil {
		a.dead = true
	}
	w.WriteHeader(http.StatusOK)
}

// register is RFC 7591, for whoever comes.
func (s *AuthServer) register(w http.ResponseWriter, r *http.Request) {
	var m map[string]any
	if json.NewDecoder(r.Body).Decode(&m) != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "invalid_client_metadata"})
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &authClient{id: s.random("client")}
	list, _ := m["redirect_uris"].([]any)
	for _, u := range list {
		if text, ok := u.(string); ok {
			c.redirects = append(c.redirects, text)
		}
	}
	if m["token_endpoint_auth_method"] != "none" {
		c.secret = s.random("secret")
		m["client_secret"], m["client_secret_expires_at"] = c.secret, 0
	}
	s.clients[c.id] = c
	m["client_id"] = c.id
	m["registration_access_token"] = s.random("reg")
	m["registration_client_uri"] = s.Issuer + "/register/" + c.id
	writeJSON(w, http.StatusCreated, m)
}

// serveMetadata is RFC 8414.
func (s *AuthServer) serveMetadata(w http.ResponseWriter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := map[string]any{
		"issuer":                                         s.Issuer,
		"authorization_endpoint":                         s.Endpoint("authorize"),
		"token_endpoint":                                 s.Endpoint("token"),
		"device_authorization_endpoint":                  s.Endpoint("device"),
		"revocation_endpoint":                            s.Endpoint("revoke"),
		"registration_endpoint":                          s.Endpoint("register"),
		"response_types_supported":                       []string{"code"},
		"grant_types_supported":                          []string{"authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code"},
		"code_challenge_methods_supported":               []string{"S256"},
		"token_endpoint_auth_methods_supported":          []string{"none", "client_secret_post", "client_secret_basic"},
		"authorization_response_iss_parameter_supported": s.iss,
	}
	for k, v := range s.metadata {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	writeJSON(w, http.StatusOK, m)
}
