package e2e

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/testkit"
)

// The hosts of the attacks. The first are the canary's own; acme.example's are
// of a definition in the vault, so that each attack on names has fresh ones (kb's
// resolver keeps /etc/hosts for 5 s).
const (
	goodHost = "api.github.com"
	evilHost = "evil.example"
)

// acmeNames are n1.acme.example, n2.acme.example, …
const acmeNames = 40

// arena is a test world under attack: a session with two canaries in its vault,
// their own hosts, and listeners elsewhere that keep all that reaches them. The
// attacker is this process: it stands in the session's network with the
// session's environment, and says what no ordinary client would.
type arena struct {
	*testkit.World
	t      *testing.T
	kb     string
	home   *testkit.Home
	work   string // canary of the login at github, profile work
	acme   string // canary of the login at acme, profile work
	own    map[string]bool
	good   *testkit.Origin
	evil   *testkit.Origin
	served []*testkit.Origin
	sinks  []*sink
	child  *attackedChild

	cases, stopped, controls int
}

// attackTotals adds up the arenas of a run.
var attackTotals struct{ cases, stopped, controls int }

func acmeDefinition() string {
	var hosts []string
	for i := range acmeNames {
		hosts = append(hosts, strconv.Quote(fmt.Sprintf("n%d.acme.example", i)))
	}
	list := "[" + strings.Join(hosts, ", ") + "]"
	return `name = "acme"
title = "Acme"
docs = "https://acme.example/docs"
sources = ["https://acme.example/docs"]
hosts = ` + list + `
env = { ACME_TOKEN = "acme_{random36}" }

[[login]]
method = "token"
[[login.field]]
name = "token"
label = "Token"
secret = true

[[inject]]
hosts = ` + list + `
header = { Authorization = "Bearer {token}" }
source = "https://acme.example/docs"
`
}

// newArena makes the world and the vault; start starts the session.
func newArena(t *testing.T) *arena {
	t.Helper()
	needsE2E(t)
	a := &arena{
		World: testkit.Namespace(t), t: t, kb: testkit.BuildKB(t), home: testkit.NewHome(t),
		work: testkit.NewCanary("ghp_", 36), acme: testkit.NewCanary("acme_", 36),
		own: map[string]bool{goodHost: true, "github.com": true, "uploads.github.com": true, "gist.github.com": true},
	}
	for i := range acmeNames {
		a.own[fmt.Sprintf("n%d.acme.example", i)] = true
	}
	a.good = a.serve(goodHost, testkit.OriginConfig{Plain: testkit.Lab(), Ports: []uint16{443, 8443}})
	a.evil = a.serve(evilHost, testkit.OriginConfig{Plain: testkit.Lab(), Ports: []uint16{443, 8443, 22, 25, 465, 587}})

	a.ok("", "init")
	a.ok("", "profile", "add", "work", "--git-email", "me@acme.example", "--git-name", "Me")
	a.ok("", "rule", "add", "work", "--dir", a.home.Dir)
	definition := filepath.Join(t.TempDir(), "acme.toml")
	if err := os.WriteFile(definition, []byte(acmeDefinition()), 0o600); err != nil {
		t.Fatal(err)
	}
	a.ok("", "provider", "add", definition)
	a.ok(a.work, "login", "github", "-p", "work", "--stdin", "--no-verify")
	a.ok(a.acme, "login", "acme", "-p", "work", "--stdin", "--no-verify")
	t.Cleanup(func() {
		attackTotals.cases += a.cases
		attackTotals.stopped += a.stopped
		attackTotals.controls += a.controls
		fmt.Printf("%s: %d cases, %d stopped, %d controls tripped\n", t.Name(), a.cases, a.stopped, a.controls)
	})
	return a
}

func (a *arena) serve(name string, c testkit.OriginConfig) *testkit.Origin {
	a.t.Helper()
	o := a.World.Serve(name, c)
	a.served = append(a.served, o)
	return o
}

// ok runs kb with arguments and input; it must succeed.
func (a *arena) ok(stdin string, args ...string) string {
	a.t.Helper()
	r := a.run(a.home.Env, stdin, append([]string{a.kb}, args...)...)
	if r.Code != 0 {
		a.t.Fatalf("kb %s: %s", strings.Join(args, " "), r.All())
	}
	return r.Stdout
}

func (a *arena) run(env []string, stdin string, args ...string) testkit.Result {
	a.t.Helper()
	return testkit.Exec(a.t, testkit.Command{Dir: a.home.Dir, Env: env, Args: args, Stdin: strings.NewReader(stdin), Limit: time.Minute})
}

