package broker

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"kb/internal/audit"
	"kb/internal/secret"
	"kb/profile"
	"kb/proxy"
	"kb/vaultfile"
)

// SessionSpec is what a session is started with.
type SessionSpec struct {
	Dir        string   // empty means the working directory
	Profile    string   // profile named by the user; empty means by the rules
	Also       []string // further profiles that the session may use
	Command    []string // for rules on agents and the audit; the supervisor runs it
	Environ    []string // the parent's environment
	Tier       string   // isolation, for the notes
	AcceptPin  bool
	ConfirmPin func(context.Context, PinChange) (bool, error)
}

// Session is one kb exec and everything under it. It implements proxy.Policy.
type Session struct {
	ID string // eight hex digits

	broker       *Broker
	own          string
	granted      []string
	query        profile.Query
	workspace    profile.Workspace
	snapshot     atomic.Pointer[snapshot]
	placeholders *placeholders
	requests     count
	injected     count // of them, with a credential
	denied       count // of them, refused
	approvals    *approvals
	limits       limits
	agent        string // base name of the command
	console      console
	token        secret.Value
	address      string
	ca           *proxy.CA
	server       *proxy.Server
	log          *audit.Log
	files        sessionFiles
	env          []string
	notes        []string
	decision     *Decision

	life    context.Context // until Close
	end     context.CancelFunc
	mu      sync.Mutex // of ended
	ended   bool
	behind  sync.WaitGroup // what runs in the background
	serving chan error
	look    chan chan struct{} // has the watch look at the vault now; closed when it has
	closing sync.Once
}

// UnknownProfileError names a profile that the vault does not have.
type UnknownProfileError struct{ Name string }

func (e *UnknownProfileError) Error() string {
	return fmt.Sprintf("find profile %q: there is none of that name", e.Name)
}

// drainTime bounds how long Close waits for exchanges that still run when the
// child has ended: what an agent's background process sends then is not worth
// more.
const drainTime = 500 * time.Millisecond

