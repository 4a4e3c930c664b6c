package vaultrepo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// localTimeout bounds a git that works on the disk alone. Each takes
	// milliseconds; a checkout of many files on a network share may take seconds.
	localTimeout = time.Minute
	// transferTimeout bounds a fetch or a push, with a person who types a
	// passphrase or touches a key meanwhile.
	transferTimeout = 5 * time.Minute
	// maxOutput bounds what a git may print, in bytes: the largest vault and
	// room for listings.
	maxOutput = 128 << 20
)

// hardening goes before the command of every git: nothing that a repository
// names is run by it. Signatures are neither made nor shown, since both run
// gpg.program.
var hardening = []string{
	"--no-pager",
	"-c", "core.hooksPath=/dev/null",
	"-c", "hook.reference-transaction.enabled=false", // hooks of the configuration, after git 2.54; see switchedOff
	"-c", "hook.post-index-change.enabled=false",
	"-c", "core.fsmonitor=false",
	"-c", "protocol.ext.allow=never",
	"-c", "core.alternateRefsCommand=true",
	"-c", "log.showSignature=false",
	"-c", "commit.gpgSign=false",
	"-c", "push.gpgSign=false",
	"-c", "submodule.recurse=false",
	"-c", "gc.auto=0",
	"-c", "maintenance.auto=false",
}

// CommandError says that a git failed.
type CommandError struct {
	Command string // its first word
	Code    int    // exit code; -1 if a signal or the time limit ended it
	Stderr  string // what it said, with credentials cut out of its URLs; others wrote it
}

func (e *CommandError) Error() string {
	said := strings.TrimSpace(e.Stderr)
	if said == "" {
		said = "exit code " + strconv.Itoa(e.Code)
	}
	return fmt.Sprintf("git %s: %s", e.Command, said)
}

// git runs a command in the repository, under its own configuration; it is for
// what reads and writes the index, the references and the work tree.
func (r *Repo) git(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	return r.gitWith(ctx, nil, stdin, args...)
}

func (r *Repo) gitWith(ctx context.Context, more []string, stdin []byte, args ...string) ([]byte, error) {
	env := append(r.environ(), "GIT_DIR="+r.GitDir, "GIT_WORK_TREE="+r.Root, "GIT_ALLOW_PROTOCOL=none")
	if args[0] != "config" { // which runs none of it, and is how it is read
		settings, err := r.config(ctx)
		if err != nil {
			return nil, err
		}
		env = append(env, configEnv(switchedOff(settings))...)
	}
	return r.run(ctx, localTimeout, r.Root, append(env, more...), stdin, args)
}

