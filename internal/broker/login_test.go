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

// githubLogin is a login as kb login github makes it.
func githubLogin(token string) vaultfile.Login {
	return vaultfile.Login{Profile: "work", Provider: "github", Method: "token", Secrets: map[string]secret.Value{"token": secret.New(token)}}
}

func TestLoginAsksWhoItIs(t *testing.T) {
	f := newFixture(t)
	mine, other := testkit.NewCanary("ghp_", 36), testkit.NewCanary("ghp_", 36)
	f.world.Serve("api.github.com", testkit.OriginConfig{Handler: &testkit.GitHub{Users: map[string]string{mine: "me-at-acme", other: "someone"}}})
	f.edit(func(tx *vaultfile.Tx) error {
		return tx.PutProfile(profile.Profile{Name: "work", Expect: map[string]string{"github": "me-at-acme"}})
	})
	ctx := t.Context()
	kept := func() string {
		c := f.broker.Contents()
		l, _ := c.Login("work", "github", "")
		return l.Account
	}
	var wrong *WrongAccountError
	if _, err := f.broker.Login(ctx, LoginSpec{Login: githubLogin(other), Verify: true}); !errors.As(err, &wrong) || wrong.Have != "someone" {
		t.Errorf("another account's key: %v", err)
	}
	var rejected *RejectedError
	_, err := f.broker.Login(ctx, LoginSpec{Login: githubLogin("ghp_unknown"), Verify: true})
	if !errors.As(err, &rejected) || rejected.Status != http.StatusUnauthorized {
		t.Errorf("a key that GitHub refuses: %v", err)
	}
	if kept() != "" {
		t.Error("a refused login was kept")
	}
	result, err := f.broker.Login(ctx, LoginSpec{Login: githubLogin(mine), Verify: true})
	if err != nil || result.Account != "me-at-acme" || kept() != "me-at-acme" {
		t.Errorf("the right key: %+v, %v, kept %q", result, err, kept())
	}
}

// TestIdentityRedirectIsNotFollowed: a redirect would take the credential to
// another host.
func TestIdentityRedirectIsNotFollowed(t *testing.T) {
	f := newFixture(t)
	evil := f.world.Serve("evil.example", testkit.OriginConfig{Handler: testkit.Echo()})
	token := testkit.NewCanary("ghp_", 36)
	f.world.Serve("api.github.com", testkit.OriginConfig{Handler: testkit.Redirect(http.StatusTemporaryRedirect, "https://evil.example/user")})
	_, err := f.broker.Login(t.Context(), LoginSpec{Login: githubLogin(token), Verify: true})
	var rejected *RejectedError
	if !errors.As(err, &rejected) {
		t.Errorf("a redirect was taken for an answer: %v", err)
	}
	if n := len(evil.Requests()); n != 0 {
		t.Errorf("%d requests reached the redirect's target", n)
	}
	if err != nil && strings.Contains(err.Error(), token) {
		t.Error("the error shows the token")
	}
	// Positive control: the same client does reach that origin when told to.
	client, err := f.broker.client()
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Get("https://evil.example/user")
	if err != nil || len(evil.Requests()) != 1 {
		t.Fatalf("control: %v", err)
	}
	_ = response.Body.Close()
}

func TestSecretsWithLineBreaksAreRefused(t *testing.T) {
	f := newFixture(t)
	for _, token := range []string{"a\r\nX-Injected: 1", "a\nb", "a\x00b"} {
		if _, err := f.broker.Login(t.Context(), LoginSpec{Login: githubLogin(token)}); !errors.Is(err, secret.ErrControl) {
			t.Errorf("login with %q: %v, want ErrControl", token, err)
		}
	}
}

