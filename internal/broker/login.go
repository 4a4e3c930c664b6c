package broker

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"kb/internal/oauth"
	"kb/internal/plain"
	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/internal/state"
	"kb/providers"
	"kb/vaultfile"
)

const (
	// identityTimeout: a provider that does not say who one is within this
	// time is treated as unreachable.
	identityTimeout = 10 * time.Second
	// identityMax bounds the answer, in bytes; real ones are under 10 KiB.
	identityMax = 1 << 20
)

// LoginSpec is a login to be kept.
type LoginSpec struct {
	Login  vaultfile.Login // of a profile by its full name
	Verify bool            // ask the provider whose it is
}

// LoginResult is what came of it.
type LoginResult struct {
	Account    string // as the provider answered; empty when not asked
	Note       string
	Pending    bool      // a person has to go on elsewhere: the same call again asks whether it was done
	Expires    time.Time // of the token; zero when it does not, or nobody knows
	Scopes     []string  // that were granted; nil when not said
	DeviceOnly bool      // the login is of this device alone: others make their own
}

// RejectedError says that the provider refused the credential.
type RejectedError struct {
	Provider string
	Status   int
}

func (e *RejectedError) Error() string {
	return fmt.Sprintf("ask %s who this is: it refused the credential with status %d", e.Provider, e.Status)
}

// UnreachableError says that the provider could not be asked.
type UnreachableError struct {
	Provider string
	Err      error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("ask %s who this is: %v", e.Provider, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// WrongAccountError says that a credential belongs to somebody else than the
// profile expects.
type WrongAccountError struct{ Profile, Provider, Want, Have string }

func (e *WrongAccountError) Error() string {
	have := e.Have
	if have == "" {
		have = "nobody known"
	}
	return fmt.Sprintf("log in at %s: profile %q expects account %q, and this credential answers as %s", e.Provider, e.Profile, e.Want, plain.Clean(have))
}

// CheckReference reports whether ref has a form that kb knows.
func CheckReference(ref string) error { return secretref.Check(ref) }

// Login checks a login and keeps it in the vault. One that the provider
// refuses, or that answers as somebody else than the profile expects, is not
// kept. It goes into its profile's vault.
func (b *Broker) Login(ctx context.Context, spec LoginSpec) (LoginResult, error) {
	var result LoginResult
	login := spec.Login
	full := login.Profile
	home, name, err := b.home(full)
	if err != nil {
		return result, err
	}
	if login.Secrets, err = b.pasted(login); err != nil {
		return result, err
	}
	known := login
	login.Profile = name
	joined := b.join(known, func(_, ref string) (secret.Value, error) { return b.refs().Resolve(ctx, ref, nil) })
	switch {
	case joined.problem == "":
	case joined.unresolved && !spec.Verify:
		result.Note = joined.problem + "; until it is there, requests are refused"
	default:
		return result, fmt.Errorf("log in at %s: %s", login.Provider, joined.problem)
	}
	p, _, err := b.Profile(full)
	if err != nil {
		return result, err
	}
	now, token := joined.bound.Load(), state.Token{}
	if joined.flows() {
		if now, token, err = b.mint(ctx, joined, spec.Verify); err != nil {
			return result, err
		}
		result.Expires, result.Scopes = token.Expires, token.Scopes
	}
	account, note, err := b.whose(ctx, joined, now, p.Expect[login.Provider], spec.Verify)
	if err != nil {
		return result, err
	}
	login.Account, result.Account, token.Account = account, account, account
	if note != "" {
		result.Note = note
	}
	login.Created = b.newer(full, login)
	if err := b.wantHere(ctx, home, login); err != nil {
		return result, err
	}
	if err := b.edit(ctx, home, func(tx *vaultfile.Tx) error { return tx.PutLogin(login) }); err != nil {
		return result, err
	}
	return result, b.putMinted(ctx, keyOf(known), token, login.Created)
}

// pasted are the values of a login as the vault takes them.
func (b *Broker) pasted(login vaultfile.Login) (map[string]secret.Value, error) {
	definition, err := b.Definition(login.Profile, login.Provider, login.Base)
	if err != nil {
		return nil, err
	}
	m, ok := definition.Login.Method(login.Method)
	if ok && m.Renews() {
		return nil, fmt.Errorf("log in at %s: %w", login.Provider, ErrNoFlow)
	}
	values := map[string]secret.Value{}
	for name, value := range login.Secrets {
		if ok && m.Flow != providers.FlowPaste {
			value = oneLine(value)
		}
		if err := value.Check(); err != nil {
			return nil, fmt.Errorf("log in at %s: field %q: %w", login.Provider, name, err)
		}
		values[name] = value
	}
	return values, nil
}

// newer is the time of a login that is made now: later than that of the one it
// replaces, so that what was got with that does not serve it.
func (b *Broker) newer(full string, login vaultfile.Login) time.Time {
	made := b.now().UTC().Truncate(time.Second)
	if old, err := b.loginOf(full, login.Provider, login.As); err == nil && !old.Created.Before(made) {
		made = old.Created.Add(time.Second)
	}
	return made
}

// whoAmI asks the provider's identity endpoint with the login's own credential.
func (b *Broker) whoAmI(ctx context.Context, c *credentials, now *bound) (string, error) {
	identity := c.definition.Identity
	target, err := url.Parse(identity.URL)
	if err != nil {
		return "", fmt.Errorf("ask %s who this is: %w", c.login.Provider, err)
	}
	host, port, err := authorityOf(target)
	if err != nil {
		return "", fmt.Errorf("ask %s who this is: %w", c.login.Provider, err)
	}
	credential, ok := now.compiled.Match(host, port, target.Path)
	if !ok {
		return "", fmt.Errorf("ask %s who this is: its definition puts no credential on %s", c.login.Provider, target.Path)
	}
	ctx, cancel := context.WithTimeout(ctx, identityTimeout)
	defer cancel()
	request, err := identityRequest(ctx, identity, target, credential)
	if err != nil {
		return "", err
	}
	client, err := b.client()
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", &UnreachableError{c.login.Provider, withoutURL(err)}
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, identityMax))
	if err != nil {
		return "", fmt.Errorf("ask %s who this is: %w", c.login.Provider, withoutURL(err))
	}
	if response.StatusCode < 200 || response.StatusCode > 299 {
		return "", &RejectedError{c.login.Provider, response.StatusCode}
	}
	account, err := identity.Account(body)
	if err != nil {
		return "", fmt.Errorf("ask %s who this is: %w", c.login.Provider, err)
	}
	// The account's name goes into the vault and on every screen.
	if c.quotedIn(account, credential) {
		return "", fmt.Errorf("ask %s who this is: its answer holds the credential in place of a name", c.login.Provider)
	}
	return account, nil
}

