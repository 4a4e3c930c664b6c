package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/testkit"
)

// TestReadVaultScript: docs/read-vault.py, which was written from
// docs/format.md, lists what kb lists, and tells a forged vault.
func TestReadVaultScript(t *testing.T) {
	for _, program := range []string{"python3", "age"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s is not installed", program)
		}
	}
	kb, home := testkit.BuildKB(t), testkit.NewHome(t)
	secret := testkit.NewCanary("ghp_", 36)
	run := func(stdin string, args ...string) testkit.Result {
		t.Helper()
		return testkit.Exec(t, testkit.Command{Dir: home.Dir, Env: home.Env, Args: args, Stdin: strings.NewReader(stdin)})
	}
	ok := func(stdin string, args ...string) string {
		t.Helper()
		r := run(stdin, args...)
		if r.Code != 0 {
			t.Fatalf("%s: %s", strings.Join(args, " "), r.All())
		}
		return r.Stdout
	}
	ok("", kb, "init", "--device", "laptop")
	ok("", kb, "profile", "add", "work", "--git-name", "Zoë & Co\u2028")
	ok("", kb, "rule", "add", "work", "--remote", "github.com/acme/*")
	ok(secret, kb, "login", "github", "-p", "work", "--stdin", "--no-verify")
	ok("", kb, "profile", "add", "gone")
	ok("", kb, "profile", "rm", "gone")

	script, err := filepath.Abs("../../docs/read-vault.py")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(script); err != nil || bytes.Count(text, []byte("\n")) > 100 {
		t.Errorf("read-vault.py has %d lines, want at most 100 (%v)", bytes.Count(text, []byte("\n")), err)
	}
	vault := filepath.Join(home.Dir, ".config", "kb", "vault.age")
	identity := filepath.Join(home.Dir, ".local", "state", "kb", "identity.txt")
	printed := ok("", "python3", script, vault, identity)
	for _, want := range []string{"saved by laptop", "device/laptop", "profile/work", "login/work/github", "rule/r"} {
		if !strings.Contains(printed, want) {
			t.Errorf("the script does not print %q:\n%s", want, printed)
		}
	}
	if strings.Contains(printed, "gone") || strings.Contains(printed, secret) {
		t.Errorf("the script prints what it should not:\n%s", printed)
	}

	// The files of the format's first version.
	fixtures, err := filepath.Abs("../../vaultfile/testdata/v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"empty.age", "full.age", "full-crlf.age", "merged.age"} {
		ok("", "python3", script, filepath.Join(fixtures, name), filepath.Join(fixtures, "identity.txt"))
	}

	// Whoever knows the recipient can make a file that age opens.
	payload := ok("", "age", "-d", "-i", identity, vault)
	recipient := strings.TrimSpace(ok("", "sed", "-n", "s/^# public key: //p", identity))
	forge := func(text string) testkit.Result {
		t.Helper()
		path := filepath.Join(home.Dir, "forged.age")
		ok(text, "age", "-a", "-r", recipient, "-o", path)
		return run("", "python3", script, path, identity)
	}
	if r := forge(payload); r.Code != 0 {
		t.Errorf("control: the payload as it was: %s", r.All())
	}
	if r := forge(strings.Replace(payload, `{"clock"`, `{ "clock"`, 1)); r.Code == 0 || !strings.Contains(r.Stderr, "not canonical") {
		t.Errorf("white space was not found: %s", r.All())
	}
	changed := forge(strings.Replace(payload, "github.com/acme", "github.com/evil", 1))
	if run("", "python3", "-c", "import cryptography").Code != 0 {
		if !strings.Contains(changed.Stdout, "signature not checked") {
			t.Errorf("without cryptography: %s", changed.All())
		}
		t.Skip("skipped: python3-cryptography is not installed: signatures were not checked")
	}
	if changed.Code == 0 || !strings.Contains(changed.Stderr, "bad signature") {
		t.Errorf("a changed payload was not found: %s", changed.All())
	}
	if !strings.Contains(printed, "signature good") {
		t.Errorf("a good signature was not said to be:\n%s", printed)
	}
}