// StartSession resolves the directory and makes everything that the child
// needs: proxy, certificate authority, placeholders, environment, audit.
func (b *Broker) StartSession(ctx context.Context, spec SessionSpec) (*Session, error) {
	decision, err := b.Decide(ctx, DecideSpec{
		Dir: spec.Dir, Environ: spec.Environ, Command: first(spec.Command), Explicit: spec.Profile,
		AcceptPin: spec.AcceptPin, Confirm: spec.ConfirmPin,
	})
	if err != nil {
		return nil, err
	}
	s := &Session{
		broker: b, own: decision.Match.Profile, query: decision.Query, workspace: decision.Workspace,
		decision: decision, notes: decision.Notes, serving: make(chan error, 1), look: make(chan chan struct{}), approvals: newApprovals(b.now),
		agent: filepath.Base(first(spec.Command)),
	}
	s.life, s.end = context.WithCancel(context.Background())
	s.prepareConsole()
	if err := s.grant(spec.Also); err != nil {
		return nil, err
	}
	if err := s.random(b.random); err != nil {
		return nil, err
	}
	// The audit's files are made while the logins are joined and the keys
	// drawn: each takes a millisecond of the twelve that a start may.
	logged := make(chan error, 1)
	go func() { logged <- s.openLog(spec) }()
	err = s.prepare()
	if logErr := <-logged; logErr != nil {
		err = logErr
	}
	if err == nil {
		err = s.open(ctx)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	if err := s.openConsole(spec); err != nil {
		s.Close()
		return nil, err
	}
	var removed []string
	s.env, removed = s.childEnvironment(spec.Environ)
	s.explain(spec, removed)
	s.background(s.watch)
	s.background(s.upkeep)
	s.background(func(ctx context.Context) { b.fetchReferences(ctx, loginsOf(s.snapshot.Load())) })
	return s, nil
}

// background runs f until the session ends, and has Close wait for it. After
// that it does nothing.
func (s *Session) background(f func(context.Context)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.ended {
		s.behind.Go(func() { f(s.life) })
	}
}

// grant fixes the set of profiles: the session's own, those that the user
// names and those that its profile names.
func (s *Session) grant(named []string) error {
	c := s.broker.All()
	s.granted = []string{s.own}
	p, ok := c.Profile(s.own)
	if !ok {
		return &UnknownProfileError{s.own}
	}
	also := make([]string, len(named))
	for i, given := range named {
		var err error
		if also[i], err = s.broker.find(given); err != nil {
			return err
		}
	}
	for _, name := range slices.Concat(also, p.Also) {
		if slices.Contains(s.granted, name) {
			continue
		}
		if _, ok := c.Profile(name); !ok {
			return &UnknownProfileError{name}
		}
		s.granted = append(s.granted, name)
	}
	return nil
}

// random makes the session's id and its token of 32 bytes.
func (s *Session) random(r io.Reader) error {
	var bytes [4 + 32]byte
	if _, err := io.ReadFull(r, bytes[:]); err != nil {
		return fmt.Errorf("make session token: %w", err)
	}
	s.ID = hex.EncodeToString(bytes[:4])
	s.token = secret.New(base64.RawURLEncoding.EncodeToString(bytes[4:]))
	return nil
}

// openLog makes the session's audit.
func (s *Session) openLog(spec SessionSpec) (err error) {
	b := s.broker
	s.log, err = audit.Create(b.paths.Audit(), s.ID, b.auditKey, audit.Options{
		Index: b.auditIndex, Now: b.now,
		Start: audit.Event{Profile: s.own, Detail: filepath.Base(first(spec.Command)) + " in " + s.workspace.Dir, Reason: s.decision.Match.Reason},
	})
	return err
}

// prepare makes what is only computed: the snapshot, the placeholders, the
// certificate authority.
func (s *Session) prepare() (err error) {
	b := s.broker
	snap := b.newSnapshot(s.granted, s.query, nil)
	snap.tokenHosts = map[authority]bool{}
	for _, c := range snap.logins {
		for _, at := range c.endpoints {
			snap.tokenHosts[at.authority] = true
		}
	}
	s.snapshot.Store(snap)
	if s.placeholders, err = newPlaceholders(loginsOf(snap), b.catalogOf, b.random); err != nil {
		return err
	}
	b.placeAgents(s.placeholders, snap)
	names, addrs := b.authorities(snap)
	s.ca, err = proxy.NewCA(names, addrs, b.now, rand.Reader)
	return err
}

// open makes what must be closed again.
func (s *Session) open(ctx context.Context) error {
	b := s.broker
	pool, bundle, err := b.upstreamRoots()
	if err != nil {
		return err
	}
	s.server, err = proxy.New(proxy.Options{
		Policy: s, CA: s.ca, Token: s.token, Resolver: b.resolver, Roots: pool, Now: b.now, Dial: b.dial,
	})
	if err != nil {
		return err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen for the session: %w", err)
	}
	s.address = listener.Addr().String()
	go func() { s.serving <- s.server.Serve(listener) }()
	return s.writeFiles(bundle)
}

func first(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return words[0]
}

func loginsOf(s *snapshot) []vaultfile.Login {
	logins := make([]vaultfile.Login, len(s.logins))
	for i, c := range s.logins {
		logins[i] = c.login
	}
	return logins
}

// Environment is the whole environment of the session's child.
func (s *Session) Environment() []string { return s.env }

// Profile is the session's own profile.
func (s *Session) Profile() string { return s.own }

// show is how a profile is called in talk.
func (s *Session) show(full string) string { return s.snapshot.Load().names.show(full) }

// Decision is why the session has its profile.
func (s *Session) Decision() *Decision { return s.decision }

// Notes are lines for the person who started the session.
func (s *Session) Notes() []string { return s.notes }

// explain says what the session is and what it does not stop.
func (s *Session) explain(spec SessionSpec, removed []string) {
	say := func(format string, args ...any) { s.notes = append(s.notes, fmt.Sprintf(format, args...)) }
	logins := map[string]bool{}
	var names []string
	for _, c := range s.snapshot.Load().logins {
		if c.key.profile == s.own && !logins[c.key.provider] {
			logins[c.key.provider] = true
			names = append(names, c.key.provider)
		}
	}
	what := "no logins yet (kb login PROVIDER -p " + s.show(s.own) + ")"
	if len(names) > 0 {
		what = strings.Join(names, ", ")
	}
	also := ""
	if len(s.granted) > 1 {
		var shown []string
		for _, name := range s.granted[1:] {
			shown = append(shown, s.show(name))
		}
		also = ", also " + strings.Join(shown, ", ")
	}
	say("profile %s%s: %s", s.show(s.own), also, what)
	if corporate := newEnvironment(spec.Environ).get("HTTPS_PROXY"); corporate != "" {
		say("HTTPS_PROXY of your environment is not used: kb reaches the network directly, an upstream proxy is not supported yet")
	}
	for _, c := range s.snapshot.Load().logins {
		if problem := s.broker.problemOf(c); problem != "" {
			say("the login of %s at %s cannot be used: %s", s.show(c.key.profile), c.key.provider, problem)
		}
	}
	if len(removed) > 0 {
		say("taken from the environment: %s", strings.Join(removed, " "))
	}
	if spec.Tier == "off" {
		say("isolation off: the agent is handed no secret, and nothing stops it from taking one")
		return
	}
	files := s.broker.readableCredentials()
	note := "isolation hardened: kb's memory is closed to the agent, your files are not"
	if len(files) > 0 {
		note += "; it can read " + strings.Join(files, " ")
	}
	say("%s", note)
}

// Close ends the session: no new request is taken, those that run get a short
// time, the audit is sealed and the session's files are removed.
func (s *Session) Close() {
	s.closing.Do(func() {
		s.mu.Lock()
		s.ended = true
		s.mu.Unlock()
		s.end()
		s.closeConsole()
		s.behind.Wait()
		if s.server != nil {
			ctx, cancel := context.WithTimeout(context.Background(), drainTime)
			defer cancel()
			_ = s.server.Shutdown(ctx) // what does not end in time is cut
		}
		var removing sync.WaitGroup
		if s.files.dir != "" {
			removing.Go(func() { _ = os.RemoveAll(s.files.dir) }) // while the audit waits for the disk
		}
		if s.log != nil {
			detail := ""
			if s.Stopped() {
				detail = stoppedDetail
			}
			if err := s.log.Stop(detail); err != nil && !errors.Is(err, os.ErrClosed) {
				s.broker.complain(fmt.Errorf("close audit of session %s: %w", s.ID, err))
			}
		}
		removing.Wait()
	})
}
