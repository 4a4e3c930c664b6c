package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own other processes: with KB_TEST_CONTROL it plays the
// part that this names.
const partVariable = "KB_TEST_CONTROL"

func TestMain(m *testing.M) {
	switch part := os.Getenv(partVariable); part {
	case "":
		os.Exit(m.Run())
	case "session", "bound-session":
		playSession(part == "bound-session")
	case "raw":
		playRaw()
	case "orphan":
		playOrphan()
	case "heir":
		playHeir()
	case "bound":
		playBound()
	}
}

// part is a command that plays a part. "exec" stands in its arguments as in those
// of a session.
func part(t testing.TB, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(t.Context(), os.Args[0], append([]string{"exec"}, args...)...)
	cmd.Env = append(os.Environ(), partVariable+"="+name)
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// fake is a session's side.
type fake struct {
	mu      sync.Mutex
	status  Status
	changed chan struct{}
	answers []string
	stops   int
	asked   int // calls of Status
}

func newFake(id string) *fake {
	return &fake{changed: make(chan struct{}), status: Status{
		ID: id, PID: os.Getpid(), Profile: "work",
		Waiting: []Request{{ID: "abcdef", Session: id, Host: "api.acme.example", Body: -1}},
	}}
}

func (f *fake) Status() Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	return f.status
}

func (f *fake) Changed() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.changed
}

func (f *fake) change(fn func(*Status)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fn(&f.status)
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *fake) Answer(_ context.Context, id string, a Answer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id != "abcdef" {
		return fmt.Errorf("answer %q: %w", id, ErrNoRequest)
	}
	f.answers = append(f.answers, string(a))
	return nil
}

func (f *fake) Stop(context.Context) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stops++
	return nil
}

// serve listens in this process.
func serve(t testing.TB, dir, id string) (*fake, *Server) {
	t.Helper()
	f := newFake(id)
	s, err := Serve(t.Context(), ServeOptions{Dir: dir, ID: id, Handler: f})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return f, s
}

// folder is a folder for sockets whose path is short.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kb-ctl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "ctl")
}

// playSession is a kb exec: DIR ID [COMMAND…]. It serves, says "ready PID", runs
// the command, or else waits for the end of its input, and says "heard" with the
// stops and answers that came.
func playSession(bound bool) {
	dir, id, command := os.Args[2], os.Args[3], os.Args[4:]
	f := newFake(id)
	s, err := Serve(context.Background(), ServeOptions{Dir: dir, ID: id, Handler: f})
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	fmt.Println("ready", os.Getpid())
	if len(command) > 0 {
		becomeSupervisor(bound)
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		if err := cmd.Run(); err != nil {
			fmt.Println("failed", err)
		}
	} else {
		_, _ = io.Copy(io.Discard, os.Stdin)
	}
	s.Close()
	fmt.Println("heard", f.stops, f.answers)
}

// playRaw is an attacker: it looks at nobody's credentials, and prints what the
// socket that matches PATTERN answers to LINE.
func playRaw() {
	fmt.Println("said", rawAnswer(os.Args[2], os.Args[3]))
}

func rawAnswer(pattern, line string) string {
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) != 1 {
		return fmt.Sprintf("%d sockets match %s", len(paths), pattern)
	}
	c, err := net.Dial("unix", paths[0])
	if err != nil {
		return err.Error()
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = io.WriteString(c, line+"\n")
	answer, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(answer)
}

// playOrphan is an attacker that has left its parent and its terminal's session:
// it does what playRaw does when nobody is above it but who adopts, and writes it
// into FILE.
func playOrphan() {
	if os.Getenv("KB_TEST_ORPHAN") == "" {
		cmd := exec.Command(os.Args[0], os.Args[1:]...)
		cmd.Env = append(os.Environ(), "KB_TEST_ORPHAN="+strconv.Itoa(os.Getpid()))
		cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := cmd.Start(); err != nil {
			fmt.Println("failed", err)
		}
		return
	}
	for strconv.Itoa(os.Getppid()) == os.Getenv("KB_TEST_ORPHAN") {
		time.Sleep(time.Millisecond)
	}
	said := rawAnswer(os.Args[2], os.Args[3])
	_ = os.WriteFile(os.Args[4]+".new", []byte(said), 0o600)
	_ = os.Rename(os.Args[4]+".new", os.Args[4])
}

