package tui

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kb/internal/hint"
)

func noEnv(string) string { return "" }

func TestReadLooks(t *testing.T) {
	t.Parallel()
	l, err := ReadLooks([]byte(`
[ui]
theme = "light"
ascii = true

[ui.colors]
accent = 6

[keys]
"any.help" = ["?", "f1"]
logins.refresh = "ctrl+x"
any.mark = "space"
`), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	if !l.Light || !l.ASCII || l.NoColor || l.ReduceMotion || l.Colors["accent"] != 6 {
		t.Errorf("read %+v", l)
	}
	m, err := newKeymap(l.Keys)
	if err != nil {
		t.Fatal(err)
	}
	for key, id := range map[string]string{"f1": "any.help", "?": "any.help", "ctrl+x": "logins.refresh", " ": "any.mark"} {
		if !m.is(key, id) {
			t.Errorf("%q is not %s", key, id)
		}
	}
	if m.is("r", "logins.refresh") {
		t.Error("the built-in key stays beside one's own")
	}
}

func TestLooksOfTheEnvironment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, value string
		want        func(Looks) bool
	}{
		{"NO_COLOR", "0", func(l Looks) bool { return l.NoColor }}, // a word, no boolean
		{"NO_COLOR", "", func(l Looks) bool { return !l.NoColor }},
		{"KB_REDUCE_MOTION", "1", func(l Looks) bool { return l.ReduceMotion }},
		{"COLORFGBG", "0;15", func(l Looks) bool { return l.Light }},
		{"COLORFGBG", "0;default;7", func(l Looks) bool { return l.Light }},
		{"COLORFGBG", "15;0", func(l Looks) bool { return !l.Light }},
		{"COLORFGBG", "7;8", func(l Looks) bool { return !l.Light }},
		{"COLORFGBG", "default", func(l Looks) bool { return !l.Light }},
	} {
		l, err := ReadLooks(nil, func(name string) string {
			if name == c.name {
				return c.value
			}
			return ""
		})
		if err != nil || !c.want(l) {
			t.Errorf("%s=%q: %+v, %v", c.name, c.value, l, err)
		}
	}
}

func TestWrongLooksNameLineAndFix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, fix string }{
		{"[ui]\ntheme = \"blue\"\n", `line 2: ui.theme is "blue"`, "auto"},
		{"[ui]\nascii = true\nfancy = 1\n", `line 3: there is no setting "ui.fancy"`, "kb config set"},
		{"isolation = \"audited\"\n", `line 1: there is no setting "isolation"`, "what carries trust is set by kb config set"},
		{"[ui]\nascii = 3\n", "line 2: ", "that line"},
		{"[ui\n", "line 1: ", "that line"},
		{"[ui.colors]\naccent = 16\n", "line 2: colour 16 of accent", "0 to 15"},
		{"[ui.colors]\n\nbright = 1\n", `line 3: there is no colour role "bright"`, "accent"},
		{"[keys]\nlogins.frobnicate = \"x\"\n", `line 2: there is no action "logins.frobnicate"`, "docs/keys.md"},
		{"[keys]\n# mine\n\"logins.refresh\" = \"?\"\n", `line 3: logins.refresh and any.help are both on "?"`, "another key"},
		{"[keys]\nlogins.refresh = \"R\"\n", "logins.refreshall", "another key"},
		{"[keys]\nlogins.refresh = \"3\"\n", `any.screen3 are both on "3"`, "another key"},
		{"[keys]\nany.help = \"ctrl+c\"\n", "line 2: any.help is put on ctrl+c, which always quits", "another key"},
		{"[keys]\nany.help = \"hyper+x\"\n", `"hyper+x", which is no key`, "ctrl+x"},
		{"[keys]\nany.help = 3\n", "keys.any.help is no key", "list of keys"},
		{"[keys]\nany.help = [3]\n", "keys.any.help has a key that is no text", "list of keys"},
		{"[keys]\n\"\x1b[2Jx\" = \"x\"\n", "line 2: ", ""},
	} {
		_, err := ReadLooks([]byte(c.text), noEnv)
		if err == nil {
			t.Errorf("%q is taken", c.text)
			continue
		}
		if !strings.Contains(err.Error(), c.want) || !strings.Contains(hint.Fix(err), c.fix) || hint.Fix(err) == "" {
			t.Errorf("%q:\ngot  %v (%s)\nwant %s (%s)", c.text, err, hint.Fix(err), c.want, c.fix)
		}
		if strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q: the error has a control character", c.text)
		}
	}
}

func TestQuittingByCtrlCStays(t *testing.T) {
	t.Parallel()
	l, err := ReadLooks([]byte("[keys]\nany.quit = \"x\"\n"), noEnv)
	if err != nil {
		t.Fatal(err)
	}
	m, err := New(t.Context(), Options{Backend: &fake{}, Looks: l})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{"ctrl+c", "x"} {
		if !quits(m, k) {
			t.Errorf("%s does not quit", k)
		}
	}
	if quits(m, "q") {
		t.Error("q still quits")
	}
}

// TestLooksOfThePages: what the documents show of config.toml is one.
func TestLooksOfThePages(t *testing.T) {
	t.Parallel()
	for _, page := range []string{"dashboard.md", "keys.md"} {
		text, err := os.ReadFile(filepath.Join("..", "docs", page))
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ := strings.Cut(string(text), "```toml\n")
		example, _, found := strings.Cut(rest, "```")
		if !found {
			t.Fatalf("%s shows no settings", page)
		}
		l, err := ReadLooks([]byte(example), noEnv)
		if err != nil {
			t.Errorf("%s: %v", page, err)
		}
		if got := l.Keys["logins.refresh"]; !slices.Equal(got, []string{"f5", "r"}) || l.Colors["accent"] == 0 {
			t.Errorf("%s: read %+v", page, l)
		}
	}
}