// attackedChild is a session whose child waits while it is attacked.
type attackedChild struct {
	cmd            *exec.Cmd
	stdin          io.Closer
	stdout, stderr bytes.Buffer // read after stop
	env            map[string]string
	proxy, token   string
	stopped        bool
}

// start starts a session whose child writes down its environment and waits.
func (a *arena) start(env []string, dir string, flags ...string) *attackedChild {
	a.t.Helper()
	file := filepath.Join(a.t.TempDir(), "environ")
	args := append([]string{"exec"}, flags...)
	args = append(args, "--", "sh", "-c", `env -0 > "$1.new" && mv "$1.new" "$1"; cat`, "sh", file)
	s := &attackedChild{cmd: exec.CommandContext(a.t.Context(), a.kb, args...), env: map[string]string{}}
	s.cmd.Dir, s.cmd.Env = dir, env
	s.cmd.Stdout, s.cmd.Stderr = &s.stdout, &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	s.cmd.WaitDelay = 5 * time.Second
	stdin, err := s.cmd.StdinPipe()
	if err != nil {
		a.t.Fatal(err)
	}
	s.stdin = stdin
	if err := s.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { s.stop() })
	testkit.Eventually(a.t, attackPatience, "the session's child to start", func() bool {
		_, err := os.Stat(file)
		return err == nil
	})
	text, err := os.ReadFile(file)
	if err != nil {
		a.t.Fatal(err)
	}
	for entry := range strings.SplitSeq(string(text), "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		s.env[name] = value
	}
	u, err := url.Parse(s.env["HTTPS_PROXY"])
	if err != nil || u.User == nil {
		a.t.Fatalf("the child has no proxy: %q", s.env["HTTPS_PROXY"])
	}
	s.proxy = u.Host
	s.token, _ = u.User.Password()
	return s
}

// stop ends the child and the session with it.
func (s *attackedChild) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	_ = s.stdin.Close()
	_ = s.cmd.Wait()
}

func (s *attackedChild) authorization(user string) string {
	return "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+s.token)) + "\r\n"
}

// answer is what an attacker got: the last status of kb or an origin (0 when
// the connection ended without any), and every byte.
type answer struct {
	status int
	text   string
	leaked bool // text says where a canary was found
}

// statusOf reads the status of an HTTP/1 answer.
func statusOf(b []byte) int {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return 0
	}
	n, err := strconv.Atoi(string(line[9:12]))
	if err != nil {
		return 0
	}
	return n
}

// attackPatience bounds the reading of one answer; nothing in an attack is waited
// for this long unless the proxy hangs.
const attackPatience = 8 * time.Second

func (a *arena) dial() net.Conn {
	a.t.Helper()
	c, err := net.Dial("tcp", a.child.proxy)
	if err != nil {
		a.t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(attackPatience))
	return c
}

// proxied sends raw bytes to the proxy, AUTH standing for the session's own
// Proxy-Authorization line, and reads to the end of the connection.
func (a *arena) proxied(raw string) answer {
	a.t.Helper()
	c := a.dial()
	defer func() { _ = c.Close() }()
	return a.exchange(c, strings.ReplaceAll(raw, "AUTH", a.child.authorization("kb")))
}

// exchange writes and reads to the end. Whoever attacks asks for the connection
// to be closed.
func (a *arena) exchange(c net.Conn, raw string) answer {
	go func() { _, _ = io.WriteString(c, raw) }() // a refusal may come before all is written
	b, _ := io.ReadAll(io.LimitReader(c, 4<<20))
	return answer{status: statusOf(b), text: string(b)}
}

// connect opens a CONNECT tunnel; conn is nil where it was refused.
func (a *arena) connect(target, header string) (conn net.Conn, got answer) {
	a.t.Helper()
	c := a.dial()
	if header == "" {
		header = "Host: " + target + "\r\n"
	}
	if !strings.Contains(header, "Proxy-Authorization") {
		header += a.child.authorization("kb")
	}
	if _, err := io.WriteString(c, "CONNECT "+target+" HTTP/1.1\r\n"+header+"\r\n"); err != nil {
		a.t.Fatal(err)
	}
	var head []byte
	one := make([]byte, 1)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) && len(head) < 64<<10 {
		if _, err := c.Read(one); err != nil {
			break
		}
		head = append(head, one[0])
	}
	got = answer{status: statusOf(head), text: string(head)}
	if got.status == http.StatusOK {
		return c, got
	}
	rest, _ := io.ReadAll(io.LimitReader(c, 1<<20))
	_ = c.Close()
	got.text += string(rest)
	return nil, got
}

