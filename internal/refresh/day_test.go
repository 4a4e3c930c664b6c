package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/internal/testkit"
)

// A day of several sessions and logins at servers that rotate, with servers
// that fail, clocks that are set and sessions that are killed: whoever uses a
// login gets a token that the API takes, and no login ends.
func TestADay(t *testing.T) {
	t.Parallel()
	seeds := 1
	if os.Getenv("KB_THOROUGH") != "" {
		seeds = 25
	}
	first := uint64(20261126)
	if s := os.Getenv("KB_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first = n
	}
	for i := range seeds {
		seed := first + uint64(i)
		t.Run(fmt.Sprintf("KB_SEED=%d", seed), func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "state")
			synctest.Test(t, func(t *testing.T) { newDay(t, dir, seed).run() })
		})
	}
}

const (
	dayLogins   = 4
	daySessions = 3
)

// dayLength is how long it is, and something happens once in so many minutes:
// the race detector's is a third of a day in which as much happens.
func dayLength() (long time.Duration, calm int) {
	if testkit.RaceEnabled && os.Getenv("KB_THOROUGH") == "" {
		return 8 * time.Hour, 50
	}
	return 24 * time.Hour, 150
}

// day is the machine, its clock, and the servers elsewhere.
type day struct {
	t        *testing.T
	dir      string
	random   *rand.Rand
	start    time.Time
	set      atomic.Int64 // nanoseconds by which the machine's clock is ahead of the truth
	servers  []*issuer
	logins   []refresh.Login
	sessions []*daySession

	lives, kills, jumps, rejected, uses int
	failures                            atomic.Int64
	disk                                atomicfile.Disk // syncs nothing: a kill is no power cut
}

type daySession struct {
	m      *refresh.Manager
	stop   context.CancelFunc
	killed atomic.Bool
	killAt atomic.Value // string: the step at which it is killed
}

func newDay(t *testing.T, dir string, seed uint64) *day {
	d := &day{t: t, dir: dir, random: rand.New(rand.NewPCG(seed, 1)), start: time.Now()}
	store := openStore(t, dir)
	var err error
	if d.disk, err = faultdisk.New(dir, nil); err != nil {
		t.Fatal(err)
	}
	for i := range dayLogins {
		s := newIssuer(time.Now, []time.Duration{time.Hour, 20 * time.Minute, 2 * time.Hour, 10 * time.Minute}[i%4])
		s.rotate, s.reuse = true, true
		l := refresh.Login{
			Key: state.LoginKey{Profile: "work", Provider: fmt.Sprint("p", i)}, Made: d.start,
			Grant: func() (refresh.Grant, error) {
				return refresh.Grant{Kind: refresh.KindRefresh, Server: oauth.Server{Token: strconv.Itoa(i)}}, nil
			},
		}
		access, next, life, _ := s.grant("refresh-0", false)
		err := store.PutToken(t.Context(), l.Key, state.Token{
			Access: secret.New(access), Refresh: secret.New(next), Made: d.start, Obtained: d.start, Expires: d.start.Add(life), State: refresh.StateOK,
		})
		if err != nil {
			t.Fatal(err)
		}
		d.servers, d.logins = append(d.servers, s), append(d.logins, l)
	}
	for range daySessions {
		d.sessions = append(d.sessions, d.session())
	}
	return d
}

func (d *day) now() time.Time { return time.Now().Add(time.Duration(d.set.Load())) }

// session starts one: its own view of the store, and its background loop.
func (d *day) session() *daySession {
	s := &daySession{}
	s.m = refresh.New(refresh.Options{
		Store: openStore(d.t, d.dir), Now: d.now, Elapsed: func() time.Duration { return time.Since(d.start) },
		Exchange: func(ctx context.Context, g refresh.Grant, with secret.Value) (oauth.Tokens, error) {
			time.Sleep(200 * time.Millisecond)
			i, _ := strconv.Atoi(g.Server.Token)
			return d.servers[i].exchange(d.now)(ctx, g, with)
		},
	})
	s.m.SetDisk(d.disk)
	s.m.SetStep(func(step string) {
		if s.killed.Load() || s.killAt.Load() == step {
			// As far as this session goes: nothing of it is done any more, and the
			// kernel lets its locks go.
			s.killed.Store(true)
			runtime.Goexit()
		}
	})
	ctx, cancel := context.WithCancel(d.t.Context())
	s.stop = cancel
	go s.m.Keep(ctx, func() []refresh.Login { return d.logins })
	return s
}

