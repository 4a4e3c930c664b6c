package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"kb/internal/atomicfile"
	"kb/internal/audit"
	"kb/internal/control"
)

// checkFiles: what only this user may read and write is so.
func checkFiles(_ context.Context, o *Options) Result {
	p := o.Paths
	var lines []string
	fix := ""
	look := func(path string, folder bool, open fs.FileMode, want string) {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		switch {
		case err != nil:
			lines = append(lines, err.Error())
		case info.IsDir() != folder:
			lines = append(lines, path+" is no "+map[bool]string{true: "folder", false: "file"}[folder])
		case !ours(info):
			lines = append(lines, path+" belongs to another user")
		case info.Mode().Perm()&open != 0:
			lines = append(lines, fmt.Sprintf("%s has mode %04o, which lets others in", path, info.Mode().Perm()))
			if fix == "" {
				fix = "run chmod " + want + " " + path
			}
		}
	}
	// The config folder may be read by others, as dotfiles are: what is in it is
	// encrypted. Who can write there could exchange the vault, which is noticed.
	look(p.Config, true, 0o022, "go-w")
	look(p.Vault(), false, 0o022, "go-w")
	look(p.State, true, 0o077, "700")
	look(p.IdentityFile(), false, 0o077, "600")
	look(p.WrappedIdentityFile(), false, 0o077, "600")
	look(filepath.Join(p.State, "state"), true, 0o077, "700")
	look(p.Audit(), true, 0o077, "700")
	if len(lines) > 0 {
		line, rest := listed(lines)
		return Result{Failed, line, "Another user of this machine could read the key that opens the vault, or put something in the place of kb's files. " + rest, fix}
	}
	return good("kb's folders and files are this user's alone")
}

func ours(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}

// socketPath is how long the path of a unix socket may be: 108 bytes with the
// NUL on Linux (unix(7)), 104 on macOS; ctl/ and its name take some 35.
const socketPath = 103 - 35

// checkRuntime: there is a folder for what lives as long as a session.
func checkRuntime(_ context.Context, o *Options) Result {
	dir := o.Paths.Runtime
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return good("%s is made by the first session", dir)
	case err != nil:
		return bad(Failed, err, "A session keeps its certificates there.")
	case !info.IsDir() || !ours(info) || info.Mode().Perm()&0o022 != 0:
		return Result{
			Failed, dir + " is not this user's alone", "Somebody else could exchange the certificates that a session trusts; kb exec refuses.",
			"run chmod 700 " + dir + ", and see who could write there",
		}
	case len(dir) > socketPath:
		return Result{
			Warning, fmt.Sprintf("%s is %d bytes long, too long for a socket in it", dir, len(dir)), "Sessions run, but cannot be seen, stopped or asked from outside.",
			"set XDG_RUNTIME_DIR to a shorter folder of mode 0700",
		}
	}
	return good("%s", dir)
}

// checkSessions: every session can be spoken to, and none has crashed.
func checkSessions(ctx context.Context, o *Options) Result {
	dir := o.Paths.Control()
	entries, err := control.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return good("none runs")
	}
	if err != nil {
		return bad(Failed, err, "Sessions cannot be seen, stopped or answered from outside.")
	}
	// All at once: an agent can fill the folder with names that answer late.
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	found := make([]string, len(entries))
	crashed := ""
	var asking sync.WaitGroup
	for i, e := range entries {
		if e.State == control.Crashed {
			found[i], crashed = "session "+e.ID+" was killed and left its socket", e.ID
			continue
		}
		asking.Go(func() {
			if _, err := control.NewClient(dir, e).Status(ctx); err != nil && !errors.Is(err, control.ErrGone) {
				found[i] = "session " + e.ID + ": " + err.Error()
			}
		})
	}
	asking.Wait()
	trouble := slices.DeleteFunc(found, func(line string) bool { return line == "" })
	if len(trouble) > 0 {
		line, rest := listed(trouble)
		fix := ""
		if crashed != "" {
			fix = "run kb session stop " + crashed
		}
		return Result{Warning, line, "What it had open is closed; its audit is whole up to the last second. " + rest, fix}
	}
	if len(entries) == 0 {
		return good("none runs")
	}
	return good("%s, and it can be spoken to", plural(len(entries), "session"))
}