// tunnelTLS opens a tunnel and TLS in it. Certificates are not looked at: the
// attacker takes any.
func (a *arena) tunnelTLS(target, header string, config *tls.Config) (*tls.Conn, answer) {
	a.t.Helper()
	c, got := a.connect(target, header)
	if c == nil {
		return nil, got
	}
	config.InsecureSkipVerify = true
	secure := tls.Client(c, config)
	if err := secure.Handshake(); err != nil {
		_ = c.Close()
		return nil, answer{text: got.text + err.Error()}
	}
	return secure, got
}

// inside sends raw bytes in a tunnel with TLS, over HTTP/1.1.
func (a *arena) inside(target, sni, raw string) answer {
	a.t.Helper()
	c, got := a.tunnelTLS(target, "", &tls.Config{ServerName: sni})
	if c == nil {
		return got
	}
	defer func() { _ = c.Close() }()
	return a.exchange(c, raw)
}

// get is the raw request of an ordinary client.
func get(host, path string, header ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\n" + strings.Join(append(header, ""), "\r\n") + "Connection: close\r\n\r\n"
}

// attack runs one case: nothing of the canaries may come back or reach a host
// that is not theirs, and the answer has one of the statuses (none: any will
// do). Then the control: the canary sent to target on purpose must be found.
func (a *arena) attack(name string, target listener, run func(t *testing.T) answer, statuses ...int) {
	a.t.Helper()
	a.t.Run(name, func(t *testing.T) {
		outer := a.t
		a.t = t
		defer func() { a.t = outer }()
		a.cases++
		a.forget()
		got := run(t)
		for _, f := range a.search(got) {
			t.Errorf("LEAK: %s", f)
		}
		if got.leaked {
			t.Errorf("LEAK: %s", got.text)
		}
		if len(statuses) > 0 && !contains(statuses, got.status) {
			t.Errorf("answered %d, want one of %v:\n%.600s", got.status, statuses, got.text)
		}
		if !t.Failed() {
			a.stopped++
		}
		a.forget()
		if err := target.plant(a.work, a.acme); err != nil {
			t.Fatalf("control: %v", err)
		}
		tripped := false
		for deadline := time.Now().Add(attackPatience); !tripped && time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			tripped = len(a.search(answer{})) > 0
		}
		if !tripped {
			t.Error("control: the canary that was sent on purpose was not found")
			return
		}
		a.controls++
	})
}

func contains(list []int, n int) bool {
	for _, v := range list {
		if v == n {
			return true
		}
	}
	return false
}

// search looks for the canaries in an answer and in all that arrived anywhere
// but at their own hosts, on port 443 and inside TLS.
func (a *arena) search(got answer) []testkit.Finding {
	o := testkit.NewOracle(a.work, a.acme)
	o.Look("the answer", []byte(got.text))
	o.Requests(a.Requests(), func(r testkit.Request) bool {
		return a.own[r.Origin] && r.Host == r.Origin && r.Port == 443 && r.TLSVersion != 0
	})
	for _, s := range a.sinks {
		o.Look(s.name, s.bytes())
	}
	return o.Findings()
}

func (a *arena) forget() {
	for _, o := range a.served {
		o.Forget()
	}
	for _, s := range a.sinks {
		s.forget()
	}
}

// reached is how many requests an origin has had.
func reached(o *testkit.Origin) int { return len(o.Requests()) }

// works checks that an ordinary request still gets its credential: an attack
// that stops everything has stopped nothing.
func (a *arena) works(t *testing.T) {
	t.Helper()
	const path = "/status?code=204&ordinary" // told apart from late requests of an attack
	a.good.Forget()
	got := a.inside(goodHost+":443", goodHost, get(goodHost, path))
	arrived, token := 0, ""
	for _, r := range a.good.Requests() {
		if r.Path+"?"+r.Query == path {
			arrived, token = arrived+1, r.Credential()
		}
	}
	if got.status != 204 || arrived != 1 || token != a.work {
		t.Fatalf("an ordinary request got %d, and %d arrived:\n%.600s", got.status, arrived, got.text)
	}
}

func escapeQuery(s string) string { return url.QueryEscape(s) }

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

func tlsTo(host string) *tls.Config { return &tls.Config{ServerName: host} }