// playHeir connects to PATH and leaves the connection to its child, and "stays"
// or "ends" before that says a word.
func playHeir() {
	path, who := os.Args[2], os.Args[3]
	if parent := os.Getenv("KB_TEST_PARENT"); parent != "" {
		c := os.NewFile(3, "connection")
		for who == "ends" && strconv.Itoa(os.Getppid()) == parent {
			time.Sleep(time.Millisecond)
		}
		fmt.Println("connected")
		_, _ = io.WriteString(c, askStatus+"\n") // who is refused cannot
		answer, _ := bufio.NewReader(c).ReadString('\n')
		fmt.Println("said", strings.TrimSpace(answer))
		return
	}
	c, err := net.Dial("unix", path)
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	f, err := c.(*net.UnixConn).File()
	if err != nil {
		fmt.Println("failed", err)
		return
	}
	heir := exec.Command(os.Args[0], os.Args[1:]...)
	heir.Env = append(os.Environ(), "KB_TEST_PARENT="+strconv.Itoa(os.Getpid()))
	heir.Stdout, heir.ExtraFiles = os.Stdout, []*os.File{f}
	if err := heir.Start(); err != nil {
		fmt.Println("failed", err)
	}
	if who == "stays" {
		_ = heir.Wait()
	}
}

// sessionProcess is a session in a process of its own.
type sessionProcess struct {
	cmd   *exec.Cmd
	out   *bufio.Scanner
	stdin io.Closer
	pid   int
}

func startSession(t testing.TB, cmd *exec.Cmd) *sessionProcess {
	t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &sessionProcess{cmd: cmd, out: bufio.NewScanner(stdout), stdin: stdin}
	t.Cleanup(func() { s.stop() })
	s.pid, err = strconv.Atoi(s.line(t, "ready "))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// line is the next one that begins so.
func (s *sessionProcess) line(t testing.TB, begin string) string {
	t.Helper()
	for s.out.Scan() {
		if rest, ok := strings.CutPrefix(s.out.Text(), begin); ok {
			return rest
		}
		if strings.HasPrefix(s.out.Text(), "failed") {
			t.Fatal(s.out.Text())
		}
	}
	t.Fatalf("the session ended before it said %q", begin)
	return ""
}

func (s *sessionProcess) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
}

// suspend stops the session until the function that it returns is called.
func (s *sessionProcess) suspend(t testing.TB) (resume func()) {
	t.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(s.pid, &status, syscall.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatalf("it does not stop: %v", err)
	}
	return func() { _ = syscall.Kill(s.pid, syscall.SIGCONT) }
}

func (s *sessionProcess) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

func TestStatusAnswerStop(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, server := serve(t, dir, "1a2b3c4d")
	c, err := Dial(t.Context(), dir, "1a2b")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || s.ID != "1a2b3c4d" || s.Profile != "work" || len(s.Waiting) != 1 || s.Waiting[0].Body != -1 {
		t.Fatalf("status %+v, %v", s, err)
	}
	if err := c.Answer(t.Context(), "abcdef", DenySession); err != nil {
		t.Fatal(err)
	}
	if err := c.Answer(t.Context(), "000000", Once); !errors.Is(err, ErrNoRequest) {
		t.Errorf("answering an unknown request: %v", err)
	}
	if err := c.Answer(t.Context(), "abcdef", "always"); err == nil {
		t.Error("an answer that is none was taken")
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.mu.Lock()
	if strings.Join(f.answers, " ") != "deny-session" || f.stops != 1 {
		t.Errorf("the session heard %q and %d stops", f.answers, f.stops)
	}
	f.mu.Unlock()
	server.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("status of a session that ended: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%s is left", left[0].Name())
	}
	if _, err := Dial(t.Context(), dir, "1a2b"); !errors.Is(err, ErrUnknown) {
		t.Errorf("dialling what is not there: %v", err)
	}
}

