package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// silence: a session that is there and says nothing for so long is told of
	// as such.
	silence = 2 * time.Second
	// again is when a session that did not want to be spoken to, and goes on, is
	// asked again.
	again = time.Second
	// rescan: how often the folder is read where the system tells of no changes
	// (its limit of watches is used up).
	rescan = 2 * time.Second
)

// Kind is what happened to a session.
type Kind string

// Kinds of change.
const (
	Up         Kind = "up"          // it is there: Status is its first
	Changed    Kind = "changed"     // Status is its present one
	Silent     Kind = "silent"      // it is there and does not answer: suspended, most often. Up may follow
	Ended      Kind = "ended"       // its name is gone
	HasCrashed Kind = "has-crashed" // it was killed; Ended follows when somebody clears it
	Strange    Kind = "strange"     // it cannot be spoken to: Err says why. Ended follows when its name is gone
)

// Change is one of what WatchAll tells.
type Change struct {
	Kind   Kind
	Entry  Entry
	Status Status
	Err    error
}

// WatchAll calls fn with what happens to every session of this user, those that
// are there already first, until ctx ends. It makes the folder if need be. While
// nothing happens it does nothing. Calls of fn follow each other; while one
// takes its time, what changes in between is told once.
func WatchAll(ctx context.Context, dir string, fn func(Change)) error {
	if err := makeFolder(dir); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{dir: dir, known: map[Entry]bool{}, changes: make(chan Change)}
	defer w.running.Wait()
	defer cancel()

	var notices chan fsnotify.Event
	var lost chan error
	var tick <-chan time.Time
	folder, err := fsnotify.NewWatcher()
	if err == nil {
		defer folder.Close()
		err = folder.Add(dir)
		notices, lost = folder.Events, folder.Errors
	}
	if err != nil {
		ticker := time.NewTicker(rescan)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if err := w.scan(ctx, fn); err != nil {
			return err
		}
		for rescanned := false; !rescanned; {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case c := <-w.changes:
				fn(c)
			case n := <-notices:
				if n.Name == dir && (n.Op.Has(fsnotify.Remove) || n.Op.Has(fsnotify.Rename)) {
					// Somebody removed the folder, or moved it away. The next session
					// makes it again.
					_ = folder.Remove(dir) // what is watched is the one that was moved
					if err := errors.Join(makeFolder(dir), folder.Add(dir)); err != nil {
						return fmt.Errorf("watch sessions: %w", err)
					}
				}
				_, rescanned = parseName(filepath.Base(n.Name))
				rescanned = rescanned || n.Name == dir
			case err := <-lost:
				_ = err // the queue was full
				rescanned = true
			case <-tick:
				rescanned = true
			}
		}
	}
}

// watcher is one run of WatchAll.
type watcher struct {
	dir     string
	known   map[Entry]bool // false: nobody follows it any more
	changes chan Change
	running sync.WaitGroup

	mu sync.Mutex // of known
}

// scan follows the sessions whose names are new, and tells of the end of those
// that nobody follows and whose names are gone.
func (w *watcher) scan(ctx context.Context, fn func(Change)) error {
	entries, err := named(w.dir)
	if err != nil {
		return err
	}
	present := map[Entry]bool{}
	for _, e := range entries {
		present[e] = true
		w.mu.Lock()
		_, known := w.known[e]
		w.known[e] = w.known[e] || !known
		w.mu.Unlock()
		if !known {
			w.running.Go(func() { w.follow(ctx, e) })
		}
	}
	w.mu.Lock()
	var gone []Entry
	for e, followed := range w.known {
		if !followed && !present[e] {
			delete(w.known, e)
			gone = append(gone, e)
		}
	}
	w.mu.Unlock()
	for _, e := range gone {
		fn(Change{Kind: Ended, Entry: e})
	}
	return nil
}

// follow tells of one session until it ends, or cannot be spoken to.
func (w *watcher) follow(ctx context.Context, e Entry) {
	client := NewClient(w.dir, e)
	up := false
	for {
		quiet := w.unlessHeard(ctx, e)
		err := client.Watch(ctx, func(s Status) error {
			quiet()
			kind := Changed
			if !up {
				up, kind = true, Up
			}
			w.tell(ctx, Change{Kind: kind, Entry: e, Status: s})
			return ctx.Err()
		})
		quiet()
		if ctx.Err() != nil {
			return
		}
		var strange *FalseSocketError
		_, missing := os.Lstat(filepath.Join(w.dir, e.name()))
		switch {
		case errors.Is(missing, fs.ErrNotExist):
			w.forget(e)
			w.tell(ctx, Change{Kind: Ended, Entry: e})
			return
		case errors.As(err, &strange), errors.Is(err, ErrRefused):
			w.leave(ctx, Change{Kind: Strange, Entry: e, Err: err})
			return
		case !listens(w.dir, e):
			w.leave(ctx, Change{Kind: HasCrashed, Entry: e})
			return
		}
		// It goes on: it had too many connections, or its machine too much to do.
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

// unlessHeard tells of a session's silence unless heard is called before. When
// heard has returned nothing is told of it any more: not after the session's own
// word.
func (w *watcher) unlessHeard(ctx context.Context, e Entry) (heard func()) {
	var telling sync.Mutex
	over := false
	timer := time.AfterFunc(silence, func() {
		telling.Lock()
		defer telling.Unlock()
		if !over {
			w.tell(ctx, Change{Kind: Silent, Entry: e})
		}
	})
	return func() {
		timer.Stop()
		telling.Lock()
		defer telling.Unlock()
		over = true
	}
}

func (w *watcher) tell(ctx context.Context, c Change) {
	select {
	case w.changes <- c:
	case <-ctx.Done():
	}
}

// leave is the last word on a session whose name is there still: scan will tell
// of its end.
func (w *watcher) leave(ctx context.Context, c Change) {
	w.tell(ctx, c)
	w.mu.Lock()
	w.known[c.Entry] = false
	w.mu.Unlock()
	// Its name may have gone before anyone knew that scan has to look for it.
	if _, err := os.Lstat(filepath.Join(w.dir, c.Entry.name())); errors.Is(err, fs.ErrNotExist) {
		w.mu.Lock()
		_, known := w.known[c.Entry]
		delete(w.known, c.Entry)
		w.mu.Unlock()
		if known {
			w.tell(ctx, Change{Kind: Ended, Entry: c.Entry})
		}
	}
}

func (w *watcher) forget(e Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.known, e)
}
