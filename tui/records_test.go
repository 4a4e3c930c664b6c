package tui

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// filed is a backend with profiles, and a vault that has seen something.
func filed() *fake {
	rules := []Rule{
		{ID: "r2", Profile: "work", Remote: "github.com/acme/*", Agent: "claude"},
		{ID: "r3", Profile: "work", Remote: "gitlab.acme.example/**"},
		{ID: "r1", Profile: "work", Dir: "~/src/acme/**"},
	}
	return &fake{
		standing: Standing{State: VaultOpen, Wrapped: true, Locks: at.Add(7*time.Hour + 14*time.Minute), Dir: "/home/me/src/new", Profile: "work"},
		profiles: Profiles{
			Default: "personal",
			Profiles: []Profile{
				{
					ProfileSpec: ProfileSpec{Old: "work", Name: "work", GitName: "Sam Doe", GitEmail: "sam@acme.example", Also: []string{"oss"}, Egress: "listed"},
					Vault:       "default", Rules: rules, Logins: 4, LastUsed: at.Add(-2 * time.Minute), Expect: map[string]string{"github": "sam-acme"},
					Policies: []Policy{
						{ID: "p00000002", Text: "deny write at github.com/acme/*", PolicySpec: PolicySpec{Profile: "work", Effect: "deny"}},
						{ID: "p00000001", Text: "ask POST at linear", PolicySpec: PolicySpec{Profile: "work", Effect: "ask"}},
					},
				},
				{ProfileSpec: ProfileSpec{Old: "oss", Name: "oss", Egress: "open"}, Vault: "default", Logins: 2},
				{ProfileSpec: ProfileSpec{Old: "personal", Name: "personal", Egress: "open"}, Vault: "default", Default: true, LastUsed: at.Add(-72 * time.Hour)},
			},
			Pins: []Pin{
				{Dir: "/home/me/src/acme/api", Profile: "work", When: at.Add(-48 * time.Hour), Was: "origin github.com/acme/api", Now: "origin github.com/acme/api"},
				{
					Dir: "/home/me/src/acme/fork", Profile: "work", When: at.Add(-35 * 24 * time.Hour), Changed: true,
					Was: "work by origin github.com/acme/fork", Now: "oss by origin github.com/mallory/fork",
				},
				{Dir: "/home/me/src/oss", Profile: "oss", When: at.Add(-time.Hour)},
			},
		},
		vault: Vault{
			Name: "default", Path: "/home/me/.config/kb/vault.age", Size: 18200, Unlocked: "identity with a passphrase, unlocked",
			Git: "2 ahead of origin main, 0 behind: S levels it", GitState: CheckWarning,
			Devices: []Device{
				{ID: "d1", Name: "desk", Kind: "device", Recipient: "age1qz3vk0000000000000000000000000000000000000000000000008f2k", Added: at.Add(-270 * 24 * time.Hour), AddedBy: "itself", This: true},
				{ID: "d2", Name: "laptop-old", Kind: "device", Recipient: "age1x9ldt000000000000000000000000000000000000000000000000w7aq", Added: at.Add(-190 * 24 * time.Hour), AddedBy: "desk"},
			},
			History: []Past{
				{When: at.Add(-48 * time.Hour), Who: "desk", What: "+ login/work/openai"},
				{When: at.Add(-5 * 24 * time.Hour), Who: "desk", What: "~ rule/r2 (remote)"},
			},
			Checklist: []Rotate{
				{Item: "login/work/github", Text: "phone could read login/work/github: kb login github -p work --replace"},
				{Item: "login/oss/jira", Text: "phone could read login/oss/jira: change it where it is kept, then mark it"},
			},
			Conflicts: []string{"also of profile/work was edited on desk and laptop-old at once: only what all versions allow is in use; settle it with kb profile set work --also …"},
		},
	}
}

func filedAt(t *testing.T, f *fake, w, h int, keys ...string) *clocked {
	t.Helper()
	c := newClocked(t, f, w, h)
	c.m.home = "/home/me"
	c.key(keys...)
	return c
}

func (c *clocked) shows(t *testing.T, words ...string) {
	t.Helper()
	frame := c.frame()
	for _, word := range words {
		if !strings.Contains(frame, word) {
			t.Errorf("%q is not shown:\n%s", word, frame)
		}
	}
}

