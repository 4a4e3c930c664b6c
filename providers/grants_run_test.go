package providers

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"kb/internal/golden"
	"kb/internal/oauth"
	"kb/internal/secret"
)

// goldenNow is the time at which golden grants are made.
var goldenNow = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

// grantRun drives the flows of one method by its golden file.
type grantRun struct {
	v      *vendor
	method *Method
	g      *golden.Grant
	flows  *oauth.Flows
	server oauth.Server
	client oauth.Client
	scopes []string
	have   oauth.Tokens
}

// runGrant returns every difference between a definition and what the golden
// file says of one method. Transport is how the vendor is reached; nil is
// without a network.
func runGrant(p *Provider, g *golden.Grant, v *vendor, transport http.RoundTripper) []error {
	based, err := p.ForBase(g.Base)
	if err != nil {
		return []error{err}
	}
	m, ok := based.Login.Method(g.Method)
	if !ok || m.Server == nil {
		return []error{fmt.Errorf("no method %q with a server", g.Method)}
	}
	v.fetch, v.asked, v.bound = map[string]*golden.Step{}, map[string]bool{}, map[string]string{}
	for i := range g.Steps {
		if s := &g.Steps[i]; s.Title == "fetch" {
			v.fetch[s.URL] = s
		}
	}
	if transport == nil {
		transport = v
	}
	r := &grantRun{
		v: v, method: m, g: g, scopes: m.Scopes, client: oauth.Client{ID: g.ID, Secret: secret.New(g.Secret)},
		flows: oauth.New(oauth.Options{
			Client: &http.Client{Transport: transport},
			Now:    func() time.Time { return goldenNow },
		}),
	}
	if g.Scopes != nil {
		r.scopes = g.Scopes
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := r.all(ctx); err != nil {
		v.differ("%s: %v", g.Method, err)
	}
	v.finish()
	for at := range v.fetch {
		if !v.asked[at] {
			v.differ("%s was not asked for", at)
		}
	}
	if !v.paired() {
		v.differ("the verifier is not the challenge's")
	}
	diffs := v.diffs
	v.diffs = nil
	return diffs
}

func (r *grantRun) all(ctx context.Context) error {
	fields := map[string]secret.Value{}
	for _, f := range r.method.Fields {
		if value, ok := r.g.Fields[f.Name]; ok {
			fields[f.Name] = secret.New(filled(value))
		} else if !f.Optional {
			return fmt.Errorf("the golden file gives no field %q", f.Name)
		}
	}
	definition, err := r.method.Server.With(fields)
	if err != nil {
		return err
	}
	r.server = oauthServer(definition)
	r.have.Refresh = secret.New(r.g.Held)
	if !r.method.Renews() {
		return r.minted(ctx, definition, fields)
	}
	if r.method.Discover {
		if r.server, _, err = r.flows.Discover(ctx, definition.Resource); err != nil {
			return err
		}
		r.server.RedirectTo = definition.RedirectTo
	}
	if s, ok := r.g.Step("register"); ok {
		r.v.next(s)
		made, err := r.flows.Register(ctx, r.server, oauth.Registration{Redirect: definition.RedirectTo})
		if err != nil {
			return err
		}
		r.client, r.server.ClientAuth = made.Client, made.Auth
	}
	for _, step := range []func(context.Context) error{r.code, r.device, r.refresh, r.refused, r.revoke} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// code is the browser's way: the address it opens, and the code's redemption.
func (r *grantRun) code(ctx context.Context) error {
	token, ok := r.g.Step("token")
	if !ok {
		return nil
	}
	l, err := r.flows.Loopback(ctx, r.server, r.client, r.scopes)
	if err != nil {
		return err
	}
	defer l.Close()
	opened, err := url.Parse(l.URL())
	if err != nil {
		return err
	}
	query := opened.Query()
	back := url.Values{"code": {"kb-golden-code"}, "state": {query.Get("state")}}
	r.v.bound["code"] = "kb-golden-code"
	if s, ok := r.g.Step("authorize"); ok {
		where := fmt.Sprintf("line %d, authorize", s.Line)
		at := *opened
		at.RawQuery = ""
		if at.String() != s.URL || s.HTTPMethod != http.MethodGet {
			r.v.differ("%s: opens %s", where, at.String())
		}
		got, err := parameters("", []byte(opened.RawQuery))
		if err != nil {
			return err
		}
		r.v.sameParams(where, s.Params, got)
		if iss, ok := s.Says("iss"); ok {
			if l.Paste(l.Redirect()+"?"+back.Encode()) == nil {
				r.v.differ("%s: an answer without iss was taken", where)
			}
			back.Set("iss", iss)
		}
	}
	if err := l.Paste(l.Redirect() + "?" + back.Encode()); err != nil {
		return err
	}
	r.v.next(token)
	got, err := l.Wait(ctx)
	if err != nil {
		return err
	}
	r.understood(token, got)
	return nil
}

func (r *grantRun) device(ctx context.Context) error {
	s, ok := r.g.Step("device")
	if !ok {
		return nil
	}
	r.v.next(s)
	d, err := r.flows.Device(ctx, r.server, r.client, r.scopes)
	if err != nil {
		return err
	}
	r.says(s, "code", d.UserCode)
	r.says(s, "visit", d.VerificationURI)
	r.says(s, "whole", d.VerificationURIComplete)
	r.says(s, "expires", fmt.Sprint(int(d.Expires.Sub(goldenNow).Seconds())))
	r.says(s, "interval", fmt.Sprint(int(d.Interval.Seconds())))
	poll, ok := r.g.Step("poll")
	if !ok {
		return nil
	}
	r.v.next(poll)
	got, err := d.Ask(ctx)
	if err != nil {
		return err
	}
	r.understood(poll, got)
	return nil
}

func (r *grantRun) refresh(ctx context.Context) error {
	s, ok := r.g.Step("refresh")
	if !ok {
		return nil
	}
	r.v.next(s)
	got, err := r.flows.Refresh(ctx, r.server, r.client, r.have.Refresh, nil)
	if err != nil {
		return err
	}
	r.understood(s, got)
	return nil
}

func (r *grantRun) refused(ctx context.Context) error {
	s, ok := r.g.Step("refused")
	if !ok {
		return nil
	}
	r.v.next(s)
	_, err := r.flows.Refresh(ctx, r.server, r.client, r.have.Refresh, nil)
	said := ""
	if e, ok := errors.AsType[*oauth.Error](err); ok {
		said = e.Code
	}
	r.says(s, "error", said)
	return nil
}

func (r *grantRun) revoke(ctx context.Context) error {
	var steps []*golden.Step
	for i := range r.g.Steps {
		if r.g.Steps[i].Title == "revoke" {
			steps = append(steps, &r.g.Steps[i])
		}
	}
	if steps == nil {
		return nil
	}
	r.v.next(steps...)
	return r.flows.Revoke(ctx, r.server, r.client, r.have)
}

// minted are the flows without a person.
func (r *grantRun) minted(ctx context.Context, definition *Server, fields map[string]secret.Value) error {
	s, ok := r.g.Step("token")
	if !ok {
		return errors.New("the golden file has no token step")
	}
	r.v.next(s)
	var got oauth.Tokens
	var err error
	switch r.method.Flow {
	case FlowClientCredentials:
		r.client = oauth.Client{ID: fields["client_id"].Reveal(), Secret: fields["client_secret"]}
		got, err = r.flows.ClientCredentials(ctx, r.server, r.client, r.scopes)
	case FlowJWTBearer:
		var assertion oauth.Assertion
		token, parseErr := url.Parse(r.server.Token)
		if parseErr != nil {
			return parseErr
		}
		if r.server, assertion, err = oauth.ServiceAccount(fields["key"], r.scopes, fields["subject"].Reveal(), []string{token.Host}); err != nil {
			return err
		}
		got, err = r.flows.JWTBearer(ctx, r.server, assertion)
	case FlowGitHubApp:
		got, err = r.flows.Installation(ctx, oauth.App{
			API: definition.AppAPI(), ID: fields["app_id"].Reveal(), Installation: fields["installation_id"].Reveal(), Key: fields["private_key"],
		})
	default:
		return fmt.Errorf("no flow %q", r.method.Flow)
	}
	if err != nil {
		return err
	}
	r.understood(s, got)
	return r.revoke(ctx)
}

// understood compares what kb made of an answer, and keeps it for what follows.
func (r *grantRun) understood(s *golden.Step, got oauth.Tokens) {
	r.says(s, "access", got.Access.Reveal())
	r.says(s, "refresh", got.Refresh.Reveal())
	expires := ""
	if !got.Expires.IsZero() {
		expires = fmt.Sprint(int(got.Expires.Sub(goldenNow).Seconds()))
	}
	r.says(s, "expires", expires)
	r.says(s, "scopes", strings.Join(got.Scopes, " "))
	r.have = got
}

func (r *grantRun) says(s *golden.Step, name, got string) {
	if got == "" {
		got = "-"
	}
	if want, ok := s.Says(name); ok && want != got {
		r.v.differ("line %d, %s: %s is understood as %q", s.Line, s.Title, name, got)
	}
}

// oauthServer is internal/oauth's server of a definition's.
func oauthServer(s *Server) oauth.Server {
	return oauth.Server{
		Issuer: s.Issuer, Authorization: s.Authorization, Token: s.Token, Device: s.Device, Revocation: s.Revocation,
		Registration: s.Registration, Resource: s.Resource, ISS: s.ISS, ClientAuth: oauth.ClientAuth(s.ClientAuth), JSON: s.JSON,
		Separator: s.Separator, ScopeParam: s.ScopeParam, PKCE: s.PKCE, Authorize: s.Authorize, TokenParams: s.TokenParams, Header: s.Header, At: s.At,
		InvalidGrant: s.InvalidGrant, RefreshToken: s.RefreshToken, RevokeMethod: s.RevokeMethod, RevokeWhat: s.RevokeWhat,
		RevokeAuth: s.RevokeAuth, RevokeParam: s.RevokeParam, RevokeJSON: s.RevokeJSON, RedirectTo: s.RedirectTo, AccessLifetime: s.Lifetime(),
	}
}

// goldenKey is an RSA key for assertions that nobody verifies here.
var goldenKey = sync.OnceValue(func() string {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
})

// filled puts a key where the golden file has a name for one.
func filled(value string) string {
	switch value {
	case "{rsa}":
		return goldenKey()
	case "{serviceaccount}":
		file, err := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "kb@acme.iam.gserviceaccount.com", "private_key_id": "kb-golden-key",
			"private_key": goldenKey(), "token_uri": "https://oauth2.googleapis.com/token",
		})
		if err != nil {
			panic(err)
		}
		return string(file)
	}
	return value
}
