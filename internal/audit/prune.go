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
	slices.SortFunc(heads, compareHeads)
	var total int64
	for _, h := range heads {
		total += h.Size
	}
	var doomed []Head
	var locks []*os.File
	defer func() {
		for _, f := range locks {
			_ = f.Close()
		}
	}()
	for _, h := range heads {
		last := h.At
		if last.IsZero() {
			last = h.Started
		}
		old := r.MaxAge > 0 && now.Sub(last) > r.MaxAge
		large := r.MaxBytes > 0 && total > r.MaxBytes
		if !h.Pruned && !old && !large {
			continue
		}
		f, free, err := claim(filepath.Join(dir, h.File))
		if err != nil {
			return nil, fmt.Errorf("prune audit: %w", err)
		}
		if !free {
			continue
		}
		if f != nil {
			locks = append(locks, f)
		} else if !h.Pruned {
			continue // it is missing: that is for Verify to say
		}
		total -= h.Size
		h.Pruned = true
		doomed = append(doomed, h)
	}
	if len(doomed) == 0 {
		return nil, nil
	}
	if err := index.Seal(doomed...); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	names := make([]string, 0, len(doomed))
	for _, h := range doomed {
		if err := os.Remove(filepath.Join(dir, h.File)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("prune audit: %w", err)
		}
		names = append(names, h.File)
	}
	if err := syncDir(dir); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	if err := index.Forget(names...); err != nil {
		return nil, fmt.Errorf("prune audit: %w", err)
	}
	return names, nil
}

// claim locks a file that no running session writes. A file that is not there
// is free and nil.
func claim(path string) (f *os.File, free bool, err error) {
	f, err = os.Open(path)
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
