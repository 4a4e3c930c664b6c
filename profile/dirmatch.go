package profile

import (
	"os"
	"path/filepath"
	"strings"
	"unicode/utf8"

	"github.com/bmatcuk/doublestar/v4"
)

// dirMatch is how a directory condition came to hold; greater is stronger.
type dirMatch int

const (
	dirNone dirMatch = iota
	dirMain          // through the main worktree of a linked one
	dirHere          // where the agent stands
)

// dirHold is the outcome for one pattern.
type dirHold struct {
	how    dirMatch
	weight weight // of the real path that the pattern's fixed part leads to, and of the rest
}

// dirMatcher holds directory patterns against one directory. With thousands of
// patterns it touches the disk a few times: patterns are grouped by the parent
// of their fixed part, and only symbolic links among its children are followed.
type dirMatcher struct {
	home   string // "" for the root
	noHome bool   // ~ means nothing
	here   place
	main   place // zero unless in a linked worktree

	groups map[string]*dirGroup // by parent as written
	latest string               // the group asked for last, which is often the next
	group  *dirGroup
}

// place is a directory and how far up a pattern may find it.
type place struct {
	dir  string // real path
	root string // the outermost directory that stands for dir: the worktree's root, else dir
}

// dirGroup is what is known about one parent of patterns.
type dirGroup struct {
	real   string            // its real path, or as written if it does not exist; "" for /
	links  map[string]string // child -> real path, of symbolic links among the children
	seen   map[string]bool   // children looked at one by one
	listed bool              // links is complete
}

const (
	// fewChildren is how many children of a directory are looked at one by
	// one before the directory is read whole, which costs as much as ten.
	fewChildren = 16
	// manyEntries is the size from which a directory is not read whole.
	manyEntries = 4096
)

func newDirMatcher(q *Query) *dirMatcher {
	w := &q.Workspace
	m := &dirMatcher{home: strings.TrimRight(q.Home, "/"), noHome: q.Home == "", groups: make(map[string]*dirGroup)}
	m.here = place{dir: w.Dir, root: w.Root}
	if w.Root == "" || !within(w.Dir, w.Root) {
		m.here.root = w.Dir
	} else if w.MainRoot != "" && w.MainRoot != w.Root {
		m.main = place{dir: w.MainRoot + strings.TrimPrefix(w.Dir, w.Root), root: w.MainRoot}
	}
	return m
}

func (m *dirMatcher) match(pattern string) dirHold {
	if pattern[0] == '~' && m.noHome || pattern[0] != '~' && pattern[0] != '/' || m.here.dir == "" {
		return dirHold{}
	}
	n := literalLen(pattern)
	glob := pattern[n:]
	if glob != "" {
		n = strings.LastIndexByte(pattern[:n], '/') + 1
		glob = pattern[n:]
	}
	fixed := strings.TrimRight(pattern[:n], "/")
	slash := strings.LastIndexByte(fixed, '/')
	if slash < 0 { // "~" or ""
		return m.matchBase(m.parent(fixed).real, glob)
	}
	parent, child := fixed[:slash], fixed[slash+1:]
	g := m.parent(parent)
	var found dirHold
	if m.here.below(g.real, child) || m.main.below(g.real, child) {
		found = m.matchBase(g.real+"/"+child, glob)
	}
	if found.how == dirHere {
		return found
	}
	if target, ok := g.link(child); ok {
		if led := m.matchBase(target, glob); led.how > found.how {
			return led
		}
	}
	return found
}

func (m *dirMatcher) matchBase(base, glob string) dirHold {
	h := dirHold{how: dirNone}
	switch {
	case m.here.match(base, glob):
		h.how = dirHere
	case m.main.match(base, glob):
		h.how = dirMain
	default:
		return h
	}
	if glob != "" {
		h.weight = weigh("/" + glob)
	}
	h.weight.literal += utf8.RuneCountInString(base)
	return h
}

// parent returns the group of a directory as patterns write it.
func (m *dirMatcher) parent(dir string) *dirGroup {
	if m.group != nil && m.latest == dir {
		return m.group
	}
	g := m.groups[dir]
	if g == nil {
		path := dir
		if rest, ok := strings.CutPrefix(dir, "~"); ok {
			path = m.home + rest
		}
		g = &dirGroup{real: realPath(path)}
		m.groups[dir] = g
	}
	m.latest, m.group = dir, g
	return g
}

// realPath is path without symbolic links, or path itself if it does not
// exist. The root is "".
func realPath(path string) string {
	if path == "" {
		return ""
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return strings.TrimRight(path, "/")
}

// link returns where child leads if it is a symbolic link.
func (g *dirGroup) link(child string) (string, bool) {
	if g.links == nil {
		g.links, g.seen = make(map[string]string), make(map[string]bool)
	}
	if !g.listed && !g.seen[child] {
		switch {
		case len(g.seen) == fewChildren:
			g.list()
		}
		if !g.listed {
			g.seen[child] = true
			path := g.real + "/" + child
			if fi, err := os.Lstat(path); err == nil && fi.Mode()&os.ModeSymlink != 0 {
				g.links[child] = realPath(path)
			}
		}
	}
	target, ok := g.links[child]
	return target, ok
}

// list reads the directory whole, unless it is very large.
func (g *dirGroup) list() {
	f, err := os.Open(g.real + "/")
	if err != nil {
		g.listed = os.IsNotExist(err) // then there are no children either
		return
	}
	defer func() { _ = f.Close() }()
	entries, err := f.ReadDir(manyEntries)
	if err != nil && len(entries) == 0 || len(entries) == manyEntries {
		return
	}
	for _, e := range entries {
		if e.Type()&os.ModeSymlink != 0 {
			g.links[e.Name()] = realPath(g.real + "/" + e.Name())
		}
	}
	g.listed = true
}

// below reports whether the place is base/child or below it.
func (p place) below(base, child string) bool {
	if len(p.dir) <= len(base) || p.dir[len(base)] != '/' || !strings.HasPrefix(p.dir, base) {
		return false
	}
	return within(p.dir[len(base)+1:], child)
}

// match reports whether base/glob covers the place.
func (p place) match(base, glob string) bool {
	if p.dir == "" {
		return false
	}
	for dir := p.dir; ; dir = filepath.Dir(dir) {
		switch {
		case !within(dir, base):
			return false
		case glob == "":
			if dir == base || base == "" && dir == "/" {
				return true
			}
		case doublestar.MatchUnvalidated(glob, strings.TrimPrefix(dir[len(base):], "/")):
			return true
		}
		if dir == p.root || dir == "/" || dir == "." {
			return false
		}
	}
}

// within reports whether dir is base or below it; base is without a trailing
// slash, "" for the root.
func within(dir, base string) bool {
	return strings.HasPrefix(dir, base) && (len(dir) == len(base) || dir[len(base)] == '/')
}
