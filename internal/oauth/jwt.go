package oauth

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"time"

	"kb/internal/plain"
	"kb/internal/secret"
)

const (
	jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

	// assertionLife is how long an assertion is good for, where its maker does
	// not say: Google's longest
	// (https://developers.google.com/identity/protocols/oauth2/service-account).
	assertionLife = time.Hour

	// keyBits is the least that RFC 7518 section 3.3 allows for RS256.
	keyBits = 2048
)

// Assertion is a statement that a key signs (RFC 7523 section 3), always with
// RS256.
type Assertion struct {
	Issuer   string
	Subject  string // empty: none
	Audience string
	Scopes   []string // the claim "scope", as Google has it; nil: none
	KeyID    string   // "kid" of the head; empty: none
	Key      secret.Value
	Lifetime time.Duration // 0: an hour
	ID       bool          // with a "jti"
}

// JWTBearer gets a token for an assertion (RFC 7523 section 2.1). There is no
// refresh token: another assertion gets the next one.
func (f *Flows) JWTBearer(ctx context.Context, s Server, a Assertion) (Tokens, error) {
	jwt, err := f.sign(a)
	if err != nil {
		return Tokens{}, err
	}
	v := url.Values{"grant_type": {jwtGrant}, "assertion": {jwt.Reveal()}}
	if s.ClientAuth == AuthBasic {
		s.ClientAuth = AuthNone // the assertion is all there is
	}
	return f.grant(ctx, s, Client{}, v)
}

// sign makes the JWT of an assertion (RFC 7519, RFC 7515 in compact form).
func (f *Flows) sign(a Assertion) (secret.Value, error) {
	life := a.Lifetime
	if life <= 0 {
		life = assertionLife
	}
	now := f.now()
	claims := map[string]any{"iss": a.Issuer, "aud": a.Audience, "iat": now.Unix(), "exp": now.Add(life).Unix()}
	if a.Subject != "" {
		claims["sub"] = a.Subject
	}
	if len(a.Scopes) > 0 {
		claims["scope"] = Server{}.scope(a.Scopes)
	}
	if a.ID {
		var id [16]byte
		if _, err := io.ReadFull(f.random, id[:]); err != nil {
			return secret.Value{}, fmt.Errorf("read randomness: %w", err)
		}
		claims["jti"] = hex.EncodeToString(id[:])
	}
	return signRS256(a.Key, a.KeyID, claims)
}

// signRS256 signs claims (RFC 7518 section 3.3). PKCS #1 v1.5 signatures have
// no randomness, so equal claims have equal signatures.
func signRS256(key secret.Value, keyID string, claims map[string]any) (secret.Value, error) {
	private, err := rsaKey(key)
	if err != nil {
		return secret.Value{}, err
	}
	head := map[string]any{"alg": "RS256", "typ": "JWT"}
	if keyID != "" {
		head["kid"] = keyID
	}
	h, err := json.Marshal(head)
	if err != nil {
		return secret.Value{}, errors.New("sign assertion: the head is not JSON")
	}
	c, err := json.Marshal(claims)
	if err != nil {
		return secret.Value{}, errors.New("sign assertion: the claims are not JSON")
	}
	input := base64.RawURLEncoding.EncodeToString(h) + "." + base64.RawURLEncoding.EncodeToString(c)
	sum := sha256.Sum256([]byte(input))
	sig, err := rsa.SignPKCS1v15(nil, private, crypto.SHA256, sum[:])
	if err != nil {
		return secret.Value{}, errors.New("sign assertion: the key does not sign")
	}
	return secret.New(input + "." + base64.RawURLEncoding.EncodeToString(sig)), nil
}

// rsaKey reads a private key in PEM, as PKCS #8 (Google) or PKCS #1 (GitHub).
// No error repeats a byte of it.
func rsaKey(key secret.Value) (*rsa.PrivateKey, error) {
	block, _ := pem.Decode([]byte(key.Reveal()))
	if block == nil {
		return nil, errors.New("read private key: not PEM")
	}
	var private *rsa.PrivateKey
	if k, err := x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
		private, _ = k.(*rsa.PrivateKey)
	} else if k, err := x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
		private = k
	}
	if private == nil {
		return nil, errors.New("read private key: not an RSA key as PKCS #8 or PKCS #1, without a passphrase")
	}
	if private.N.BitLen() < keyBits {
		return nil, fmt.Errorf("read private key: %d bits, and RS256 wants %d", private.N.BitLen(), keyBits)
	}
	return private, nil
}

