package oauth

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"kb/internal/plain"
	"kb/internal/secret"
)

// Loopback is an authorization code flow with PKCE (RFC 6749, 7636) whose
// answer comes to a port of this machine (RFC 8252 section 7.3), or is pasted.
//
// Answers that are not the one waited for are refused and the flow goes on:
// any web page can send a browser to a loopback port, and must not be able to
// end a login, let alone to finish it. The one answer ends it, be it a code or
// the server's no. Close it in any case.
type Loopback struct {
	f        *Flows
	server   Server
	client   Client
	redirect redirect
	url      string
	state    secret.Value
	verifier secret.Value

	web    *http.Server  // nil when the answer can only be pasted
	served chan struct{} // closed when web has ended
	closed context.Context
	close  context.CancelFunc

	mu      sync.Mutex
	ended   bool         // the one answer came
	refused int          // answers that were not it
	last    error        // why the last of those was not
	landed  chan landing // of capacity 1
}

// landing is what an authorization response brought.
type landing struct {
	code secret.Value
	err  error // the server's no
}

// randomBytes is the entropy of a state and of a verifier: 256 bit, which
// makes 43 characters of verifier, the least that RFC 7636 section 4.1 takes.
const randomBytes = 32

// Loopback starts a flow: it listens where the redirect URI says, and the
// browser is to be sent to [Loopback.URL]. If the URI names a port that is
// taken, or https, the answer can only be pasted; a port that is taken ends it
// where the server does without PKCE, since whoever listens there gets the code.
func (f *Flows) Loopback(ctx context.Context, s Server, c Client, scopes []string) (*Loopback, error) {
	if _, err := endpoint("authorization", s.Authorization); err != nil {
		return nil, err
	}
	if _, err := endpoint("token", s.Token); err != nil {
		return nil, err
	}
	if s.PKCE != "" && s.PKCE != "S256" && s.PKCE != "none" {
		return nil, fmt.Errorf("start login: no PKCE method %q", s.PKCE)
	}
	to := s.RedirectTo
	if c.Redirect != "" {
		to = c.Redirect
	}
	r, err := parseRedirect(to)
	if err != nil {
		return nil, err
	}
	l := &Loopback{f: f, server: s, client: c, redirect: r, landed: make(chan landing, 1), served: make(chan struct{})}
	l.closed, l.close = context.WithCancel(context.Background())
	if l.state, err = f.nonce(); err != nil {
		return nil, err
	}
	if s.PKCE != "none" {
		if l.verifier, err = f.nonce(); err != nil {
			return nil, err
		}
	}
	if !r.paste {
		if err := l.listen(ctx); err != nil {
			return nil, err
		}
	}
	if l.url, err = l.authorizationURL(ctx, scopes); err != nil {
		l.Close()
		return nil, err
	}
	return l, nil
}

// nonce is a fresh unguessable string of URL-safe characters.
func (f *Flows) nonce() (secret.Value, error) {
	var b [randomBytes]byte
	if _, err := io.ReadFull(f.random, b[:]); err != nil {
		return secret.Value{}, fmt.Errorf("read randomness: %w", err)
	}
	return secret.New(base64.RawURLEncoding.EncodeToString(b[:])), nil
}

// listen opens the port. IPv4 alone: the port of ::1 is another, and who holds
// it is not known.
func (l *Loopback) listen(ctx context.Context) error {
	var lc net.ListenConfig
	tcp, err := lc.Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(l.redirect.port)))
	if err != nil {
		if l.redirect.port == 0 || l.server.PKCE == "none" {
			return fmt.Errorf("listen on 127.0.0.1 port %d: %w", l.redirect.port, err)
		}
		return nil
	}
	l.redirect = l.redirect.at(tcp.Addr().(*net.TCPAddr).Port)
	l.web = &http.Server{
		Handler:           http.HandlerFunc(l.callback),
		ReadHeaderTimeout: 5 * time.Second, // a browser on the same machine
		WriteTimeout:      5 * time.Second,
		IdleTimeout:       5 * time.Second,
		MaxHeaderBytes:    callbackMax,
		ErrorLog:          log.New(io.Discard, "", 0), // it would print what was asked
	}
	l.web.SetKeepAlivesEnabled(false)
	go func() {
		defer close(l.served)
		_ = l.web.Serve(tcp)
	}()
	return nil
}

