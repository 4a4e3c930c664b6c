package vaultrepo

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kb/internal/atomicfile"
)

// Options say how to reach git. The zero value finds repositories above the
// vault and reads them without a git program.
type Options struct {
	// Git is the git program's absolute path. Empty means that there is none.
	Git string
	// Home is where bare dotfiles repositories have their work tree, and what
	// git is told as HOME. Empty means none.
	Home string
	// Getenv looks a variable up in the user's environment. Git is given the few
	// that say where the user's own configuration, keys and helpers are. Nil
	// means an empty environment.
	Getenv func(string) string
	// GitDir names the repository, for one that Find cannot find. Empty means
	// to look for it.
	GitDir string
	// Scratch is a private directory for quarantines. Empty means the system's
	// place for temporary files.
	Scratch string
}

// Ways in which there is no repository to work with.
var (
	// ErrNone: the vault lies in no git repository.
	ErrNone = errors.New("vault is in no git repository")
	// ErrNoGit: the git program is needed and not installed.
	ErrNoGit = errors.New("git is not installed")
	// ErrForeign: somebody else owns the repository, and so its configuration.
	ErrForeign = errors.New("repository belongs to another user")
	// ErrOutside: the repository that git_dir names has its work tree elsewhere.
	ErrOutside = errors.New("vault is not in the work tree of the repository that git_dir names")
	// ErrNotRepository: the directory that git_dir names is no repository.
	ErrNotRepository = errors.New("not a git repository")
)

// Repo is a repository that holds a vault. It is not for use by several
// goroutines. Close it.
type Repo struct {
	Root      string // work tree, a real path
	GitDir    string // of this work tree
	CommonDir string // that its worktrees share; GitDir if it has none
	Path      string // of the vault, from Root, with slashes

	o          Options
	quarantine string // made when first needed
	settings   []setting
}

// File is the vault's own path, links followed.
func (r *Repo) File() string { return filepath.Join(r.Root, filepath.FromSlash(r.Path)) }

// Words are the words after "git" by which a person's own git finds the
// repository from anywhere.
func (r *Repo) Words() []string {
	if filepath.Dir(r.GitDir) == r.Root && filepath.Base(r.GitDir) == ".git" || r.GitDir != r.CommonDir {
		return []string{"-C", r.Root}
	}
	if gitDir, ok := gitDirOf(filepath.Join(r.Root, ".git")); ok && gitDir == r.GitDir {
		return []string{"-C", r.Root} // a submodule, whose .git is a file
	}
	return []string{"--git-dir=" + r.GitDir, "--work-tree=" + r.Root}
}

// Close removes what was made for the Repo outside the repository.
func (r *Repo) Close() {
	if r.quarantine != "" {
		_ = os.RemoveAll(r.quarantine)
		r.quarantine = ""
	}
}

// Find finds the repository of the vault at path, which may be a symbolic link
// and need not exist. It costs some lstat(2) and starts nothing.
func Find(path string, o Options) (*Repo, error) {
	file, err := atomicfile.Target(path)
	if err != nil {
		return nil, fmt.Errorf("find the vault's repository: %w", err)
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return nil, fmt.Errorf("find the vault's repository: %w", err)
	}
	file = filepath.Join(dir, filepath.Base(file))
	if o.GitDir != "" {
		return named(file, o)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if gitDir, ok := gitDirOf(filepath.Join(d, ".git")); ok {
			return open(file, d, gitDir, o)
		}
		if d == filepath.Dir(d) {
			return bare(file, o)
		}
	}
}

// named opens the repository that the git_dir setting names.
func named(file string, o Options) (*Repo, error) {
	gitDir, ok := gitDirOf(o.GitDir)
	if !ok {
		if gitDir, ok = gitDirOf(filepath.Join(o.GitDir, ".git")); !ok {
			return nil, fmt.Errorf("open %q: %w", o.GitDir, ErrNotRepository)
		}
	}
	for _, root := range []string{coreWorktree(gitDir), filepath.Dir(gitDir), o.Home} {
		if root == "" || root == filepath.Dir(gitDir) && filepath.Base(gitDir) != ".git" {
			continue
		}
		if r, err := open(file, root, gitDir, o); !errors.Is(err, ErrOutside) {
			return r, err
		}
	}
	return nil, fmt.Errorf("open %q: %w", o.GitDir, ErrOutside)
}

