package providers

import "testing"

// A rule that denies is held against the path that a lenient server would see.
func TestLenientPath(t *testing.T) {
	for path, want := range map[string]string{
		"/repos/acme/api":                   "/repos/acme/api",
		"/repos/acme%2Fapi":                 "/repos/acme/api",
		"/repos/acme;v=1/api;x/issues":      "/repos/acme/api/issues",
		"/repos/acme%3Bv=1/api":             "/repos/acme/api",
		"/repos%2Facme%2Fapi%3Bx%2Fissues":  "/repos/acme/api/issues",
		"/repos/acme/api/contents/a%20b%3F": "/repos/acme/api/contents/a%20b%3F",
		"/":                                 "/",
	} {
		if got := LenientPath(path); got != want {
			t.Errorf("LenientPath(%q) = %q, want %q", path, got, want)
		}
	}
}
