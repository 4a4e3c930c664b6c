package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
)

// socketSuffix ends the name of each session's socket.
const socketSuffix = ".sock"

// maxEntries bounds what is read of the folder. A person has a few dozen
// sessions; an agent may fill the folder with names.
const maxEntries = 1024

// State is how a session stands, as far as the folder and the process tell.
type State string

// States.
const (
	Live      State = "live"
	Suspended State = "suspended" // stopped by its terminal (ctrl+z): it answers when it is continued
	Crashed   State = "crashed"   // its process is gone, its socket is there
	// Elsewhere is a session whose process is not seen from here, and which
	// listens: one of a container that shares the folder.
	Elsewhere State = "elsewhere"
)

// Entry is a session, by its name in the folder.
type Entry struct {
	ID    string
	PID   int    // of kb exec
	Start uint64 // when that began, in the system's own unit
	State State
}

// Runs reports whether its process is there still.
func (e Entry) Runs() bool {
	p, err := look(e.PID)
	return err == nil && p.start == e.Start && !p.ended()
}

// AmbiguousError says that a prefix is that of several sessions.
type AmbiguousError struct {
	Prefix string
	IDs    []string
}

func (e *AmbiguousError) Error() string {
	return fmt.Sprintf("find session %q: it could be %s", e.Prefix, strings.Join(e.IDs, " or "))
}

func (e Entry) name() string {
	return e.ID + "-" + strconv.Itoa(e.PID) + "-" + strconv.FormatUint(e.Start, 10) + socketSuffix
}

// parseName is the reverse of name. Anything that name would not make is none.
func parseName(name string) (Entry, bool) {
	parts := strings.Split(strings.TrimSuffix(name, socketSuffix), "-")
	if len(parts) != 3 || !validID(parts[0]) {
		return Entry{}, false
	}
	pid, err := strconv.ParseInt(parts[1], 10, 32)
	if err != nil || pid <= 0 {
		return Entry{}, false
	}
	start, err := strconv.ParseUint(parts[2], 10, 64)
	if err != nil {
		return Entry{}, false
	}
	e := Entry{ID: parts[0], PID: int(pid), Start: start}
	return e, e.name() == name
}

// validID reports whether s is a session's id: eight hex digits today.
func validID(s string) bool {
	if s == "" || len(s) > 32 {
		return false
	}
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// named are the sessions that the folder has names for, in the order of their
// ids, without a look at any of them. No folder is none. Of more than maxEntries
// those are left out first whose process is not there: an agent that fills the
// folder does not hide a session by it.
func named(dir string) ([]Entry, error) {
	entries, err := allNamed(dir)
	if len(entries) <= maxEntries {
		return entries, err
	}
	var kept, gone []Entry
	for _, e := range entries {
		if len(kept) < maxEntries && e.Runs() {
			kept = append(kept, e)
		} else {
			gone = append(gone, e)
		}
	}
	kept = append(kept, gone[:maxEntries-len(kept)]...)
	sortByName(kept)
	return kept, err
}

func sortByName(entries []Entry) {
	sort.Slice(entries, func(i, j int) bool { return entries[i].name() < entries[j].name() })
}

// allNamed is named without a bound.
func allNamed(dir string) ([]Entry, error) {
	f, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var entries []Entry
	for _, name := range names {
		if e, ok := parseName(name); ok {
			entries = append(entries, e)
		}
	}
	sortByName(entries)
	return entries, nil
}

// List returns the sessions of this user on this machine: those that run, and
// those that were killed and left their socket. It asks none of them.
func List(dir string) ([]Entry, error) {
	entries, err := named(dir)
	for i := range entries {
		entries[i].State = stateOf(dir, entries[i])
	}
	return entries, err
}

// stateOf looks at the process, and where that is gone at the socket.
func stateOf(dir string, e Entry) State {
	p, err := look(e.PID)
	switch {
	case err == nil && p.start == e.Start && p.stopped():
		return Suspended
	case err == nil && p.start == e.Start && !p.ended():
		return Live
	case errors.Is(err, errHidden):
		return Live
	}
	if listens(dir, e) {
		return Elsewhere
	}
	return Crashed
}

// listens reports whether anyone does on the socket.
func listens(dir string, e Entry) bool {
	c, err := dialSocket(context.Background(), dir, e.name())
	if err == nil {
		_ = c.Close()
	}
	// A full queue is one of somebody who listens.
	return err == nil || errors.Is(err, syscall.EAGAIN)
}

// Find is the one session whose id begins with prefix. Of several names with one
// id, which only somebody who is no session makes, it is the one whose process is
// there.
func Find(entries []Entry, prefix string) (Entry, error) {
	found := map[string][]Entry{}
	for _, e := range entries {
		if prefix != "" && strings.HasPrefix(e.ID, prefix) {
			found[e.ID] = append(found[e.ID], e)
		}
	}
	if same := found[prefix]; same != nil {
		found = map[string][]Entry{prefix: same}
	}
	ambiguous := &AmbiguousError{Prefix: prefix}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		same := found[id]
		if len(found) > 1 {
			ambiguous.IDs = append(ambiguous.IDs, id)
			continue
		}
		there := slices.DeleteFunc(slices.Clone(same), func(e Entry) bool { return e.State == Crashed })
		switch {
		case len(same) == 1, len(there) == 0:
			return same[0], nil
		case len(there) == 1:
			return there[0], nil
		}
		for _, e := range there {
			ambiguous.IDs = append(ambiguous.IDs, fmt.Sprintf("%s of process %d", id, e.PID))
		}
	}
	if len(ambiguous.IDs) == 0 {
		return Entry{}, fmt.Errorf("find session %q: %w", prefix, ErrUnknown)
	}
	return Entry{}, ambiguous
}

// Clear removes the socket that a crashed session left. That of any other is
// left alone, and an error.
func Clear(dir string, e Entry) error {
	if state := stateOf(dir, e); state != Crashed {
		return fmt.Errorf("clear session %s: it has not crashed, it is %s", e.ID, state)
	}
	if err := os.Remove(filepath.Join(dir, e.name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear session %s: %w", e.ID, err)
	}
	return nil
}

// dialSocket connects to a socket of the folder.
func dialSocket(ctx context.Context, dir, name string) (*net.UnixConn, error) {
	path, done, err := reachable(dir, name)
	if err != nil {
		return nil, err
	}
	defer done()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	return c.(*net.UnixConn), nil
}
