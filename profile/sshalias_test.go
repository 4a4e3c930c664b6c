package profile

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Host aliases are how many people keep two accounts apart; what an alias
// stands for is ssh's to say.
func TestHostAliases(t *testing.T) {
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		t.Skip("skipped: no ssh program")
	}
	g := newGitHome(t)
	g.write(".ssh/config", `
Host github-work github.com-work
	HostName github.com
Host gh443
	HostName ssh.github.com
	Port 443
Host git.acme.example
	HostName real.acme.example
	Port 2222
Host v6
	HostName ::1
`)
	env := g.env()
	env.SSH = ssh
	for url, want := range map[string]string{
		"git@github-work:acme/api.git":          "github.com/acme/api",
		"git@github.com-work:acme/api.git":      "github.com/acme/api",
		"ssh://git@github-work/acme/api.git":    "github.com/acme/api",
		"github-work:acme/api":                  "github.com/acme/api",
		"git@gh443:acme/api":                    "github.com/acme/api",
		"git@git.acme.example:acme/api":         "real.acme.example:2222/acme/api",
		"ssh://git@github-work:2222/acme/api":   "github.com:2222/acme/api",
		"git@unknown-alias:acme/api":            "unknown-alias/acme/api",
		"git@v6:acme/api":                       "[::1]/acme/api",
		"https://github-work/acme/api.git":      "github-work/acme/api", // ssh's aliases are ssh's
		"git@github.com:acme/api":               "github.com/acme/api",
		"ssh://git@github-work/acme/../api.git": "",
	} {
		t.Run(url, func(t *testing.T) {
			g.tb = t
			dir := t.Name()[len("TestHostAliases/"):]
			dir = "r/" + strings.Map(func(r rune) rune {
				if r == '/' || r == ':' || r == '@' {
					return '_'
				}
				return r
			}, dir)
			g.repo(dir, url)
			w, err := ReadWorkspace(context.Background(), g.path(dir), env)
			if err != nil {
				t.Fatal(err)
			}
			if _, got := primary(w); got != want {
				t.Errorf("normal form %q, want %q", got, want)
			}
			if r, _ := w.Remote("origin"); want != "" && r.Normal == "" {
				t.Error("the form as configured is lost")
			}
		})
	}
}

// ssh is started only for what may be an alias, and no text of a repository's
// reaches it but a plain name.
func TestWhatSSHIsAsked(t *testing.T) {
	g := newGitHome(t)
	g.write(".ssh/config", "Host listed.acme.example gitlab.com\n\tHostName elsewhere.acme.example\n")
	g.write("ssh", "#!/bin/sh\nprintf '%s ' \"$@\" >>'"+g.path("asked")+"'\necho hostname answer.acme.example\n")
	if err := os.Chmod(g.path("ssh"), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	env := g.env()
	env.SSH = g.path("ssh")
	for name, c := range map[string]struct{ url, argv string }{
		"the big hosts":           {"git@github.com:acme/api", ""},
		"a big host on a line":    {"git@gitlab.com:acme/api", ""},
		"a host with a domain":    {"git@git.acme.example:acme/api", ""},
		"an address":              {"git@127.0.0.1:acme/api", ""},
		"https":                   {"https://github-work/acme/api", ""},
		"a bare name":             {"git@work:acme/api", "-G -F HOME/.ssh/config -l git -- work "},
		"a name on a Host line":   {"git@listed.acme.example:acme/api", "-G -F HOME/.ssh/config -l git -- listed.acme.example "},
		"an impossible domain":    {"git@github.com-work:acme/api", "-G -F HOME/.ssh/config -l git -- github.com-work "},
		"a port":                  {"ssh://work:2222/acme/api", "-G -F HOME/.ssh/config -p 2222 -- work "},
		"an option":               {"-oProxyCommand=x:acme/api", ""},
		"an option for a user":    {"-oProxyCommand=x@work:acme/api", "-G -F HOME/.ssh/config -- work "},
		"an underscore in front":  {"git@_work:acme/api", ""},
		"a shell's metacharacter": {"git@a;b:acme/api", ""},
		"a punycode domain":       {"git@git.xn--p1ai:acme/api", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g.tb = t
			_ = os.Remove(g.path("asked"))
			dir := strings.ReplaceAll(name, " ", "-")
			g.repo(dir, "")
			g.write(dir+"/.git/config", "[core]\n\trepositoryformatversion = 0\n[remote \"origin\"]\n\turl = \""+c.url+"\"\n")
			w, err := ReadWorkspace(context.Background(), g.path(dir), env)
			if err != nil || w.Note != "" {
				t.Fatal(w, err)
			}
			asked, _ := os.ReadFile(g.path("asked"))
			if want := strings.ReplaceAll(c.argv, "HOME", g.home); string(asked) != want {
				t.Errorf("ssh got %q, want %q", asked, want)
			}
		})
	}
}