// TestTakingAway: "d" takes what the focused panel has under the cursor, after
// "y" alone, and says what goes.
func TestTakingAway(t *testing.T) {
	for name, test := range map[string]struct {
		keys []string
		says string
		did  string
	}{
		"profile":      {[]string{"2", "d"}, "3 rules, 4 logins and 2 policy lines", "rm profile work"},
		"rule":         {[]string{"2", "tab", "j", "d"}, "gitlab.acme.example", "rm rule r3"},
		"policy":       {[]string{"2", "tab", "tab", "d"}, "deny write at", "rm policy p00000002"},
		"pin":          {[]string{"2", "tab", "tab", "tab", "j", "d"}, "mallory/fork", "rm pin /home/me/src/acme/fork"},
		"pin by P":     {[]string{"2", "P", "o", "s", "s", "enter"}, "src/oss is oss", "rm pin /home/me/src/oss"},
		"other's rule": {[]string{"2", "G", "k", "d"}, "0 rules, 2 logins", "rm profile oss"},
		"device":       {[]string{"8", "j", "d"}, "nobody accepts", "rm device d2"},
		"rotated":      {[]string{"8", "tab", "tab", "m"}, "login/work/github", "rotated login/work/github"},
	} {
		t.Run(name, func(t *testing.T) {
			c := filedAt(t, filed(), 100, 30, test.keys...)
			text := strings.Join(strings.Fields(strings.NewReplacer("┃", " ", "│", " ").Replace(c.frame())), " ")
			if !strings.Contains(text, test.says) {
				t.Errorf("%q is not said: %s", test.says, text)
			}
			c.key("enter")
			c.did(t)
			c.key(test.keys[1:]...) // the cursor is further down by now, or was at the end
			c.key("esc")
			c.did(t)
			c = filedAt(t, filed(), 100, 30, test.keys...)
			c.key("y")
			c.did(t, test.did)
		})
	}
}

func TestWhatCannotBeTakenAway(t *testing.T) {
	c := filedAt(t, filed(), 100, 30, "8", "d") // this device
	c.said(t, "on another one")
	c.key("y")
	c.did(t)
	c = filedAt(t, filed(), 100, 30, "8", "m")
	c.said(t, "tab to the checklist first")
	c.key("y")
	c.did(t)
	c = filedAt(t, &fake{}, 100, 30, "2", "d", "y", "e", "a", "p", "s", "T")
	c.did(t)
}

func TestProfileForms(t *testing.T) {
	c := filedAt(t, filed(), 100, 30, "2", "n", "play", "ctrl+s")
	c.did(t, "put profile >play")
	c = filedAt(t, filed(), 100, 30, "2", "e")
	c.shows(t, "sam@acme.example", "listed: hosts without a login")
	c.key("ctrl+s")
	c.did(t, "put profile work>work")
	c = filedAt(t, filed(), 100, 30, "2", "s")
	c.did(t, "default work")
	c = filedAt(t, filed(), 100, 30, "2", "G", "s")
	c.did(t, "default ")
	c = filedAt(t, filed(), 100, 30, "2", "p")
	c.key("ctrl+s")
	c.did(t, "add policy work ask")
	c = filedAt(t, filed(), 100, 30, "2", "p", "l", "ctrl+s") // limit without a number
	c.shows(t, "a minute is needed")
	c.did(t)
}

// placed is a fake that says of every directory the same.
type placed struct {
	*fake
	at Resolution
}

func (p *placed) TestPath(context.Context, string) (Resolution, error) { return p.at, nil }

// TestASuggestedRule: the form has the pattern of the remote here, where no rule
// selects a profile yet.
func TestASuggestedRule(t *testing.T) {
	f := &placed{fake: filed(), at: Resolution{Dir: "/home/me/src/new", Remotes: []string{"fork github.com/me/tool", "origin github.com/acme/tool"}, Reason: "no rule matches"}}
	c := filedAt(t, f.fake, 100, 30)
	c.m.backend = f
	c.key("2", "a")
	c.shows(t, "New rule for work", "github.com/acme/*", "here it is", "github.com/acme/tool")
	c.key("ctrl+s")
	c.did(t, "add rule work github.com/acme/*")
	// Where there is a profile already, nothing is filled in, and nothing is added.
	f.at.Profile = "oss"
	c = filedAt(t, f.fake, 100, 30)
	c.m.backend = f
	c.f.did = nil
	c.key("2", "a", "ctrl+s")
	c.shows(t, "a rule needs a condition")
	c.did(t)
}

