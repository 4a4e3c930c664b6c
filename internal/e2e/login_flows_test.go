package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"kb/internal/testkit"
)

// Where the person is sent, at the authorization server.
var (
	flowsAddress = regexp.MustCompile(`(https://auth\.acme\.example/auth\?\S+)\s`)
	flowsCode    = regexp.MustCompile(`and type\s+(\S+)\s`)
	flowsPaste   = regexp.MustCompile(`paste the address the browser ended at: `)
)

// flowAsk is what an agent does, with the placeholder that it was given.
const flowAsk = `kb exec -p work -- sh -c 'echo "the agent has $ACME_TOKEN"; curl -sS -H "Authorization: Bearer $ACME_TOKEN" https://api.acme.example/me'`

// TestLoginFlows logs in by each flow as a person would, and shows what they
// typed and read: go test -v -run TestLoginFlows.
func TestLoginFlows(t *testing.T) {
	w := newFlows(t)
	for _, c := range []struct {
		name string
		do   func(*flow)
	}{
		{"code and PKCE in the browser", (*flow).byBrowser},
		{"code and PKCE by the printed address", (*flow).byAddress},
		{"code and PKCE pasted over SSH", (*flow).byPaste},
		{"device code", (*flow).byDevice},
		{"device code from a script", (*flow).byScript},
		{"discovery and dynamic registration of an MCP server", (*flow).byDiscovery},
		{"client credentials", (*flow).byClient},
		{"JWT bearer of a service account", (*flow).byAssertion},
		{"GitHub App installation", (*flow).byApp},
		{"HTTP Basic", (*flow).byBasic},
		{"a key of several fields", (*flow).byFields},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := w.start(t)
			c.do(f)
			f.sealed()
		})
	}
}

// TestLoginFlowsOracle: the search that TestLoginFlows relies on finds a token
// where it is.
func TestLoginFlowsOracle(t *testing.T) {
	w := newFlows(t)
	f := w.start(t)
	f.byClient()
	tokens := w.oidc.Tokens()
	if len(tokens) < 2 {
		t.Fatalf("%d tokens were given", len(tokens))
	}
	testkit.NewOracle(tokens...).Control(t, tokens[0])
}

// sent is the person's browser: it agrees, and gives the address that the
// browser is sent to at last.
func (f *flow) sent(address string) string {
	f.Helper()
	to, err := f.w.oidc.Authorize(f.Context(), address, "me")
	if err != nil {
		f.Error(err)
	}
	return to
}

func (f *flow) byBrowser() {
	opened := filepath.Join(f.home.Dir, "opened")
	browser := filepath.Join(f.home.Dir, "browser")
	if err := os.WriteFile(browser, []byte("#!/bin/sh\nprintf '%s\\n' \"$1\" >\""+opened+"\"\n"), 0o700); err != nil { //nolint:gosec // a program
		f.Fatal(err)
	}
	f.note("kb opens the browser that BROWSER names; the person signs in and agrees there.")
	f.watches(true, "kb login acme -p work --method oauth --client-id "+flowsApp, []string{"BROWSER=" + browser}, act{flowsAddress, func(string) string {
		var address []byte
		testkit.Eventually(f.T, eventually, "the browser was opened", func() bool {
			address, _ = os.ReadFile(opened)
			return strings.HasSuffix(string(address), "\n")
		})
		f.arrives(f.sent(strings.TrimSpace(string(address))))
		return ""
	}})
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
	f.leaves("acme", "api.acme.example")
}

func (f *flow) byAddress() {
	f.note("No terminal and no desktop: the person opens the printed address by themselves.")
	f.watches(false, "kb login acme -p work --method code --no-browser --client-id "+flowsApp, nil, act{flowsAddress, func(address string) string {
		f.arrives(f.sent(address))
		return ""
	}})
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
}

func (f *flow) byPaste() {
	f.note("Over SSH: the browser is on another machine, and ends at a page that does not load. The person copies its address.")
	ssh := []string{"SSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22"}
	var to string
	shown := f.watches(true, "kb login acme -p work --method code --client-id "+flowsApp, ssh,
		act{flowsAddress, func(address string) string { to = f.sent(address); return "" }},
		act{flowsPaste, func(string) string { return to + "\n" }})
	if code := regexp.MustCompile(`code=[^&]+`).FindString(to); code == "" || strings.Contains(f.raw.String(), code) {
		f.Errorf("the pasted address was shown:\n%s", shown)
	}
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
}