func TestListTellsCrashedFromLive(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	serve(t, dir, "00000001")
	crashed := startSession(t, part(t, "session", dir, "00000002"))
	ended := startSession(t, part(t, "session", dir, "00000003"))
	crashed.kill()
	ended.stop()
	own, err := look(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// A process id that is another's by now: this process is not of that start.
	reused := Entry{ID: "00000004", PID: own.pid, Start: own.start - 1}
	for _, name := range []string{reused.name(), "new-" + reused.name(), "x.sock", "00000005-1-2-3.sock", "00000005-+1-2.sock", "../etc-1-2.sock"} {
		_ = os.WriteFile(filepath.Join(dir, filepath.Base(name)), nil, 0o600)
	}
	entries, err := List(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]State{}
	for _, e := range entries {
		got[e.ID] = e.State
	}
	if len(got) != 3 || got["00000001"] != Live || got["00000002"] != Crashed || got["00000004"] != Crashed {
		t.Errorf("listed %v", got)
	}
	for _, e := range entries {
		err := Clear(dir, e)
		if (e.State == Live) != (err != nil) {
			t.Errorf("clearing %s, which is %s: %v", e.ID, e.State, err)
		}
	}
	left, err := List(dir)
	if err != nil || len(left) != 1 || left[0].ID != "00000001" {
		t.Errorf("after clearing: %v, %v", left, err)
	}
	if _, err := NewClient(dir, left[0]).Status(t.Context()); err != nil {
		t.Errorf("the live one does not answer any more: %v", err)
	}
	if none, err := List(filepath.Join(dir, "none")); err != nil || len(none) != 0 {
		t.Errorf("no folder: %v, %v", none, err)
	}
}

func TestSuspendedSessionIsSaidToBe(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	s := startSession(t, part(t, "session", dir, "00000001"))
	defer s.suspend(t)()
	entries, err := List(dir)
	if err != nil || len(entries) != 1 || entries[0].State != Suspended {
		t.Errorf("listed %v, %v", entries, err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := NewClient(dir, entries[0]).Status(ctx); !errors.Is(err, ErrSilent) {
		t.Errorf("it answered %v", err)
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	entries := []Entry{{ID: "aa11"}, {ID: "aa22"}, {ID: "bb"}, {ID: "bb33"}}
	for prefix, want := range map[string]string{"aa1": "aa11", "bb": "bb", "bb3": "bb33"} {
		if e, err := Find(entries, prefix); err != nil || e.ID != want {
			t.Errorf("Find(%q) = %v, %v", prefix, e, err)
		}
	}
	var ambiguous *AmbiguousError
	if _, err := Find(entries, "aa"); !errors.As(err, &ambiguous) || len(ambiguous.IDs) != 2 {
		t.Errorf("an ambiguous prefix: %v", err)
	}
	for _, prefix := range []string{"c", ""} {
		if _, err := Find(entries, prefix); !errors.Is(err, ErrUnknown) {
			t.Errorf("Find(%q): %v", prefix, err)
		}
	}
}

func TestFolderMustBePrivate(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	for name, make := range map[string]func() error{
		"open to others": func() error { return errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o750)) },
		"a link":         func() error { return os.Symlink(t.TempDir(), dir) },
		"a file":         func() error { return os.WriteFile(dir, nil, 0o600) },
	} {
		if err := errors.Join(os.RemoveAll(dir), make()); err != nil {
			t.Fatal(err)
		}
		_, err := Serve(t.Context(), ServeOptions{Dir: dir, ID: "00000001", Handler: newFake("00000001")})
		if err == nil {
			t.Errorf("%s: it was used", name)
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	serve(t, dir, "00000001")
	fi, err := os.Stat(dir)
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("the folder was made as %v, %v", fi.Mode(), err)
	}
}

// TestDeepFolder: XDG_RUNTIME_DIR and HOME may be deeper than a socket's path
// can have bytes.
func TestDeepFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(folder(t), strings.Repeat("deep/", 50), "ctl")
	if maxPath < 107 {
		_, err := Serve(t.Context(), ServeOptions{Dir: dir, ID: "00000001", Handler: newFake("00000001")})
		if err == nil || !strings.Contains(err.Error(), "bytes") {
			t.Errorf("a deep folder: %v", err)
		}
		return
	}
	_, s := serve(t, dir, "00000001")
	c, err := Dial(t.Context(), dir, "00000001")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	if _, err := c.Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("after its end: %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%s is left", left[0].Name())
	}
}

// TestStatusFitsALine: whatever waits, a client can read it.
func TestStatusFitsALine(t *testing.T) {
	t.Parallel()
	s := Status{ID: "00000001", Reason: strings.Repeat("r", 1<<20)}
	for range 200 {
		s.Waiting = append(s.Waiting, Request{ID: "abcdef", Path: "/" + strings.Repeat("p", 64<<10)})
		s.Hosts = append(s.Hosts, Host{Host: strings.Repeat("h", 250)})
		s.Also = append(s.Also, "p")
	}
	got := fit(s)
	line, err := json.Marshal(reply{Status: &got})
	if err != nil || len(line) >= maxReply {
		t.Errorf("%d bytes, %v", len(line), err)
	}
	if len(got.Waiting) < 10 || got.Unlisted+len(got.Waiting) != 200 {
		t.Errorf("%d listed, %d not", len(got.Waiting), got.Unlisted)
	}
	if len(s.Waiting[0].Path) != 64<<10+1 {
		t.Error("the session's own status was cut")
	}
}
