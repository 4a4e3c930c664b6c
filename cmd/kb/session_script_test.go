package main

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"kb/internal/control"
	"kb/internal/testkit"
)

// watchPatience bounds the wait for a session to do what a script is about.
const watchPatience = 10 * time.Second

// sessionsUntil follows the sessions of a control folder until ok is content with
// them, and returns them. It stands outside of all sessions.
func sessionsUntil(dir string, ok func(map[string]control.Change) bool) (map[string]control.Change, error) {
	ctx, cancel := context.WithTimeout(context.Background(), watchPatience)
	defer cancel()
	seen := map[string]control.Change{}
	found := false
	err := control.WatchAll(ctx, dir, func(c control.Change) {
		if found {
			return
		}
		seen[c.Entry.ID] = c
		if c.Kind == control.Ended {
			delete(seen, c.Entry.ID)
		}
		if found = ok(seen); found {
			cancel()
		}
	})
	if found || len(seen) == 0 && ok(seen) {
		return seen, nil
	}
	return seen, errors.Join(err, errors.New("the sessions did not get there"))
}

// controlOf is the control folder of a script's home, which has no
// XDG_RUNTIME_DIR.
func controlOf(ts *testscript.TestScript) string {
	return filepath.Join(ts.Getenv("HOME"), ".local", "state", "kb", "run", "ctl")
}

// waits is the script command "waits N": until N requests wait for an answer. $R1,
// $R2, … are their ids, oldest first, and $S1, … those of their sessions.
func waits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: waits N")
	}
	var waiting []control.Request
	_, err := sessionsUntil(controlOf(ts), func(all map[string]control.Change) bool {
		waiting = nil
		for _, c := range all {
			waiting = append(waiting, c.Status.Waiting...)
		}
		return strconv.Itoa(len(waiting)) == args[0]
	})
	if err != nil {
		ts.Fatalf("%d requests wait: %v", len(waiting), err)
	}
	for i, r := range waiting {
		ts.Setenv("R"+strconv.Itoa(i+1), r.ID)
		ts.Setenv("S"+strconv.Itoa(i+1), r.Session)
	}
}

// runs is the script command "runs KIND": until there is one session, of which
// WatchAll's last word is KIND. $S1 is its id, $P1 its process.
func runs(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: runs KIND")
	}
	kind := control.Kind(args[0])
	all, err := sessionsUntil(controlOf(ts), func(all map[string]control.Change) bool {
		for _, c := range all {
			return len(all) == 1 && (c.Kind == kind || kind == control.Up && c.Kind == control.Changed) &&
				(kind != control.Up || c.Status.Child != 0)
		}
		return false
	})
	if err != nil {
		ts.Fatalf("%v: %v", all, err)
	}
	for id, c := range all {
		ts.Setenv("S1", id)
		ts.Setenv("P1", strconv.Itoa(c.Entry.PID))
	}
}

// ok runs kb without a terminal; it must succeed.
func (d *labHome) ok(args ...string) string {
	d.t.Helper()
	r := testkit.Run(d.t, d.home.Dir, d.home.Env, append([]string{"kb"}, args...)...)
	if r.Code != 0 {
		d.t.Fatalf("kb %q: %s", args, r.All())
	}
	return r.Stdout
}

// TestApproveOnATerminal: what a person is shown before saying yes, and that
// enter alone says nothing.
func TestApproveOnATerminal(t *testing.T) {
	plainRun(t)
	d := newLabHome(t)
	d.ok("rule", "add", "work", "--dir", d.home.Dir)
	d.ok("policy", "add", "work", "ask", "--provider", "lab", "--method", "POST")
	login := d.types([]string{"BROWSER=browse"}, "login", "lab", "-p", "work", "--method", "dynamic")
	login.ends(0)
	ask := func() *terminal {
		agent := d.types(nil, "exec", "--", "curl", "-sS", "-X", "POST", "-d", "hello", "https://"+d.api+"/notes/1")
		if _, err := sessionsUntil(filepath.Join(d.home.Dir, "run", "kb", "ctl"), func(all map[string]control.Change) bool {
			for _, c := range all {
				if len(c.Status.Waiting) == 1 {
					return true
				}
			}
			return false
		}); err != nil {
			t.Fatalf("%v; the agent shows %s", err, agent.ends(0))
		}
		return agent
	}

	agent := ask()
	kb := d.types(nil, "approve")
	kb.until(`Let it go on\? \[y/N\] `)
	shown := kb.shown.String()
	kb.answer("\n")
	kb.ends(3)
	for _, want := range []string{
		"curl in " + d.home.Dir, "POST", " " + d.api + "\r\n", "/notes/1", "profile work at lab as me-at-acme", "5 bytes, application/x-www-form-urlencoded",
		"ask POST at lab", "in 2m, then it is refused",
	} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	kb = d.types(nil, "approve")
	kb.until(`\[y/N\] `)
	kb.answer("y\n")
	kb.ends(0)
	if got := agent.ends(0); !strings.Contains(got, `{"login":"me-at-acme"}`) {
		t.Errorf("the agent got %s", got)
	}

	// Always: the line is shown, written, and the next request does not wait.
	agent = ask()
	kb = d.types(nil, "approve", "--always")
	kb.until(`writes +profile work: allow POST at lab on ` + d.api + `:?\d* path /notes/1`)
	kb.until(`\[y/N\] `)
	kb.answer("y\n")
	kb.ends(0)
	agent.ends(0)
	if got := d.ok("policy", "ls"); !strings.Contains(got, "allow POST at lab") {
		t.Errorf("the policy is\n%s", got)
	}
	agent = d.types(nil, "exec", "--", "curl", "-sS", "-X", "POST", "-d", "hello", "https://"+d.api+"/notes/1")
	if got := agent.ends(0); !strings.Contains(got, `{"login":"me-at-acme"}`) {
		t.Errorf("the agent got %s", got)
	}
}
