package e2e

import "testing"

// TestPolicyPage types docs/policy.md.
func TestPolicyPage(t *testing.T) {
	typePage(t, "../../docs/policy.md", 21)
}

// TestSessionsPage types docs/sessions.md.
func TestSessionsPage(t *testing.T) {
	typePage(t, "../../docs/sessions.md", 17)
}
