package desk_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kb/internal/control"
	"kb/tui"
)

// The test binary plays a session where this variable names the folder of its
// socket: a session and a person's kb are never one process.
const playVariable = "KB_TEST_DESK_SESSION"

func TestMain(m *testing.M) {
	if dir := os.Getenv(playVariable); dir != "" {
		playSession(dir)
		return
	}
	os.Exit(m.Run())
}

const playedID = "0011aabb"

// played is a session with a request that waits. It prints what it is told, and
// changes the request when a line comes in.
type played struct {
	mu      sync.Mutex
	status  control.Status
	changed chan struct{}
}

func playSession(dir string) {
	asked := time.Now()
	p := &played{changed: make(chan struct{}), status: control.Status{
		ID: playedID, Profile: "work", Agent: "claude", Dir: "/src", PID: os.Getpid(), Started: asked,
		Waiting: []control.Request{{
			ID: "abc123", Session: playedID, Profile: "work", Method: "POST", Host: "api.acme.example", Port: 443, Path: "/a", Asked: asked, Deadline: asked.Add(time.Hour), Body: -1,
		}},
	}}
	server, err := control.Serve(context.Background(), control.ServeOptions{Dir: dir, ID: playedID, Handler: p})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("serving")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		p.change(func(s *control.Status) { s.Requests++; s.Waiting[0].Path = lines.Text() })
		fmt.Println("changed")
	}
	server.Close()
}

func (p *played) change(how func(*control.Status)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := append([]control.Request(nil), p.status.Waiting...)
	p.status.Waiting = waiting
	how(&p.status)
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *played) Status() control.Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.status
}

func (p *played) Changed() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.changed
}

func (p *played) Answer(_ context.Context, id string, a control.Answer) error {
	fmt.Println("answer", id, a)
	return nil
}

func (p *played) Stop(context.Context) error {
	fmt.Println("stop")
	return nil
}

// session is a process that plays one.
type session struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
}

func (p *place) session() *session {
	p.t.Helper()
	cmd := exec.CommandContext(p.t.Context(), os.Args[0], "exec")
	cmd.Env = append(os.Environ(), playVariable+"="+p.paths.Control())
	stdin, err := cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	s := &session{p.t, cmd, stdin, bufio.NewReader(out)}
	p.t.Cleanup(func() { _, _ = stdin.Close(), cmd.Wait() })
	s.says("serving")
	return s
}

func (s *session) says(want string) {
	s.t.Helper()
	if line, err := s.out.ReadString('\n'); strings.TrimSpace(line) != want {
		s.t.Fatalf("the session says %q (%v), want %q", line, err, want)
	}
}

func (p *place) sessions() []tui.Session {
	p.t.Helper()
	list, err := p.desk.Sessions(p.t.Context())
	if err != nil {
		p.t.Fatal(err)
	}
	return list
}

// TestSessionsComeAnswerAndCrash: a session appears by itself, its counts change,
// an answer is for the request that was shown, and one that is killed is shown as
// crashed until it is cleared.
func TestSessionsComeAnswerAndCrash(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.make("")
	w := p.watch()
	s := p.session()
	var shown tui.Session
	w.until(t, "a session is there, and has told of itself", func() bool {
		list := p.sessions()
		if len(list) == 1 {
			shown = list[0]
		}
		return len(list) == 1 && shown.Trouble == "" // which a busy machine's may have at first
	})
	if shown.Agent != "claude" || shown.PID != s.cmd.Process.Pid || len(shown.Waiting) != 1 || shown.Crashed {
		t.Fatalf("the session is %+v", shown)
	}
	request := shown.Waiting[0]

	// The request that waits is another one by now.
	fmt.Fprintln(s.stdin, "/b")
	s.says("changed")
	if err := p.desk.Answer(t.Context(), request, tui.Once); err == nil || !strings.Contains(err.Error(), "not the one that was shown") {
		t.Errorf("answered what was not shown: %v", err)
	}
	w.until(t, "its counts changed", func() bool { return p.sessions()[0].Requests == 1 })
	request = p.sessions()[0].Waiting[0]
	if err := p.desk.Answer(t.Context(), request, tui.DenySession); err != nil {
		t.Fatal(err)
	}
	s.says("answer abc123 deny-session")
	request.ID = "def456"
	if err := p.desk.Answer(t.Context(), request, tui.Once); err == nil {
		t.Error("a request that does not wait was answered")
	}
	if err := p.desk.StopSession(t.Context(), playedID); err != nil {
		t.Fatal(err)
	}
	s.says("stop")

	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	w.until(t, "it crashed", func() bool { return len(p.sessions()) == 1 && p.sessions()[0].Crashed })
	if err := p.desk.StopSession(t.Context(), playedID); err != nil {
		t.Fatal(err)
	}
	w.until(t, "it was cleared", func() bool { return len(p.sessions()) == 0 })
}

// TestSessionsWithoutWatching asks each session itself.
func TestSessionsWithoutWatching(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	if list := p.sessions(); len(list) != 0 {
		t.Fatalf("sessions %+v", list)
	}
	p.session()
	if list := p.sessions(); len(list) != 1 || list[0].Profile != "work" {
		t.Errorf("sessions %+v", list)
	}
}

// TestSessionThatEndsUnwatched: one that ends while its folder cannot be watched is
// not there any more once it can.
func TestSessionThatEndsUnwatched(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	p.make("")
	w := p.watch()
	first := p.session()
	w.until(t, "the first session is there", func() bool { return len(p.sessions()) == 1 })
	// A file in its place: while kb is as quick as this test, and makes the folder
	// anew, once more.
	dir := p.paths.Control()
	for away := 1; ; away++ {
		if err := os.Rename(dir, fmt.Sprint(dir, ".away", away)); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(dir, nil, 0o600)
		if err == nil {
			break
		}
		if !errors.Is(err, syscall.EISDIR) || away == 100 {
			t.Fatal(err)
		}
	}
	w.until(t, "the folder is seen to be none", func() bool {
		_, err := p.desk.Sessions(t.Context())
		return err != nil
	})
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	second := p.session()
	w.until(t, "the second session is there, and it alone", func() bool {
		list := p.sessions()
		return len(list) == 1 && list[0].PID == second.cmd.Process.Pid
	})
}
