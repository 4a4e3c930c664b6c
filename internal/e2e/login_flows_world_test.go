package e2e

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/testkit"
)

// The clients of the flows.
const (
	flowsApp    = "acme-app"    // of a person, public
	flowsServer = "acme-server" // of a job
)

const flowsDefinition = `name = "acme"
title = "Acme"
docs = "https://acme.example/docs"
hosts = ["api.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }

[[login]]
method = "oauth"
title = "OAuth app"
flow = "oauth"
client = "own"
page = "https://acme.example/apps"
scopes = ["openid", "offline_access", "read"]
refresh = "rotate"
[login.server]
issuer = "https://auth.acme.example"
iss = true
authorization = "https://auth.acme.example/auth"
token = "https://auth.acme.example/token"
device = "https://auth.acme.example/device/auth"
revocation = "https://auth.acme.example/token/revocation"
client_auth = "none"
authorize = { prompt = "consent" }
source = "https://acme.example/docs"

[[login]]
method = "server"
title = "server app"
flow = "client-credentials"
scopes = ["read"]
[[login.field]]
name = "client_id"
label = "Client ID"
[[login.field]]
name = "client_secret"
label = "Client secret"
secret = true
[login.server]
token = "https://auth.acme.example/token"
client_auth = "basic"
source = "https://acme.example/docs"

[[inject]]
hosts = ["api.acme.example"]
header = { Authorization = "Bearer {token}" }
source = "https://acme.example/docs"

[identity]
url = "https://api.acme.example/me"
name = "login"
source = "https://acme.example/docs"
`

// flows is the world of the logins: an authorization server that is real, and
// for what it does not do one that checks signatures by itself.
type flows struct {
	*testkit.World
	oidc   *testkit.OIDC
	jwt    *testkit.AuthServer // of assertions
	key    *rsa.PrivateKey     // that they are signed with
	secret string              // of flowsServer
	kb     string

	mu    sync.Mutex
	given map[string]bool // tokens that the test itself gave; true: good
}

func newFlows(t *testing.T) *flows {
	t.Helper()
	needsE2E(t)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	w := &flows{
		World: testkit.Namespace(t), jwt: testkit.NewAuthServer("https://oauth2.googleapis.com"), key: key,
		secret: testkit.NewCanary("server_", 36), kb: testkit.BuildKB(t), given: map[string]bool{},
	}
	address := netip.MustParseAddr("203.0.113.200")
	w.Resolver().Set("auth.acme.example", address)
	w.oidc = testkit.StartOIDC(t, w.CA, testkit.OIDCConfig{
		Addr: netip.AddrPortFrom(address, 443).String(), Issuer: "https://auth.acme.example", Life: 10 * time.Minute,
		Clients: []testkit.OIDCClient{{ID: flowsApp}, {ID: flowsServer, Secret: w.secret}},
	})
	mcp := testkit.NewProtectedResource(w.oidc.Issuer)
	mcp.SetValid(w.good)
	w.Serve("mcp.acme.example", testkit.OriginConfig{Handler: mcp})
	w.Serve("api.acme.example", testkit.OriginConfig{Handler: w.api(`{"login":"me@acme.example"}`)})
	w.Serve("www.googleapis.com", testkit.OriginConfig{Handler: w.api(`{"email":"bot@acme.iam.example"}`)})
	w.Serve("oauth2.googleapis.com", testkit.OriginConfig{Handler: http.HandlerFunc(w.assertion)})
	w.Serve("api.github.com", testkit.OriginConfig{Handler: http.HandlerFunc(w.github)})
	w.Serve("acme.atlassian.net", testkit.OriginConfig{Handler: w.keyed(`{"displayName":"Me"}`)})
	w.Serve("api.datadoghq.com", testkit.OriginConfig{Handler: w.keyed(`{"data":{"attributes":{"email":"me@acme.example"}}}`)})
	return w
}

// good asks whoever gave the token.
func (w *flows) good(access string) bool {
	w.mu.Lock()
	given := w.given[access]
	w.mu.Unlock()
	if given || w.jwt.Valid(access) {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), eventually)
	defer cancel()
	ok, err := w.oidc.Valid(ctx, access)
	return err == nil && ok
}