// configEnv hands settings to git in its environment. On the command line git
// would cut a key at the first equals sign, of which a name may have more.
func configEnv(settings []setting) []string {
	env := []string{"GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings))}
	for i, s := range settings {
		n := strconv.Itoa(i)
		env = append(env, "GIT_CONFIG_KEY_"+n+"="+s.key, "GIT_CONFIG_VALUE_"+n+"="+s.value)
	}
	return env
}

// plumb runs a command in the quarantine: over the repository's objects, under
// no configuration but the hardening.
func (r *Repo) plumb(ctx context.Context, stdin []byte, args ...string) ([]byte, error) {
	return r.plumbWith(ctx, nil, stdin, args...)
}

func (r *Repo) plumbWith(ctx context.Context, more []string, stdin []byte, args ...string) ([]byte, error) {
	env, err := r.quarantined(ctx)
	if err != nil {
		return nil, err
	}
	env = append(env, "GIT_ALLOW_PROTOCOL=none", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull)
	return r.run(ctx, localTimeout, r.quarantine, append(env, more...), stdin, args)
}

// transfer runs a command in the quarantine that may use the network, under
// the settings that it is given and no file's.
func (r *Repo) transfer(ctx context.Context, settings []setting, args ...string) ([]byte, error) {
	env, err := r.quarantined(ctx)
	if err != nil {
		return nil, err
	}
	env = append(append(env, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull), configEnv(settings)...)
	for _, name := range transferVariables {
		if v := r.o.getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	env = append(env, "PATH="+absolutePath(r.o.getenv("PATH")))
	return r.run(ctx, transferTimeout, r.quarantine, env, nil, args)
}

// transferVariables lead ssh and credential helpers to the user's agent,
// keyring and screen.
var transferVariables = []string{
	"SSH_AUTH_SOCK", "SSH_AGENT_PID", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "WAYLAND_DISPLAY",
	"USER", "LOGNAME", "TERM", "GPG_TTY",
}

// absolutePath is PATH without relative entries, by which the directory that
// one stands in would choose the programs.
func absolutePath(path string) string {
	var dirs []string
	for _, dir := range filepath.SplitList(path) {
		if filepath.IsAbs(dir) {
			dirs = append(dirs, dir)
		}
	}
	return strings.Join(dirs, string(filepath.ListSeparator))
}

// environ is what the environment of every git begins with.
func (r *Repo) environ() []string {
	env := []string{
		"LC_ALL=C", // messages are compared
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_LITERAL_PATHSPECS=1", // a vault may be called *.age
		"GIT_NO_REPLACE_OBJECTS=1",
		"GIT_NO_LAZY_FETCH=1",
		"GIT_EDITOR=false", "GIT_SEQUENCE_EDITOR=false",
		"GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0", // trace2.* settings write files
	}
	if _, err := os.Stat("/dev/tty"); err != nil {
		env = append(env, "GIT_TERMINAL_PROMPT=0")
	}
	if r.o.Home != "" { // with an empty one git would read /.gitconfig
		env = append(env, "HOME="+r.o.Home)
	}
	for _, name := range []string{"XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM"} {
		if v := r.o.getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// quarantined is the environment of a git in the quarantine, which it makes
// when it is first needed.
func (r *Repo) quarantined(ctx context.Context) ([]string, error) {
	if r.quarantine == "" {
		if err := r.makeQuarantine(ctx); err != nil {
			return nil, fmt.Errorf("make a place for git to work in: %w", err)
		}
	}
	return append(r.environ(), "GIT_DIR="+r.quarantine, "GIT_OBJECT_DIRECTORY="+filepath.Join(r.CommonDir, "objects")), nil
}

// makeQuarantine makes the least that git takes for a bare repository
// (gitrepository-layout(5)).
func (r *Repo) makeQuarantine(ctx context.Context) error {
	if r.o.Scratch != "" {
		if err := os.MkdirAll(r.o.Scratch, 0o700); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp(r.o.Scratch, "git-")
	if err != nil {
		return err
	}
	r.quarantine = dir
	config := "[core]\n\trepositoryformatversion = 0\n\tbare = true\n"
	if r.sha256() {
		config = "[core]\n\trepositoryformatversion = 1\n\tbare = true\n[extensions]\n\tobjectFormat = sha256\n"
	}
	for _, name := range []string{"objects", "refs", "info"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return err
		}
	}
	for name, text := range map[string]string{"HEAD": "ref: refs/heads/none\n", "config": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			return err
		}
	}
	// A shallow clone's history ends where this file says.
	shallow, err := readSmall(filepath.Join(r.CommonDir, "shallow"))
	if err != nil {
		return nil
	}
	return os.WriteFile(filepath.Join(dir, "shallow"), []byte(shallow), 0o600)
}

// sha256 reports whether the repository's objects are named by SHA-256.
func (r *Repo) sha256() bool {
	settings, err := readConfigFile(filepath.Join(r.CommonDir, "config"))
	if err != nil {
		return false
	}
	for _, s := range settings {
		if s.key == "extensions.objectformat" {
			return strings.EqualFold(s.value, "sha256")
		}
	}
	return false
}

// run starts git in its own process group, so that all of it ends with ctx.
func (r *Repo) run(ctx context.Context, limit time.Duration, dir string, env []string, stdin []byte, args []string) ([]byte, error) {
	if r.o.Git == "" {
		return nil, ErrNoGit
	}
	if !filepath.IsAbs(r.o.Git) {
		return nil, fmt.Errorf("start %q: not an absolute path", r.o.Git)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	argv := append(append([]string{}, hardening...), args...)
	cmd := exec.CommandContext(ctx, r.o.Git, argv...) //nolint:gosec // an absolute path that the caller resolved
	cmd.Dir, cmd.Env = dir, env
	if stdin != nil {
		cmd.Stdin = bytes.NewReader(stdin)
	}
	var stdout, stderr limited
	stdout.left, stderr.left = maxOutput, 64<<10
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if limit == localTimeout {
		// A transfer stays in the terminal's foreground group: ssh may ask there.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	} else {
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	}
	cmd.WaitDelay = 2 * time.Second
	err := cmd.Run()
	if stdout.left < 0 {
		return nil, fmt.Errorf("git %s: printed more than %d MiB", args[0], maxOutput>>20)
	}
	if err == nil {
		return stdout.Bytes(), nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return nil, fmt.Errorf("git %s: %w", args[0], ctxErr)
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return stdout.Bytes(), &CommandError{args[0], exit.ExitCode(), withoutPasswords(stderr.String())}
	}
	return nil, fmt.Errorf("start git: %w", err)
}

// limited keeps what it is given up to a limit; left is negative after it.
type limited struct {
	bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if l.left -= len(p); l.left < 0 {
		return len(p), nil // git is not to die of a closed pipe meanwhile
	}
	return l.Buffer.Write(p)
}

var _ io.Writer = (*limited)(nil)

// withoutPasswords cuts the user part out of the URLs in a message.
func withoutPasswords(s string) string {
	words := strings.Split(s, "://")
	for i := 1; i < len(words); i++ {
		end := strings.IndexAny(words[i], " /'\"\n")
		if end < 0 {
			end = len(words[i])
		}
		if at := strings.LastIndexByte(words[i][:end], '@'); at >= 0 {
			words[i] = words[i][at+1:]
		}
	}
	return strings.Join(words, "://")
}

// text is a command's output without its last line break.
func text(out []byte, err error) (string, error) {
	return strings.TrimSuffix(string(out), "\n"), err
}

// code is the exit code that a git ended with, or -1.
func code(err error) int {
	var failed *CommandError
	if errors.As(err, &failed) {
		return failed.Code
	}
	return -1
}