// safeSteps are those at which a kill loses no answer. What a kill between
// answer and save does, and that a worker prevents it, is
// TestKillOfASessionWithAWorkerAtEachStep.
var safeSteps = []string{"flight", "locked", "read", "journaled", "saved", "cleared", "unlocked"}

func (d *day) run() {
	const tick = time.Minute
	long, calm := dayLength()
	for elapsed := time.Duration(0); elapsed < long; elapsed += tick {
		d.events(calm)
		for _, s := range d.sessions {
			d.use(s, d.random.IntN(dayLogins))
		}
		time.Sleep(tick)
	}
	for _, s := range d.sessions {
		s.stop()
		s.m.Wait()
	}
	requests := 0
	for i, s := range d.servers {
		requests += s.asked()
		if !s.alive() {
			d.t.Errorf("login %d ended", i)
		}
		d.lives += int(long/(s.life*4/5)) + 1 // due when four fifths are over
	}
	d.t.Logf("%d uses, %d token requests, %d failed; %d lives, %d kills, %d clocks set, %d of 401",
		d.uses, requests, d.failures.Load(), d.lives, d.kills, d.jumps, d.rejected)
	// Each jump may make every login's token doubtful, once.
	if most := d.lives + int(d.failures.Load()) + d.kills + d.jumps*dayLogins + d.rejected; requests > most {
		d.t.Errorf("%d token requests, want at most %d", requests, most)
	}
	if d.kills < 5 || d.jumps < 5 || d.failures.Load() < 5 {
		d.t.Error("the day was too quiet")
	}
}

// events is what happens to the machine.
func (d *day) events(calm int) {
	for i, s := range d.sessions {
		if s.killed.Load() {
			d.kills++
			s.stop()
			d.sessions[i] = d.session()
		}
	}
	switch d.random.IntN(calm) {
	case 0: // the clock is set
		d.jumps++
		to := []time.Duration{0, 24 * time.Hour, -24 * time.Hour, 10 * time.Minute, -10 * time.Minute}[d.random.IntN(5)]
		d.set.Store(int64(to))
	case 1, 2: // a session is killed at its next refresh
		s := d.sessions[d.random.IntN(daySessions)]
		s.killAt.Store(safeSteps[d.random.IntN(len(safeSteps))])
	case 3: // a server is down for its next requests
		s := d.servers[d.random.IntN(dayLogins)]
		var left atomic.Int64
		left.Store(int64(1 + d.random.IntN(3)))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.fault = func(int) (error, bool) {
			if left.Add(-1) < 0 {
				return nil, false
			}
			d.failures.Add(1)
			return &oauth.Error{Endpoint: "token", Status: 503}, false
		}
	}
}

// use uses a login as an agent would: a 401 that the proxy mends is none.
func (d *day) use(s *daySession, i int) {
	l := d.logins[i]
	d.uses++
	got, err := s.m.Token(d.t.Context(), l)
	for err == nil && !d.servers[i].accepts(got) {
		d.rejected++
		got, err = s.m.Rejected(d.t.Context(), l, got.Access)
	}
	var offline *refresh.OfflineError
	switch {
	case err == nil, s.killed.Load():
	case errors.As(err, &offline):
		// Only where the server failed: it is said for what it is.
		if got, _, _ := openStore(d.t, d.dir).Token(l.Key); got.Failures == 0 {
			d.t.Errorf("offline, and the server was not: %v", err)
		}
	default:
		d.t.Errorf("after %v: %v", time.Since(d.start), err)
	}
}
