package vaultrepo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestFind: wherever dotfiles are kept, the vault's repository is found, and
// says that it tracks the vault.
func TestFind(t *testing.T) {
	w := newWorld(t)
	w.repo("dot")
	w.run("dot", "worktree", "add", "-q", w.path("tree"))
	link := w.path(".config/kb/vault.age")
	if err := os.MkdirAll(filepath.Dir(link), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.path("dot/kb/vault.age"), link); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(w.path("dot"), w.path("linked")); err != nil {
		t.Fatal(err)
	}
	// Two bare repositories over the home directory: yadm's, with core.worktree,
	// and that of the usual recipe, found because it tracks the vault.
	w.write("bare/vault.age", "one\n")
	w.write("other/vault.age", "one\n")
	w.run("", "init", "-q", "--bare", w.path(".dotfiles"))
	w.run("", "--git-dir="+w.path(".dotfiles"), "--work-tree="+w.home, "add", "bare/vault.age")
	w.write("yadm/vault.age", "one\n")
	w.run("", "init", "-q", "--bare", w.path(".local/share/yadm/repo.git"))
	w.run("", "--git-dir="+w.path(".local/share/yadm/repo.git"), "config", "core.bare", "false")
	w.run("", "--git-dir="+w.path(".local/share/yadm/repo.git"), "config", "core.worktree", w.home)
	w.run("", "--git-dir="+w.path(".local/share/yadm/repo.git"), "add", "yadm/vault.age")
	// One in no usual place, named by the setting.
	w.write("far/vault.age", "one\n")
	w.run("", "init", "-q", "--bare", w.path("elsewhere/dots"))
	w.run("", "--git-dir="+w.path("elsewhere/dots"), "--work-tree="+w.home, "add", "far/vault.age")

	for name, c := range map[string]struct{ vault, gitDir, root, dir, path string }{
		"above":     {"dot/kb/vault.age", "", "dot", "dot/.git", "kb/vault.age"},
		"symlink":   {".config/kb/vault.age", "", "dot", "dot/.git", "kb/vault.age"},
		"directory": {"linked/kb/vault.age", "", "dot", "dot/.git", "kb/vault.age"},
		"worktree":  {"tree/kb/vault.age", "", "tree", "dot/.git/worktrees/tree", "kb/vault.age"},
		"recipe":    {"bare/vault.age", "", "", ".dotfiles", "bare/vault.age"},
		"yadm":      {"yadm/vault.age", "", "", ".local/share/yadm/repo.git", "yadm/vault.age"},
		"setting":   {"far/vault.age", "elsewhere/dots", "", "elsewhere/dots", "far/vault.age"},
		"yadm set":  {"yadm/vault.age", ".local/share/yadm/repo.git", "", ".local/share/yadm/repo.git", "yadm/vault.age"},
	} {
		t.Run(name, func(t *testing.T) {
			o := w.options()
			if c.gitDir != "" {
				o.GitDir = w.path(c.gitDir)
			}
			r, err := Find(w.path(c.vault), o)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			if r.Root != w.path(c.root) || r.GitDir != w.path(c.dir) || r.Path != c.path {
				t.Errorf("Find = root %s, git directory %s, path %s", r.Root, r.GitDir, r.Path)
			}
			s, err := r.Stages(t.Context())
			if err != nil || !s.Tracked() {
				t.Errorf("Stages = %+v, %v", s, err)
			}
		})
	}

	if _, err := Find(w.path("other/vault.age"), w.options()); !errors.Is(err, ErrNone) {
		t.Errorf("Find where nothing tracks the vault = %v", err)
	}
	o := w.options()
	o.GitDir = w.path("far")
	if _, err := Find(w.path("far/vault.age"), o); !errors.Is(err, ErrNotRepository) {
		t.Errorf("Find with a git_dir that is none = %v", err)
	}
	o.GitDir = w.path("dot/.git")
	if _, err := Find("/nowhere/vault.age", o); err == nil {
		t.Error("Find of a vault outside of the work tree succeeded")
	}
}

