// Package oauth speaks to authorization servers: it gets tokens, gets new ones
// in their place, and gives them back.
//
// # What it speaks
//
//	authorization code with PKCE on a loopback redirect   RFC 6749, 7636, 8252, 9207
//	device code                                           RFC 8628
//	client credentials, JWT bearer                        RFC 6749, 7523
//	GitHub App installation tokens                        of GitHub's own kind
//	discovery, dynamic registration                       RFC 8414, 9728, 7591
//	revocation                                            RFC 7009
//
// A [Server] is what is peculiar to one authorization server, all of it data: a
// provider's definition fills it in, or discovery does. Nothing here knows a
// provider's name.
//
// # What it leaves out
//
// It keeps nothing: tokens are internal/state's. When to ask for new ones, and
// that only one process asks, is internal/refresh's. It opens no browser and
// draws nothing; [Loopback] and [Device] say what a person has to see.
//
// # Care with answers
//
// Every request is made by the client that the caller gives, once: no redirect
// is followed and nothing is tried again. Answers are read up to a bound.
// Errors hold the error code of RFC 6749, the status and a cleaned description;
// never a body, a token or a query.
package oauth

import (
	"crypto/rand"
	"io"
	"net/http"
	"time"

	"kb/internal/secret"
)

// Options are what [New] makes flows from.
type Options struct {
	// Client makes the requests. Its redirects are never followed and its jar
	// is not used; its Transport says which addresses may be dialled. Required.
	Client *http.Client
	// Now is the clock. Nil means time.Now.
	Now func() time.Time
	// Random gives states, verifiers and JWT identifiers. Nil means crypto/rand.
	Random io.Reader
	// After is how [Device.Wait] waits. Nil means time.After.
	After func(time.Duration) <-chan time.Time
}

// Flows gets tokens. It keeps none and may be used by several goroutines.
type Flows struct {
	client *http.Client
	now    func() time.Time
	random io.Reader
	after  func(time.Duration) <-chan time.Time
	limit  time.Duration // of one request; tests shorten it
}

// New returns the flows that o describes.
func New(o Options) *Flows {
	f := &Flows{now: o.Now, random: o.Random, after: o.After, limit: requestLimit}
	if f.now == nil {
		f.now = time.Now
	}
	if f.random == nil {
		f.random = rand.Reader
	}
	if f.after == nil {
		f.after = time.After
	}
	f.client = &http.Client{
		Transport:     Quiet(o.Client.Transport),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return f
}

// Server is one authorization server, and its habits.
type Server struct {
	Issuer        string // RFC 8414 issuer identifier; compared with "iss" (RFC 9207) where ISS says that it comes
	Authorization string // endpoint URLs; empty: the server has none
	Token         string
	Device        string
	Revocation    string // {client_id} in it stands for the client's identifier
	Registration  string
	PAR           string // pushed authorization requests (RFC 9126); empty: not used. Discovery sets it where the server requires it
	Resource      string // RFC 8707 "resource" parameter; empty: not sent
	ISS           bool   // authorization_response_iss_parameter_supported

	ClientAuth     ClientAuth        // how the token endpoint wants the client's secret; "" is AuthPost
	JSON           bool              // the token endpoint takes a JSON body and not a form
	Separator      string            // between scopes; "" is a space
	ScopeParam     string            // name of the parameter of the authorization request that holds the scopes; "" is "scope"
	PKCE           string            // "" is S256; "none" for a server that refuses the parameters
	Authorize      map[string]string // further parameters of the authorization request
	TokenParams    map[string]string // further parameters of every token request; a grant_type among them stands in place of client_credentials
	Header         map[string]string // constant header fields of every token request
	At             string            // path into the token answer where the token's object is ("authed_user"); "" is the top
	InvalidGrant   []string          // further error codes by which the token endpoint says that a refresh token or code is no good
	RefreshToken   string            // where refreshing differs: its own endpoint; "" is Token
	RevokeMethod   string            // HTTP method of the revocation; "" is POST
	RevokeWhat     string            // "refresh" (the default), "access", "both", or "grant": the whole grant ends with it, and the access token is sent
	RevokeAuth     string            // "" as ClientAuth, "bearer": with the token itself, or one of the values of ClientAuth
	RevokeParam    string            // name of the parameter that holds the token; "" is "token"; "-": it is not sent
	RevokeJSON     bool              // the revocation endpoint takes a JSON body and not a form
	RedirectTo     string            // redirect URI; "" is http://127.0.0.1:{port}/callback, where {port} is any free one; https: the address is pasted
	AccessLifetime time.Duration     // life of an access token where the answer does not say; 0: unknown
}

// ClientAuth is how a client shows that it is itself at the token endpoint
// (RFC 6749 section 2.3).
type ClientAuth string

// Ways of client authentication.
const (
	AuthPost  ClientAuth = "post"  // client_id and client_secret in the body
	AuthBasic ClientAuth = "basic" // HTTP Basic
	AuthNone  ClientAuth = "none"  // a public client: client_id in the body
)

// Client is a client that is registered at a server.
type Client struct {
	ID       string
	Secret   secret.Value // empty for a public client
	Redirect string       // that was registered; "" as the server's RedirectTo
}

// Tokens are what a token endpoint answered.
type Tokens struct {
	Access  secret.Value
	Refresh secret.Value // empty when the answer had none
	Type    string       // as the server says it, mostly "Bearer"
	Expires time.Time    // of the access token; zero when nobody knows
	Scopes  []string     // granted; nil when the answer does not say
	IDToken secret.Value // OpenID Connect; empty when there is none
}
