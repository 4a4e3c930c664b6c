package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"kb/internal/testkit"
)

// labHome is a lab, a home with a vault that has the profile "work", and terminals
// there.
type labHome struct {
	*lab
	t    *testing.T
	home *testkit.Home
}

func newLabHome(t *testing.T) *labHome {
	t.Helper()
	world := testkit.Namespace(t)
	d := &labHome{newLab(world, "0"), t, testkit.NewHome(t)}
	definition := filepath.Join(d.home.Dir, "lab.toml")
	if err := os.WriteFile(definition, []byte(d.definition()), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"kb", "init"}, {"kb", "profile", "add", "work"}, {"kb", "provider", "add", definition}} {
		if r := testkit.Run(t, d.home.Dir, d.home.Env, args...); r.Code != 0 {
			t.Fatalf("%q: %s", args, r.All())
		}
	}
	return d
}

// terminal is kb on a terminal.
type terminal struct {
	t     *testing.T
	tty   *os.File
	r     *bufio.Reader
	cmd   *exec.Cmd
	shown strings.Builder
}

// types starts kb on a terminal of 100 columns and 50 lines.
func (d *labHome) types(environ []string, args ...string) *terminal {
	d.t.Helper()
	program, err := exec.LookPath("kb")
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = d.home.Dir, d.home.With(append([]string{"TERM=xterm"}, environ...)...)
	tty, err := pty.StartWithSize(cmd, &pty.Winsize{Cols: 100, Rows: 50})
	if err != nil {
		cancel()
		d.t.Skipf("skipped: no pseudo-terminal here: %v", err)
	}
	d.t.Cleanup(func() { cancel(); _ = tty.Close() })
	return &terminal{t: d.t, tty: tty, r: bufio.NewReader(tty), cmd: cmd}
}

// until reads the screen until it shows what matches, and returns the match.
func (m *terminal) until(pattern string) string {
	m.t.Helper()
	want := regexp.MustCompile(pattern)
	for {
		if found := want.FindString(m.shown.String()); found != "" {
			return found
		}
		b, err := m.r.ReadByte()
		if err != nil {
			m.t.Fatalf("terminal ended before %q; it showed %q", pattern, m.shown.String())
		}
		m.shown.WriteByte(b)
	}
}

func (m *terminal) answer(text string) { fmt.Fprint(m.tty, text) }

// ends waits for kb to end with code, and returns all that the screen showed.
func (m *terminal) ends(code int) string {
	m.t.Helper()
	for {
		b, err := m.r.ReadByte()
		if err != nil {
			break
		}
		m.shown.WriteByte(b)
	}
	_ = m.cmd.Wait()
	if got := m.cmd.ProcessState.ExitCode(); got != code {
		m.t.Errorf("kb ended with %d, want %d:\n%s", got, code, m.shown.String())
	}
	return m.shown.String()
}

// screenOf is what the screen shows in the end: lines that were erased are not
// there.
func screenOf(shown string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(shown, "\r\n") {
		out.WriteString(line[strings.LastIndex(line, "\x1b[K")+1:] + "\n")
	}
	return out.String()
}

const authorizeURL = `https://auth0\.lab\.example/authorize\?\S+`

// TestLoginPastesTheRedirect: over SSH, with a provider that has no device
// flow, the address that the browser ended at is pasted. It holds a code and is
// never shown; a wrong one is refused and the right one still goes.
func TestLoginPastesTheRedirect(t *testing.T) {
	d := newLabHome(t)
	kb := d.types([]string{"SSH_CONNECTION=198.51.100.7 50000 192.0.2.1 22"}, "login", "lab", "-p", "work", "--method", "dynamic")
	address := kb.until(authorizeURL + `(?:\r\n)`)
	kb.until(`paste the address the browser ended at: `)
	kb.answer("https://evil.example/callback?code=kbCanary&state=x\n")
	kb.until(`it is not the address that the login waits at, 14:\d\d left; paste it: `)
	kb.answer(sentTo(strings.TrimSpace(address)) + "\n")
	shown := kb.ends(0)
	if strings.Contains(shown, "kbCanary") || strings.Contains(shown, "code-") {
		t.Errorf("a pasted address was shown:\n%s", shown)
	}
	if !strings.Contains(shown, "logged in at lab as me-at-acme") {
		t.Errorf("not logged in:\n%s", shown)
	}
}

// TestLoginOpensTheBrowser: the browser of this machine does it all, and the
// line that waited is gone afterwards.
func TestLoginOpensTheBrowser(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	kb := d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "dynamic")
	shown := kb.ends(0)
	for _, want := range []string{"your browser opens this page", "https://auth0.lab.example/authorize?", "logged in at lab as me-at-acme"} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q on the screen:\n%s", want, shown)
		}
	}
	if strings.Contains(screenOf(shown), "waiting") {
		t.Errorf("the line that waited is still there:\n%s", screenOf(shown))
	}
}

// TestLoginSaysWhereNoBrowserOpens: one that fails to open is told, and a person
// opens the page themselves.
func TestLoginSaysWhereNoBrowserOpens(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	kb := d.types([]string{"BROWSER=/nonexistent/browser"}, "login", "lab", "-p", "work", "--method", "dynamic")
	address := kb.until(authorizeURL + `(?:\r\n)`)
	kb.until("no browser opened, so open the page yourself")
	if status, where := visit(strings.TrimSpace(address)); status != 200 {
		t.Errorf("the browser ended with %d at %s", status, where)
	}
	kb.ends(0)
}

