package profile

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/bmatcuk/doublestar/v4"
)

// dirMatch is how a directory condition came to hold; greater is stronger.
type dirMatch int

const (
	dirNone dirMatch = iota
	dirMain          // through the main worktree of a linked one
	dirHere          // where the agent stands
)

// dirMatcher holds directory patterns against one directory.
type dirMatcher struct {
	home  string
	here  place
	main  place // zero unless in a linked worktree
	links map[string]string
}

// place is a directory and how far up a pattern may find it.
type place struct {
	dir  string // real path
	root string // the outermost directory that stands for dir: the worktree's root, else dir
}

func newDirMatcher(q *Query, rules []Rule) *dirMatcher {
	w := &q.Workspace
	m := &dirMatcher{home: strings.TrimRight(q.Home, "/")}
	m.here = place{dir: w.Dir, root: w.Root}
	if w.Root == "" || !within(w.Dir, w.Root) {
		m.here.root = w.Dir
	} else if w.MainRoot != "" && w.MainRoot != w.Root {
		m.main = place{dir: w.MainRoot + strings.TrimPrefix(w.Dir, w.Root), root: w.MainRoot}
	}
	return m
}

func (m *dirMatcher) match(pattern string) dirMatch {
	if rest, ok := strings.CutPrefix(pattern, "~"); ok {
		if m.home == "" {
			return dirNone
		}
		pattern = m.home + rest
	}
	fixed := pattern[:literalLen(pattern)]
	if len(fixed) < len(pattern) {
		fixed = fixed[:strings.LastIndexByte(fixed, '/')+1]
	}
	glob := pattern[len(fixed):]
	fixed = strings.TrimRight(fixed, "/")
	if m.here.match(fixed, glob) {
		return dirHere
	}
	real := m.real(fixed)
	if real != fixed && m.here.match(real, glob) {
		return dirHere
	}
	if m.main.dir != "" && (m.main.match(fixed, glob) || real != fixed && m.main.match(real, glob)) {
		return dirMain
	}
	return dirNone
}

// match reports whether base/glob covers the place.
func (p place) match(base, glob string) bool {
	if !within(p.dir, base) {
		return false
	}
	for dir := p.dir; ; dir = filepath.Dir(dir) {
		if glob == "" {
			if dir == base || base == "" && dir == "/" {
				return true
			}
		} else if within(dir, base) && doublestar.MatchUnvalidated(glob, strings.TrimPrefix(dir[len(base):], "/")) {
			return true
		}
		if dir == p.root || dir == "/" || dir == "." {
			return false
		}
	}
}

// real is path without symbolic links, or path itself if it does not exist.
func (m *dirMatcher) real(path string) string {
	if path == "" {
		return ""
	}
	if r, ok := m.links[path]; ok {
		return r
	}
	r, err := filepath.EvalSymlinks(path)
	if err != nil || os.PathSeparator != '/' {
		r = path
	}
	if m.links == nil {
		m.links = make(map[string]string)
	}
	m.links[path] = r
	return r
}

// within reports whether dir is base or below it; base is without a trailing
// slash, "" for the root.
func within(dir, base string) bool {
	return strings.HasPrefix(dir, base) && (len(dir) == len(base) || dir[len(base)] == '/')
}