// TestReferenceFollowsItsFile: a login that refers to a file uses what is in
// it, also when that changes while a session runs.
func TestReferenceFollowsItsFile(t *testing.T) {
	f := newFixture(t)
	file := filepath.Join(f.options.Paths.Home, "token")
	first, second := testkit.NewCanary("ghp_", 36), testkit.NewCanary("ghp_", 36)
	if err := os.WriteFile(file, []byte(first+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	login := githubLogin("")
	login.Secrets, login.Refs = nil, map[string]string{"token": "file:" + file}
	if _, err := f.broker.Login(t.Context(), LoginSpec{Login: login}); err != nil {
		t.Fatal(err)
	}
	s := f.start(f.workDir)
	use := func() string {
		f.get(s, "", http.MethodGet, "https://api.github.com/user", nil)
		token, _ := f.arrived()
		return token
	}
	if got := use(); got != first {
		t.Errorf("arrived with %q, want what the file holds", got)
	}
	if err := os.WriteFile(file, []byte(second+"\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	testkit.Eventually(t, 5*time.Second, "the new value to be used", func() bool { return use() == second })
}

func TestCIIdentityOpensTheVaultAndChangesNothing(t *testing.T) {
	f := newFixture(t)
	text, err := f.broker.AddCI(t.Context(), "build")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(f.options.Paths.Home, "ci.identity")
	if err := os.WriteFile(file, []byte(text.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	o := f.options
	o.Paths = Paths{Config: filepath.Join(elsewhere, "config"), State: filepath.Join(elsewhere, "state"), Runtime: filepath.Join(elsewhere, "run"), Home: elsewhere}
	variables := map[string]string{"KB_IDENTITY_FILE": file, "KB_VAULT": f.broker.VaultPath()}
	o.Getenv = func(name string) string { return variables[name] }
	job, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s, err := job.StartSession(t.Context(), SessionSpec{Dir: elsewhere, Profile: "work", Command: []string{"make"}, Environ: f.environ()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	f.get(s, "", http.MethodGet, "https://api.github.com/user", nil)
	if got, _ := f.arrived(); got != f.workToken {
		t.Errorf("the job's request arrived with %q", got)
	}
	if err := job.Edit(t.Context(), func(tx *vaultfile.Tx) error { return tx.DeleteProfile("work") }); !errors.Is(err, vaultfile.ErrReadOnly) {
		t.Errorf("a job changed the vault: %v", err)
	}
	// Positive control: a job that was not added cannot open it.
	stranger, err := vaultfile.NewIdentity("stranger", f.broker.random)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vaultfile.Open(t.Context(), f.broker.VaultPath(), stranger, vaultfile.NewMemory()); !errors.Is(err, vaultfile.ErrWrongKey) {
		t.Errorf("a stranger opened the vault: %v", err)
	}
}

// TestUpstreamCAIsTrustedOnlyWhenSet: a corporate upstream signed by a CA of
// its own.
func TestUpstreamCAIsTrustedOnlyWhenSet(t *testing.T) {
	f := newFixture(t)
	corporate, err := testkit.NewCA("corporate")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := corporate.Issue(testkit.Leaf{Names: []string{"api.github.com"}})
	if err != nil {
		t.Fatal(err)
	}
	api := f.world.Serve("api.github.com", testkit.OriginConfig{Handler: testkit.Echo(), Certificate: leaf})
	before := f.start(f.workDir)
	if got := f.get(before, "", http.MethodGet, "https://api.github.com/user", nil); got.status != http.StatusBadGateway || len(api.Requests()) != 0 {
		t.Errorf("an unknown CA: status %d, %d requests arrived", got.status, len(api.Requests()))
	}
	if err := f.broker.PutSetting(t.Context(), "upstream_ca", string(corporate.PEM())); err != nil {
		t.Fatal(err)
	}
	after := f.start(f.workDir)
	if got := f.get(after, "", http.MethodGet, "https://api.github.com/user", nil); got.status != http.StatusOK || len(api.Requests()) != 1 {
		t.Errorf("with the setting: status %d, %d requests arrived", got.status, len(api.Requests()))
	}
}
