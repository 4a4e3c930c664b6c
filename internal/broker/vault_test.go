package broker

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

// addTeam adds a vault team with profiles bot and work, the second of which the
// default vault has too, and a github login of each.
func (f *fixture) addTeam() (botToken, workToken string) {
	f.Helper()
	result, err := Init(f.Context(), InitOptions{Options: f.options, Name: "team", VaultPath: filepath.Join(f.options.Paths.Home, "shared", "team.age")})
	if err != nil || !result.Added || !result.Further {
		f.Fatalf("%+v, %v", result, err)
	}
	f.broker = f.open()
	f.editTeam(func(tx *vaultfile.Tx) error {
		for _, p := range []profile.Profile{{Name: "bot", Also: []string{"work"}}, {Name: "work"}} {
			if err := tx.PutProfile(p); err != nil {
				return err
			}
		}
		_, err := tx.PutRule(profile.Rule{Profile: "bot", Remote: "github.com/team/*"})
		return err
	})
	botToken, workToken = testkit.NewCanary("ghp_", 36), testkit.NewCanary("ghp_", 36)
	f.login("team/bot", "github", "", botToken)
	f.login("team/work", "github", "", workToken)
	return botToken, workToken
}

func (f *fixture) editTeam(change func(*vaultfile.Tx) error) {
	f.Helper()
	v, err := f.broker.vault("team")
	if err == nil {
		err = f.broker.edit(f.Context(), v, change)
	}
	if err != nil {
		f.Fatal(err)
	}
}

func TestProfilesOfSeveralVaultsAreToldApart(t *testing.T) {
	f := newFixture(t)
	f.addTeam()
	for given, want := range map[string]struct{ full, shown string }{
		"bot": {"team/bot", "bot"}, "team/bot": {"team/bot", "bot"},
		"oss": {"oss", "oss"}, "default/oss": {"oss", "oss"},
		"team/work": {"team/work", "team/work"}, "default/work": {"work", "default/work"},
	} {
		full, err := f.broker.Find(given)
		if err != nil || full != want.full || f.broker.Show(full) != want.shown {
			t.Errorf("%s: %q, %v, shown as %q, want %v", given, full, err, f.broker.Show(full), want)
		}
	}
	var ambiguous *AmbiguousProfileError
	if _, err := f.broker.Find("work"); !errors.As(err, &ambiguous) || strings.Join(ambiguous.Full, " ") != "default/work team/work" {
		t.Errorf("a name that two vaults have: %v", err)
	}
	var unknown *UnknownProfileError
	for _, given := range []string{"nobody", "team/oss", "default/bot", "elsewhere/work", "team/", "/work", ""} {
		if full, err := f.broker.Find(given); !errors.As(err, &unknown) {
			t.Errorf("%q: %q, %v", given, full, err)
		}
	}
	// -p and --also take the same names.
	for _, spec := range []SessionSpec{{Profile: "work"}, {Profile: "oss", Also: []string{"work"}}} {
		spec.Dir, spec.Environ = f.ossDir, f.environ()
		if _, err := f.broker.StartSession(t.Context(), spec); !errors.As(err, &ambiguous) {
			t.Errorf("%+v: %v", spec, err)
		}
	}
}

// TestLoginIsInItsProfilesVault: what a login's profile is in, it is in.
func TestLoginIsInItsProfilesVault(t *testing.T) {
	f := newFixture(t)
	bot, _ := f.addTeam()
	team, err := f.broker.vault("team")
	if err != nil {
		t.Fatal(err)
	}
	if l, ok := team.contents.Login("bot", "github", ""); !ok || !l.Secrets["token"].Equal(secret.New(bot)) {
		t.Error("the team's vault does not hold its login")
	}
	mine := f.broker.Contents()
	for _, l := range mine.Logins {
		if l.Profile == "bot" || l.Secrets["token"].Equal(secret.New(bot)) {
			t.Error("the default vault holds the team's login")
		}
	}
	if err := f.logout("team/work", "github"); err != nil {
		t.Fatal(err)
	}
	if mine = f.broker.Contents(); len(mine.Logins) != 2 {
		t.Errorf("%d logins are left in the default vault", len(mine.Logins))
	}
	for _, s := range f.broker.LoginStates() {
		if s.Login.Profile == "team/work" {
			t.Error("the removed login is still there")
		}
	}
}

