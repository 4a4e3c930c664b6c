package profile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const acmeAPI = "git@github.com:acme/api.git"

// Each case is a row of "Which identity": what git makes of a directory, kb
// must make of it too.
func TestReadWorkspace(t *testing.T) {
	type want struct {
		root, main, branch, primary, normal string // root and main below home
		bare                                bool
	}
	for name, c := range map[string]struct {
		make func(g *gitHome) (dir string)
		want want
	}{
		"no repository": {func(g *gitHome) string {
			g.write("plain/file", "")
			return "plain"
		}, want{}},
		"no remote": {func(g *gitHome) string {
			return g.repo("r", "")
		}, want{root: "r", main: "r", branch: "main"}},
		"one remote": {func(g *gitHome) string {
			return g.repo("r", acmeAPI)
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"the only remote has another name": {func(g *gitHome) string {
			g.repo("r", "")
			g.run("r", "remote", "add", "acme", acmeAPI)
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "acme", normal: "github.com/acme/api"}},
		"two remotes and no origin": {func(g *gitHome) string {
			g.repo("r", "")
			g.run("r", "remote", "add", "a", acmeAPI)
			g.run("r", "remote", "add", "b", acmeAPI)
			return "r"
		}, want{root: "r", main: "r", branch: "main"}},
		"a settings-only remote is none": {func(g *gitHome) string {
			g.repo("r", "")
			g.run("r", "remote", "add", "acme", acmeAPI)
			g.run("r", "config", "--global", "remote.origin.prune", "true")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "acme", normal: "github.com/acme/api"}},
		"a fork by pushRemote": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.main.remote", "origin")
			g.run("r", "config", "branch.main.pushRemote", "fork")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "fork", normal: "github.com/me/api"}},
		"a fork by pushDefault": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.main.remote", "origin")
			g.run("r", "config", "remote.pushDefault", "fork")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "fork", normal: "github.com/me/api"}},
		"the branch's remote before origin": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.main.remote", "fork")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "fork", normal: "github.com/me/api"}},
		"another branch's settings": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.topic.remote", "fork")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"a branch that pushes to a URL": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "config", "branch.main.pushRemote", "https://me:pw@github.com/me/api.git")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "https://github.com/me/api.git", normal: "github.com/me/api"}},
		"a branch that tracks a local one": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "config", "branch.main.remote", ".")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"linked worktree": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "worktree", "add", "-q", "-b", "topic", g.path("w/topic"))
			g.write("w/topic/sub/file", "")
			return "w/topic/sub"
		}, want{root: "w/topic", main: "r", branch: "topic", primary: "origin", normal: "github.com/acme/api"}},
		"linked worktree with its own settings": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "worktree", "add", "-q", "-b", "topic", g.path("w"))
			g.run("r", "config", "extensions.worktreeConfig", "true")
			g.run("w", "config", "--worktree", "remote.pushDefault", "fork")
			return "w"
		}, want{root: "w", main: "r", branch: "topic", primary: "fork", normal: "github.com/me/api"}},
		"worktree of a bare repository": {func(g *gitHome) string {
			g.repo("r", "")
			g.run("", "clone", "-q", "--bare", g.path("r"), g.path("p/.bare"))
			g.run("p/.bare", "remote", "set-url", "origin", acmeAPI)
			g.run("p/.bare", "worktree", "add", "-q", g.path("p/main"), "main")
			return "p/main"
		}, want{root: "p/main", main: "p/.bare", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"submodule": {func(g *gitHome) string {
			g.repo("lib", "")
			g.repo("r", acmeAPI)
			g.run("r", "submodule", "--quiet", "add", g.path("lib"), "lib")
			g.run("r/lib", "remote", "set-url", "origin", "https://github.com/acme/lib")
			return "r/lib"
		}, want{root: "r/lib", main: "r/lib", branch: "main", primary: "origin", normal: "github.com/acme/lib"}},
		"worktree of a submodule": {func(g *gitHome) string {
			g.repo("lib", "")
			g.repo("r", acmeAPI)
			g.run("r", "submodule", "--quiet", "add", g.path("lib"), "lib")
			g.run("r/lib", "worktree", "add", "-q", "-b", "topic", g.path("w"))
			return "w"
		}, want{root: "w", main: "r/lib", branch: "topic", primary: "origin"}},
		"nested repository": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			return g.repo("r/vendor/x", "https://github.com/other/x")
		}, want{root: "r/vendor/x", main: "r/vendor/x", branch: "main", primary: "origin", normal: "github.com/other/x"}},
		"a .git that is no repository does not hide the outer one": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.write("r/sub/.git/README", "")
			return "r/sub"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"symlinked directory": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.write("r/sub/file", "")
			if err := os.Symlink(g.path("r/sub"), g.path("link")); err != nil {
				g.tb.Fatal(err)
			}
			return "link"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"sparse checkout": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "sparse-checkout", "set", "a")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"partial clone": {func(g *gitHome) string {
			g.repo("r", "")
			g.run("r", "config", "uploadpack.allowFilter", "true")
			g.run("", "clone", "-q", "--filter=blob:none", "--no-local", g.path("r"), g.path("p"))
			g.run("p", "remote", "set-url", "origin", acmeAPI)
			return "p"
		}, want{root: "p", main: "p", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"sha256": {func(g *gitHome) string {
			g.repo("r", acmeAPI, "--object-format=sha256")
			g.run("r", "checkout", "-q", "--detach")
			return "r"
		}, want{root: "r", main: "r", primary: "origin", normal: "github.com/acme/api"}},
		"bare": {func(g *gitHome) string {
			g.run("", "init", "-q", "--bare", g.path("r.git"))
			g.run("r.git", "remote", "add", "origin", acmeAPI)
			return "r.git/refs/heads"
		}, want{root: "r.git", main: "r.git", branch: "main", primary: "origin", normal: "github.com/acme/api", bare: true}},
		"inside .git": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			return "r/.git/refs"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"detached HEAD": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.main.pushRemote", "fork")
			g.run("r", "checkout", "-q", "--detach")
			return "r"
		}, want{root: "r", main: "r", primary: "origin", normal: "github.com/acme/api"}},
		"unborn branch": {func(g *gitHome) string {
			g.run("", "init", "-q", "-b", "later", g.path("r"))
			g.run("r", "remote", "add", "origin", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.later.pushRemote", "fork")
			return "r"
		}, want{root: "r", main: "r", branch: "later", primary: "fork", normal: "github.com/me/api"}},
		"HEAD is a symbolic link, as git made it before 2005": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			if err := errors.Join(os.Remove(g.path("r/.git/HEAD")), os.Symlink("refs/heads/main", g.path("r/.git/HEAD"))); err != nil {
				g.tb.Fatal(err)
			}
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"a branch that is another's name": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
			g.run("r", "config", "branch.main.pushRemote", "fork")
			g.run("r", "symbolic-ref", "refs/heads/alias", "refs/heads/main")
			g.run("r", "symbolic-ref", "HEAD", "refs/heads/alias")
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "fork", normal: "github.com/me/api"}},
		"separate git directory": {func(g *gitHome) string {
			g.run("", "init", "-q", "--separate-git-dir", g.path("elsewhere.git"), g.path("r"))
			g.run("r", "remote", "add", "origin", acmeAPI)
			return "r"
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"jj, colocated": {func(g *gitHome) string {
			g.repo("r", acmeAPI)
			g.write("r/.jj/repo/store/type", "git")
			g.run("r", "checkout", "-q", "--detach") // as jj leaves it
			return "r"
		}, want{root: "r", main: "r", primary: "origin", normal: "github.com/acme/api"}},
		"hg": {func(g *gitHome) string {
			g.write("r/.hg/hgrc", "[paths]\ndefault = https://github.com/acme/api\n")
			return "r"
		}, want{}},
		"a name that is not text": {func(g *gitHome) string {
			return g.repo("a b\n\"c", acmeAPI)
		}, want{root: "a b\n\"c", main: "a b\n\"c", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"insteadOf of the user": {func(g *gitHome) string {
			g.run("", "config", "--global", "url.git@github.com:acme/.insteadOf", "acme:")
			return g.repo("r", "acme:api")
		}, want{root: "r", main: "r", branch: "main", primary: "origin", normal: "github.com/acme/api"}},
		"includeIf by directory": {func(g *gitHome) string {
			g.repo("work/r", acmeAPI)
			g.write("work.inc", "[remote]\n\tpushDefault = fork\n[remote \"fork\"]\n\turl = git@github.com:me/api.git\n")
			g.run("", "config", "--global", "includeIf.gitdir:"+g.path("work")+"/.path", g.path("work.inc"))
			return "work/r"
		}, want{root: "work/r", main: "work/r", branch: "main", primary: "fork", normal: "github.com/me/api"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGitHome(t)
			w := g.read(c.make(g))
			if w.Note != "" {
				t.Errorf("note %q", w.Note)
			}
			got := want{branch: w.Branch, bare: w.Bare}
			got.primary, got.normal = primary(w)
			got.root, got.main = strings.TrimPrefix(w.Root, g.home+"/"), strings.TrimPrefix(w.MainRoot, g.home+"/")
			if got != c.want {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
			if w.Root != "" { // and as git itself says
				common := g.run(w.Dir, "rev-parse", "--path-format=absolute", "--git-common-dir")
				if w.CommonDir != common {
					t.Errorf("common directory %q, git says %q", w.CommonDir, common)
				}
				if dir := g.run(w.Dir, "rev-parse", "--absolute-git-dir"); w.GitDir != dir {
					t.Errorf("git directory %q, git says %q", w.GitDir, dir)
				}
			}
		})
	}
}

// GIT_DIR and its like say which repository *git* works on. Whoever starts kb
// must not be able to lend a directory another repository's identity with them.
func TestReadWorkspaceIgnoresLocalVariables(t *testing.T) {
	g := newGitHome(t)
	g.repo("r", acmeAPI)
	evil := g.repo("evil", "https://github.com/evil/x")
	env := g.env()
	env.Environ = append(env.Environ, "GIT_DIR="+evil+"/.git", "GIT_WORK_TREE="+evil, "GIT_COMMON_DIR="+evil+"/.git",
		"GIT_CONFIG="+evil+"/.git/config", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=remote.pushDefault", "GIT_CONFIG_VALUE_0=evil",
		"GIT_CONFIG_PARAMETERS='remote.pushdefault=evil'", "GIT_CEILING_DIRECTORIES="+g.path("r"), "GIT_OBJECT_DIRECTORY=/nowhere")
	for _, kv := range env.Environ { // in kb's own environment too
		name, value, _ := strings.Cut(kv, "=")
		t.Setenv(name, value)
	}
	w, err := ReadWorkspace(context.Background(), g.path("r"), env)
	if err != nil {
		t.Fatal(err)
	}
	if _, normal := primary(w); normal != "github.com/acme/api" || w.Root != g.path("r") || w.Note != "" {
		t.Errorf("got %+v", w)
	}
	// The control: git, given the same environment, is taken in.
	t.Setenv("HOME", g.home)
	cmd := g.command(t, "remote", "get-url", "origin")
	cmd.Dir, cmd.Env = g.path("r"), os.Environ()
	if out, _ := cmd.Output(); strings.TrimSpace(string(out)) == acmeAPI {
		t.Error("control: GIT_DIR did not redirect git")
	}
}

// A repository of another user's could claim any remote: git leaves its
// settings out, and so does kb. safe.directory is the user's exception.
func TestReadWorkspaceOfAnotherUser(t *testing.T) {
	foreign := func(t *testing.T) (*gitHome, Env, string) {
		g := newGitHome(t)
		dir := g.repo("r", acmeAPI)
		env := g.env()
		if os.Geteuid() == 0 {
			err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
				return errors.Join(err, os.Lchown(path, 65534, 65534))
			})
			if err != nil {
				t.Fatal(err)
			}
			return g, env, dir
		}
		// git's own tests use this variable; only a wrapper can set it here
		g.write("git", "#!/bin/sh\nGIT_TEST_ASSUME_DIFFERENT_OWNER=1 exec '"+g.git+"' \"$@\"\n")
		if err := os.Chmod(g.path("git"), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
		env.Git = g.path("git")
		return g, env, dir
	}
	t.Run("ignored", func(t *testing.T) {
		_, env, dir := foreign(t)
		w, err := ReadWorkspace(context.Background(), dir, env)
		if err != nil {
			t.Fatal(err)
		}
		if len(w.Remotes) != 0 || w.Primary != "" || !strings.Contains(w.Note, "owned by another user") {
			t.Errorf("got %+v", w)
		}
		if w.Root != dir {
			t.Errorf("root %q, want %q: directory rules still apply", w.Root, dir)
		}
	})
	t.Run("safe.directory", func(t *testing.T) {
		g, env, dir := foreign(t)
		g.run("", "config", "--global", "safe.directory", dir)
		w, err := ReadWorkspace(context.Background(), dir, env)
		if err != nil {
			t.Fatal(err)
		}
		if _, normal := primary(w); normal != "github.com/acme/api" || w.Note != "" {
			t.Errorf("got %+v", w)
		}
	})
	t.Run("without git", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("skipped: giving a file to another user needs root")
		}
		_, env, dir := foreign(t)
		env.Git = ""
		w, err := ReadWorkspace(context.Background(), dir, env)
		if err != nil || len(w.Remotes) != 0 || !strings.Contains(w.Note, "owned by another user") {
			t.Errorf("got %+v, %v", w, err)
		}
	})
}

