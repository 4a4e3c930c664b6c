package profile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

func readWorkspace(ctx context.Context, dir string, env Env) (Workspace, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return Workspace{}, fmt.Errorf("read directory %q: %w", dir, err)
	}
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return Workspace{}, fmt.Errorf("read directory %q: %w", dir, err)
	}
	w := Workspace{Dir: real}
	if !isDir(real) {
		return w, fmt.Errorf("read directory %q: not a directory", dir)
	}
	l, err := discover(real)
	if err != nil {
		w.Note = ".git around " + real + " is no repository"
		return w, nil
	}
	if l == nil {
		return w, ctx.Err()
	}
	w.Root, w.GitDir, w.CommonDir, w.Bare, w.Branch = l.root, l.gitDir, l.commonDir, l.bare, l.branch
	w.MainRoot = mainRoot(l, "")
	settings, err := effectiveConfig(ctx, l, env, &w)
	var c *configuration
	if err == nil {
		c, err = readConfiguration(settings)
	}
	if err != nil {
		if ctx.Err() != nil {
			return w, ctx.Err()
		}
		w.Note = "repository ignored: " + err.Error()
		return w, nil
	}
	if l.reftable {
		w.Branch = askBranch(ctx, l, env)
	}
	w.MainRoot = mainRoot(l, c.worktree)
	w.Primary = c.primary(w.Branch)
	w.Remotes = c.build(ctx, env, &w.Primary)
	return w, ctx.Err()
}

// effectiveConfig is git's answer, or what kb reads itself without a git.
func effectiveConfig(ctx context.Context, l *layout, env Env, w *Workspace) ([]setting, error) {
	if env.Git == "" {
		settings, note, err := readConfigFiles(l, env)
		w.Note = note
		return settings, err
	}
	if !filepath.IsAbs(env.Git) {
		return nil, errors.New("the git program has no absolute path")
	}
	return gitConfig(ctx, l, env)
}

// askBranch asks git where HEAD is in a repository that keeps it in a table.
func askBranch(ctx context.Context, l *layout, env Env) string {
	if env.Git == "" {
		return ""
	}
	out, err := runBounded(ctx, l.root, gitEnviron(l, env), maxSmall, env.Git, "symbolic-ref", "-q", "HEAD")
	if err != nil {
		return ""
	}
	branch, ok := strings.CutPrefix(strings.TrimRight(string(out), "\n"), "refs/heads/")
	if !ok {
		return ""
	}
	return branch
}

// mainRoot is the worktree that a linked one belongs to: the directory around
// .git, the repository itself if that has none, or what core.worktree says (a
// submodule's repository lies within its superproject's).
func mainRoot(l *layout, worktree string) string {
	if l.gitDir == l.commonDir {
		return l.root
	}
	if worktree != "" {
		if !filepath.IsAbs(worktree) {
			worktree = filepath.Join(l.commonDir, worktree)
		}
		if real, err := filepath.EvalSymlinks(worktree); err == nil {
			return real
		}
	}
	if filepath.Base(l.commonDir) == ".git" {
		return filepath.Dir(l.commonDir)
	}
	return l.commonDir
}

// build makes the remotes of a workspace: the configured ones, and one for a
// primary that a branch names by URL.
func (c *configuration) build(ctx context.Context, env Env, primary *string) []Remote {
	sets := slices.Clone(c.remotes)
	if *primary != "" && c.remote(*primary) == nil {
		sets = append(sets, &remoteSettings{name: *primary, urls: []string{*primary}})
		*primary = stripCredentials(*primary)
	}
	remotes := make([]Remote, 0, len(sets))
	for _, set := range sets {
		r := Remote{Name: stripCredentials(set.name), URLs: c.resolveURLs(set)}
		if len(set.urls) > 0 {
			if _, err := NormalRemote(set.urls[0]); err != nil && !errors.Is(err, ErrNoHost) {
				r.Problem = err.Error()
			}
		}
		remotes = append(remotes, r)
	}
	lookUp := normaliser(ctx, env, remotes, *primary)
	for i := range remotes {
		remotes[i].finish(lookUp)
	}
	return remotes
}

// normaliser asks ssh about the aliases among all URLs at once, the primary
// remote's first, and returns the function that gives a URL's normal form.
func normaliser(ctx context.Context, env Env, remotes []Remote, primary string) func(url string) string {
	var names *sshNames
	var targets []sshTarget
	collect := func(r *Remote) {
		for _, u := range r.URLs {
			for _, url := range [...]string{u.Fetch, u.Push} {
				l, err := parseLocation(url)
				if err != nil || l.scheme != "ssh" || foldsCase(l.host) || len(targets) == maxAliases {
					continue
				}
				if names == nil {
					names = newSSHNames(env)
				}
				t := sshTarget{user: l.user, host: l.host, port: l.port}
				if names.asks(l.host) && !slices.Contains(targets, t) {
					targets = append(targets, t)
				}
			}
		}
	}
	for i := range remotes {
		if remotes[i].Name == primary {
			collect(&remotes[i])
		}
	}
	for i := range remotes {
		collect(&remotes[i])
	}
	var answers map[sshTarget]sshTarget
	if len(targets) > 0 {
		answers = names.resolve(ctx, targets)
	}
	return func(url string) string {
		l, err := parseLocation(url)
		if err != nil {
			return ""
		}
		if a, ok := answers[sshTarget{user: l.user, host: l.host, port: l.port}]; ok && l.scheme == "ssh" {
			l.host, l.port = a.host, a.port
		}
		n, err := l.normal()
		if err != nil {
			return ""
		}
		return n.String()
	}
}

// finish fills in a remote's summary from its URLs, and takes the credentials
// out of what was resolved.
func (r *Remote) finish(normal func(string) string) {
	for i := range r.URLs {
		u := &r.URLs[i]
		u.NormalFetch, u.NormalPush = normal(u.Fetch), normal(u.Push)
		u.Fetch, u.Push = stripCredentials(u.Fetch), stripCredentials(u.Push)
	}
	first := r.URLs[0]
	r.URL, r.Resolved, r.Normal, r.NormalResolved = first.Text, first.Fetch, first.Normal, first.NormalFetch
	for _, u := range r.URLs {
		if u.NormalPush != "" {
			if u.NormalPush != r.Normal && u.NormalPush != r.NormalResolved {
				r.Push = u.NormalPush
			}
			break
		}
	}
}
