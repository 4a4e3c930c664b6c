package control

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	// maxAncestors: a login has some ten, deep builds some thirty. Who has more
	// is refused: it may hide what is above.
	maxAncestors = 256
	// lookTries: the tree changes while it is read, and is read again. One that
	// changes each time is made to.
	lookTries = 5
)

// sessionVariable is in the environment of each process of a session.
const sessionVariable = "KB_SESSION="

// sessionVerb is the argument of a kb that is a session.
const sessionVerb = "exec"

var (
	// errGone says that a process is not there (any more).
	errGone = errors.New("it is gone")
	// errHidden says that a process is there and the system does not show it. An
	// agent can hide itself where that is so, so that nothing is told from it.
	errHidden = errors.New("the system hides it (/proc is mounted with hidepid)")
)

// process is one of this system, as it was looked at.
type process struct {
	pid, parent int
	start       uint64 // in the system's own unit
	state       byte   // as proc(5) has it
	program     string // name of what it runs
}

func (p process) stopped() bool { return p.state == 'T' || p.state == 't' }

// ended reports whether only its exit status is left.
func (p process) ended() bool { return p.state == 'Z' || p.state == 'X' }

// same leaves the state out, which changes by the moment.
func (p process) same(q process) bool {
	return p.pid == q.pid && p.parent == q.parent && p.start == q.start
}

// peer is the process at the other end of a connection.
type peer struct {
	pid, uid int
	running  func() bool // false once it has ended, whoever has its id by then
	done     func()
}

// guard judges peers. Its functions are the system's; a test has others.
type guard struct {
	dir         string
	look        func(pid int) (process, error)
	arguments   func(pid int) [][]byte
	environment func(pid int) [][]byte
	bound       func(pid int) bool
	self        int
	program     string // what this process runs
	uid         int
	session     bool // this process is one: its descendants are refused whatever the folder says

	mu     sync.Mutex
	lately map[int]turnedAway // by process id: who a session has refused
}

// turnedAway is a process that was refused, and is so without another look at its
// ancestors: a flood of connections costs a session so little for each that a
// person is heard behind it.
type turnedAway struct {
	process
	why   error
	until time.Time
}

const (
	// refusedFor is how long. A second: who is refused for what was before it, or
	// for what it ran before, tries again.
	refusedFor = time.Second
	// maxRefused bounds how many are remembered.
	maxRefused = 1024
)

func newGuard(dir string) *guard {
	own, _ := look(os.Getpid()) // that it has no name makes it no other's
	return &guard{
		program: own.program, dir: dir, look: look, arguments: arguments, environment: environment, bound: bound,
		self: os.Getpid(), uid: os.Geteuid(),
	}
}

// refusal is ErrRefused with what was found.
func refusal(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// admit judges who is at the other end of a connection, and returns its process.
func (g *guard) admit(c *net.UnixConn) (process, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return process{}, err
	}
	var p peer
	if controlErr := raw.Control(func(fd uintptr) { p, err = peerOf(fd) }); controlErr != nil {
		return process{}, controlErr
	}
	if err != nil {
		return process{}, refusal("who connected cannot be made out: %v", err)
	}
	defer p.done()
	return g.judge(p)
}

// judge is admit for a known peer.
func (g *guard) judge(p peer) (process, error) {
	if p.uid != g.uid {
		return process{}, refusal("process %d is another user's", p.pid)
	}
	if p.pid <= 0 {
		return process{}, refusal("who connected is not seen from here (another container)")
	}
	if why := g.refusedLately(p); why != nil {
		return process{}, why
	}
	for range lookTries {
		line, err := g.ancestors(p.pid)
		if err != nil {
			if errors.Is(err, errTooDeep) || errors.Is(err, errHidden) {
				return process{}, refusal("%v", err)
			}
			continue
		}
		why := g.belongs(line)
		// Whatever was read of these processes was theirs if they are the same
		// still: an id that was given away meanwhile comes with another start.
		again, err := g.ancestors(p.pid)
		if err != nil || !slices.EqualFunc(line, again, process.same) || !p.running() {
			continue
		}
		if why != "" {
			err := refusal("%s", why)
			g.remember(line[0], err)
			return process{}, err
		}
		return line[0], nil
	}
	return process{}, refusal("process %d ended, or its ancestors changed while they were looked at", p.pid)
}

// refusedLately is why a process was refused a moment ago, if it is that process
// still and runs the same program. Nobody is admitted by it.
func (g *guard) refusedLately(p peer) error {
	g.mu.Lock()
	r, ok := g.lately[p.pid]
	g.mu.Unlock()
	if !ok || time.Now().After(r.until) {
		return nil
	}
	now, err := g.look(p.pid)
	if err != nil || now.start != r.start || now.program != r.program || !p.running() {
		return nil
	}
	return r.why
}

func (g *guard) remember(p process, why error) {
	if !g.session {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.lately == nil || len(g.lately) >= maxRefused {
		g.lately = map[int]turnedAway{}
	}
	g.lately[p.pid] = turnedAway{p, why, time.Now().Add(refusedFor)}
}

var errTooDeep = fmt.Errorf("it has more than %d ancestors", maxAncestors)

// ancestors are a process, its parent and so on, to the first of the system.
func (g *guard) ancestors(pid int) ([]process, error) {
	var line []process
	for pid > 0 {
		if len(line) > maxAncestors {
			return nil, errTooDeep
		}
		p, err := g.look(pid)
		if err != nil {
			return nil, err
		}
		// Nobody is older than its parent: not by birth, and who is adopted is so
		// by an ancestor. The id was given away between two looks.
		if n := len(line); n > 0 && p.start > line[n-1].start {
			return nil, errGone
		}
		line = append(line, p)
		pid = p.parent
	}
	if len(line) == 0 || line[0].ended() {
		return nil, errGone
	}
	return line, nil
}

// belongs says why the first of these processes is one of a session, or "".
func (g *guard) belongs(line []process) string {
	sessions, err := allNamed(g.dir)
	if err != nil {
		return err.Error()
	}
	peer := line[0]
	for _, p := range line[1:] { // who connects may be a kb exec itself
		if g.session && p.pid == g.self {
			return fmt.Sprintf("process %d descends from this session", peer.pid)
		}
		for _, s := range sessions {
			if p.pid == s.PID && p.start == s.Start {
				return fmt.Sprintf("process %d descends from session %s", peer.pid, s.ID)
			}
		}
		if g.runsSession(p) {
			return fmt.Sprintf("process %d descends from a kb exec, process %d", peer.pid, p.pid)
		}
	}
	for _, p := range line {
		for _, entry := range g.environment(p.pid) {
			if value, ok := bytes.CutPrefix(entry, []byte(sessionVariable)); ok && len(value) > 0 {
				return fmt.Sprintf("process %d has KB_SESSION in its environment", p.pid)
			}
		}
	}
	if g.bound(peer.pid) && !g.bound(g.self) {
		return fmt.Sprintf("process %d may gain no privileges (no_new_privs), as those of sessions", peer.pid)
	}
	return ""
}

// runsSession reports whether a process is this program at kb exec. Nobody can
// change what another process shows of that.
func (g *guard) runsSession(p process) bool {
	if p.program != g.program {
		return false
	}
	return slices.ContainsFunc(g.arguments(p.pid), func(word []byte) bool { return string(word) == sessionVerb })
}