// ServiceAccount reads Google's key file of a service account
// (https://developers.google.com/identity/protocols/oauth2/service-account).
// subject is the user to act for (domain-wide delegation), or empty. hosts are
// those that the file's token_uri may name: whoever can change the file must
// not be able to send a signed assertion elsewhere.
func ServiceAccount(file secret.Value, scopes []string, subject string, hosts []string) (Server, Assertion, error) {
	var m map[string]json.RawMessage
	if json.Unmarshal([]byte(file.Reveal()), &m) != nil {
		return Server{}, Assertion{}, errors.New("read service account: not a JSON object")
	}
	if kind := text(m["type"]); kind != "service_account" {
		return Server{}, Assertion{}, fmt.Errorf("read service account: its type is %q, not \"service_account\"", short(kind))
	}
	uri := text(m["token_uri"])
	u, err := endpoint("token", uri)
	if err != nil {
		return Server{}, Assertion{}, fmt.Errorf("read service account: %w", err)
	}
	if !slices.Contains(hosts, u.Host) {
		return Server{}, Assertion{}, fmt.Errorf("refuse service account: its token_uri is at %q, which the provider does not list", plain.Clean(u.Host))
	}
	a := Assertion{
		Issuer: text(m["client_email"]), Subject: subject, Audience: uri, Scopes: scopes,
		KeyID: text(m["private_key_id"]), Key: secret.New(text(m["private_key"])),
	}
	if a.Issuer == "" {
		return Server{}, Assertion{}, errors.New("read service account: it has no client_email")
	}
	if _, err := rsaKey(a.Key); err != nil {
		return Server{}, Assertion{}, fmt.Errorf("read service account: %w", err)
	}
	return Server{Token: uri, ClientAuth: AuthNone}, a, nil
}

// App is a GitHub App and one of its installations
// (https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app).
type App struct {
	API          string // "https://api.github.com", or "https://HOST/api/v3"
	ID           string // the App's client ID or, of old, its number
	Installation string // a number
	Key          secret.Value
	Repositories []string          // names without their owner; nil: all that the installation has
	Permissions  map[string]string // {"contents": "read"}; nil: all that the App has
}

const (
	// appSkew sets the JWT's start back, and appLife its end: GitHub asks for
	// 60 s in the past against clocks that drift, and no more than ten minutes
	// ahead, of which one is kept for the same reason.
	appSkew = time.Minute
	appLife = 9 * time.Minute
)

// Installation gets an installation's token. There is no refresh token.
func (f *Flows) Installation(ctx context.Context, app App) (Tokens, error) {
	if app.ID == "" || !digits(app.Installation) {
		return Tokens{}, errors.New("ask for an installation's token: the App's ID is missing, or the installation's is no number")
	}
	now := f.now()
	jwt, err := signRS256(app.Key, "", map[string]any{
		"iss": app.ID, "iat": now.Add(-appSkew).Unix(), "exp": now.Add(appLife).Unix(),
	})
	if err != nil {
		return Tokens{}, err
	}
	body := map[string]any{}
	if len(app.Repositories) > 0 {
		body["repositories"] = app.Repositories
	}
	if len(app.Permissions) > 0 {
		body["permissions"] = maps.Clone(app.Permissions)
	}
	h := http.Header{"Accept": {"application/vnd.github+json"}, "Authorization": {"Bearer " + jwt.Reveal()}}
	a, err := f.postJSON(ctx, "token", app.API+"/app/installations/"+app.Installation+"/access_tokens", body, h)
	if err != nil {
		return Tokens{}, err
	}
	m, err := a.success([]secret.Value{jwt})
	if err != nil {
		if e, ok := errors.AsType[*Error](err); ok && e.Code == "" {
			// GitHub's errors have a "message" and no code.
			if no, bad := a.object(); bad == nil {
				e.Description = a.said("", text(no["message"]), []secret.Value{jwt}).Description
			}
			if a.status == 401 || a.status == 404 {
				e.Code = CodeInvalidClient // the key is not the App's, or the installation not there
			}
		}
		return Tokens{}, err
	}
	t := Tokens{Access: secret.New(text(m["token"])), Type: "Bearer"}
	if t.Access.IsZero() || t.Access.Check() != nil || len(t.Access.Reveal()) > tokenMax {
		return Tokens{}, a.odd("the answer has no token")
	}
	if t.Expires, err = time.Parse(time.RFC3339, text(m["expires_at"])); err != nil {
		return Tokens{}, a.odd("the answer does not say when the token expires")
	}
	var granted map[string]string
	if json.Unmarshal(m["permissions"], &granted) == nil {
		for _, k := range slices.Sorted(maps.Keys(granted)) {
			t.Scopes = append(t.Scopes, short(k+":"+granted[k]))
		}
	}
	return t, nil
}

func digits(s string) bool {
	for _, r := range s {
		if r < '0' || r > '9' {
			return false
		}
	}
	return s != ""
}
