package secretref_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kb/internal/secretref"
)

func TestCommand(t *testing.T) {
	d := newDevice(t)
	d.program("words", `for w; do printf '<%s>' "$w"; done; echo; echo`)
	r := d.resolver()
	for ref, want := range map[string]string{
		`cmd:words a  b`:                        "<a><b>",
		`cmd:words 'a b' "c 'd'" e\ f '' g"h"i`: "<a b><c 'd'><e f><><gh" + "i>",
		`cmd:words '$HOME | ; *' "\"\\x" a~b`:   `<$HOME | ; *><"\x><a~b>`,
		`cmd:/bin/echo ` + canary:               canary,
		`cmd:sh -c 'printf %s "$0"' x`:          "x",
	} {
		gets(t, r, ref, want)
	}
	for ref, say := range map[string]string{
		`cmd:words | tee /tmp/x`: "quote the |", `cmd:words $HOME`: "quote the $", "cmd:words `id`": "quote the `", `cmd:words "$(id)"`: "single quotes",
		`cmd:words ~/x`: "quote the ~", `cmd:words 'a`: "not closed", `cmd:words "a`: "not closed", `cmd:words a\`: "backslash", "cmd:words a\nrm -rf x": "control character",
		`cmd:''`: "names no program", `cmd:./words`: "absolute path", `cmd:nothing-of-that-name`: "is not in PATH", "cmd:words \x1b[2J": "control character",
	} {
		refuses(t, r, ref, say)
	}
}

// TestProgramsAreGivenLittle: what a program sees of kb's environment.
func TestProgramsAreGivenLittle(t *testing.T) {
	d := newDevice(
		t, "KB_IDENTITY=AGE-SECRET", "KB_PASSPHRASE=p", "LD_PRELOAD=/evil.so", "DYLD_INSERT_LIBRARIES=/evil", "NODE_OPTIONS=--require=/evil", "PYTHONPATH=/evil",
		"BASH_ENV=/evil", "GODEBUG=http2debug=2", "SSL_CERT_FILE=/evil", "HTTPS_PROXY=http://evil", "AWS_ENDPOINT_URL=https://evil", "BW_SESSION=kept", "PERL5OPT=-Mevil",
	)
	d.program("seen", `env; echo "dir=$PWD"; if [ -t 0 ] || (: </dev/tty) 2>/dev/null; then echo terminal; fi`)
	v, err := resolve(d.resolver(), "cmd:seen")
	if err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"KB_", "evil", "GODEBUG", "terminal"} {
		if strings.Contains(v.Reveal(), never) {
			t.Errorf("a program sees %q:\n%s", never, v.Reveal())
		}
	}
	for _, always := range []string{"BW_SESSION=kept", "HOME=" + d.home, "dir=/"} {
		if !strings.Contains(v.Reveal(), always) {
			t.Errorf("a program does not see %q:\n%s", always, v.Reveal())
		}
	}
}

// TestErrorsShowNoValue: a program that fails after it printed the value, also
// to its standard error, with what a terminal obeys.
func TestErrorsShowNoValue(t *testing.T) {
	d := newDevice(t)
	d.program("fails", `echo `+canary+`; printf '\033[2J+ echo `+canary+`\nno such item\n' >&2; exit 3`)
	refuses(t, d.resolver(), "cmd:fails", "exit status 3: \ufffd[2J+ echo [redacted] no such item")
	d.program("much", `yes `+canary+` | head -c 200000`)
	refuses(t, d.resolver(), "cmd:much", "longer than 65536 bytes")
	d.program("nothing", `exit 0`)
	refuses(t, d.resolver(), "cmd:nothing", "nothing is there")
	_, err := resolve(d.resolver(), "file:/no/such/\x1b[31m\u202efile")
	shows(t, err, "control character")
	_, err = resolve(d.resolver(), "file:/no/such/\u202efile")
	shows(t, err, "\ufffdfile")
}

// TestProgramThatDoesNotEnd is ended with all that it started.
func TestProgramThatDoesNotEnd(t *testing.T) {
	d := newDevice(t)
	pids := filepath.Join(d.home, "pid")
	d.program("hangs", `sleep 300 & echo $! > `+pids+`; wait`)
	var pid int
	// On a busy machine half a second is over before the shell has started anything.
	for d.o.Timeout = 500 * time.Millisecond; pid == 0 && !t.Failed() && d.o.Timeout < time.Minute; d.o.Timeout *= 2 {
		refuses(t, d.resolver(), "cmd:hangs", "did not end within "+d.o.Timeout.String())
		data, _ := os.ReadFile(pids)
		fmt.Sscan(string(data), &pid)
	}
	if pid == 0 {
		t.Fatal("it started nothing")
	}
	for deadline := time.Now().Add(5 * time.Second); running(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d, which it started, goes on", pid)
		}
	}

	// Who gives up earlier is told so, and waits no longer.
	d.o.Timeout = 5 * time.Second
	d.program("hangs", `exec sleep 2`)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.resolver().Resolve(ctx, "cmd:hangs", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("who gave up was told %v", err)
	}
}

// running reports whether a process runs: a zombie, which nobody has waited for
// yet, does not.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

// TestAttackPath: an agent that starts kb with a PATH of its own.
func TestAttackPath(t *testing.T) {
	d := newDevice(t)
	d.o.Anchors = anchors{}
	d.program("op", "printf %s "+canary)
	gets(t, d.resolver(), "op://a/b/c", canary)
	evil := filepath.Dir(d.write("evil/op", "#!/bin/sh\ntouch "+d.home+"/taken\nprintf evil\n", 0o700))
	d.set("PATH=" + evil + ":" + d.vars["PATH"])
	gets(t, d.resolver(), "op://a/b/c", canary)
	if _, err := os.Stat(filepath.Join(d.home, "taken")); err == nil {
		t.Error("the other program ran")
	}
	// The control: without the device's memory it would have.
	d.o.Anchors = nil
	gets(t, d.resolver(), "op://a/b/c", "evil")

	d.o.Anchors = anchors{}
	gets(t, d.resolver(), "op://a/b/c", "evil")
	os.Remove(filepath.Join(evil, "op"))
	refuses(t, d.resolver(), "op://a/b/c", "is not there any more")
}

// TestAttackProgramInTheRepository: a program that came with the repository, or
// that others can write.
func TestAttackProgramInTheRepository(t *testing.T) {
	d := newDevice(t)
	op := d.write("src/api/node_modules/.bin/op", "#!/bin/sh\nprintf evil\n", 0o700)
	d.set("PATH=" + filepath.Dir(op) + ":" + d.vars["PATH"])
	gets(t, d.resolver(), "op://a/b/c", "evil") // the control: it is a program like others
	if err := os.MkdirAll(filepath.Join(d.home, "src/api/.git"), 0o700); err != nil {
		t.Fatal(err)
	}
	d.o.Dir = filepath.Join(d.home, "src/api/node_modules")
	refuses(t, d.resolver(), "op://a/b/c", "it is in the directory at hand")
	d.o.Dir = filepath.Dir(op)
	os.RemoveAll(filepath.Join(d.home, "src/api/.git"))
	refuses(t, d.resolver(), "op://a/b/c", "it is in the directory at hand")
	// A link from elsewhere leads to the same.
	if err := os.Symlink(op, filepath.Join(d.bin, "op")); err != nil {
		t.Fatal(err)
	}
	d.set("PATH=" + d.bin + ":/usr/bin:/bin")
	refuses(t, d.resolver(), "op://a/b/c", "it is in the directory at hand")
	d.o.Dir = d.home // a home is no project
	gets(t, d.resolver(), "op://a/b/c", "evil")

	// "." and "" in PATH are wherever kb is.
	t.Chdir(filepath.Dir(op))
	d.o.Dir = "/"
	os.Remove(filepath.Join(d.bin, "op"))
	for _, path := range []string{"PATH=.:/usr/bin", "PATH=:/usr/bin", "PATH=bin:/usr/bin"} {
		d.set(path)
		refuses(t, d.resolver(), "op://a/b/c", "is not in PATH")
	}

	shared := filepath.Join(d.home, "shared")
	d.write("shared/op", "#!/bin/sh\nprintf evil\n", 0o700)
	d.set("PATH=" + shared + ":/usr/bin:/bin")
	gets(t, d.resolver(), "op://a/b/c", "evil")
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	refuses(t, d.resolver(), "op://a/b/c", "everybody can write "+shared)
}

// TestCommandIsPinnedByContent: another program at the same path is another
// source.
func TestCommandIsPinnedByContent(t *testing.T) {
	d := newDevice(t)
	path := d.program("token", "printf one")
	r := d.resolver()
	agreed, err := r.Source(context.Background(), "cmd:token")
	if err != nil || agreed.Path != path || agreed.Sum == "" {
		t.Fatalf("Source = %v, %v", agreed, err)
	}
	no := errors.New("not agreed")
	allow := func(s secretref.Source) error {
		if s != agreed {
			return no
		}
		return nil
	}
	if v, err := r.Resolve(context.Background(), "cmd:token", allow); err != nil || v.Reveal() != "one" {
		t.Errorf("resolves to %q, %v", v.Reveal(), err)
	}
	d.program("token", "printf two")
	if _, err := r.Resolve(context.Background(), "cmd:token", allow); !errors.Is(err, no) {
		t.Errorf("the changed program was run: %v", err)
	}
	if _, err := r.Cached("cmd:token", allow); !errors.Is(err, no) {
		t.Errorf("its value is still given: %v", err)
	}
}

// TestKept is about the memory: once for all who wait, for five minutes, and no
// longer than somebody says that the value is bad.
func TestKept(t *testing.T) {
	d := newDevice(t)
	c := newClock()
	d.o.Now = c.now
	d.program("count", `echo x >> `+d.home+`/runs; sleep 0.2; wc -l < `+d.home+`/runs`)
	r := d.resolver()
	if _, err := r.Cached("cmd:count", nil); !errors.Is(err, secretref.ErrNotYet) {
		t.Errorf("before it was fetched: %v", err)
	}
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { gets(t, r, "cmd:count", "1") })
	}
	all.Wait()
	c.move(secretref.Keep - time.Second)
	gets(t, r, "cmd:count", "1")
	if v, err := r.Cached("cmd:count", nil); err != nil || v.Reveal() != "1" {
		t.Errorf("Cached = %q, %v", v.Reveal(), err)
	}
	c.move(2 * time.Second)
	if _, err := r.Cached("cmd:count", nil); !errors.Is(err, secretref.ErrNotYet) {
		t.Errorf("when it is too old: %v", err)
	}
	gets(t, r, "cmd:count", "2")
	r.Forget("cmd:count")
	gets(t, r, "cmd:count", "3")
	// A failure is not asked for again at once, and not for long.
	d.program("count", `echo x >> `+d.home+`/runs; exit 1`)
	r.Forget("cmd:count")
	refuses(t, r, "cmd:count", "exit status 1")
	refuses(t, r, "cmd:count", "exit status 1")
	c.move(6 * time.Second)
	refuses(t, r, "cmd:count", "exit status 1")
	if data, _ := os.ReadFile(filepath.Join(d.home, "runs")); len(data) != 10 {
		t.Errorf("the program ran %d times, want 5", len(data)/2)
	}
}
