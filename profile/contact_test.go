package profile

import (
	"bufio"
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// gitContact asks the real git where it would go for a remote, without letting
// it: ssh is a script that writes down its arguments, http and https go to a
// proxy on loopback that writes down the request line, git:// goes through
// core.gitProxy.
type gitContact struct {
	git, home, log string
	proxy          net.Listener

	mu    sync.Mutex
	lines []string
}

func newGitContact(tb testing.TB) *gitContact {
	tb.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		tb.Skip("skipped: no git program to compare with")
	}
	g := &gitContact{git: git, home: tb.TempDir()}
	g.log = filepath.Join(g.home, "log")
	script := "#!/bin/sh\nprintf '%s\\n' \"$@\" >'" + g.log + "'\nexit 1\n"
	if err := os.WriteFile(filepath.Join(g.home, "note"), []byte(script), 0o700); err != nil { //nolint:gosec // a program
		tb.Fatal(err)
	}
	if g.proxy, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		tb.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(g.serve)
	tb.Cleanup(func() { _ = g.proxy.Close(); wg.Wait() })
	return g
}

func (g *gitContact) serve() {
	for {
		conn, err := g.proxy.Accept()
		if err != nil {
			return
		}
		_ = conn.SetDeadline(time.Now().Add(5 * time.Second))
		line, _ := bufio.NewReader(conn).ReadString('\n')
		g.mu.Lock()
		g.lines = append(g.lines, strings.TrimSpace(line))
		g.mu.Unlock()
		_, _ = conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
		_ = conn.Close()
	}
}

// ask returns host and port as git would dial them, port "" when git names
// none, and false if git would not leave the machine.
func (g *gitContact) ask(tb testing.TB, remote string) (host, port string, ok bool) {
	tb.Helper()
	_ = os.Remove(g.log)
	g.mu.Lock()
	g.lines = nil
	g.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, g.git, "-c", "core.gitProxy="+filepath.Join(g.home, "note"), "ls-remote", "--", remote)
	cmd.Dir = g.home
	proxy := "http://" + g.proxy.Addr().String()
	cmd.Env = []string{
		"HOME=" + g.home, "PATH=" + os.Getenv("PATH"), "LC_ALL=C", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_SSH=" + filepath.Join(g.home, "note"), "GIT_SSH_VARIANT=ssh", "GIT_ALLOW_PROTOCOL=ssh:git:http:https",
		"http_proxy=" + proxy, "https_proxy=" + proxy,
	}
	_ = cmd.Run() // it fails: nothing answers
	if data, err := os.ReadFile(g.log); err == nil {
		args := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
		if len(args) == 2 && !strings.HasPrefix(args[0], "-") && !strings.HasPrefix(args[1], "git-upload-pack") {
			return args[0], args[1], true // core.gitProxy HOST PORT
		}
		for len(args) > 1 && strings.HasPrefix(args[0], "-") { // -o SendEnv=GIT_PROTOCOL -p 22
			if args[0] == "-p" {
				port = args[1]
			}
			args = args[2:]
		}
		host = args[0]
		if _, after, ok := cutLast(host, "@"); ok { // ssh cuts at the last @
			host = after
		}
		return host, port, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.lines) == 0 {
		return "", "", false
	}
	words := strings.Fields(g.lines[0]) // CONNECT host:port HTTP/1.1, GET http://host:port/… HTTP/1.1
	if len(words) < 2 {
		tb.Fatalf("proxy was asked %q", g.lines[0])
	}
	target := words[1]
	if words[0] != "CONNECT" {
		target = strings.TrimPrefix(target, "http://")
		target, _, _ = strings.Cut(target, "/")
		if !strings.Contains(target[strings.LastIndexByte(target, ']')+1:], ":") {
			target += ":80"
		}
	}
	host, port, _ = cutLast(target, ":")
	return host, port, true
}

// check fails if git would go anywhere but where NormalRemote says. A
// remote that NormalRemote refuses may go anywhere: no rule knows it.
func (g *gitContact) check(t *testing.T, remote string) {
	t.Helper()
	l, err := parseLocation(remote)
	if err != nil {
		return
	}
	if _, _, isHelper := cutHelper(remote); isHelper {
		return
	}
	host, port, ok := g.ask(t, remote)
	if !ok {
		return
	}
	want := strings.Trim(l.host, "[]")
	got := strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if l.host[0] == '[' { // one address has many spellings
		if n, _, err := cutPort("[" + got + "]"); err == nil {
			got = strings.Trim(n, "[]")
		}
	}
	if got != want {
		t.Errorf("for %q git goes to host %q, kb says %q", remote, host, l.host)
	}
	p := l.port
	if p == 0 {
		p = defaultPort(l.scheme)
	}
	if port == "" {
		port = strconv.Itoa(defaultPort(l.scheme))
	}
	if n, err := strconv.Atoi(port); err != nil || n != p {
		t.Errorf("for %q git goes to port %q, kb says %d", remote, port, p)
	}
}

// Every spelling in the table goes where kb says: real git decides.
func TestNormalRemoteAgainstGit(t *testing.T) {
	g := newGitContact(t)
	asked := 0
	for _, c := range normalForms {
		if strings.HasPrefix(c.remote, "codecommit") {
			continue
		}
		if _, _, ok := g.ask(t, c.remote); !ok {
			t.Errorf("git goes nowhere for %q: the test cannot see it", c.remote)
			continue
		}
		asked++
		g.check(t, c.remote)
	}
	t.Logf("compared %d remotes with git", asked)
}

// FuzzNormalRemoteGit holds what NormalRemote accepts against real git.
func FuzzNormalRemoteGit(f *testing.F) {
	g := newGitContact(f)
	for _, c := range normalForms {
		f.Add(c.remote)
	}
	for _, s := range []string{
		"https://good@evil/x", "git@good:evil/..", "ssh://good%2F@evil/x", "a@b@[c:1]:d", "[a@b]:c", "x@[y]@z:w", "ssh://[a]:1/b",
		"https://a:b@c:d@e/f", "ssh://a:1:2/b", "http://a.b:/c", "[a]b:c", "a[b]:c", "ssh://u@h:22x/y",
		"a:x@[b]:y", "ssh://a/x@[b]/y", "https://a/x@[b]/y", "ssh://a/x%40%5Bb%5D/y", "u@a:x@[b]:y", "ssh://a/[b]@c",
		"ssh://[a]@b/c", "ssh://%5Ba%5D@b/c", "git://[a]@b/c", "git://a@b/c", "git://@b/c", "ssh://a@[b]@c/d", "ssh://a:b@[::1]:3/c", "git://[a:1]:2/c",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, remote string) {
		if strings.Contains(remote, "\x00") {
			return
		}
		g.check(t, remote)
	})
}
