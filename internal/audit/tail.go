package audit

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"time"
)

// backward is how much of a file is read at a time from its end.
const backward = 64 << 10

// Tail returns the last n events in dir that f takes, by time: what a screen
// needs of a million lines. It reads files from their ends, the newest first,
// and stops when no older file can hold one of the n. Lines that cannot be
// read are left out.
func Tail(dir string, n int, f Filter) ([]Event, error) { return last(dir, n, f, nil) }

// Before returns the last n events that f takes and that come before e, in the
// order that Tail and Before have: by time, then session, then number.
func Before(dir string, e Event, n int, f Filter) ([]Event, error) { return last(dir, n, f, &e) }

// byTime orders events: by time, those of the same moment by session and number.
func byTime(a, b *Event) int {
	return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Session, b.Session), cmp.Compare(a.Seq, b.Seq))
}

// last is Tail of what comes before an event; nil is of all.
func last(dir string, n int, f Filter, before *Event) ([]Event, error) {
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
		if f.Session != "" && file.session != f.Session || before != nil && file.started.After(before.Time) {
			continue
		}
		info, err := os.Lstat(filepath.Join(dir, file.name))
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
	sort.SliceStable(present, func(i, j int) bool { return present[i].info.ModTime().After(present[j].info.ModTime()) })
	var out []Event
	for _, file := range present {
		if len(out) == n && older(file.info, out[0].Time) || older(file.info, f.Since) {
			break
		}
		events, err := tailFile(filepath.Join(dir, file.name), n, f, before)
		if err != nil {
			return nil, err
		}
		out = append(out, events...)
		sort.SliceStable(out, func(i, j int) bool { return byTime(&out[i], &out[j]) < 0 })
		if len(out) > n {
			out = slices.Delete(out, 0, len(out)-n)
		}
	}
	return out, nil
}

// tailFile returns the last n events of one file that f takes, in its order,
// of those before an event; nil is of all.
func tailFile(path string, n int, f Filter, before *Event) ([]Event, error) {
	file, _, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	defer file.Close()
	var out []Event
	end, err := wholeLines(file)
	if err == nil && before != nil {
		end, err = linesUntil(file, end, before.Time)
	}
	if err == nil {
		err = linesBackward(file, end, func(line []byte) bool {
			var e Event
			if json.Unmarshal(line, &e) != nil {
				return true
			}
			if e.Time.Before(f.Since) {
				return false
			}
			if f.Match(&e) && (before == nil || byTime(&e, before) < 0) {
				out = append(out, e)
			}
			return len(out) < n
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read audit: %w", err)
	}
	slices.Reverse(out)
	return out, nil
}

// linesUntil is an end of a line, of the first end bytes of f, that has every
// line not after t before it and few others: a file of a million lines is not
// read to its end for a page from its middle. It takes the times in a file to
// ascend; what a clock that was set back put elsewhere may be left out.
func linesUntil(f *os.File, end int64, t time.Time) (int64, error) {
	var line []byte
	from, to := int64(0), end
	for to-from > backward {
		if line == nil {
			line = make([]byte, 2*maxLine)
		}
		middle := from + (to-from)/2
		n, err := f.ReadAt(line[:min(int64(len(line)), to-middle)], middle)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		_, rest, began := bytes.Cut(line[:n], []byte{'\n'})
		whole, _, ended := bytes.Cut(rest, []byte{'\n'})
		var e Event
		if !began || !ended || json.Unmarshal(whole, &e) != nil {
			return to, nil // what cannot be read says no time
		}
		if e.Time.After(t) {
			to = middle + int64(n-len(rest)) // the end of the line before
			continue
		}
		from = middle
	}
	return to, nil
}

// linesBackward calls fn with each line of the first end bytes of f, without its
// line break, from the last to the first, until fn returns false. Lines longer
// than maxLine are left out.
func linesBackward(f *os.File, end int64, fn func(line []byte) bool) error {
	if end == 0 {
		return nil
	}
	end-- // the last line break
	chunk := make([]byte, backward)
	var tail []byte  // bytes from the chunk's end to the end of the line being put together
	long := int64(0) // bytes of that line that were given up: it is too long
	for end > 0 && long <= maxSkip {
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
			if line := append(bytes.Clone(rest[i+1:]), tail...); long == 0 && len(line) < maxLine && !fn(line) {
				return nil
			}
			rest, tail, long = rest[:i], tail[:0], 0
		}
		if tail = append(bytes.Clone(rest), tail...); len(tail) >= maxLine {
			tail, long = tail[:0], long+int64(len(tail))
		}
	}
	if long == 0 {
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
	for end := info.Size(); end > max(0, info.Size()-maxSkip); {
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
