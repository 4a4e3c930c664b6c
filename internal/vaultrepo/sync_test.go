package vaultrepo

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// sync is a round of kb sync: the vault's bytes are given, as if merged.
func (w *world) sync(dir, vault string) (string, error) {
	w.Helper()
	r := w.find(dir + "/kb/vault.age")
	ctx := context.Background()
	w.write(dir+"/kb/vault.age", vault)
	m, err := r.Remote(ctx)
	if err != nil {
		return "", err
	}
	theirs, err := r.Fetch(ctx, m)
	if err != nil {
		return "", err
	}
	commit, err := r.Join(ctx, theirs, []byte(vault))
	if err != nil {
		return "", err
	}
	return commit, r.Push(ctx, m, commit)
}

func (w *world) mustSync(dir, vault string) string {
	w.Helper()
	commit, err := w.sync(dir, vault)
	if err != nil {
		w.Fatal(err)
	}
	return commit
}

// TestSyncLeavesTheRestAlone: what is staged, changed and untracked beside the
// vault is neither committed nor touched, whichever way the branches stand.
func TestSyncLeavesTheRestAlone(t *testing.T) {
	for name, c := range map[string]struct {
		remote, local bool // somebody committed there, here
	}{"equal": {}, "behind": {remote: true}, "ahead": {local: true}, "diverged": {true, true}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair()
			if c.remote {
				w.write("desk/.vimrc", "theirs\n")
				w.write("desk/kb/vault.age", "theirs\n")
				w.commitAll("desk", "theirs")
				w.run("desk", "push", "-q")
			}
			if c.local {
				w.write("laptop/.inputrc", "ours\n")
				w.commitAll("laptop", "ours")
			}
			w.write("laptop/.bashrc", "changed\n")
			w.write("laptop/staged", "staged\n")
			w.run("laptop", "add", "staged")
			w.write("laptop/untracked", "untracked\n")
			before := w.run("laptop", "rev-parse", "HEAD")
			commit := w.mustSync("laptop", "both\n")
			if got := w.run("laptop", "status", "--porcelain"); got != "M .bashrc\nA  staged\n?? untracked" && got != " M .bashrc\nA  staged\n?? untracked" {
				t.Errorf("git status = %q", got)
			}
			if got := w.run("laptop", "rev-parse", "HEAD", "origin/main", "main"); got != strings.Join([]string{commit, commit, commit}, "\n") {
				t.Errorf("HEAD, origin/main, main = %s, want %s", got, commit)
			}
			if got := w.run("origin.git", "show", "main:kb/vault.age"); got != "both" {
				t.Errorf("the remote's vault = %q", got)
			}
			changed := strings.Fields(w.run("laptop", "diff", "--name-only", before, commit))
			want := []string{"kb/vault.age"}
			if c.remote {
				want = []string{".vimrc", "kb/vault.age"}
				if w.read("laptop/.vimrc") != "theirs\n" {
					t.Error("the remote's other file is not here")
				}
			}
			if !slices.Equal(changed, want) {
				t.Errorf("changed = %q, want %q", changed, want)
			}
			w.run("desk", "pull", "-q")
			if got := w.read("desk/kb/vault.age"); got != "both\n" {
				t.Errorf("the desk's vault = %q", got)
			}
			// Once more: there is nothing to do, and nothing is made.
			if again := w.mustSync("laptop", "both\n"); again != commit {
				t.Errorf("a second sync made commit %s after %s", again, commit)
			}
		})
	}
}

// TestSyncMergesOtherFiles as git does, where it can.
func TestSyncMergesOtherFiles(t *testing.T) {
	w := newWorld(t)
	w.pair()
	w.write("desk/.bashrc", "A\nb\nc\nd\ne\n")
	w.commitAll("desk", "theirs")
	w.run("desk", "push", "-q")
	w.write("laptop/.bashrc", "a\nb\nc\nd\nE\n")
	w.commitAll("laptop", "ours")
	w.mustSync("laptop", "both\n")
	if got := w.read("laptop/.bashrc"); got != "A\nb\nc\nd\nE\n" {
		t.Errorf(".bashrc = %q", got)
	}
}

