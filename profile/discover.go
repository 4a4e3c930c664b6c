package profile

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// layout is where a repository keeps its parts. All paths are real paths.
type layout struct {
	root      string // worktree, or the repository itself when it has none
	gitDir    string
	commonDir string
	bare      bool   // found without a worktree around it
	branch    string // "" when detached
	reftable  bool   // HEAD is not in the file HEAD: git must be asked
}

// errNotGit says that something looks like a repository and is none.
var errNotGit = errors.New("not a repository")

// maxSmall bounds the one-line files of a repository, in bytes: HEAD, .git,
// commondir hold a path at most (PATH_MAX is 4096 on Linux).
const maxSmall = 8192

// discover finds the repository around dir, a real path, as git does
// (setup.c, setup_git_directory_gently_1): the nearest directory that holds
// .git or is a repository itself, on the same file system. GIT_CEILING_DIRECTORIES
// and GIT_DISCOVERY_ACROSS_FILESYSTEM are not looked at. No process is started.
//
// It returns nil where there is none, and an error where git would stop in
// front of a broken one.
func discover(dir string) (*layout, error) {
	device, ok := deviceOf(dir)
	for ok {
		l, err := repositoryAt(dir)
		if l != nil || err != nil {
			return l, err
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			break
		}
		d, exists := deviceOf(parent)
		if !exists || d != device {
			break
		}
		dir = parent
	}
	return nil, nil
}

func deviceOf(dir string) (uint64, bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return uint64(st.Dev), true //nolint:gosec,unconvert // int32 on darwin; only compared
}

func repositoryAt(dir string) (*layout, error) {
	dotGit := filepath.Join(dir, ".git")
	fi, err := os.Stat(dotGit)
	switch {
	case err != nil:
	case fi.IsDir():
		if l := readLayout(dotGit); l != nil {
			l.root = dir
			return l, nil
		}
	case fi.Mode().IsRegular():
		text, err := readSmall(dotGit)
		if err != nil {
			return nil, errNotGit
		}
		target, ok := strings.CutPrefix(text, "gitdir: ")
		if !ok {
			return nil, errNotGit
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		l := readLayout(target)
		if l == nil {
			return nil, errNotGit
		}
		l.root = dir
		return l, nil
	default: // a FIFO, a socket: git refuses it
		return nil, errNotGit
	}
	l := readLayout(dir)
	if l == nil {
		return nil, nil
	}
	if filepath.Base(dir) == ".git" { // inside the .git of a worktree
		l.root = filepath.Dir(dir)
	} else {
		l.root, l.bare = dir, true
	}
	return l, nil
}

// readLayout reads the git directory at path, or returns nil if it is none
// (setup.c, is_git_directory).
func readLayout(path string) *layout {
	gitDir, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil
	}
	l := &layout{gitDir: gitDir, commonDir: gitDir}
	if !l.readHead() {
		return nil
	}
	if text, err := readSmall(filepath.Join(gitDir, "commondir")); err == nil {
		if !filepath.IsAbs(text) {
			text = filepath.Join(gitDir, text)
		}
		if l.commonDir, err = filepath.EvalSymlinks(text); err != nil {
			return nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if !isDir(filepath.Join(l.commonDir, "objects")) || !isDir(filepath.Join(l.commonDir, "refs")) {
		return nil
	}
	l.followBranch()
	return l
}

// readHead reads HEAD (refs/files-backend.c, path.c validate_headref).
func (l *layout) readHead() bool {
	head := filepath.Join(l.gitDir, "HEAD")
	if target, err := os.Readlink(head); err == nil {
		l.branch = strings.TrimPrefix(target, "refs/heads/")
		return strings.HasPrefix(target, "refs/")
	}
	text, err := readSmall(head)
	if err != nil {
		return false
	}
	ref, ok := strings.CutPrefix(text, "ref:")
	if !ok {
		return isObjectID(text)
	}
	ref = strings.TrimLeft(ref, " \t\n")
	if !strings.HasPrefix(ref, "refs/") {
		return false
	}
	if branch, ok := strings.CutPrefix(ref, "refs/heads/"); ok {
		l.branch = branch
	}
	// What a repository with extensions.refStorage=reftable keeps for old gits.
	if l.branch == ".invalid" {
		l.branch, l.reftable = "", true
	}
	return true
}

// followBranch follows a branch that is itself a symbolic ref. Git gives up
// after five steps (refs.c, SYMREF_MAXDEPTH).
func (l *layout) followBranch() {
	for range 5 {
		if l.branch == "" || strings.Contains(l.branch, "..") {
			return
		}
		text, err := readSmall(filepath.Join(l.commonDir, "refs/heads", l.branch))
		if err != nil {
			return
		}
		ref, ok := strings.CutPrefix(text, "ref:")
		if !ok {
			return
		}
		branch, ok := strings.CutPrefix(strings.TrimSpace(ref), "refs/heads/")
		if !ok {
			l.branch = ""
			return
		}
		l.branch = branch
	}
}

// isObjectID reports whether s starts with the hexadecimal name of an object:
// 40 digits of SHA-1 or 64 of SHA-256.
func isObjectID(s string) bool {
	n := 0
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n]|0x20 >= 'a' && s[n]|0x20 <= 'f') {
		n++
	}
	return n == 40 || n == 64
}

func isDir(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// readSmall reads a file of one line. It opens without blocking and reads
// regular files only: a FIFO in its place must not hold kb up.
func readSmall(path string) (string, error) {
	data, err := readRegular(path, maxSmall)
	return strings.TrimRight(string(data), "\r\n"), err
}

// errTooLarge says that a file is longer than it may be.
var errTooLarge = errors.New("file is too large")

// readRegular reads a regular file of at most limit bytes.
func readRegular(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, errNotGit
	}
	if fi.Size() > limit {
		return nil, errTooLarge
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = errTooLarge
	}
	return data, err
}
