package broker

import (
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/vaultfile"
)

const ownProvider = `name = "acme-forge"
title = "Acme Forge"
docs = "https://docs.acme.example/auth"
sources = ["https://docs.acme.example/auth"]
hosts = ["*.forge.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }

[[inject]]
hosts = ["*.forge.acme.example"]
header = { X-Acme-Token = "{token}" }
source = "https://docs.acme.example/auth"

[[login]]
method = "token"
[[login.field]]
name = "token"
label = "Token"
secret = true
`

// TestOwnProviderMadeMidSession: a definition with a host that the session's
// authority was not issued for, and a login at it, both made while it runs.
func TestOwnProviderMadeMidSession(t *testing.T) {
	f := newFixture(t)
	api := f.world.Serve("eu.forge.acme.example", testkit.OriginConfig{Handler: testkit.Echo()})
	s := f.start(f.workDir)
	token := testkit.NewCanary("acme_", 36)
	if err := f.broker.AddProvider(t.Context(), vaultfile.Provider{Name: "acme-forge", TOML: ownProvider}); err != nil {
		t.Fatal(err)
	}
	if _, err := f.broker.Login(t.Context(), LoginSpec{Login: vaultfile.Login{
		Profile: "work", Provider: "acme-forge", Method: "token", Secrets: map[string]secret.Value{"token": secret.New(token)},
	}}); err != nil {
		t.Fatal(err)
	}
	// The certificate is issued anew, for what the session starts from now on: it
	// reads the file, which follows the authority.
	testkit.Eventually(t, 5*time.Second, "the session's authority to be issued anew", func() bool {
		return strings.Contains(permitted(t, s), " forge.acme.example ")
	})
	testkit.Eventually(t, 5*time.Second, "the new login to be used", func() bool {
		a := f.get(s, "", http.MethodGet, "https://eu.forge.acme.example/x", nil)
		all := api.Requests()
		return a.status == http.StatusOK && len(all) > 0 && all[len(all)-1].Header.Get("X-Acme-Token") == token
	})
	if found := s.snapshot.Load().at("evilforge.acme.example", 443); len(found) != 0 {
		t.Error("a look-alike host matches the rule")
	}
}

// permitted are the names that the child's bundle allows the session's authority,
// with a space around each.
func permitted(t *testing.T, s *Session) string {
	t.Helper()
	bundle, err := os.ReadFile(value(s, "SSL_CERT_FILE"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for block, rest := pem.Decode(bundle); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, c.PermittedDNSDomains...)
	}
	return " " + strings.Join(names, " ") + " "
}
