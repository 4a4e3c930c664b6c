package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// world is what the frames show: a person with two identities, a session, and a
// request that waits. No network is asked for any of it.
type world struct {
	dir, kb  string
	sessions []*exec.Cmd
}

// full is the home of most scenes; empty is one where kb has never run.
const (
	full  = ""
	empty = "new"
)

// The tokens of the world: in the form that each provider gives out.
var tokens = map[string]string{
	"github":    "ghp_" + strings.Repeat("f", 36),
	"openai":    "sk-" + strings.Repeat("f", 48),
	"anthropic": "sk-ant-api03-" + strings.Repeat("f", 80),
	"stripe":    "sk_test_" + strings.Repeat("f", 24),
}

func newWorld(ctx context.Context, dir, kb string) (*world, error) {
	w := &world{dir: dir, kb: kb}
	for _, home := range []string{full, empty} {
		if err := os.MkdirAll(w.repo(home), 0o700); err != nil {
			return nil, err
		}
		for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"remote", "add", "origin", "https://github.com/acme/api.git"}} {
			if _, err := w.run(ctx, home, "", append([]string{"git"}, args...)...); err != nil {
				return nil, err
			}
		}
	}
	for _, line := range []string{
		"init --device laptop",
		"profile add work --git-email me@acme.example --git-name Me",
		"profile add oss --git-email me@home.example --git-name Me",
		"rule add work --remote github.com/acme/*",
		"rule add oss --dir ~/oss/**",
		"login github -p work --stdin --no-verify",
		"login openai -p work --stdin --no-verify",
		"login anthropic -p work --stdin --no-verify",
		"login stripe -p work --from env:STRIPE --no-verify",
		"login github -p oss --stdin --no-verify",
		"policy add work ask --provider github --method POST",
		"policy add work deny --repo github.com/acme/* --git write",
		"policy add work limit 60/min --provider openai",
	} {
		words := strings.Fields(line)
		token := ""
		if words[0] == "login" {
			token = tokens[words[1]]
		}
		if _, err := w.run(ctx, full, token, append([]string{kb}, words...)...); err != nil {
			return nil, err
		}
	}
	// What has been: requests that the policy refused, on the record.
	const refused = `for i in 1 2 3; do curl -sS -o /dev/null 'https://github.com/acme/api.git/info/refs?service=git-receive-pack'; done`
	if err := w.agent(refused); err != nil {
		return nil, err
	}
	if _, err := w.run(ctx, full, "", kb, "exec", "--", agentName); err != nil {
		return nil, err
	}
	return w, w.session(ctx)
}

// session starts one whose agent asks for what a person has to approve, and
// waits.
func (w *world) session(ctx context.Context) error {
	// Nobody answers here, and a request that waits too long is refused: it asks
	// again.
	const agent = `echo started; while :; do curl -sS -o /dev/null -X POST -d '{"title":"Fix the build"}' https://api.github.com/repos/acme/api/issues; sleep 1; done`
	if err := w.agent(agent); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, w.kb, "exec", "--", agentName)
	cmd.Dir, cmd.Env = w.repo(full), w.environ(full)
	cmd.WaitDelay = 5 * time.Second
	var output bytes.Buffer
	cmd.Stderr = &output
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	w.sessions = append(w.sessions, cmd)
	if _, err := stdout.Read(make([]byte, 1)); err != nil {
		return fmt.Errorf("start a session: %w: %s", err, output.String())
	}
	return nil
}

// agentName is what the world's agent is called: what people run.
const agentName = "claude"

// agent makes the world's agent: a script in place of a program that would need a
// network.
func (w *world) agent(script string) error {
	dir := filepath.Join(w.dir, ".bin")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, agentName), []byte("#!/bin/sh\n"+script+"\n"), 0o700) //nolint:gosec // a program
}

// end ends the sessions.
func (w *world) end() {
	for _, cmd := range w.sessions {
		_ = cmd.Process.Signal(os.Interrupt)
		done := make(chan struct{})
		go func() { _ = cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(5 * time.Second):
			_ = cmd.Process.Kill()
			<-done
		}
	}
}

func (w *world) home(name string) string {
	if name == full {
		name = "me"
	}
	return filepath.Join(w.dir, name)
}

// repo is the directory that kb is started in.
func (w *world) repo(home string) string { return filepath.Join(w.home(home), "src", "acme", "api") }

func (w *world) environ(home string) []string {
	return []string{
		"HOME=" + w.home(home), "PATH=" + filepath.Join(w.dir, ".bin") + ":" + filepath.Dir(w.kb) + ":" + os.Getenv("PATH"), "LANG=C.UTF-8", "TZ=UTC", "STRIPE=" + tokens["stripe"],
		"GIT_CONFIG_NOSYSTEM=1", "COLORTERM=", "EDITOR=vi",
	}
}

// run runs a command in the world.
func (w *world) run(ctx context.Context, home, stdin string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Dir, cmd.Env = w.repo(home), w.environ(home)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", errors.Join(fmt.Errorf("%s: %w", strings.Join(args, " "), err), errors.New(string(out)))
	}
	return string(out), nil
}
