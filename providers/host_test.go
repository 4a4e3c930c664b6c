package providers

import (
	"strings"
	"testing"
)

func TestMatchHost(t *testing.T) {
	for _, row := range []struct {
		pattern, host string
		port          uint16
		want          bool
	}{
		{"good.com", "good.com", 443, true},
		{"good.com", "good.com", 8443, false},
		{"good.com", "good.com", 80, false},
		{"good.com:8443", "good.com", 8443, true},
		{"good.com:8443", "good.com", 443, false},
		{"good.com", "evilgood.com", 443, false},
		{"good.com", "good.com.evil", 443, false},
		{"good.com", "a.good.com", 443, false},
		{"good.com", "GOOD.com", 443, false}, // not canonical: fails closed
		{"good.com", "good.com.", 443, false},
		{"good.com", "", 443, false},
		{"*.good.com", "a.good.com", 443, true},
		{"*.good.com", "a.b.good.com", 443, true},
		{"*.good.com", "good.com", 443, false},
		{"*.good.com", ".good.com", 443, false},
		{"*.good.com", "a..good.com", 443, false},
		{"*.good.com", "evilgood.com", 443, false},
		{"*.good.com", "a.good.com.", 443, false},
		{"*.good.com", "a.good.com.evil", 443, false},
		{"*.good.com:8443", "a.good.com", 443, false},
		{"[2001:db8::1]:8443", "2001:db8::1", 8443, true},
		{"192.0.2.1", "192.0.2.1", 443, true},
		{"*", "good.com", 443, false},
		{"*.*.com", "a.b.com", 443, false},
		{"good.*", "good.com", 443, false},
		{"{host}", "{host}", 443, false},
		{"", "", 443, false},
	} {
		if got := MatchHost(row.pattern, row.host, row.port); got != row.want {
			t.Errorf("MatchHost(%q, %q, %d) = %v", row.pattern, row.host, row.port, got)
		}
	}
}

func TestCanonicalHost(t *testing.T) {
	for in, want := range map[string]string{
		"API.GitHub.com":    "api.github.com",
		"api.github.com.":   "api.github.com",
		"bücher.example":    "xn--bcher-kva.example",
		"BÜCHER.example":    "xn--bcher-kva.example",
		"xn--bcher-kva.com": "xn--bcher-kva.com",
		"ｇithub.com":        "github.com", // fullwidth g, as UTS #46 maps it
		"[2001:DB8::1]":     "2001:db8::1",
		"192.0.2.1":         "192.0.2.1",
		"gitea":             "gitea",
	} {
		got, err := CanonicalHost(in)
		if err != nil || got != want {
			t.Errorf("CanonicalHost(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	// Cyrillic а: another name, and not a way to write github.com.
	if got, err := CanonicalHost("githubа.com"); err == nil && !strings.HasPrefix(got, "xn--") {
		t.Errorf("a Cyrillic look-alike became %q", got)
	}
	for _, in := range []string{
		"", ".", "a..b", ".a", "a b", "a/b", "a@b", "a:80", "-a.com", "a-.com", "a_b.com", "*.a.com",
		"0\x95", "127.1", "2130706433", "0x7f000001", "0x7f.1", "[192.0.2.1]", "[::1", "::1%lo", "xn--a", "a\x00b",
		strings.Repeat("a", 64) + ".com", strings.Repeat("a.", 127) + "com",
	} {
		if got, err := CanonicalHost(in); err == nil {
			t.Errorf("CanonicalHost(%q) = %q", in, got)
		}
	}
}

func TestSplitHost(t *testing.T) {
	for pattern, want := range map[string]struct {
		name string
		port uint16
	}{
		"api.github.com":     {"api.github.com", 443},
		"*.ghe.com:8443":     {"*.ghe.com", 8443},
		"[2001:db8::1]:8443": {"2001:db8::1", 8443},
	} {
		if name, port, err := SplitHost(pattern); err != nil || name != want.name || port != want.port {
			t.Errorf("SplitHost(%q) = %q, %d, %v", pattern, name, port, err)
		}
	}
	for _, pattern := range []string{"a.com:0", "a.com:65536", "a.com:x", "a.com:", "a.com:+1", "a.com:080", "A.com", "[::1]8443"} {
		if _, _, err := SplitHost(pattern); err == nil {
			t.Errorf("SplitHost(%q) took it", pattern)
		}
	}
}