// The exact text of every URL is kept for rewriting, and no credential shows.
func TestRemoteURLs(t *testing.T) {
	g := newGitHome(t)
	g.repo("r", "https://me:canary@github.com/acme/api.git")
	g.run("r", "remote", "set-url", "--add", "--push", "origin", "https://me:canary@github.com/me/api.git")
	g.run("r", "remote", "set-url", "--add", "--push", "origin", "gh:mirror/api")
	g.run("r", "config", "url.https://canary@github.com/.insteadOf", "gh:")
	w := g.read("r")
	r, ok := w.Remote("origin")
	if !ok || len(r.URLs) != 3 {
		t.Fatalf("remotes %+v", w.Remotes)
	}
	var exact, push []string
	for _, u := range r.URLs {
		exact, push = append(exact, u.Exact.Reveal()), append(push, u.NormalPush)
	}
	wantExact := []string{"https://me:canary@github.com/acme/api.git", "https://me:canary@github.com/me/api.git", "gh:mirror/api"}
	if !slices.Equal(exact, wantExact) {
		t.Errorf("exact URLs %q, want %q", exact, wantExact)
	}
	if want := []string{"", "github.com/me/api", "github.com/mirror/api"}; !slices.Equal(push, want) {
		t.Errorf("pushes to %q, want %q", push, want)
	}
	if r.Push != "github.com/me/api" || r.Normal != "github.com/acme/api" {
		t.Errorf("push %q, normal %q", r.Push, r.Normal)
	}
	if shown := dump(t, w); strings.Contains(shown, "canary") {
		t.Errorf("shows a credential: %s", shown)
	}
}

