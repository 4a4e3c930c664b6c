package adopt_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/adopt"
	"kb/internal/secret"
)

// jwt is a token with these claims, as a server makes it, and a signature that
// must not stay anywhere.
func jwt(claims string) string {
	part := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	return part(`{"alg":"RS256"}`) + "." + part(claims) + "." + part("canary-signature")
}

var (
	codexAccess = jwt(`{"exp":1795000000,"client_id":"app_of_codex","https://api.openai.com/auth":{"chatgpt_account_id":"acc-1"}}`)
	codexID     = jwt(`{"email":"me@acme.example"}`)
)

// files are as the programs write them; see the package's sources.
var files = map[string]struct {
	at, content string
	want        adopt.Found
	secrets     []string
}{
	"claude-code": {
		".claude/.credentials.json",
		`{"claudeAiOauth":{"accessToken":"sk-ant-oat01-canary","refreshToken":"sk-ant-ort01-canary","expiresAt":1795733772914,"scopes":["user:inference","user:profile"],"subscriptionType":"max"},"mcpOAuth":{"x":1}}`,
		adopt.Found{Provider: "anthropic", Method: "claude", Expires: time.UnixMilli(1795733772914), Scopes: []string{"user:inference", "user:profile"}},
		[]string{"sk-ant-oat01-canary", "sk-ant-ort01-canary"},
	},
	"codex": {
		".codex/auth.json",
		fmt.Sprintf("{\n  \"auth_mode\": \"chatgpt\",\n  \"OPENAI_API_KEY\": null,\n  \"tokens\": {\n    \"id_token\": %q,\n    \"access_token\": %q,\n    \"refresh_token\": \"rt_canary\",\n    \"account_id\": \"acc-1\"\n  },\n  \"last_refresh\": \"2026-11-01T00:00:00Z\"\n}", codexID, codexAccess),
		adopt.Found{Provider: "chatgpt", Method: "codex", Expires: time.Unix(1795000000, 0), Account: "me@acme.example", ClientID: "app_of_codex"},
		[]string{codexAccess, "rt_canary"},
	},
	"gemini-cli": {
		".gemini/oauth_creds.json",
		`{"access_token":"ya29.canary","refresh_token":"1//canary","scope":"openid email","token_type":"Bearer","id_token":"` + codexID + `","expiry_date":1795733772914}`,
		adopt.Found{Provider: "gemini-code-assist", Method: "gemini-cli", Expires: time.UnixMilli(1795733772914), Scopes: []string{"openid", "email"}, Account: "me@acme.example"},
		[]string{"ya29.canary", "1//canary"},
	},
	"gh": {
		".config/gh/hosts.yml",
		"github.com:\n    git_protocol: https\n    users:\n        me:\n            oauth_token: gho_canary\n    user: me\n    oauth_token: gho_canary\n",
		adopt.Found{Provider: "github", Method: "token", Account: "me"},
		[]string{"gho_canary", ""},
	},
}

func source(t *testing.T, name string) adopt.Source {
	t.Helper()
	for _, s := range adopt.Sources() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no source %q", name)
	return adopt.Source{}
}

// home holds the file of a program.
func home(t *testing.T, at, content string) adopt.Places {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, at)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return adopt.Places{Home: dir, Getenv: func(string) string { return "" }}
}

func TestFind(t *testing.T) {
	if len(files) != len(adopt.Sources()) {
		t.Errorf("%d files for %d sources", len(files), len(adopt.Sources()))
	}
	for name, c := range files {
		f, err := source(t, name).Find(home(t, c.at, c.content))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if f.Access.Reveal() != c.secrets[0] || f.Refresh.Reveal() != c.secrets[1] {
			t.Errorf("%s: other tokens", name)
		}
		if f.Provider != c.want.Provider || f.Method != c.want.Method || !f.Expires.Equal(c.want.Expires) && !c.want.Expires.IsZero() ||
			f.Account != c.want.Account || f.ClientID != c.want.ClientID || fmt.Sprint(f.Scopes) != fmt.Sprint(c.want.Scopes) {
			t.Errorf("%s: %s %s %v %s %s %v", name, f.Provider, f.Method, f.Expires, f.Account, f.ClientID, f.Scopes)
		}
		if shown := fmt.Sprintf("%+v %#v %v", f, *f, f); strings.Contains(shown, "canary") {
			t.Errorf("%s: what was found can be printed", name)
		}
	}
}

