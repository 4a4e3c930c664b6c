package desk

import (
	"context"
	"os/exec"
	"sync"
	"time"

	"kb/internal/broker"
	"kb/internal/refresh"
	"kb/tui"
)

// Options are what a Desk is made with.
type Options struct {
	Paths   broker.Paths
	Getenv  func(string) string // kb's own environment
	Environ []string            // the person's, as a session's child would get it: git reads its configuration by it
	Dir     string              // where the dashboard was started
	Spawn   refresh.Spawner     // nil means that tokens are refreshed in this process
	// Executable is kb itself, for [Desk.Command].
	Executable string
	// Advise adds to an error the command that mends it. Nil adds none.
	Advise func(error) error
	// Traced reports whether another process traces this one. Nil means that
	// nobody can tell.
	Traced func() bool
	// GitAttention is what a person should see to about a vault's repository. Nil
	// means nothing.
	GitAttention func(broker.GitState) []string
	Now          func() time.Time // nil means time.Now

	// Broker is for tests: what the broker is opened with besides.
	Broker broker.Options
}

// Desk is the dashboard's backend.
type Desk struct {
	o Options

	// opening is held while the broker is opened or put, mu never while anything is
	// waited for: a key of an age plugin may wait for a touch.
	opening sync.Mutex

	mu       sync.Mutex
	broker   *broker.Broker // nil until it is open
	replaced chan struct{}  // closed when broker is another one
	openedAt time.Time      // before it was opened, by the system's clock
	until    time.Time      // when the identity locks by itself; zero where nobody knows
	notes    []string       // what was done for this device meanwhile, newest last
	sessions *sessions      // that Watch follows; nil while it does not

	looking attention
	faults  chan error // the first panic of a goroutine of the desk's own; see beside
}

var _ tui.Backend = (*Desk)(nil)

// New makes a Desk. It opens nothing.
func New(o Options) *Desk {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Advise == nil {
		o.Advise = func(err error) error { return err }
	}
	o.Broker.Paths, o.Broker.Getenv, o.Broker.Spawn = o.Paths, o.Getenv, o.Spawn
	o.Broker.Any = true // one vault that cannot be opened does not hide the others
	d := &Desk{o: o, replaced: make(chan struct{}), faults: make(chan error, 1)}
	d.looking.beside = d.beside
	return d
}

// beside runs f in a goroutine of its own. The dashboard has the terminal: where f
// panics, Watch returns that, so that the terminal is given back before it is said.
func (d *Desk) beside(f func()) {
	go func() {
		defer d.caught()
		f()
	}()
}

// caught notes a panic for Watch. It is for defer.
func (d *Desk) caught() {
	if value := recover(); value != nil {
		select {
		case d.faults <- tui.Fault(value):
		default: // not the first
		}
	}
}

// open returns the broker, opened if it is not yet. Its error has advice.
func (d *Desk) open(ctx context.Context) (*broker.Broker, error) {
	d.opening.Lock()
	defer d.opening.Unlock()
	if b, _ := d.opened(); b != nil {
		return b, nil
	}
	at := time.Now()
	b, err := broker.Open(ctx, d.o.Broker)
	if err != nil {
		return nil, d.advise(err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.put(b)
	d.openedAt = at
	return b, nil
}

// put takes another broker, or nil; both locks are held.
func (d *Desk) put(b *broker.Broker) {
	d.broker = b
	close(d.replaced)
	d.replaced = make(chan struct{})
}

// opened is the broker, if it is open, and what is closed when there is another.
func (d *Desk) opened() (*broker.Broker, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broker, d.replaced
}

// keptNotes bounds the notes: what is older was seen, or never will be.
const keptNotes = 5

// note keeps a line of what was done for this device.
func (d *Desk) note(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.notes = append(d.notes, line)
	d.notes = d.notes[max(0, len(d.notes)-keptNotes):]
}

// advise adds to an error the command that mends it; nil stays nil.
func (d *Desk) advise(err error) error {
	if err == nil {
		return nil
	}
	return d.o.Advise(err)
}

// Command implements tui.Backend.
func (d *Desk) Command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(context.Background(), d.o.Executable, args...) //nolint:gosec // kb itself; it lives as long as its person likes
	cmd.Dir, cmd.Env = d.o.Dir, d.o.Environ
	return cmd
}
