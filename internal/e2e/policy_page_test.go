package e2e

import "testing"

// TestPolicyPage types docs/policy.md.
func TestPolicyPage(t *testing.T) {
	typePage(t, "../../docs/policy.md", 17)
}
