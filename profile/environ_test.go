package profile

import (
	"context"
	"slices"
	"testing"
)

// The user's own settings are where the variables say that they are, for git
// and for kb; without a home none are read from wherever kb happens to run.
func TestWhereSettingsAre(t *testing.T) {
	g := newGitHome(t)
	g.repo("r", "acme:api")
	text := "[url \"git@github.com:acme/\"]\n\tinsteadOf = acme:\n"
	g.write("xdg/git/config", text)
	g.write("elsewhere", text)
	g.write("cwd/.gitconfig", text)
	g.write("cwd/.config/git/config", text)
	t.Chdir(g.path("cwd"))
	for name, c := range map[string]struct {
		home    string
		environ []string
		found   bool
	}{
		"nowhere":                      {home: g.home},
		"XDG_CONFIG_HOME":              {home: g.home, environ: []string{"XDG_CONFIG_HOME=" + g.path("xdg")}, found: true},
		"GIT_CONFIG_GLOBAL":            {home: g.home, environ: []string{"GIT_CONFIG_GLOBAL=" + g.path("elsewhere")}, found: true},
		"home":                         {home: g.path("cwd"), found: true},
		"no home":                      {},
		"no home, but the directory's": {environ: []string{"HOME=" + g.path("cwd")}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, git := range []string{g.git, ""} {
				env := Env{Git: git, Home: c.home, Environ: slices.Concat([]string{"GIT_CONFIG_NOSYSTEM=1"}, c.environ)}
				w, err := ReadWorkspace(context.Background(), g.path("r"), env)
				if err != nil {
					t.Fatal(err)
				}
				if _, normal := primary(w); (normal == "github.com/acme/api") != c.found {
					t.Errorf("with git %q: normal form %q, found should be %v (%s)", git, normal, c.found, w.Note)
				}
			}
		})
	}
}

// A user who told git not to trust bare repositories told kb too.
func TestSafeBareRepository(t *testing.T) {
	g := newGitHome(t)
	g.run("", "init", "-q", "--bare", g.path("r.git"))
	g.run("r.git", "remote", "add", "origin", acmeAPI)
	if _, normal := primary(g.read("r.git")); normal != "github.com/acme/api" {
		t.Fatalf("control: normal form %q", normal)
	}
	g.run("", "config", "--global", "safe.bareRepository", "explicit")
	if w := g.read("r.git"); len(w.Remotes) != 0 || w.Note == "" {
		t.Errorf("got %+v", w)
	}
}
