package testkit

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

// The environment that carries state from one stage of [Main] to the next.
const (
	stageVar  = "KB_TESTKIT_STAGE"  // "setup" in the new namespaces, "inside" once they are ready
	dirVar    = "KB_TESTKIT_DIR"    // holds the files that stand for those of /etc
	reasonVar = "KB_TESTKIT_REASON" // why there is no namespace
)

var inside = sync.OnceValues(func() (*CA, error) {
	if os.Getenv(stageVar) != "inside" {
		reason := os.Getenv(reasonVar)
		if reason == "" {
			reason = "TestMain does not call testkit.Main"
		}
		return nil, fmt.Errorf("no test namespace: %s", reason)
	}
	ca, err := NewCA("kb test world")
	if err != nil {
		return nil, err
	}
	// In place: the mount in /etc shows this very file.
	return ca, os.WriteFile(systemBundle(), ca.PEM(), 0o600)
})

// Inside reports whether this process runs in the test namespace, and if not,
// why.
func Inside() (bool, string) {
	if _, err := inside(); err != nil {
		return false, err.Error()
	}
	return true, ""
}

// Namespace makes a world for programs of their own, or skips the test where
// there can be none. One such world exists at a time: tests that use it must
// not be parallel.
func Namespace(t testing.TB) *World {
	t.Helper()
	ca, err := inside()
	if err != nil {
		t.Skip(err)
	}
	return newWorld(t, ca, true)
}

// hostsFile and systemBundle are what mounts in /etc show.
func hostsFile() string    { return os.Getenv(dirVar) + "/hosts" }
func systemBundle() string { return os.Getenv(dirVar) + "/ca-certificates.crt" }

const hostsHead = "127.0.0.1 localhost\n::1 localhost\n"

// writeHosts lets the namespace's /etc/hosts say exactly names.
func writeHosts(names map[string][]netip.Addr) {
	lines := []string{}
	for name, addrs := range names {
		for _, a := range addrs {
			lines = append(lines, a.String()+" "+name+"\n")
		}
	}
	slices.Sort(lines)
	// In place and not renamed into place: the mount pins the file.
	if err := os.WriteFile(hostsFile(), []byte(hostsHead+strings.Join(lines, "")), 0o600); err != nil {
		panic(err)
	}
}