// give notes tokens that this process gives.
func (w *flows) give(tokens ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, token := range tokens {
		w.given[token] = true
	}
}

// tokens are all that were given so far.
func (w *flows) tokens() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := append(w.oidc.Tokens(), w.secret)
	for token := range w.given {
		all = append(all, token)
	}
	return all
}

// api answers those who have a good token.
func (w *flows) api(answer string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !w.good(bearer(r)) {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(rw, answer+"\n")
	})
}

// keyed answers those who show a key, by HTTP Basic or in two fields.
func (w *flows) keyed(answer string) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		w.mu.Lock()
		good := user == "me@acme.example" && w.given[password] || w.given[r.Header.Get("DD-API-KEY")] && w.given[r.Header.Get("DD-APPLICATION-KEY")]
		w.mu.Unlock()
		if !good {
			http.Error(rw, "who are you?", http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(rw, answer+"\n")
	})
}

// assertion is a token endpoint that takes what the service account signed, as
// RFC 7523 has it.
func (w *flows) assertion(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	_ = r.ParseForm()
	var claims struct{ Iss, Aud, Scope string }
	if err := w.signed(r.PostForm.Get("assertion"), &claims); err != nil || claims.Iss != "bot@acme.iam.example" || claims.Aud != "https://oauth2.googleapis.com/token" {
		http.Error(rw, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	recorder := httptest.NewRecorder()
	w.jwt.ServeHTTP(recorder, r)
	var answer struct {
		Access string `json:"access_token"`
	}
	if json.Unmarshal(recorder.Body.Bytes(), &answer) == nil && answer.Access != "" {
		w.give(answer.Access)
	}
	rw.Header().Set("Content-Type", "application/json")
	rw.WriteHeader(recorder.Code)
	_, _ = rw.Write(recorder.Body.Bytes())
}

// github mints installation tokens for what the app signed.
func (w *flows) github(rw http.ResponseWriter, r *http.Request) {
	rw.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/user" { // which an installation is not
		http.Error(rw, `{"message":"Resource not accessible by integration"}`, http.StatusForbidden)
		return
	}
	if r.URL.Path != "/app/installations/42/access_tokens" {
		w.api(`{"repositories":[{"full_name":"acme/site"}]}`).ServeHTTP(rw, r)
		return
	}
	var claims struct{ Iss string }
	if err := w.signed(bearer(r), &claims); err != nil || claims.Iss != "Iv1.acme" || r.Method != http.MethodPost {
		http.Error(rw, `{"message":"Bad credentials"}`, http.StatusUnauthorized)
		return
	}
	token := testkit.NewCanary("ghs_", 36)
	w.give(token)
	rw.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(rw).Encode(map[string]any{"token": token, "expires_at": time.Now().Add(time.Hour).UTC().Format(time.RFC3339)})
}

// signed reads the claims of a JWT that has w.key's RS256 signature and is of
// now.
func (w *flows) signed(jwt string, claims any) error {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return errors.New("no JWT")
	}
	signature, err := base64.RawURLEncoding.DecodeString(parts[2])
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	if err := rsa.VerifyPKCS1v15(&w.key.PublicKey, crypto.SHA256, sum[:], signature); err != nil {
		return err
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return err
	}
	var times struct{ Iat, Exp int64 }
	if err := json.Unmarshal(text, &times); err != nil {
		return err
	}
	if now := time.Now().Unix(); times.Iat > now || times.Exp <= now || times.Exp-times.Iat > 3600 {
		return errors.New("not of now")
	}
	return json.Unmarshal(text, claims)
}

