package profile

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// gitHome is a home directory with real git in it, away from the machine's own
// settings. Its paths are real paths.
type gitHome struct {
	tb   testing.TB
	git  string
	home string
}

func newGitHome(tb testing.TB) *gitHome {
	tb.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		tb.Skip("skipped: no git program")
	}
	home, err := filepath.EvalSymlinks(tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	g := &gitHome{tb: tb, git: git, home: home}
	g.write(".gitconfig", "[user]\n\tname = t\n\temail = t@acme.example\n[init]\n\tdefaultBranch = main\n"+
		"[protocol \"file\"]\n\tallow = always\n")
	return g
}

func (g *gitHome) env() Env {
	return Env{Git: g.git, Home: g.home, Environ: []string{"GIT_CONFIG_NOSYSTEM=1"}}
}

// path is a path under the home directory; an absolute one stays.
func (g *gitHome) path(rel string) string {
	if filepath.IsAbs(rel) {
		return rel
	}
	return filepath.Join(g.home, rel)
}

func (g *gitHome) write(rel, text string) {
	g.tb.Helper()
	if err := os.MkdirAll(filepath.Dir(g.path(rel)), 0o700); err != nil {
		g.tb.Fatal(err)
	}
	if err := os.WriteFile(g.path(rel), []byte(text), 0o600); err != nil {
		g.tb.Fatal(err)
	}
}

// try runs git in dir as an agent's shell would.
func (g *gitHome) try(dir string, args ...string) (string, error) {
	return g.tryEnv(dir, nil, args...)
}

func (g *gitHome) tryEnv(dir string, environ []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.git, args...)
	cmd.Dir = g.path(dir)
	cmd.Env = append(environ, "HOME="+g.home, "PATH="+os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "LC_ALL=C")
	out, err := cmd.Output()
	return strings.TrimSuffix(string(out), "\n"), err
}

func (g *gitHome) run(dir string, args ...string) string {
	g.tb.Helper()
	out, err := g.try(dir, args...)
	if err != nil {
		g.tb.Fatalf("git %q in %s: %v\n%s", args, dir, err, out)
	}
	return out
}

// repo makes a repository with one commit and, unless url is "", an origin.
func (g *gitHome) repo(rel, url string, options ...string) string {
	g.tb.Helper()
	g.run("", append(append([]string{"init", "-q"}, options...), g.path(rel))...)
	g.run(rel, "commit", "-q", "--allow-empty", "-m", "one")
	if url != "" {
		g.run(rel, "remote", "add", "origin", url)
	}
	return g.path(rel)
}

func (g *gitHome) read(rel string) Workspace {
	g.tb.Helper()
	w, err := ReadWorkspace(context.Background(), g.path(rel), g.env())
	if err != nil {
		g.tb.Fatalf("ReadWorkspace(%s): %v", rel, err)
	}
	return w
}

// primary is the name and normal form of a workspace's primary remote.
func primary(w Workspace) (name, normal string) {
	r, ok := w.Remote(w.Primary)
	if !ok {
		return w.Primary, ""
	}
	return r.Name, r.NormalResolved
}

// command is a git command whose place and environment the test sets.
func (g *gitHome) command(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tb.Cleanup(cancel)
	return exec.CommandContext(ctx, g.git, args...)
}

// dump is a value as logs and --json would show it.
func dump(tb testing.TB, v any) string {
	tb.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return fmt.Sprintf("%+v %#v %s", v, v, data)
}
