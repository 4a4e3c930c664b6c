package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/screen"
	"kb/internal/testkit"
)

// storyPatience is how long a story waits for a frame; see screen's own.
const storyPatience = 20 * time.Second

// story is a home of a person with an account at GitHub, and a repository there.
type story struct {
	t      *testing.T
	home   *testkit.Home
	repo   string
	token  string // of the account
	github *testkit.Origin
	oracle *testkit.Oracle
}

func newStory(t *testing.T) *story {
	t.Helper()
	plainRun(t)
	if _, err := exec.LookPath("tmux"); err != nil {
		t.Skip("skipped: tmux is not installed")
	}
	d := &story{t: t, home: testkit.NewHome(t), token: testkit.NewCanary("ghp_", 36)}
	d.oracle = testkit.NewOracle(d.token)
	t.Cleanup(d.unseen)
	d.github = testkit.Namespace(t).Serve("api.github.com", testkit.OriginConfig{
		Handler: &testkit.GitHub{Users: map[string]string{d.token: "me-at-acme"}},
	})
	d.repo = filepath.Join(d.home.Dir, "app")
	for _, args := range [][]string{
		{"git", "config", "--global", "user.name", "Me"},
		{"git", "config", "--global", "user.email", "me@acme.example"},
		{"git", "init", "-q", d.repo},
		{"git", "-C", d.repo, "remote", "add", "origin", "https://github.com/acme/app.git"},
	} {
		d.must(testkit.Run(t, d.home.Dir, d.home.Env, args...))
	}
	return d
}

// withLogin has a vault, the profile "work" for the repository, and the login.
func (d *story) withLogin() *story {
	d.t.Helper()
	d.kb("", "init")
	d.kb("", "profile", "add", "work")
	d.kb("", "rule", "add", "work", "--remote", "github.com/acme/*")
	d.kb(d.token, "login", "github", "-p", "work", "--stdin", "--no-verify")
	return d
}

func (d *story) must(r testkit.Result) string {
	d.t.Helper()
	if r.Code != 0 {
		d.t.Fatal(r.All())
	}
	return r.Stdout
}

// kb runs kb without a terminal; it must succeed.
func (d *story) kb(stdin string, args ...string) string {
	d.t.Helper()
	return d.must(testkit.Exec(d.t, testkit.Command{
		Dir: d.repo, Env: d.home.Env, Args: append([]string{"kb"}, args...), Stdin: strings.NewReader(stdin), Limit: time.Minute,
	}))
}

// window is a terminal, each frame of which is searched for the token.
type window struct {
	*screen.Screen
	d    *story
	name string
	keys int // that were pressed
}

// open starts a program in a terminal of its own, in the repository.
func (d *story) open(name string, o screen.Options) *window {
	d.t.Helper()
	if program, err := exec.LookPath(o.Args[0]); err == nil {
		o.Args = append([]string{program}, o.Args[1:]...)
	}
	o.Env = d.home.With(append([]string{"PS1=" + name + "> "}, o.Env...)...)
	if o.Dir == "" {
		o.Dir = d.repo
	}
	return &window{screen.Start(d.t, o), d, name, 0}
}

// shows waits for a frame, and returns it.
func (w *window) shows(pattern string) string {
	w.d.t.Helper()
	want := regexp.MustCompile(pattern)
	return w.until(pattern, want.MatchString)
}

func (w *window) until(what string, so func(string) bool) string {
	w.d.t.Helper()
	frame, err := w.T.WaitUntil(func(frame string) bool {
		w.d.oracle.Look("the screen of "+w.name, []byte(frame))
		return so(frame)
	}, storyPatience)
	if err != nil {
		w.d.t.Fatalf("%s does not show %s (%v), but\n%s", w.name, what, err, frame)
	}
	w.d.t.Logf("%s shows %s:\n%s", w.name, what, frame)
	return frame
}

func (w *window) gone(pattern string) {
	w.d.t.Helper()
	not := regexp.MustCompile(pattern)
	w.until("no "+pattern, func(frame string) bool { return !not.MatchString(frame) })
}

func (w *window) press(keys ...string) {
	w.d.t.Helper()
	w.keys += len(keys)
	w.Send(keys...)
}

func (w *window) types(text string) {
	w.d.t.Helper()
	w.keys += len(text)
	w.Type(text)
}

// unseen wants the token on no frame so far.
func (d *story) unseen() {
	d.t.Helper()
	for _, f := range d.oracle.Findings() {
		d.t.Errorf("the token is shown: %v", f)
	}
	if d.oracle.Looked() == 0 {
		d.t.Error("no frame was looked at")
	}
}

