package refresh_test

import (
	"bufio"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
	"kb/internal/oauth"
	"kb/internal/refresh"
	"kb/internal/secret"
	"kb/internal/state"
	"kb/internal/testkit"
)

// The test binary is also a session of kb, and a worker: what is killed must be
// a process.
const (
	asSession = "as-session"
	asWorker  = "as-worker"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case asSession:
			os.Exit(session())
		case asWorker:
			os.Exit(worker(os.Args[2:]))
		case refresh.WorkerArgument:
			os.Exit(refresh.WorkerMain(os.Stdin, os.Stdout))
		}
	}
	goleak.VerifyTestMain(m)
}

// stop is a step of a refresh, and what happens at it.
type stop struct {
	Step string
	Whom string // "self", "parent"; "halted": itself, until somebody wakes it

	Parent int // the session, in its worker
}

func (s stop) at(step string) {
	if step != s.Step {
		return
	}
	switch s.Whom {
	case "self":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "halted":
		_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	case "parent":
		// A session that has ended by itself has left this worker to another
		// parent, which is nobody's to kill.
		if s.Parent == 0 || os.Getppid() != s.Parent {
			return
		}
		_ = syscall.Kill(s.Parent, syscall.SIGKILL)
		for os.Getppid() == s.Parent {
			time.Sleep(time.Millisecond) // until the kernel has done it
		}
	}
}

// orphanLife is when a process of a test ends, whatever it waits for: a test
// that failed must leave none behind.
const orphanLife = 2 * time.Minute

func endLater() { time.AfterFunc(orphanLife, func() { os.Exit(3) }) }

// worker is a worker that does something at a step. "full" is a disk that is
// full from then on, until the session is gone and two saves more have failed.
func worker(args []string) int {
	endLater()
	s := stop{Step: args[0], Whom: args[1]}
	var err error
	if s.Parent, err = strconv.Atoi(args[2]); err != nil {
		return 3
	}
	if s.Whom != "full" {
		return refresh.Work(s.at, nil, 0)
	}
	disk := &workerDisk{parent: s.Parent}
	return refresh.Work(func(step string) {
		disk.on = disk.on || step == s.Step
	}, disk, time.Minute)
}

type workerDisk struct {
	*faultdisk.Disk
	parent int
	on     bool
	failed int
}

func (d *workerDisk) Create(path string) (atomicfile.File, error) {
	if d.Disk == nil {
		var err error
		if d.Disk, err = faultdisk.New(filepath.Dir(filepath.Dir(path)), nil); err != nil {
			return nil, err
		}
	}
	if d.on && d.failed < 2 {
		if d.failed++; d.failed == 1 {
			stop{"full", "parent", d.parent}.at("full")
		}
		return nil, syscall.ENOSPC
	}
	return d.Disk.Create(path)
}

// spawner starts this binary as a worker.
func spawner(at stop) refresh.Spawner {
	return func() (*exec.Cmd, error) {
		self, err := os.Executable()
		return &exec.Cmd{Path: self, Args: []string{"kb", asWorker, at.Step, at.Whom, strconv.Itoa(os.Getpid())}}, err
	}
}

// sessionSpec is what a session of the test is told, on its stdin.
type sessionSpec struct {
	Dir    string
	Issuer string // URL of the token endpoint
	Users  int    // who use the login at once
	Stop   stop   // of the session itself
	Worker *stop  // nil: no worker
	Self   bool   // the worker is the session's own program
	Wait   bool   // for a line on stdin, after saying that it is ready

	FileSize uint64 // the most that a file may have, in bytes; 0: no limit
}