// quotedIn reports whether a text holds a part of what was sent. A field that is
// no secret, as an e-mail address, may be there.
func (c *credentials) quotedIn(text string, sent *providers.Credential) bool {
	for _, pairs := range [][]providers.Pair{sent.Header, sent.Query, sent.Cookie} {
		for _, p := range pairs {
			if c.public(p.Value) {
				continue
			}
			if oauth.Quotes(text, p.Value) {
				return true
			}
		}
	}
	return false
}

// public reports whether a value is one of the login's fields that are no secrets.
func (c *credentials) public(v secret.Value) bool {
	return c.method != nil && slices.ContainsFunc(c.method.Fields, func(f providers.Field) bool {
		return !f.Secret && c.login.Secrets[f.Name].Equal(v)
	})
}

func identityRequest(ctx context.Context, identity *providers.Identity, target *url.URL, c *providers.Credential) (*http.Request, error) {
	method := identity.Method
	if method == "" {
		method = http.MethodGet
	}
	request, err := http.NewRequestWithContext(ctx, method, target.String(), strings.NewReader(identity.Body))
	if err != nil {
		return nil, fmt.Errorf("build identity request: %w", err)
	}
	request.Header.Set("User-Agent", "kb")
	request.Header.Set("Accept", "application/json")
	if identity.Body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range identity.Header {
		request.Header.Set(name, value)
	}
	for _, h := range c.Header {
		request.Header.Set(h.Name, h.Value.Reveal())
	}
	for _, k := range c.Cookie {
		request.AddCookie(&http.Cookie{Name: k.Name, Value: k.Value.Reveal()})
	}
	if len(c.Query) > 0 {
		query := request.URL.Query()
		for _, q := range c.Query {
			query.Set(q.Name, q.Value.Reveal())
		}
		request.URL.RawQuery = query.Encode()
	}
	return request, nil
}

// client follows no redirect, with a credential in hand, and uses no proxy.
func (b *Broker) client() (*http.Client, error) {
	roots, _, err := b.upstreamRoots()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		DisableKeepAlives: true,
		ForceAttemptHTTP2: true,
	}
	transport.DialContext = (&net.Dialer{ControlContext: dialable}).DialContext
	if b.resolver != nil || b.dial != nil {
		transport.DialContext = b.dialContext
	}
	return &http.Client{
		Transport:     oauth.Quiet(transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}

// dialContext dials through the broker's own resolver and dialler, where the
// demo or a test gave them.
func (b *Broker) dialContext(ctx context.Context, _, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	var addrs []netip.Addr
	if addr, parseErr := netip.ParseAddr(host); parseErr == nil {
		addrs = []netip.Addr{addr}
	} else if b.resolver != nil {
		addrs, err = b.resolver.LookupNetIP(ctx, "ip", host)
	} else {
		addrs, err = net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("resolve %q: no address", host)
	}
	at := netip.AddrPortFrom(addrs[0].Unmap(), uint16(number))
	if err := dialable(ctx, "tcp", at.String(), nil); err != nil {
		return nil, err
	}
	if b.dial != nil {
		return b.dial(ctx, at)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", at.String())
}

func authorityOf(u *url.URL) (host string, port uint16, err error) {
	if u.Scheme != "https" {
		return "", 0, fmt.Errorf("use %s: not https", u.Host)
	}
	if host, err = providers.CanonicalHost(u.Hostname()); err != nil {
		return "", 0, err
	}
	if u.Port() == "" {
		return host, 443, nil
	}
	n, err := strconv.ParseUint(u.Port(), 10, 16)
	return host, uint16(n), err
}

// withoutURL drops the request's URL from an error: a query may hold a secret.
func withoutURL(err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		return wrapped.Err
	}
	return err
}
