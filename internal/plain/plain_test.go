package plain_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"kb/internal/plain"
)

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"":                                "",
		"api.github.com":                  "api.github.com",
		"~`!@#$%^&*()_+{}|:\"<>?":         "~`!@#$%^&*()_+{}|:\"<>?",
		"ünïcode 日本語 👩\u200d💻":            "ünïcode 日本語 👩\u200d💻",
		"\x1b[2Jgone":                     "\ufffd[2Jgone",
		"a\r\nb\tc\x00d\x7f":              "a\ufffd\ufffdb\ufffdc\ufffdd\ufffd",
		"\u009b31mred":                    "\ufffd31mred",
		"acme\u202eelpmaxe.live":          "acme\ufffdelpmaxe.live",
		"\u200e\u200f\u061c\u2066\u2069":  "\ufffd\ufffd\ufffd\ufffd\ufffd",
		"a\u2028b\u2029c":                 "a\ufffdb\ufffdc",
		"zero\u200bwidth\ufeff":           "zero\ufffdwidth\ufffd",
		"tags \U000e0041\U000e007f":       "tags \ufffd\ufffd",
		"latin-1 \xe9 and half \xe2\x82":  "latin-1 \ufffd and half \ufffd\ufffd",
		"a mark of its own \ufffd stays.": "a mark of its own \ufffd stays.",
	} {
		if got := plain.Clean(in); got != want {
			t.Errorf("Clean(%q) = %q, want %q", in, got, want)
		}
	}
}

// Unsafe is written as ranges; the standard tables are the other opinion.
func TestUnsafeAgainstUnicode(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		control := unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Bidi_Control, r)
		if control && !plain.Unsafe(r) {
			t.Errorf("%U is let through", r)
		}
		if plain.Unsafe(r) && (unicode.IsGraphic(r) || unicode.Is(unicode.Join_Control, r)) {
			t.Errorf("%U is something to see and is removed", r)
		}
	}
}

func TestCleanDoesNotAllocateForPlainText(t *testing.T) {
	s := strings.Repeat("api.github.com/repos/acme/api", 10)
	if n := testing.AllocsPerRun(100, func() { s = plain.Clean(s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x1b[2J\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := plain.Clean(s)
		if !utf8.ValidString(got) {
			t.Fatalf("Clean(%q) = %q, which is not UTF-8", s, got)
		}
		for _, r := range got {
			if plain.Unsafe(r) {
				t.Fatalf("Clean(%q) = %q, which holds %U", s, got, r)
			}
		}
		if n := utf8.RuneCountInString(s); utf8.RuneCountInString(got) != n {
			t.Fatalf("Clean(%q) has %d characters, the text %d", s, utf8.RuneCountInString(got), n)
		}
		if again := plain.Clean(got); again != got {
			t.Fatalf("Clean(%q) is not clean: %q", s, again)
		}
	})
}
