package broker

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kb/internal/testkit"
	"kb/profile"
	"kb/vaultfile"
)

func TestChildEnvironment(t *testing.T) {
	f := newFixture(t)
	ambientToken := testkit.NewCanary("ghp_", 36)
	parent := f.environ(
		"GITHUB_TOKEN="+ambientToken, "ANTHROPIC_API_KEY="+ambientToken, "AWS_PROFILE=prod", "SSH_AUTH_SOCK=/run/agent", "GIT_ASKPASS=/bin/cat",
		"HTTPS_PROXY=http://elsewhere.example:1", "NO_PROXY=*", "SSL_CERT_FILE=/elsewhere.pem", "SSLKEYLOGFILE=/tmp/keys",
		"NODE_OPTIONS=--max-old-space-size=512", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=core.editor", "GIT_CONFIG_VALUE_0=vi", "EDITOR=vi",
		"KB_IDENTITY="+ambientToken,
	)
	s, err := f.broker.StartSession(t.Context(), SessionSpec{Dir: f.workDir, Also: []string{"oss"}, Command: []string{"agent"}, Environ: parent})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	oracle := testkit.NewOracle(f.workToken, f.ossToken, ambientToken)
	oracle.Control(t, f.workToken, f.ossToken, ambientToken)
	oracle.Look("environment", []byte(strings.Join(s.Environment(), "\n")))
	oracle.Look("notes", []byte(strings.Join(s.Notes(), "\n")))
	for _, finding := range oracle.Findings() {
		t.Errorf("canary: %s", finding)
	}

	proxyURL := "http://kb:" + s.token.Reveal() + "@" + s.address
	for name, want := range map[string]string{
		"HTTPS_PROXY": proxyURL, "https_proxy": proxyURL, "HTTP_PROXY": proxyURL, "http_proxy": proxyURL, "ALL_PROXY": proxyURL, "all_proxy": proxyURL,
		"NO_PROXY": "localhost,127.0.0.1,::1", "no_proxy": "localhost,127.0.0.1,::1",
		"SSL_CERT_FILE": s.files.bundle, "GIT_SSL_CAINFO": s.files.bundle, "CURL_CA_BUNDLE": s.files.bundle, "REQUESTS_CA_BUNDLE": s.files.bundle,
		"NODE_EXTRA_CA_CERTS": s.files.ca, "NODE_USE_ENV_PROXY": "1",
		"NODE_OPTIONS": "--max-old-space-size=512 --require=" + s.files.preload,
		"KB_SESSION":   s.ID, "KB_PROFILE": "work", "GIT_TERMINAL_PROMPT": "0", "EDITOR": "vi",
		"GIT_CONFIG_KEY_0": "core.editor",
	} {
		if got := value(s, name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"ANTHROPIC_API_KEY", "AWS_PROFILE", "SSH_AUTH_SOCK", "GIT_ASKPASS", "SSLKEYLOGFILE", "KB_IDENTITY"} {
		if got := value(s, name); got != "" {
			t.Errorf("%s was left in the environment", name)
		}
		if !strings.Contains(strings.Join(s.Notes(), "\n"), name) {
			t.Errorf("nobody is told that %s was taken", name)
		}
	}
	own, others := value(s, "GITHUB_TOKEN"), value(s, "KB_OSS_GITHUB_TOKEN")
	if !strings.HasPrefix(own, "ghp_") || len(own) != 40 || own != value(s, "GH_TOKEN") {
		t.Errorf("GITHUB_TOKEN is %q, GH_TOKEN %q: want one placeholder of GitHub's shape", own, value(s, "GH_TOKEN"))
	}
	if others == "" || others == own {
		t.Errorf("the other profile's placeholder is %q", others)
	}
	hosts, err := os.ReadFile(filepath.Join(value(s, "GH_CONFIG_DIR"), "hosts.yml"))
	if err != nil || !strings.Contains(string(hosts), own) {
		t.Errorf("gh's hosts.yml lacks the placeholder: %v", err)
	}
	again := f.start(f.workDir)
	if value(again, "GITHUB_TOKEN") == own {
		t.Error("two sessions have the same placeholder")
	}
}

// TestGitObeysTheSession asks git itself what it would do.
func TestGitObeysTheSession(t *testing.T) {
	f := newFixture(t)
	// A user's own longer prefix rule beats kb's prefix, but not an exact URL.
	if err := os.WriteFile(filepath.Join(f.options.Paths.Home, ".gitconfig"), []byte(
		"[user]\n\temail = global@home.example\n[url \"ssh://git@github.com/\"]\n\tinsteadOf = git@github.com:acme/\n[credential]\n\thelper = !echo password=stolen\n[http]\n\tproxy = http://elsewhere.example:1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.git("-C", f.workDir, "config", "user.email", "local@home.example")
	f.git("-C", f.workDir, "remote", "set-url", "origin", "ssh://git@github.com/acme/api.git")
	s := f.start(f.workDir)
	ask := func(args ...string) string {
		t.Helper()
		r := testkit.Exec(t, testkit.Command{Dir: f.workDir, Env: s.Environment(), Args: append([]string{"git"}, args...), Stdin: strings.NewReader("protocol=https\nhost=github.com\npath=acme/api.git\n\n")})
		if r.Code != 0 {
			t.Fatalf("git %s: %s", strings.Join(args, " "), r.All())
		}
		return strings.TrimSpace(r.Stdout)
	}
	for _, c := range []struct{ args, want string }{
		{"config user.email", "me@acme.example"},
		{"config http.proxy", value(s, "HTTPS_PROXY")},
		{"ls-remote --get-url origin", "https://github.com/acme/api.git"},
		{"ls-remote --get-url git@github.com:libre/tool.git", "https://github.com/libre/tool.git"},
		{"ls-remote --get-url ssh://git@github.com/libre/tool.git", "https://github.com/libre/tool.git"},
		{"ls-remote --get-url git@elsewhere.example:libre/tool.git", "git@elsewhere.example:libre/tool.git"},
	} {
		if got := ask(strings.Fields(c.args)...); got != c.want {
			t.Errorf("git %s says %q, want %q", c.args, got, c.want)
		}
	}
	filled := ask("credential", "fill")
	if strings.Contains(filled, "stolen") || !strings.Contains(filled, "password=kb-placeholder") {
		t.Errorf("git's credentials are %q, want kb's placeholder alone", filled)
	}
}

func TestSessionLeavesNothingBehind(t *testing.T) {
	f := newFixture(t)
	s := f.start(f.workDir)
	dir := s.files.dir
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("session folder: %v, %v", info, err)
	}
	s.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the session's folder is still there: %v", err)
	}
	report, err := f.broker.VerifyAudit()
	if err != nil || !report.OK() || report.Lines == 0 {
		t.Errorf("audit: %+v, %v", report, err)
	}
}

func TestGrantedSetIsFixedBySpawn(t *testing.T) {
	f := newFixture(t)
	f.edit(func(tx *vaultfile.Tx) error {
		return tx.PutProfile(profile.Profile{Name: "work", Also: []string{"oss"}})
	})
	s := f.start(f.workDir)
	if !slices.Equal(s.granted, []string{"work", "oss"}) {
		t.Errorf("granted %v, want the profile's also as well", s.granted)
	}
	if _, err := f.broker.StartSession(t.Context(), SessionSpec{Dir: f.workDir, Also: []string{"nobody"}, Environ: f.environ()}); err == nil {
		t.Error("an unknown profile was granted")
	}
}
