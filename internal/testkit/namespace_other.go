//go:build !linux

package testkit

import (
	"os"
)

// Main runs the tests of a package; those that call [Namespace] skip, since
// this system has no namespaces.
func Main(m interface{ Run() int }) {
	_ = os.Setenv(reasonVar, "only Linux has namespaces")
	os.Exit(run(m))
}
