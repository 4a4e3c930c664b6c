package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// everywhere is the control of searches through files, processes and outputs: in
// each the canary is planted and found (testkit's Oracle.Control).
type everywhere struct{ a *arena }

func (l everywhere) plant(canaries ...string) error {
	if testkit.NewOracle(canaries...).Control(l.a.t, canaries...) == 0 {
		return fmt.Errorf("no plant was found")
	}
	return at{origin: l.a.evil}.plant(canaries...)
}

// TestAttackNoCanaryAnywhere looks for the canaries where a session leaves
// anything: outputs, environments, arguments, files, its own folder.
func TestAttackNoCanaryAnywhere(t *testing.T) {
	a := newArena(t)
	all := everywhere{a}
	a.attack("env", all, func(t *testing.T) answer {
		r := a.run(a.home.Env, "", a.kb, "exec", "--", "env")
		if !strings.Contains(r.Stdout, "GITHUB_TOKEN=ghp_") {
			t.Errorf("no placeholder: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.attack("env of a parent that holds the canary", all, func(t *testing.T) answer {
		var held []string
		for _, name := range []string{
			"GITHUB_TOKEN", "GH_TOKEN", "ACME_TOKEN", "GITHUB_PAT", "OPENAI_API_KEY", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
			"KB_PASSPHRASE", "AZURE_CLIENT_SECRET", "AWS_BEARER_TOKEN_BEDROCK", "CLOUDFLARE_API_TOKEN", "SLACK_BOT_TOKEN", "LINEAR_API_KEY",
		} {
			held = append(held, name+"="+a.work)
		}
		return answer{text: a.run(a.home.With(held...), "", a.kb, "exec", "--", "env").All()}
	})
	a.attack("env that a reference reads", all, func(t *testing.T) answer {
		a.ok("", "login", "github", "-p", "work", "--from", "env:MY_OWN_VARIABLE", "--no-verify", "--as", "byenv")
		defer a.ok("", "logout", "github", "-p", "work", "--as", "byenv")
		return answer{text: a.run(a.home.With("MY_OWN_VARIABLE="+a.work), "", a.kb, "exec", "--", "env").All()}
	})
	a.attack("env that steers kb, carrying the canary aside", all, func(t *testing.T) answer {
		r := a.run(a.home.With(`KB_ENVIRON_ASIDE={"GITHUB_TOKEN":"`+a.work+`","OPENAI_API_KEY":"`+a.work+`"}`, "SSL_CERT_FILE=/nowhere"), "", a.kb, "exec", "--", "env")
		return answer{text: r.All()}
	})
	a.attack("outputs of every verb", all, func(t *testing.T) (got answer) {
		for _, args := range [][]string{
			{"status"},
			{"status", "--json"},
			{"which"},
			{"which", "--json"},
			{"vault", "show"},
			{"vault", "ls"},
			{"vault", "path"},
			{"profile", "ls"},
			{"profile", "show", "work"},
			{"rule", "ls"},
			{"provider", "show", "acme"},
			{"provider", "show", "github"},
			{"audit"},
			{"audit", "--json"},
			{"audit", "verify"},
			{"pin", "ls"},
			{"version"},
			{"help"},
		} {
			got.text += a.run(a.home.Env, "", append([]string{a.kb}, args...)...).All()
		}
		return got
	})
	a.attack("a login that the provider refuses", all, func(t *testing.T) answer {
		crooked := a.serve(goodHost, testkit.OriginConfig{Handler: testkit.Echo()})
		defer a.Resolver().Set(goodHost, a.good.Addr)
		r := a.run(a.home.Env, a.work, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "echoed")
		if reached(crooked) != 1 {
			t.Errorf("nobody was asked: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.attack("a login of the wrong shape", all, func(t *testing.T) answer {
		return answer{text: a.run(a.home.Env, a.work+" "+a.acme, a.kb, "login", "github", "-p", "work", "--stdin", "--as", "odd", "--no-verify").All()}
	})

	a.child = a.start(a.home.Env, a.home.Dir)
	a.works(t)
	o := func() *testkit.Oracle { return testkit.NewOracle(a.work, a.acme) }
	a.attack("every environment and argument of the session's tree", all, func(t *testing.T) answer {
		search := o()
		n, err := search.Processes(a.child.cmd.Process.Pid)
		if err != nil || n < 4 { // kb's cmdline, and both of sh and cat, at the least
			t.Errorf("%d files read, %v", n, err)
		}
		return found(search)
	})
	a.attack("state, configuration and temporary files while it runs", all, func(t *testing.T) answer {
		search := o()
		if err := search.Tree(a.home.Dir); err != nil {
			t.Fatal(err)
		}
		return found(search)
	})
	a.attack("the session's folder", all, func(t *testing.T) answer {
		search := o()
		dir := filepath.Dir(a.child.env["SSL_CERT_FILE"])
		files, err := os.ReadDir(dir)
		if err != nil || len(files) < 3 {
			t.Errorf("%q holds %d files, %v", dir, len(files), err)
		}
		if fi, err := os.Stat(dir); err != nil || fi.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", fi.Mode(), err)
		}
		if err := search.Tree(dir); err != nil {
			t.Fatal(err)
		}
		return found(search)
	})
	a.attack("the child's descriptors", all, func(t *testing.T) answer {
		r := a.run(a.home.Env, "", a.kb, "exec", "--", "sh", "-c", "ls -l /proc/self/fd; for f in /proc/self/fd/*; do case $(readlink $f) in *kb*) cat $f; echo OPEN;; esac; done")
		if strings.Contains(r.Stdout, "OPEN") {
			t.Errorf("the child holds one of kb's files: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.attack("an identity in the environment", all, func(t *testing.T) answer {
		a.ok("", "device", "add-ci", "job")
		file := filepath.Join(a.home.Dir, "kb-job.identity")
		text, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(text), "SECRET") {
			t.Fatalf("no identity: %v", err)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		ci, dir := string(text), t.TempDir()
		r := a.run(a.home.With("KB_IDENTITY="+ci, "XDG_STATE_HOME="+dir), "", a.kb, "exec", "-p", "work", "--", "env")
		for line := range strings.Lines(ci) {
			if line = strings.TrimSpace(line); strings.Contains(line, "SECRET") && strings.Contains(r.All(), line) {
				t.Error("the child got the identity")
			}
		}
		if !strings.Contains(r.Stdout, "KB_SESSION=") {
			t.Errorf("no session: %s", r.All())
		}
		return answer{text: r.All()}
	})
	a.child.stop()
	a.attack("the session's own outputs", all, func(t *testing.T) answer {
		return answer{text: a.child.stdout.String() + a.child.stderr.String()}
	})
	a.attack("what is left behind", all, func(t *testing.T) answer {
		search := o()
		if err := search.Tree(a.home.Dir); err != nil {
			t.Fatal(err)
		}
		left, _ := filepath.Glob(filepath.Join(a.home.Dir, "run", "kb", "s-*"))
		if len(left) != 0 {
			t.Errorf("session folders are left: %v", left)
		}
		return found(search)
	})
	a.attack("a runtime folder that others may write", all, func(t *testing.T) answer {
		return a.foreignRuntime(t, func(dir string) error {
			if err := os.Mkdir(filepath.Join(dir, "kb"), 0o700); err != nil {
				return err
			}
			return os.Chmod(filepath.Join(dir, "kb"), 0o777) //nolint:gosec // the attack
		})
	})
	a.attack("a runtime folder that is a link", all, func(t *testing.T) answer {
		elsewhere := t.TempDir()
		return a.foreignRuntime(t, func(dir string) error { return os.Symlink(elsewhere, filepath.Join(dir, "kb")) })
	})
	a.attack("a runtime folder that is a file", all, func(t *testing.T) answer {
		return a.foreignRuntime(t, func(dir string) error { return os.WriteFile(filepath.Join(dir, "kb"), nil, 0o600) })
	})
}

// foreignRuntime starts a session where somebody else has made kb's runtime
// folder: who can write there can exchange the session's certificates, and the
// code that Node loads.
func (a *arena) foreignRuntime(t *testing.T, make func(dir string) error) answer {
	t.Helper()
	dir := t.TempDir()
	if err := make(dir); err != nil {
		t.Fatal(err)
	}
	r := a.run(a.home.With("XDG_RUNTIME_DIR="+dir), "", a.kb, "exec", "--", "echo", "RAN")
	if strings.Contains(r.Stdout, "RAN") || r.Code == 0 {
		t.Errorf("the session was started: %s", r.All())
	}
	return answer{text: r.All()}
}

// found turns what an oracle found into an answer that the case's search finds
// again.
func found(o *testkit.Oracle) answer {
	var text bytes.Buffer
	for _, f := range o.Findings() {
		fmt.Fprintf(&text, "%s\n", f)
	}
	if text.Len() > 0 {
		return answer{text: text.String(), leaked: true}
	}
	return answer{}
}
