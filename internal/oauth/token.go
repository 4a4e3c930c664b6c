package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"kb/internal/secret"
)

// tokenMax bounds one token. The longest known, Microsoft's with many groups,
// have some 5 KiB; a header of kb's proxy holds 64 KiB.
const tokenMax = 32 << 10

// scopesMax bounds the scopes of an answer. Google's longest consent has some 50.
const scopesMax = 256

// Refresh asks for new tokens in place of old ones (RFC 6749 section 6). An
// answer without a refresh token means that the old one stays good, so it is
// in the result. scopes are sent only where the server wants them said again;
// nil asks for the same as before.
func (f *Flows) Refresh(ctx context.Context, s Server, c Client, refresh secret.Value, scopes []string) (Tokens, error) {
	if refresh.IsZero() {
		return Tokens{}, errors.New("refresh: there is no refresh token")
	}
	v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh.Reveal()}}
	if len(scopes) > 0 {
		v.Set("scope", s.scope(scopes))
	}
	at := s
	if s.RefreshToken != "" {
		at.Token = s.RefreshToken
	}
	t, err := f.grant(ctx, at, c, v)
	if err == nil && t.Refresh.IsZero() {
		t.Refresh = refresh
	}
	return t, err
}

// ClientCredentials gets a token for the client itself (RFC 6749 section 4.4).
func (f *Flows) ClientCredentials(ctx context.Context, s Server, c Client, scopes []string) (Tokens, error) {
	v := url.Values{"grant_type": {"client_credentials"}}
	if own := s.TokenParams["grant_type"]; own != "" {
		v.Set("grant_type", own) // Zoom calls it account_credentials
	}
	if len(scopes) > 0 {
		v.Set("scope", s.scope(scopes))
	}
	return f.grant(ctx, s, c, v)
}

// grant makes a token request of any grant type. The library's client
// credentials are its one door that takes any.
func (f *Flows) grant(ctx context.Context, s Server, c Client, v url.Values) (Tokens, error) {
	if _, err := endpoint("token", s.Token); err != nil {
		return Tokens{}, err
	}
	s.extra(v)
	style, id, key, err := s.style(c)
	if err != nil {
		return Tokens{}, err
	}
	conf := clientcredentials.Config{ClientID: id, ClientSecret: key, TokenURL: s.Token, AuthStyle: style, EndpointParams: v}
	w := &wire{f: f, ctx: ctx, server: s, refreshing: v.Get("grant_type") == "refresh_token"}
	t, err := conf.Token(w.context())
	return f.tokens(w, t, err)
}

// exchange redeems an authorization code (RFC 6749 section 4.1.3, RFC 7636
// section 4.5).
func (f *Flows) exchange(ctx context.Context, s Server, c Client, code, verifier secret.Value, redirect string) (Tokens, error) {
	if _, err := endpoint("token", s.Token); err != nil {
		return Tokens{}, err
	}
	style, id, key, err := s.style(c)
	if err != nil {
		return Tokens{}, err
	}
	conf := oauth2.Config{
		ClientID: id, ClientSecret: key, RedirectURL: redirect,
		Endpoint: oauth2.Endpoint{TokenURL: s.Token, AuthStyle: style},
	}
	var opts []oauth2.AuthCodeOption
	if !verifier.IsZero() {
		opts = append(opts, oauth2.VerifierOption(verifier.Reveal()))
	}
	v := url.Values{}
	s.extra(v)
	for k := range v {
		opts = append(opts, oauth2.SetAuthURLParam(k, v.Get(k)))
	}
	w := &wire{f: f, ctx: ctx, server: s}
	t, err := conf.Exchange(w.context(), code.Reveal(), opts...)
	return f.tokens(w, t, err)
}

// style is how the library shows the client. It is always said: the library's
// own way of finding out sends the secret twice.
func (s Server) style(c Client) (style oauth2.AuthStyle, id, key string, err error) {
	switch s.ClientAuth {
	case AuthBasic:
		if c.Secret.IsZero() { // a public client is named in the body (section 3.2.1)
			return oauth2.AuthStyleInParams, c.ID, "", nil
		}
		return oauth2.AuthStyleInHeader, c.ID, c.Secret.Reveal(), nil
	case AuthPost, "":
		return oauth2.AuthStyleInParams, c.ID, c.Secret.Reveal(), nil
	case AuthNone:
		return oauth2.AuthStyleInParams, c.ID, "", nil
	}
	return 0, "", "", fmt.Errorf("authenticate client: no way %q", string(s.ClientAuth))
}

