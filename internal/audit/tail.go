package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// backward is how much of a file is read at a time from its end.
const backward = 64 << 10

// Tail returns the last n events in dir that f takes, by time: what a screen
// needs of a million lines. It reads files from their ends, the newest first,
// and stops when no older file can hold one of the n. Lines that cannot be
// read are left out.
func Tail(dir string, n int, f Filter) ([]Event, error) {
	files, err := listFiles(dir)
	if err != nil || n <= 0 {
		return nil, err
	}
	type dated struct {
		logFile
		info os.FileInfo
	}
	var present []dated
	for _, file := range files {
		if f.Session != "" && file.session != f.Session {
			continue
		}
		info, err := os.Stat(filepath.Join(dir, file.name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read audit: %w", err)
		}
		present = append(present, dated{file, info})
	}
	// By last write: a file written last before the oldest of n found events
	// has none that is newer.
	slices.SortStableFunc(present, func(a, b dated) int { return b.info.ModTime().Compare(a.info.ModTime()) })
	var out []Event
	for _, file := range present {
		if len(out) == n && older(file.info, out[0].Time) || older(file.info, f.Since) {
			break
		}
		events, err := tailFile(filepath.Join(dir, file.name), n, f)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
		slices.SortStableFunc(out, func(a, b Event) int { return a.Time.Compare(b.Time) })
		if len(out) > n {
			out = slices.Delete(out, 0, len(out)-n)
		}
	}
	return out, nil
}

// tailFile returns the last n events of one file that f takes, in its order.
func tailFile(path string, n int, f Filter) ([]Event, error) {
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	defer file.Close()
	var out []Event
	err = linesBackward(file, func(line []byte) bool {
		var e Event
		if json.Unmarshal(line, &e) != nil {
			return true
		}
		if e.Time.Before(f.Since) {
			return false
		}
		if f.Match(&e) {
			out = append(out, e)
		}
		return len(out) < n
	})
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	slices.Reverse(out)
	return out, nil
}

// linesBackward calls fn with each complete line of f, without its line break,
// from the last to the first, until fn returns false. Lines longer than
// maxLine are left out.
func linesBackward(f *os.File, fn func(line []byte) bool) error {
	end, err := wholeLines(f)
	if err != nil || end == 0 {
		return err
	}
	end-- // the last line break
	chunk := make([]byte, backward)
	var tail []byte // bytes from the chunk's end to the end of the line being put together
	long := false   // that line is too long
	for end > 0 {
		n := min(end, int64(len(chunk)))
		if _, err := f.ReadAt(chunk[:n], end-n); err != nil {
			return err
		}
		end -= n
		rest := chunk[:n]
		for {
			i := bytes.LastIndexByte(rest, '\n')
			if i < 0 {
				break
			}
			if line := append(bytes.Clone(rest[i+1:]), tail...); !long && len(line) < maxLine && !fn(line) {
				return nil
			}
			rest, tail, long = rest[:i], tail[:0], false
		}
		if tail = append(bytes.Clone(rest), tail...); len(tail) >= maxLine {
			tail, long = tail[:0], true
		}
	}
	if !long {
		fn(tail)
	}
	return nil
}

// wholeLines returns how many bytes of f make complete lines.
func wholeLines(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	chunk := make([]byte, backward)
	for end := info.Size(); end > 0; {
		n := min(end, int64(len(chunk)))
		if _, err := f.ReadAt(chunk[:n], end-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(chunk[:n], '\n'); i >= 0 {
			return end - n + int64(i) + 1, nil
		}
		end -= n
	}
	return 0, nil
}
