package broker

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/providers"
	"kb/vaultfile"
)

// privateKey is an RSA key in PEM, as GitHub and Google give it.
func privateKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// TestGitHubAppMintsItsTokens: of an installation, which has no account that
// could be asked for.
func TestGitHubAppMintsItsTokens(t *testing.T) {
	g := newGranted(t)
	first, second := testkit.NewCanary("ghs_", 36), testkit.NewCanary("ghs_", 36)
	var minted atomic.Int32
	api := g.world.Serve("api.github.com", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/app/installations/42/access_tokens" && strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ey"):
			token := first
			if minted.Add(1) > 1 {
				token = second
			}
			w.WriteHeader(http.StatusCreated)
			_ = json.NewEncoder(w).Encode(map[string]any{"token": token, "expires_at": g.clock.now().Add(time.Hour).UTC().Format(time.RFC3339)})
		case r.URL.Path == "/user":
			w.WriteHeader(http.StatusForbidden)
		default:
			w.WriteHeader(http.StatusOK)
		}
	})})
	result, err := g.broker.Login(t.Context(), LoginSpec{Verify: true, Login: vaultfile.Login{
		Profile: "work", Provider: "github", Method: "app", Secrets: map[string]secret.Value{
			"app_id": secret.New("Iv1.x"), "installation_id": secret.New("42"), "private_key": secret.New(privateKey(t)),
		},
	}})
	if err != nil || result.Account != "" || result.Note == "" || result.Expires.IsZero() {
		t.Fatalf("%+v, %v", result, err)
	}
	s := g.start(g.workDir)
	use := func() string {
		t.Helper()
		if got := g.get(s, "", http.MethodGet, "https://api.github.com/repos/acme/api", nil); got.status != http.StatusOK {
			t.Fatalf("status %d: %s", got.status, got.body)
		}
		all := api.Requests()
		return all[len(all)-1].Credential()
	}
	if use() != first || minted.Load() != 1 {
		t.Errorf("%d tokens were minted, and another one than the first arrived", minted.Load())
	}
	g.clock.move(2 * time.Hour)
	if use() != second || minted.Load() != 2 {
		t.Errorf("%d tokens were minted after the first one's end", minted.Load())
	}
}

func TestServiceAccountMintsItsTokens(t *testing.T) {
	file := func(host string) secret.Value {
		text, err := json.Marshal(map[string]string{
			"type": "service_account", "client_email": "kb@acme.example", "private_key": privateKey(t), "token_uri": "https://" + host + "/token",
		})
		if err != nil {
			t.Fatal(err)
		}
		return oneLine(secret.New(string(text)))
	}
	m := &providers.Method{Name: "service-account", Flow: providers.FlowJWTBearer, Server: &providers.Server{Token: "https://oauth2.acme.example/token"}}
	grant, err := minted(m, map[string]secret.Value{"key": file("oauth2.acme.example"), "subject": secret.New("me@acme.example")}, []string{"read"})
	if err != nil || grant.Kind != refresh.KindJWTBearer || grant.Server.Token != "https://oauth2.acme.example/token" ||
		grant.Assertion.Subject != "me@acme.example" || grant.Assertion.Issuer != "kb@acme.example" || len(grant.Assertion.Scopes) != 1 {
		t.Errorf("the grant is %+v, %v", grant.Server, err)
	}
	// Whoever can change the file cannot have the assertion sent elsewhere.
	if _, err := minted(m, map[string]secret.Value{"key": file("evil.example")}, nil); err == nil {
		t.Error("a file that names another host was taken")
	}
}