// tokens takes what the library made of an answer. Errors of the library's own
// print bodies and are replaced.
func (f *Flows) tokens(w *wire, t *oauth2.Token, err error) (Tokens, error) {
	if err != nil {
		if w.err != nil {
			return Tokens{}, w.err
		}
		if w.answer != nil {
			return Tokens{}, w.answer.odd("the answer has no access token, or one that cannot be read")
		}
		return Tokens{}, errors.New("ask token endpoint: the request cannot be made")
	}
	out := Tokens{
		Access: secret.New(t.AccessToken), Refresh: secret.New(t.RefreshToken),
		IDToken: secret.New(text(w.object["id_token"])),
	}
	for _, v := range []secret.Value{out.Access, out.Refresh} {
		if v.Check() != nil || len(v.Reveal()) > tokenMax {
			return Tokens{}, w.answer.odd("the answer has a token with a line break, or a longer one than any header takes")
		}
	}
	life := seconds(w.object["expires_in"])
	if life == 0 {
		life = w.server.AccessLifetime
	}
	if life > 0 {
		out.Expires = w.sent.Add(life)
	}
	// People are shown these: what is a token there is none of their words.
	kept := append(w.secrets, out.Access, out.Refresh, out.IDToken)
	out.Type = short(without(kept, t.TokenType))
	out.Scopes = slices.DeleteFunc(w.server.granted(w.object["scope"]), func(s string) bool { return without(kept, s) != s })
	return out, nil
}

// granted reads the scopes of an answer: a string, separated as the server
// does or by spaces, or a list.
func (s Server) granted(raw json.RawMessage) []string {
	list := words(raw)
	if list == nil {
		list = strings.FieldsFunc(text(raw), func(r rune) bool { return r == ' ' || r == ',' || strings.ContainsRune(s.Separator, r) })
	}
	list = slices.Clone(list[:min(len(list), scopesMax)])
	for i := range list {
		list[i] = short(list[i])
	}
	if len(list) == 0 {
		return nil
	}
	return list
}

// wire is the transport under the library: it sends what the library built in
// the server's own shape, and gives it an answer that is bounded, no redirect,
// JSON and a yes. It serves one request.
type wire struct {
	f          *Flows
	ctx        context.Context // of the caller
	server     Server
	refreshing bool

	sent    time.Time      // a life is counted from here: the server counts from no earlier
	secrets []secret.Value // that were sent
	answer  *answer
	object  map[string]json.RawMessage // that holds the token
	err     error                      // what to say in place of the library's error
}

// context is one in which the library uses w.
func (w *wire) context() context.Context {
	return context.WithValue(w.ctx, oauth2.HTTPClient, &http.Client{Transport: w})
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	fail := func(err error) (*http.Response, error) {
		w.err = err
		return nil, err
	}
	form, err := io.ReadAll(req.Body)
	_ = req.Body.Close()
	if err != nil {
		return fail(errors.New("make token request: no body"))
	}
	v, err := url.ParseQuery(string(form))
	if err != nil {
		return fail(errors.New("make token request: no form"))
	}
	h := http.Header{}
	for k, s := range w.server.Header {
		h.Set(k, s)
	}
	if a := req.Header.Get("Authorization"); a != "" {
		h.Set("Authorization", a)
	}
	w.sent = w.f.now()
	a, sent, err := w.f.post(w.ctx, "token", http.MethodPost, req.URL.String(), v, w.server.JSON, h)
	if err != nil {
		return fail(err)
	}
	w.answer, w.secrets = a, sent
	m, err := a.success(sent)
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && slices.Contains(w.server.InvalidGrant, e.Code) {
			e.Code = CodeInvalidGrant
		}
		return fail(err)
	}
	if w.object, err = w.at(m); err != nil {
		return fail(err)
	}
	// Only what the library is to read: it stumbles over lifetimes that are
	// fractions or words.
	only := map[string]string{}
	for _, k := range []string{"access_token", "refresh_token", "token_type"} {
		only[k] = text(w.object[k])
	}
	body, err := json.Marshal(only)
	if err != nil {
		return fail(a.odd("the answer is not JSON"))
	}
	return &http.Response{
		StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {"application/json"}},
		Body:   io.NopCloser(bytes.NewReader(body)),
	}, nil
}

// at goes down to the object that holds the token. Servers that nest it when
// they grant do not always when they refresh (Slack's user tokens).
func (w *wire) at(m map[string]json.RawMessage) (map[string]json.RawMessage, error) {
	if w.server.At == "" {
		return m, nil
	}
	top := m
	for step := range strings.SplitSeq(w.server.At, ".") {
		var next map[string]json.RawMessage
		if json.Unmarshal(m[step], &next) != nil || next == nil {
			if w.refreshing {
				return top, nil
			}
			return nil, w.answer.odd("the answer has no object " + w.server.At)
		}
		m = next
	}
	return m, nil
}
