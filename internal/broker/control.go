package broker

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"kb/internal/control"
	"kb/internal/plain"
	"kb/providers"
)

const (
	// shownHosts bounds the hosts in a session's status. A profile with every
	// provider of the catalogue has 90.
	shownHosts = 128
	// refusedEvery is how often the audit is told of refused connections to the
	// control socket: a session could fill it with them.
	refusedEvery = time.Minute
)

// stoppedDetail is what the audit's stop line says of a session that a person
// ended.
const stoppedDetail = "stopped by a person (kb session stop)"

// console is what a session tells of itself through its control socket, and
// hears there.
type console struct {
	server *control.Server
	about  control.Status // what does not change
	child  atomic.Int64   // the agent's process, 0 until it runs
	pulse  pulse

	stopping chan struct{} // closed when a person has it stop
	stop     sync.Once

	mu      sync.Mutex // of what follows
	refused time.Time  // when the audit was told last
}

// pulse tells those who watch that something changed. Where nobody does, that
// costs one look at an atomic.
type pulse struct {
	watched atomic.Bool
	mu      sync.Mutex
	changed chan struct{}
}

// next is closed at the next change.
func (p *pulse) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed == nil {
		p.changed = make(chan struct{})
		p.watched.Store(true)
	}
	return p.changed
}

func (p *pulse) tell() {
	if !p.watched.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changed != nil {
		p.watched.Store(false)
		close(p.changed)
		p.changed = nil
	}
}

// count is a number that only grows, and that watchers hear of.
type count struct {
	n     atomic.Uint64
	pulse *pulse // nil: nobody hears of it
}

// Add adds to it and returns the sum.
func (c *count) Add(n uint64) uint64 {
	sum := c.n.Add(n)
	if c.pulse != nil {
		c.pulse.tell()
	}
	return sum
}

// Load is the sum by now.
func (c *count) Load() uint64 { return c.n.Load() }

// prepareConsole is before anything counts.
func (s *Session) prepareConsole() {
	s.console.stopping = make(chan struct{})
	for _, c := range []*count{&s.requests, &s.injected, &s.denied} {
		c.pulse = &s.console.pulse
	}
	s.approvals.told = s.console.pulse.tell
}

// openConsole listens for a person's kb. That it cannot is no reason to have no
// session, where the folder is sound: some file systems know no sockets.
func (s *Session) openConsole(spec SessionSpec) error {
	tier := "hardened"
	if spec.Tier == "off" {
		tier = spec.Tier
	}
	about := control.Status{
		ID: s.ID, Profile: s.show(s.own), Agent: plain.Clean(s.agent), Dir: plain.Clean(s.workspace.Dir),
		Reason: plain.Clean(s.decision.Match.Reason), Isolation: tier, Proxy: s.address,
		PID: os.Getpid(), Started: s.broker.now(),
	}
	for _, name := range s.granted[1:] {
		about.Also = append(about.Also, s.show(name))
	}
	if remote, ok := s.workspace.Remote(s.workspace.Primary); ok {
		about.Remote = plain.Clean(remote.Normal)
	}
	s.console.about = about
	server, err := control.Serve(s.life, control.ServeOptions{
		Dir: s.broker.paths.Control(), ID: s.ID, Handler: s, Refused: s.refusedControl,
	})
	var folder *control.FolderError
	if errors.As(err, &folder) {
		return err
	}
	if err != nil {
		s.notes = append(s.notes, fmt.Sprintf("this session cannot be seen, stopped or asked from outside: %v", err))
		return nil
	}
	s.console.server = server
	return nil
}

// refusedControl tells the audit that someone who may not spoke to the socket.
func (s *Session) refusedControl(err error) {
	s.console.mu.Lock()
	now := s.broker.now()
	quiet := !s.console.refused.IsZero() && now.Sub(s.console.refused) < refusedEvery
	if !quiet {
		s.console.refused = now
	}
	s.console.mu.Unlock()
	if !quiet {
		s.note("refused a process at the control socket", err.Error())
	}
}

// Status implements control.Handler.
func (s *Session) Status() control.Status {
	status := s.console.about
	status.Child = int(s.console.child.Load())
	status.Requests, status.Injected, status.Denied = s.requests.Load(), s.injected.Load(), s.denied.Load()
	status.Hosts = s.hosts()
	status.Waiting = s.Waiting()
	for i := range status.Waiting {
		cleanRequest(&status.Waiting[i])
	}
	return status
}

// cleanRequest cleans what an agent, a repository or a vault wrote.
func cleanRequest(r *control.Request) {
	for _, text := range []*string{
		&r.Profile, &r.Provider, &r.Login, &r.Method, &r.Host, &r.Path, &r.Repository, &r.Rule, &r.Agent, &r.Dir, &r.Type,
	} {
		*text = plain.Clean(*text)
	}
}

// hosts are those that the session has logins for, by name.
func (s *Session) hosts() []control.Host {
	snap := s.snapshot.Load()
	var hosts []control.Host
	for _, c := range snap.logins {
		if c.definition == nil || c.problem == problemRemoved {
			continue
		}
		for _, pattern := range c.definition.Hosts {
			host, _, err := providers.SplitHost(pattern)
			if err != nil {
				continue
			}
			h := control.Host{Host: host, Provider: c.login.Provider, Profile: snap.names.show(c.key.profile)}
			if !slices.Contains(hosts, h) {
				hosts = append(hosts, h)
			}
		}
	}
	sort.Slice(hosts, func(i, j int) bool {
		return hosts[i].Host+" "+hosts[i].Profile < hosts[j].Host+" "+hosts[j].Profile
	})
	return hosts[:min(len(hosts), shownHosts)]
}

// Changed implements control.Handler.
func (s *Session) Changed() <-chan struct{} { return s.console.pulse.next() }

// Stop implements control.Handler: whoever runs the session's child hears of it
// by Stopping.
func (s *Session) Stop(context.Context) error {
	s.console.stop.Do(func() { close(s.console.stopping) })
	return nil
}

// Stopping is closed when a person has the session stop.
func (s *Session) Stopping() <-chan struct{} { return s.console.stopping }

// Stopped reports whether a person had the session stop.
func (s *Session) Stopped() bool {
	select {
	case <-s.console.stopping:
		return true
	default:
		return false
	}
}

// Runs tells the session which process is its child.
func (s *Session) Runs(pid int) {
	s.console.child.Store(int64(pid))
	s.console.pulse.tell()
}

// closeConsole takes the socket away.
func (s *Session) closeConsole() {
	if s.console.server != nil {
		s.console.server.Close()
	}
}

// ClearSession removes what a crashed session left: its socket, and the folder
// that its child was shown.
func (p Paths) ClearSession(e control.Entry) error {
	if err := control.Clear(p.Control(), e); err != nil {
		return err
	}
	if err := os.RemoveAll(filepath.Join(p.Runtime, "s-"+e.ID)); err != nil {
		return fmt.Errorf("clear session %s: %w", e.ID, err)
	}
	return nil
}
