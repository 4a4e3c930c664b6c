package profile

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience is how long a bounded read may take: git's 2 s and a slow machine.
const patience = 10 * time.Second

// readWithin reads a workspace and fails if that takes too long.
func readWithin(t *testing.T, limit time.Duration, dir string, env Env) Workspace {
	t.Helper()
	start := time.Now()
	w, err := ReadWorkspace(context.Background(), dir, env)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > limit {
		t.Errorf("took %v, want at most %v", took, limit)
	}
	return w
}

// A repository's configuration can name programs. Reading it runs none.
func TestHostileConfigRunsNothing(t *testing.T) {
	g := newGitHome(t)
	dir := g.repo("r", "ext::touch "+g.path("ran"))
	ran := g.path("ran")
	program := g.path("evil")
	g.write("evil", "#!/bin/sh\ntouch '"+ran+"'\n")
	if err := os.Chmod(program, 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	for _, key := range []string{
		"core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "core.askPass", "core.gitProxy", "core.alternateRefsCommand",
		"credential.helper", "gpg.program", "diff.external", "filter.x.smudge", "filter.x.process", "pager.config", "sequence.editor",
		"uploadpack.packObjectsHook", "interactive.diffFilter", "protocol.ext.allow", "trace2.normalTarget",
	} {
		g.run("r", "config", key, program)
	}
	g.run("r", "config", "alias.config", "!"+program)
	g.run("r", "config", "alias.symbolic-ref", "!"+program)
	g.run("r", "config", "protocol.ext.allow", "always")
	g.run("r", "config", "core.hooksPath", g.path("hooks"))
	for _, hook := range []string{"post-checkout", "pre-auto-gc", "reference-transaction", "post-index-change", "fsmonitor-watchman"} {
		g.write("hooks/"+hook, "#!/bin/sh\ntouch '"+ran+"'\n")
		if err := os.Chmod(g.path("hooks/"+hook), 0o700); err != nil { //nolint:gosec // a program
			t.Fatal(err)
		}
	}
	w := readWithin(t, patience, dir, g.env())
	if _, err := os.Stat(ran); err == nil {
		t.Error("reading the workspace ran a program that the repository named")
	}
	if name, normal := primary(w); name != "origin" || normal != "" {
		t.Errorf("ext:: remote: primary %q, normal %q", name, normal)
	}
	// The control: git status does run it.
	g.write("r/file", "")
	_, _ = g.try("r", "status")
	if _, err := os.Stat(ran); err != nil {
		t.Error("control: git status did not run the fsmonitor")
	}
}

// What blocks or floods git is cut off, and the repository is nobody's.
func TestHostileConfigIsBounded(t *testing.T) {
	big := func(g *gitHome, rel string, size int) {
		line := []byte("\tfetch = +refs/heads/x:refs/remotes/origin/x\n")
		g.write(rel, "[remote \"origin\"]\n\turl = git@github.com:acme/api.git\n"+string(bytes.Repeat(line, size/len(line))))
	}
	fifo := func(g *gitHome, rel string) {
		_ = os.Remove(g.path(rel))
		if err := syscall.Mkfifo(g.path(rel), 0o600); err != nil {
			g.tb.Fatal(err)
		}
	}
	for name, spoil := range map[string]func(g *gitHome){
		"include of a FIFO": func(g *gitHome) {
			fifo(g, "pipe")
			g.run("r", "config", "include.path", g.path("pipe"))
		},
		"include of a device without end": func(g *gitHome) { g.run("r", "config", "include.path", "/dev/zero") },
		"include of itself":               func(g *gitHome) { g.run("r", "config", "include.path", "config") },
		"config is a FIFO":                func(g *gitHome) { fifo(g, "r/.git/config") },
		"config.worktree is a FIFO":       func(g *gitHome) { fifo(g, "r/.git/config.worktree") },
		"config of 100 MB":                func(g *gitHome) { big(g, "r/.git/config", 100_000_000) },
		"include of 100 MB": func(g *gitHome) {
			big(g, "big", 100_000_000)
			g.run("r", "config", "include.path", g.path("big"))
		},
		"config is broken": func(g *gitHome) { g.write("r/.git/config", "[core\n") },
		"config is empty":  func(g *gitHome) { g.write("r/.git/config", "") },
		".git is a FIFO": func(g *gitHome) {
			if err := os.RemoveAll(g.path("r/.git")); err != nil {
				g.tb.Fatal(err)
			}
			fifo(g, "r/.git")
		},
		".git names nothing": func(g *gitHome) {
			if err := os.RemoveAll(g.path("r/.git")); err != nil {
				g.tb.Fatal(err)
			}
			g.write("r/.git", "gitdir: /nowhere\n")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newGitHome(t)
			dir := g.repo("r", acmeAPI)
			spoil(g)
			w := readWithin(t, patience, dir, g.env())
			if len(w.Remotes) != 0 || w.Primary != "" || w.Note == "" {
				t.Errorf("got %+v", w)
			}
			t.Log(w.Note)
		})
	}
	for _, rel := range []string{"r/.git/HEAD", "r/.git/commondir"} {
		t.Run(rel+" is a FIFO", func(t *testing.T) {
			t.Parallel()
			g := newGitHome(t)
			dir := g.repo("r", acmeAPI)
			fifo(g, rel)
			if w := readWithin(t, patience, dir, g.env()); len(w.Remotes) != 0 {
				t.Errorf("got %+v", w)
			}
		})
	}
}

