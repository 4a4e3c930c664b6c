package broker

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"kb/internal/plain"
	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

// TestTextHoldsNoSecret: what a person edits goes into a file.
func TestTextHoldsNoSecret(t *testing.T) {
	f := newFixture(t)
	oracle := testkit.NewOracle(f.workToken, f.ossToken)
	text := f.broker.Text().Bytes()
	oracle.Look("text", text)
	if found := oracle.Findings(); len(found) > 0 {
		t.Errorf("%v", found)
	}
	if !bytes.Contains(text, []byte("#   work at github")) {
		t.Errorf("the login is not named:\n%s", text)
	}
	// Positive control.
	if oracle.Look("text", append(text, f.workToken...)); len(oracle.Findings()) == 0 {
		t.Error("control: the oracle does not see a token")
	}
}

// TestTextIsTheVault: unedited, it changes nothing, whatever is in the fields.
func TestTextIsTheVault(t *testing.T) {
	hostile := "quote \" backslash \\ line\nbreak \x1b[31m \u202egnp.exe\u2066 tab\t del\x7f é 日本 \U000e0041 🙂 ''' # x"
	shown := vaultfile.Contents{
		Profiles: []profile.Profile{
			{Name: "a.b", GitName: hostile, Also: []string{"zz", "x \"y\""}, Expect: map[string]string{"git hub": hostile}},
			{Name: "x \"y\"", Egress: "listed", SigningKey: hostile},
			{Name: "zz", GitEmail: "me@acme.example"},
		},
		Rules:     []profile.Rule{{ID: "r1", Profile: "zz", Remote: hostile, Dir: hostile, User: "u", Machine: "m", Agent: "a"}},
		Settings:  []vaultfile.Setting{{Name: vaultfile.SettingDefaultProfile, Value: "a.b"}},
		Logins:    []vaultfile.Login{{Profile: "zz", Provider: "github", Account: hostile}},
		Providers: []vaultfile.Provider{{Name: hostile}},
	}
	text := &VaultText{&vault{name: hostile}, shown}
	out := text.Bytes()
	for _, line := range strings.Split(string(out), "\n") {
		if plain.Clean(line) != line {
			t.Errorf("an editor would obey %q", line)
		}
	}
	change, err := text.Parse(out)
	if err != nil || !change.Empty() {
		t.Errorf("%v, %v", change, err)
	}
}

