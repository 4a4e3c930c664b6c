package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/testkit"
)

// speaks is an attacker's program: it says to every socket of a folder all that
// a person's kb would, and prints what each answers. With a process it first
// waits for the end of that.
const speaks = `
import glob, os, socket, sys, time
folder, request = sys.argv[1], sys.argv[2]
while len(sys.argv) > 3 and os.path.exists("/proc/" + sys.argv[3]):
    time.sleep(0.01)
lines = ['{"verb":"answer","request":"%s","answer":"%s"}' % (request, a) for a in ("once", "session", "deny", "deny-session")]
for path in sorted(glob.glob(folder + "/*.sock")):
    for line in ['{"verb":"status"}', '{"verb":"watch"}'] + lines + ['{"verb":"stop"}']:
        s = socket.socket(socket.AF_UNIX)
        s.settimeout(5)
        try:
            s.connect(path)
            s.sendall(line.encode() + b"\n")
        except OSError as e:
            print("HEARD", e)
        try:
            print("HEARD", s.recv(65536).decode())
        except OSError as e:
            print("HEARD", e)
        s.close()
print("DONE", flush=True)
`

// listens is an attacker's program: it is a socket that tells of a request that
// nobody made, at the end of a line of arguments: FOLDER ID.
const listens = `
import json, os, socket, sys
folder, me = sys.argv[1], os.getpid()
start = open("/proc/self/stat").read().rsplit(")", 1)[1].split()[19]
path = "%s/%s-%d-%s.sock" % (folder, sys.argv[2], me, start)
s = socket.socket(socket.AF_UNIX)
s.bind(path); s.listen(16)
fake = {"id": "bad0b0", "session": sys.argv[2], "profile": "work", "provider": "github", "method": "GET", "host": "good.example", "port": 443, "path": "/", "policy": "p1", "rule": "ask", "agent": "claude", "dir": "/", "body": 0, "asked": "2026-01-01T00:00:00Z", "deadline": "2036-01-01T00:00:00Z"}
status = {"status": {"id": sys.argv[2], "profile": "work", "agent": "claude", "dir": "/", "isolation": "hardened", "pid": me, "requests": 0, "injected": 0, "denied": 0, "waiting": [fake]}}
print("LISTENS", flush=True)
while True:
    c, _ = s.accept()
    try:
        c.sendall(json.dumps(status).encode() + b"\n")
        c.recv(4096)
    except OSError:
        pass
    c.close()
`

// controlled is a session with a request that waits for a person.
type controlled struct {
	*arena
	dir, speaks, listens string
	target               *attackedChild
	request              string
	asked                time.Time
	conn                 io.Closer
}

// requestVar stands for the id of the request that waits, in what attackers run.
const requestVar = "REQUEST"

// askedAgain is when another request is made to wait in its place: kb refuses one
// that nobody answers after two minutes, and a slow machine needs longer for all
// attacks.
const askedAgain = 30 * time.Second

