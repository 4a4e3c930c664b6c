package secretref_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zalando/go-keyring"

	"kb/internal/testkit"
)

// The programs of managers are doubles here. Each wants the arguments that the
// vendor's page has, and fails with them on its standard error otherwise.

// want is the beginning of a program that takes these arguments and no other.
func want(args string) string {
	return `[ "$*" = "` + args + `" ] || { echo "argv: $*" >&2; exit 64; }` + "\n"
}

// https://developer.1password.com/docs/cli/reference/commands/read
func TestOnePassword(t *testing.T) {
	d := newDevice(t, "OP_SERVICE_ACCOUNT_TOKEN=ops_x")
	d.program("op", want("read --no-newline op://Work/API Key/credential")+`[ "$OP_SERVICE_ACCOUNT_TOKEN" = ops_x ] && printf %s `+canary)
	gets(t, d.resolver(), "op://Work/API Key/credential", canary)
	d.program("op", `echo "[ERROR] 2026/11/26 could not read secret: item isn't in vault" >&2; exit 1`)
	refuses(t, d.resolver(), "op://Work/none/credential", "exit status 1: [ERROR] 2026/11/26 could not read secret: item isn't in vault")
	refuses(t, d.resolver(), "op://Work", "it is op://VAULT/ITEM/FIELD")
	os.Remove(filepath.Join(d.bin, "op"))
	refuses(t, d.resolver(), "op://Work/none/credential", `program "op" (1Password CLI) is not in PATH: install it`)
}

// https://bitwarden.com/help/cli/#get, and --nointeraction of
// https://bitwarden.com/help/cli/#global-options
func TestBitwarden(t *testing.T) {
	d := newDevice(t, "BW_SESSION=s")
	d.program("bw", `case "$*" in
"--nointeraction get item github.com") echo '{"object":"item","login":{"username":"me","password":"`+canary+`","totp":"seed"},"notes":"a note","fields":[{"name":"API key","value":"field value","type":1}]}' ;;
"--nointeraction get totp github.com") echo 123456 ;;
*) echo "argv: $*" >&2; exit 64 ;;
esac`)
	r := d.resolver()
	for ref, want := range map[string]string{
		"bw://github.com": canary, "bw://github.com#password": canary, "bw://github.com#username": "me",
		"bw://github.com#notes": "a note", "bw://github.com#API key": "field value", "bw://github.com#API%20key": "field value", "bw://github.com#totp": "123456",
	} {
		gets(t, r, ref, want)
	}
	refuses(t, r, "bw://github.com#none", `no field "none"`)
	refuses(t, r, "bw://--help", "hyphen")
	d.program("bw", `echo "Vault is locked." >&2; exit 1`)
	refuses(t, d.resolver(), "bw://github.com", "Vault is locked.")
}

// https://getsops.io/docs/#extract-a-sub-part-of-a-document-tree
func TestSOPS(t *testing.T) {
	d := newDevice(t)
	file := d.write("secrets.yaml", "sops: {}\n", 0o600)
	d.program("sops", `case "$*" in
"decrypt --extract [\"db\"][\"password\"] `+file+`") printf %s `+canary+` ;;
"decrypt --extract [\"token\"] `+file+`") printf %s token ;;
"decrypt `+file+`") printf 'token: token\n' ;;
*) echo "argv: $*" >&2; exit 64 ;;
esac`)
	r := d.resolver()
	gets(t, r, "sops:"+file+"#/db/password", canary)
	gets(t, r, "sops:"+file+"#token", "token")
	gets(t, r, "sops:"+file, "token: token")
	refuses(t, r, "sops:relative.yaml#x", "absolute")
	refuses(t, r, "sops:"+file+`#a"]["b`, "cannot be named")
}

// TestRealSOPS decrypts a file that SOPS itself encrypted, where it and
// age-keygen are installed.
func TestRealSOPS(t *testing.T) {
	for _, program := range []string{"sops", "age-keygen"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("skipped: %s is not installed", program)
		}
	}
	d := newDevice(t, "PATH="+os.Getenv("PATH"))
	key := filepath.Join(d.home, "age.txt")
	out, err := exec.Command("age-keygen", "-o", key).CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	_, recipient, _ := strings.Cut(strings.TrimSpace(string(out)), "age1")
	file := d.write("secrets.yaml", "db:\n    password: "+canary+"\n", 0o600)
	encrypt := exec.Command("sops", "encrypt", "--age", "age1"+recipient, "--in-place", file)
	encrypt.Dir = d.home
	if out, err := encrypt.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if data, _ := os.ReadFile(file); strings.Contains(string(data), canary) {
		t.Fatal("the file is not encrypted")
	}
	d.set("SOPS_AGE_KEY_FILE=" + key)
	gets(t, d.resolver(), "sops:"+file+"#/db/password", canary)
	d.set("SOPS_AGE_KEY_FILE=" + key + ".none")
	refuses(t, d.resolver(), "sops:"+file+"#/db/password", "sops failed")
}

