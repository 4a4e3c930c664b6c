package e2e

import (
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/testkit"
)

// unprivileged is how a command is run as root without any of root's powers, so
// that the kernel treats it as any other process of one user. Root itself may
// read every process, and nothing that kb does can change that.
func unprivileged(t *testing.T) []string {
	t.Helper()
	if os.Geteuid() != 0 {
		return nil
	}
	path, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("root without setpriv: the checks would be meaningless, root reads every process")
	}
	return []string{path, "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all", "--securebits=+noroot,+noroot_locked"}
}

// TestAttackSameUser has a session's child, which is of kb's own user, take by
// force what it is not given: at tier hardened kb's own process is closed to it.
func TestAttackSameUser(t *testing.T) {
	drop := unprivileged(t)
	a := newArena(t)
	all := everywhere{a}
	inSession := func(args ...string) testkit.Result {
		return a.run(a.home.Env, "", append(append(append([]string{}, drop...), a.kb, "exec", "--"), args...)...)
	}
	for _, file := range []string{"environ", "maps", "smaps", "mem", "fd", "fdinfo", "auxv", "stack", "pagemap", "map_files", "io", "cwd", "exe", "root"} {
		a.attack("/proc/PID/"+file+" of kb", all, func(t *testing.T) answer {
			script := `for d in $PPID; do p=/proc/$d/` + file + `; if [ -d $p ] && [ ! -L $p ]; then ls -l $p/ && echo READ; elif [ -L $p ]; then readlink $p && echo READ; else head -c 4096 $p | od -An -c && [ -n "$(head -c 16 $p)" ] && echo READ; fi; done; echo DONE
p=/proc/self/` + file + `; if [ -L $p ]; then readlink $p >/dev/null && echo SELF; else [ -n "$(ls $p/ 2>/dev/null; head -c 16 $p 2>/dev/null | tr '\000' x)" ] && echo SELF; fi`
			r := inSession("sh", "-c", script)
			if !strings.Contains(r.Stdout, "DONE") || strings.Contains(r.Stdout, "READ") {
				t.Errorf("kb's %s can be read: %s", file, r.All())
			}
			// The control of the probe: of the child itself it reads the same
			// file. Some are closed to everyone without capabilities.
			if !strings.Contains(r.Stdout, "SELF") && file != "mem" && file != "stack" && file != "map_files" && file != "pagemap" {
				t.Errorf("the probe reads nothing of itself either: %s", r.All())
			}
			return answer{text: r.All()}
		})
	}
	a.attack("ptrace", all, func(t *testing.T) answer {
		if _, err := exec.LookPath("strace"); err != nil {
			t.Skip("strace is not installed")
		}
		r := inSession("sh", "-c", "timeout 5 strace -p $PPID; sleep 30 & timeout -s INT 1 strace -p $!; kill $!")
		if !strings.Contains(r.Stderr, "Operation not permitted") || strings.Count(r.Stderr, "attached") != 1 {
			t.Errorf("kb was traced, or the child's own child was not: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.attack("gcore", all, func(t *testing.T) answer {
		if _, err := exec.LookPath("gcore"); err != nil {
			t.Skip("gcore is not installed")
		}
		dir := t.TempDir()
		r := inSession("sh", "-c", "cd "+dir+"; timeout 20 gcore -o kb $PPID; ls")
		if files, _ := filepath.Glob(filepath.Join(dir, "kb*")); len(files) != 0 {
			t.Errorf("a core of kb was taken: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.attack("core limit", all, func(t *testing.T) answer {
		dir := t.TempDir()
		r := a.run(a.home.With("GOTRACEBACK=crash"), "", append(append([]string{}, drop...), "sh", "-c", "ulimit -c unlimited; cd "+dir+"; exec "+a.kb+` exec -p work -- sh -c 'sleep 0.3; grep "Max core" /proc/self/limits; kill -ABRT $PPID; sleep 1'`)...)
		if files, _ := filepath.Glob(filepath.Join(dir, "*core*")); len(files) != 0 {
			t.Errorf("kb left a core: %v", files)
		}
		if strings.Count(r.Stdout, "unlimited") != 2 { // soft and hard
			t.Errorf("the child has lost its own core limit: %s", r.All())
		}
		return answer{text: r.All()}
	})
	for _, signal := range []string{"QUIT", "ABRT", "SEGV", "TRAP"} {
		a.attack("SIG"+signal, all, func(t *testing.T) answer {
			r := a.run(a.home.With("GOTRACEBACK=crash"), "", append(append([]string{}, drop...), a.kb, "exec", "--", "sh", "-c",
				`curl -sS -o /dev/null https://`+goodHost+`/status?code=204; kill -`+signal+` $PPID; sleep 0.5; echo AFTER`)...)
			return answer{text: r.All()}
		})
	}
	a.attack("no new privileges", all, func(t *testing.T) answer {
		r := inSession("grep", "NoNewPrivs", "/proc/self/status")
		if strings.TrimSpace(strings.TrimPrefix(r.Stdout, "NoNewPrivs:")) != "1" {
			t.Errorf("the child may gain privileges: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.verbs(t, all)
	a.tokens(t, all)
	a.swaps(t, all)
}

// verbs runs every verb that changes what kb holds inside a session.
func (a *arena) verbs(t *testing.T, all listener) {
	vault := strings.TrimSpace(a.ok("", "vault", "path"))
	for _, verb := range []string{
		"init", "login github -p work --stdin --no-verify --replace", "logout github -p work", "profile add other", "profile set work --egress open", "profile rm work", "profile default work",
		"rule add work --remote github.com/x/*", "rule rm r1", "provider add /dev/null", "provider rm acme", "pin rm .", "unlock", "device add-ci evil",
		"exec -p work -- true", "exec --also work -- true", "exec --accept-pin -- true",
	} {
		a.attack("kb "+verb+" inside a session", all, func(t *testing.T) answer {
			before, err := os.ReadFile(vault)
			if err != nil {
				t.Fatal(err)
			}
			r := a.run(a.home.Env, a.acme, append([]string{a.kb, "exec", "--", a.kb}, strings.Fields(verb)...)...)
			if r.Code == 0 || !strings.Contains(r.Stderr, "inside") {
				t.Errorf("it was not refused for that reason: %s", r.All())
			}
			after, err := os.ReadFile(vault)
			if err != nil || string(after) != string(before) {
				t.Error("the vault has changed")
			}
			return answer{text: r.All()}
		})
	}
}

// tokens tries the proxy without its token, and with others.
func (a *arena) tokens(t *testing.T, all listener) {
	a.child = a.start(a.home.Env, a.home.Dir)
	other := a.start(a.home.Env, a.home.Dir)
	a.works(t)
	basic := func(pair string) string {
		return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) + "\r\n"
	}
	token := a.child.token
	for name, header := range map[string]string{
		"no token":                     "X: y\r\n",
		"empty token":                  basic("kb:"),
		"another session's token":      basic("kb:" + other.token),
		"a prefix of the token":        basic("kb:" + token[:len(token)-1]),
		"the token and more":           basic("kb:" + token + "x"),
		"the token in another case":    basic("kb:" + strings.ToUpper(token)),
		"the token as a bearer":        "Proxy-Authorization: Bearer " + token + "\r\n",
		"the token as Authorization":   strings.TrimPrefix(basic("kb:"+token), "Proxy-"),
		"the token of another user":    basic("root:" + token),
		"the token as the user":        basic(token + ":kb"),
		"the token behind a NUL":       basic("kb:\x00" + token),
		"the token without Basic":      "Proxy-Authorization: " + token + "\r\n",
		"the token in url-safe base64": "Proxy-Authorization: Basic " + base64.URLEncoding.EncodeToString([]byte("kb:\xff\xfe"+token)) + "\r\n",
	} {
		a.attack(name, all, func(t *testing.T) answer {
			c := a.dial()
			defer func() { _ = c.Close() }()
			got := a.exchange(c, "CONNECT "+goodHost+":443 HTTP/1.1\r\nHost: "+goodHost+":443\r\nConnection: close\r\n"+header+"\r\n")
			if n := reached(a.good); n != 0 {
				t.Errorf("%d requests arrived", n)
			}
			return got
		}, 407)
	}
	a.attack("the token of a session that has ended", all, func(t *testing.T) answer {
		old := other.token
		other.stop()
		c := a.dial()
		defer func() { _ = c.Close() }()
		return a.exchange(c, "CONNECT "+goodHost+":443 HTTP/1.1\r\nHost: "+goodHost+":443\r\nConnection: close\r\n"+basic("kb:"+old)+"\r\n")
	}, 407)
	a.works(t)
}

// swaps exchanges the vault under a running session: what is no successor of the
// vault that the device knows changes nothing.
func (a *arena) swaps(t *testing.T, all listener) {
	path := strings.TrimSpace(a.ok("", "vault", "path"))
	first, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	a.ok("", "profile", "add", "later")
	second, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	foreign := testkit.NewHome(t)
	for _, args := range [][]string{{"init"}, {"profile", "add", "work"}} {
		if r := a.run(foreign.Env, "", append([]string{a.kb}, args...)...); r.Code != 0 {
			t.Fatal(r.All())
		}
	}
	r := a.run(foreign.Env, testkit.NewCanary("ghp_", 36), a.kb, "login", "github", "-p", "work", "--stdin", "--no-verify")
	if r.Code != 0 {
		t.Fatal(r.All())
	}
	strange, err := os.ReadFile(filepath.Join(foreign.Dir, ".config", "kb", "vault.age"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"another's vault": strange, "an older vault": first, "nothing": nil, "garbage": []byte("age-encryption.org/v1\n" + strings.Repeat("x", 4096)), "half of the vault": second[:len(second)/2],
	} {
		a.attack("the vault swapped for "+name, all, func(t *testing.T) answer {
			a.swap(t, path, func() error { return os.WriteFile(path, data, 0o600) }, second)
			return answer{}
		})
	}
	a.attack("the vault swapped for a FIFO", all, func(t *testing.T) answer {
		a.swap(t, path, func() error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return syscall.Mkfifo(path, 0o600)
		}, second)
		return answer{}
	})
	a.attack("the vault swapped for endless zeros", all, func(t *testing.T) answer {
		a.swap(t, path, func() error {
			if err := os.Remove(path); err != nil {
				return err
			}
			return os.Symlink("/dev/zero", path)
		}, second)
		if rss := a.residentMiB(t); rss > 300 {
			t.Errorf("kb holds %d MiB", rss)
		}
		return answer{}
	})
}

// swap runs one exchange, asks the session for the time in which it notices, and
// puts the vault back.
func (a *arena) swap(t *testing.T, path string, exchange func() error, back []byte) {
	t.Helper()
	if err := exchange(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(700 * time.Millisecond); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		a.works(t)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, back, 0o600); err != nil {
		t.Fatal(err)
	}
	a.works(t)
}