func (f *flow) byDevice() {
	f.note("Over SSH, where the provider has codes: the person types it on another machine and agrees.")
	ssh := []string{"SSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22"}
	f.watches(true, "kb login acme -p work --method oauth --client-id "+flowsApp, ssh, act{flowsCode, func(code string) string {
		f.approves("https://auth.acme.example/device?user_code=" + code)
		return ""
	}})
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
	f.leaves("acme", "api.acme.example")
}

func (f *flow) approves(complete string) {
	f.Helper()
	if err := f.w.oidc.Approve(f.Context(), complete, "me"); err != nil {
		f.Error(err)
	}
}

func (f *flow) byScript() {
	shown := f.types(4, "kb login acme -p work --no-wait --client-id "+flowsApp)
	code := flowsCode.FindStringSubmatch(shown)
	if code == nil {
		f.Fatal("no code was shown")
	}
	f.note("The person has not typed it yet.")
	f.types(4, "kb login acme -p work --no-wait")
	f.note("The person types it, and agrees.")
	f.approves("https://auth.acme.example/device?user_code=" + code[1])
	f.types(0, "kb login acme -p work --no-wait")
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
}

func (f *flow) byDiscovery() {
	f.note("The server says where one logs in; kb registers itself there. The person opens the address and agrees.")
	f.watches(true, "kb login mcp -p work --url https://mcp.acme.example/mcp --no-browser", nil, act{flowsAddress, func(address string) string {
		f.arrives(f.sent(address))
		return ""
	}})
	f.renews("kb exec -p work -- curl -sS https://mcp.acme.example/mcp", "mcp.acme.example", "")
	f.leaves("mcp", "mcp.acme.example")
}

func (f *flow) byClient() {
	f.types(0, `printf 'client_id: %s\nclient_secret: %s\n' acme-server "$SECRET" | kb login acme -p work --method server --stdin`, "SECRET="+f.w.secret)
	f.renews(flowAsk, "api.acme.example", "me@acme.example")
}

// hands writes a file that the person downloaded, outside the home.
func (f *flow) hands(name, text string) (folder string) {
	f.Helper()
	folder = f.TempDir()
	if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
		f.Fatal(err)
	}
	return "DOWNLOADS=" + folder
}

func (f *flow) byAssertion() {
	key, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme", "private_key_id": "1", "private_key": f.w.pem(),
		"client_email": "bot@acme.iam.example", "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		f.Fatal(err)
	}
	f.types(0, `kb login google -p work --method service-account --stdin <"$DOWNLOADS/key.json"`,
		f.hands("key.json", string(key)))
	f.renews(`kb exec -p work -- sh -c 'curl -sS -H "Authorization: Bearer $GOOGLE_WORKSPACE_CLI_TOKEN" https://www.googleapis.com/drive/v3/about'`,
		"www.googleapis.com", "bot@acme.iam.example")
}

func (f *flow) byApp() {
	f.types(0, `(echo app_id: Iv1.acme; echo installation_id: 42; echo "private_key: $(cat "$DOWNLOADS/app.pem")") | kb login github -p work --method app --stdin`,
		f.hands("app.pem", f.w.pem()))
	f.renews(`kb exec -p work -- sh -c 'curl -sS -H "Authorization: Bearer $GH_TOKEN" https://api.github.com/installation/repositories'`, "api.github.com", "")
}

func (f *flow) byBasic() {
	key := testkit.NewCanary("ATATT3", 186)
	f.w.give(key)
	f.types(0, `printf 'email: me@acme.example\ntoken: %s\n' "$KEY" | kb login jira -p work --url https://acme.atlassian.net --stdin`, "KEY="+key)
	f.keeps(`kb exec -p work -- sh -c 'curl -sS -u "me@acme.example:$JIRA_API_TOKEN" https://acme.atlassian.net/rest/api/3/myself'`, "acme.atlassian.net", "Me", key)
}

func (f *flow) byFields() {
	api, app := fmt.Sprintf("%x", testkit.NewCanary("", 16)), testkit.NewCanary("ddapp_", 34)
	f.w.give(api, app)
	f.types(0, `printf '{"api_key": "%s", "app_key": "%s"}' "$API" "$APP" | kb login datadog -p work --stdin`, "API="+api, "APP="+app)
	f.keeps(`kb exec -p work -- sh -c 'curl -sS -H "DD-API-KEY: $DD_API_KEY" -H "DD-APPLICATION-KEY: $DD_APP_KEY" https://api.datadoghq.com/api/v2/current_user'`,
		"api.datadoghq.com", "me@acme.example", api, app)
}

