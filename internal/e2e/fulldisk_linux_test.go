package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"kb/internal/testkit"
)

// diskScript runs where it may mount: the vault and the state are on small
// disks of their own, which are filled, and made read-only, one after the
// other. It prints "== NAME CODE" and what each command said, "= KEY VALUE"
// for what it looked at.
const diskScript = `
cd "$HOME" && mkdir vault state || exit 91
for d in vault state; do
	mount -t tmpfs -o size=512k,mode=700 none "$HOME/$d" || exit 90
done
export XDG_STATE_HOME="$HOME/state"
step() {
	name=$1; shift
	printf 'ghp_kbCanary0000000000000000000000000001\n' | "$@" >"$TMPDIR/out" 2>"$TMPDIR/err"
	echo "== $name $?"; cat "$TMPDIR/out" "$TMPDIR/err"
}
look() {
	echo "= $1 $(cat vault/vault.age | sha256sum | cut -c1-16) $(find vault state -name '.*kb-tmp*' | wc -l)"
}
fill() { cat /dev/zero >"$1/fill" 2>/dev/null; }
fill vault
step init-vault-full kb init --vault "$HOME/vault/vault.age"
rm vault/fill; fill state
step init-state-full kb init --vault "$HOME/vault/vault.age"
rm state/fill
step init kb init --vault "$HOME/vault/vault.age"
step add kb profile add work
for d in vault state; do
	for how in full ro; do
		look before-$d-$how
		if [ $how = full ]; then fill $d; else mount -o remount,ro "$HOME/$d" || exit 90; fi
		step profile-$d-$how kb profile add other-$d-$how
		step login-$d-$how kb login github -p work --stdin --no-verify
		step ls-$d-$how kb profile ls
		look after-$d-$how
		if [ $how = full ]; then rm $d/fill; else mount -o remount,rw "$HOME/$d"; fi
		step again-$d-$how kb profile add other-$d-$how
	done
done
step login kb login github -p work --stdin --no-verify
look end
step status kb status
`

// A full disk and a read-only one, for real: the verbs that save say one thing,
// with what to do about it, leave the vault as it was and no temporary file,
// and work again once there is room. The controls are the same verbs
// afterwards.
func TestFullAndReadOnlyDisks(t *testing.T) {
	kb := testkit.BuildKB(t)
	home := testkit.NewHome(t)
	bin := home.Dir + "/bin"
	if err := os.Mkdir(bin, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(kb, bin+"/kb"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", diskScript)
	cmd.Env = home.With("PATH=" + bin + ":" + os.Getenv("PATH"))
	// mount(8) wants to be root, which it is to its own namespace.
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() == 90:
		t.Skipf("no disks of its own: mounting is refused: %s", stderr.String())
	case err != nil && exit == nil:
		t.Skipf("no disks of its own: user and mount namespaces are refused: %v", err)
	case err != nil:
		t.Fatalf("the script: %v\n%s%s", err, stdout.String(), stderr.String())
	}
	saw := diskReport(t, stdout.String())
	refused := func(step, why, fix string) {
		t.Helper()
		s := saw.steps[step]
		lines := strings.Split(strings.TrimRight(s.said, "\n"), "\n")
		if s.code != 1 || !strings.Contains(s.said, why) || !strings.Contains(lines[len(lines)-1], fix) || len(lines) > 2 {
			t.Errorf("%s: exit %d, want one error with %q that ends with %q:\n%s", step, s.code, why, fix, s.said)
		}
	}
	worked := func(step string) {
		t.Helper()
		if s := saw.steps[step]; s.code != 0 || s.said == "" {
			t.Errorf("%s: exit %d\n%s", step, s.code, s.said)
		}
	}
	refused("init-vault-full", "no space left", "make room")
	refused("init-state-full", "no space left", "make room")
	worked("init")
	for _, d := range []string{"vault", "state"} {
		for how, want := range map[string][2]string{"full": {"no space left", "make room"}, "ro": {"read-only", "can be written"}} {
			at := d + "-" + how
			refused("profile-"+at, want[0], want[1])
			refused("login-"+at, want[0], want[1])
			worked("ls-" + at)
			if before, after := saw.looks["before-"+at], saw.looks["after-"+at]; before == "" || before != after {
				t.Errorf("%s: vault and temporary files were %q, and are %q", at, before, after)
			}
			if ls := saw.steps["ls-"+at].said; strings.Contains(ls, "other-"+at) {
				t.Errorf("%s: what was refused is there: %s", at, ls)
			}
			worked("again-" + at)
		}
	}
	worked("login")
	if end := saw.looks["end"]; !strings.HasSuffix(end, " 0") {
		t.Errorf("at the end there are temporary files: %q", end)
	}
	if s := saw.steps["status"].said; !strings.Contains(s, "github") {
		t.Errorf("the login that worked is not there: %s", s)
	}
	if strings.Contains(stdout.String()+stderr.String(), "kbCanary") {
		t.Error("a secret was printed")
	}
}

type diskStep struct {
	code int
	said string
}

type diskSaw struct {
	steps map[string]diskStep
	looks map[string]string
}

func diskReport(t *testing.T, out string) diskSaw {
	t.Helper()
	saw := diskSaw{map[string]diskStep{}, map[string]string{}}
	name := ""
	for line := range strings.Lines(out) {
		if look, ok := strings.CutPrefix(line, "= "); ok {
			key, value, _ := strings.Cut(strings.TrimSpace(look), " ")
			saw.looks[key], name = value, ""
			continue
		}
		if step, ok := strings.CutPrefix(line, "== "); ok {
			var code string
			name, code, _ = strings.Cut(strings.TrimSpace(step), " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				t.Fatal(fmt.Errorf("the script says %q: %w", line, err))
			}
			saw.steps[name] = diskStep{code: n}
			continue
		}
		s := saw.steps[name]
		s.said += line
		saw.steps[name] = s
	}
	return saw
}