// TestWhichCredentialARequestGetsOfTwoVaults: a session with profiles of two
// vaults, one name in both.
func TestWhichCredentialARequestGetsOfTwoVaults(t *testing.T) {
	f := newFixture(t)
	bot, teamWork := f.addTeam()
	s := f.start(f.workDir, "bot", "team/work")
	if s.Profile() != "work" || value(s, "KB_PROFILE") != "default/work" {
		t.Fatalf("own profile %q, shown as %q", s.Profile(), value(s, "KB_PROFILE"))
	}
	bearer := func(variable string) http.Header {
		v := value(s, variable)
		if v == "" {
			t.Fatalf("the child has no %s", variable)
		}
		return http.Header{"Authorization": {"Bearer " + v}}
	}
	for _, c := range []struct {
		name, user, path string
		header           http.Header
		token, code      string
	}{
		{name: "nothing said", path: "/user", token: f.workToken},
		{name: "its placeholder", path: "/user", header: bearer("KB_BOT_GITHUB_TOKEN"), token: bot},
		{name: "placeholder of a name in both", path: "/user", header: bearer("KB_TEAM_WORK_GITHUB_TOKEN"), token: teamWork},
		{name: "unique name", path: "/user", user: "kb.bot", token: bot},
		{name: "name with its vault", path: "/user", user: "kb.team/bot", token: bot},
		{name: "header", path: "/user", header: http.Header{"Kb-Profile": {"team/work"}}, token: teamWork},
		{name: "the default vault's by its vault", path: "/user", header: http.Header{"Kb-Profile": {"default/work"}}, token: f.workToken},
		{name: "repository of a rule in the other vault", path: "/repos/team/x", token: bot},
		{name: "name in both", path: "/user", user: "kb.work", code: CodeConflict},
		{name: "header with a name in both", path: "/user", header: http.Header{"Kb-Profile": {"work"}}, code: CodeConflict},
		{name: "annotation and rule differ", path: "/repos/acme/api", user: "kb.bot", code: CodeConflict},
		{name: "vault that is not there", path: "/user", user: "kb.nowhere/work", code: CodeUnknownProfile},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, before := f.arrived()
			got := f.get(s, c.user, http.MethodGet, "https://api.github.com"+c.path, c.header)
			token, after := f.arrived()
			if c.code != "" {
				if got.refusal.Code != c.code || got.refusal.Fix == "" || after != before {
					t.Errorf("got %d %+v, want %s with a fix", got.status, got.refusal, c.code)
				}
			} else if got.status != http.StatusOK || token != c.token {
				t.Errorf("got %d %+v, %q arrived, want %q", got.status, got.refusal, token, c.token)
			}
		})
	}
}

// TestRulesOfEveryVaultCount: a rule names its own vault's profile, whatever
// the others are called, and the default is the default vault's.
func TestRulesOfEveryVaultCount(t *testing.T) {
	f := newFixture(t)
	f.addTeam()
	f.editTeam(func(tx *vaultfile.Tx) error {
		if err := tx.PutSetting(vaultfile.Setting{Name: vaultfile.SettingDefaultProfile, Value: "bot"}); err != nil {
			return err
		}
		_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: "github.com/joint/*"})
		return err
	})
	decide := func(dir string) (*Decision, error) {
		return f.broker.Decide(t.Context(), DecideSpec{Dir: dir, Environ: f.environ(), IgnorePin: true})
	}
	for remote, want := range map[string]string{"acme/api": "work", "team/x": "team/bot", "joint/x": "team/work"} {
		dir := f.repository(strings.ReplaceAll(remote, "/", "-"), "https://github.com/"+remote+".git")
		if d, err := decide(dir); err != nil || d.Match.Profile != want {
			t.Errorf("%s: %+v, %v, want %s", remote, d, err, want)
		}
	}
	if _, err := decide(t.TempDir()); !errors.Is(err, profile.ErrNoMatch) {
		t.Errorf("the team's default profile was taken: %v", err)
	}
	// What `also` names is of the same vault.
	s := f.start(f.repository("x", "https://github.com/team/x.git"))
	if strings.Join(s.granted, " ") != "team/bot team/work" {
		t.Errorf("granted %q", s.granted)
	}
	// Two vaults that claim one repository tie.
	f.editTeam(func(tx *vaultfile.Tx) error {
		_, err := tx.PutRule(profile.Rule{Profile: "bot", Remote: "github.com/acme/*"})
		return err
	})
	var tie *profile.AmbiguousError
	if _, err := decide(f.workDir); !errors.As(err, &tie) {
		t.Errorf("a tie of two vaults: %v", err)
	}
}