// standing is a login in kb status --json.
type standing struct {
	Account, State string
	Expires        time.Time
	NextRefresh    time.Time `json:"next_refresh"`
}

// status types kb status, for people and as JSON, and returns the one login.
func (f *flow) status() standing {
	f.Helper()
	f.types(0, "kb status")
	var all struct{ Logins []standing }
	if text := f.types(0, "kb status --json"); json.Unmarshal([]byte(text), &all) != nil || len(all.Logins) != 1 {
		f.Fatalf("kb status --json has not one login:\n%s", text)
	}
	return all.Logins[0]
}

// arrived is the credential of the last request that an origin got, and what
// the agent saw of the answer.
func (f *flow) agent(ask, host string) string {
	f.Helper()
	var last *testkit.Request
	before := len(f.w.Requests())
	if answer := f.types(0, ask); strings.Contains(answer, "who are you") {
		f.Errorf("the agent was refused: %s", answer)
	}
	for _, r := range f.w.Requests()[before:] {
		if r.Origin == host {
			last = &r
		}
	}
	if last == nil {
		f.Fatalf("no request arrived at %s", host)
	}
	return fmt.Sprint(last.Header["Authorization"], last.Header["Dd-Api-Key"], last.Header["Dd-Application-Key"])
}

// environment looks at what a session's child has in its environment.
func (f *flow) environment() {
	f.Helper()
	r := testkit.Run(f.T, f.home.Dir, f.env, "kb", "exec", "-p", "work", "--", "env")
	if r.Code != 0 || !strings.Contains(r.Stdout, "KB_SESSION=") {
		f.Errorf("kb exec -- env: %s", r.All())
	}
	f.raw.WriteString(r.Stdout)
}

// renews shows how a login stands before and after it is refreshed, and that
// the agent's request has the new access token.
func (f *flow) renews(ask, host, account string) {
	f.Helper()
	before := f.status()
	old := f.agent(ask, host)
	f.types(0, "kb refresh")
	after := f.status()
	for _, s := range []standing{before, after} {
		if s.State != "ok" || s.Account != account || s.NextRefresh.IsZero() || !s.NextRefresh.Before(s.Expires) {
			f.Errorf("kb status has %+v", s)
		}
	}
	if after.Expires.Before(before.Expires) {
		f.Errorf("the new token ends at %v, the old one at %v", after.Expires, before.Expires)
	}
	f.environment()
	renewed := f.agent(ask, host)
	access := strings.TrimSuffix(strings.TrimPrefix(renewed, "[Bearer "), "] [] []")
	if renewed == old || !f.w.good(access) {
		f.Errorf("the agent's request did not have the new token: the same %v, good %v", renewed == old, f.w.good(access))
	}
}

// keeps is renews for a key, of which there is nothing to refresh.
func (f *flow) keeps(ask, host, account string, keys ...string) {
	f.Helper()
	if s := f.status(); s.State != "ok" || s.Account != account || !s.NextRefresh.IsZero() {
		f.Errorf("kb status has %+v", s)
	}
	if said := f.types(0, "kb refresh"); !strings.Contains(said, "no login has tokens") {
		f.Errorf("kb refresh said %s", said)
	}
	f.status()
	f.environment()
	if sent := f.agent(ask, host); len(keys) == 2 && sent != fmt.Sprintf("[] [%s] [%s]", keys[0], keys[1]) {
		f.Errorf("the keys did not arrive in their fields")
	}
}

// leaves logs out: the tokens are good before it and not after.
func (f *flow) leaves(provider, host string) {
	f.Helper()
	given := f.w.oidc.Tokens()
	access := given[len(given)-2] // the newest pair
	if !f.w.good(access) {
		f.Error("the access token is not good before the logout")
	}
	f.types(0, "kb logout "+provider+" -p work")
	if f.w.good(access) {
		f.Errorf("the access token for %s is good after the logout", host)
	}
	f.types(0, "kb status")
	f.types(0, "kb logout "+provider+" -p work --everywhere")
	f.types(0, "kb status")
}

// sealed looks for every token that was given in what was printed and kept.
func (f *flow) sealed() {
	f.Helper()
	oracle := testkit.NewOracle(f.w.tokens()...)
	oracle.Look("output", f.raw.Bytes())
	oracle.Look("output, as shown", []byte(f.said.String()))
	if err := oracle.Tree(f.home.Dir); err != nil {
		f.Error(err)
	}
	for _, found := range oracle.Findings() {
		f.Errorf("leak: %v", found)
	}
}
