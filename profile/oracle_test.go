package profile

import (
	"context"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// generator writes random configurations for one repository with a linked
// worktree: remotes, pushurls, both kinds of rewriting, branches' remotes, and
// all of it spread over the places from which git takes settings.
type generator struct {
	*gitHome
	rng   *rand.Rand
	files map[string]*strings.Builder
	plain bool // no includes: what kb can also read without git
}

var (
	genRemotes  = []string{"origin", "fork", "up.stream", "Origin", "with space", `quo"te`}
	genBranches = []string{"main", "feat/x.y", "topic"}
	genURLs     = []string{
		"git@github.com:acme/api.git", "https://github.com/acme/api", "https://me:pw@git.acme.example/acme/api", "gh:acme/api",
		"gh:me/api.git", "ssh://git@git.acme.example:2222/x", "/srv/git/x.git", "../x", "nowhere", "https://github.com/me/api.git",
		"git@github.com:me/api;x#y.git",
	}
	genBases    = []string{"git@github.com:", "https://github.com/", "ssh://git@ssh.github.com:443/", "gh:", "https://tok@git.acme.example/", "x"}
	genPrefixes = []string{"gh:", "https://github.com/", "https://github.com/acme/", "git@github.com:", "git@", "https:", "gh:acme/api", ""}
)

func pick[T any](g *generator, list []T) T { return list[g.rng.IntN(len(list))] }

// put writes one setting to a random place.
func (g *generator) put(section, name, key, value string) {
	places := []string{".gitconfig", "r/.git/config", "r/.git/config", "r/.git/config"}
	if !g.plain {
		places = append(places, "global.inc", "onbranch.inc", "gitdir.inc", "r/.git/local.inc", "r/.git/config.worktree", "r/.git/worktrees/w/config.worktree")
	}
	quote := strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace
	fmt.Fprintf(g.files[pick(g, places)], "[%s \"%s\"]\n\t%s = \"%s\"\n", section, quote(name), key, quote(value))
}

func (g *generator) generate() {
	g.files = make(map[string]*strings.Builder)
	for _, name := range []string{
		".gitconfig", "global.inc", "onbranch.inc", "gitdir.inc", "r/.git/config", "r/.git/local.inc",
		"r/.git/config.worktree", "r/.git/worktrees/w/config.worktree",
	} {
		g.files[name] = &strings.Builder{}
	}
	g.plain = g.rng.IntN(4) == 0
	g.files["r/.git/config"].WriteString("[core]\n\trepositoryformatversion = 0\n\tbare = false\n")
	if !g.plain {
		if g.rng.IntN(2) == 0 {
			g.files["r/.git/config"].WriteString("[extensions]\n\tworktreeConfig = true\n")
		}
		fmt.Fprintf(g.files[".gitconfig"], "[include]\n\tpath = global.inc\n[includeIf \"onbranch:feat/\"]\n\tpath = onbranch.inc\n"+
			"[includeIf \"gitdir:**/worktrees/\"]\n\tpath = gitdir.inc\n")
		g.files["r/.git/config"].WriteString("[include]\n\tpath = local.inc\n")
	}
	for range g.rng.IntN(5) {
		name := pick(g, genRemotes)
		for range 1 + g.rng.IntN(2) {
			g.put("remote", name, "url", pick(g, genURLs))
		}
		for range g.rng.IntN(3) {
			if g.rng.IntN(2) == 0 {
				g.put("remote", name, "pushurl", pick(g, genURLs))
			}
		}
		if g.rng.IntN(3) == 0 {
			g.put("remote", pick(g, genRemotes), "prune", "true")
		}
	}
	for range g.rng.IntN(4) {
		g.put("url", pick(g, genBases), pick(g, []string{"insteadOf", "insteadof", "INSTEADOF"}), pick(g, genPrefixes))
	}
	for range g.rng.IntN(3) {
		g.put("url", pick(g, genBases), "pushInsteadOf", pick(g, genPrefixes))
	}
	places := append(slices.Clone(genRemotes), "https://github.com/me/api.git", ".", "gone")
	for range g.rng.IntN(4) {
		g.put("branch", pick(g, genBranches), "remote", pick(g, places))
	}
	for range g.rng.IntN(3) {
		g.put("branch", pick(g, genBranches), "pushRemote", pick(g, places))
	}
	if g.rng.IntN(3) == 0 {
		fmt.Fprintf(g.files["r/.git/config"], "[remote]\n\tpushDefault = %q\n", pick(g, places))
	}
	for name, text := range g.files {
		g.write(name, text.String())
	}
	head := "ref: refs/heads/" + pick(g, []string{"main", "feat/x.y", "unborn"}) + "\n"
	if g.rng.IntN(6) == 0 {
		head = g.run("r", "rev-parse", "refs/heads/main") + "\n"
	}
	g.write("r/.git/HEAD", head)
}

// shown is a URL of git's without the only credentials that genURLs has.
func shown(url string) string {
	return strings.ReplaceAll(strings.ReplaceAll(stripCredentials(url), "me:pw", "[redacted]"), "tok@", "")
}

// usable reports whether git knows a remote of this name with a URL.
func (g *generator) usable(dir, name string) bool {
	_, err := g.try(dir, "config", "--get-all", "remote."+name+".url")
	_, perr := g.try(dir, "config", "--get-all", "remote."+name+".pushurl")
	return err == nil || perr == nil
}

// primary is the order of "Which identity", each step answered by git.
func (g *generator) primary(t *testing.T, dir, branch string) string {
	var names []string
	ask := func(key string) {
		if v, err := g.try(dir, "config", "--get", key); err == nil {
			names = append(names, v)
		}
	}
	if branch != "" {
		ask("branch." + branch + ".pushRemote")
	}
	ask("remote.pushDefault")
	if branch != "" {
		ask("branch." + branch + ".remote")
	}
	if branch != "" && branch != "unborn" { // git's own combination of the three
		first, err := g.try(dir, "for-each-ref", "--format=%(push:remotename)", "refs/heads/"+branch)
		if want := append(slices.Clone(names), "")[0]; err == nil && first != want {
			t.Errorf("test's order is wrong: git pushes to %q, not %q", first, want)
		}
	}
	for _, n := range append(names, "origin") {
		if n != "." && (g.usable(dir, n) || strings.Contains(n, "://")) {
			return n
		}
	}
	var all []string
	for name := range strings.Lines(g.run(dir, "remote")) {
		if name = strings.TrimSuffix(name, "\n"); g.usable(dir, name) {
			all = append(all, name)
		}
	}
	if len(all) == 1 {
		return all[0]
	}
	return ""
}

func (g *generator) compare(t *testing.T, dir string) Workspace {
	t.Helper()
	w := g.read(dir)
	if text := dump(t, w); strings.Contains(text, "me:pw") {
		t.Errorf("shows a password: %s", text)
	}
	if w.Note != "" {
		t.Fatalf("note %q", w.Note)
	}
	branch, _ := g.try(dir, "symbolic-ref", "-q", "--short", "HEAD")
	if w.Branch != branch {
		t.Errorf("branch %q, git says %q", w.Branch, branch)
	}
	if want := g.primary(t, dir, branch); w.Primary != want {
		t.Errorf("primary remote %q, git's settings say %q", w.Primary, want)
	}
	for _, r := range w.Remotes {
		if strings.Contains(r.Name, "://") {
			continue // not configured: a branch names it
		}
		if _, err := g.try(dir, "config", "--get", "remote."+r.Name+".url"); err != nil {
			continue // git takes the name itself for the URL
		}
		if want := shown(g.run(dir, "ls-remote", "--get-url", "--", r.Name)); r.Resolved != want {
			t.Errorf("remote %q: fetches from %q, git from %q", r.Name, r.Resolved, want)
		}
		if _, err := g.try(dir, "remote", "get-url", "--", r.Name); err != nil {
			continue // git remote knows the repository's remotes only, git fetch and push the user's too
		}
		var push, want []string
		for _, u := range r.URLs {
			if u.Push != "" {
				push = append(push, u.Push)
			}
		}
		for u := range strings.Lines(g.run(dir, "remote", "get-url", "--push", "--all", "--", r.Name)) {
			want = append(want, shown(strings.TrimSuffix(u, "\n")))
		}
		if !slices.Equal(push, want) {
			t.Errorf("remote %q: pushes to %q, git to %q", r.Name, push, want)
		}
	}
	return w
}

// override rewrites every URL of every remote by its exact text, as a broker
// does, and checks that git then goes nowhere else, except where the user has
// a rule for exactly that URL. It returns how many were rewritten and fixed.
func (g *generator) override(t *testing.T, dir string, w Workspace) (rewritten, fixed int) {
	t.Helper()
	var environ []string
	set := func(key, value string) {
		n := len(environ) / 2
		environ = append(environ, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, value))
	}
	isFixed := make(map[string]bool) // URLs that git may give although overridden
	for _, r := range w.Remotes {
		for i, u := range r.URLs {
			set(fmt.Sprintf("url.https://kb.example/%d.insteadOf", i), u.Exact.Reveal())
			set(fmt.Sprintf("url.https://kb.example/%d.pushInsteadOf", i), u.Exact.Reveal())
			if u.Fixed {
				isFixed[u.Fetch], isFixed[u.Push] = true, true
				fixed++
			}
		}
	}
	environ = append(environ, fmt.Sprintf("GIT_CONFIG_COUNT=%d", len(environ)/2))
	for _, r := range w.Remotes {
		if _, err := g.try(dir, "config", "--get", "remote."+r.Name+".url"); err != nil {
			continue
		}
		for _, args := range [][]string{{"ls-remote", "--get-url", "--", r.Name}, {"remote", "get-url", "--push", "--all", "--", r.Name}} {
			out, err := g.tryEnv(dir, environ, args...)
			if err != nil {
				continue // a remote of the user's, not the repository's
			}
			for url := range strings.Lines(out) {
				if url = shown(strings.TrimSuffix(url, "\n")); strings.HasPrefix(url, "https://kb.example/") {
					rewritten++
				} else if !isFixed[url] {
					t.Errorf("git %q says %q although every URL of %q is overridden", args, url, r.Name)
				}
			}
		}
	}
	return rewritten, fixed
}