// TestLoginByDevice: the code, a QR code with it, and how long there is; kb
// notices by itself that the code was typed.
func TestLoginByDevice(t *testing.T) {
	d := newLabHome(t)
	kb := d.types([]string{"SSH_TTY=/dev/pts/9", "CLIENT=kbCanarySecret"},
		"login", "lab", "-p", "work", "--client-id", "kb-own", "--client-secret-from", "env:CLIENT")
	kb.until(`open      https://auth0\.lab\.example/activate\r\n`)
	kb.until(`and type  [0-9A-F]{4}-[0-9A-F]{4}\r\n`)
	kb.until(`█▀+█`)
	kb.until(`waiting, 9:5\d left; ctrl\+c cancels`)
	kb.answer("what now\n")
	kb.until("the code is typed in the browser, not here")
	d.mu.Lock()
	d.auth.Device(d.user, "approved")
	d.mu.Unlock()
	shown := kb.ends(0)
	if !strings.Contains(shown, "logged in at lab as me-at-acme") {
		t.Errorf("not logged in:\n%s", shown)
	}
}

// TestLoginIsCancelled: ctrl+c ends a login at any point with exit 3, and
// nothing of it is kept.
func TestLoginIsCancelled(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	vault := filepath.Join(d.home.Dir, ".config/kb/vault.age")
	before, err := os.ReadFile(vault)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		at, keys string
		environ  []string
		args     []string
	}{
		{"Client ID: ", "\x03", nil, []string{"login", "lab", "-p", "work"}},
		{"Client secret", "kbCanary\x03", nil, []string{"login", "lab", "-p", "work"}},
		{"waiting", "\x03", []string{"BROWSER=true"}, []string{"login", "lab", "-p", "work", "--method", "dynamic"}},
		{"waiting", "\x04", []string{"BROWSER=true"}, []string{"login", "lab", "-p", "work", "--method", "dynamic"}},
		{
			"waiting", "\x03",
			[]string{"CLIENT=kbCanarySecret"},
			[]string{"login", "lab", "-p", "work", "--method", "device", "--client-id", "kb-own", "--client-secret-from", "env:CLIENT"},
		},
	} {
		kb := d.types(c.environ, c.args...)
		if c.at == "Client secret" {
			kb.until("Client ID: ")
			kb.answer("kb-own\n")
		}
		kb.until(c.at)
		kb.answer(c.keys)
		if shown := kb.ends(3); strings.Contains(shown, "kbCanary") || strings.Contains(screenOf(shown), "waiting") {
			t.Errorf("%v at %q left on the screen:\n%s", c.args, c.at, shown)
		}
	}
	after, err := os.ReadFile(vault)
	if err != nil || string(after) != string(before) {
		t.Errorf("a login that was cancelled changed the vault (%v)", err)
	}
}

// TestLoginAsksForTheClientOnce: where it is made, what to enter there, the
// secret without echo; the next login has it from the vault.
func TestLoginAsksForTheClientOnce(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	kb := d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "code")
	kb.until(`https://lab\.example/apps`)
	kb.until(`http://127\.0\.0\.1/callback`)
	kb.until("Client ID: ")
	kb.answer("kb-own\n")
	kb.until("Client secret")
	kb.answer("kbCanarySecret\n")
	if shown := kb.ends(0); strings.Contains(shown, "kbCanary") || !strings.Contains(shown, "logged in at lab") {
		t.Errorf("the screen showed:\n%s", shown)
	}
	kb = d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "code", "--as", "two")
	if shown := kb.ends(0); strings.Contains(shown, "Client ID") {
		t.Errorf("asked again:\n%s", shown)
	}
}

// TestLoginAll walks the logins that this device has still to make.
func TestLoginAll(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "dynamic").ends(0)
	d.types(nil, "logout", "lab", "-p", "work").ends(0)
	if r := testkit.Run(t, d.home.Dir, d.home.Env, "setsid", "-w", "kb", "login", "--all"); r.Code != 4 || !strings.Contains(r.Stderr, "left: work at lab") {
		t.Errorf("without a terminal: %s", r.All())
	}
	shown := d.types([]string{"BROWSER=browse"}, "login", "--all").ends(0)
	if !strings.Contains(shown, "1 of 1: work at lab") || !strings.Contains(shown, "logged in at lab as me-at-acme") {
		t.Errorf("the screen showed:\n%s", shown)
	}
}

// TestLogoutAsksWhereTheGrantEnds: whoever says no is still logged in.
func TestLogoutAsksWhereTheGrantEnds(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "whole").ends(0)
	for _, c := range []struct {
		keys    string
		code    int
		revoked int
	}{{"n\n", 3, 0}, {"\x03", 3, 0}, {"y\n", 0, 1}} {
		kb := d.types(nil, "logout", "lab", "-p", "work")
		kb.until("it ends the whole grant at the provider")
		kb.until(`Log out\? \[y/N\] `)
		kb.answer(c.keys)
		shown := kb.ends(c.code)
		d.mu.Lock()
		if d.revoked != c.revoked {
			t.Errorf("%q: %d revocations, want %d:\n%s", c.keys, d.revoked, c.revoked, shown)
		}
		d.mu.Unlock()
	}
}