// authorizationURL is what the browser opens (RFC 6749 section 4.1.1).
func (l *Loopback) authorizationURL(ctx context.Context, scopes []string) (string, error) {
	s := l.server
	conf := oauth2.Config{
		ClientID: l.client.ID, RedirectURL: l.redirect.uri,
		Endpoint: oauth2.Endpoint{AuthURL: s.Authorization},
	}
	if err := ownQuery(s.Authorization); err != nil {
		return "", err
	}
	var opts []oauth2.AuthCodeOption
	set := func(k, v string) { opts = append(opts, oauth2.SetAuthURLParam(k, v)) }
	for _, k := range slices.Sorted(maps.Keys(s.Authorize)) {
		if slices.Contains(ownParameters, k) {
			return "", fmt.Errorf("start login: the definition sets %q, which is the flow's", k)
		}
		set(k, s.Authorize[k])
	}
	if len(scopes) > 0 {
		name := s.ScopeParam
		if name == "" {
			name = "scope"
		}
		if slices.Contains(ownParameters, name) {
			return "", fmt.Errorf("start login: the definition puts scopes in %q, which is the flow's", name)
		}
		set(name, s.scope(scopes))
	}
	if s.Resource != "" {
		set("resource", s.Resource)
	}
	if !l.verifier.IsZero() {
		opts = append(opts, oauth2.S256ChallengeOption(l.verifier.Reveal()))
	}
	whole := conf.AuthCodeURL(l.state.Reveal(), opts...)
	if s.PAR == "" {
		return whole, nil
	}
	return l.f.push(ctx, s, l.client, whole)
}

// ownParameters of the authorization request are the flow's: a definition that
// sets one would switch a check off.
var ownParameters = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "state", "code_challenge", "code_challenge_method", "request", "request_uri",
}

// ownQuery refuses an endpoint whose own query has a parameter of the flow's:
// which of two counts is the server's choice.
func ownQuery(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil {
		return errors.New("start login: the authorization endpoint is no URL")
	}
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New("start login: the authorization endpoint has a query that cannot be read")
	}
	for _, name := range ownParameters {
		if query.Has(name) {
			return fmt.Errorf("refuse authorization endpoint of %q: it sets %q, which is the flow's", plain.Clean(u.Host), name)
		}
	}
	return nil
}

// URL is where the browser has to go. It holds no secret that opens anything:
// the state and the hash of the verifier.
func (l *Loopback) URL() string { return l.url }

// Redirect is the redirect URI of this flow, with its port.
func (l *Loopback) Redirect() string { return l.redirect.uri }

// PasteOnly reports that nothing listens: the answer has to be pasted.
func (l *Loopback) PasteOnly() bool { return l.web == nil }

// Wait waits for the answer, from the browser or pasted, and redeems its code.
// It gives its result once.
func (l *Loopback) Wait(ctx context.Context) (Tokens, error) {
	select {
	case g := <-l.landed:
		if g.err != nil {
			return Tokens{}, g.err
		}
		return l.f.exchange(ctx, l.server, l.client, g.code, l.verifier, l.redirect.uri)
	case <-l.closed.Done():
		return Tokens{}, errors.New("wait for the browser: the login was closed")
	case <-ctx.Done():
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.refused > 0 {
			return Tokens{}, fmt.Errorf("wait for the browser: %w (answers refused: %d, the last because %w)", ctx.Err(), l.refused, l.last)
		}
		return Tokens{}, fmt.Errorf("wait for the browser: %w", ctx.Err())
	}
}

// Close frees the port. An answer that comes later is not heard.
func (l *Loopback) Close() {
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.close()
	if l.web != nil {
		_ = l.web.Close()
		<-l.served
	}
}

// push registers the authorization request with the server (RFC 9126) and
// returns the short URL in its place.
func (f *Flows) push(ctx context.Context, s Server, c Client, whole string) (string, error) {
	u, err := url.Parse(whole)
	if err != nil {
		return "", errors.New("push authorization request: no URL")
	}
	v, h := u.Query(), http.Header{}
	if err := authenticate(s.ClientAuth, c, v, h); err != nil {
		return "", err
	}
	a, sent, err := f.post(ctx, "par", http.MethodPost, s.PAR, v, false, h)
	if err != nil {
		return "", err
	}
	m, err := a.success(sent)
	if err != nil {
		return "", err
	}
	uri := text(m["request_uri"])
	if uri == "" || len(uri) > 2048 || plain.Clean(uri) != uri {
		return "", a.odd("the answer has no request_uri")
	}
	u, err = url.Parse(s.Authorization)
	if err != nil {
		return "", errors.New("push authorization request: no URL")
	}
	q := u.Query()
	q.Set("client_id", c.ID)
	q.Set("request_uri", uri)
	u.RawQuery = q.Encode()
	return u.String(), nil
}