// bareNames are where repositories with the home directory as work tree are
// usually made: yadm's default, and the recipes for a bare dotfiles repository.
var bareNames = []string{".local/share/yadm/repo.git", ".dotfiles", ".dotfiles.git", ".cfg"}

// bare finds a bare repository whose work tree is the home directory, by its
// index: it must have the vault.
func bare(file string, o Options) (*Repo, error) {
	none := fmt.Errorf("find the repository of %q: %w", file, ErrNone)
	if o.Home == "" {
		return nil, none
	}
	names := make([]string, 0, len(bareNames)+1)
	if data := o.getenv("XDG_DATA_HOME"); filepath.IsAbs(data) {
		names = append(names, filepath.Join(data, "yadm", "repo.git"))
	}
	for _, name := range bareNames {
		names = append(names, filepath.Join(o.Home, filepath.FromSlash(name)))
	}
	for _, name := range names {
		gitDir, ok := gitDirOf(name)
		if !ok {
			continue
		}
		r, err := open(file, o.Home, gitDir, o)
		if err != nil {
			continue
		}
		if s, ok := r.readIndex(); ok && s.Tracked() {
			return r, nil
		}
	}
	return nil, none
}

func open(file, root, gitDir string, o Options) (*Repo, error) {
	root, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fmt.Errorf("open repository: %w", err)
	}
	rel, err := filepath.Rel(root, file)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return nil, fmt.Errorf("open %q: %w", gitDir, ErrOutside)
	}
	r := &Repo{Root: root, GitDir: gitDir, CommonDir: gitDir, Path: filepath.ToSlash(rel), o: o}
	if text, err := readSmall(filepath.Join(gitDir, "commondir")); err == nil {
		common := strings.TrimRight(text, "\n")
		if !filepath.IsAbs(common) {
			common = filepath.Join(gitDir, common)
		}
		r.CommonDir = filepath.Clean(common)
	}
	// As git's safe.directory: what another user owns is configured by them.
	for _, dir := range []string{r.GitDir, r.CommonDir} {
		fi, err := os.Stat(dir)
		if err != nil {
			return nil, fmt.Errorf("open repository: %w", err)
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
			return nil, fmt.Errorf("open %q: %w", dir, ErrForeign)
		}
	}
	return r, nil
}

// gitDirOf returns the git directory that path is, or that the .git file at
// path names (gitrepository-layout(5)).
func gitDirOf(path string) (string, bool) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", false
	}
	if fi.Mode().IsRegular() {
		text, err := readSmall(path)
		to, ok := strings.CutPrefix(text, "gitdir: ")
		if err != nil || !ok {
			return "", false
		}
		to = strings.TrimRight(to, "\r\n")
		if !filepath.IsAbs(to) {
			to = filepath.Join(filepath.Dir(path), to)
		}
		path = to
	}
	real, err := filepath.EvalSymlinks(path)
	if err != nil || !isGitDir(real) {
		return "", false
	}
	return real, true
}

// isGitDir: git's own test wants HEAD, objects and refs; those of a linked
// worktree are in its common directory.
func isGitDir(dir string) bool {
	if _, err := os.Lstat(filepath.Join(dir, "HEAD")); err != nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(dir, "commondir")); err == nil {
		return true
	}
	for _, name := range []string{"objects", "refs"} {
		if fi, err := os.Stat(filepath.Join(dir, name)); err != nil || !fi.IsDir() {
			return false
		}
	}
	return true
}

// coreWorktree is core.worktree of a git directory's own file, read without
// git: it only chooses among directories, and open checks the result.
func coreWorktree(gitDir string) string {
	settings, err := readConfigFile(filepath.Join(gitDir, "config"))
	if err != nil {
		return ""
	}
	worktree := ""
	for _, s := range settings {
		if s.key == "core.worktree" {
			worktree = s.value
		}
	}
	if worktree != "" && !filepath.IsAbs(worktree) {
		worktree = filepath.Join(gitDir, worktree)
	}
	return worktree
}

// maxSmall bounds files that hold one line, in bytes.
const maxSmall = 64 << 10

// readSmall reads a regular file of one line; a FIFO in its place would block.
func readSmall(path string) (string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxSmall {
		return "", fmt.Errorf("read %q: %w", path, ErrNotRepository)
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

func (o Options) getenv(name string) string {
	if o.Getenv == nil {
		return ""
	}
	return o.Getenv(name)
}