// TestStoryFirstRun: from an empty home to an agent's request that carries the
// credential, with nothing but what the screens say.
func TestStoryFirstRun(t *testing.T) {
	d := newStory(t)
	w := d.open("shell", screen.Options{Args: []string{"sh"}})
	w.shows("shell>")
	began := time.Now()
	w.types("kb\n")
	w.shows("No vault yet")
	w.press("n")
	w.shows("make your vault")
	w.press("C-s")
	w.shows("github.com/acme/")
	w.press("C-s")
	w.shows("The first login of acme")
	w.press("Enter")
	w.shows("Log in at which provider")
	w.types("github")
	w.shows("> github +GitHub")
	w.press("Enter")
	w.shows("personal access token")
	w.press("Enter")
	w.shows("> Personal access token")
	w.types(d.token)
	w.shows(`Personal access token +\*{8}`)
	w.press("C-s")
	w.shows(`\+ profile acme is logged in at github as me-at-acme`)
	w.press("Enter")
	ready := w.shows(`━ Ready ━`)
	line := regexp.MustCompile(`(?m)^.*┃ +(kb exec -- claude) +┃.*$`).FindStringSubmatch(ready)
	if line == nil {
		t.Fatalf("no line to type on\n%s", ready)
	}
	w.press("Escape")
	w.gone("━ Ready ━") // esc and a key right behind it are another key
	w.press("q")
	w.shows("(?m)^shell>$")
	d.github.Forget()
	w.types(strings.Replace(line[1], "claude", `curl -sS https://api.github.com/user`, 1) + "\n")
	w.shows(`"login": ?"me-at-acme"`)
	spent := time.Since(began)

	requests := d.github.Requests()
	if len(requests) != 1 || requests[0].Bearer() != d.token {
		t.Errorf("%d requests arrived, want one with the token", len(requests))
	}
	fmt.Printf("first run: %d keys and %.1f s to the first request of an agent\n", w.keys, spent.Seconds())
	if spent > 2*time.Minute {
		t.Errorf("the first run took %v, want two minutes at most", spent)
	}
}

// agent is a shell in a session of kb's, in a window of its own.
func (d *story) agent() *window {
	d.t.Helper()
	w := d.open("agent", screen.Options{Args: []string{"kb", "exec", "--", "sh"}})
	w.shows("agent>")
	return w
}

const issues = "https://api.github.com/repos/acme/app/issues"

// posts types a request that makes an issue, whose answer is followed by its number
// and status.
func (w *window) posts(n int) {
	w.d.t.Helper()
	w.types(fmt.Sprintf(`clear; curl -s -d '{}' -w '\n%d is %%{http_code}\n' %s`+"\n", n, issues))
}

// TestStoryApproval: requests of an agent wait for a person in another window, who
// lets one pass, then its like, then writes a line, and refuses one.
func TestStoryApproval(t *testing.T) {
	d := newStory(t).withLogin()
	d.kb("", "policy", "add", "work", "ask", "--provider", "github", "--method", "POST")
	agent := d.agent()
	kb := d.open("dashboard", screen.Options{Args: []string{"kb"}})
	kb.shows("(?m) 1 session$")
	arrived := func(want int) {
		t.Helper()
		if got := len(d.github.Requests()); got != want {
			t.Errorf("%d requests have arrived at GitHub, want %d", got, want)
		}
	}

	// Nobody presses a key here until the request is on the screen.
	agent.posts(1)
	kb.shows(`1 waiting`)
	arrived(0)
	began := time.Now()
	kb.press("6")
	id := regexp.MustCompile(`─ Request (\w+) ─`).FindStringSubmatch(kb.shows(`─ Request \w+ ─`))[1]
	kb.press("a") // as if it was meant for another screen
	if frame := kb.shows("only just come|approved once"); strings.Contains(frame, "only just come") {
		arrived(0)
		id = kb.asked("")
		kb.press("a")
	} else if took := time.Since(began); took < 400*time.Millisecond { // the grace; a busy machine may let it pass
		t.Errorf("a key counted %v after the request came", took)
	}
	agent.shows("1 is 201")
	arrived(1)

	// Once was once: the next waits as well, and is for the session.
	agent.posts(2)
	id = kb.asked(id)
	arrived(1)
	kb.press("s")
	agent.shows("2 is 201")
	agent.posts(3)
	agent.shows("3 is 201")
	arrived(3)
	kb.shows("Nothing waits for you")
	agent.types("exit\n")
	kb.shows("0 sessions")

	// Another session knows nothing of that.
	agent = d.agent()
	agent.posts(4)
	id = kb.asked(id)
	kb.press("d")
	agent.shows(`(?s)"error":"approval-denied".*4 is 403`)
	arrived(3)

	agent.posts(5)
	kb.asked(id)
	kb.press("A")
	kb.shows("allow POST at github")
	kb.ticks()
	kb.press("Enter") // which is no
	kb.gone("Always allow")
	kb.asked("")
	arrived(3)
	kb.press("A")
	kb.shows("y write it and approve")
	kb.ticks()
	kb.press("y")
	agent.shows("5 is 201")
	agent.posts(6)
	agent.shows("6 is 201")
	arrived(5)
	if got := d.kb("", "policy", "ls"); !strings.Contains(got, "allow POST at github") {
		t.Errorf("the policy has no line of that answer:\n%s", got)
	}
	kb.press("q")
	kb.Restored(0)
}

