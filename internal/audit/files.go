package audit

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// startedLayout is a session's start in a file's name, in UTC.
	startedLayout = "20060102T150405Z"
	suffix        = ".jsonl"
	maxSession    = 64 // characters of a session's name
)

// fileName is the name of a session's part.
func fileName(started time.Time, session string, part int) string {
	name := started.UTC().Format(startedLayout) + "-" + session
	if part > 1 {
		name += fmt.Sprintf(".%04d", part)
	}
	return name + suffix
}

// logFile is what a file's name says.
type logFile struct {
	name    string
	started time.Time
	session string
	part    int
}

// parseName reads the name of an audit file; ok is false for any other file.
func parseName(name string) (f logFile, ok bool) {
	rest, found := strings.CutSuffix(name, suffix)
	if !found || len(rest) < len(startedLayout)+2 || rest[len(startedLayout)] != '-' {
		return f, false
	}
	started, err := time.Parse(startedLayout, rest[:len(startedLayout)])
	if err != nil {
		return f, false
	}
	session, num, parted := strings.Cut(rest[len(startedLayout)+1:], ".")
	part := 1
	if parted {
		if part, err = strconv.Atoi(num); err != nil || part < 2 {
			return f, false
		}
	}
	f = logFile{name: name, started: started, session: session, part: part}
	if checkSession(session) != nil || fileName(started, session, part) != name {
		return logFile{}, false
	}
	return f, true
}

// checkSession refuses a session name that cannot be part of a file's name.
func checkSession(s string) error {
	if s == "" || len(s) > maxSession {
		return fmt.Errorf("open audit: session name %q has %d characters, want 1 to %d", s, len(s), maxSession)
	}
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-' && i > 0 {
			continue
		}
		return fmt.Errorf("open audit: session name %q may hold letters, digits, - and _ only", s)
	}
	return nil
}

// openFile opens an audit file to be read. A pipe, a link or a folder under its
// name, which any process of this user can put there, is no file of kb's: it is as
// good as not there (fs.ErrNotExist), and nobody waits for who writes into it.
func openFile(path string) (*os.File, fs.FileInfo, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) { // a link, a socket
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = f.Close()
		return nil, nil, err
	}
	return f, info, nil
}

// listFiles returns the audit files of dir by start, session and part. A
// directory that does not exist has none.
func listFiles(dir string) ([]logFile, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list audit: %w", err)
	}
	var out []logFile
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if f, ok := parseName(e.Name()); ok && e.Type().IsRegular() {
			out = append(out, f)
			seen[f.name] = true
		}
	}
	// A directory that changes while it is read may give a part and not the
	// one that was there before it.
	for _, f := range out {
		for f.part > 1 {
			f.part--
			f.name = fileName(f.started, f.session, f.part)
			if seen[f.name] {
				break
			}
			if info, err := os.Lstat(filepath.Join(dir, f.name)); err != nil || !info.Mode().IsRegular() {
				break
			}
			seen[f.name] = true
			out = append(out, f)
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := &out[i], &out[j]
		return cmp.Or(a.started.Compare(b.started), strings.Compare(a.session, b.session), a.part-b.part) < 0
	})
	return out, nil
}

// makeDir makes sure that dir is there and that nobody else may look into it.
func makeDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("open audit: %w", err)
	}
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("open audit: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("open audit: %q is no directory", dir)
	}
	if info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("open audit: %w", err)
		}
	}
	return nil
}
