package oauth_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
)

// testKey is made once: 2048 bits take some time.
var testKey = sync.OnceValue(func() *rsa.PrivateKey {
	k, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return k
})

func pkcs8(t *testing.T) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(testKey())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func pkcs1(t *testing.T) string {
	t.Helper()
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(testKey())}))
}

// verify checks a JWT's signature and returns its head and claims.
func verify(t *testing.T, jwt string) (head, claims map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("a JWT of %d parts", len(parts))
	}
	sig, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&testKey().PublicKey, crypto.SHA256, sum[:], sig); err != nil {
		t.Fatal(err)
	}
	for i, to := range []*map[string]any{&head, &claims} {
		b, err := base64.RawURLEncoding.DecodeString(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, to); err != nil {
			t.Fatal(err)
		}
	}
	return head, claims
}

func accountFile(t *testing.T, change func(map[string]string)) secret.Value {
	t.Helper()
	m := map[string]string{
		"type": "service_account", "project_id": "p", "private_key_id": "key-1", "private_key": pkcs8(t),
		"client_email": "robot@p.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
	}
	if change != nil {
		change(m)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return secret.New(string(b))
}

// TestServiceAccount: the request and claims are those of
// https://developers.google.com/identity/protocols/oauth2/service-account.
func TestServiceAccount(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var sent url.Values
	var to string
	f := oauth.New(oauth.Options{Now: func() time.Time { return now }, Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		sent, _ = url.ParseQuery(string(b))
		to = r.URL.String()
		return response(r, 200, "application/json", `{"access_token":"ya29.x","expires_in":3599,"token_type":"Bearer"}`), nil
	})}})
	hosts := []string{"oauth2.googleapis.com"}
	s, a, err := oauth.ServiceAccount(accountFile(t, nil), []string{"https://www.googleapis.com/auth/drive", "https://www.googleapis.com/auth/docs"}, "ada@example.com", hosts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.JWTBearer(t.Context(), s, a)
	if err != nil {
		t.Fatal(err)
	}
	if to != "https://oauth2.googleapis.com/token" || len(sent) != 2 || sent.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" {
		t.Errorf("sent %d parameters to %s, grant type %q", len(sent), to, sent.Get("grant_type"))
	}
	head, claims := verify(t, sent.Get("assertion"))
	if head["alg"] != "RS256" || head["typ"] != "JWT" || head["kid"] != "key-1" || len(head) != 3 {
		t.Errorf("head %v", head)
	}
	want := map[string]any{
		"iss": "robot@p.iam.gserviceaccount.com", "sub": "ada@example.com", "aud": "https://oauth2.googleapis.com/token",
		"scope": "https://www.googleapis.com/auth/drive https://www.googleapis.com/auth/docs",
		"iat":   float64(now.Unix()), "exp": float64(now.Unix() + 3600),
	}
	if len(claims) != len(want) {
		t.Errorf("claims %v", claims)
	}
	for k, v := range want {
		if claims[k] != v {
			t.Errorf("claim %s is %v, want %v", k, claims[k], v)
		}
	}
	if !got.Expires.Equal(now.Add(3599*time.Second)) || !got.Refresh.IsZero() {
		t.Errorf("expires %v", got.Expires)
	}

	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	weakPEM := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(weak)}))
	for name, change := range map[string]func(map[string]string){
		"another type":         func(m map[string]string) { m["type"] = "authorized_user" },
		"somebody else's host": func(m map[string]string) { m["token_uri"] = "https://oauth2.googleapis.com.evil.example/token" },
		"another port":         func(m map[string]string) { m["token_uri"] = "https://oauth2.googleapis.com:8443/token" },
		"http":                 func(m map[string]string) { m["token_uri"] = "http://oauth2.googleapis.com/token" },
		"a user":               func(m map[string]string) { m["token_uri"] = "https://oauth2.googleapis.com@evil.example/token" },
		"no token_uri":         func(m map[string]string) { delete(m, "token_uri") },
		"no key":               func(m map[string]string) { delete(m, "private_key") },
		"no PEM":               func(m map[string]string) { m["private_key"] = "canary-key" },
		"no e-mail":            func(m map[string]string) { delete(m, "client_email") },
		"a weak key":           func(m map[string]string) { m["private_key"] = weakPEM },
	} {
		if _, _, err := oauth.ServiceAccount(accountFile(t, change), nil, "", hosts); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, _, err := oauth.ServiceAccount(secret.New("canary {"), nil, "", hosts); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("no JSON: %v", err)
	}
}

