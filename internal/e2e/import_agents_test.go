package e2e

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/testkit"
)

// vendor is a vendor's token endpoint for its own agent: a refresh token is
// good once, and what it gives lives for an hour.
type vendor struct {
	make func(kind string) string // a token: "access" or "refresh"

	mu        sync.Mutex
	access    string // the one that is good
	refresh   string
	every     []string // each token that was ever given
	clients   []string // of the refreshes, in order
	strangers int      // requests with another refresh token
}

func newVendor(make func(kind string) string) *vendor {
	v := &vendor{make: make}
	v.next()
	return v
}

func (v *vendor) next() {
	v.access, v.refresh = v.make("access"), v.make("refresh")
	v.every = append(v.every, v.access, v.refresh)
}

// ServeHTTP is the token endpoint.
func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Grant   string `json:"grant_type"`
		Refresh string `json:"refresh_token"`
		Client  string `json:"client_id"`
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&ask) != nil || ask.Grant != "refresh_token" || ask.Refresh != v.refresh || ask.Client == "" {
		v.strangers++
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, `{"error":"invalid_grant"}`)
		return
	}
	v.clients = append(v.clients, ask.Client)
	v.next()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"access_token": v.access, "refresh_token": v.refresh, "token_type": "Bearer", "expires_in": 3600,
	})
}