// TestSyncStops: what kb must not decide leaves the branch, the index and the
// files as they were.
func TestSyncStops(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(w *world)
		want    func(error) bool
	}{
		"conflict": {func(w *world) {
			w.write("laptop/.bashrc", "ours\n")
			w.commitAll("laptop", "ours")
		}, func(err error) bool {
			var e *ConflictError
			return errors.As(err, &e) && slices.Equal(e.Paths, []string{".bashrc"})
		}},
		"attribute": {func(w *world) {
			w.write("laptop/.bashrc", "a\nb\nc\nd\nours\n")
			w.write("laptop/.gitattributes", ".bashrc merge=union\n")
			w.commitAll("laptop", "ours")
		}, func(err error) bool {
			var e *ConflictError
			return errors.As(err, &e) && slices.Equal(e.Paths, []string{".bashrc"})
		}},
		"dirty": {func(w *world) { w.write("laptop/.bashrc", "dirty\n") }, func(err error) bool {
			var e *DirtyError
			return errors.As(err, &e) && strings.Contains(e.Said, ".bashrc")
		}},
		"untracked": {func(w *world) { w.write("laptop/.vimrc", "mine\n") }, func(err error) bool {
			var e *DirtyError
			return errors.As(err, &e) && strings.Contains(e.Said, ".vimrc")
		}},
		"filter": {func(w *world) {
			w.run("laptop", "config", "filter.crypt.smudge", "touch "+w.path("ran")+"; cat")
			w.write("laptop/.git/info/attributes", ".vimrc filter=crypt\n")
		}, func(err error) bool {
			var e *FilterError
			return errors.As(err, &e) && slices.Equal(e.Paths, []string{".vimrc"})
		}},
		"unrelated": {func(w *world) {
			w.run("laptop", "checkout", "-q", "--orphan", "new")
			w.run("laptop", "commit", "-q", "-m", "new")
			w.run("laptop", "branch", "-q", "-M", "main")
		}, func(err error) bool { return errors.Is(err, ErrUnrelated) }},
		"detached":  {func(w *world) { w.run("laptop", "checkout", "-q", "--detach") }, func(err error) bool { return errors.Is(err, ErrDetached) }},
		"no remote": {func(w *world) { w.run("laptop", "remote", "rm", "origin") }, func(err error) bool { return errors.Is(err, ErrNoRemote) }},
		"several": {func(w *world) {
			w.run("laptop", "remote", "rename", "origin", "a")
			w.run("laptop", "remote", "add", "b", w.path("origin.git"))
			w.run("laptop", "branch", "--unset-upstream")
		}, func(err error) bool { return errors.Is(err, ErrNoUpstream) }},
		"unreachable": {func(w *world) { w.run("laptop", "remote", "set-url", "origin", w.path("gone.git")) }, func(err error) bool {
			var e *TransferError
			return errors.As(err, &e) && strings.Contains(e.Said, "gone.git")
		}},
		"ext": {func(w *world) { w.run("laptop", "remote", "set-url", "origin", "ext::touch "+w.path("ran")) }, func(err error) bool {
			var e *TransferError
			return errors.As(err, &e) && strings.Contains(e.Said, "not allowed")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair()
			w.write("desk/.bashrc", "theirs\nb\nc\nd\ne\n")
			w.write("desk/.vimrc", "theirs\n")
			w.write("desk/kb/vault.age", "theirs\n")
			w.commitAll("desk", "theirs")
			w.run("desk", "push", "-q")
			c.prepare(w)
			status := func() string {
				return w.run("laptop", "rev-parse", "HEAD") + "\n" + w.run("laptop", "-c", "filter.crypt.smudge=", "status", "--porcelain")
			}
			before := status()
			_, err := w.sync("laptop", "one\n")
			if !c.want(err) {
				t.Errorf("sync = %v", err)
			}
			if after := status(); after != before {
				t.Errorf("after = %s\nbefore = %s", after, before)
			}
			if _, err := os.Stat(w.path("ran")); err == nil {
				t.Error("what the repository names was run")
			}
		})
	}
}

