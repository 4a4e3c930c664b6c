package state

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"kb/internal/secret"
)

// The kernel's keyrings, as far as kb cares (keyrings(7)):
//
// A key can be read by whoever "possesses" it, which is to say finds it by way
// of a keyring of its own: of its thread, process or session. The user keyring
// is reachable by the user id alone: any process may link it into its session
// keyring, fresh or not, and possesses from then on all that is in it. No
// permissions on the key change that, for the owner's kb must be able to do
// the same. A session keyring is different: it is inherited, and a process
// that has joined a fresh one has no way back, for the old one grants its
// owner no link. So an identity is held in the session's keyring where the
// login made one (pam_keyinit(8)), in the user's where it did not, and the
// caller is told which.

// heldPermissions: all to a possessor, nothing to the user id, group, others.
const heldPermissions = 0x3f000000

// HoldIdentity leaves an unwrapped identity with the kernel for that long. It
// replaces what was held for the same file.
func HoldIdentity(identityPath string, identity secret.Value, d time.Duration) (Scope, error) {
	name, err := heldName(identityPath)
	if err != nil {
		return "", err
	}
	if d < time.Second || d > 365*24*time.Hour || identity.IsZero() {
		return "", fmt.Errorf("hold identity for %v: %w", d, ErrInvalid)
	}
	if err := DropIdentity(identityPath); err != nil && !errors.Is(err, ErrNotHeld) {
		return "", err
	}
	ring, scope, err := holdingRing()
	if err != nil {
		return "", err
	}
	// The key begins in this thread's keyring and is linked into the other
	// when its permissions and its end are set: at no time is it there without.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	key, err := unix.AddKey("user", name, []byte(identity.Reveal()), unix.KEY_SPEC_THREAD_KEYRING)
	if err != nil {
		return "", noKeyring(err)
	}
	defer func() { _, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_THREAD_KEYRING, 0, 0) }()
	if _, err = unix.KeyctlInt(unix.KEYCTL_SET_TIMEOUT, key, int(d/time.Second), 0, 0); err == nil {
		if err = unix.KeyctlSetperm(key, heldPermissions); err == nil {
			_, err = unix.KeyctlInt(unix.KEYCTL_LINK, key, ring, 0, 0)
		}
	}
	if err != nil {
		return "", fmt.Errorf("hold identity: %w", err)
	}
	return scope, nil
}

// holdingRing picks the keyring to hold an identity in.
func holdingRing() (ring int, scope Scope, err error) {
	user, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_KEYRING, true)
	if err != nil {
		return 0, "", noKeyring(err)
	}
	session, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
	if err != nil {
		return user, ScopeUser, nil
	}
	// Without a session keyring of its own, a process has the user's default
	// one, which links to the user keyring.
	fallback, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_USER_SESSION_KEYRING, false)
	if err == nil && fallback == session || !ownSession(session) {
		return user, ScopeUser, nil
	}
	return session, ScopeSession, nil
}

// ownSession reports whether a session keyring keeps out those that left it:
// its owner must not be able to link or search it by its number alone.
func ownSession(ring int) bool {
	d, err := unix.KeyctlString(unix.KEYCTL_DESCRIBE, ring)
	if err != nil {
		return false
	}
	var typ, name string
	var uid, gid int
	var perm uint32
	if n, err := fmt.Sscanf(splitDescription(d), "%s %d %d %x %s", &typ, &uid, &gid, &perm, &name); n < 4 && err != nil {
		return false
	}
	const userReach = 0x00380000 // user: search 0x08, link 0x10, setattr 0x20
	return perm&userReach == 0
}

// splitDescription turns "type;uid;gid;perm;name" into words.
func splitDescription(d string) string {
	b := []byte(d)
	for i := range b {
		if b[i] == ';' {
			b[i] = ' '
		}
	}
	return string(b)
}