// TestAttackControl has sessions speak to control sockets, their own and another
// session's: what waits goes on waiting, what runs goes on running.
func TestAttackControl(t *testing.T) {
	a := newArena(t)
	if _, err := exec.LookPath("python3"); err != nil {
		t.Skip("python3 is not installed")
	}
	all := everywhere{a}
	a.ok("", "policy", "add", "work", "ask", "--provider", "github", "--method", "DELETE")
	c := &controlled{arena: a, dir: filepath.Join(a.home.Dir, "run", "kb", "ctl")}
	c.speaks, c.listens = c.program("speaks.py", speaks), c.program("listens.py", listens)
	a.child = a.start(a.home.Env, a.home.Dir)
	c.target = a.child
	c.ask()

	// The control of the program: outside it is answered, by a session that is
	// there to be stopped by it.
	other := a.start(a.home.Env, a.home.Dir)
	r := a.run(a.home.Env, "", "python3", c.speaks, c.dir, "none")
	if strings.Count(r.Stdout, `"status":{"id":`) != 4 || strings.Count(r.Stdout, `{"done":true}`) != 2 || strings.Contains(r.Stdout, "refused") {
		t.Fatalf("control: who may speak is not heard: %s", r.All())
	}
	_ = other.cmd.Wait()
	_ = c.target.cmd.Wait()
	other.stop()
	c.target.stop()
	a.child = a.start(a.home.Env, a.home.Dir)
	c.target = a.child
	c.ask()

	inside := func(flags []string, command ...string) testkit.Result {
		args := append(append([]string{a.kb, "exec"}, flags...), "--")
		for _, word := range command {
			args = append(args, strings.ReplaceAll(word, requestVar, c.request))
		}
		return a.run(a.home.Env, "", args...)
	}
	off := []string{"--isolation", "off"}
	unset := []string{"env", "-u", "KB_SESSION"}
	speak := []string{"python3", c.speaks, c.dir, requestVar}
	for name, attack := range map[string]struct {
		flags   []string
		command []string
	}{
		"the sockets from inside a session":                   {nil, speak},
		"without KB_SESSION, at isolation off":                {off, append(unset, speak...)},
		"without any environment":                             {nil, append([]string{"env", "-i", "PATH=" + os.Getenv("PATH")}, speak...)},
		"after renaming its session's socket":                 {off, append([]string{"env", "-u", "KB_SESSION", "sh", "-c", `for f in ` + c.dir + `/$OWN-*; do mv $f ` + c.dir + `/dead0000-1-1.sock; done; "$@"`, "sh"}, speak...)},
		"through a user namespace":                            {off, append([]string{"unshare", "-Ur"}, append(unset, speak...)...)},
		"through a nested kb exec":                            {nil, append([]string{a.kb, "exec", "--"}, speak...)},
		"after a fork whose parent is gone, at isolation off": {off, []string{"env", "-u", "KB_SESSION", "sh", "-c", `(setsid "$@" > ` + c.dir + `/../said &) ; until grep -qs DONE ` + c.dir + `/../said; do :; done; cat ` + c.dir + `/../said; rm ` + c.dir + `/../said`, "sh", "python3", c.speaks, c.dir, requestVar}},
	} {
		a.attack("control: "+name, all, func(t *testing.T) answer {
			c.askAgain()
			command := attack.command
			if strings.Contains(name, "renaming") {
				// Whose socket it is the attacker knows by KB_SESSION.
				command = append([]string{"sh", "-c", `OWN=$KB_SESSION; export OWN; exec "$@"`, "sh"}, command...)
			}
			if strings.Contains(name, "namespace") && a.run(a.home.Env, "", "unshare", "-Ur", "true").Code != 0 {
				t.Skip("no user namespaces here")
			}
			r := inside(attack.flags, command...)
			if !strings.Contains(r.Stdout, "DONE") || strings.Count(r.Stdout, `"error":"refused"`) < 14 || strings.Contains(r.Stdout, `"status":`) || strings.Contains(r.Stdout, `"done"`) {
				t.Errorf("it was not refused everywhere: %s", r.All())
			}
			c.unharmed(t)
			return answer{text: r.All()}
		})
	}
	for _, verb := range []string{"approve " + requestVar, "approve", "deny " + requestVar + " --session", "session stop " + a.child.env["KB_SESSION"], "session ls"} {
		a.attack("control: kb "+verb+" inside a session", all, func(t *testing.T) answer {
			c.askAgain()
			text := ""
			for _, begin := range [][]string{nil, {"env", "-u", "KB_SESSION", "setsid", "-w"}} {
				r := inside(off, append(append(append([]string{}, begin...), a.kb), strings.Fields(verb)...)...)
				if r.Code != 5 || !strings.Contains(r.Stderr, "inside a session") && !strings.Contains(r.Stderr, "may not control sessions") || r.Stdout != "" {
					t.Errorf("%q is not refused: %d %s", begin, r.Code, r.All())
				}
				text += r.All()
			}
			c.unharmed(t)
			return answer{text: text}
		})
	}
	a.attack("control: what a session left running when it ended", all, func(t *testing.T) answer {
		c.askAgain()
		said := filepath.Join(a.home.Dir, "said")
		r := inside(nil, "sh", "-c", `setsid env -i PATH="$PATH" python3 `+c.speaks+` `+c.dir+` `+requestVar+` $PPID > `+said+` 2>&1 &`)
		if r.Code != 0 {
			t.Fatal(r.All())
		}
		var text []byte
		testkit.Eventually(t, time.Minute, "what is left to speak", func() bool {
			text, _ = os.ReadFile(said)
			return strings.Contains(string(text), "DONE")
		})
		if strings.Count(string(text), "no_new_privs") < 7 || strings.Contains(string(text), `"status":`) || strings.Contains(string(text), `"done"`) {
			t.Errorf("it was not refused: %s", text)
		}
		c.unharmed(t)
		return answer{text: string(text)}
	})
	a.attack("control: a false socket", all, func(t *testing.T) answer {
		c.askAgain()
		cmd := exec.CommandContext(t.Context(), a.kb, "exec", "--isolation", "off", "--", "env", "-u", "KB_SESSION", "python3", c.listens, c.dir, "feedf00d")
		cmd.Dir, cmd.Env, cmd.WaitDelay = a.home.Dir, a.home.Env, 5*time.Second
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}()
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		r := a.run(a.home.Env, "", a.kb, "session", "ls", "--json")
		if !strings.Contains(r.Stdout, "feedf00d") || !strings.Contains(r.Stdout, "not its own") || strings.Contains(r.Stdout, "bad0b0") {
			t.Errorf("it is believed: %s", r.All())
		}
		approve := a.run(a.home.Env, "", a.kb, "approve", "bad0b0")
		stop := a.run(a.home.Env, "", a.kb, "session", "stop", "feedf00d")
		if approve.Code == 0 || stop.Code != 5 {
			t.Errorf("it is answered: %s %s", approve.All(), stop.All())
		}
		c.unharmed(t)
		return answer{text: r.All() + approve.All() + stop.All()}
	})
	a.attack("control: thousands of connections", all, func(t *testing.T) answer {
		flood := exec.CommandContext(t.Context(), a.kb, "exec", "--", "python3", "-c", `
import glob, socket, sys
held = []
print("BEGINS", flush=True)
while True:
    for path in glob.glob(sys.argv[1] + "/*.sock"):
        s = socket.socket(socket.AF_UNIX)
        s.setblocking(False)
        try:
            s.connect(path)
        except OSError:
            continue
        held = held[-500:] + [s]
`, c.dir)
		flood.Dir, flood.Env, flood.WaitDelay = a.home.Dir, a.home.Env, 5*time.Second
		out, err := flood.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := flood.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 16)); err != nil {
			t.Fatal(err)
		}
		a.works(t)
		r := a.run(a.home.Env, "", a.kb, "session", "stop", a.child.env["KB_SESSION"][:6])
		if r.Code != 0 {
			t.Errorf("a person is not heard: %s", r.All())
		}
		_ = flood.Process.Signal(syscall.SIGTERM)
		_ = flood.Wait()
		return answer{text: r.All()}
	})
	c.target.stop()
}

