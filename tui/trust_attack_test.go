package tui

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// TestAttackKeysThatApprove: config.toml carries no trust, and an agent may be able
// to write it. It puts what lets a request pass under a key that a person presses
// for something else.
func TestAttackKeysThatApprove(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		"approvals.once = \"o\"":                                      false, // the positive control
		"any.down = \"J\"":                                            false,
		"approvals.deny = \"x\"":                                      false,
		"approvals.once = [\"a\", \"f5\"]":                            false,
		"approvals.once = \"j\"\nany.down = \"J\"":                    true,
		"approvals.once = \"d\"\napprovals.deny = \"a\"":              true,
		"approvals.session = \"enter\"\nany.enter = \"o\"":            true,
		"approvals.always = [\"A\", \"space\"]\nany.mark = \"m\"":     true,
		"approvals.session = \"a\"\napprovals.once = \"s\"":           true,
		"approvals.once = \"6\"\nany.screen6 = \"f6\"":                true,
		"approvals.denysession = \"x\"\napprovals.session = \"D\"":    true,
		"approvals.deny = \"D\"\napprovals.denysession = \"d\"":       false, // no is no
		"approvals.once = \"pgdown\"\nany.pagedown = [\"ctrl+d\"]":    true,
		"approvals.always = \"ctrl+r\"\nany.reload = [\"ctrl+x\"]":    true,
		"approvals.once = \"esc\"\nany.back = [\"backspace\", \"b\"]": true,
	} {
		_, err := ReadLooks([]byte("[keys]\n"+text+"\n"), noEnv)
		if (err != nil) != refused {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestApprovalSaysItsKeys: the request names the keys that are in force.
func TestApprovalSaysItsKeys(t *testing.T) {
	t.Parallel()
	c := asked(t, 100, 40, request("a1", "api.linear.app"))
	if frame := c.frame(); !strings.Contains(frame, "a once") || !strings.Contains(frame, "d deny") {
		t.Fatalf("control:\n%s", frame)
	}
	keys, err := newKeymap(map[string][]string{"approvals.once": {"o"}, "approvals.deny": {"x"}, "approvals.denysession": {"d"}})
	if err != nil {
		t.Fatal(err)
	}
	c.m.keys = keys
	frame := c.frame()
	for _, want := range []string{"o once", "x deny", "d all like it"} {
		if !strings.Contains(frame, want) {
			t.Errorf("%q is not there:\n%s", want, frame)
		}
	}
	if strings.Contains(frame, "a once") {
		t.Errorf("it names a key that does nothing:\n%s", frame)
	}
}

// quotedWord is what a shell takes as it stands.
var quotedWord = regexp.MustCompile(`'[^']*'|\\'`)

// TestAttackCopiedCommandRunsAnother: a person copies the command that does the
// same, and gives it to a shell. What others have named (profiles, directories,
// records of a shared vault) is in it as one word.
func TestAttackCopiedCommandRunsAnother(t *testing.T) {
	t.Parallel()
	const evil = "x'; touch /tmp/p$(id)`id`|\x1b[2J\u009b1m&"
	lines := map[string]bool{}
	for i := range screenCount {
		for _, way := range ways {
			b := newBoard(t, crowd(3, func(n int) string { return fmt.Sprintf("%s%d", evil, n) }), 100, 30)
			b.press(fmt.Sprint(i + 1))
			b.press(way...)
			for _, u := range b.m.uses() {
				if u.line != "" {
					lines[u.line] = true
				}
			}
		}
	}
	hostile := 0
	for line := range lines {
		if strings.Contains(line, "touch") {
			hostile++
		}
		if rest := quotedWord.ReplaceAllString(line, ""); strings.ContainsAny(rest, ";|&$`<>()'\"\n") || strings.ContainsAny(line, "\x1b\u009b") {
			t.Errorf("a shell would take %q apart", line)
		}
	}
	if hostile < 15 { // the positive control
		t.Errorf("%d of %d commands hold a hostile word", hostile, len(lines))
	}
}

// TestAttackHandedOverName: the line above a command that has the terminal obeys no
// name in it.
func TestAttackHandedOverName(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	g := &guest{ctx: ctx, cmd: exec.CommandContext(ctx, "true"), what: "kb reference accept github -p a\x1b[2J\u009b2Jb\u202e", hosting: new(atomic.Bool)}
	g.SetStdin(strings.NewReader("\n"))
	g.SetStdout(&out)
	if err := g.Run(); err != nil {
		t.Fatal(err)
	}
	if text := out.String(); !strings.Contains(text, "$ kb reference accept github -p a") || strings.ContainsAny(text, "\x1b\u009b\u202e") {
		t.Errorf("%q", text)
	}
}

// TestAttackCopiedName: what a person copies and pastes into a terminal holds no key:
// a line break in the name of a directory would be enter.
func TestAttackCopiedName(t *testing.T) {
	t.Parallel()
	copies := 0
	for i := range screenCount {
		for _, way := range ways {
			b := newBoard(t, crowd(3, func(n int) string { return fmt.Sprintf("/src\nrm -rf x%d\r\x1b[2J\u009b", n) }), 100, 30)
			var got string
			b.m.clipboard = func(text string) error {
				got = text
				return nil
			}
			b.press(fmt.Sprint(i + 1))
			b.press(way...)
			b.press("y")
			if strings.Contains(got, "rm -rf") { // the positive control: it is copied
				copies++
			}
			if b.m.at == screenDoctor {
				got = strings.ReplaceAll(got, "\n", " ") // a report has lines of its own
			}
			if strings.ContainsAny(got, "\r\n\x1b\u009b") {
				t.Errorf("on %s, after %q, is copied: %.80q", b.m.openName(), way, got)
			}
		}
	}
	if copies < 10 {
		t.Errorf("only %d copies had a hostile name in them", copies)
	}
}

// TestStopSaysWhatIsKnown: a session that was told to stop may go on for a while, and
// an agent that refuses may make it long.
func TestStopSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	c := newClocked(t, &fake{sessions: []Session{waits()}}, 100, 30)
	c.key("1")
	c.pass(time.Second)
	for _, u := range c.m.uses() {
		if u.id == "home.stop" {
			c.run(u.run())
		}
	}
	c.m.View()
	c.pass(2 * time.Second)
	c.key("y")
	c.did(t, "stop 7f3a")
	c.said(t, "told to stop")
}
