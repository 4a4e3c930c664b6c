package audit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	// DefaultMaxAge keeps a quarter of a year, which is what an incident is
	// usually traced through.
	DefaultMaxAge = 90 * 24 * time.Hour
	// DefaultMaxBytes: some 3 million lines.
	DefaultMaxBytes = 1 << 30
	// unsealedGrace: a file that was never sealed may be that of a session which
	// is starting this moment and has not locked it yet.
	unsealedGrace = time.Hour
)

// Retention says which files Prune removes. A zero field sets no bound.
type Retention struct {
	MaxAge   time.Duration // since a file's last line
	MaxBytes int64         // of all files; the oldest go first
}

// Prune removes whole files that r no longer keeps, oldest first, and returns
// their names. The index is told before a file goes, so that Verify takes it
// neither for a missing one nor, if prune is killed half-way, for a strange
// one. The file that a running session writes is never removed, and neither
// is a file that the index does not know.
//
// Ages and sizes are those that were sealed, not what the directory says: a
// process that can touch the files cannot age them.
func Prune(dir string, index Index, r Retention, now time.Time) ([]string, error) {
	heads, err := index.Heads()
	if err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	claimed := map[string]*os.File{} // by file; nil for one that is gone already
	defer func() {
		for _, f := range claimed {
			_ = f.Close()
		}
	}()
	sortHeads(heads)
	var total int64
	for _, h := range heads {
		total += h.Size
	}
	for _, h := range heads {
		if !h.Pruned && r.keeps(h, total, now) {
			continue
		}
		f, free, err := claim(filepath.Join(dir, h.File))
		if err != nil {
			return nil, fmt.Errorf("prune audit: %w", err)
		}
		if free && (f != nil || h.Pruned) { // one that is merely missing is for Verify to say
			claimed[h.File] = f
			total -= h.Size
		}
	}
	// Read again, for what the sessions that ended meanwhile have sealed: none
	// that is claimed now can seal any more.
	if heads, err = index.Heads(); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	var doomed []Head
	var names []string
	for _, h := range heads {
		if _, ok := claimed[h.File]; ok {
			h.Pruned = true
			doomed, names = append(doomed, h), append(names, h.File)
		}
	}
	if len(doomed) == 0 {
		return nil, nil
	}
	slices.Sort(names)
	if err := index.Seal(doomed...); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	for _, name := range names {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("prune audit: %w", err)
		}
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	if err := index.Forget(names...); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	return names, nil
}

// keeps reports whether a file stays, while all that are left have total bytes.
func (r Retention) keeps(h Head, total int64, now time.Time) bool {
	last := h.At
	if last.IsZero() {
		last = h.Started
	}
	age := now.Sub(last)
	if h.Count == 0 && age < unsealedGrace {
		return true
	}
	return (r.MaxAge <= 0 || age <= r.MaxAge) && (r.MaxBytes <= 0 || total <= r.MaxBytes)
}

// claim locks a file that no running session writes. A file that is not there
// is free and nil.
func claim(path string) (f *os.File, free bool, err error) {
	f, _, err = openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	err = flock(f, syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return f, true, nil
	}
	_ = f.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, false, nil
	}
	return nil, false, err
}
