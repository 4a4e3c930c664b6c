package tui

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"kb/internal/hint"
)

// sixLogins is a login in each state.
func sixLogins() []Login {
	work := func(provider string) LoginKey { return LoginKey{Profile: "work", Provider: provider} }
	return []Login{
		{
			LoginKey: work("linear"), Vault: "main", Account: "me@acme.example", Method: "oauth", Kind: "oauth code",
			State: "needs login", Reason: "invalid_grant: the authorization server rejected the refresh token", Fix: "kb login linear -p work",
			Since: at.Add(-14 * time.Minute), Scopes: []string{"read", "write", "issues:create"}, DeviceOnly: true, OAuth: true, Renews: true,
			History: []Past{
				{When: at.Add(-14 * time.Minute), What: "refresh failed: invalid_grant"},
				{When: at.Add(-74 * time.Minute), What: "refreshed"},
				{When: at.Add(-26 * time.Hour), What: "logged in"},
			},
		},
		{LoginKey: work("google"), Vault: "main", Kind: "oauth code", State: "refreshing", Reason: "new tokens were asked for", Since: at, Expires: at.Add(4 * time.Second), DeviceOnly: true, OAuth: true, Renews: true},
		{LoginKey: work("github"), Vault: "main", Kind: "oauth device", State: "ok", Reason: "token of this device", Account: "me", Expires: at.Add(8*time.Hour - 2*time.Minute), Next: at.Add(7*time.Hour + 53*time.Minute), DeviceOnly: true, OAuth: true, Renews: true},
		{LoginKey: LoginKey{Profile: "oss", Provider: "github", As: "bot"}, Vault: "main", Kind: "token", State: "ok", Reason: "reference, resolved at use", Refs: []string{"token from op://Work/github/token"}},
		{LoginKey: work("openai"), Vault: "main", Kind: "api key", State: "expiring", Reason: "expires on 2026-11-30", Expires: at.Add(80 * time.Hour), Fix: "kb login openai -p work --replace"},
		{LoginKey: work("jira"), Vault: "main", Kind: "oauth code", State: "offline", Reason: "the provider did not answer within 10s", Since: at.Add(-time.Minute), Next: at.Add(41 * time.Second), Base: "https://acme.atlassian.example", DeviceOnly: true, OAuth: true, Renews: true},
	}
}

// full is a backend with logins, profiles, and a session that uses one.
func full() *fake {
	return &fake{
		standing: Standing{State: VaultOpen, Profile: "work", Dir: "/home/me/src/api", Path: "/home/me/.config/kb/vault.age"},
		logins:   sixLogins(),
		profiles: Profiles{Profiles: []Profile{{ProfileSpec: ProfileSpec{Name: "oss"}}, {ProfileSpec: ProfileSpec{Name: "work"}}}},
		sessions: []Session{{
			ID: "7f3a", Profile: "work", Hosts: []Host{{"api.linear.app", "linear", "work"}},
			Waiting: []Request{{ID: "a1", Session: "7f3a", Profile: "work", Provider: "linear", Deadline: at.Add(time.Minute)}},
		}},
		providers: catalogue(),
	}
}

func catalogue() []Provider {
	return []Provider{
		{
			Name: "github", Title: "GitHub", Kinds: []string{"oauth device", "token"}, Hosts: []string{"api.github.com", "github.com"}, Logins: 2, UsedBy: []string{"work", "oss (bot)"}, Source: "built in",
			Injects: []string{"Authorization: Bearer <token>  on api.github.com", "Authorization: Basic x-access-token:<token>  on github.com"},
			Env:     []string{"GH_TOKEN=ghp_{random36}", "GITHUB_TOKEN=ghp_{random36}"}, Scopes: []string{"repo", "read:org"}, Docs: "https://docs.github.com/apps/oauth-apps",
			Pages: []string{"token  https://github.com/settings/tokens/new"}, Mints: []string{"POST /app/installations/*/access_tokens"},
		},
		{Name: "linear", Title: "Linear", Kinds: []string{"oauth code"}, Hosts: []string{"api.linear.app"}, Logins: 1, UsedBy: []string{"work"}, Source: "built in", Unverified: true, Docs: "https://linear.app/developers"},
		{Name: "wiki", Title: "Acme wiki", Kinds: []string{"oauth code"}, Hosts: []string{"wiki.acme.example"}, Vault: "main", Source: "vault main", Logins: 1, UsedBy: []string{"work"}, Note: "Only from the office."},
	}
}

// sizes are those that golden frames are kept of.
var sizes = []struct{ w, h int }{{100, 30}, {60, 20}}