// TestPushRace: a remote that moved on is told apart from all other failures,
// and nothing of it is overwritten.
func TestPushRace(t *testing.T) {
	w := newWorld(t)
	w.pair()
	r := w.find("laptop/kb/vault.age")
	m, err := r.Remote(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.write("laptop/kb/vault.age", "ours\n")
	theirs, err := r.Fetch(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := r.Join(t.Context(), theirs, []byte("ours\n"))
	if err != nil {
		t.Fatal(err)
	}
	w.write("desk/kb/vault.age", "theirs\n")
	w.commitAll("desk", "theirs")
	w.run("desk", "push", "-q")
	if err := r.Push(t.Context(), m, commit); !errors.Is(err, ErrRace) {
		t.Fatalf("Push = %v", err)
	}
	if got := w.run("origin.git", "show", "main:kb/vault.age"); got != "theirs" {
		t.Errorf("the remote's vault = %q", got)
	}
	w.mustSync("laptop", "both\n")
}

// TestFirstPush: a new remote without the branch gets it.
func TestFirstPush(t *testing.T) {
	w := newWorld(t)
	w.run("", "init", "-q", w.path("laptop"))
	w.run("", "init", "-q", "--bare", w.path("origin.git"))
	w.run("laptop", "remote", "add", "origin", "../origin.git")
	w.write("laptop/kb/vault.age", "x")
	commit := w.mustSync("laptop", "one\n")
	if got := w.run("origin.git", "rev-parse", "main"); got != commit {
		t.Errorf("the remote's main = %s, want %s", got, commit)
	}
}

// TestAttributesAreCommitted with the vault, if kb's line is all that is new in
// their file.
func TestAttributesAreCommitted(t *testing.T) {
	for name, c := range map[string]struct {
		committed, added string
		want             bool
	}{
		"new":    {"", "", true},
		"beside": {"*.txt text\n", "", true},
		"edited": {"*.txt text\n", "*.md text\n", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair()
			if c.committed != "" {
				w.write("laptop/.gitattributes", c.committed)
				w.commitAll("laptop", "attributes")
			}
			if c.added != "" {
				w.write("laptop/.gitattributes", c.committed+c.added)
			}
			if _, err := w.find("laptop/kb/vault.age").SetUp(t.Context(), "/usr/bin/kb"); err != nil {
				t.Fatal(err)
			}
			w.mustSync("laptop", "two\n")
			if got := w.run("laptop", "show", "--name-only", "--format=", "HEAD"); strings.Contains(got, ".gitattributes") != c.want {
				t.Errorf("committed = %q", got)
			}
		})
	}
}

// TestHistory: go-git and git tell the same of both sides of a merge, of a
// removal, and of what a repository cannot be opened by go-git for.
func TestHistory(t *testing.T) {
	w := newWorld(t)
	w.pair()
	commit := func(dir, text, at string) {
		w.write(dir+"/kb/vault.age", text)
		w.run(dir, "add", "-A")
		w.run(dir, "-c", "user.name="+dir, "commit", "-q", "-m", text, "--date", at)
	}
	commit("desk", "theirs\n", "2026-01-02T00:00:00Z")
	w.run("desk", "push", "-q")
	w.write("laptop/.bashrc", "unrelated\n")
	w.commitAll("laptop", "unrelated")
	commit("laptop", "ours\n", "2026-01-03T00:00:00Z")
	w.mustSync("laptop", "both\n")
	w.run("laptop", "rm", "-q", "kb/vault.age")
	w.run("laptop", "commit", "-q", "-m", "gone")
	commit("laptop", "back\n", "2026-01-05T00:00:00Z")

	read := func(r *Repo, versions []Version, err error) (out []string) {
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			line := v.Author + " " + v.Subject + ":"
			if v.Blob != "" {
				raw, err := r.Blob(t.Context(), v.Blob)
				if err != nil {
					t.Fatal(err)
				}
				line += " " + strings.TrimSpace(string(raw))
			}
			for _, before := range v.Before {
				line += " <" + before[:min(4, len(before))]
			}
			out = append(out, line)
		}
		slices.Sort(out) // commits of one second have no order
		return out
	}
	r := w.find("laptop/kb/vault.age")
	all, err := r.walkForTest(t)
	own := read(r, all, err)
	asked, err := r.askHistory(t.Context(), 100)
	if theirs := read(r, asked, err); !slices.Equal(own, theirs) {
		t.Errorf("go-git: %q\ngit:    %q", own, theirs)
	}
	if len(own) != 6 {
		t.Errorf("History = %q", own)
	}
	few, err := r.History(t.Context(), 2)
	if err != nil || len(few) != 2 {
		t.Errorf("History of two = %v, %v", few, err)
	}
	w.run("laptop", "config", "core.repositoryformatversion", "1")
	w.run("laptop", "config", "extensions.worktreeConfig", "true")
	w.run("laptop", "gc", "-q")
	again, err := w.find("laptop/kb/vault.age").History(t.Context(), 0)
	if got := read(r, again, err); !slices.Equal(own, got) {
		t.Errorf("with worktreeConfig and a pack: %q", got)
	}

	w.run("", "clone", "-q", "--depth=1", "file://"+w.path("origin.git"), "shallow")
	shallow, err := w.find("shallow/kb/vault.age").History(t.Context(), 0)
	if err != nil || len(shallow) != 1 {
		t.Errorf("History of a shallow clone = %v, %v", shallow, err)
	}
	w.repo("sha256", "--object-format=sha256")
	wide, err := w.find("sha256/kb/vault.age").History(t.Context(), 0)
	if err != nil || len(wide) != 1 || len(wide[0].Blob) != 64 {
		t.Errorf("History of SHA-256 = %v, %v", wide, err)
	}
	w.run("", "init", "-q", w.path("empty"))
	none, err := w.find("empty/vault.age").History(t.Context(), 0)
	if err != nil || len(none) != 0 {
		t.Errorf("History of nothing = %v, %v", none, err)
	}
}

