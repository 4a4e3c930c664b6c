package vaultrepo

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// world is a home directory with real git in it, away from the machine's own
// settings.
type world struct {
	*testing.T
	git  string
	home string // a real path
}

func newWorld(t *testing.T) *world {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		t.Skip("skipped: no git program")
	}
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t, git, home}
	w.write(".gitconfig", "[user]\n\tname = Ada\n\temail = ada@example.com\n[init]\n\tdefaultBranch = main\n"+
		"[protocol \"file\"]\n\tallow = always\n[advice]\n\tdetachedHead = false\n")
	return w
}

func (w *world) options() Options {
	return Options{
		Git: w.git, Home: w.home, Scratch: w.path("scratch"),
		Getenv: func(name string) string {
			switch name {
			case "GIT_CONFIG_NOSYSTEM":
				return "1"
			case "PATH":
				return os.Getenv("PATH")
			}
			return ""
		},
	}
}

func (w *world) path(rel string) string {
	if filepath.IsAbs(rel) {
		return rel
	}
	return filepath.Join(w.home, rel)
}

func (w *world) write(rel, text string) {
	w.Helper()
	if err := os.MkdirAll(filepath.Dir(w.path(rel)), 0o700); err != nil {
		w.Fatal(err)
	}
	if err := os.WriteFile(w.path(rel), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

func (w *world) read(rel string) string {
	w.Helper()
	b, err := os.ReadFile(w.path(rel))
	if err != nil {
		w.Fatal(err)
	}
	return string(b)
}

// try runs git as the user would.
func (w *world) try(dir string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, w.git, args...)
	cmd.Dir = w.path(dir)
	cmd.Env = []string{"HOME=" + w.home, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C", "GIT_EDITOR=true"}
	out, err := cmd.CombinedOutput()
	return strings.TrimSuffix(string(out), "\n"), err
}

func (w *world) run(dir string, args ...string) string {
	w.Helper()
	out, err := w.try(dir, args...)
	if err != nil {
		w.Fatalf("git %q in %s: %v\n%s", args, dir, err, out)
	}
	return out
}

// repo makes a repository with a vault in it, committed.
func (w *world) repo(rel string, options ...string) {
	w.Helper()
	w.run("", append(append([]string{"init", "-q"}, options...), w.path(rel))...)
	w.write(rel+"/kb/vault.age", "one\n")
	w.write(rel+"/.bashrc", "a\nb\nc\nd\ne\n")
	w.run(rel, "add", "-A")
	w.run(rel, "commit", "-q", "-m", "one")
}

// pair makes two clones, laptop and desk, of one bare repository.
func (w *world) pair() {
	w.Helper()
	w.repo("laptop")
	w.run("", "clone", "-q", "--bare", "laptop", "origin.git")
	w.run("laptop", "remote", "add", "origin", w.path("origin.git"))
	w.run("laptop", "fetch", "-q")
	w.run("laptop", "branch", "-q", "-u", "origin/main")
	w.run("", "clone", "-q", "origin.git", "desk")
}

func (w *world) find(vault string) *Repo {
	w.Helper()
	return w.findWith(vault, w.options())
}

func (w *world) findWith(vault string, o Options) *Repo {
	w.Helper()
	r, err := Find(w.path(vault), o)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(r.Close)
	return r
}

// commitAll commits what changed under dir as the user would.
func (w *world) commitAll(dir, message string) {
	w.Helper()
	w.run(dir, "add", "-A")
	w.run(dir, "commit", "-q", "-m", message)
}
