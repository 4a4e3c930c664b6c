package main

import (
	"bytes"
	"context"
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

// errNamespace says that the machine refuses namespaces: nothing can be
// measured, and that is not a failure.
var errNamespace = errors.New("no namespace")

// enter runs this program again, in user, network and mount namespaces of its
// own where dir's files stand in /etc, and waits for its end.
func enter(ctx context.Context, dir string, args []string) error {
	// Pdeathsig follows the thread that started the child, not the process.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd := exec.CommandContext(ctx, "/proc/self/exe", append([]string{"-role", roleSetup, "-dir", dir}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, &tee{os.Stderr, &stderr}
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
	}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &exit):
		return fmt.Errorf("%w: %w", errNamespace, err)
	case exit.ExitCode() == exitSetup:
		return fmt.Errorf("%w: %s", errNamespace, strings.TrimSpace(stderr.String()))
	}
	return fmt.Errorf("the benchmark ended with %w", err)
}

// setUp makes the files, addresses and ports of the namespaces, and goes on as
// the driver, without capabilities unless the user is root.
func setUp(dir string, args []string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	binds := map[string]string{"/etc/hosts": "hosts", "/etc/resolv.conf": "resolv.conf"}
	for _, b := range bundles {
		binds[b] = "roots.pem"
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
		if err := unix.Mount(filepath.Join(dir, file), real, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount over %q: %w", at, err)
		}
	}
	if err := loopback(); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	// The upstream is nobody special and yet listens on 443.
	const ports = "/proc/sys/net/ipv4/ip_unprivileged_port_start"
	if err := os.WriteFile(ports, []byte("0"), 0); err != nil { //nolint:gosec // exists already
		return fmt.Errorf("open low ports: %w", err)
	}
	runtime.LockOSThread() // capabilities belong to the thread that execs
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return err
	}
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return err
	}
	return unix.Exec(self, append([]string{os.Args[0], "-role", roleDriver, "-dir", dir}, args...), os.Environ())
}

// loopback brings lo up and gives it 203.0.113.0/24 (TEST-NET-3, RFC 5737),
// which the proxy's address filter lets pass.
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

// tee shows what it is given and keeps it.
type tee struct {
	shown *os.File
	kept  *bytes.Buffer
}

func (t *tee) Write(p []byte) (int, error) {
	t.kept.Write(p)
	return t.shown.Write(p)
}
