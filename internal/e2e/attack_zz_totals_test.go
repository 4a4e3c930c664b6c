package e2e

import (
	"fmt"
	"testing"
)

// TestAttackTotals runs after the attacks: tests run in the order of their files.
func TestAttackTotals(t *testing.T) {
	n := attackTotals
	if n.cases == 0 {
		t.Skip("no attack ran")
	}
	fmt.Printf("attacks in all: %d cases, %d stopped, %d controls tripped\n", n.cases, n.stopped, n.controls)
	if n.stopped != n.cases || n.controls != n.cases {
		t.Errorf("of %d cases %d were stopped and %d controls tripped", n.cases, n.stopped, n.controls)
	}
}
