package audit

import (
	"bufio"
	"container/heap"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Filter selects events. The zero Filter takes all.
type Filter struct {
	Since   time.Time // not before; zero means from the beginning
	Profile string    // NAME also means VAULT/NAME of whatever vault; empty means any
	Session string    // exactly; empty means any
	Denied  bool      // refusals only
}

// Match reports whether f takes e.
func (f *Filter) Match(e *Event) bool {
	return !e.Time.Before(f.Since) &&
		(f.Profile == "" || e.Profile == f.Profile || strings.HasSuffix(e.Profile, "/"+f.Profile)) &&
		(f.Session == "" || e.Session == f.Session) &&
		(!f.Denied || e.Denied())
}

// LineError says that a line of a file is not an audit line. Reading goes on
// after it; Verify says what it means.
type LineError struct {
	File string // base name
	Line int    // from 1
	Err  error
}

func (e *LineError) Error() string {
	return fmt.Sprintf("read audit file %q, line %d: %v", e.File, e.Line, e.Err)
}

func (e *LineError) Unwrap() error { return e.Err }

// mtimeSlack: a file's time of change may be behind the time in its last line,
// by a tick of the kernel's coarse clock (1 to 10 ms) or by a clock that was
// set back a little.
const mtimeSlack = 2 * time.Second

var errLong = fmt.Errorf("line is longer than %d bytes", maxLine)

// maxSkip bounds what is read over in search of a line's end, in bytes: 64 of the
// longest lines. Whoever makes a file larger by a hole of terabytes, which costs
// nothing, does not have it read to its end.
const maxSkip = 64 * maxLine

// errEndless ends a file as io.EOF does.
var errEndless = fmt.Errorf("line has no end within %d bytes: %w", maxSkip, io.EOF)

// Read yields the events of all sessions in dir by time; those of one session
// stay in the order in which they were written, whatever its clock did. A line
// that cannot be read is yielded as a *LineError, and reading goes on; any
// other error ends it. A last line that is not complete yet is left out.
func Read(dir string, f Filter) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		files, err := listFiles(dir)
		if err != nil {
			yield(Event{}, err)
			return
		}
		merge(dir, files, nil, f, yield)
	}
}

// merge yields the events of files, each up to its limit in bytes where limits
// has one. It reports whether yield wants more.
func merge(dir string, files []logFile, limits map[string]int64, f Filter, yield func(Event, error) bool) bool {
	var waiting []*source // by start
	bySession := map[string]*source{}
	for _, file := range files {
		if f.Session != "" && file.session != f.Session {
			continue
		}
		id := file.started.Format(startedLayout) + file.session
		s := bySession[id]
		if s == nil {
			s = &source{dir: dir, limits: limits, started: file.started}
			bySession[id] = s
			waiting = append(waiting, s)
		}
		s.files = append(s.files, file)
	}
	var open sources
	defer func() {
		for _, s := range open {
			s.close()
		}
	}()
	for {
		// A session is opened once its start is reached, so that a directory
		// of thousands needs as many descriptors as sessions overlapped.
		for len(waiting) > 0 && (len(open) == 0 || !open[0].at.Before(waiting[0].started)) {
			s := waiting[0]
			waiting = waiting[1:]
			more, ok := s.advance(f, yield)
			if !ok {
				s.close()
				return false
			}
			if more {
				heap.Push(&open, s)
			}
		}
		if len(open) == 0 {
			return true
		}
		s := open[0]
		if !yield(s.event, nil) {
			return false
		}
		more, ok := s.advance(f, yield)
		switch {
		case !ok:
			return false
		case more:
			heap.Fix(&open, 0)
		default:
			heap.Pop(&open)
		}
	}
}

// source is one session's files, read in turn.
type source struct {
	dir     string
	files   []logFile
	limits  map[string]int64
	started time.Time

	file  *os.File
	name  string
	lines *lineReader
	event Event
	at    time.Time // event's time, or that of an earlier one where the clock went back
}

