package state_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kb/internal/secret"
	"kb/internal/state"
)

// The keyring tests run in children, each in the kind of session that it is
// about: a test process must not change its own for good.

const keyringRole = "KB_TEST_KEYRING_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(keyringRole); role != "" {
		runtime.LockOSThread() // session keyrings are a thread's
		fmt.Print(keyringChild(role))
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// keyringChild plays a role and says what it found.
func keyringChild(role string) string {
	path := os.Getenv("KB_TEST_KEYRING_PATH")
	join := func() {
		if err := state.JoinFreshSessionKeyring(); err != nil {
			fmt.Println("skip:", err)
			os.Exit(0)
		}
	}
	read := func() string {
		v, err := state.HeldIdentity(path)
		if err != nil {
			return "no: " + err.Error()
		}
		return "read " + v.Reveal()
	}
	hold := func() string {
		scope, err := state.HoldIdentity(path, secret.New("canary"), time.Minute)
		if errors.Is(err, state.ErrNoKeyring) {
			fmt.Println("skip:", err)
			os.Exit(0)
		}
		if err != nil {
			return "hold failed: " + err.Error()
		}
		return "held for " + string(scope)
	}
	again := func(role string) string { return spawn(role, path) }
	inNamespace := func(role string) string { return spawnIn(role, path, unix.CLONE_NEWUSER) }
	switch role {
	case "read":
		return read()
	case "thief-fresh":
		join()
		return thief(path)
	case "thief-denied":
		join()
		if err := state.DenyKeyrings(); err != nil {
			return "deny failed: " + err.Error()
		}
		return thief(path) + " / exec: " + again("thief-plain")
	case "thief-plain":
		return thief(path)
	case "login-session": // as pam_keyinit makes one
		join()
		out := hold()
		out += "; own child " + again("read") + "; agent " + again("thief-fresh") + "; self " + read()
		if err := state.DropIdentity(path); err != nil {
			out += "; drop failed: " + err.Error()
		}
		return out + "; dropped " + read()
	case "denied-works":
		if err := state.DenyKeyrings(); err != nil {
			return "skip: " + err.Error()
		}
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, false)
		out, err2 := exec.CommandContext(context.Background(), "/bin/sh", "-c", "echo ok").Output()
		if err2 != nil {
			return err2.Error()
		}
		return fmt.Sprintf("keyctl %v, ran %s", err, strings.TrimSpace(string(out)))
	case "supervisor":
		join()
		out := hold()
		done := make(chan string)
		go func() {
			// Never unlocked: the thread ends with the goroutine.
			runtime.LockOSThread()
			if err := errors.Join(state.JoinFreshSessionKeyring(), state.DenyKeyrings()); err != nil {
				done <- err.Error()
			}
			done <- again("thief-plain")
		}()
		return out + "; agent " + <-done + "; self " + read()
	case "session-and-namespace":
		join()
		return hold() + "; agent " + inNamespace("thief-fresh") + "; self " + read()
	case "user-and-namespace":
		out := hold() + "; agent " + inNamespace("thief-fresh") + "; denied " + inNamespace("thief-denied")
		_ = state.DropIdentity(path)
		return out
	case "end":
		join()
		out := hold() + "; "
		if _, err := state.HoldIdentity(path, secret.New("second"), time.Second); err != nil {
			return err.Error()
		}
		out += read()
		for range 500 { // the kernel ends it: 1 s, and no more than 5
			if _, err := state.HeldIdentity(path); errors.Is(err, state.ErrNotHeld) {
				return out + "; ended"
			}
			time.Sleep(10 * time.Millisecond) // the interval of the poll
		}
		return out + "; still held"
	case "no-session":
		out := hold()
		out += "; own child " + again("read") + "; agent " + again("thief-fresh") + "; denied " + again("thief-denied")
		if err := state.DropIdentity(path); err != nil {
			out += "; drop failed: " + err.Error()
		}
		return out + "; dropped " + read()
	}
	return "unknown role"
}

