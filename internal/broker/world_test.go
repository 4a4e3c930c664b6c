package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/profile"
	"kb/proxy"
	"kb/vaultfile"
)

// fixture is a broker in the in-process test world, with profiles work (by the
// remote github.com/acme/*) and oss (by ~/oss/**), each with a github login.
type fixture struct {
	*testing.T
	world     *testkit.World
	options   Options
	broker    *Broker
	workToken string
	ossToken  string
	workDir   string // a clone of github.com/acme/api
	ossDir    string
	api       *testkit.Origin
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	home := t.TempDir()
	f := &fixture{
		T: t, world: testkit.New(t),
		workToken: testkit.NewCanary("ghp_", 36), ossToken: testkit.NewCanary("ghp_", 36),
	}
	f.api = f.world.Serve("api.github.com", testkit.OriginConfig{Handler: testkit.Echo()})
	f.options = Options{
		Paths: Paths{
			Config: filepath.Join(home, "config"), State: filepath.Join(home, "state"),
			Runtime: filepath.Join(home, "run"), Home: home,
		},
		Getenv:   func(string) string { return "" },
		Resolver: f.world.Resolver(), Roots: f.world.Roots(), Bundle: f.world.CA.PEM(),
		Dial: func(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
			return f.world.Dial(ctx, "tcp", addr.String())
		},
	}
	ctx := t.Context()
	if _, err := Init(ctx, InitOptions{Options: f.options, Device: "laptop"}); err != nil {
		t.Fatal(err)
	}
	f.broker = f.open()
	f.edit(func(tx *vaultfile.Tx) error {
		for _, p := range []profile.Profile{{Name: "work", GitEmail: "me@acme.example"}, {Name: "oss"}, {Name: "client"}} {
			if err := tx.PutProfile(p); err != nil {
				return err
			}
		}
		for _, r := range []profile.Rule{
			{Profile: "work", Remote: "github.com/acme/*"},
			{Profile: "oss", Dir: "~/oss/**"},
			{Profile: "oss", Remote: "github.com/libre/*"},
			{Profile: "client", Remote: "github.com/customer/*"},
		} {
			if _, err := tx.PutRule(r); err != nil {
				return err
			}
		}
		return nil
	})
	f.login("work", "github", "", f.workToken)
	f.login("oss", "github", "", f.ossToken)
	f.workDir = f.repository("api", "git@github.com:acme/api.git")
	f.ossDir = filepath.Join(home, "oss", "tool")
	if err := os.MkdirAll(f.ossDir, 0o700); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixture) open() *Broker {
	f.Helper()
	b, err := Open(f.Context(), f.options)
	if err != nil {
		f.Fatal(err)
	}
	return b
}

func (f *fixture) edit(change func(*vaultfile.Tx) error) {
	f.Helper()
	if err := f.broker.Edit(f.Context(), change); err != nil {
		f.Fatal(err)
	}
}

func (f *fixture) login(profileName, provider, as, token string) {
	f.Helper()
	spec := LoginSpec{Login: vaultfile.Login{
		Profile: profileName, Provider: provider, As: as, Method: "token",
		Secrets: map[string]secret.Value{"token": secret.New(token)},
	}}
	if _, err := f.broker.Login(f.Context(), spec); err != nil {
		f.Fatal(err)
	}
}

// logout ends a key's login, which leaves its profile's vault.
func (f *fixture) logout(full, provider string) error {
	_, err := f.broker.Logout(f.Context(), LogoutSpec{Profile: full, Provider: provider})
	return err
}

// repository makes a git repository with a remote, under the home.
func (f *fixture) repository(name, remote string) string {
	f.Helper()
	dir := filepath.Join(f.options.Paths.Home, name)
	f.git("init", "-q", dir)
	f.git("-C", dir, "remote", "add", "origin", remote)
	return dir
}

func (f *fixture) git(args ...string) string {
	f.Helper()
	cmd := exec.CommandContext(f.Context(), "git", args...)
	cmd.Env = f.environ()
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// environ is a parent's environment without anything of the machine's user.
func (f *fixture) environ(more ...string) []string {
	return append([]string{
		"HOME=" + f.options.Paths.Home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1",
	}, more...)
}

func (f *fixture) start(dir string, also ...string) *Session {
	f.Helper()
	s, err := f.broker.StartSession(f.Context(), SessionSpec{Dir: dir, Also: also, Command: []string{"agent"}, Environ: f.environ()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(s.Close)
	return s
}

// value is a variable of the session's child.
func value(s *Session, name string) string {
	for _, entry := range s.Environment() {
		if v, ok := strings.CutPrefix(entry, name+"="); ok {
			return v
		}
	}
	return ""
}

// answer is what a client in the session got.
type answer struct {
	status  int
	refusal proxy.Refusal
	body    string
}

// transport is a client of the session's child; user is the proxy's user name,
// "" for the one of the environment.
func (f *fixture) transport(s *Session, user string) *http.Transport {
	f.Helper()
	proxyURL, err := url.Parse(value(s, "HTTPS_PROXY"))
	if err != nil {
		f.Fatal(err)
	}
	if user != "" {
		password, _ := proxyURL.User.Password()
		proxyURL.User = url.UserPassword(user, password)
	}
	pool := x509.NewCertPool()
	bundle, err := os.ReadFile(value(s, "SSL_CERT_FILE"))
	if err != nil || !pool.AppendCertsFromPEM(bundle) {
		f.Fatalf("read the child's bundle: %v", err)
	}
	return &http.Transport{Proxy: http.ProxyURL(proxyURL), TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
}

// get sends a request as the session's child would.
func (f *fixture) get(s *Session, user, method, target string, header http.Header) answer {
	f.Helper()
	transport := f.transport(s, user)
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(f.Context(), method, target, nil)
	if err != nil {
		f.Fatal(err)
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		f.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.Fatal(err)
	}
	a := answer{status: response.StatusCode, body: string(body)}
	if response.Header.Get("X-Should-Retry") == "false" {
		var said struct{ Error, Message, Fix, Profile, Provider string }
		if err := json.Unmarshal(body, &said); err != nil {
			f.Fatalf("refusal is no JSON: %s", body)
		}
		a.refusal = proxy.Refusal{Status: a.status, Code: said.Error, Message: said.Message, Fix: said.Fix, Profile: said.Profile, Provider: said.Provider}
	}
	return a
}

// arrived is the credential of the last request at the API, and how many came.
func (f *fixture) arrived() (credential string, count int) {
	all := f.api.Requests()
	if len(all) == 0 {
		return "", 0
	}
	last := slices.MaxFunc(all, func(a, b testkit.Request) int { return a.Time.Compare(b.Time) })
	return last.Credential(), len(all)
}
