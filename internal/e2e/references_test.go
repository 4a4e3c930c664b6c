package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// TestReferencesPage types docs/references.md. The managers' programs are
// doubles that take the arguments of the vendors' pages, and their services
// answer by name; internal/secretref tests what is asked of them.
func TestReferencesPage(t *testing.T) {
	typePage(t, "../../docs/references.md", 13, managers)
}

func managers(p *page) {
	token := p.token("me-at-acme")
	// Where a test may write, at the page's path.
	file := filepath.Join(p.t.TempDir(), "secrets.yaml")
	if err := os.WriteFile(file, []byte("sops: {}\n"), 0o600); err != nil {
		p.t.Fatal(err)
	}
	p.copied = map[string]string{"/etc/kb-page/secrets.yaml": file}
	takes := func(args string) string {
		return fmt.Sprintf("[ \"$*\" = '%s' ] || { echo \"argv: $*\" >&2; exit 64; }\n", args)
	}
	p.programs = map[string]string{
		"op":         takes("read --no-newline op://Work/github/token") + "printf %s " + token,
		"bw":         takes("--nointeraction get item github.com") + `echo '{"login":{"password":"` + token + `"}}'`,
		"sops":       takes(`decrypt --extract ["github"]["token"] `+file) + "printf %s " + token,
		"gcloud":     takes("auth print-access-token") + "echo ya29.page",
		"show-token": takes("github work") + "echo " + token,
	}
	p.environ = []string{
		"AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=example", "AWS_REGION=eu-west-1",
		"VAULT_ADDR=https://vault.acme.example", "VAULT_TOKEN=hvs.page",
	}
	answer := func(host string, f func(r *http.Request, body string) string) {
		p.world.Serve(host, testkit.OriginConfig{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			text := f(r, string(body))
			if text == "" {
				w.WriteHeader(http.StatusNotFound)
			}
			_, _ = io.WriteString(w, text)
		})})
	}
	answer("secretsmanager.eu-west-1.amazonaws.com", func(r *http.Request, body string) string {
		if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/") || body != `{"SecretId":"prod/github"}` {
			return ""
		}
		return fmt.Sprintf(`{"SecretString":"{\"token\":\"%s\"}"}`, token)
	})
	answer("ssm.eu-west-1.amazonaws.com", func(_ *http.Request, body string) string {
		if body != `{"Name":"/prod/github-token","WithDecryption":true}` {
			return ""
		}
		return fmt.Sprintf(`{"Parameter":{"Value":%q}}`, token)
	})
	answer("vault.acme.example", func(r *http.Request, _ string) string {
		if r.Header.Get("X-Vault-Token") != "hvs.page" || r.URL.Path != "/v1/secret/data/github" {
			return ""
		}
		return fmt.Sprintf(`{"data":{"data":{"token":%q}}}`, token)
	})
	answer("secretmanager.googleapis.com", func(r *http.Request, _ string) string {
		if r.Header.Get("Authorization") != "Bearer ya29.page" || r.URL.Path != "/v1/projects/acme-prod/secrets/github/versions/latest:access" {
			return ""
		}
		return fmt.Sprintf(`{"payload":{"data":%q}}`, base64.StdEncoding.EncodeToString([]byte(token)))
	})
}