// advance moves to the next event that f takes. more is false at the end; ok
// is false when yield wants no more or reading failed.
func (s *source) advance(f Filter, yield func(Event, error) bool) (more, ok bool) {
	for {
		if s.lines == nil {
			if len(s.files) == 0 {
				return false, true
			}
			if err := s.next(f); err != nil {
				yield(Event{}, err)
				return false, false
			}
			continue
		}
		line, err := s.lines.next()
		if errors.Is(err, io.EOF) {
			s.close()
			continue
		}
		if err == nil {
			s.event = Event{}
			if err = json.Unmarshal(line, &s.event); err == nil {
				if s.event.Time.After(s.at) {
					s.at = s.event.Time
				}
				if f.Match(&s.event) {
					return true, true
				}
				continue
			}
		} else if !errors.Is(err, errLong) {
			yield(Event{}, fmt.Errorf("read audit: %w", err))
			return false, false
		}
		if !yield(Event{}, &LineError{File: s.name, Line: s.lines.n, Err: err}) {
			return false, false
		}
	}
}

// next opens the session's next file, unless all of it is older than f wants.
func (s *source) next(f Filter) error {
	file := s.files[0]
	s.files = s.files[1:]
	r, info, err := openFile(filepath.Join(s.dir, file.name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // pruned since the directory was listed
	}
	if err != nil {
		return fmt.Errorf("read audit: %w", err)
	}
	if older(info, f.Since) {
		return r.Close()
	}
	var in io.Reader = r
	if n, ok := s.limits[file.name]; ok {
		in = io.LimitReader(r, n)
	}
	s.file, s.name, s.lines = r, file.name, newLineReader(in)
	return nil
}

// older reports whether a file has no line as new as t.
func older(info os.FileInfo, t time.Time) bool {
	return info.ModTime().Add(mtimeSlack).Before(t)
}

func (s *source) close() {
	if s.file != nil {
		s.lines.close()
		_ = s.file.Close()
		s.file, s.lines = nil, nil
	}
}

// sources is a heap by time.
type sources []*source

func (s sources) Len() int           { return len(s) }
func (s sources) Less(i, j int) bool { return s[i].at.Before(s[j].at) }
func (s sources) Swap(i, j int)      { s[i], s[j] = s[j], s[i] }
func (s *sources) Push(x any)        { *s = append(*s, x.(*source)) }

func (s *sources) Pop() any {
	old := *s
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*s = old[:len(old)-1]
	return last
}

// lineReader gives the complete lines of a file.
type lineReader struct {
	r    *bufio.Reader
	n    int    // lines given so far
	size int64  // their bytes
	rest []byte // after io.EOF: the bytes after the last line break
}

// readers keeps the buffers of line readers: a directory can hold thousands of
// short files.
var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, maxLine) }}

func newLineReader(r io.Reader) *lineReader {
	b := readers.Get().(*bufio.Reader)
	b.Reset(r)
	return &lineReader{r: b}
}

// close gives the buffer back: lines and rest are good no longer.
func (l *lineReader) close() {
	l.r.Reset(nil)
	readers.Put(l.r)
	l.r, l.rest = nil, nil
}

// next returns the next line with its line break, good until the next call. A
// line that is too long is skipped with errLong; one of more than maxSkip ends the
// file.
func (l *lineReader) next() ([]byte, error) {
	line, err := l.r.ReadSlice('\n')
	switch {
	case err == nil:
		l.n++
		l.size += int64(len(line))
		return line, nil
	case errors.Is(err, bufio.ErrBufferFull):
		n := int64(len(line))
		for errors.Is(err, bufio.ErrBufferFull) {
			if n > maxSkip {
				return nil, errEndless
			}
			line, err = l.r.ReadSlice('\n')
			n += int64(len(line))
		}
		if err != nil {
			return nil, err // also io.EOF: the long line has no end
		}
		l.n++
		l.size += n
		return nil, errLong
	case errors.Is(err, io.EOF):
		l.rest = line
	}
	return nil, err
}
