package main

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"kb/internal/screen"
)

// dashboard is kb alone, on a terminal.
func (d *labHome) dashboard(environ ...string) *screen.Screen {
	d.t.Helper()
	program, err := exec.LookPath("kb")
	if err != nil {
		d.t.Fatal(err)
	}
	return screen.Start(d.t, screen.Options{Args: []string{program}, Env: d.home.With(environ...), Dir: d.home.Dir})
}

// TestDashboardLogsIn: from no login to one that this machine's browser granted,
// and out again.
func TestDashboardLogsIn(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	kb := d.dashboard("BROWSER=browse")
	kb.WaitFor("1 Home")
	kb.Send("3")
	kb.WaitFor("No logins")
	kb.Send("l")
	kb.WaitFor("Log in at which provider")
	kb.Type("acme lab")
	kb.WaitFor("> lab +Acme Lab")
	kb.Send("Enter")
	kb.WaitFor("dynamic, in a browser")
	kb.Type("dynamic")
	kb.Send("Enter")
	kb.WaitFor(`\+ profile work is logged in at lab as me-at-acme`)
	kb.Send("Enter")
	kb.WaitFor(`> \+ lab +work .* ok .* device`)
	kb.Send("d")
	kb.WaitFor("stays in the vault, and other devices go on")
	kb.Send("Enter") // which is no
	kb.WaitGone("go on with it")
	kb.Send("d")
	kb.WaitFor("stays in the vault, and other devices go on")
	kb.Send("y")
	kb.WaitFor(`> ! lab +work .* needs login`)
	kb.Send("q")
	kb.Restored(0)
}

// TestDashboardLogsInByDevice: over SSH, with a client of the user's own: its secret
// is not on the screen, and the code is typed elsewhere.
func TestDashboardLogsInByDevice(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	kb := d.dashboard("SSH_TTY=/dev/pts/9", "LANG=C.UTF-8")
	kb.WaitFor("1 Home")
	kb.Send("4")
	kb.WaitFor("airtable")
	kb.Send("/")
	kb.Type("acme lab")
	kb.Send("Enter")
	kb.WaitFor("> lab ")
	kb.Send("l")
	kb.WaitFor("OAuth app, with a code typed on any machine")
	kb.Type("OAuth app code")
	kb.Send("Enter")
	kb.WaitFor("> Client ID")
	kb.Type("kb-own")
	kb.Send("Enter")
	kb.Type("kbCanarySecret")
	shown := kb.WaitFor(`Client secret +\*{8}`)
	if strings.Contains(shown, "kbCanary") {
		t.Errorf("the secret is on the screen:\n%s", shown)
	}
	kb.Send("C-s")
	shown = kb.WaitFor(`[0-9A-F]{4}-[0-9A-F]{4}`)
	for _, want := range []string{`https://auth0\.lab\.example/activate`, `9:5\d left`, `█▀+█`} {
		if !regexp.MustCompile(want).MatchString(shown) {
			t.Errorf("no %s on the screen:\n%s", want, shown)
		}
	}
	d.mu.Lock()
	d.auth.Device(d.user, "approved")
	d.mu.Unlock()
	kb.WaitFor(`\+ profile work is logged in at lab as me-at-acme`)
	kb.Send("Enter", "q")
	kb.Restored(0)
}