// Whatever the configuration, kb finds the remotes, URLs and primary remote
// that git finds.
func TestAgainstGit(t *testing.T) {
	const cases = 240
	g := &generator{gitHome: newGitHome(t)}
	g.repo("r", "")
	g.run("r", "branch", "feat/x.y")
	g.run("r", "worktree", "add", "-q", "-b", "topic", g.path("w"))
	var remotes, primaries, rewritten, alone, overridden, fixed int
	for seed := range uint64(cases) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			g.tb, g.rng = t, rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // reproducible on purpose
			g.generate()
			dir := pick(g, []string{"r", "r", "w"})
			w := g.compare(t, dir)
			remotes += len(w.Remotes)
			if w.Primary != "" {
				primaries++
			}
			for _, r := range w.Remotes {
				if r.URL != r.Resolved {
					rewritten++
				}
			}
			if seed%2 == 0 {
				n, f := g.override(t, dir, w)
				overridden, fixed = overridden+n, fixed+f
			}
			if g.plain {
				alone++
				env := g.env()
				env.Git = ""
				own, err := ReadWorkspace(context.Background(), g.path(dir), env)
				own.Note = ""
				if err != nil || !reflect.DeepEqual(summary(own), summary(w)) {
					t.Errorf("without git: %v\n%+v\nwith git\n%+v", err, summary(own), summary(w))
				}
			}
			if t.Failed() {
				for name, text := range g.files {
					t.Logf("%s:\n%s", name, text)
				}
			}
		})
	}
	t.Logf("%d configurations, %d remotes (%d rewritten), %d primaries, %d read without git too, %d URLs overridden, %d fixed",
		cases, remotes, rewritten, primaries, alone, overridden, fixed)
	if overridden < cases/2 || fixed == 0 || remotes < cases || primaries < cases/2 || rewritten < cases/10 || alone < cases/10 {
		t.Error("the generator makes too little of what it is to test")
	}
}

// summary is a workspace without the pointers of its secrets.
func summary(w Workspace) Workspace {
	w.Remotes = slices.Clone(w.Remotes)
	slices.SortFunc(w.Remotes, func(a, b Remote) int { return strings.Compare(a.Name, b.Name) })
	for i := range w.Remotes {
		w.Remotes[i].URLs = nil
	}
	return w
}
