package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// TestReadmeCommands types the README's commands, in order, as they stand
// there. The test world has github.com; the clone that they speak of is made
// where they expect it.
func TestReadmeCommands(t *testing.T) {
	needsE2E(t)
	p := newPage(t)
	r := p.reader(t, "")
	m := r.machine("laptop")
	oss := p.token("me-at-home")
	m.env = append(m.env, "TOKEN="+oss, "TOKEN2="+p.token("me-at-home"))
	r.prepare = func(m *machine, dir string) { prepareClone(t, m.env, dir) }
	for _, b := range readPage(t, "../../README.md") {
		var text []string
		for _, line := range b.text {
			if strings.HasPrefix(line, "go ") {
				continue // the build and the tests themselves
			}
			if _, err := os.Stat(filepath.Join(m.home.Dir, ".config", "kb", "vault.age")); err != nil && strings.HasPrefix(line, "cd ") && strings.Contains(line, "&&") {
				continue // the introduction's picture, before kb init
			}
			line = strings.Replace(line, "kb audit -f", "timeout -s INT 1 kb audit -f || test $? = 124", 1)
			if strings.HasPrefix(line, "KB_IDENTITY_FILE=") {
				line = strings.Replace(line, "KB_VAULT=vault.age", "KB_VAULT=$(kb vault path)", 1)
			}
			text = append(text, line)
		}
		b.text = text
		r.do(b)
	}
	t.Logf("%d commands", p.typed)
	if p.typed < 35 {
		t.Errorf("only %d commands of the README were typed", p.typed)
	}
	// The device that was removed is out, whatever it pulls.
	desk := r.machine("desk")
	if out, code := r.typeIn(desk, "git -C ~/dotfiles pull -q && kb status"); code == 0 || !strings.Contains(out, "not encrypted to this device") {
		t.Errorf("the removed device's kb status ended with %d:\n%s", code, out)
	}
	pushed := false
	for _, a := range p.git.Accesses() {
		pushed = pushed || a.Write && a.Token == r.tokens[0]
	}
	if !pushed {
		t.Error("the README's push did not arrive with the work token")
	}
}

func prepareClone(t *testing.T, env []string, dir string) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	script := `git init -q -b main . && git remote add origin git@github.com:acme/api.git && git config push.default current &&
git -c user.name=Me -c user.email=me@acme.example commit -q --allow-empty -m start && git checkout -q -b change`
	if r := testkit.Exec(t, testkit.Command{Dir: dir, Env: env, Args: []string{"sh", "-c", script}}); r.Code != 0 {
		t.Fatal(r.All())
	}
}