// checkIsolation says how far an agent is kept from kb's own secrets here.
func checkIsolation(ctx context.Context, o *Options) Result {
	tier := "hardened"
	if b, err := o.Open(ctx); err == nil {
		if set, err := b.DefaultTier(); err == nil && set == "off" {
			return Result{
				Warning, "off by the setting of this device", "An agent is handed no secret, and nothing stops it from taking one out of kb's memory.",
				"run kb config set isolation auto",
			}
		}
		if files := b.ReadableCredentials(); len(files) > 0 {
			return Result{
				Warning, fmt.Sprintf("tier %s: an agent can read %s", tier, plural(len(files), "file")+" with credentials"),
				"kb's memory is closed to an agent, your files are not, and it can reach the network past the proxy; the tiers above need namespaces and are not in this version. It can read " +
					strings.Join(files, ", ") + ".",
				"",
			}
		}
	}
	r := good("tier %s: kb's memory is closed to an agent, your files and the network are not", tier)
	r.Why = "The tiers above, hidden and locked, are not in this version of kb."
	if runtime.GOOS != "linux" {
		r.Why += " On this system it is the system itself that closes kb's memory, for binaries with a hardened runtime."
	}
	return r
}

// checkTrace: nobody attached to kb before it closed its memory.
func checkTrace(_ context.Context, o *Options) Result {
	switch {
	case o.Traced == nil || runtime.GOOS != "linux":
		return skipped("this system does not tell")
	case o.Traced():
		return Result{
			Failed, "another process traces kb", "It sees what kb decrypts. Some sandboxes trace all that they run; a debugger that you did not start should not be there.",
			"see TracerPid in /proc/PID/status, and run kb outside of it",
		}
	}
	return good("no process traces kb")
}

// clockOff is by how much stamps may be ahead of the clock: two devices differ by
// that much where neither is wrong.
const clockOff = 2 * time.Minute

// checkClock compares the clock with the newest stamps that kb has written. A
// clock that is behind makes ended tokens look good, and has signatures refused.
// No server is asked.
func checkClock(ctx context.Context, o *Options) Result {
	now := o.Now()
	var newest time.Time
	what := ""
	look := func(t time.Time, of string) {
		if t.After(newest) {
			newest, what = t, of
		}
	}
	if events, err := audit.Tail(o.Paths.Audit(), 1, audit.Filter{}); err == nil && len(events) > 0 {
		look(events[0].Time, "the newest audit line")
	}
	if b, err := o.Open(ctx); err == nil {
		c := b.All()
		for _, l := range c.Logins {
			look(l.Created, "a login of "+l.Profile)
		}
		for _, d := range b.Contents().Devices {
			look(d.Created, "device "+d.Name)
		}
	}
	switch {
	case newest.IsZero():
		return skipped("there is nothing to compare it with; no server is asked")
	case newest.Sub(now) > clockOff:
		return Result{
			Failed, fmt.Sprintf("this clock is at least %s behind: %s is from %s", newest.Sub(now).Round(time.Second), what, newest.Local().Format(time.DateTime)),
			"Tokens that have ended look good, and servers refuse what is signed with a wrong time. If it is that stamp that was wrong, this goes away with time.",
			"set the clock: timedatectl set-ntp true",
		}
	}
	return good("not behind what kb has written (%s, %s); no server was asked", what, newest.Local().Format(time.DateTime))
}

// maxConfig is what the dashboard takes of it (tui.MaxLooks).
const maxConfig = 64 << 10

// checkConfig: the file of looks and keys can be read.
func checkConfig(_ context.Context, o *Options) Result {
	path := filepath.Join(o.Paths.Config, "config.toml")
	data, err := atomicfile.ReadSmall(path, maxConfig)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return skipped("there is none: all is as built in")
	case err != nil:
		return Result{Failed, err.Error(), "The dashboard does not start with it.", "mend that file, or take it away"}
	case o.Config == nil:
		return skipped("it is not read here")
	}
	if err := o.Config(data); err != nil {
		r := bad(Failed, err, "The dashboard does not start with it: what it means to say cannot be guessed.")
		if r.Fix == "" {
			r.Fix = "mend " + path
		}
		return r
	}
	return good("%s is read", path)
}

// checkCommand: the program that is to be started is there.
func checkCommand(_ context.Context, o *Options) Result {
	path, err := exec.LookPath(o.Command)
	if errors.Is(err, exec.ErrDot) {
		err = nil
	}
	if err != nil {
		return Result{Failed, fmt.Sprintf("%s is not found", o.Command), "kb exec starts what PATH has.", "install it, or check PATH"}
	}
	return good("%s is %s", o.Command, path)
}

// Worst is the worst of what was found.
func Worst(reports []Report) State {
	for _, s := range []State{Failed, Warning} {
		if slices.ContainsFunc(reports, func(r Report) bool { return r.State == s }) {
			return s
		}
	}
	return OK
}
