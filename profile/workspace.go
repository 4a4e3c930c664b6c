package profile

import (
	"context"

	"kb/internal/secret"
)

// Workspace is what a directory is: the repository around it, if any, and the
// remotes by which rules know it.
type Workspace struct {
	Dir       string   // real path of the directory asked about
	Root      string   // real path of the enclosing worktree (or bare repository); empty outside git
	GitDir    string   // real path of the worktree's own git directory; empty outside git
	CommonDir string   // real path of the repository's common directory; the key of a pin
	MainRoot  string   // for a linked worktree: the main worktree's root; else equal to Root
	Branch    string   // current branch without refs/heads/, also when unborn; empty when HEAD is detached
	Bare      bool     // the repository has no worktree; Root is then the repository itself
	Remotes   []Remote // in the order of git's configuration; empty when the repository is ignored
	Primary   string   // name of the primary remote; empty when there is none
	Note      string   // why the repository was ignored ("owned by another user"), for kb which
}

// Remote returns the remote called name and whether there is one.
func (w *Workspace) Remote(name string) (*Remote, bool) {
	for i := range w.Remotes {
		if w.Remotes[i].Name == name {
			return &w.Remotes[i], true
		}
	}
	return nil, false
}

// Remote is one configured remote. Its text fields hold no credentials.
type Remote struct {
	Name           string // a URL (credentials stripped) when a branch names one in place of a remote
	URL            string // as configured, credentials stripped
	Resolved       string // after git's insteadOf rules
	Normal         string // normal form of URL, "" when it names no host
	NormalResolved string // normal form of Resolved, ssh host aliases looked up
	Push           string // normal form of where git pushes, when it is neither of the two
	Problem        string // why URL has no normal form, if it is malformed or a trick
	URLs           []URL  // every configured URL, in git's order: url, then pushurl
}

// Shown is what people are told of a remote: its normal form, and as configured
// where it has none.
func (r Remote) Shown() string {
	switch {
	case r.NormalResolved != "":
		return r.NormalResolved
	case r.Normal != "":
		return r.Normal
	}
	return r.URL
}

// URL is one configured url or pushurl of a remote, and what git makes of it.
type URL struct {
	// Exact is the configured text to the byte, credentials included: what an
	// insteadOf rule for exactly this URL must say, and a pushInsteadOf rule
	// too, since a user's shorter pushInsteadOf otherwise decides where a url
	// is pushed. Git takes the longest rule, and of two as long the one that it
	// read first.
	Exact secret.Value
	Text  string // Exact without credentials
	Fixed bool   // the user has such a rule for exactly this URL, which no later one overrides

	Fetch string // where git fetches, credentials stripped; empty for all but the first url
	Push  string // where git pushes, likewise; empty for a url that a pushurl replaces

	Normal      string // normal form of Exact itself, "" when it names no host
	NormalFetch string // normal form of Fetch, ssh host aliases looked up
	NormalPush  string // normal form of Push, likewise
}

// Env is the outside world as ReadWorkspace may see it.
type Env struct {
	// Git is the absolute path of the git program. Empty means that there is
	// none: the repository's files are then read as far as that goes, and
	// Workspace.Note says so.
	Git string
	// SSH is the absolute path of the ssh program, asked what host aliases
	// mean. Empty leaves aliases as they are.
	SSH string
	// Home is the user's home directory: git's and ssh's own settings are there.
	Home string
	// Environ is the environment that the agent's git will have, as os.Environ
	// gives it. Only the variables that say where git's settings are kept are
	// used (XDG_CONFIG_HOME, GIT_CONFIG_GLOBAL, GIT_CONFIG_SYSTEM,
	// GIT_CONFIG_NOSYSTEM); GIT_DIR and its like are not.
	Environ []string
}

// ReadWorkspace says what dir is. It fails when dir cannot be read; a
// repository that cannot be trusted or understood is no failure but a
// Workspace without remotes whose Note says why.
func ReadWorkspace(ctx context.Context, dir string, env Env) (Workspace, error) {
	return readWorkspace(ctx, dir, env)
}