// TestStages: the index is read alike in every form that git gives it.
func TestStages(t *testing.T) {
	for name, prepare := range map[string]func(w *world){
		"plain":       func(*world) {},
		"version 4":   func(w *world) { w.run("laptop", "update-index", "--index-version", "4") },
		"version 3":   func(w *world) { w.run("laptop", "update-index", "--skip-worktree", ".bashrc") },
		"split":       func(w *world) { w.run("laptop", "update-index", "--split-index") },
		"worktrees":   func(w *world) { w.run("laptop", "config", "extensions.worktreeConfig", "true") },
		"longer name": func(w *world) { w.write("laptop/x/kb/vault.age", "x"); w.run("laptop", "add", "x") },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.pair()
			prepare(w)
			r := w.find("laptop/kb/vault.age")
			s, err := r.Stages(t.Context())
			if want := w.run("laptop", "rev-parse", "HEAD:kb/vault.age"); err != nil || s != (Stages{Merged: want}) {
				t.Fatalf("Stages = %+v, %v, want merged %s", s, err, want)
			}
			w.write("desk/kb/vault.age", "two\n")
			w.commitAll("desk", "two")
			w.run("desk", "push", "-q")
			w.write("laptop/kb/vault.age", "three\n")
			w.run("laptop", "commit", "-q", "-am", "three")
			if out, err := w.try("laptop", "pull", "-q", "--no-rebase"); err == nil {
				t.Fatalf("git merged two edits of one line: %s", out)
			}
			s, err = r.Stages(t.Context())
			if err != nil || s.Merged != "" || !s.Unmerged() {
				t.Fatalf("Stages = %+v, %v", s, err)
			}
			for want, blob := range map[string]string{"one\n": s.Base, "three\n": s.Ours, "two\n": s.Theirs} {
				if got, err := r.Blob(t.Context(), blob); err != nil || string(got) != want {
					t.Errorf("Blob = %q, %v, want %q", got, err, want)
				}
			}
			if op := r.Operation(); op.Name != "merge" {
				t.Errorf("Operation = %+v", op)
			}
			if err := r.Settle(t.Context(), []byte("both\n")); err != nil {
				t.Fatal(err)
			}
			if s, err = r.Stages(t.Context()); err != nil || s.Unmerged() || !s.Tracked() {
				t.Errorf("Stages after Settle = %+v, %v", s, err)
			}
			w.write("laptop/kb/vault.age", "both\n")
			w.run("laptop", "commit", "-q", "--no-edit")
			if out := w.run("laptop", "status", "--porcelain"); out != "" && name != "longer name" {
				t.Errorf("git status = %s", out)
			}
		})
	}
}

// TestOperations: each thing that git can be in the middle of is told.
func TestOperations(t *testing.T) {
	w := newWorld(t)
	w.pair()
	r := w.find("laptop/kb/vault.age")
	if op := r.Operation(); op.Name != "" {
		t.Fatalf("Operation of a quiet repository = %+v", op)
	}
	w.run("laptop", "checkout", "-q", "-b", "side")
	w.write("laptop/kb/vault.age", "side\n")
	w.commitAll("laptop", "side")
	w.run("laptop", "checkout", "-q", "main")
	w.write("laptop/kb/vault.age", "main\n")
	w.commitAll("laptop", "main")
	for _, c := range []struct {
		name string
		args []string
	}{
		{"merge", []string{"merge", "side"}},
		{"rebase", []string{"rebase", "side"}},
		{"rebase", []string{"rebase", "--apply", "side"}},
		{"cherry-pick", []string{"cherry-pick", "side"}},
		{"revert", []string{"revert", "--no-edit", "main~1"}},
	} {
		if out, err := w.try("laptop", c.args...); err == nil {
			t.Fatalf("git %v succeeded: %s", c.args, out)
		}
		op := r.Operation()
		if op.Name != c.name {
			t.Errorf("Operation in %v = %+v", c.args, op)
		}
		w.run("laptop", strings.Fields(op.Abort)[1:]...)
	}
	w.run("laptop", "bisect", "start")
	if op := r.Operation(); op.Name != "bisect" {
		t.Errorf("Operation in a bisect = %+v", op)
	}
}

// TestCopies: what synchronisers call their conflicted copies is found, and
// nothing else that is beside the vault.
func TestCopies(t *testing.T) {
	dir := t.TempDir()
	copies := []string{
		"vault (Ada's conflicted copy 2026-01-02).age", "vault (conflicted copy 2026-01-02 150405).age",
		"vault.sync-conflict-20260102-150405-ABCDEFG.age", "vault_conflict-20260102-150405.age",
	}
	for _, name := range append([]string{
		"vault.age", "vault (1).age", "vault.age.bak", "other (conflicted copy).age", "vault-old.age", ".vault.age.kb-tmp-01",
		"vault.sync-conflict-20260102-150405-ABCDEFG.txt",
	}, copies...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("vault.age", filepath.Join(dir, "vault.sync-conflict-20260102-150405-LINK.age")); err != nil {
		t.Fatal(err)
	}
	got := Copies(filepath.Join(dir, "vault.age"))
	if len(got) != len(copies) {
		t.Fatalf("Copies = %q", got)
	}
	for i := range copies {
		if filepath.Base(got[i]) != copies[i] {
			t.Errorf("Copies[%d] = %q, want %q", i, got[i], copies[i])
		}
	}
}
