package e2e

import (
	"net/http"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"kb/internal/testkit"
)

// desk is a developer's day with real clients: services under their own names,
// a home where kb knows two identities, and a clone for each. Every secret in
// it is a canary.
type desk struct {
	t    *testing.T
	kb   string
	home *testkit.Home
	w    *testkit.World

	git          *testkit.Git
	github       *testkit.Origin // api.github.com
	openai       *testkit.OpenAI
	anthropic    *testkit.Anthropic
	workToken    string // of me-at-acme
	ossToken     string // of me-at-home
	openaiKey    string
	anthropicKey string
	stripeKey    string
	work, oss    string // clones: ~/api of github.com/acme/api, ~/oss/tool of github.com/libre/tool
	outputs      *testkit.Oracle
}

// newDesk skips unless KB_E2E=1, and where there is no namespace.
func newDesk(t *testing.T) *desk {
	t.Helper()
	needsE2E(t) // and internal/e2e/install
	w := testkit.Namespace(t)
	d := &desk{
		t: t, w: w, kb: testkit.BuildKB(t), home: testkit.NewHome(t), git: testkit.NewGit(t),
		workToken: testkit.NewCanary("ghp_", 36), ossToken: testkit.NewCanary("ghp_", 36),
		openaiKey: testkit.NewCanary("sk-proj-", 48), anthropicKey: testkit.NewCanary("sk-ant-api03-", 95),
		stripeKey: testkit.NewCanary("sk_test_", 24),
	}
	d.outputs = testkit.NewOracle(d.workToken, d.ossToken, d.openaiKey, d.anthropicKey, d.stripeKey)
	users := map[string]string{d.workToken: "me-at-acme", d.ossToken: "me-at-home"}
	d.git.Users = users
	d.openai = &testkit.OpenAI{Key: d.openaiKey, Model: testkit.Model{Last: "last words of gpt"}}
	d.anthropic = &testkit.Anthropic{Key: d.anthropicKey, Model: testkit.Model{Last: "last words of claude"}}
	w.Serve("github.com", testkit.OriginConfig{Handler: d.git})
	d.github = w.Serve("api.github.com", testkit.OriginConfig{Handler: &testkit.GitHub{Users: users}})
	w.Serve("api.openai.com", testkit.OriginConfig{Handler: d.openai})
	w.Serve("api.anthropic.com", testkit.OriginConfig{Handler: d.anthropic})
	w.Serve("api.stripe.com", testkit.OriginConfig{Handler: stripe(d.stripeKey)})

	d.must(d.home.Dir, "", d.kb, "init")
	d.must(d.home.Dir, "", d.kb, "profile", "add", "work", "--git-name", "Me", "--git-email", "me@acme.example")
	d.must(d.home.Dir, "", d.kb, "rule", "add", "work", "--remote", "github.com/acme/*")
	d.must(d.home.Dir, "", d.kb, "profile", "add", "oss", "--git-name", "Me", "--git-email", "me@home.example")
	d.must(d.home.Dir, "", d.kb, "rule", "add", "oss", "--dir", "~/oss/**")
	for _, l := range []struct{ provider, profile, secret string }{
		{"github", "work", d.workToken},
		{"github", "oss", d.ossToken},
		{"openai", "work", d.openaiKey},
		{"anthropic", "work", d.anthropicKey},
		{"stripe", "work", d.stripeKey},
	} {
		d.must(d.home.Dir, l.secret+"\n", d.kb, "login", l.provider, "-p", l.profile, "--stdin", "--no-verify")
	}
	d.work = d.clone("api", "acme/api")
	d.oss = d.clone("oss/tool", "libre/tool")
	return d
}

// next hands the desk to a subtest, with the logs of its services empty.
func (d *desk) next(t *testing.T) {
	d.t = t
	d.w.Forget()
	d.git.Forget()
}

// clone makes a clone by reading the server's disk, so that no client and no
// credential has part in it.
func (d *desk) clone(to, repository string) string {
	d.t.Helper()
	dir := filepath.Join(d.home.Dir, to)
	d.must(d.home.Dir, "", "git", "clone", "--quiet", d.git.Dir(repository), dir)
	d.must(dir, "", "git", "remote", "set-url", "origin", "https://github.com/"+repository+".git")
	return dir
}

// must runs a command that must succeed and returns its standard output.
func (d *desk) must(dir, stdin string, args ...string) string {
	d.t.Helper()
	r := testkit.Exec(d.t, testkit.Command{Dir: dir, Env: d.home.Env, Args: args, Stdin: strings.NewReader(stdin)})
	if r.Code != 0 {
		d.t.Fatalf("%s: %s", strings.Join(args, " "), r.All())
	}
	return r.Stdout
}

// exec runs a client in dir under kb exec, with more variables of the parent's.
// A canary in its output, or in the arguments or environment of kb or of
// anything below it while it runs, fails the test.
func (d *desk) exec(dir string, env []string, args ...string) testkit.Result {
	d.t.Helper()
	seen := 0
	r := testkit.Exec(d.t, testkit.Command{
		Dir: dir, Env: d.home.With(env...), Args: append([]string{d.kb, "exec", "--"}, args...), Limit: 2 * time.Minute,
		Watch: func(pid int) {
			// The tree changes while it is read; a process that is gone is no error.
			if n, err := d.outputs.Processes(pid); err == nil {
				seen += n
			}
		},
	})
	if seen == 0 {
		d.t.Errorf("%s: no process was looked at", args[0])
	}
	d.outputs.Check(r)
	for _, f := range d.outputs.Findings() {
		d.t.Errorf("%s: %s", args[0], f)
	}
	return r
}

// says runs a client in the work clone and wants its output to hold each of want.
func (d *desk) says(env, args []string, want ...string) testkit.Result {
	d.t.Helper()
	r := d.exec(d.work, env, args...)
	for _, s := range want {
		if r.Code != 0 || !strings.Contains(r.Stdout, s) {
			d.t.Fatalf("%q should print %q: %s", args, s, r.All())
		}
	}
	return r
}

// arrived wants every request at an origin to carry one credential, and at
// least one to have come.
func (d *desk) arrived(origin, credential string) {
	d.t.Helper()
	n := 0
	for _, r := range d.w.Requests() {
		if r.Origin != origin {
			continue
		}
		n++
		if got := r.Credential(); got != credential {
			d.t.Errorf("%s %s%s arrived with another credential (%d bytes)", r.Method, origin, r.Path, len(got))
		}
	}
	if n == 0 {
		d.t.Errorf("nothing arrived at %s", origin)
	}
}

// stripe answers GET /v1/balance to whoever has the key.
func stripe(key string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if (testkit.Request{Header: r.Header}).Credential() != key {
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = w.Write([]byte(`{"error":{"type":"invalid_request_error","message":"Invalid API Key provided"}}`))
			return
		}
		_, _ = w.Write([]byte(`{"object":"balance","available":[{"amount":4200,"currency":"eur"}],"livemode":false,"pending":[]}`))
	})
}

// need finds a program on PATH or skips the test.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Skipf("%s is not installed (internal/e2e/install does it)", program)
	}
	return path
}

// npmArch is this machine as npm names it.
func npmArch() string {
	if runtime.GOARCH == "amd64" {
		return "x64"
	}
	return runtime.GOARCH
}