func TestTests(t *testing.T) {
	c := filedAt(t, filed(), 100, 30, "2", "t")
	c.shows(t, "~/src/new")
	c.key("enter")
	c.shows(t, "-> work: remote github.com/acme/api matches rule r1")
	c.key("esc", "T")
	c.key("tab", "https://api.linear.app/graphql", "enter")
	c.shows(t, "allowed: no line of work is about POST https://api.linear.app/graphql")
	f := filed()
	f.fail = map[string]error{"test path": errors.New("read directory: no such file")}
	c = filedAt(t, f, 100, 30, "2", "t", "enter")
	c.shows(t, "no such file")
}

func TestApproveADevice(t *testing.T) {
	f := filed()
	c := filedAt(t, f, 100, 30, "8", "n")
	c.paste("kb-join-1:abcdef\n  0123456789")
	c.key("enter")
	c.shows(t, "lusab babad gutih tugad", "laptop")
	c.key("enter")
	c.did(t)
	c.key("n")
	c.paste("kb-join-1:abcdef")
	c.key("enter")
	c.key("y") // nobody can have read it
	c.did(t)
	c.pass(quiet)
	c.key("y")
	c.did(t, "approve device")
	// The words stay, whatever is typed.
	c.shows(t, "approve device", "Six words for laptop")
	c.key("enter", "q", "y", " ", "j")
	c.shows(t, "Six words for laptop")
	c.key("esc")
	if strings.Contains(c.frame(), "Six words") {
		t.Error("they stay")
	}
	f.fail = map[string]error{"read join": errors.New("not a whole join request")}
	c = filedAt(t, f, 100, 30, "8", "n", "kb-join-1:abc", "enter")
	c.shows(t, "not a whole join request")
}

func TestVaultActions(t *testing.T) {
	c := filedAt(t, filed(), 100, 30, "8", "S", "u")
	c.did(t, "sync", "lock")
	f := filed()
	f.fail = map[string]error{"sync": errors.New("fetch: no route to host")}
	c = filedAt(t, f, 100, 30, "8", "S")
	c.shows(t, "no route to host")
	c.pass(time.Minute) // it stays
	c.shows(t, "no route to host")
	f.standing.Wrapped, f.vault.Git, f.did = false, "", nil
	c = filedAt(t, f, 100, 30, "8", "S", "u")
	c.did(t)
}

func TestRecordFrames(t *testing.T) {
	hostile := filed()
	evil := "x\x1b[2J\u202e\x07" + strings.Repeat("long", 1024)
	hostile.profiles.Profiles[0].GitName, hostile.profiles.Profiles[0].Rules[0].Remote = evil, evil
	hostile.profiles.Profiles[0].Policies[0].Text = evil
	hostile.profiles.Pins[1].Now, hostile.profiles.Pins[1].Dir = evil, "/home/me/"+evil
	hostile.vault.Devices[1].Name, hostile.vault.History[0].What, hostile.vault.Checklist[0].Text = evil, evil, evil
	hostile.vault.Conflicts[0], hostile.vault.Git = evil, evil
	broken := &fake{fail: map[string]error{"profiles": errors.New("read vault: \x1b[31mpermission denied"), "vault": errors.New("read vault: \x1b[31mpermission denied")}}
	for _, size := range []struct {
		name string
		w, h int
	}{{"100x30", 100, 30}, {"60x20", 60, 20}, {"40x12", 40, 12}} {
		for _, state := range []struct {
			name string
			f    *fake
			keys []string
		}{
			{"profiles-full", filed(), []string{"2"}},
			{"profiles-pins", filed(), []string{"2", "tab", "tab", "tab", "j"}},
			{"profiles-rules", filed(), []string{"2", "tab", "j"}},
			{"profiles-empty", &fake{}, []string{"2"}},
			{"profiles-error", broken, []string{"2"}},
			{"profiles-hostile", hostile, []string{"2", "tab"}},
			{"vault-full", filed(), []string{"8", "j"}},
			{"vault-checklist", filed(), []string{"8", "tab", "tab"}},
			{"vault-history", filed(), []string{"8", "tab"}},
			{"vault-error", broken, []string{"8"}},
			{"vault-hostile", hostile, []string{"8"}},
		} {
			golden(t, state.name+"-"+size.name, filedAt(t, state.f, size.w, size.h, state.keys...).frame())
		}
	}
}