func TestTextThatIsWrong(t *testing.T) {
	f := newFixture(t)
	text := f.broker.Text()
	good := string(text.Bytes())
	for _, c := range []struct{ name, old, new, want string }{
		{"syntax", `[profile.oss]`, `[profile.oss`, "line "},
		{"unknown key", `git_email =`, `git_mail =`, `unknown key "profile.work.git_mail"`},
		{"wrong type", `default_profile = ""`, `default_profile = 3`, "line "},
		{"bad profile", `me@acme.example`, `<me>`, "git email"},
		{"bad rule", `remote = "github.com/acme/*"`, `remote = "https://github.com/acme/api"`, "is a URL"},
		{"rule of nobody", `profile = "work"`, `profile = "nobody"`, "nobody"},
		{"default of nobody", `default_profile = ""`, `default_profile = "nobody"`, "nobody"},
		{"also of nobody", `[profile.oss]`, "[profile.oss]\nalso = [\"nobody\"]", "nobody"},
		{"profile with a login", "[profile.oss]\n", "", "kb profile rm oss"},
		{"id of one's own", `dir = "~/oss/**"`, "dir = \"~/oss/**\"\n[[rule]]\nid = \"mine\"\nprofile = \"oss\"\nuser = \"me\"", "leave its id out"},
		{"two rules alike", `dir = "~/oss/**"`, "dir = \"~/oss/**\"\n[[rule]]\nprofile = \"work\"\ndir = \"~/oss/**\"", "different profiles"},
	} {
		edited := strings.Replace(good, c.old, c.new, 1)
		if edited == good {
			t.Fatalf("%s: the text has no %q:\n%s", c.name, c.old, good)
		}
		var wrong *TextError
		if _, err := text.Parse([]byte(edited)); !errors.As(err, &wrong) || !slices.ContainsFunc(wrong.Problems, func(p TextProblem) bool { return strings.Contains(p.String(), c.want) }) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestEditOfMeanwhile: an edit is what was changed of what was shown, so that
// nothing else goes back to how it was.
func TestEditOfMeanwhile(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		meanwhile      func(*vaultfile.Tx) error
		clash          bool
		check          func(vaultfile.Contents) bool
	}{
		{"another field", "me@acme.example", "new@acme.example", func(tx *vaultfile.Tx) error {
			return tx.PutProfile(profile.Profile{Name: "work", GitEmail: "me@acme.example", GitName: "Me"})
		}, false, func(c vaultfile.Contents) bool {
			p, _ := c.Profile("work")
			return p.GitName == "Me" && p.GitEmail == "new@acme.example"
		}},
		{"the same field", "me@acme.example", "new@acme.example", func(tx *vaultfile.Tx) error {
			return tx.PutProfile(profile.Profile{Name: "work", GitEmail: "other@acme.example"})
		}, true, func(c vaultfile.Contents) bool { p, _ := c.Profile("work"); return p.GitEmail == "other@acme.example" }},
		{"the same field, alike", "me@acme.example", "new@acme.example", func(tx *vaultfile.Tx) error {
			return tx.PutProfile(profile.Profile{Name: "work", GitEmail: "new@acme.example"})
		}, false, func(c vaultfile.Contents) bool { p, _ := c.Profile("work"); return p.GitEmail == "new@acme.example" }},
		{"the profile is gone", "me@acme.example", "new@acme.example", func(tx *vaultfile.Tx) error {
			return tx.DeleteProfile("work")
		}, true, func(c vaultfile.Contents) bool { _, ok := c.Profile("work"); return !ok }},
		{"a new profile", "me@acme.example", "new@acme.example", func(tx *vaultfile.Tx) error {
			return tx.PutProfile(profile.Profile{Name: "later"})
		}, false, func(c vaultfile.Contents) bool { _, ok := c.Profile("later"); return ok }},
		{"a new rule", `dir = "~/oss/**"`, `dir = "~/src/**"`, func(tx *vaultfile.Tx) error {
			_, err := tx.PutRule(profile.Rule{Profile: "work", User: "me"})
			return err
		}, false, func(c vaultfile.Contents) bool {
			return len(c.Rules) == 5 && slices.ContainsFunc(c.Rules, func(r profile.Rule) bool { return r.Dir == "~/src/**" })
		}},
		{"the same rule", `dir = "~/oss/**"`, `dir = "~/src/**"`, func(tx *vaultfile.Tx) error {
			now, err := tx.Contents()
			for _, r := range now.Rules {
				if r.Dir != "" {
					r.Dir = "~/free/**"
					_, err = tx.PutRule(r)
				}
			}
			return err
		}, true, func(c vaultfile.Contents) bool {
			return slices.ContainsFunc(c.Rules, func(r profile.Rule) bool { return r.Dir == "~/free/**" })
		}},
		{"a profile that a new rule names", `dir = "~/oss/**"`, "dir = \"~/oss/**\"\n[[rule]]\nprofile = \"client\"\nuser = \"me\"", func(tx *vaultfile.Tx) error {
			return tx.DeleteProfile("client")
		}, true, func(c vaultfile.Contents) bool { return len(c.Rules) == 4 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newFixture(t)
			text := f.broker.Text()
			f.edit(c.meanwhile)
			change, err := text.Parse([]byte(strings.Replace(string(text.Bytes()), c.old, c.new, 1)))
			if err != nil || change.Empty() {
				t.Fatalf("%+v, %v", change, err)
			}
			err = f.broker.Apply(t.Context(), change)
			var meanwhile *MeanwhileError
			if errors.As(err, &meanwhile) != c.clash || err != nil && !c.clash {
				t.Errorf("%v", err)
			}
			if now := f.open().Contents(); !c.check(now) {
				t.Errorf("%+v %+v", now.Profiles, now.Rules)
			}
		})
	}
}

// FuzzVaultText: whatever a person types is understood or refused, and every
// value that a vault can hold comes back as it was.
func FuzzVaultText(f *testing.F) {
	f.Add("default_profile = \"a\"\n[profile.a]\n[[rule]]\nprofile = \"a\"\nuser = \"me\"\n", "a")
	f.Add("[profile.\"x", "\" \\ \n\u202e")
	f.Add("rule = [{}]", "é")
	f.Fuzz(func(t *testing.T, typed, value string) {
		shown := vaultfile.Contents{Profiles: []profile.Profile{{Name: "work"}}}
		if change, err := (&VaultText{&vault{}, shown}).Parse([]byte(typed)); err == nil {
			change.Lines()
		} else if e := (&TextError{}); !errors.As(err, &e) || len(e.Problems) == 0 {
			t.Errorf("%v", err)
		}
		if !utf8.ValidString(value) || value == "" {
			return
		}
		shown.Profiles = []profile.Profile{{Name: value, GitName: value, Also: []string{value}, Expect: map[string]string{value: value}}}
		shown.Rules = []profile.Rule{{ID: value, Profile: value, Dir: value}}
		text := &VaultText{&vault{name: value}, shown}
		doc, problems := decodeText(text.Bytes())
		if problems != nil {
			t.Fatalf("%v in\n%s", problems, text.Bytes())
		}
		got := doc.profiles()
		if len(got) != 1 || got[0].Name != value || got[0].GitName != value || !slices.Equal(got[0].Also, []string{value}) ||
			!maps.Equal(got[0].Expect, shown.Profiles[0].Expect) || profile.Rule(doc.Rules[0]) != shown.Rules[0] {
			t.Errorf("%+v came back as %+v", shown, doc)
		}
	})
}