// thief tries every way to the key that keyrings(7) has for the same user.
func thief(path string) string {
	if v, err := state.HeldIdentity(path); err == nil {
		return "stole " + v.Reveal()
	}
	// By number, from what the kernel lists, by linking each thing listed.
	var ids []int
	held := map[int]bool{} // no others may be changed: they are the user's
	if b, err := os.ReadFile("/proc/keys"); err == nil {
		for line := range strings.Lines(string(b)) {
			var id int
			if _, err := fmt.Sscanf(line, "%x", &id); err == nil {
				ids = append(ids, id)
				held[id] = strings.Contains(line, "kb:")
			}
		}
	}
	ids = append(ids, unix.KEY_SPEC_USER_KEYRING, unix.KEY_SPEC_USER_SESSION_KEYRING)
	buf := make([]byte, 4096)
	for _, id := range ids {
		// A link replaces an earlier one to a key of the same name, so each is
		// tried out before the next is made.
		_, _ = unix.KeyctlInt(unix.KEYCTL_LINK, id, unix.KEY_SPEC_SESSION_KEYRING, 0, 0)
		if held[id] {
			_ = unix.KeyctlSetperm(id, 0x3f3f0000)
		}
		if v, err := state.HeldIdentity(path); err == nil {
			return "stole " + v.Reveal()
		}
		for _, id := range ids {
			if n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, buf, 0); err == nil && strings.Contains(string(buf[:min(n, len(buf))]), "canary") {
				return "stole canary" // by its number
			}
		}
	}
	return "got nothing"
}

func spawn(role, path string) string { return spawnIn(role, path, 0) }

func spawnIn(role, path string, namespaces uintptr) string {
	c := exec.CommandContext(context.Background(), "/proc/self/exe")
	if namespaces != 0 {
		same := func(id int) []syscall.SysProcIDMap {
			return []syscall.SysProcIDMap{{ContainerID: id, HostID: id, Size: 1}}
		}
		c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, UidMappings: same(os.Getuid()), GidMappings: same(os.Getgid())}
	}
	c.Env = append(os.Environ(), keyringRole+"="+role, "KB_TEST_KEYRING_PATH="+path)
	out, err := c.CombinedOutput()
	if namespaces != 0 && errors.Is(err, os.ErrPermission) {
		return "skip: no user namespaces: " + err.Error()
	}
	if err != nil {
		return fmt.Sprintf("failed: %v: %s", err, out)
	}
	return string(out)
}

func run(t *testing.T, role string) string {
	t.Helper()
	out := spawn(role, filepath.Join(t.TempDir(), "identity.age"))
	if strings.Contains(out, "skip:") {
		t.Skip(out)
	}
	return out
}

// Where the login made a session keyring, a child with a fresh one cannot get
// at the identity, and another process of the login can (the control).
func TestHeldIdentityIsOutOfReachOfAFreshSession(t *testing.T) {
	const want = "held for session; own child read canary; agent got nothing; self read canary; dropped no: identity is locked"
	if got := run(t, "login-session"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Where it made none, the user keyring has it. A fresh session keyring alone
// does not keep an agent from that, which is the control for the thief, and
// what ScopeUser says; a filter does.
func TestUserKeyringNeedsTheFilter(t *testing.T) {
	needNoSession(t)
	const want = "held for user; own child read canary; agent stole canary; denied got nothing / exec: got nothing; dropped no: identity is locked"
	if got := run(t, "no-session"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A user namespace changes nothing in either: the session's keyring is as far
// away, and the user's as near.
func TestUserNamespaceIsNoProtection(t *testing.T) {
	const want = "held for session; agent got nothing; self read canary"
	if got := run(t, "session-and-namespace"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	needNoSession(t)
	const wantUser = "held for user; agent stole canary; denied got nothing / exec: got nothing"
	if got := run(t, "user-and-namespace"); got != wantUser {
		t.Errorf("got  %s\nwant %s", got, wantUser)
	}
}

func needNoSession(t *testing.T) {
	t.Helper()
	s, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	us, err2 := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false)
	if err != nil || err2 != nil || s != us {
		t.Skip("this login has a session keyring of its own, or the kernel refuses keyctl")
	}
}

// The way a supervisor does it: only the thread that starts the agent is cut
// off, and kb itself still reads the identity.
func TestOnlyTheThreadThatStartsTheAgentIsCutOff(t *testing.T) {
	const want = "held for session; agent got nothing; self read canary"
	if got := run(t, "supervisor"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What is held later for the same file replaces what was, and ends when it was
// told to.
func TestHeldIdentityEnds(t *testing.T) {
	const want = "held for session; read second; ended"
	if got := run(t, "end"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestHoldIdentityRefuses(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, -time.Hour, 400 * 24 * time.Hour} {
		if _, err := state.HoldIdentity("/x", secret.New("x"), d); !errors.Is(err, state.ErrInvalid) {
			t.Errorf("for %v: %v", d, err)
		}
	}
	if _, err := state.HoldIdentity("/x", secret.Value{}, time.Hour); !errors.Is(err, state.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
}

// The filter refuses what it is for and nothing else: a denied process still
// opens files and starts programs (the control is its own output).
func TestKeyringFilterIsNarrow(t *testing.T) {
	if got := run(t, "denied-works"); got != "keyctl operation not permitted, ran ok" {
		t.Errorf("got %s", got)
	}
}