// session uses a login and prints "ok" for each user who got a token.
func session() int {
	endLater()
	in := bufio.NewReader(os.Stdin)
	var spec sessionSpec
	line, _ := in.ReadBytes('\n')
	if err := json.Unmarshal(line, &spec); err != nil {
		fmt.Println(err)
		return 1
	}
	if n := spec.FileSize; n > 0 {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	store, err := state.Open(spec.Dir, storeKey)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	var spawn refresh.Spawner
	switch {
	case spec.Self:
		spawn = func() (*exec.Cmd, error) {
			fmt.Println("spawned")
			return refresh.Self()
		}
	case spec.Worker != nil:
		spawn = spawner(*spec.Worker)
	}
	m := managerOf(store, spawn)
	m.SetStep(spec.Stop.at)
	l := remoteLogin(spec.Issuer)
	if spec.Wait {
		fmt.Println("ready")
		_, _ = in.ReadBytes('\n')
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range spec.Users {
		wg.Go(func() {
			t, err := m.Token(context.Background(), l)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				fmt.Println(err)
				return
			}
			fmt.Println("ok", t.Access.Reveal())
		})
	}
	wg.Wait()
	m.Wait()
	return 0
}

func managerOf(store *state.Store, spawn refresh.Spawner) *refresh.Manager {
	return refresh.New(refresh.Options{Store: store, Spawn: spawn, Flows: func() *oauth.Flows {
		client, err := refresh.NewClient(store)
		if err != nil {
			panic(err)
		}
		return oauth.New(oauth.Options{Client: client})
	}})
}

var loginMade = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func remoteLogin(endpoint string) refresh.Login {
	return refresh.Login{
		Key:  state.LoginKey{Profile: "work", Provider: "linear"},
		Made: loginMade,
		Grant: func() (refresh.Grant, error) {
			return refresh.Grant{
				Kind: refresh.KindRefresh, Server: oauth.Server{Token: endpoint},
				Client: oauth.Client{ID: "kb-test", Secret: secret.New("client-secret")},
			}, nil
		},
	}
}

// remote is an issuer behind a real TLS server, and a device with a login at it
// whose token is over.
type remote struct {
	*issuer
	t      testing.TB
	url    string
	dir    string
	store  *state.Store
	answer func(w http.ResponseWriter, r *http.Request) bool // in place of the issuer's, if it returns true
}

func newRemote(t testing.TB, rotate bool) *remote {
	t.Helper()
	r := &remote{issuer: newIssuer(time.Now, time.Hour), t: t, dir: filepath.Join(t.TempDir(), "state")}
	r.rotate, r.reuse = rotate, rotate
	server := httptest.NewTLSServer(http.HandlerFunc(r.serve))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	r.url = server.URL + "/token"
	r.store = openStore(t, r.dir)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := r.store.PutSetting(context.Background(), "upstream_ca", string(ca)); err != nil {
		t.Fatal(err)
	}
	r.expire()
	return r
}

// expire makes the stored token one that is over.
func (r *remote) expire() {
	r.t.Helper()
	r.mu.Lock()
	current := r.current
	r.mu.Unlock()
	now := time.Now()
	err := r.store.PutToken(context.Background(), remoteLogin("").Key, state.Token{
		Access: secret.New("over"), Refresh: secret.New(current), Type: "Bearer", Made: loginMade, State: refresh.StateOK,
		Obtained: now.Add(-2 * time.Hour), Expires: now.Add(-time.Hour), Since: now.Add(-2 * time.Hour),
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

func (r *remote) serve(w http.ResponseWriter, q *http.Request) {
	_, _ = r.count()
	if answer := r.answer; answer != nil && answer(w, q) {
		return
	}
	r.reply(w, q)
}

// reply is the issuer's own answer.
func (r *remote) reply(w http.ResponseWriter, q *http.Request) {
	access, next, life, code := r.grant(q.PostFormValue("refresh_token"), false)
	w.Header().Set("Content-Type", "application/json")
	if code != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": code})
		return
	}
	body := map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(life / time.Second)}
	if next != "" {
		body["refresh_token"] = next
	}
	_ = json.NewEncoder(w).Encode(body)
}

// run runs a session and returns its output and whether it was killed.
func (r *remote) run(spec sessionSpec) (out string, killed bool) {
	r.t.Helper()
	cmd, in := r.start(spec)
	var b strings.Builder
	cmd.Stdout, cmd.Stderr = &b, &b
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	_ = in.Close()
	err := cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		status := exit.Sys().(syscall.WaitStatus)
		return b.String(), status.Signaled() && status.Signal() == syscall.SIGKILL
	}
	return b.String(), false
}

func (r *remote) start(spec sessionSpec) (*exec.Cmd, *os.File) {
	r.t.Helper()
	self, err := os.Executable()
	if err != nil {
		r.t.Fatal(err)
	}
	spec.Dir, spec.Issuer = r.dir, r.url
	b, err := json.Marshal(spec)
	if err != nil {
		r.t.Fatal(err)
	}
	read, write, err := os.Pipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := write.Write(append(b, '\n')); err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(r.t.Context(), self, asSession)
	cmd.Stdin = read
	r.t.Cleanup(func() { _ = read.Close() })
	return cmd, write
}

// next is what the next process gets.
func (r *remote) next(spawn refresh.Spawner) (state.Token, error) {
	r.t.Helper()
	m := managerOf(openStore(r.t, r.dir), spawn)
	defer m.Wait()
	return m.Token(context.Background(), remoteLogin(r.url))
}

var none = stop{}

// servers are those that rotate refresh tokens and end a family at reuse, and
// those that do neither, which the race detector's run leaves to the other one.
func servers() []bool {
	if testkit.RaceEnabled && os.Getenv("KB_THOROUGH") == "" {
		return []bool{true}
	}
	return []bool{true, false}
}

var (
	sessionSteps = []string{"flight", "locked", "read", "journaled", "answered", "saved", "cleared", "unlocked"}
	handingSteps = []string{"flight", "locked", "read", "spawned", "handed"}
	workerSteps  = []string{"ready", "given", "journaled", "answered", "saved", "cleared", "told"}
)

// Without a worker, a kill between the server's answer and its saving ends a
// login at a server that rotates, and the next process says so, once. This is
// what the worker is for.
func TestKillOfASessionWithoutAWorkerAtEachStep(t *testing.T) {
	for _, rotate := range servers() {
		for _, step := range sessionSteps {
			t.Run(fmt.Sprintf("rotate=%v/%s", rotate, step), func(t *testing.T) {
				t.Parallel()
				r := newRemote(t, rotate)
				out, killed := r.run(sessionSpec{Users: 1, Stop: stop{Step: step, Whom: "self"}})
				if !killed {
					t.Fatalf("the session was not killed: %s", out)
				}
				got, err := r.next(nil)
				if rotate && step == "answered" {
					r.lost(err)
					return
				}
				if err != nil || !r.accepts(got) {
					t.Fatalf("the next process: a stale token, or %v", err)
				}
				want := 1
				if step == "answered" {
					want = 2
				}
				if n := r.asked(); n != want {
					t.Errorf("%d token requests, want %d", n, want)
				}
				if !r.alive() {
					t.Error("the family is dead")
				}
			})
		}
	}
}

// lost checks that err says that an answer was lost, and that nobody asks again.
func (r *remote) lost(err error) {
	r.t.Helper()
	var needs *refresh.NeedsLoginError
	if !errors.As(err, &needs) || !strings.Contains(needs.Reason, "was lost") {
		r.t.Fatalf("error is %v", err)
	}
	asked := r.asked()
	for range 20 {
		if _, err := r.next(nil); !errors.As(err, &needs) {
			r.t.Fatalf("then error is %v", err)
		}
	}
	if asked != 2 || r.asked() != asked {
		r.t.Errorf("%d token requests, and then %d", asked, r.asked())
	}
}

// A session is killed while it hands a refresh to a worker, and at each step of
// that worker: the refresh is done, once, and the next process has its token.
func TestKillOfASessionWithAWorkerAtEachStep(t *testing.T) {
	for _, rotate := range servers() {
		for _, step := range append(handingSteps, workerSteps...) {
			spec := sessionSpec{Users: 1, Worker: &stop{Step: step, Whom: "parent"}}
			if strings.Contains(strings.Join(handingSteps, " "), step) {
				spec = sessionSpec{Users: 1, Stop: stop{Step: step, Whom: "self"}, Worker: &none}
			}
			t.Run(fmt.Sprintf("rotate=%v/%s", rotate, step), func(t *testing.T) {
				t.Parallel()
				r := newRemote(t, rotate)
				out, killed := r.run(spec)
				if !killed && step != "told" { // by which it may have ended by itself
					t.Fatalf("the session was not killed: %s", out)
				}
				got, err := r.next(nil)
				if err != nil || !r.accepts(got) {
					t.Fatalf("the next process: a stale token, or %v", err)
				}
				if n := r.asked(); n != 1 {
					t.Errorf("%d token requests, want 1", n)
				}
				if !r.alive() {
					t.Error("the family is dead")
				}
			})
		}
	}
}

// The worker itself is killed, at each of its steps; its session lives.
func TestKillOfAWorkerAtEachStep(t *testing.T) {
	for _, rotate := range servers() {
		for _, step := range workerSteps {
			t.Run(fmt.Sprintf("rotate=%v/%s", rotate, step), func(t *testing.T) {
				t.Parallel()
				r := newRemote(t, rotate)
				got, err := r.next(spawner(stop{Step: step, Whom: "self"}))
				if rotate && step == "answered" {
					r.lost(err)
					return
				}
				if err != nil || !r.accepts(got) {
					t.Fatalf("a stale token, or %v", err)
				}
				want := 1
				if step == "answered" {
					want = 2
				}
				if n := r.asked(); n != want {
					t.Errorf("%d token requests, want %d", n, want)
				}
			})
		}
	}
}

// A worker that was not given a job, or not by kb, does nothing.
func TestWorkerWithoutAJobEnds(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{"", "\n", "{}\n", `{"Dir":"/tmp","StoreKey":"AAAA"}` + "\n", strings.Repeat("x", 5<<20)} {
		cmd := exec.CommandContext(t.Context(), self, asWorker, "", "", "0")
		cmd.Stdin = strings.NewReader(in)
		out, err := cmd.Output()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || exit.ExitCode() != 2 || string(out) != "ready\n" {
			t.Errorf("given %.20q it ends with %v and says %q", in, err, out)
		}
	}
}

// A worker whose disk is full, and whose session is gone, is the only one who
// has the new tokens: it goes on trying.
func TestWorkerSavesLate(t *testing.T) {
	r := newRemote(t, true)
	out, killed := r.run(sessionSpec{Users: 1, Worker: &stop{Step: "answered", Whom: "full"}})
	if !killed {
		t.Fatalf("the session was not killed: %s", out)
	}
	got, err := r.next(nil)
	if err != nil || !r.accepts(got) || r.asked() != 1 || !r.alive() {
		t.Errorf("stale, or %v, after %d requests", err, r.asked())
	}
}

// Where there is no worker to be had, the session does it.
func TestNoWorkerCanBeStarted(t *testing.T) {
	for name, spawn := range map[string]refresh.Spawner{
		"no program":      func() (*exec.Cmd, error) { return nil, errors.New("gone") },
		"not there":       func() (*exec.Cmd, error) { return &exec.Cmd{Path: "/nowhere/kb", Args: []string{"kb"}}, nil },
		"another program": func() (*exec.Cmd, error) { return &exec.Cmd{Path: "/bin/true", Args: []string{"true"}}, nil },
	} {
		r := newRemote(t, true)
		got, err := r.next(spawn)
		if err != nil || !r.accepts(got) || r.asked() != 1 {
			t.Errorf("%s: stale, or %v", name, err)
		}
	}
}
