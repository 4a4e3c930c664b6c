package e2e

import "testing"

// TestDashboardPage types docs/dashboard.md.
func TestDashboardPage(t *testing.T) {
	typePage(t, "../../docs/dashboard.md", 2)
}
