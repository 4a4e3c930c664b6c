package testkit

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// gitIn runs git in dir with an environment that holds nothing of the machine's
// own configuration.
func gitIn(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir(), "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@acme.example", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@acme.example",
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// Real git clones, fetches and pushes more than one request's buffer, and the
// log says which token each path arrived with.
func TestGitServesRealGit(t *testing.T) {
	w := Namespace(t)
	g := NewGit(t)
	g.Users = map[string]string{"t1": "me"}
	g.Allow = func(_, repository string, _ bool) bool { return repository != "acme/closed" }
	w.Serve("github.com", OriginConfig{Handler: g, HTTP1: true})
	dir := t.TempDir()
	if out, err := gitIn(t, dir, "clone", "https://github.com/acme/api.git", "bare"); err == nil || !strings.Contains(out, "terminal prompts disabled") {
		t.Fatalf("a clone without credentials must be asked for some: %v %s", err, out)
	}
	g.Forget()
	must := func(dir string, args ...string) {
		t.Helper()
		if out, err := gitIn(t, dir, args...); err != nil {
			t.Fatalf("git %s: %v\n%s", args, err, out)
		}
	}
	must(dir, "clone", "--quiet", "https://x-access-token:t1@github.com/acme/api.git", "api")
	clone := filepath.Join(dir, "api")
	// Incompressible, so that the push is chunked.
	big := make([]byte, 3<<20)
	for i, x := 0, uint32(1); i < len(big); i++ {
		x = x*1664525 + 1013904223
		big[i] = byte(x >> 24)
	}
	if err := os.WriteFile(filepath.Join(clone, "big"), big, 0o600); err != nil {
		t.Fatal(err)
	}
	must(clone, "add", "big")
	must(clone, "commit", "--quiet", "-m", "big")
	must(clone, "push", "--quiet", "origin", "HEAD:topic")
	if g.Rev("acme/api", "topic") == "" {
		t.Fatal("the push did not arrive")
	}
	c := g.Commit("acme/api", "from elsewhere")
	must(clone, "fetch", "--quiet")
	if out, _ := gitIn(t, clone, "rev-parse", "origin/main"); strings.TrimSpace(out) != c {
		t.Errorf("fetched %q, want %q", out, c)
	}
	wrote := false
	for _, a := range g.Accesses() {
		if a.Repository != "acme/api" || a.Token != "" && (a.Token != "t1" || a.User != "x-access-token" || a.Login != "me") {
			t.Errorf("access is wrong: %+v", a)
		}
		wrote = wrote || a.Write && a.Token == "t1"
	}
	if !wrote {
		t.Error("no write in the log")
	}
	if out, err := gitIn(t, dir, "clone", "https://x:t1@github.com/acme/closed", "closed"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a closed repository must answer 403: %v %s", err, out)
	}
}