// https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access
func TestGoogle(t *testing.T) {
	d := newDevice(t)
	var asked []string
	answer := func(value string, sum uint32) string {
		return fmt.Sprintf(`{"name":"x","payload":{"data":%q,"dataCrc32c":"%d"}}`, base64.StdEncoding.EncodeToString([]byte(value)), sum)
	}
	castagnoli := func(s string) uint32 { return crc32.Checksum([]byte(s), crc32.MakeTable(crc32.Castagnoli)) }
	d.o.Client = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Host+r.URL.Path)
		switch {
		case r.Header.Get("Authorization") != "Bearer ya29.token":
			w.WriteHeader(401)
			w.Write([]byte(`{"error":{"code":401,"status":"UNAUTHENTICATED","message":"body-canary"}}`))
		case strings.HasSuffix(r.URL.Path, "/secrets/api/versions/latest:access"):
			w.Write([]byte(answer(canary, castagnoli(canary))))
		case strings.HasSuffix(r.URL.Path, "/secrets/json/versions/7:access"):
			value := `{"token":"` + canary + `"}`
			w.Write([]byte(answer(value, castagnoli(value))))
		case strings.HasSuffix(r.URL.Path, "/secrets/broken/versions/latest:access"):
			w.Write([]byte(answer(canary, 1)))
		default:
			w.WriteHeader(404)
			w.Write([]byte(`{"error":{"code":404,"status":"NOT_FOUND"}}`))
		}
	}))
	// https://cloud.google.com/sdk/gcloud/reference/auth/print-access-token
	d.program("gcloud", want("auth print-access-token")+"echo ya29.token")
	r := d.resolver()
	gets(t, r, "gcpsm://acme-prod/api", canary)
	gets(t, r, "gcpsm://projects/acme-prod/secrets/api/versions/latest", canary)
	gets(t, r, "gcpsm://acme-prod/json?version=7#token", canary)
	gets(t, r, "gcpsm://acme-prod/api?location=europe-west1", canary)
	if at := asked[len(asked)-1]; at != "secretmanager.europe-west1.rep.googleapis.com/v1/projects/acme-prod/locations/europe-west1/secrets/api/versions/latest:access" {
		t.Errorf("asked at %s", at)
	}
	refuses(t, r, "gcpsm://acme-prod/broken", "checksum")
	refuses(t, r, "gcpsm://acme-prod/none", "404 NOT_FOUND")
	refuses(t, r, "gcpsm://acme-prod/api?location=evil.example", "not a location")
	refuses(t, r, "gcpsm://api", "it is gcpsm://PROJECT/SECRET")
	d.program("gcloud", "echo ya29.other")
	refuses(t, d.resolver(), "gcpsm://acme-prod/api", "401 UNAUTHENTICATED")
}

// fakeVault is what the API pages of HashiCorp Vault and OpenBao say of the KV
// engine: version 2 at secret/ and team/kv/, version 1 at old/.
// https://openbao.org/api-docs/secret/kv/kv-v2/#read-secret-version
func fakeVault(t *testing.T) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Vault-Token") != "hvs.token" || r.Header.Get("X-Vault-Request") != "true" {
			w.WriteHeader(403)
			w.Write([]byte(`{"errors":["permission denied body-canary"]}`))
			return
		}
		reply := func(v any) { _ = json.NewEncoder(w).Encode(map[string]any{"data": v}) }
		mount := func(path, version string) {
			reply(map[string]any{"path": path, "type": "kv", "options": map[string]string{"version": version}})
		}
		v2 := func(data any) { reply(map[string]any{"data": data, "metadata": map[string]int{"version": 2}}) }
		switch path := strings.TrimPrefix(r.URL.EscapedPath(), "/v1/") + "?" + r.URL.RawQuery; path {
		case "sys/internal/ui/mounts/secret/app/api?", "sys/internal/ui/mounts/secret/one?", "sys/internal/ui/mounts/secret/with%20space?":
			mount("secret/", "2")
		case "sys/internal/ui/mounts/team/kv/api?":
			mount("team/kv/", "2")
		case "sys/internal/ui/mounts/old/api?":
			mount("old/", "1")
		case "secret/data/app/api?", "team/kv/data/api?":
			v2(map[string]string{"token": canary, "user": "me"})
		case "secret/data/app/api?version=1":
			v2(map[string]string{"token": "the first"})
		case "secret/data/one?", "secret/data/with%20space?":
			v2(map[string]string{"value": canary})
		case "old/api?":
			reply(map[string]string{"token": canary})
		default:
			w.WriteHeader(404)
			w.Write([]byte(`{"errors":[]}`))
		}
	}
}