// pem is the private key, as the vendors hand it out.
func (w *flows) pem() string {
	der, err := x509.MarshalPKCS8PrivateKey(w.key)
	if err != nil {
		panic(err) // an RSA key always marshals
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// flow is one person at one machine, and what they typed and read.
type flow struct {
	*testing.T
	w    *flows
	home *testkit.Home
	env  []string
	said strings.Builder
	raw  bytes.Buffer // all output, erased lines too
}

// start gives a person a machine with a vault and the profile work.
func (w *flows) start(t *testing.T) *flow {
	t.Helper()
	f := &flow{T: t, w: w, home: testkit.NewHome(t)}
	f.env = f.home.With("PATH=" + filepath.Dir(w.kb) + ":" + os.Getenv("PATH"))
	if err := os.WriteFile(filepath.Join(f.home.Dir, "acme.toml"), []byte(flowsDefinition), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range []string{"init --device laptop", "profile add work", "provider add acme.toml"} {
		if r := testkit.Run(t, f.home.Dir, f.env, "sh", "-c", "kb "+args); r.Code != 0 {
			t.Fatalf("kb %s: %s", args, r.All())
		}
	}
	t.Cleanup(func() { t.Log("\n" + f.said.String()) })
	return f
}

// note is what the person does besides typing.
func (f *flow) note(text string) { f.said.WriteString("# " + text + "\n") }

// show writes what a command printed.
func (f *flow) show(command, output string) {
	f.said.WriteString("$ " + command + "\n" + strings.TrimRight(output, "\n") + "\n\n")
}

// types runs a command as it is typed and returns what it printed; env is
// what the person has set for it alone.
func (f *flow) types(code int, command string, env ...string) string {
	f.Helper()
	oracle := testkit.NewOracle(f.w.tokens()...)
	r := testkit.Exec(f.T, testkit.Command{
		Dir: f.home.Dir, Env: append(slices.Clone(f.env), env...), Args: []string{"sh", "-c", command + " 2>&1"},
		Watch: func(pid int) {
			if env == nil { // a person's own variables may be seen
				_, _ = oracle.Processes(pid)
			}
		},
	})
	f.raw.WriteString(r.Stdout)
	f.show(command, r.Stdout)
	if r.Code != code {
		f.Fatalf("%s: exit %d, want %d:\n%s", command, r.Code, code, r.Stdout)
	}
	for _, found := range oracle.Findings() {
		f.Errorf("%s: %v", command, found)
	}
	return r.Stdout
}

// act is something that the person does once the screen shows what matches;
// what it returns is typed.
type act struct {
	when *regexp.Regexp
	do   func(match string) string
}

// erased is what kb takes from the screen again.
var erased = regexp.MustCompile(`[^\n]*\x1b\[K`)

// watches runs a command that waits for the person, on a terminal or on none,
// and returns what stays on the screen.
func (f *flow) watches(terminal bool, command string, env []string, acts ...act) string {
	f.Helper()
	ctx, cancel := context.WithTimeout(f.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command+" 2>&1")
	cmd.Dir, cmd.Env = f.home.Dir, append(append(slices.Clone(f.env), "TERM=xterm"), env...)
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out io.Reader
	var in io.Writer = io.Discard
	if terminal {
		tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 100, Rows: 40})
		if err != nil {
			f.Fatal(err)
		}
		defer tty.Close()
		out, in = tty, tty
	} else {
		// No terminal, also where the tests run on one.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		pipe, err := cmd.StdoutPipe()
		if err != nil {
			f.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			f.Fatal(err)
		}
		out = pipe
	}
	var screen bytes.Buffer
	buf := make([]byte, 4096)
	for {
		n, err := out.Read(buf)
		screen.Write(buf[:n])
		for len(acts) > 0 && acts[0].when.Match(screen.Bytes()) {
			m := acts[0].when.FindStringSubmatch(screen.String())
			fmt.Fprint(in, acts[0].do(m[len(m)-1]))
			acts = acts[1:]
		}
		if err != nil { // the terminal ends with its last process
			break
		}
	}
	err := cmd.Wait()
	f.raw.Write(screen.Bytes())
	shown := erased.ReplaceAllString(strings.ReplaceAll(screen.String(), "\r\n", "\n"), "")
	f.show(command, shown)
	if err != nil || len(acts) > 0 {
		f.Fatalf("%s: %v, %d acts left:\n%q", command, err, len(acts), screen.String())
	}
	return shown
}

// arrives opens the address that the browser was sent to at last: kb's own.
func (f *flow) arrives(address string) {
	f.Helper()
	request, err := http.NewRequestWithContext(f.Context(), http.MethodGet, address, nil)
	if err != nil {
		f.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		f.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		f.Errorf("the browser ended with %d", response.StatusCode)
	}
}
