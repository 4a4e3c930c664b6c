package adopt_test

import (
	"strings"
	"testing"

	"kb/internal/adopt"
)

// TestAttackTokenWithoutASignature: a program's JWT that nobody signed opens what
// it opens without one, so that its claims do not stay in the file.
func TestAttackTokenWithoutASignature(t *testing.T) {
	signed := jwt(`{"exp":1795000000}`)
	bare := signed[:strings.LastIndexByte(signed, '.')+1]
	for name, file := range map[string]struct{ at, content string }{
		"codex":      {".codex/auth.json", `{"tokens":{"id_token":"{}","access_token":"{}","refresh_token":"rt_x"}}`},
		"gemini-cli": {".gemini/oauth_creds.json", `{"access_token":"ya29.x","refresh_token":"1//x","id_token":"{}"}`},
	} {
		for token, stays := range map[string]bool{bare: false, signed: true} { // true is the positive control
			f, err := source(t, name).Find(home(t, file.at, strings.ReplaceAll(file.content, "{}", token)))
			if err != nil {
				t.Fatal(err)
			}
			replaced, err := f.Replaced(adopt.Placeholders{Access: "placeholder", Refresh: "another"})
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(replaced), bare) != stays {
				t.Errorf("%s: the file holds %s", name, replaced)
			}
		}
	}
}