// guard lets requests with the token that is good through to an API.
func (v *vendor) guard(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v.mu.Lock()
		good := r.Header.Get("Authorization") == "Bearer "+v.access
		v.mu.Unlock()
		if !good {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"type":"error","error":{"type":"authentication_error","message":"Invalid bearer token"}}`)
			return
		}
		api.ServeHTTP(w, r)
	})
}

// imported checks that a program's login was taken over and used: no token in
// its home, one refresh by its own client, all secrets where they belong.
func (d *desk) imported(v *vendor, file, client string) {
	d.t.Helper()
	v.mu.Lock()
	every, clients, strangers := slices.Clone(v.every), slices.Clone(v.clients), v.strangers
	v.mu.Unlock()
	if len(clients) != 1 || client != "" && clients[0] != client {
		d.t.Errorf("the vendor was asked by %q, want once by %q (empty: by whatever client the program is)", clients, client)
	}
	if strangers != 0 {
		d.t.Errorf("%d requests with something else reached the token endpoint", strangers)
	}
	oracle := testkit.NewOracle(every...)
	oracle.Control(d.t, every...)
	if err := oracle.Tree(d.home.Dir); err != nil {
		d.t.Error(err)
	}
	for _, f := range oracle.Findings() {
		d.t.Error(f)
	}
	if text, err := os.ReadFile(file); err != nil || !json.Valid(text) {
		d.t.Errorf("%s is no JSON any more: %v", file, err)
	}
}

// takeOver imports a program's login, first without anybody's consent.
func (d *desk) takeOver(source, file string) {
	d.t.Helper()
	before, err := os.ReadFile(file)
	if err != nil {
		d.t.Fatal(err)
	}
	r := testkit.Exec(d.t, testkit.Command{Dir: d.work, Env: d.home.Env, Args: []string{"setsid", "-w", d.kb, "import", source, "-p", "work"}})
	after, err := os.ReadFile(file)
	if err != nil || r.Code != 4 || string(before) != string(after) {
		d.t.Fatalf("without consent: %v, %s", err, r.All())
	}
	r = testkit.Exec(d.t, testkit.Command{Dir: d.work, Env: d.home.Env, Args: []string{d.kb, "import", source, "-p", "work", "--replace", "--yes"}})
	if r.Code != 0 {
		d.t.Fatalf("import %s: %s", source, r.All())
	}
	if again := testkit.Exec(d.t, testkit.Command{Dir: d.work, Env: d.home.Env, Args: []string{d.kb, "import", source, "-p", "work", "--replace", "--yes"}}); again.Code == 0 || !strings.Contains(again.Stderr, "placeholder") {
		d.t.Errorf("a placeholder was imported: %s", again.All())
	}
}

func TestImportOfClaudeCode(t *testing.T) {
	d := newDesk(t)
	claude := testkit.NPM(t, "@anthropic-ai/claude-code-linux-"+npmArch()+"/claude")
	v := newVendor(func(kind string) string {
		return testkit.NewCanary(map[string]string{"access": "sk-ant-oat01-", "refresh": "sk-ant-ort01-"}[kind], 95)
	})
	d.w.Serve("platform.claude.com", testkit.OriginConfig{Handler: v})
	model := &testkit.Anthropic{Model: testkit.Model{Last: "last words of claude", Command: "true"}}
	d.anthropic.Key = "" // the guard looks at the token
	d.w.Serve("api.anthropic.com", testkit.OriginConfig{Handler: v.guard(model)})
	file := filepath.Join(d.home.Dir, ".claude", ".credentials.json")
	d.keep(file, fmt.Sprintf(`{"claudeAiOauth":{"accessToken":%q,"refreshToken":%q,"expiresAt":%d,"scopes":["user:inference","user:profile"],"subscriptionType":"max"}}`,
		v.access, v.refresh, time.Now().Add(time.Hour).UnixMilli()))

	d.takeOver("claude-code", file)
	quiet := []string{"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1", "DISABLE_TELEMETRY=1", "DISABLE_AUTOUPDATER=1", "DISABLE_ERROR_REPORTING=1"}
	for range 2 {
		r := d.exec(d.work, quiet, claude, "-p", "--model", "sonnet", "--allowedTools", "Bash", "--", "do the task")
		if r.Code != 0 || !strings.Contains(r.Stdout, model.Last) {
			t.Fatalf("claude: %s", r.All())
		}
	}
	d.imported(v, file, "")
	status := d.must(d.work, "", d.kb, "status")
	t.Log(status)
}

func TestImportOfCodex(t *testing.T) {
	d := newDesk(t)
	triple := map[string]string{"x64": "x86_64", "arm64": "aarch64"}[npmArch()] + "-unknown-linux-musl"
	codex := testkit.NPM(t, "@openai/codex-linux-"+npmArch()+"/vendor/"+triple+"/bin/codex")
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	jwt := func(end time.Time) string {
		return part(`{"alg":"RS256","typ":"JWT"}`) + "." + part(fmt.Sprintf(
			`{"exp":%d,"aud":["app_test"],"client_id":"app_test","email":"me@acme.example","https://api.openai.com/auth":{"chatgpt_account_id":"acc-1","chatgpt_plan_type":"pro","chatgpt_user_id":"u1"}}`,
			end.Unix())) + "." + testkit.NewCanary("sig", 60)
	}
	v := newVendor(func(kind string) string {
		if kind == "refresh" {
			return testkit.NewCanary("rt_", 60)
		}
		return jwt(time.Now().Add(time.Hour))
	})
	d.w.Serve("auth.openai.com", testkit.OriginConfig{Handler: v})
	model := &testkit.OpenAI{Model: testkit.Model{Last: "last words of codex", Command: "true"}}
	d.w.Serve("chatgpt.com", testkit.OriginConfig{Handler: v.guard(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/backend-api/wham/accounts/check" {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"accounts":[{"id":"acc-1","workspace_backend_origin":"https://chatgpt.com","account_routing_override":"NO_CONSTRAINT"}]}`)
			return
		}
		rest, ok := strings.CutPrefix(r.URL.Path, "/backend-api/codex/")
		if !ok || rest != "responses" {
			http.NotFound(w, r)
			return
		}
		r.URL.Path = "/v1/responses"
		model.ServeHTTP(w, r)
	}))})
	file := filepath.Join(d.home.Dir, ".codex", "auth.json")
	d.keep(file, fmt.Sprintf(`{"auth_mode":"chatgpt","OPENAI_API_KEY":null,"tokens":{"id_token":%q,"access_token":%q,"refresh_token":%q,"account_id":"acc-1"},"last_refresh":%q}`,
		jwt(time.Now().Add(time.Hour)), v.access, v.refresh, time.Now().UTC().Format(time.RFC3339)))

	// With an API key there it would not look at its own login.
	d.must(d.work, "", d.kb, "logout", "openai", "-p", "work")
	d.takeOver("codex", file)
	r := d.exec(d.work, nil, codex, "exec", "--dangerously-bypass-approvals-and-sandbox",
		"-c", "analytics.enabled=false", "-c", "check_for_update_on_startup=false", "do the task")
	if r.Code != 0 || !strings.Contains(r.Stdout, model.Last) {
		t.Fatalf("codex: %s", r.All())
	}
	t.Log(d.must(d.work, "", d.kb, "refresh", "chatgpt", "-p", "work"))
	d.imported(v, file, "app_test")
}

// keep writes a file of a program's.
func (d *desk) keep(file, content string) {
	d.t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		d.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		d.t.Fatal(err)
	}
}