func TestVaultOfHashiCorp(t *testing.T) {
	d := newDevice(t, "VAULT_ADDR=https://vault.acme.example:8200", "VAULT_TOKEN=hvs.token")
	d.o.Client = serve(t, fakeVault(t))
	d.o.Anchors = anchors{}
	r := d.resolver()
	for ref, want := range map[string]string{
		"vault://secret/app/api#token": canary, "vault://secret/app/api?version=1#token": "the first", "vault://secret/one": canary,
		"vault://team/kv/api#user": "me", "vault://old/api#token": canary, "vault://old/api?kv=1": canary, "vault://secret/with%20space": canary,
	} {
		gets(t, r, ref, want)
	}
	refuses(t, r, "vault://secret/app/api", "it has 2 fields")
	refuses(t, r, "vault://secret/app/api#none", `no field "none"`)
	refuses(t, r, "vault://secret/none", "vault.acme.example:8200 answered 404")
	refuses(t, r, "vault://old/api?version=1", "keeps no versions")
	refuses(t, r, "vault://secret/../sys/raw", "of dots")
	refuses(t, r, "vault://secret", "it is vault://MOUNT/PATH#FIELD")

	d.set("VAULT_TOKEN=")
	refuses(t, d.resolver(), "vault://secret/one", "no token")
	d.write(".vault-token", "hvs.token\n", 0o600)
	gets(t, d.resolver(), "vault://secret/one", canary)
	d.set("VAULT_TOKEN=wrong")
	refuses(t, d.resolver(), "vault://secret/one", "answered 403")
	d.set("VAULT_ADDR=http://vault.acme.example:8200")
	refuses(t, d.resolver(), "vault://secret/one", "not an https:// address")
}

// TestAttackVaultAddress: whoever sets VAULT_ADDR for kb would get the token.
func TestAttackVaultAddress(t *testing.T) {
	d := newDevice(t, "VAULT_ADDR=https://vault.acme.example", "VAULT_TOKEN=hvs.token")
	var evil []string
	vault := fakeVault(t)
	d.o.Client = serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "vault.acme.example" {
			evil = append(evil, r.Header.Get("X-Vault-Token"))
		}
		vault(w, r)
	}))
	d.o.Anchors = anchors{}
	gets(t, d.resolver(), "vault://secret/one", canary)
	for _, address := range []string{"VAULT_ADDR=https://evil.example", "BAO_ADDR=https://evil.example", "VAULT_ADDR=https://vault.acme.example@evil.example"} {
		d.set(address)
		refuses(t, d.resolver(), "vault://secret/one", "VAULT_ADDR")
	}
	if len(evil) > 0 {
		t.Errorf("another server was sent %q", evil)
	}
	// The control: without the device's memory the token does go there.
	d.o.Anchors = nil
	d.set("VAULT_ADDR=https://evil.example")
	gets(t, d.resolver(), "vault://secret/one", canary)
	if len(evil) == 0 {
		t.Error("the control did not reach the other server")
	}
}

// TestRealVault asks a development server of OpenBao or HashiCorp Vault, where
// one is installed.
func TestRealVault(t *testing.T) {
	program := ""
	for _, name := range []string{"bao", "vault"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Skip("skipped: neither bao nor vault is installed")
	}
	d := newDevice(t)
	// A port of its own: the server takes an address and says nothing of the one it got.
	address := testkit.FreeAddress(t)
	env := append(os.Environ(), "HOME="+d.home, "BAO_ADDR=http://"+address, "VAULT_ADDR=http://"+address, "BAO_TOKEN=root", "VAULT_TOKEN=root")
	server := exec.Command(program, "server", "-dev", "-dev-root-token-id=root", "-dev-listen-address="+address, "-dev-no-store-token")
	server.Env = env
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	cli := func(args ...string) error {
		c := exec.Command(program, args...)
		c.Env = env
		out, err := c.CombinedOutput()
		if err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
		return nil
	}
	for deadline := time.Now().Add(20 * time.Second); cli("status") != nil; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer")
		}
	}
	for _, args := range [][]string{
		{"secrets", "enable", "-path=old", "-version=1", "kv"},
		{"secrets", "enable", "-path=kv/two", "-version=2", "kv"},
		{"kv", "put", "-mount=kv/two", "app/api", "token=first"},
		{"kv", "put", "-mount=kv/two", "app/api", "token=" + canary, "user=me"},
		{"kv", "put", "-mount=old", "app", "token=" + canary},
	} {
		if err := cli(args...); err != nil {
			t.Fatal(err)
		}
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	d.o.Client = func() (*http.Client, error) { return client, nil }
	d.set("VAULT_ADDR=http://" + address)
	d.set("VAULT_TOKEN=root")
	r := d.resolver()
	gets(t, r, "vault://kv/two/app/api#token", canary)
	gets(t, r, "vault://kv/two/app/api?version=1", "first")
	gets(t, r, "vault://old/app", canary)
	refuses(t, r, "vault://kv/two/none", "answered 404")
	d.set("VAULT_TOKEN=wrong")
	refuses(t, d.resolver(), "vault://kv/two/app/api#token", "answered 403")
	client.CloseIdleConnections()
}

// TestKeyring uses the library's own double.
func TestKeyring(t *testing.T) {
	keyring.MockInit()
	if err := keyring.Set("kb/test", "me", canary); err != nil {
		t.Fatal(err)
	}
	r := newDevice(t).resolver()
	gets(t, r, "keyring:kb/test/me", canary)
	refuses(t, r, "keyring:kb/test/nobody", "nothing is there")
	refuses(t, r, "keyring:me", "it is keyring:SERVICE/ACCOUNT")
}
