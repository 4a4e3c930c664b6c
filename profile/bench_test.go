package profile

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// manyRules makes n valid rules: half by remote, a third of all by directory,
// the rest with several conditions, none of them for benchQuery but the last.
func manyRules(n int) ([]Profile, []Rule) {
	profiles := []Profile{{Name: "work"}, {Name: "oss"}}
	rules := make([]Rule, n)
	for i := range rules {
		r := Rule{ID: fmt.Sprintf("r%d", i), Profile: profiles[i%2].Name}
		switch i % 6 {
		case 0, 1:
			r.Remote = fmt.Sprintf("github.com/org%d/*", i)
		case 2:
			r.Remote = fmt.Sprintf("git%d.acme.example/**", i)
		case 3, 4:
			r.Dir = fmt.Sprintf("~/src/customer%d/**", i)
		case 5:
			r.Remote, r.Agent, r.Machine = fmt.Sprintf("github.com/acme%d/api*", i), "claude", "laptop"
		}
		rules[i] = r
	}
	rules[n-1] = Rule{ID: "last", Profile: "work", Remote: "github.com/acme/*"}
	return profiles, rules
}

func benchQuery(home string) Query {
	dir := filepath.Join(home, "src", "acme", "api")
	return Query{
		Home: home, User: "me", Machine: "laptop", Agent: "claude",
		Workspace: Workspace{
			Dir: dir, Root: dir, MainRoot: dir, Primary: "origin",
			Remotes: []Remote{{
				Name: "origin", Normal: "github.com/acme/api", NormalResolved: "github.com/acme/api",
			}},
		},
	}
}

// The target is 1 ms for 10,000 rules (docs: resolution).
func BenchmarkResolve(b *testing.B) {
	for _, n := range []int{200, 10_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			home := b.TempDir()
			if err := os.MkdirAll(filepath.Join(home, "src", "acme", "api"), 0o700); err != nil {
				b.Fatal(err)
			}
			profiles, rules := manyRules(n)
			q := benchQuery(home)
			b.ReportAllocs()
			for b.Loop() {
				m, err := Resolve(q, profiles, rules)
				if err != nil || m.Profile != "work" {
					b.Fatal(m, err)
				}
			}
		})
	}
}

func BenchmarkClaim(b *testing.B) {
	_, rules := manyRules(10_000)
	c := CompileRemotes(benchQuery(b.TempDir()), rules)
	b.ReportAllocs()
	for b.Loop() {
		if claim, err := c.Claim("github.com/acme/api"); err != nil || claim.Profile != "work" {
			b.Fatal(claim, err)
		}
	}
}

func BenchmarkCompileRemotes(b *testing.B) {
	_, rules := manyRules(10_000)
	q := benchQuery(b.TempDir())
	b.ReportAllocs()
	for b.Loop() {
		CompileRemotes(q, rules)
	}
}

// The target is 3 ms, of which git takes about half.
func BenchmarkReadWorkspace(b *testing.B) {
	git, err := exec.LookPath("git")
	if err != nil {
		b.Skip("no git program")
	}
	home := b.TempDir()
	repo := filepath.Join(home, "src", "acme", "api")
	run := exec.CommandContext(b.Context(), git, "init", "-q", repo)
	run.Env = []string{"HOME=" + home}
	if err := run.Run(); err != nil {
		b.Fatal(err)
	}
	run = exec.CommandContext(b.Context(), git, "-C", repo, "remote", "add", "origin", "git@github.com:acme/api.git")
	run.Env = []string{"HOME=" + home}
	if err := run.Run(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w, err := ReadWorkspace(b.Context(), repo, Env{Git: git, SSH: "/usr/bin/ssh", Home: home})
		if err != nil || w.Primary != "origin" {
			b.Fatal(w, err)
		}
	}
}