// ticks waits until a countdown has moved twice: more than a second, and a dialog
// that comes up takes keys by then.
func (w *window) ticks() {
	w.d.t.Helper()
	left := regexp.MustCompile(`\d:\d\d ┃\n`)
	seen := map[string]bool{}
	w.until("a countdown", func(frame string) bool {
		if found := left.FindString(frame); found != "" { // a frame is painted in pieces
			seen[found] = true
		}
		return len(seen) > 2
	})
}

// asked waits until a request other than the one before is on the screen, and keys
// count for it; it returns which.
func (w *window) asked(before string) string {
	w.d.t.Helper()
	id := regexp.MustCompile(`─ Request (\w+) ─`)
	found := ""
	w.until("a request for a person", func(frame string) bool {
		m := id.FindStringSubmatch(frame)
		if m == nil || m[1] == before || strings.Contains(frame, "keys count in a moment") || !strings.Contains(frame, "host      api.github.com ") {
			return false
		}
		// A frame is painted from the top: the line above the bar says whether keys
		// count, and it is of this frame where the bar is.
		if !strings.Contains(frame, "a once  s session") {
			return false
		}
		found = m[1]
		return true
	})
	return found
}

// TestStoryLive: a session is on Home within a second of its start, and gone within
// one of its end, and nobody presses a key. A machine that is busy may be late
// once or twice, and not three times.
func TestStoryLive(t *testing.T) {
	d := newStory(t).withLogin()
	kb := d.open("dashboard", screen.Options{Args: []string{"kb"}})
	kb.shows("No session runs")
	var came, went time.Duration
	for range 3 {
		agent := d.open("agent", screen.Options{Args: []string{"kb", "exec", "--", "sh", "-c", "echo ready; exec cat"}})
		agent.shows("ready")
		began := time.Now()
		kb.shows("(?m) 1 session$")
		came = time.Since(began)
		agent.press("C-d")
		agent.Ends(0)
		began = time.Now()
		kb.shows("No session runs")
		went = time.Since(began)
		if came <= time.Second && went <= time.Second {
			fmt.Printf("a session is on the screen after %v and off it after %v\n", came.Round(time.Millisecond), went.Round(time.Millisecond))
			return
		}
	}
	t.Errorf("a session is on the screen after %v and off it after %v, want a second at most", came, went)
}

// TestStoryStop: a session is stopped from Home, and is gone; one that is killed is
// shown as crashed.
func TestStoryStop(t *testing.T) {
	d := newStory(t).withLogin()
	kb := d.open("dashboard", screen.Options{Args: []string{"kb"}})
	agent := d.open("agent", screen.Options{Args: []string{"kb", "exec", "--", "sh", "-c", "echo ready; exec cat"}})
	agent.shows("ready")
	frame := kb.shows(`> \S+ .*sh .*running`)
	id := regexp.MustCompile(`> (\w+) `).FindStringSubmatch(frame)[1]
	kb.press("d")
	kb.shows("Stop session " + id)
	kb.press("Enter") // which is no
	kb.gone("Stop session")
	kb.shows(id + ` .*running`)
	kb.press("d")
	kb.shows("Stop session " + id)
	kb.press("y")
	agent.Ends(143)
	agent.shows("was stopped by a person")
	kb.shows("No session runs")
	kb.shows(id + ` +stop +stopped by a person`) // as the audit on Home has it
	if got := d.kb("", "audit", "--session", id); !strings.Contains(got, "stopped by a person") {
		t.Errorf("the audit says nothing of the stop:\n%s", got)
	}

	agent = d.agent()
	kb.shows(`\+ running`)
	agent.Signal(syscall.SIGKILL)
	kb.shows("x crashed")
	kb.press("C-c")
	kb.Restored(0)
}
