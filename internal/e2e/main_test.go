// Package e2e drives the built binary with real clients in a namespace that is
// the test world: see internal/testkit.
package e2e

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"kb/internal/testkit"
)

// raced are the tests that run under the race detector. The others drive
// programs that are built without it, for a minute: the run without it, with
// KB_E2E=1, has them all.
const raced = "^(TestAttackScreen|TestFullAndReadOnlyDisks|TestLiveState|TestTranscript)$"

func TestMain(m *testing.M) {
	flag.Parse()
	if run := flag.Lookup("test.run"); testkit.RaceEnabled && os.Getenv("KB_E2E") == "" && run.Value.String() == "" {
		fmt.Println("under the race detector only", raced)
		if err := run.Value.Set(raced); err != nil {
			panic(err)
		}
	}
	testkit.Main(m)
}