// TestInstallation: the request is that of
// https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app
// and the JWT that of the page on making one.
func TestInstallation(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	var sent *http.Request
	var body string
	status, answer := 201, `{"token":"ghs_16C7e42F292c6912E7710c838347Ae178B4a","expires_at":"2026-11-01T13:00:00Z",
		"permissions":{"issues":"write","contents":"read"},"repository_selection":"selected"}`
	f := oauth.New(oauth.Options{Now: func() time.Time { return now }, Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		b, _ := io.ReadAll(r.Body)
		sent, body = r, string(b)
		return response(r, status, "application/json", answer), nil
	})}})
	app := oauth.App{API: "https://api.github.com", ID: "Iv23liExample", Installation: "12345", Key: secret.New(pkcs1(t))}
	got, err := f.Installation(t.Context(), app)
	if err != nil {
		t.Fatal(err)
	}
	if sent.Method != "POST" || sent.URL.String() != "https://api.github.com/app/installations/12345/access_tokens" ||
		sent.Header.Get("Accept") != "application/vnd.github+json" || body != "{}" {
		t.Errorf("sent %s %s %v %s", sent.Method, sent.URL, sent.Header, body)
	}
	jwt, ok := strings.CutPrefix(sent.Header.Get("Authorization"), "Bearer ")
	if !ok {
		t.Fatal("no bearer token")
	}
	head, claims := verify(t, jwt)
	if head["alg"] != "RS256" || claims["iss"] != "Iv23liExample" || claims["iat"] != float64(now.Unix()-60) || claims["exp"] != float64(now.Unix()+540) || len(claims) != 3 {
		t.Errorf("head %v, claims %v", head, claims)
	}
	if !got.Expires.Equal(now.Add(time.Hour)) || got.Type != "Bearer" || strings.Join(got.Scopes, " ") != "contents:read issues:write" || got.Access.Reveal() != "ghs_16C7e42F292c6912E7710c838347Ae178B4a" {
		t.Errorf("got scopes %q, expires %v", got.Scopes, got.Expires)
	}
	app.Repositories, app.Permissions = []string{"octo-repo"}, map[string]string{"contents": "read"}
	if _, err = f.Installation(t.Context(), app); err != nil || body != `{"permissions":{"contents":"read"},"repositories":["octo-repo"]}` {
		t.Errorf("%v: sent %s", err, body)
	}

	status, answer = 401, `{"message":"A JSON web token could not be decoded: `+jwt+`","documentation_url":"https://docs.github.com/rest"}`
	_, err = f.Installation(t.Context(), app)
	if e, ok := errors.AsType[*oauth.Error](err); !ok || e.Code != oauth.CodeInvalidClient || e.Temporary() || strings.Contains(err.Error(), jwt) || !strings.Contains(err.Error(), "could not be decoded") {
		t.Errorf("401: %v", err)
	}
	status, answer = 500, `oops`
	if _, err = f.Installation(t.Context(), app); !errors.As(err, new(*oauth.Error)) {
		t.Errorf("500: %v", err)
	}
	status, answer = 201, `{"token":"x"}`
	if _, err = f.Installation(t.Context(), app); err == nil {
		t.Error("a token without an end was taken")
	}
	for _, bad := range []string{"", "12/../..", "x", "1 2"} {
		app.Installation = bad
		if _, err := f.Installation(t.Context(), app); err == nil {
			t.Errorf("installation %q was asked for", bad)
		}
	}
}
