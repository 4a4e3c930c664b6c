//go:build !linux

package e2e

import (
	"errors"
	"net/netip"
)

func ownAddress(_ string, addr netip.Addr) error {
	if addr.IsLoopback() {
		return nil
	}
	return errors.New("the test namespace needs Linux")
}
