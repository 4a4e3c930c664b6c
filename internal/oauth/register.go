package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"kb/internal/secret"
)

// Registration is a client to be registered (RFC 7591 section 2).
type Registration struct {
	Name     string   // for people; "" is "kb"
	URI      string   // the client's page; may be empty
	Scopes   []string // nil: the server's default
	Redirect string   // "" picks a free port of 127.0.0.1 and a path of the issuer's own
	Secret   bool     // ask for a client with a secret; else a public one where the server takes any

	Token secret.Value // initial access token (section 3); empty: registration is open
}

// Registered is what came of it.
type Registered struct {
	Client            Client     // Redirect is what was registered
	Auth              ClientAuth // goes into Server.ClientAuth
	RegistrationToken secret.Value
	RegistrationURI   string    // RFC 7592; empty when the server has none
	Expires           time.Time // of the client's secret; zero: never
}

// Register registers a client at the server's registration endpoint.
//
// The redirect URI has a path of the issuer's own: a server that answers with
// the identifier of a client that kb has at another server would else get that
// server's codes sent its way (RFC 9700 section 4.4.2.2). It also has its port,
// since not every server ignores the port of a loopback address as RFC 8252
// section 7.3 wants.
func (f *Flows) Register(ctx context.Context, s Server, r Registration) (Registered, error) {
	to := r.Redirect
	if to == "" {
		port, err := freePort(ctx)
		if err != nil {
			return Registered{}, err
		}
		sum := sha256.Sum256([]byte(s.Issuer + "\n" + s.Authorization))
		to = "http://127.0.0.1:" + strconv.Itoa(port) + "/callback/" + hex.EncodeToString(sum[:6])
	}
	if _, err := parseRedirect(to); err != nil {
		return Registered{}, err
	}
	grants := []string{"authorization_code", "refresh_token"}
	if s.Device != "" {
		grants = append(grants, deviceGrant)
	}
	how := s.ClientAuth
	if r.Secret && (how == AuthNone || how == "") {
		how = AuthBasic
	}
	name := r.Name
	if name == "" {
		name = "kb"
	}
	body := map[string]any{
		"client_name": name, "redirect_uris": []string{to}, "grant_types": grants, "response_types": []string{"code"},
		"application_type": "native", "token_endpoint_auth_method": authMethods[how],
	}
	if r.URI != "" {
		body["client_uri"] = r.URI
	}
	if len(r.Scopes) > 0 {
		body["scope"] = s.scope(r.Scopes)
	}
	h := http.Header{}
	var sent []secret.Value
	if !r.Token.IsZero() {
		h.Set("Authorization", "Bearer "+r.Token.Reveal())
		sent = append(sent, r.Token)
	}
	a, err := f.postJSON(ctx, "registration", s.Registration, body, h)
	if err != nil {
		return Registered{}, err
	}
	m, err := a.success(sent)
	if err != nil {
		return Registered{}, err
	}
	out := Registered{
		Client:            Client{ID: text(m["client_id"]), Secret: secret.New(text(m["client_secret"])), Redirect: to},
		RegistrationToken: secret.New(text(m["registration_access_token"])),
		RegistrationURI:   text(m["registration_client_uri"]),
	}
	if out.Client.ID == "" || short(out.Client.ID) != out.Client.ID || out.Client.Secret.Check() != nil {
		return Registered{}, a.odd("the answer has no client_id that can be used")
	}
	if list := words(m["redirect_uris"]); list != nil && !slices.Contains(list, to) {
		return Registered{}, a.odd("the server registered another redirect URI than was asked for")
	}
	if u, err := endpoint("registration", out.RegistrationURI); err != nil || len(u.String()) > 2048 {
		out.RegistrationURI = ""
	}
	// A server may change what was asked (section 3.2.1).
	if out.Auth, err = authFrom(text(m["token_endpoint_auth_method"]), how, out.Client); err != nil {
		return Registered{}, a.odd(err.Error())
	}
	if left := epoch(m["client_secret_expires_at"]); !left.IsZero() && !out.Client.Secret.IsZero() {
		out.Expires = left
	}
	return out, nil
}

// authMethods are the names of RFC 7591 section 2.
var authMethods = map[ClientAuth]string{AuthNone: "none", AuthPost: "client_secret_post", "": "client_secret_post", AuthBasic: "client_secret_basic"}

// authFrom is the way of authentication that a registration ended with.
func authFrom(named string, asked ClientAuth, c Client) (ClientAuth, error) {
	switch named {
	case "none":
		return AuthNone, nil
	case "client_secret_post":
		asked = AuthPost
	case "client_secret_basic":
		asked = AuthBasic
	case "":
		if asked == AuthNone && !c.Secret.IsZero() {
			asked = AuthBasic // section 2: what is meant where nothing is said
		}
	default:
		return "", fmt.Errorf("the server wants client authentication by %q", short(named))
	}
	if asked != AuthNone && c.Secret.IsZero() {
		return "", errors.New("the server wants a client secret and gave none")
	}
	return asked, nil
}

// freePort is a port of 127.0.0.1 that nobody listened on just now.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
