package testkit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed oidc/server.mjs
var oidcServer []byte

// OIDC is a real authorization server, the npm package oidc-provider, run by
// node over https with a certificate of a [CA]: authorization code with PKCE,
// device code, client credentials, registration, revocation, introspection,
// pushed requests, and refresh tokens of which a used one ends its family.
type OIDC struct {
	Issuer string

	client *http.Client
	api    OIDCClient // that introspects

	mu       sync.Mutex
	requests []OIDCRequest
	tokens   []string
}

// OIDCConfig says how the server is to be. The zero value is a server on a free
// loopback port whose access tokens live for an hour.
type OIDCConfig struct {
	Addr       string        // "" is "127.0.0.1:0"
	Issuer     string        // "" is https at Addr
	Life       time.Duration // of access tokens, whole seconds; 0 means an hour
	Keep       bool          // refreshing returns the same refresh token
	RequirePAR bool
	Clients    []OIDCClient
}

// OIDCClient is a client that is registered from the start. One without a
// secret is public.
type OIDCClient struct {
	ID, Secret string
	Redirects  []string // nil means http://127.0.0.1/callback, at any port
	Grants     []string // nil means code, refresh and device; for one with a secret client_credentials too
}

// OIDCRequest is an answer of the token endpoint.
type OIDCRequest struct {
	Grant  string `json:"grant"`
	Client string `json:"client"`
	Error  string `json:"error"` // "" when tokens were given
}

// NPMDir is where internal/e2e/install puts npm packages.
func NPMDir(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("KB_E2E_CLIENTS")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Skipf("no cache directory for npm packages: %v", err)
		}
		dir = filepath.Join(cache, "kb-e2e")
	}
	return filepath.Join(dir, "node_modules")
}

// NPM is a file of an installed npm package; a test without it skips.
func NPM(t testing.TB, path string) string {
	t.Helper()
	file := filepath.Join(NPMDir(t), path)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("npm package of %s is not installed (internal/e2e/install does it)", path)
	}
	return file
}

// node is the newest node there is: that of the npm packages, else PATH's.
func node(t testing.TB) string {
	t.Helper()
	arch := runtime.GOARCH
	if arch == "amd64" {
		arch = "x64"
	}
	own := filepath.Join(NPMDir(t), "node24-"+runtime.GOOS+"-"+arch, "bin", "node")
	if _, err := os.Stat(own); err == nil {
		return own
	}
	path, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	return path
}

// StartOIDC starts the server and waits until it listens; it ends with the
// test. Where node or the package is missing the test skips.
func StartOIDC(t testing.TB, ca *CA, c OIDCConfig) *OIDC {
	t.Helper()
	pkg := NPM(t, "oidc-provider/lib/index.js")
	program := node(t)
	o := &OIDC{client: ca.Client(t), api: OIDCClient{ID: "test-api", Secret: "test-api-secret"}}
	line := o.config(t, ca, c, pkg)

	cmd := exec.Command(program, "--input-type=module", "--no-warnings", "-e", string(oidcServer))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start oidc-provider: %v", err)
	}
	ready, read := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(read)
		o.listen(stdout, ready)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
		<-read
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("oidc-provider said:\n%s", stderr.String())
		}
	})
	if _, err := stdin.Write(append(line, '\n')); err != nil {
		t.Fatalf("configure oidc-provider: %v", err)
	}
	select {
	case o.Issuer = <-ready:
	case <-read:
	case <-time.After(time.Minute): // node on a busy machine
	}
	if o.Issuer == "" {
		t.Fatal("oidc-provider did not start")
	}
	return o
}

// listen reads what the server says until it ends.
func (o *OIDC) listen(out io.Reader, ready chan<- string) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var said struct {
			Ready  string   `json:"ready"`
			Tokens []string `json:"tokens"`
			OIDCRequest
		}
		if json.Unmarshal(lines.Bytes(), &said) != nil {
			continue
		}
		if said.Ready != "" {
			ready <- said.Ready
			continue
		}
		o.mu.Lock()
		o.requests = append(o.requests, said.OIDCRequest)
		o.tokens = append(o.tokens, said.Tokens...)
		o.mu.Unlock()
	}
}

// config is the line that configures the script.
func (o *OIDC) config(t testing.TB, ca *CA, c OIDCConfig, pkg string) []byte {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	host, portText, err := net.SplitHostPort(c.Addr)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		t.Fatal(err)
	}
	if c.Life == 0 {
		c.Life = time.Hour
	}
	name := host
	if u, err := url.Parse(c.Issuer); err == nil && u.Hostname() != "" {
		name = u.Hostname()
	}
	cert, err := ca.leaf(name)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	var chain []byte
	for _, der := range cert.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	clients := []map[string]any{{
		"client_id": o.api.ID, "client_secret": o.api.Secret, "grant_types": []string{}, "response_types": []string{}, "redirect_uris": []string{},
	}}
	for _, k := range c.Clients {
		clients = append(clients, k.metadata())
	}
	line, err := json.Marshal(map[string]any{
		"package": pkg, "host": host, "port": port, "issuer": c.Issuer, "life": int(c.Life / time.Second), "rotate": !c.Keep,
		"requirePAR": c.RequirePAR, "clients": clients, "cert": string(chain),
		"key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})),
	})
	if err != nil {
		t.Fatal(err)
	}
	return line
}

// metadata is a client as RFC 7591 has it.
func (k OIDCClient) metadata() map[string]any {
	if k.Redirects == nil {
		k.Redirects = []string{"http://127.0.0.1/callback"}
	}
	if k.Grants == nil {
		k.Grants = []string{"authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:device_code"}
		if k.Secret != "" {
			k.Grants = append(k.Grants, "client_credentials")
		}
	}
	m := map[string]any{
		"client_id": k.ID, "redirect_uris": k.Redirects, "grant_types": k.Grants, "response_types": []string{"code"},
		"application_type": "native", "token_endpoint_auth_method": "none",
	}
	if k.Secret != "" {
		m["client_secret"], m["token_endpoint_auth_method"] = k.Secret, "client_secret_basic"
	}
	return m
}

// Requests are the answers of the token endpoint, in order.
func (o *OIDC) Requests() []OIDCRequest {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.requests)
}

// Tokens are the access and refresh tokens that were given so far, in order.
func (o *OIDC) Tokens() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.tokens)
}

// Count is how many token requests of a grant type came; "" counts all.
func (o *OIDC) Count(grant string) int {
	n := 0
	for _, r := range o.Requests() {
		if grant == "" || r.Grant == grant {
			n++
		}
	}
	return n
}

// Valid asks the server (RFC 7662) whether it would honour an access token.
func (o *OIDC) Valid(ctx context.Context, access string) (bool, error) {
	form := url.Values{"token": {access}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.Issuer+"/token/introspection", strings.NewReader(form.Encode()))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(o.api.ID, o.api.Secret)
	res, err := o.client.Do(req)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	var said struct {
		Active bool `json:"active"`
	}
	err = json.NewDecoder(res.Body).Decode(&said)
	return said.Active, err
}