func (r *Repo) walkForTest(t *testing.T) ([]Version, error) {
	o, err := r.objects()
	if err != nil {
		return nil, err
	}
	return r.walk(t.Context(), o, 100)
}

// TestResolve: what a person may write for a revision, and that none of it is
// taken for an option.
func TestResolve(t *testing.T) {
	w := newWorld(t)
	w.pair()
	r := w.find("laptop/kb/vault.age")
	want := w.run("laptop", "rev-parse", "HEAD")
	for _, rev := range []string{"HEAD", "main", want[:8], "origin/main"} {
		if got, blob, err := r.Resolve(t.Context(), rev); err != nil || got != want || blob == "" {
			t.Errorf("Resolve(%q) = %s, %s, %v", rev, got, blob, err)
		}
	}
	for _, rev := range []string{"nothing", "--all", "", "HEAD:kb/vault.age"} {
		var e *RevisionError
		if _, _, err := r.Resolve(t.Context(), rev); !errors.As(err, &e) {
			t.Errorf("Resolve(%q) = %v", rev, err)
		}
	}
}

// TestState is what kb status says.
func TestState(t *testing.T) {
	w := newWorld(t)
	w.pair()
	r := w.find("laptop/kb/vault.age")
	s, err := r.State(t.Context(), []byte("one\n"))
	if err != nil || s != (State{Branch: "main", Tracked: true, Upstream: "origin main", Known: true}) {
		t.Errorf("State = %+v, %v", s, err)
	}
	w.write("laptop/kb/vault.age", "two\n")
	w.commitAll("laptop", "two")
	s, err = r.State(t.Context(), []byte("three\n"))
	if err != nil || !s.Modified || s.Ahead != 1 || s.Behind != 0 {
		t.Errorf("State = %+v, %v", s, err)
	}
}

