package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// scale is how long a run takes.
type scale struct {
	rounds    int           // of every row, alternating between subjects
	extra     int           // rounds that may follow discarded ones
	keepAlive time.Duration // of one subject in one round
	bodyTime  time.Duration
	far       int // new connections to the far upstream, by subject
	fresh     int // hosts asked for the first time, by subject
	huge      int64
	events    int // of one stream
	echoes    int // WebSocket messages, by subject and round
	starts    int // of each program
	settle    time.Duration
	files     int // of the big repository
	logins    int // of the big vault
	keys      int // pressed on the dashboard
	idleTime  time.Duration
}

var (
	full = scale{
		rounds: 7, extra: 7, keepAlive: 500 * time.Millisecond, bodyTime: 600 * time.Millisecond,
		far: 21, fresh: 60, huge: 1 << 30, events: 60, echoes: 1000, starts: 40, settle: time.Second,
		files: 90_000, logins: 1000, keys: 300, idleTime: 10 * time.Second,
	}
	short = scale{
		rounds: 3, extra: 2, keepAlive: 150 * time.Millisecond, bodyTime: 150 * time.Millisecond,
		far: 7, fresh: 12, huge: 128 << 20, events: 15, echoes: 100, starts: 8, settle: 300 * time.Millisecond,
		files: 20_000, logins: 1000, keys: 100, idleTime: 3 * time.Second,
	}
)

// run is one benchmark.
type run struct {
	scale
	dir      string
	kb       string // the program
	home     *home
	session  *process // kb exec
	subjects map[string]*subject
	table    table

	idle int64 // kb's resident memory before the first request
}

// everything measures the table.
func everything(ctx context.Context, dir string, o options) (*table, error) {
	r := &run{scale: o.scale(), dir: dir, kb: o.kb, subjects: map[string]*subject{}}
	began := time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	load, _ := os.ReadFile("/proc/loadavg")
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		name string
		f    func(context.Context) error
	}{
		{"1 GiB", r.hugeBodies}, // first: a process that is warm has grown already
		{"keep-alive", r.keepAlives},
		{"new connections", r.connections},
		{"first requests", r.firstRequests},
		{"bodies", r.bodies},
		{"events", r.events64},
		{"HTTP/2", r.http2},
		{"WebSocket", r.webSocket},
		{"memory", r.memory},
	} {
		if !o.wants(step.name) {
			continue
		}
		if err := step.f(ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
		progress("%s: done after %.0f s", step.name, time.Since(began).Seconds())
	}
	if err := r.session.end(); err != nil {
		return nil, err
	}
	if err := r.checkAudit(); err != nil {
		return nil, err
	}
	if o.wants("start-up") {
		if err := r.startUp(ctx); err != nil {
			return nil, fmt.Errorf("start-up: %w", err)
		}
		progress("start-up: done after %.0f s", time.Since(began).Seconds())
	}
	if o.wants("dashboard") {
		if err := r.dashboard(ctx); err != nil {
			return nil, fmt.Errorf("dashboard: %w", err)
		}
		progress("dashboard: done after %.0f s", time.Since(began).Seconds())
	}
	after, _ := os.ReadFile("/proc/loadavg")
	r.table.load = [2]string{string(load), string(after)}
	r.table.took = time.Since(began)
	return &r.table, nil
}

// wants reports whether a step is to be measured.
func (o options) wants(step string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), step)
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }

// open starts the upstream, the proxies and kb's session.
func (r *run) open(ctx context.Context) error {
	roots := filepath.Join(r.dir, "ca.pem")
	if _, err := role(ctx, r.dir, roleUpstream); err != nil {
		return err
	}
	add := func(name string, p *process, gives bool) error {
		s, err := newSubject(name, p, roots, gives)
		r.subjects[name] = s
		return err
	}
	if err := add(direct, nil, true); err != nil {
		return err
	}
	for _, p := range []struct {
		name, role string
		gives      bool
	}{{tunnel, roleTunnel, true}, {reverse, roleReverse, false}, {peer, roleGoproxy, false}} {
		started, err := role(ctx, r.dir, p.role)
		if err != nil {
			return err
		}
		if err := add(p.name, started, p.gives); err != nil {
			return err
		}
	}
	var err error
	if r.home, err = newHome(ctx, filepath.Join(r.dir, "home"), true, 50, 200); err != nil {
		return err
	}
	if err := r.home.clone(ctx, 0, 0); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r.session, err = start(ctx, own, r.home.repo, r.home.environ(), []string{r.kb, "exec", "--", self, "-role", roleHold, "-dir", r.dir})
	if err != nil {
		return err
	}
	if err := add(own, r.session, false); err != nil {
		return err
	}
	time.Sleep(r.settle) // what a start leaves behind has gone
	r.idle, err = r.session.rss()
	return err
}

// alternate runs f for each subject in turn, as often as there are rounds,
// beginning with another subject each time.
func (r *run) alternate(names []string, f func(round int, s *subject) error) error {
	for round := range r.rounds {
		if err := r.round(round, names, f); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) round(round int, names []string, f func(round int, s *subject) error) error {
	for i := range names {
		s := r.subjects[names[(round+i)%len(names)]]
		if err := f(round, s); err != nil {
			return err
		}
	}
	return nil
}

func near(path string) string { return "https://" + nearHost + nearPath + path }
