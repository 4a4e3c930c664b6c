package e2e

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"kb/internal/testkit"
)

// TestImportPage types docs/import.md. Claude Code is a stand-in here that
// refreshes its login as the real one does.
func TestImportPage(t *testing.T) {
	typePage(t, "../../docs/import.md", 10, importable)
}

func importable(p *page) {
	v := newVendor(func(kind string) string {
		return testkit.NewCanary(map[string]string{"access": "sk-ant-oat01-", "refresh": "sk-ant-ort01-"}[kind], 95)
	})
	p.world.Serve("platform.claude.com", testkit.OriginConfig{Handler: v})
	p.programs = map[string]string{"claude": strings.Join([]string{
		`refresh=$(sed 's/.*"refreshToken":"\([^"]*\)".*/\1/' "$HOME/.claude/.credentials.json")`,
		`curl -sS -o /dev/null -w 'refreshed, %{http_code}\n' -H 'Content-Type: application/json' \`,
		`  -d '{"grant_type":"refresh_token","refresh_token":"'"$refresh"'","client_id":"acme-claude"}' https://platform.claude.com/v1/oauth/token`,
	}, "\n")}
	r := p.reader(p.t, "")
	m := r.machine("laptop")
	end := time.Now().Add(time.Hour)
	m.write(p.t, ".claude/.credentials.json", fmt.Sprintf(`{"claudeAiOauth":{"accessToken":%q,"refreshToken":%q,"expiresAt":%d,"scopes":["user:inference"],"subscriptionType":"max"}}`,
		v.access, v.refresh, end.UnixMilli()))
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	jwt := part(`{"alg":"RS256"}`) + "." + part(fmt.Sprintf(`{"exp":%d,"client_id":"app_test","email":"me@acme.example"}`, end.Unix())) + "." + testkit.NewCanary("sig", 60)
	m.write(p.t, ".codex/auth.json", fmt.Sprintf(`{"auth_mode":"chatgpt","OPENAI_API_KEY":null,"tokens":{"id_token":%q,"access_token":%q,"refresh_token":%q,"account_id":"acc-1"}}`,
		jwt, jwt, testkit.NewCanary("rt_", 60)))
	m.write(p.t, ".gemini/oauth_creds.json", fmt.Sprintf(`{"access_token":%q,"refresh_token":%q,"scope":"openid","token_type":"Bearer","expiry_date":%d}`,
		testkit.NewCanary("ya29.", 80), testkit.NewCanary("1//", 60), end.UnixMilli()))
	m.write(p.t, ".config/gh/hosts.yml", fmt.Sprintf("github.com:\n    user: me-at-acme\n    oauth_token: %s\n", p.token("me-at-acme")))
}
