package testkit

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bundles is where programs look for the system's roots: Debian, Fedora, and
// the name that OpenSSL is built with on most others. Those that exist are
// replaced inside.
var bundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/ca-bundle.pem",
	"/etc/ssl/cert.pem",
}

// Main runs the tests of a package inside the test namespace, or outside it
// where the machine refuses one; it does not return. Call it from TestMain.
//
// It runs the test binary twice more: once as the first process of new user,
// network and mount namespaces, with the capabilities that setting them up
// takes, and once from there with none, so that the tests are an ordinary
// user's (or root's, when root runs them).
func Main(m interface{ Run() int }) {
	switch os.Getenv(stageVar) {
	case "setup":
		err := setUp()
		if err == nil {
			err = become("inside")
		}
		fmt.Fprintln(os.Stderr, "testkit: set up namespace:", err)
		os.Exit(setUpFailed)
	case "inside":
		os.Exit(run(m))
	}
	code, err := enter()
	if err != nil {
		_ = os.Setenv(reasonVar, err.Error())
		fmt.Fprintln(os.Stderr, "testkit: no test namespace:", err)
		os.Exit(run(m))
	}
	os.Exit(code)
}

// setUpFailed is the exit code of a setup that failed; no test binary uses it.
const setUpFailed = 97

// enter runs this program again in new namespaces and returns its exit code.
func enter() (int, error) {
	dir, err := os.MkdirTemp("", "kb-testkit-")
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, content := range map[string]string{
		"hosts": hostsHead,
		// Nothing listens there, so that an unknown name fails at once.
		"resolv.conf":         "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
		"ca-certificates.crt": "",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			return 0, err
		}
	}

	// Pdeathsig follows the thread that started the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...) //nolint:noctx // ends with its parent, by Pdeathsig
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), stageVar+"=setup", dirVar+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		switch {
		case errors.Is(err, syscall.ENOSPC):
			return 0, errors.New("user namespaces are used up or off (sysctl user.max_user_namespaces)")
		case errors.Is(err, syscall.EPERM):
			return 0, errors.New("unprivileged user namespaces are forbidden (kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns, or a container's seccomp)")
		case !errors.As(err, &exit):
			return 0, fmt.Errorf("make user, network and mount namespaces: %w", err)
		case exit.ExitCode() == setUpFailed:
			return 0, errors.New("setting up the namespaces was refused (see the line above)")
		case exit.ExitCode() < 0:
			return 0x80, nil
		}
		return exit.ExitCode(), nil
	}
	return 0, nil
}

// setUp makes the files, addresses and ports of the namespaces.
func setUp() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	binds := map[string]string{"/etc/hosts": hostsFile(), "/etc/resolv.conf": os.Getenv(dirVar) + "/resolv.conf"}
	for _, b := range bundles {
		binds[b] = systemBundle()
	}
	for at, file := range binds {
		real, err := filepath.EvalSymlinks(at)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		// Two of the names may be one file; mounting twice is harmless.
		if err := unix.Mount(file, real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount over %q: %w", at, err)
		}
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	// The tests are nobody special and yet listen on 443.
	const ports = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
	if err := os.WriteFile(ports, []byte("0"), 0); err != nil { //nolint:gosec // exists already
		return fmt.Errorf("open low ports: %w", err)
	}
	return nil
}

// loopback brings lo up and gives it 203.0.113.0/24: of an address on the
// loopback interface, the whole network is local.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	up, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	up.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, up); err != nil {
		return err
	}
	for _, set := range []struct {
		request uint
		addr    [4]byte
	}{{unix.SIOCSIFADDR, [4]byte{203, 0, 113, 1}}, {unix.SIOCSIFNETMASK, [4]byte{255, 255, 255, 0}}} {
		alias, err := unix.NewIfreq("lo:1")
		if err != nil {
			return err
		}
		if err := alias.SetInet4Addr(set.addr[:]); err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, set.request, alias); err != nil {
			return err
		}
	}
	return nil
}

// become replaces this process by the next stage, without capabilities unless
// the user is root.
func become(stage string) error {
	runtime.LockOSThread() // capabilities belong to the thread that execs
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	env := []string{stageVar + "=" + stage}
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, stageVar+"=") {
			env = append(env, kv)
		}
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	return unix.Exec(self, os.Args, env)
}
