// Package e2e drives the built binary with real clients in a namespace that is
// the test world: see internal/testkit.
package e2e

import (
	"testing"

	"kb/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
