package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"kb/internal/testkit"
)

// forge is github.com and api.github.com in the test world, and a home with
// kb's two profiles: work by a remote rule, oss by a directory rule.
type forge struct {
	t        *testing.T
	kb       string
	home     *testkit.Home
	git      *testkit.Git
	api      *testkit.Origin
	work     string // token of the work login
	oss      string
	workRepo string // clone of github.com/acme/api
	ossRepo  string // clone of github.com/libre/tool under ~/oss
}

// newForge types the transcript of the README: every command as a person
// would, in a clean home.
func newForge(t *testing.T) *forge {
	t.Helper()
	w := testkit.Namespace(t)
	f := &forge{
		t: t, kb: testkit.BuildKB(t), home: testkit.NewHome(t), git: testkit.NewGit(t),
		work: testkit.NewCanary("ghp_", 36), oss: testkit.NewCanary("ghp_", 36),
	}
	users := map[string]string{f.work: "me-at-acme", f.oss: "me-at-home"}
	f.git.Users = users
	w.Serve("github.com", testkit.OriginConfig{Handler: f.git})
	f.api = w.Serve("api.github.com", testkit.OriginConfig{Handler: &testkit.GitHub{Users: users}})

	f.ok(f.home.Dir, "", f.kb, "init")
	f.ok(f.home.Dir, "", f.kb, "profile", "add", "work", "--git-email", "me@acme.example", "--git-name", "Me")
	f.ok(f.home.Dir, "", f.kb, "rule", "add", "work", "--remote", "github.com/acme/*")
	f.ok(f.home.Dir, "", f.kb, "profile", "add", "oss", "--git-email", "me@home.example", "--git-name", "Me")
	f.ok(f.home.Dir, "", f.kb, "rule", "add", "oss", "--dir", "~/oss/**")
	f.ok(f.home.Dir, f.work, f.kb, "login", "github", "-p", "work", "--stdin", "--no-verify")
	f.ok(f.home.Dir, f.oss, f.kb, "login", "github", "-p", "oss", "--stdin", "--no-verify")

	f.workRepo = filepath.Join(f.home.Dir, "api")
	f.ossRepo = filepath.Join(f.home.Dir, "oss", "tool")
	f.ok(f.home.Dir, "", f.kb, "exec", "-p", "work", "--", "git", "clone", "-q", "https://github.com/acme/api.git", f.workRepo)
	if err := os.MkdirAll(filepath.Dir(f.ossRepo), 0o700); err != nil {
		t.Fatal(err)
	}
	f.ok(f.home.Dir, "", f.kb, "exec", "-p", "oss", "--", "git", "clone", "-q", "git@github.com:libre/tool.git", f.ossRepo)
	f.git.Forget()
	return f
}

// run runs a command with stdin as its input.
func (f *forge) run(dir, stdin string, args ...string) testkit.Result {
	f.t.Helper()
	var in io.Reader
	if stdin != "" {
		in = strings.NewReader(stdin)
	}
	return testkit.Exec(f.t, testkit.Command{Dir: dir, Env: f.home.Env, Args: args, Stdin: in})
}

// ok runs a command that must succeed, and returns its standard output.
func (f *forge) ok(dir, stdin string, args ...string) string {
	f.t.Helper()
	r := f.run(dir, stdin, args...)
	if r.Code != 0 {
		f.t.Fatalf("%s: %s", strings.Join(args, " "), r.All())
	}
	return r.Stdout
}

// commit makes a commit in a clone, so that there is something to push.
func (f *forge) commit(dir string) {
	f.t.Helper()
	f.ok(dir, "", f.kb, "exec", "--", "git", "commit", "-q", "--allow-empty", "-m", "change")
}

func (f *forge) oracle() *testkit.Oracle { return testkit.NewOracle(f.work, f.oss) }