// hostile is everything in a repository that would have git run something.
func (w *world) hostile(dir string) {
	w.Helper()
	run := "touch " + w.path("ran") + "; false"
	script := "#!/bin/sh\ntouch " + w.path("ran") + "\n"
	for _, place := range []string{dir + "/.git/hooks/", "origin.git/hooks/"} {
		for _, hook := range []string{
			"pre-commit", "prepare-commit-msg", "commit-msg", "post-commit", "post-checkout", "post-merge", "pre-merge-commit", "pre-push",
			"reference-transaction", "post-index-change", "pre-receive", "update", "post-receive", "post-update", "pre-auto-gc", "fsmonitor-watchman", "post-rewrite",
		} {
			w.write(place+hook, script)
			if err := os.Chmod(w.path(place+hook), 0o700); err != nil {
				w.Fatal(err)
			}
		}
	}
	w.write(filepath.Join(dir, "monitor"), script)
	if err := os.Chmod(w.path(filepath.Join(dir, "monitor")), 0o700); err != nil {
		w.Fatal(err)
	}
	for _, place := range []string{dir, "origin.git"} {
		for key, value := range map[string]string{
			"core.fsmonitor": w.path(dir + "/monitor"), "core.sshCommand": run, "core.pager": run, "core.editor": run, "core.askPass": run, "core.gitProxy": run,
			"core.alternateRefsCommand": run, "filter.evil.clean": run, "filter.evil.smudge": run, "filter.evil.process": run,
			"merge.evil.driver": run, "merge.default": "evil", "diff.evil.textconv": run, "diff.external": run, "gpg.program": run, "commit.gpgSign": "true", "log.showSignature": "true",
			"credential.helper": "!" + run, "remote.origin.uploadpack": run, "remote.origin.receivepack": run,
			"uploadpack.packObjectsHook": run, "protocol.ext.allow": "always", "gc.auto": "1", "core.hooksPath": w.path("origin.git/hooks"),
			"receive.denyCurrentBranch": "ignore", "push.gpgSign": "if-asked", "sequence.editor": run,
		} {
			w.run(place, "config", key, value)
		}
	}
	w.write(dir+"/.git/info/attributes", "kb/* filter=evil merge=evil diff=evil\n")
}

// TestNothingOfTheRepositoryRuns: hooks, monitors, filters, drivers, helpers
// and commands of a hostile repository, and of a hostile repository that it
// names as its remote, stay unused by all that kb does.
func TestNothingOfTheRepositoryRuns(t *testing.T) {
	w := newWorld(t)
	w.pair()
	w.write("desk/kb/vault.age", "theirs\n")
	w.write("desk/.vimrc", "theirs\n")
	w.commitAll("desk", "theirs")
	w.run("desk", "push", "-q")
	w.write("laptop/.inputrc", "ours\n")
	w.commitAll("laptop", "ours")
	w.hostile("laptop")
	ran := func() bool {
		_, err := os.Stat(w.path("ran"))
		return err == nil
	}
	ctx := t.Context()
	r := w.find("laptop/kb/vault.age")
	steps := map[string]func() error{
		"state":   func() error { _, err := r.State(ctx, []byte("x")); return err },
		"history": func() error { _, err := r.History(ctx, 0); return err },
		"ask":     func() error { _, err := r.askHistory(ctx, 10); return err },
		"resolve": func() error { _, _, err := r.Resolve(ctx, "HEAD"); return err },
		"set up":  func() error { _, err := r.SetUp(ctx, "/usr/bin/kb"); return err },
		"settle":  func() error { return r.Settle(ctx, []byte("settled\n")) },
		"sync":    func() error { _, err := w.sync("laptop", "both\n"); return err },
	}
	for _, name := range []string{"state", "history", "ask", "resolve", "settle", "sync", "state"} {
		if err := steps[name](); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if ran() {
			t.Fatalf("%s ran what the repository names", name)
		}
	}
	// Info attributes beat the file, so only these two differ in what they say.
	if err := steps["set up"](); err != nil && !errors.Is(err, ErrOverridden) {
		t.Errorf("set up: %v", err)
	}
	if ran() {
		t.Fatal("set up ran what the repository names")
	}
	if got := w.run("origin.git", "-c", "core.fsmonitor=", "show", "main:kb/vault.age"); got != "both" {
		t.Errorf("the remote's vault = %q", got)
	}

	// The control: the user's own git runs it.
	for _, args := range [][]string{{"status"}, {"commit", "--allow-empty", "-m", "x"}, {"fetch"}, {"push"}} {
		if err := os.Remove(w.path("ran")); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		_, _ = w.try("laptop", args...)
		if !ran() {
			t.Errorf("git %v ran nothing: the trap is not one", args)
		}
	}
}
