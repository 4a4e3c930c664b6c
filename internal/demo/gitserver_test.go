package demo

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGitServerSpeaksToGit has the git program clone, push, fetch what another
// clone pushed, and be refused a push that would lose it.
func TestGitServerSpeaksToGit(t *testing.T) {
	program, err := exec.LookPath("git")
	if err != nil {
		t.Skip("skipped: there is no git program here")
	}
	who := newAccount("you-work", "work", "acme")
	f, err := newForge([]account{who}, []string{workRepository})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(f.git())
	defer server.Close()
	url := func(user, password, repository string) string {
		return strings.Replace(server.URL, "://", "://"+user+":"+password+"@", 1) + "/" + repository + ".git"
	}
	dir := t.TempDir()
	git := func(in string, args ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = filepath.Join(dir, in)
		cmd.Env = []string{
			"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@acme.example", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@acme.example",
		}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	must := func(in string, args ...string) string {
		t.Helper()
		out, err := git(in, args...)
		if err != nil {
			t.Fatalf("git %v in %q: %v\n%s", args, in, err, out)
		}
		return out
	}
	must("", "clone", "-q", url("kb", who.token, workRepository), "one")
	must("", "clone", "-q", url("kb", who.token, workRepository), "two")
	// Over 1 KiB of haves and content, so that git compresses and negotiates.
	for i := range 40 {
		name := filepath.Join(dir, "one", "file")
		if err := os.WriteFile(name, []byte(strings.Repeat("line\n", 100*i)), 0o600); err != nil {
			t.Fatal(err)
		}
		must("one", "add", "file")
		must("one", "commit", "-q", "-m", "Change")
	}
	must("one", "push", "-q", "origin", "HEAD:main")
	if author, subject, err := f.repositories[workRepository].head(); err != nil || author != "A <a@acme.example>" || subject != "Change" {
		t.Errorf("head = %q, %q, %v", author, subject, err)
	}
	must("two", "commit", "-q", "--allow-empty", "-m", "Another")
	if out, err := git("two", "push", "-q", "--force", "origin", "HEAD:side"); err == nil || !strings.Contains(out, "only main") {
		t.Errorf("a push to another branch: %v %s", err, out)
	}
	if out, err := git("two", "push", "-q", "origin", "HEAD:main"); err == nil {
		t.Errorf("a push that loses a commit went through: %s", out)
	}
	must("two", "pull", "-q", "--rebase", "origin", "main")
	must("two", "push", "-q", "origin", "HEAD:main")
	must("one", "pull", "-q", "--ff-only", "origin", "main")
	if a, b := must("one", "rev-parse", "HEAD"), must("two", "rev-parse", "HEAD"); a != b {
		t.Errorf("the clones differ: %s %s", a, b)
	}
	must("one", "fsck", "--strict")

	for name, u := range map[string]string{
		"a wrong token":            url("kb", "forge_work_wrong", workRepository),
		"no token":                 server.URL + "/" + workRepository + ".git",
		"somebody else's":          url("kb", who.token, ossRepository),
		"a repository that is not": url("kb", who.token, "acme/none"),
	} {
		if out, err := git("", "ls-remote", u); err == nil {
			t.Errorf("%s was let in: %s", name, out)
		}
	}
}