func TestTranscript(t *testing.T) {
	f := newForge(t)

	which := f.ok(f.workRepo, "", f.kb, "which")
	for _, want := range []string{"work", "remote github.com/acme/api matches rule", "github.com/acme/*"} {
		if !strings.Contains(which, want) {
			t.Errorf("kb which in the work clone lacks %q:\n%s", want, which)
		}
	}
	for _, c := range []struct{ dir, repository, token, email string }{
		{f.workRepo, "acme/api", f.work, "me@acme.example"},
		{f.ossRepo, "libre/tool", f.oss, "me@home.example"},
	} {
		f.git.Forget()
		f.commit(c.dir)
		f.ok(c.dir, "", f.kb, "exec", "--", "git", "push", "-q")
		pushed := false
		for _, a := range f.git.Accesses() {
			if a.Token != c.token || a.Repository != c.repository {
				t.Errorf("push in %s: %s arrived with the token of %q", c.dir, a.Path, a.Login)
			}
			pushed = pushed || a.Write
		}
		if !pushed {
			t.Errorf("push in %s: no write arrived", c.dir)
		}
		author := f.ok(c.dir, "", "git", "log", "-1", "--format=%ae")
		if strings.TrimSpace(author) != c.email {
			t.Errorf("commit in %s is by %q, want %s", c.dir, author, c.email)
		}
	}
	if verify := f.ok(f.home.Dir, "", f.kb, "audit", "verify"); !strings.Contains(verify, "checked") {
		t.Errorf("audit verify says %q", verify)
	}
	f.noCanaryLeft()
}

// noCanaryLeft searches everything that kb wrote.
func (f *forge) noCanaryLeft() {
	f.t.Helper()
	o := f.oracle()
	o.Control(f.t, f.work, f.oss)
	if err := o.Tree(f.home.Dir); err != nil {
		f.t.Fatal(err)
	}
	for _, finding := range o.Findings() {
		f.t.Errorf("canary: %s", finding)
	}
}

func TestTwoSessionsAtOnce(t *testing.T) {
	needsE2E(t)
	f := newForge(t)
	f.git.Forget()
	const fetches = 20
	script := fmt.Sprintf("for i in $(seq %d); do git fetch -q && curl -sSf https://api.github.com/user || exit 1; done", fetches)
	var wg sync.WaitGroup
	results := make([]testkit.Result, 2)
	for i, dir := range []string{f.workRepo, f.ossRepo} {
		wg.Go(func() { results[i] = f.run(dir, "", f.kb, "exec", "--", "sh", "-c", script) })
	}
	wg.Wait()
	for i, login := range []string{"me-at-acme", "me-at-home"} {
		if results[i].Code != 0 {
			t.Fatal(results[i].All())
		}
		if got := strings.Count(results[i].Stdout, `"login": "`+login+`"`); got != fetches {
			t.Errorf("session %d was answered as %s %d times of %d:\n%s", i, login, got, fetches, results[i].Stdout)
		}
	}
	want := map[string]string{"acme/api": f.work, "libre/tool": f.oss}
	for _, a := range f.git.Accesses() {
		if a.Token != want[a.Repository] {
			t.Errorf("%s arrived as %q", a.Path, a.Login)
		}
	}
}