// program writes an attacker's program.
func (c *controlled) program(name, text string) string {
	path := filepath.Join(c.home.Dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// ask has the target's child make a request that waits.
func (c *controlled) ask() {
	c.t.Helper()
	conn, got := c.tunnelTLS(goodHost+":443", "", tlsTo(goodHost))
	if conn == nil {
		c.t.Fatal(got.text)
	}
	_ = conn.SetDeadline(time.Time{})
	if _, err := io.WriteString(conn, "DELETE /repos/acme/api HTTP/1.1\r\nHost: "+goodHost+"\r\nContent-Length: 0\r\n\r\n"); err != nil {
		c.t.Fatal(err)
	}
	c.conn, c.asked = conn, time.Now()
	testkit.Eventually(c.t, attackPatience, "the request to wait", func() bool {
		waiting := c.waiting()
		if len(waiting) == 1 {
			c.request = waiting[0]
		}
		return len(waiting) == 1
	})
}

// askAgain has another request wait, if the one that waits has for long.
func (c *controlled) askAgain() {
	c.t.Helper()
	if time.Since(c.asked) < askedAgain {
		return
	}
	_ = c.conn.Close()
	testkit.Eventually(c.t, attackPatience, "the request to be given up", func() bool { return len(c.waiting()) == 0 })
	c.ask()
}

// waiting are the ids of the requests that wait, as a person is told.
func (c *controlled) waiting() (ids []string) {
	c.t.Helper()
	var sessions []struct {
		ID      string
		Waiting []struct{ ID string }
	}
	if err := json.Unmarshal([]byte(c.ok("", "session", "ls", "--json")), &sessions); err != nil {
		c.t.Fatal(err)
	}
	for _, s := range sessions {
		for _, r := range s.Waiting {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// unharmed checks that the target runs, and that its request waits and has gone
// nowhere.
func (c *controlled) unharmed(t *testing.T) {
	t.Helper()
	for _, r := range c.good.Requests() {
		if r.Method == "DELETE" {
			t.Error("the request went on")
		}
	}
	if got := fmt.Sprint(c.waiting()); got != "["+c.request+"]" {
		t.Errorf("%s wait, want [%s]", got, c.request)
	}
	c.works(t)
}
