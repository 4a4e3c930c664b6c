package control

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

const askStatus = `{"verb":"status"}`

// refused and answered are what a session says to who may not speak, and to who
// may.
func refused(said string) bool  { return strings.Contains(said, `"error":"refused"`) }
func answered(said string) bool { return strings.Contains(said, `"status":{"id":`) }

func needsLinux(t *testing.T) {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("skipped: subreapers and no_new_privs are Linux")
	}
}

// TestAttackPeerOfASession has processes of sessions speak to sockets, as
// attackers that look at nobody's credentials. Each case has the defence that
// stops it alone in its name.
func TestAttackPeerOfASession(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	target := startSession(t, part(t, "session", dir, "0000beef"))
	socket := filepath.Join(dir, "0000beef-*")
	raw := func(pattern, line string) []string { return []string{os.Args[0], "exec", pattern, line} }
	inSession := func(t *testing.T, kind, id string, environ []string, command ...string) string {
		t.Helper()
		cmd := part(t, kind, append([]string{dir, id}, append([]string{"/usr/bin/env"}, append(environ, command...)...)...)...)
		return startSession(t, cmd).line(t, "said ")
	}
	asRaw := []string{"-u", "KB_SESSION", partVariable + "=raw"}

	t.Run("control: a process outside", func(t *testing.T) {
		out, err := part(t, "raw", socket, askStatus).Output()
		if err != nil || !answered(string(out)) {
			t.Fatalf("%s %v", out, err)
		}
	})
	t.Run("child of another session, by the folder's names", func(t *testing.T) {
		said := inSession(t, "session", "00000001", asRaw, raw(socket, askStatus)...)
		if !refused(said) || !strings.Contains(said, "descends from session 00000001") {
			t.Error(said)
		}
	})
	t.Run("child of the session itself, by its own process", func(t *testing.T) {
		said := inSession(t, "session", "00000002", asRaw, raw(filepath.Join(dir, "00000002-*"), askStatus)...)
		if !refused(said) || !strings.Contains(said, "descends from this session") {
			t.Error(said)
		}
	})
	t.Run("stop and answer, from inside", func(t *testing.T) {
		for _, line := range []string{`{"verb":"stop"}`, `{"verb":"answer","request":"abcdef","answer":"session"}`, `{"verb":"watch"}`} {
			if said := inSession(t, "session", "00000003", asRaw, raw(socket, line)...); !refused(said) {
				t.Error(said)
			}
		}
	})
	t.Run("orphan with a session of its own, by the subreaper", func(t *testing.T) {
		needsLinux(t)
		file := filepath.Join(t.TempDir(), "said")
		cmd := part(t, "session", append([]string{dir, "00000004", "/usr/bin/env"}, append(append([]string{}, "-u", "KB_SESSION", partVariable+"=orphan"),
			"sh", "-c", `"$@"; while ! test -e `+file+`; do :; done; echo said "$(cat `+file+`)"`, "sh", os.Args[0], "exec", socket, askStatus, file)...)...)
		if said := startSession(t, cmd).line(t, "said "); !refused(said) {
			t.Error(said)
		}
	})
	t.Run("renamed socket of its session, by what the ancestor runs", func(t *testing.T) {
		said := inSession(t, "session", "00000005", asRaw, "sh", "-c",
			`mv `+dir+`/00000005-* `+dir+`/00000005-1073741824-1.sock && exec "$@"`, "sh", os.Args[0], "exec", socket, askStatus)
		if !refused(said) || !strings.Contains(said, "a kb exec") {
			t.Error(said)
		}
	})
	t.Run("left over by a session that ended, by no_new_privs", func(t *testing.T) {
		needsLinux(t)
		if bound(os.Getpid()) {
			t.Skip("skipped: this test may gain no privileges itself")
		}
		cmd := part(t, "bound", raw(socket, askStatus)...)
		out, err := cmd.Output()
		if err != nil || !refused(string(out)) || !strings.Contains(string(out), "no_new_privs") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("left over by a session without that, by its environment", func(t *testing.T) {
		cmd := part(t, "raw", socket, askStatus)
		cmd.Env = append(cmd.Env, "KB_SESSION=00000006")
		out, err := cmd.Output()
		if err != nil || !refused(string(out)) || !strings.Contains(string(out), "KB_SESSION") {
			t.Errorf("%s %v", out, err)
		}
	})
	t.Run("another user", func(t *testing.T) {
		if os.Geteuid() != 0 {
			t.Skip("skipped: only root can become another user")
		}
		open := folder(t)
		startSession(t, part(t, "session", open, "0000beef"))
		// As if the folder's own mode had failed.
		for _, path := range []string{filepath.Dir(open), open} {
			if err := os.Chmod(path, 0o777); err != nil { //nolint:gosec // that is the attack
				t.Fatal(err)
			}
		}
		names, err := filepath.Glob(filepath.Join(open, "*"))
		if err != nil || len(names) != 1 {
			t.Fatal(names, err)
		}
		if err := os.Chmod(names[0], 0o777); err != nil { //nolint:gosec // that is the attack
			t.Fatal(err)
		}
		program := filepath.Join(open, "test")
		data, err := os.ReadFile(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(program, data, 0o755); err != nil { //nolint:gosec // for another user to run
			t.Fatal(err)
		}
		cmd := part(t, "raw", filepath.Join(open, "0000beef-*"), askStatus)
		cmd.Path, cmd.Dir = program, "/"
		// 65534 is nobody on Linux.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		out, err := cmd.Output()
		if err != nil || !refused(string(out)) || !strings.Contains(string(out), "another user") {
			t.Errorf("%s %v", out, err)
		}
	})
	if c, err := Dial(t.Context(), dir, "0000beef"); err != nil {
		t.Errorf("who may speak is not answered any more: %v", err)
	} else if err := c.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	_ = target.stdin.Close()
	if heard := target.line(t, "heard "); heard != "1 []" {
		t.Errorf("the session heard %s, want the one stop of who may", heard)
	}
}

// TestAttackFalseSocket has a session's child listen in the folder, for a person
// to answer there what no session asks.
func TestAttackFalseSocket(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	honest := startSession(t, part(t, "session", dir, "00000001"))
	for name, c := range map[string]struct {
		kind, why string
		environ   []string
	}{
		"under its own name, by the folder's names":   {"session", "descends from session 00000002", []string{"-u", "KB_SESSION"}},
		"of a session that ended, by its environment": {"session", "KB_SESSION", []string{"KB_SESSION=00000002"}},
	} {
		t.Run(name, func(t *testing.T) {
			outer := part(t, c.kind, append([]string{dir, "00000002", "/usr/bin/env"}, append(append([]string{}, c.environ...),
				partVariable+"=session", os.Args[0], "exec", dir, "00000003")...)...)
			if c.why == "KB_SESSION" {
				outer = part(t, "session", dir, "00000003")
				outer.Env = append(outer.Env, c.environ...)
			}
			s := startSession(t, outer)
			if c.why != "KB_SESSION" {
				s.line(t, "ready ")
			}
			_, err := Dial(t.Context(), dir, "00000003")
			var false *FalseSocketError
			if !errors.As(err, &false) || !strings.Contains(err.Error(), c.why) {
				t.Errorf("dialled: %v", err)
			}
			s.stop()
		})
	}
	t.Run("in the place of a session's own, by the process", func(t *testing.T) {
		entries, err := List(dir)
		if err != nil || len(entries) != 1 {
			t.Fatal(entries, err)
		}
		if _, err := NewClient(dir, entries[0]).Status(t.Context()); err != nil {
			t.Fatalf("control: %v", err)
		}
		attacker := startSession(t, part(t, "session", dir, "00000004"))
		own := Entry{ID: "00000004", PID: attacker.pid}
		all, err := List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if e.ID == own.ID {
				own = e
			}
		}
		if err := os.Rename(filepath.Join(dir, own.name()), filepath.Join(dir, entries[0].name())); err != nil {
			t.Fatal(err)
		}
		_, err = NewClient(dir, entries[0]).Status(t.Context())
		var false *FalseSocketError
		if !errors.As(err, &false) || !strings.Contains(err.Error(), "process") {
			t.Errorf("asked: %v", err)
		}
		attacker.stop()
	})
	honest.stop()
	t.Run("that speaks for another session", func(t *testing.T) {
		f, _ := serve(t, dir, "00000005")
		f.change(func(s *Status) { s.ID = "00000006" })
		_, err := Dial(t.Context(), dir, "00000005")
		var false *FalseSocketError
		if !errors.As(err, &false) {
			t.Errorf("asked: %v", err)
		}
	})
}

// table is a system of processes that are made up.
type table map[int]process

// TestGuardReadsATreeThatChanges: what is read of processes is one state of the
// system, or nobody is admitted.
func TestGuardReadsATreeThatChanges(t *testing.T) {
	t.Parallel()
	const peerID, uid = 500, 1000
	base := func() table {
		return table{
			1: {pid: 1, start: 1}, 100: {pid: 100, parent: 1, start: 10, program: "kb"},
			200: {pid: 200, parent: 1, start: 11, program: "bash"}, 300: {pid: 300, parent: 100, start: 20, program: "sh"},
			peerID: {pid: peerID, parent: 200, start: 50, program: "kb"}, 999: {pid: 999, parent: 1, start: 5, program: "kb"},
		}
	}
	for name, c := range map[string]struct {
		prepare func(table)
		each    func(table, int) // before the nth look
		running bool
		uid     int
		pid     int
		want    string // empty: admitted
	}{
		"a person's": {running: true, uid: uid, pid: peerID},
		"a session's, by what 100 runs": {
			prepare: func(t table) { t[peerID] = process{pid: peerID, parent: 300, start: 50} }, running: true, uid: uid, pid: peerID, want: "process 100",
		},
		"another user's":                       {running: true, uid: uid + 1, pid: peerID, want: "another user"},
		"of another container":                 {running: true, uid: uid, pid: 0, want: "not seen"},
		"one that ended, its id now another's": {uid: uid, pid: peerID, want: "ended"},
		"a zombie": {
			prepare: func(t table) { t[peerID] = process{pid: peerID, parent: 200, start: 50, state: 'Z'} }, running: true, uid: uid, pid: peerID, want: "ended",
		},
		"nobody": {running: true, uid: uid, pid: 501, want: "ended"},
		"a parent that is younger: its id was given away": {
			prepare: func(t table) { t[200] = process{pid: 200, parent: 1, start: 51} }, running: true, uid: uid, pid: peerID, want: "changed",
		},
		"a parent that ends while it is looked at, and is a session's": {
			prepare: func(t table) { t[peerID] = process{pid: peerID, parent: 200, start: 50} },
			each: func(t table, n int) {
				if n == 3 { // after the first walk: an orphan is adopted by its subreaper
					t[peerID] = process{pid: peerID, parent: 100, start: 50}
				}
			}, running: true, uid: uid, pid: peerID, want: "process 100",
		},
		"a peer that is another each time": {
			each:    func(t table, n int) { t[peerID] = process{pid: peerID, parent: 200, start: uint64(50 + n)} },
			running: true, uid: uid, pid: peerID, want: "changed",
		},
		"more ancestors than anyone has": {
			prepare: func(t table) {
				for i := range 400 {
					t[1000+i] = process{pid: 1000 + i, parent: 1001 + i, start: 20}
				}
				t[1400] = process{pid: 1400, parent: 100, start: 20}
				t[peerID] = process{pid: peerID, parent: 1000, start: 50}
			}, running: true, uid: uid, pid: peerID, want: "ancestors",
		},
		"a circle": {
			prepare: func(t table) { t[200] = process{pid: 200, parent: 200, start: 11} }, running: true, uid: uid, pid: peerID, want: "ancestors",
		},
	} {
		t.Run(name, func(t *testing.T) {
			system := base()
			if c.prepare != nil {
				c.prepare(system)
			}
			looks := 0
			g := &guard{
				dir: t.TempDir(), self: 999, program: "kb", uid: uid,
				look: func(pid int) (process, error) {
					if c.each != nil {
						c.each(system, looks)
					}
					looks++
					p, ok := system[pid]
					if !ok {
						return process{}, errGone
					}
					return p, nil
				},
				arguments: func(pid int) [][]byte {
					if pid == 100 {
						return [][]byte{[]byte("kb"), []byte("exec"), []byte("claude")}
					}
					return [][]byte{[]byte("kb"), []byte("approve")}
				},
				environment: func(int) [][]byte { return [][]byte{[]byte("HOME=/"), []byte("KB_SESSION=")} },
				bound:       func(int) bool { return false },
			}
			got, err := g.judge(peer{pid: c.pid, uid: c.uid, running: func() bool { return c.running }, done: func() {}})
			if c.want == "" {
				if err != nil || got.pid != c.pid {
					t.Errorf("refused: %v", err)
				}
				return
			}
			if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("judged %v, %v; want a refusal with %q", got, err, c.want)
			}
		})
	}
}

// TestAttackPeerThatGaveItsPlaceAway connects while the session cannot accept,
// hands the connection to a child and ends: its process id is anybody's by the
// time that the session looks.
func TestAttackPeerThatGaveItsPlaceAway(t *testing.T) {
	needsLinux(t)
	t.Parallel()
	dir := folder(t)
	target := startSession(t, part(t, "session", dir, "0000beef"))
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	for _, c := range []struct {
		who  string
		want func(string) bool
	}{{"stays", answered}, {"ends", refused}} {
		resume := target.suspend(t)
		cmd := part(t, "heir", names[0], c.who)
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		if !lines.Scan() || lines.Text() != "connected" {
			t.Fatalf("%q", lines.Text())
		}
		if c.who == "ends" {
			if _, err := cmd.Process.Wait(); err != nil { // no zombie is left to be found
				t.Fatal(err)
			}
		}
		resume()
		if !lines.Scan() || !c.want(lines.Text()) {
			t.Errorf("when who connected %s: %s", c.who, lines.Text())
		}
		_ = cmd.Wait()
	}
}

// TestAttackOversizedLines: a connection has the bytes of one line and the time
// of one line.
func TestAttackOversizedLines(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	serve(t, dir, "0000beef")
	for name, line := range map[string]string{
		"endless":  strings.Repeat("x", 1<<20),
		"long":     `{"verb":"` + strings.Repeat("x", maxRequest) + `"}` + "\n",
		"no JSON":  "GET / HTTP/1.1\r\n",
		"a list":   "[]\n",
		"nothing":  "\n",
		"unknown":  `{"verb":"secrets"}` + "\n",
		"deep":     strings.Repeat(`{"a":`, 10000) + "\n",
		"no verb":  `{}` + "\n",
		"NUL":      "\x00\n",
		"an array": `{"verb":["stop"]}` + "\n",
	} {
		c := connect(t, dir)
		_, _ = io.WriteString(c, line)
		answer, err := bufio.NewReader(c).ReadString('\n')
		if err != nil && name != "endless" && name != "long" { // what is not read resets the connection
			t.Errorf("%s: %v", name, err)
		}
		want := `"error":"failed"`
		if name == "endless" || name == "long" {
			want = errLong.Error()
		}
		if err == nil && !strings.Contains(answer, want) {
			t.Errorf("%s is answered %.200s, want %s", name, answer, want)
		}
		_ = c.Close()
	}
	if _, err := Dial(t.Context(), dir, "0000beef"); err != nil {
		t.Error(err)
	}
}

// connect connects as this process, which may.
func connect(t *testing.T, dir string) net.Conn {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"+socketSuffix))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	c, err := net.Dial("unix", names[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

// TestConnectionsAreBounded: more than a session takes are told so, and those
// that end make room.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	_, s := serve(t, dir, "0000beef")
	var held []net.Conn
	for range maxConnections {
		c := connect(t, dir)
		_, _ = io.WriteString(c, `{"verb":"watch"}`+"\n")
		if _, err := bufio.NewReader(c).ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	if _, err := Dial(t.Context(), dir, "0000beef"); !errors.Is(err, ErrBusy) {
		t.Errorf("one more: %v", err)
	}
	for range 100 {
		_ = connect(t, dir).Close()
	}
	s.mu.Lock()
	if len(s.conns) != maxConnections {
		t.Errorf("%d connections are kept", len(s.conns))
	}
	s.mu.Unlock()
	for _, c := range held {
		_ = c.Close()
	}
	// It has 100 others to judge first.
	for limit := time.Now().Add(30 * time.Second); ; {
		_, err := Dial(t.Context(), dir, "0000beef")
		if err == nil {
			return
		}
		if !errors.Is(err, ErrBusy) && !errors.Is(err, ErrSilent) || time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// TestSlowWatcherBlocksNobody: a watcher that reads nothing keeps neither the
// session nor others from anything, and is let go.
func TestSlowWatcherBlocksNobody(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, server := serve(t, dir, "0000beef")
	f.change(func(s *Status) { s.Reason = strings.Repeat("r", MaxText) })
	for range 8 {
		c := connect(t, dir)
		_, _ = io.WriteString(c, `{"verb":"watch"}`+"\n")
	}
	began := time.Now()
	for i := range 2000 {
		f.change(func(s *Status) { s.Requests = uint64(i) })
	}
	if _, err := Dial(t.Context(), dir, "0000beef"); err != nil {
		t.Error(err)
	}
	server.Close()
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("2,000 changes, a question and the end took %v", took)
	}
}

// TestWatchIsCoalesced: however often a session changes, a watcher hears of its
// last state, and at most ten times a second.
func TestWatchIsCoalesced(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	f, _ := serve(t, dir, "0000beef")
	c := connect(t, dir)
	_, _ = io.WriteString(c, `{"verb":"watch"}`+"\n")
	in := bufio.NewReader(c)
	next := func() uint64 {
		line, err := in.ReadBytes('\n')
		var r reply
		if err != nil || json.Unmarshal(line, &r) != nil || r.Status == nil {
			t.Fatalf("%s %v", line, err)
		}
		return r.Status.Requests
	}
	next()
	const changes = 5000
	began := time.Now()
	for i := range changes {
		f.change(func(s *Status) { s.Requests = uint64(i + 1) })
	}
	messages := 1
	for next() != changes {
		messages++
	}
	if most := int(time.Since(began)/watchEvery) + 2; messages > most {
		t.Errorf("%d messages, want at most %d", messages, most)
	}
	f.mu.Lock()
	asked := f.asked
	f.mu.Unlock()
	if asked > messages+2 {
		t.Errorf("the session was asked %d times for %d messages", asked, messages)
	}
}