// pushInsteadOf sends the push, and it alone, elsewhere: the rewritten place
// decides.
func TestPushInsteadOf(t *testing.T) {
	g := newGitHome(t)
	g.repo("r", "https://mirror.acme.example/acme/api.git")
	g.run("r", "config", "url.git@github.com:.pushInsteadOf", "https://mirror.acme.example/")
	w := g.read("r")
	r, _ := w.Remote("origin")
	if r == nil || r.NormalResolved != "mirror.acme.example/acme/api" || r.Push != "github.com/acme/api" {
		t.Errorf("got %+v", r)
	}
	if got, want := r.URLs[0].Push, g.run("r", "remote", "get-url", "--push", "origin"); got != want {
		t.Errorf("pushes to %q, git to %q", got, want)
	}
}

func TestReadWorkspaceErrors(t *testing.T) {
	g := newGitHome(t)
	if _, err := ReadWorkspace(context.Background(), g.path("nowhere"), g.env()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing directory: %v", err)
	}
	g.write("file", "")
	if _, err := ReadWorkspace(context.Background(), g.path("file"), g.env()); err == nil {
		t.Error("a file was taken for a directory")
	}
	g.repo("r", acmeAPI)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadWorkspace(ctx, g.path("r"), g.env()); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// Without a git program kb reads the files itself and says so.
func TestReadWorkspaceWithoutGit(t *testing.T) {
	g := newGitHome(t)
	g.run("", "config", "--global", "url.git@github.com:acme/.insteadOf", "acme:")
	g.repo("r", "acme:api")
	g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
	g.run("r", "config", "branch.main.pushRemote", "fork")
	env := g.env()
	env.Git = ""
	w, err := ReadWorkspace(context.Background(), g.path("r"), env)
	if err != nil {
		t.Fatal(err)
	}
	origin, _ := w.Remote("origin")
	if name, normal := primary(w); name != "fork" || normal != "github.com/me/api" || origin == nil || origin.NormalResolved != "github.com/acme/api" {
		t.Errorf("got %+v", w)
	}
	if !strings.Contains(w.Note, "no git program") {
		t.Errorf("note %q", w.Note)
	}
	g.write("r/.git/config", "[remote \"origin\"\nurl = git@github.com:acme/api")
	if w, err = ReadWorkspace(context.Background(), g.path("r"), env); err != nil || len(w.Remotes) != 0 {
		t.Errorf("broken file: %+v, %v", w, err)
	}
}

// A repository that keeps its refs in a table has no branch in HEAD: git is
// asked. Git before 2.45 knows no tables, so a wrapper answers for it.
func TestReftable(t *testing.T) {
	g := newGitHome(t)
	g.repo("r", acmeAPI)
	g.run("r", "remote", "add", "fork", "git@github.com:me/api.git")
	g.run("r", "config", "branch.topic.pushRemote", "fork")
	g.write("r/.git/HEAD", "ref: refs/heads/.invalid\n")
	g.write("git", "#!/bin/sh\nif [ \"$1\" = symbolic-ref ]; then echo refs/heads/topic; else exec '"+g.git+"' \"$@\"; fi\n")
	if err := os.Chmod(g.path("git"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	env := g.env()
	env.Git = g.path("git")
	w, err := ReadWorkspace(context.Background(), g.path("r"), env)
	if name, _ := primary(w); err != nil || w.Branch != "topic" || name != "fork" {
		t.Errorf("got %+v, %v", w, err)
	}
}

// A repository says whose it is by its remote, and nothing that a remote can
// be written as gets one host's identity for another's.
func TestIdentityTricks(t *testing.T) {
	rules := []Rule{{ID: "r1", Profile: "work", Remote: "github.com/acme/*"}}
	profiles := []Profile{{Name: "work"}}
	for _, c := range []struct {
		url  string
		work bool
	}{
		{"https://github.com/acme/api", true}, // the control
		{"https://github.com@evil.example/acme/api", false},
		{"https://github.com:acme@evil.example/acme/api", false},
		{"https://evil.example/github.com/acme/api", false},
		{"https://github.com.evil.example/acme/api", false},
		{"https://evil.example#@github.com/acme/api", false},
		{"https://evil.example?@github.com/acme/api", false},
		{`https://evil.example\@github.com/acme/api`, false},
		{"git@github.com@evil.example:acme/api", false},
		{"git@evil.example:github.com/acme/api", false},
		{"git@github.com:evil/../acme/api", false},
		{"https://github.com/evil/%2e%2e/acme/api", false},
		{"ssh://git@evil.example%2F@github.com/acme/api", false},
		{"ssh://-oProxyCommand=x@github.com/../acme/api", false},
		{"https://github.com:8443/acme/api", false},
		{"ext::ssh github.com acme/api", false},
		{"file://github.com/acme/api", false},
		{"./github.com:acme/api", false},
		{"https://github.com/acme/api/../../evil/x", false},
		{"https://gıthub.com/acme/api", false},
	} {
		g := newGitHome(t)
		g.repo("r", "")
		g.run("r", "config", "remote.origin.url", c.url)
		w := g.read("r")
		m, err := Resolve(Query{Workspace: w, Home: g.home}, profiles, rules)
		if got := m.Profile == "work"; got != c.work {
			t.Errorf("%s: work is %v, want %v (%s, %v)", c.url, got, c.work, m.Reason, err)
		}
		if !c.work && !errors.Is(err, ErrNoMatch) {
			t.Errorf("%s: %v", c.url, err)
		}
	}
}