// TestInterleavedRepositories sends 10,000 requests from one session that may
// use both profiles; the server's own log pairs each path with its token.
func TestInterleavedRepositories(t *testing.T) {
	needsE2E(t)
	f := newForge(t)
	f.ok(f.home.Dir, "", f.kb, "rule", "add", "oss", "--remote", "github.com/libre/*")
	f.api.Forget()
	f.git.Forget()
	const gitRounds = 5
	rest := 1000 // of each kind; all of them take two minutes
	if os.Getenv("KB_THOROUGH") != "" {
		rest = 5000
	}
	// curl reads its URLs from a file: one process, kept-alive connections,
	// eight at a time.
	var config bytes.Buffer
	for i := range rest {
		repo := []string{"acme/api", "libre/tool"}[i%2]
		fmt.Fprintf(&config, "url = https://api.github.com/repos/%s?n=%d\noutput = /dev/null\n", repo, i)
		fmt.Fprintf(&config, "url = https://github.com/%s.git/info/refs?service=git-upload-pack&n=%d\noutput = /dev/null\n", repo, i)
	}
	list := filepath.Join(f.home.Dir, "urls")
	if err := os.WriteFile(list, config.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`set -e
curl -sS --fail --parallel --parallel-max 8 --config %s &
first=$!
for i in $(seq %d); do git fetch -q; git -C %s fetch -q; git push -q; git -C %s push -q; done
wait $first`, list, gitRounds, f.ossRepo, f.ossRepo)
	// What counts is who got what: a machine with much else to do needs minutes.
	r := testkit.Exec(t, testkit.Command{
		Dir: f.workRepo, Env: f.home.Env, Args: []string{f.kb, "exec", "--also", "oss", "--", "sh", "-c", script}, Limit: 10 * time.Minute,
	})
	if r.Code != 0 {
		t.Fatal(r.All())
	}
	want := map[string]string{"acme/api": f.work, "libre/tool": f.oss}
	total, wrong, without := 0, 0, 0
	count := func(repository, token string) {
		total++
		switch token {
		case want[repository]:
		case "":
			without++
		default:
			wrong++
		}
	}
	for _, q := range f.api.Requests() {
		count(strings.TrimPrefix(q.Path, "/repos/"), q.Credential())
	}
	for _, a := range f.git.Accesses() {
		count(a.Repository, a.Token)
	}
	t.Logf("%d requests, %d wrong, %d without", total, wrong, without)
	if total < 2*rest || wrong != 0 || without != 0 {
		t.Errorf("%d requests, %d wrong, %d without; want at least %d, 0, 0", total, wrong, without, 2*rest)
	}
}

// TestLiveState: what another kb changes takes effect in a running session
// within a second.
func TestLiveState(t *testing.T) {
	f := newForge(t)
	third := testkit.NewCanary("ghp_", 36)
	f.git.Users[third] = "me-at-acme"
	in, out := io.Pipe()
	done := make(chan testkit.Result, 1)
	go func() {
		done <- testkit.Exec(t, testkit.Command{
			Dir: f.workRepo, Env: f.home.Env, Stdin: in,
			Args: []string{f.kb, "exec", "--", "sh", "-c", `while read -r line; do curl -s -o /dev/null -w '%{http_code}\n' https://api.github.com/user; echo asked >> ` + filepath.Join(f.home.Dir, "asked") + `; done`},
		})
	}()
	asked := 0
	ask := func() string {
		t.Helper()
		asked++
		if _, err := io.WriteString(out, "go\n"); err != nil {
			t.Fatal(err)
		}
		testkit.Eventually(t, eventually, "the agent to have asked", func() bool {
			lines, _ := os.ReadFile(filepath.Join(f.home.Dir, "asked"))
			return bytes.Count(lines, []byte("\n")) >= asked
		})
		all := f.api.Requests()
		if len(all) == 0 {
			return ""
		}
		return all[len(all)-1].Credential()
	}
	if got := ask(); got != f.work {
		t.Errorf("the first request arrived with another token")
	}
	// What arrives is judged by the time it arrived: on a busy machine an
	// agent's request may itself take long.
	f.ok(f.home.Dir, third, f.kb, "login", "github", "-p", "work", "--stdin", "--no-verify", "--replace")
	replaced := time.Now()
	testkit.Eventually(t, eventually, "the new key to be used", func() bool { return ask() == third })
	f.ok(f.home.Dir, "", f.kb, "logout", "github", "-p", "work")
	removed := time.Now()
	testkit.Eventually(t, eventually, "requests to be refused", func() bool {
		before := len(f.api.Requests())
		ask()
		return len(f.api.Requests()) == before
	})
	for _, q := range f.api.Requests() {
		if q.Credential() == f.work && q.Time.After(replaced.Add(liveLimit)) {
			t.Errorf("the old key arrived %v after it was replaced", q.Time.Sub(replaced))
		}
		if q.Time.After(removed.Add(liveLimit)) {
			t.Errorf("a key arrived %v after its login was removed", q.Time.Sub(removed))
		}
	}
	_ = out.Close()
	if r := <-done; r.Code != 0 || !strings.Contains(r.Stdout, fmt.Sprint(http.StatusForbidden)) {
		t.Errorf("the agent saw no refusal: %s", r.All())
	}
}