// HeldIdentity returns the identity that is held for a file, or ErrNotHeld.
func HeldIdentity(identityPath string) (secret.Value, error) {
	name, err := heldName(identityPath)
	if err != nil {
		return secret.Value{}, err
	}
	runtime.LockOSThread() // the thread keyring is this thread's alone
	defer runtime.UnlockOSThread()
	for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING} {
		key, err := unix.KeyctlSearch(ring, "user", name, 0)
		if err != nil {
			continue
		}
		if v, err := readKey(key); err == nil {
			return v, nil
		}
		// Found by way of the user keyring, but not possessed: a process
		// whose session keyring does not lead there, as one that systemd
		// started. Possess it by the thread's own keyring for the reading.
		if _, err := unix.KeyctlInt(unix.KEYCTL_LINK, key, unix.KEY_SPEC_THREAD_KEYRING, 0, 0); err != nil {
			continue
		}
		v, err := readKey(key)
		_, _ = unix.KeyctlInt(unix.KEYCTL_UNLINK, key, unix.KEY_SPEC_THREAD_KEYRING, 0, 0)
		if err == nil {
			return v, nil
		}
	}
	return secret.Value{}, ErrNotHeld
}

func readKey(key int) (secret.Value, error) {
	// A payload of the type "user" has at most 32,767 bytes (keyrings(7)).
	buf := make([]byte, 32768)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, key, buf, 0)
	if err != nil {
		return secret.Value{}, err
	}
	v := secret.New(string(buf[:min(n, len(buf))]))
	clear(buf)
	return v, nil
}

// DropIdentity takes back what is held for a file, or returns ErrNotHeld.
func DropIdentity(identityPath string) error {
	name, err := heldName(identityPath)
	if err != nil {
		return err
	}
	dropped := false
	for _, ring := range []int{unix.KEY_SPEC_SESSION_KEYRING, unix.KEY_SPEC_USER_KEYRING} {
		// A key that has ended is still found, as an error, until the kernel
		// has collected it.
		key, err := unix.KeyctlSearch(ring, "user", name, 0)
		if err != nil {
			continue
		}
		// Not revoked: a revoked key lingers and would shadow a later one.
		if _, err := unix.KeyctlInt(unix.KEYCTL_INVALIDATE, key, 0, 0, 0); err != nil {
			return fmt.Errorf("drop identity: %w", err)
		}
		dropped = true
	}
	if !dropped {
		return ErrNotHeld
	}
	return nil
}

func noKeyring(err error) error {
	return fmt.Errorf("%w (the kernel or a sandbox refuses it: %w)", ErrNoKeyring, err)
}

// JoinFreshSessionKeyring gives the calling thread, and what it starts, an
// empty session keyring. There is no way back, so the caller locks its
// goroutine to the thread first (runtime.LockOSThread), and never unlocks it.
func JoinFreshSessionKeyring() error {
	// x/sys passes a name, and an empty one is refused; anonymous is a null.
	_, _, e := unix.Syscall6(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0, 0)
	if e != 0 {
		return fmt.Errorf("join fresh session keyring: %w", e)
	}
	return nil
}

// DenyKeyrings refuses the calling thread, and what it starts, every use of
// keyrings, for good: a seccomp filter answers add_key, request_key and keyctl
// with EPERM, as container runtimes do. It sets no_new_privs on the thread.
// The same holds for the thread as with JoinFreshSessionKeyring, which has to
// be called before. A program can only get round the filter by having
// something outside start another for it (systemd, a terminal multiplexer,
// cron).
func DenyKeyrings() error {
	prog := keyringFilter(keyringCalls())
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("deny keyrings: %w", err)
	}
	f := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, e := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(&f)))
	if e != 0 {
		return fmt.Errorf("deny keyrings: %w", e)
	}
	return nil
}

// heldName is the description under which an identity file's content is held.
// The kernel shows it to other users, so that it tells no path.
func heldName(identityPath string) (string, error) {
	p, err := filepath.Abs(identityPath)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		p = real
	}
	sum := sha256.Sum256([]byte("kb identity v1\x00" + p))
	return "kb:" + hex.EncodeToString(sum[:16]), nil
}
