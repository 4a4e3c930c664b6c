package providers

import "testing"

// What ships passes the check that a user's own definition must pass.
func TestCatalogHasNoLintErrors(t *testing.T) {
	for _, name := range shipped(t) {
		for _, f := range Lint(shippedText(t, name)) {
			if f.Severity == Error {
				t.Errorf("%s.toml:%s", name, f)
			}
		}
	}
}
