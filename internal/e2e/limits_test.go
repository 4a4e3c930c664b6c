package e2e

import (
	"os"
	"testing"
	"time"
)

const (
	liveLimit  = time.Second      // within it a change must take effect
	eventually = 10 * time.Second // for a program to do something small
)

// needsE2E keeps a test that takes long out of an ordinary go test ./...
func needsE2E(t *testing.T) {
	t.Helper()
	if os.Getenv("KB_E2E") != "1" {
		t.Skip("skipped: takes long; set KB_E2E=1, or run task e2e")
	}
}
