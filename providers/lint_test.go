package providers

import (
	"strings"
	"testing"
)

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

// A finding names the line that is to be changed.
func TestLintNamesTheLine(t *testing.T) {
	for name, row := range map[string]struct{ old, new, line string }{
		"key of the head":             {`refresh = "none"`, `refresh = "often"`, `refresh = "often"`},
		"element of an array":         {`"*.git.acme.example"]`, "\n  \"*.git.acme.example\",\n  \"API.acme.example\"]", `  "API.acme.example"]`},
		"inline table":                {`"acme_{random36}"`, `"acme_{words}"`, `env = { ACME_TOKEN = "acme_{words}" }`},
		"second of an array of table": {`header = { Authorization = "Bearer {token}" }`, `header = { Authorization = "Bearer {key}" }`, `header = { Authorization = "Bearer {key}" }`},
		"table in a table":            {`is = "git.acme.example/{owner}/{name}"`, `is = "git.acme.example/{owner}/{nom}"`, `is = "git.acme.example/{owner}/{nom}"`},
		"field of a login":            {`'^acme_\w{36}$'`, `'acme'`, `pattern = 'acme'`},
		"missing key: its table":      {`name = "data.login"`, ``, `[identity]`},
		"unknown key":                 {`method = "POST"`, `methode = "POST"`, `methode = "POST"`},
		"syntax":                      {`refresh = "none"`, `refresh = none`, `refresh = none`},
		"wrong type":                  {`secret = true`, `secret = "yes"`, `secret = "yes"`},
	} {
		text := strings.Replace(sound, row.old, row.new, 1)
		want := 1 + strings.Count(text[:strings.Index(text, row.line)], "\n")
		findings := Lint([]byte(text))
		found := false
		for _, f := range findings {
			found = found || f.Severity == Error && f.Line == want
		}
		if !found {
			t.Errorf("%s: want an error on line %d, got %v", name, want, findings)
		}
	}
}

func TestLintWarns(t *testing.T) {
	text := strings.Replace(sound, `header = { Authorization = "Bearer {token}" }`, `query = { key = "{token}" }`, 1)
	text = strings.Replace(text, `source = "https://docs.acme.example/git"`, `unverified = true`, 1)
	said := ""
	for _, f := range Lint([]byte(text)) {
		if f.Severity != Warning {
			t.Errorf("an error: %s", f)
		}
		said += f.String() + "\n"
	}
	for _, want := range []string{"this rule is unverified", "a credential in a query ends up in logs"} {
		if !strings.Contains(said, want) {
			t.Errorf("said\n%swant %q", said, want)
		}
	}
	if findings := Lint([]byte(sound)); len(findings) != 0 {
		t.Errorf("the sound definition has findings: %v", findings)
	}
}
