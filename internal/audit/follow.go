package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// rescan: how often Follow looks without having been told. The kernel may drop
// notices, and network file systems send none.
const rescan = 2 * time.Second

// Follow calls fn for each event as it is written, in all sessions in dir,
// until ctx ends or fn returns an error, which it returns. Before that, if f
// has a Since, it calls fn for the events that are there already, by time. A
// line that cannot be read is left out. It makes dir if need be.
func Follow(ctx context.Context, dir string, f Filter, fn func(Event) error) error {
	return FollowFrom(ctx, dir, f, func() {}, fn)
}

// FollowFrom is Follow. It calls begun when every event that is written from then on
// will be given: what begun reads of dir and what fn is given leave no gap.
func FollowFrom(ctx context.Context, dir string, f Filter, begun func(), fn func(Event) error) error {
	if err := makeDir(dir); err != nil {
		return err
	}
	var notices chan fsnotify.Event
	var lost chan error
	if w, err := fsnotify.NewWatcher(); err == nil {
		defer w.Close()
		if w.Add(dir) == nil { // else the rescan alone has to do
			notices, lost = w.Events, w.Errors
		}
	}
	fl := follower{dir: dir, filter: f, fn: fn, given: map[string]int64{}}
	if err := fl.begin(); err != nil {
		return err
	}
	begun()
	tick := time.NewTicker(rescan)
	defer tick.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return ctx.Err()
		case n, ok := <-notices:
			if !ok {
				notices = nil
				continue
			}
			if n.Op.Has(fsnotify.Write) || n.Op.Has(fsnotify.Create) {
				err = fl.file(filepath.Base(n.Name))
			}
		case _, ok := <-lost:
			if !ok {
				lost = nil
				continue
			}
			err = fl.all()
		case <-tick.C:
			err = fl.all()
		}
		if err != nil {
			return err
		}
	}
}

// follower is one run of Follow.
type follower struct {
	dir    string
	filter Filter
	fn     func(Event) error
	given  map[string]int64 // by file name: bytes looked at, to the end of a line
}

// begin starts each file at its end and gives what is before it, if asked.
func (fl *follower) begin() error {
	files, err := listFiles(fl.dir)
	if err != nil {
		return err
	}
	limits := make(map[string]int64, len(files))
	for _, f := range files {
		n, err := endOf(filepath.Join(fl.dir, f.name))
		if err != nil {
			return fmt.Errorf("follow audit: %w", err)
		}
		limits[f.name] = n
		fl.given[f.name] = n
	}
	if fl.filter.Since.IsZero() {
		return nil
	}
	var failed error
	merge(fl.dir, files, limits, fl.filter, func(e Event, err error) bool {
		var bad *LineError
		switch {
		case errors.As(err, &bad):
			return true
		case err != nil:
			failed = err
		default:
			failed = fl.fn(e)
		}
		return failed == nil
	})
	return failed
}

// all looks at every file.
func (fl *follower) all() error {
	files, err := listFiles(fl.dir)
	if err != nil {
		return err
	}
	present := make(map[string]bool, len(files))
	for _, f := range files {
		present[f.name] = true
		if err := fl.file(f.name); err != nil {
			return err
		}
	}
	for name := range fl.given {
		if !present[name] {
			delete(fl.given, name)
		}
	}
	return nil
}

// file gives what was added to one file.
func (fl *follower) file(name string) error {
	if _, ok := parseName(name); !ok {
		return nil
	}
	given := fl.given[name]
	// Opening costs more than looking, and of a thousand files one has grown.
	if info, err := os.Lstat(filepath.Join(fl.dir, name)); err == nil && info.Size() <= given {
		return nil
	}
	f, info, err := openFile(filepath.Join(fl.dir, name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("follow audit: %w", err)
	}
	defer f.Close()
	if info.Size() <= given {
		return nil
	}
	if _, err := f.Seek(given, io.SeekStart); err != nil {
		return fmt.Errorf("follow audit: %w", err)
	}
	lines := newLineReader(f)
	defer lines.close()
	for {
		line, err := lines.next()
		switch {
		case errors.Is(err, errEndless):
			fl.given[name] = info.Size() // or it is read again at each look
			return nil
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, errLong):
			return fmt.Errorf("follow audit: %w", err)
		}
		fl.given[name] = given + lines.size
		var e Event
		if err != nil || json.Unmarshal(line, &e) != nil || !fl.filter.Match(&e) {
			continue
		}
		if err := fl.fn(e); err != nil {
			return err
		}
	}
}

// endOf returns how many bytes of a file make complete lines.
func endOf(path string) (int64, error) {
	f, _, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return wholeLines(f)
}
