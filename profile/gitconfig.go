package profile

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// gitTimeout bounds git's reading of its configuration, which takes 2 ms.
	// An include can name a FIFO or a file on a dead network share.
	gitTimeout = 2 * time.Second
	// maxConfig bounds a configuration, in bytes. A repository with 10,000
	// tracked branches has 1 MiB.
	maxConfig = 4 << 20
)

// setting is one line of git's effective configuration, in git's order: of the
// settings of one key, the last one wins.
type setting struct {
	section string // lower case
	name    string // subsection, case kept
	named   bool   // there is a subsection; its name may still be empty
	key     string // lower case
	value   string
	local   bool // from the repository, not from the user or the system
}

// configuration failures, as Workspace.Note words them.
var (
	errConfigTimeout = errors.New("git took longer than 2 s to read the configuration")
	errConfigSize    = errors.New("its configuration is larger than 4 MiB")
	errConfigFailed  = errors.New("git cannot read its configuration")
	errForeign       = errors.New("owned by another user, or git refuses it (safe.directory)")
)

// gitConfig asks git for the configuration that holds in the repository. It
// runs in the repository's root, so that git finds it and applies its own
// ownership test, and not with GIT_DIR, which would turn that test off: for a
// repository that git does not trust it lists the user's settings only.
func gitConfig(ctx context.Context, l *layout, env Env) ([]setting, error) {
	for _, name := range []string{"config", "config.worktree"} {
		dir := l.commonDir
		if name != "config" {
			dir = l.gitDir
		}
		// Git would wait for ever for a FIFO here, and read all of the rest.
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil {
			if !fi.Mode().IsRegular() {
				return nil, errConfigFailed
			}
			if fi.Size() > maxConfig {
				return nil, errConfigSize
			}
		}
	}
	out, err := runBounded(ctx, l.root, gitEnviron(l, env), maxConfig,
		env.Git, "--no-pager", "config", "-z", "--list", "--show-scope", "--includes")
	if err != nil {
		return nil, err
	}
	settings, local := parseConfig(out)
	if !local {
		return nil, errForeign
	}
	return settings, nil
}

// gitEnviron is the whole environment of the git that kb asks.
func gitEnviron(l *layout, env Env) []string {
	out := []string{
		"LC_ALL=C",
		"GIT_CEILING_DIRECTORIES=" + filepath.Dir(l.root), // this repository or none
		"GIT_OPTIONAL_LOCKS=0",
		"GIT_TERMINAL_PROMPT=0",
		"GIT_TRACE2=0", "GIT_TRACE2_EVENT=0", "GIT_TRACE2_PERF=0", // trace2.* settings write files
	}
	if env.Home != "" { // with an empty one git would read /.gitconfig
		out = append(out, "HOME="+env.Home)
	}
	for _, kv := range env.Environ {
		name, _, _ := strings.Cut(kv, "=")
		switch name {
		case "XDG_CONFIG_HOME", "GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM":
			out = append(out, kv)
		case "SUDO_UID": // whose repositories root's git trusts besides root's
			if os.Geteuid() == 0 {
				out = append(out, kv)
			}
		}
	}
	return out
}

// parseConfig takes git's answer apart: scope NUL key LF value NUL, where a
// key without a value has no LF. It reports whether the repository's own file
// is in it.
func parseConfig(out []byte) (settings []setting, local bool) {
	for len(out) > 0 {
		var scope, entry []byte
		scope, out, _ = bytes.Cut(out, []byte{0})
		entry, out, _ = bytes.Cut(out, []byte{0})
		var s setting
		s.local = string(scope) == "local" || string(scope) == "worktree"
		local = local || string(scope) == "local"
		key, value, ok := strings.Cut(string(entry), "\n")
		if s.value = value; !ok {
			s.value = "true"
		}
		first, last := strings.IndexByte(key, '.'), strings.LastIndexByte(key, '.')
		if first < 0 {
			continue
		}
		s.section, s.key = key[:first], key[last+1:]
		if last > first {
			s.name, s.named = key[first+1:last], true
		}
		settings = append(settings, s)
	}
	return settings, local
}

// runBounded runs a program in its own process group and returns at most
// limit bytes of its output. On time-out, cancellation and too much output
// the whole group is killed.
func runBounded(ctx context.Context, dir string, environ []string, limit int64, argv ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, gitTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...) //nolint:gosec // the caller resolved it
	cmd.Dir, cmd.Env = dir, environ
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 100 * time.Millisecond // a grandchild in another group may hold the pipe
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errConfigFailed
	}
	// A killed child whose own child keeps the pipe open would block the read.
	stop := context.AfterFunc(ctx, func() { _ = stdout.Close() })
	defer stop()
	out, rerr := io.ReadAll(io.LimitReader(stdout, limit+1))
	tooMuch := int64(len(out)) > limit
	if tooMuch {
		cancel()
	}
	werr := cmd.Wait()
	switch {
	case tooMuch:
		return nil, errConfigSize
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, errConfigTimeout
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case rerr != nil || werr != nil:
		return nil, errConfigFailed
	}
	return out, nil
}