// TestReplaced wants the tokens gone and everything else as it was.
func TestReplaced(t *testing.T) {
	for name, c := range files {
		s := source(t, name)
		f, err := s.Find(home(t, c.at, c.content))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(f.Raw().Reveal(), "canary") {
			t.Errorf("%s: the control found no canary", name)
		}
		after, err := f.Replaced(adopt.Placeholders{Access: "placeholder-a", Refresh: "placeholder-r"})
		if name == "gh" {
			if err == nil {
				t.Error("gh's file would be replaced")
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, canary := range []string{"canary", base64.RawURLEncoding.EncodeToString([]byte("canary-signature"))} {
			if strings.Contains(string(after), canary) {
				t.Errorf("%s: %q stays in %s", name, canary, after)
			}
		}
		if strings.Count(c.content, "\n") != strings.Count(string(after), "\n") {
			t.Errorf("%s: another layout:\n%s", name, after)
		}
		var then, now map[string]any
		if json.Unmarshal([]byte(c.content), &then) != nil || json.Unmarshal(after, &now) != nil {
			t.Fatalf("%s: no JSON: %s", name, after)
		}
		for member := range then {
			if _, stays := now[member]; !stays || len(then) != len(now) {
				t.Errorf("%s: %q is gone: %s", name, member, after)
			}
		}
		again, err := s.Find(home(t, c.at, string(after)))
		if err != nil {
			t.Fatal(err)
		}
		if again.Refresh.Reveal() != "placeholder-r" || again.Account != c.want.Account {
			t.Errorf("%s: the program would read %s", name, after)
		}
	}
}

func TestNothingToFind(t *testing.T) {
	for name, c := range files {
		s := source(t, name)
		if _, err := s.Find(adopt.Places{Home: t.TempDir()}); !errors.Is(err, adopt.ErrNone) {
			t.Errorf("%s: no file is %v", name, err)
		}
		for _, content := range []string{"{}", ""} {
			if _, err := s.Find(home(t, c.at, content)); !errors.Is(err, adopt.ErrNone) && !errors.Is(err, adopt.ErrUnreadable) {
				t.Errorf("%s: %q is %v", name, content, err)
			}
		}
		for _, content := range []string{c.content[:len(c.content)/2], strings.Replace(c.content, "canary", `canary\nX: y`, 1)} {
			_, err := s.Find(home(t, c.at, content))
			if err == nil && name != "gh" {
				t.Errorf("%s: %q was read", name, content)
			}
			if err != nil && strings.Contains(err.Error(), "canary") {
				t.Errorf("%s: the error shows what is there: %v", name, err)
			}
		}
		places := home(t, c.at, c.content)
		path := filepath.Join(places.Home, c.at)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Find(places); !errors.Is(err, adopt.ErrUnreadable) {
			t.Errorf("%s: a FIFO is %v", name, err)
		}
	}
}

func TestUnchanged(t *testing.T) {
	c := files["codex"]
	places := home(t, c.at, c.content)
	f, err := source(t, "codex").Find(places)
	if err != nil || !f.Unchanged() {
		t.Fatalf("unchanged file: %v", err)
	}
	if err := os.WriteFile(f.Path, []byte(c.content+" "), 0o600); err != nil {
		t.Fatal(err)
	}
	if f.Unchanged() {
		t.Error("a changed file counts as unchanged")
	}
}

func TestFoldersOfVariables(t *testing.T) {
	for name, variable := range map[string]string{"claude-code": "CLAUDE_CONFIG_DIR", "codex": "CODEX_HOME", "gh": "GH_CONFIG_DIR"} {
		c := files[name]
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(c.at)), []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		places := adopt.Places{Home: t.TempDir(), Getenv: func(n string) string { return map[string]string{variable: dir}[n] }}
		if _, err := source(t, name).Find(places); err != nil {
			t.Errorf("%s in the folder of %s: %v", name, variable, err)
		}
	}
}

func TestTokenOfGitHubCLIInTheKeyring(t *testing.T) {
	places := home(t, ".config/gh/hosts.yml", "github.com:\n    user: me\n")
	places.Keyring = func(service, user string) (secret.Value, error) {
		if service != "gh:github.com" || user != "me" {
			return secret.Value{}, errors.New("not there")
		}
		return secret.New("gho_canary"), nil
	}
	f, err := source(t, "gh").Find(places)
	if err != nil || f.Access.Reveal() != "gho_canary" || f.Path != "" {
		t.Errorf("found %+v, %v", f, err)
	}
}
