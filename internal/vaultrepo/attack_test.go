package vaultrepo

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A server can commit gigabytes of zeros in the vault's place: they take little
// on its way, and must not take memory here.
func TestAttackHugeBlobInTheVaultsPlace(t *testing.T) {
	w := newWorld(t)
	w.repo("laptop")
	good := w.run("laptop", "rev-parse", "HEAD:kb/vault.age")
	const size = 3 * maxBlob
	if err := os.Truncate(w.path("laptop/kb/vault.age"), size); err != nil {
		t.Fatal(err)
	}
	w.commitAll("laptop", "zeros")
	huge := w.run("laptop", "rev-parse", "HEAD:kb/vault.age")
	for _, how := range []string{"loose", "packed"} {
		if how == "packed" {
			w.run("laptop", "gc", "-q")
		}
		r := w.find("laptop/kb/vault.age")
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.Blob(context.Background(), huge)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; !errors.Is(err, ErrTooLarge) || took > 2*maxBlob {
			t.Errorf("%s: %v, %d MiB", how, err, took>>20)
		}
		if raw, err := r.Blob(context.Background(), good); err != nil || string(raw) != "one\n" { // control
			t.Errorf("%s: %q, %v", how, raw, err)
		}
	}
}

// FIFOs in place of a repository's files: nothing ends an open(2) that waits
// for a writer, not even SIGTERM to a program that catches it.
func TestAttackPipesInARepository(t *testing.T) {
	for _, name := range []string{"refs/heads/main", "packed-refs", "objects/info/alternates", "shallow", "HEAD"} {
		w := newWorld(t)
		w.repo("laptop")
		r := w.find("laptop/kb/vault.age")
		if v, err := r.History(context.Background(), 0); err != nil || len(v) != 1 { // control
			t.Fatalf("%v, %+v", err, v)
		}
		path := w.path("laptop/.git/" + name)
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		done := make(chan error, 1)
		go func() {
			_, err := r.History(ctx, 0)
			_, _ = r.Blob(ctx, "1111111111111111111111111111111111111111")
			done <- err
		}()
		select {
		case <-done:
		case <-time.After(20 * time.Second):
			t.Errorf("%s: waits for a writer", name)
		}
		cancel()
	}
}

// A filter's name may hold an equals sign, at which git -c cuts: an agent that
// can write the repository's configuration would have its filter run when a
// person syncs. The attributes are in a file of the work tree that no commit
// has, where only the checkout finds them.
func TestAttackFilterWithAnEqualsSign(t *testing.T) {
	for _, name := range []string{"plain", "a=b"} {
		w := newWorld(t)
		w.pair()
		w.write("desk/bin/tool", "theirs\n")
		w.commitAll("desk", "theirs")
		w.run("desk", "push", "-q")
		trap := "touch " + w.path("ran") + "; cat"
		w.write("laptop/bin/.gitattributes", "* filter="+name+"\n")
		config := w.read("laptop/.git/config")
		w.write("laptop/.git/config", config+"[filter \""+name+"\"]\n\tsmudge = "+`"`+trap+`"`+"\n\tclean = cat\n")
		if _, err := w.sync("laptop", "one\n"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(w.path("ran")); err == nil {
			t.Errorf("%s: kb's git ran the repository's filter", name)
		}
		// Control: the user's own git runs it.
		if err := os.Remove(w.path("laptop/bin/tool")); err != nil {
			t.Fatal(err)
		}
		w.run("laptop", "checkout", "-q", "--", "bin/tool")
		if _, err := os.Stat(w.path("ran")); err != nil {
			t.Errorf("%s: the trap is not one", name)
		}
	}
}

// From 2.54 on git runs hooks that its configuration names, whatever
// core.hooksPath says. For every command they are switched off by name; the
// name may hold an equals sign. An older git, which runs none, can still say
// what it was told.
func TestAttackHooksInTheConfiguration(t *testing.T) {
	w := newWorld(t)
	w.repo("laptop")
	config := w.read("laptop/.git/config")
	for _, name := range []string{"plain", "a=b.c"} {
		w.write("laptop/.git/config", config+"[hook \""+name+"\"]\n\tevent = reference-transaction\n\tcommand = touch "+w.path("ran")+"\n")
		r := w.find("laptop/kb/vault.age")
		got := func() string {
			out, _ := r.git(t.Context(), nil, "var", "-l")
			for line := range strings.SplitSeq(string(out), "\n") {
				if value, ok := strings.CutPrefix(line, "hook."+name+".enabled="); ok {
					return value
				}
			}
			return "not told"
		}()
		if got != "false" {
			t.Errorf("%s: enabled is %s", name, got)
		}
		if err := r.Settle(t.Context(), []byte("two\n")); err != nil {
			t.Error(err)
		}
		if _, err := r.Commit(t.Context(), []byte(name)); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(w.path("ran")); err == nil {
			t.Errorf("%s: the hook ran", name)
		}
	}
}

// An agent puts a link to the shell's start file where the attributes go, and
// names a directory so that the vault's line is a command.
func TestAttackAttributesLeadToAStartFile(t *testing.T) {
	for _, link := range []bool{false, true} { // false is the control
		w := newWorld(t)
		w.repo("laptop")
		w.write("laptop/$(touch ran)/vault.age", "one\n")
		w.write(".profile", "umask 022\n")
		if link {
			if err := os.Symlink(w.path(".profile"), w.path("laptop/.gitattributes")); err != nil {
				t.Fatal(err)
			}
		}
		r := w.find("laptop/$(touch ran)/vault.age")
		_, err := r.SetUp(t.Context(), "/usr/bin/kb")
		if got := w.read(".profile"); got != "umask 022\n" {
			t.Errorf("link %v: the start file is %q", link, got)
		}
		if (err == nil) == link {
			t.Errorf("link %v: %v", link, err)
		}
	}
}