// goldens keeps the frame of a board at each size.
func goldens(t *testing.T, name string, make func(w, h int) *board) {
	t.Helper()
	for _, s := range sizes {
		golden(t, fmt.Sprintf("%s-%d", name, s.w), make(s.w, s.h).frame())
	}
}

func TestLoginsFrames(t *testing.T) {
	t.Parallel()
	goldens(t, "logins-full", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.press("3")
		return b
	})
	goldens(t, "logins-loading", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.m.world.logins = source[[]Login]{busy: true}
		b.send(ticked{})
		b.press("3")
		return b
	})
	goldens(t, "logins-empty", func(w, h int) *board {
		f := full()
		f.logins = nil
		b := newBoard(t, f, w, h)
		b.press("3")
		return b
	})
	goldens(t, "logins-error", func(w, h int) *board {
		f := full()
		f.fail = map[string]error{"logins": hint.Wrap(errors.New("read device state: no space left on device"), "make room on that disk and run it again")}
		b := newBoard(t, f, w, h)
		b.press("3")
		return b
	})
	goldens(t, "logout", func(w, h int) *board {
		b := newBoard(t, full(), w, h)
		b.press("3", "d")
		return b
	})
}

// TestLogoutAsksFirst: enter and esc mean no, tab goes from here to everywhere, and
// y alone does it.
func TestLogoutAsksFirst(t *testing.T) {
	t.Parallel()
	f := full()
	b := newBoard(t, f, 100, 30)
	b.press("3", "d", "enter", "d", "esc", "d", "x", " ", "q")
	if did := f.done(); len(did) != 0 {
		t.Fatalf("without a yes it did %q", did)
	}
	b.press("d", "y", "d", "tab")
	if frame := b.frame(); !strings.Contains(frame, "linear is logged out on every device.") {
		t.Errorf("everywhere is not explained:\n%s", frame)
	}
	b.press("y", "j", " ", " ", "d", "y")
	want := []string{"logout work/linear", "logout everywhere work/linear", "logout work/google", "logout work/github"}
	if did := f.done(); !reflect.DeepEqual(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
	if len(b.m.screens[screenLogins].(*logins).list.marked) != 0 {
		t.Error("what is logged out is still marked")
	}
}

func TestLoginsKeys(t *testing.T) {
	t.Parallel()
	f := full()
	b := newBoard(t, f, 100, 30)
	b.press("3", "R", "r", "j", " ", " ", "r")
	want := []string{"refresh /", "refresh work/linear", "refresh work/google", "refresh work/github"}
	if did := f.done(); !reflect.DeepEqual(did, want) {
		t.Errorf("did %q, want %q", did, want)
	}
	b.press(" ", "j", "r") // a key, with what is marked
	b.press("a")
	if frame := b.frame(); !strings.Contains(frame, "all its references are agreed to") {
		t.Errorf("a key that is off does not say why:\n%s", frame)
	}
}

// TestDetailScrolls: on one panel at a time the detail is reached and read to its
// end.
func TestDetailScrolls(t *testing.T) {
	t.Parallel()
	b := newBoard(t, full(), 50, 14)
	b.press("3", "enter")
	if frame := b.frame(); !strings.Contains(frame, "needs login since 13:48") {
		t.Errorf("enter does not open the login:\n%s", frame)
	}
	b.press("G")
	if frame := b.frame(); !strings.Contains(frame, "on this device alone") {
		t.Errorf("the end cannot be read:\n%s", frame)
	}
}

func TestImports(t *testing.T) {
	t.Parallel()
	f := full()
	f.imports = []Importable{
		{Source: "claude-code", Title: "Claude Code", Path: "/home/me/.claude/.credentials.json", Provider: "anthropic", Account: "me", Moves: true},
		{Source: "codex", Title: "codex", Off: "no login there"},
	}
	list := func(w, h int) *board {
		b := newBoard(t, f, w, h)
		b.press("3", "i")
		return b
	}
	goldens(t, "import", list)
	form := func(w, h int) *board {
		b := list(w, h)
		b.press("enter")
		return b
	}
	goldens(t, "import-agree", form)
	b := form(100, 30)
	b.press("ctrl+s")
	if frame := b.frame(); !strings.Contains(frame, "not agreed") || len(f.done()) != 0 {
		t.Errorf("nobody agreed, did %q:\n%s", f.done(), frame)
	}
	b.press("tab", "tab", "tab", "y", "ctrl+s")
	if did := f.done(); !reflect.DeepEqual(did, []string{"import claude-code work"}) {
		t.Errorf("did %q", did)
	}
}