// TestPinNamesItsVault: a profile of the same name in another vault is another
// identity.
func TestPinNamesItsVault(t *testing.T) {
	f := newFixture(t)
	spec := DecideSpec{Dir: f.workDir, Environ: f.environ()}
	if _, err := f.broker.Decide(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	f.addTeam()
	if d, err := f.broker.Decide(t.Context(), spec); err != nil || d.PinState() != "same" {
		t.Fatalf("a second vault changed what a pin means: %+v, %v", d, err)
	}
	f.editTeam(func(tx *vaultfile.Tx) error {
		_, err := tx.PutRule(profile.Rule{Profile: "work", Remote: "github.com/acme/api"})
		return err
	})
	var changed *PinError
	if _, err := f.broker.Decide(t.Context(), spec); !errors.As(err, &changed) || changed.Change.Old != "default/work" || changed.Change.New != "team/work" {
		t.Errorf("the same name in another vault: %v, want a PinError", err)
	}
	// Also when the vault that the pin was made in is forgotten.
	if _, err := ForgetVault(t.Context(), f.options, "default"); err != nil {
		t.Fatal(err)
	}
	f.broker = f.open()
	if _, err := f.broker.Decide(t.Context(), spec); !errors.As(err, &changed) {
		t.Errorf("with the pin's vault gone: %v, want a PinError", err)
	}
}

// TestVaultThatCannotBeOpened: nothing is resolved without its rules, what does
// not need it goes on, and nothing is guessed of its names.
func TestVaultThatCannotBeOpened(t *testing.T) {
	f := newFixture(t)
	f.addTeam()
	team, err := f.broker.vault("team")
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(team.path)
	if err != nil {
		t.Fatal(err)
	}
	f.editTeam(func(tx *vaultfile.Tx) error { return tx.PutProfile(profile.Profile{Name: "later"}) })
	for name, spoil := range map[string]func() error{
		"missing":     func() error { return os.Remove(team.path) },
		"rolled back": func() error { return os.WriteFile(team.path, good, 0o600) },
		"no vault":    func() error { return os.WriteFile(team.path, []byte("hello\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := spoil(); err != nil {
				t.Fatal(err)
			}
			o := f.options
			o.Any = true
			b, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			if list := b.Vaults(); len(list) != 2 || list[0].Err != nil || list[1].Err == nil {
				t.Errorf("vaults: %+v", list)
			}
			var unavailable *UnavailableError
			refused := func(what string, err error) {
				t.Helper()
				if !errors.As(err, &unavailable) || unavailable.Vault != "team" {
					t.Errorf("%s: %v, want an UnavailableError of team", what, err)
				}
			}
			_, err = b.Decide(t.Context(), DecideSpec{Dir: f.workDir, Environ: f.environ(), IgnorePin: true})
			refused("resolving a directory", err)
			_, err = b.StartSession(t.Context(), SessionSpec{Dir: f.workDir, Profile: "default/oss", Environ: f.environ()})
			refused("a session of the other vault's profile", err)
			_, err = b.Find("oss")
			refused("a name that the vault may have too", err)
			_, err = b.Find("team/bot")
			refused("a name in it", err)
			if full, err := b.Find("default/oss"); err != nil || full != "oss" {
				t.Errorf("a name in the other vault: %q, %v", full, err)
			}
			if err := b.ChangeProfile(t.Context(), "oss", false, func(p *profile.Profile) error { p.GitName = name; return nil }); err != nil {
				t.Errorf("a change to the other vault: %v", err)
			}
			o.Any, o.Vault = false, "team"
			if _, err := Open(t.Context(), o); err == nil {
				t.Error("the vault itself was opened")
			}
			o.Vault = ""
			if _, err := Open(t.Context(), o); err != nil {
				t.Errorf("the other vault: %v", err)
			}
		})
	}
}

// TestEveryVaultIsWatched: a change to any vault takes effect in a running
// session, and one that cannot be read any more leaves the session what it had.
func TestEveryVaultIsWatched(t *testing.T) {
	f := newFixture(t)
	bot, _ := f.addTeam()
	s := f.start(f.workDir, "bot")
	use := func(user string) string {
		f.get(s, user, http.MethodGet, "https://api.github.com/user", nil)
		token, _ := f.arrived()
		return token
	}
	if got := use("kb.bot"); got != bot {
		t.Fatalf("before: %q", got)
	}
	next := testkit.NewCanary("ghp_", 36)
	f.login("team/bot", "github", "", next)
	testkit.Eventually(t, 5*time.Second, "the team's new key to be used", func() bool { return use("kb.bot") == next })

	team, err := f.broker.vault("team")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(team.path, []byte("damaged\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	mine := testkit.NewCanary("ghp_", 36)
	f.login("work", "github", "", mine)
	testkit.Eventually(t, 5*time.Second, "the other vault's new key to be used", func() bool { return use("") == mine })
	if got := use("kb.bot"); got != next {
		t.Errorf("the damaged vault's login: %q, want what the session had", got)
	}
}

// TestInitAddsAVault: what is there is not replaced.
func TestInitAddsAVault(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	add := func(name, path string) error {
		_, err := Init(ctx, InitOptions{Options: f.options, Name: name, VaultPath: path})
		return err
	}
	other := filepath.Join(t.TempDir(), "other.age")
	for _, c := range []struct {
		name, path string
		want       error
	}{
		{"default", other, vaultfile.ErrExists},
		{"", other, vaultfile.ErrExists}, // its name would be default
		{"team", f.broker.VaultPath(), vaultfile.ErrExists},
		{"a/b", other, ErrVaultName},
		{"-p", other, ErrVaultName},
		{"a b", other, ErrVaultName},
		{strings.Repeat("a", 65), other, ErrVaultName},
	} {
		if err := add(c.name, c.path); !errors.Is(err, c.want) {
			t.Errorf("%q at %s: %v, want %v", c.name, c.path, err, c.want)
		}
	}
	if _, err := os.Lstat(other); err == nil {
		t.Error("a vault was made all the same")
	}
	var missing *MissingVaultError
	if err := os.Rename(f.broker.VaultPath(), other); err != nil {
		t.Fatal(err)
	}
	if err := add("", ""); !errors.As(err, &missing) || !errors.Is(err, ErrNoVault) {
		t.Errorf("in place of one that is gone: %v", err)
	}
	if err := os.Rename(other, f.broker.VaultPath()); err != nil {
		t.Fatal(err)
	}
	if err := add("team", ""); err != nil {
		t.Fatal(err)
	}
	list := f.open().Vaults()
	if len(list) != 2 || list[1].Name != "team" || list[1].Default || filepath.Base(list[1].Path) != "team.age" || !list[0].Default {
		t.Errorf("vaults: %+v", list)
	}
}

// TestInitThatWasCutOffIsFinished: a vault that was made, but not listed any
// more, is taken up by the same init. A vault that this device did not make is
// not.
func TestInitThatWasCutOffIsFinished(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "team.age")
	memory, err := f.broker.store.VaultMemory("team")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Create(ctx, path, f.broker.identity, memory, vaultfile.Options{Name: "team"}); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.age")
	stranger, err := vaultfile.NewIdentity("stranger", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Create(ctx, other, stranger, vaultfile.NewMemory(), vaultfile.Options{}); err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]string{"team": other, "other": other, "third": path} {
		if _, err := Init(ctx, InitOptions{Options: f.options, Name: name, VaultPath: at}); !errors.Is(err, vaultfile.ErrExists) {
			t.Errorf("%s at %s: %v", name, filepath.Base(at), err)
		}
	}
	if _, err := Init(ctx, InitOptions{Options: f.options, Name: "team", VaultPath: path}); err != nil {
		t.Fatal(err)
	}
	if list := f.open().Vaults(); len(list) != 2 || list[1].Path != path {
		t.Errorf("vaults: %+v", list)
	}
}
