package proxy

import (
	"errors"
	"net/url"
	"strings"
	"testing"
)

func TestNormalPath(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                                  "/",
		"*":                                  "*",
		"/v1/user":                           "/v1/user",
		"/v1/user/":                          "/v1/user/",
		"/repos/acme/api/contents/a.b":       "/repos/acme/api/contents/a.b",
		"/api/v4/projects/acme%2Fapi":        "/api/v4/projects/acme%2Fapi",
		"/api/v4/projects/acme%2fapi/issues": "/api/v4/projects/acme%2Fapi/issues",
		"/%72epos/%7Eacme":                   "/repos/~acme",
		"/a%20b":                             "/a%20b",
		"/a+b;v=1":                           "/a+b;v=1",
		"/caf%C3%A9":                         "/caf%C3%A9",
		"/...":                               "/...",
		"/a..b/.git":                         "/a..b/.git",
		"/100%25":                            "/100%25",
		"/v1/models/a:generate":              "/v1/models/a:generate",
		"/@acme%2fpkg":                       "/@acme%2Fpkg",
	} {
		got, err := NormalPath(raw)
		if err != nil || got != want {
			t.Errorf("NormalPath(%q) = %q, %v, want %q", raw, got, err, want)
		}
	}
	for _, raw := range []string{
		"", "x", "//", "/a//b", "/a/./b", "/a/../b", "/..", "/.", "/a/..", "/a/%2e%2e/b", "/a/%2E/b", "/a/.%2e",
		"/ok/..%2f..%2fadmin", "/ok/..%2Fadmin", "/ok%2f..%2fadmin", "/ok%2f%2e%2e", "/a%2f%2fb", "/a%2f/b", "/a/%2fb",
		`/a\b`, "/a%5cb", "/a%5C..%5Cb", "/a%00", "/a%0d%0aX", "/a%7f", "/a/..;/b", "/a/..;x=1/b", "/a/%2e%2e%3b/b", "/a/.;/b",
		"/a%252e%252e", "/a%252fb", "/a%255cb", "/a%2500", "/a%25252f", "/a%ff", "/a%c0%ae", "/a%zz", "/a%2", "/a?b", "/a#b", "/a b",
	} {
		if got, err := NormalPath(raw); !errors.Is(err, ErrAmbiguousPath) {
			t.Errorf("NormalPath(%q) = %q, %v, want ErrAmbiguousPath", raw, got, err)
		}
	}
}

// What passes reads the same to a server that decodes as net/url does and to
// one that cleans the path first, and is its own normal form.
func FuzzNormalPath(f *testing.F) {
	for _, s := range []string{"/", "/a/b", "/a%2Fb", "/..%2f", "/%2e", "/a;b", "/%25", "/%c3%a9", "//", "/a\\b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		n, err := NormalPath(raw)
		if err != nil || n == "*" {
			return
		}
		again, err := NormalPath(n)
		if err != nil || again != n {
			t.Fatalf("NormalPath(%q) = %q, whose own form is %q, %v", raw, n, again, err)
		}
		a, errA := url.PathUnescape(raw)
		b, errB := url.PathUnescape(n)
		if errA != nil || errB != nil || a != b {
			t.Fatalf("%q and its normal form %q decode to %q and %q", raw, n, a, b)
		}
		for _, reading := range []string{n, a, strings.ReplaceAll(n, "%2F", "/"), strings.ReplaceAll(a, `\`, "/")} {
			if strings.Contains(reading+"/", "/../") || strings.Contains(reading+"/", "/./") || strings.Contains(reading, "//") || strings.ContainsRune(reading, 0) {
				t.Fatalf("%q passes as %q and can be read as %q", raw, n, reading)
			}
		}
	})
}
