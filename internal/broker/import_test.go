package broker

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/secret"
	"kb/internal/state"
)

// claudeUser is a fixture whose home has the file of Claude Code.
type claudeUser struct {
	*fixture
	path string
	key  state.LoginKey
}

func newClaudeUser(t *testing.T) *claudeUser {
	t.Helper()
	p := &claudeUser{fixture: newFixture(t), key: state.LoginKey{Profile: "work", Provider: "anthropic"}}
	p.key.Vault = p.broker.tokenKey(loginKey{"work", "anthropic", ""}).Vault
	p.path = filepath.Join(p.options.Paths.Home, ".claude", ".credentials.json")
	if err := os.MkdirAll(filepath.Dir(p.path), 0o700); err != nil {
		t.Fatal(err)
	}
	return p
}

// logIn has the program hold tokens of its own. They are over, so that nobody
// is asked whose they are.
func (p *claudeUser) logIn(n int) {
	p.Helper()
	text := fmt.Sprintf(`{"claudeAiOauth":{"accessToken":"access-%d","refreshToken":"refresh-%d","expiresAt":1000}}`, n, n)
	if err := os.WriteFile(p.path, []byte(text), 0o600); err != nil {
		p.Fatal(err)
	}
}

func (p *claudeUser) find() ImportSpec {
	p.Helper()
	found, err := p.broker.FindImport("claude-code")
	if err != nil {
		p.Fatal(err)
	}
	return ImportSpec{Profile: "work", Found: found, Agreed: true, Replace: true}
}

func (p *claudeUser) take() {
	p.Helper()
	if _, err := p.broker.Import(p.Context(), p.find()); err != nil {
		p.Fatal(err)
	}
}

func (p *claudeUser) token() state.Token {
	p.Helper()
	token, _, err := p.broker.store.Token(p.key)
	if err != nil {
		p.Fatal(err)
	}
	return token
}

// TestImportThatFailsLosesNothing: the program writes its file while kb takes
// it over in place of a login that kb has.
func TestImportThatFailsLosesNothing(t *testing.T) {
	p := newClaudeUser(t)
	p.logIn(1)
	spec := p.find()
	p.logIn(2)
	if _, err := p.broker.Import(t.Context(), spec); !errors.Is(err, ErrFileChanged) {
		t.Fatalf("error is %v", err)
	}
	c := p.broker.Contents()
	if _, ok := c.Login("work", "anthropic", ""); ok || !p.token().Refresh.IsZero() {
		t.Error("kb holds a login that the program holds as well")
	}
	p.take()
	c = p.broker.Contents()
	login, _ := c.Login("work", "anthropic", "")
	agent, _, _ := p.broker.store.Agent(p.key)
	p.logIn(3)
	spec = p.find()
	p.logIn(4)
	if _, err := p.broker.Import(t.Context(), spec); !errors.Is(err, ErrFileChanged) {
		t.Fatalf("error is %v", err)
	}
	c = p.broker.Contents()
	if now, ok := c.Login("work", "anthropic", ""); !ok || !now.Created.Equal(login.Created) {
		t.Error("the login that was there is gone from the vault")
	}
	if got := p.token().Refresh.Reveal(); got != "refresh-2" {
		t.Errorf("kb holds %q of it", got)
	}
	if now, _, _ := p.broker.store.Agent(p.key); now != agent {
		t.Error("what stands in the program's file is another")
	}
}

// TestImportThatWasCutShort: kb was killed before it wrote the program's file,
// and has refreshed since. What it holds is newer than the file.
func TestImportThatWasCutShort(t *testing.T) {
	p := newClaudeUser(t)
	p.logIn(1)
	p.take()
	p.logIn(1)
	token := p.token()
	token.Access, token.Refresh = secret.New("access-of-kb"), secret.New("refresh-of-kb")
	if err := p.broker.store.PutToken(t.Context(), p.key, token); err != nil {
		t.Fatal(err)
	}
	p.take()
	if got := p.token().Refresh.Reveal(); got != "refresh-of-kb" {
		t.Errorf("kb holds %q, which its server takes no more", got)
	}
	text, err := os.ReadFile(p.path)
	agent, _, _ := p.broker.store.Agent(p.key)
	if err != nil || !strings.Contains(string(text), agent.Refresh) || strings.Contains(string(text), "refresh-1") {
		t.Errorf("the program's file: %s, %v", text, err)
	}
	// Another login of the program's is another matter.
	p.logIn(5)
	p.take()
	if got := p.token().Refresh.Reveal(); got != "refresh-5" {
		t.Errorf("kb holds %q", got)
	}
}