// A git that hangs is killed with everything that it started.
func TestHangingGitIsKilled(t *testing.T) {
	t.Parallel()
	g := newGitHome(t)
	dir := g.repo("r", acmeAPI)
	g.write("git", "#!/bin/sh\nsleep 1000 &\necho $! >'"+g.path("pid")+"'\nwait\n")
	if err := os.Chmod(g.path("git"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	env := g.env()
	env.Git = g.path("git")
	env.Environ = append(env.Environ, "PATH="+os.Getenv("PATH"))
	w := readWithin(t, patience, dir, env)
	if !strings.Contains(w.Note, "longer than 2 s") {
		t.Errorf("note %q", w.Note)
	}
	data, err := os.ReadFile(g.path("pid"))
	if err != nil {
		t.Skip("skipped: the shell found no sleep without PATH")
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(patience)
	for alive(pid) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("process %d outlived its git", pid)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// alive reports whether a process runs; one that nobody has reaped does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return !os.IsNotExist(err) || !isDir("/proc/self")
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

// Many remotes are read in bounded time, without a process for each, and the
// primary one's alias is among those asked about.
func TestManyRemotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ remotes, rules, want int }{{1500, 900, 1501}, {10_000, 0, 0}, {10, 10_000, 0}} {
		t.Run(fmt.Sprint(c.remotes, c.rules), func(t *testing.T) {
			g := newGitHome(t)
			dir := g.repo("r", "")
			config, err := os.ReadFile(g.path("r/.git/config"))
			if err != nil {
				t.Fatal(err)
			}
			b := bytes.NewBuffer(config)
			for i := range c.remotes {
				fmt.Fprintf(b, "[remote \"r%d\"]\n\turl = git@alias%d:acme/api%d.git\n", i, i, i)
			}
			for i := range c.rules {
				fmt.Fprintf(b, "[url \"x%d\"]\n\tinsteadOf = git@nothing%d\n", i, i)
			}
			b.WriteString("[remote \"origin\"]\n\turl = git@last:acme/api.git\n")
			g.write("r/.git/config", b.String())
			g.write("ssh", "#!/bin/sh\necho \"$@\" >>'"+g.path("asked")+"'\n")
			if err := os.Chmod(g.path("ssh"), 0o700); err != nil { //nolint:gosec // a program
				t.Fatal(err)
			}
			env := g.env()
			env.SSH = g.path("ssh")
			w := readWithin(t, patience, dir, env)
			if len(w.Remotes) != c.want || (w.Note != "") != (c.want == 0) {
				t.Errorf("%d remotes, want %d; note %q", len(w.Remotes), c.want, w.Note)
			}
			if c.want == 0 {
				return
			}
			asked, _ := os.ReadFile(g.path("asked"))
			if n := strings.Count(string(asked), "\n"); n != maxAliases || !strings.Contains(string(asked), "-- last\n") {
				t.Errorf("ssh was asked %d times, want %d:\n%s", n, maxAliases, asked)
			}
		})
	}
}
