package e2e

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// ownAddress gives the loopback interface of the test namespace one more IPv4
// address. It takes CAP_NET_ADMIN, which tests have where root runs them.
func ownAddress(alias string, addr netip.Addr) error {
	if addr.IsLoopback() {
		return nil
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	request, err := unix.NewIfreq(alias)
	if err != nil {
		return err
	}
	b := addr.As4()
	if err := request.SetInet4Addr(b[:]); err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFADDR, request); err != nil {
		return err
	}
	if request, err = unix.NewIfreq(alias); err != nil {
		return err
	}
	if err := request.SetInet4Addr([]byte{255, 255, 255, 255}); err != nil {
		return err
	}
	return unix.IoctlIfreq(fd, unix.SIOCSIFNETMASK, request)
}
