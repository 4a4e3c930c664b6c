package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/creack/pty"

	"kb/internal/testkit"
)

// TestReadmeCommands types the README's commands, in order, as they stand
// there. The test world has github.com; the clone that they speak of is made
// where they expect it.
func TestReadmeCommands(t *testing.T) {
	needsE2E(t)
	w := testkit.Namespace(t)
	kb, home, git := testkit.BuildKB(t), testkit.NewHome(t), testkit.NewGit(t)
	work, oss := testkit.NewCanary("ghp_", 36), testkit.NewCanary("ghp_", 36)
	users := map[string]string{work: "me-at-acme", oss: "me-at-home"}
	git.Users = users
	w.Serve("github.com", testkit.OriginConfig{Handler: git})
	w.Serve("api.github.com", testkit.OriginConfig{Handler: &testkit.GitHub{Users: users}})
	// An agent of the name that the README uses, and a job for make.
	bin := filepath.Join(home.Dir, "bin")
	for name, text := range map[string]string{
		"bin/claude":          "#!/bin/sh\necho agent of $KB_PROFILE\n",
		"bin/make":            "#!/bin/sh\necho made as $KB_PROFILE\n",
		"src/acme/api/README": "a clone\n",
	} {
		path := filepath.Join(home.Dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	env := home.With("PATH="+bin+":"+filepath.Dir(kb)+":"+os.Getenv("PATH"), "TOKEN="+oss)
	dir := home.Dir
	typed := 0
	for _, line := range readmeCommands(t) {
		command, _, _ := strings.Cut(line, " #")
		command = strings.TrimSpace(command)
		switch {
		case strings.HasPrefix(command, "go "):
			continue // the build and the tests themselves
		case strings.HasPrefix(command, "cd "):
			// The clone is made when the README first goes there.
			dir = filepath.Join(home.Dir, strings.TrimPrefix(strings.Fields(command)[1], "~/"))
			if _, rest, ok := strings.Cut(command, "&& "); ok {
				command = rest
			} else {
				prepareClone(t, env, dir)
				continue
			}
			if _, err := os.Stat(filepath.Join(home.Dir, ".config", "kb", "vault.age")); err != nil {
				continue // the introduction's picture, before kb init
			}
		}
		command = strings.Replace(command, "kb audit -f", "timeout -s INT 1 kb audit -f || test $? = 124", 1)
		if strings.HasPrefix(command, "KB_IDENTITY_FILE=") {
			command = strings.Replace(command, "KB_VAULT=vault.age", "KB_VAULT=$(kb vault path)", 1)
		}
		typed++
		if out, err := typeIn(t, dir, env, command, work); err != nil {
			t.Fatalf("$ %s\n%s\n%v", command, out, err)
		}
	}
	t.Logf("%d commands", typed)
	if typed < 14 {
		t.Errorf("only %d commands of the README were typed", typed)
	}
	pushed := false
	for _, a := range git.Accesses() {
		pushed = pushed || a.Write && a.Token == work
	}
	if !pushed {
		t.Error("the README's push did not arrive with the work token")
	}
}

// readmeCommands are the lines of README's sh blocks, in order.
func readmeCommands(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	var commands []string
	inside := false
	for line := range strings.SplitSeq(string(text), "\n") {
		switch {
		case strings.HasPrefix(line, "```sh"):
			inside = true
		case strings.HasPrefix(line, "```"):
			inside = false
		case inside && strings.TrimSpace(line) != "":
			commands = append(commands, line)
		}
	}
	return commands
}

func prepareClone(t *testing.T, env []string, dir string) {
	t.Helper()
	script := `git init -q -b main . && git remote add origin git@github.com:acme/api.git && git config push.default current &&
git -c user.name=Me -c user.email=me@acme.example commit -q --allow-empty -m start && git checkout -q -b change`
	if r := testkit.Exec(t, testkit.Command{Dir: dir, Env: env, Args: []string{"sh", "-c", script}}); r.Code != 0 {
		t.Fatal(r.All())
	}
}

// typeIn runs a command on a terminal of its own and types the token when it
// is asked for one.
func typeIn(t *testing.T, dir string, env []string, command, token string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir, cmd.Env = dir, env
	tty, err := pty.Start(cmd)
	if err != nil {
		return "", err
	}
	defer tty.Close()
	var screen strings.Builder
	buf := make([]byte, 4096)
	answered := false
	for {
		n, err := tty.Read(buf)
		screen.Write(buf[:n])
		if !answered && strings.Contains(screen.String(), "token: ") {
			answered = true
			fmt.Fprintf(tty, "%s\n", token)
		}
		if err != nil { // the terminal ends with its last process
			break
		}
	}
	if strings.Contains(screen.String(), token) {
		t.Errorf("%s showed the token", command)
	}
	return screen.String(), cmd.Wait()
}
