package archtest

import (
	"fmt"
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// revealers are the files that may call secret.Value.Reveal, each with the
// door through which the bytes leave there. Files of tests are free.
var revealers = map[string]string{
	"internal/secret/secret.go": "the type itself: comparison and the check for line breaks",

	"cmd/kb/device_addci.go":          "the file that kb device add-ci makes, where the user asked for it",
	"cmd/kb/device_recovery.go":       "the recovery key is shown once, for paper",
	"cmd/kb/login_client.go":          "a client's id, which is none, comes with its secret from standard input",
	"cmd/kb/login_screen.go":          "the address that a browser ended at goes to the flow that waits for it",
	"cmd/kb/plugins.go":               "what an age plugin asks for goes to that plugin",
	"internal/desk/loginflow.go":      "the address that a browser ended at goes to the flow that waits for it; a client's id, which is none, comes with its secret",
	"internal/adopt/adopt.go":         "a program's own file is read member by member, and written with placeholders in their place",
	"internal/broker/device.go":       "the device's identity: parsed where it is used, written to its own file",
	"internal/broker/environment.go":  "the session's proxy token goes into the child's environment",
	"internal/broker/gitconfig.go":    "a remote is compared with its text without a password: one that holds one is left alone",
	"internal/broker/grant.go":        "a login's own keys become what the protocol takes: identifiers as text, a private key with its line breaks",
	"internal/broker/tokenanswer.go":  "a placeholder of a JWT has its claims, not its signature",
	"internal/broker/pending.go":      "a device code that is not waited for goes into the encrypted state",
	"internal/broker/login.go":        "the provider's identity endpoint is asked with the login itself",
	"internal/oauth/errors.go":        "what a server quotes of a request is taken out of the error",
	"internal/oauth/jwt.go":           "a private key is parsed and signs; an App's assertion goes to its API",
	"internal/oauth/loopback.go":      "state and the verifier's hash go into the address that the browser opens",
	"internal/oauth/device.go":        "the device code goes to the token endpoint",
	"internal/oauth/register.go":      "an initial access token goes to the registration endpoint",
	"internal/oauth/request.go":       "a client's secret goes to its server",
	"internal/oauth/revoke.go":        "a token goes to the revocation endpoint, to be revoked",
	"internal/oauth/token.go":         "codes, verifiers, refresh tokens and client secrets go to the token endpoint",
	"internal/refresh/wire.go":        "a refresh is handed to kb's own worker, over a socket of the two",
	"internal/refresh/worker.go":      "and its tokens come back the same way",
	"internal/state/token.go":         "tokens go into the device's encrypted state",
	"internal/state/token_journal.go": "a token is hashed; a device code goes into the device's encrypted state",
	"internal/secretref/aws.go":       "an AWS secret key goes to the signer",
	"internal/secretref/google.go":    "an access token goes to Google Secret Manager with the request for a value",
	"internal/secretref/vault.go":     "a token goes to the Vault server that this device uses",
	"internal/state/unlock_linux.go":  "kb unlock: the identity goes into the kernel's keyring",
	"providers/field.go":              "a typed credential is compared with the provider's pattern, which only warns",
	"providers/template.go":           "a credential is put into the shape that its provider wants",
	"proxy/inject.go":                 "the credential goes on the request: the one place where it leaves",
	"proxy/server.go":                 "a session token is refused if it is too short; compared elsewhere with Equal",
	"vaultfile/edit.go":               "logins and clients are checked for what JSON cannot carry",
	"vaultfile/exposed.go":            "whether a secret was changed since a device was removed is a comparison of its bytes",
	"vaultfile/identity.go":           "a passphrase goes to age's scrypt; the identity is wrapped by it",
	"vaultfile/recovery.go":           "the key from the paper is parsed",
	"vaultfile/schema.go":             "logins and clients go into the payload that age encrypts",
}

// TestWhoRevealsSecrets fails when a file takes the bytes out of a
// secret.Value and is not on the list, or is on it and no longer does.
func TestWhoRevealsSecrets(t *testing.T) {
	for _, why := range revealing(allSources(t), revealers) {
		t.Error(why)
	}
}

// revealing compares the files that mention Reveal with the list. Any selector
// of that name counts, called or not: a method value leaks as well as a call.
func revealing(files []*source, list map[string]string) (complaints []string) {
	present := map[string]bool{}
	uses := map[string]bool{}
	for _, s := range files {
		present[s.path] = true
		if s.test() {
			continue
		}
		var first ast.Node
		ast.Inspect(s.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Reveal" && first == nil {
				first = sel
			}
			return true
		})
		if first == nil {
			continue
		}
		uses[s.path] = true
		if list[s.path] == "" {
			complaints = append(complaints, s.at(first)+": reveals a secret and is not on the list in internal/archtest/secrets_test.go; add it with the reason")
		}
	}
	for path := range list {
		if present[path] && !uses[path] {
			complaints = append(complaints, path+": on the list of those who reveal secrets, but does not")
		}
	}
	slices.Sort(complaints)
	return complaints
}

// weakRandom are the files that may use math/rand, each with the reason why
// nobody gains by guessing.
var weakRandom = map[string]string{}

// TestSecretsAreNotGuessable refuses math/rand in what is installed: tokens,
// placeholders, serial numbers and nonces come from crypto/rand.
func TestSecretsAreNotGuessable(t *testing.T) {
	for _, why := range guessable(allSources(t), weakRandom) {
		t.Error(why)
	}
}

func guessable(files []*source, list map[string]string) (complaints []string) {
	for _, s := range files {
		if s.test() || list[s.path] != "" {
			continue
		}
		for _, i := range s.file.Imports {
			if path, _ := strconv.Unquote(i.Path.Value); path == "math/rand" || path == "math/rand/v2" {
				complaints = append(complaints, s.at(i)+": imports "+path+"; secrets come from crypto/rand")
			}
		}
	}
	return complaints
}

// TestNoBackDoorsToTheNetwork refuses what would send a request past kb's own
// roots, resolver and proxy settings, or trust any certificate.
func TestNoBackDoorsToTheNetwork(t *testing.T) {
	for _, why := range backDoors(allSources(t)) {
		t.Error(why)
	}
}

// httpDoors are the names of net/http that use its process-wide client, whose
// transport obeys HTTP_PROXY and SSL_CERT_FILE of the environment and follows
// redirects with headers.
var httpDoors = []string{
	"DefaultClient", "DefaultTransport", "Get", "Head", "Post", "PostForm",
	"ProxyFromEnvironment", "DefaultServeMux", "Handle", "HandleFunc",
}

func backDoors(files []*source) (complaints []string) {
	for _, s := range files {
		if s.test() {
			continue
		}
		name := localName(s.file, "net/http", "http")
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && name != "" && x.Name == name && slices.Contains(httpDoors, n.Sel.Name) {
					complaints = append(complaints, fmt.Sprintf("%s: http.%s is process-wide; make a client of one's own", s.at(n), n.Sel.Name))
				}
				if n.Sel.Name == "InsecureSkipVerify" {
					complaints = append(complaints, s.at(n)+": InsecureSkipVerify: there is no insecure mode")
				}
			case *ast.KeyValueExpr:
				if k, ok := n.Key.(*ast.Ident); ok && k.Name == "InsecureSkipVerify" {
					complaints = append(complaints, s.at(n)+": InsecureSkipVerify: there is no insecure mode")
				}
			}
			return true
		})
	}
	return complaints
}

// localName is the name under which a file imports path, or "".
func localName(f *ast.File, path, usual string) string {
	for _, i := range f.Imports {
		if p, _ := strconv.Unquote(i.Path.Value); p == path {
			if i.Name != nil {
				return i.Name.Name
			}
			return usual
		}
	}
	return ""
}

func TestTheSecretChecksCanFail(t *testing.T) {
	bad := mustParse(t, "proxy/bad.go", `package proxy
import (
	web "net/http"
	"crypto/tls"
	"math/rand/v2"
)
func f(v interface{ Reveal() string }) {
	g := v.Reveal
	_ = g
	_, _ = web.Get("https://acme.example")
	_ = web.DefaultClient
	c := tls.Config{InsecureSkipVerify: true}
	c.InsecureSkipVerify = rand.Int() > 0
}`)
	idle := mustParse(t, "proxy/idle.go", "package proxy\n")
	inTest := mustParse(t, "proxy/bad_test.go", `package proxy
func f(v interface{ Reveal() string }) { v.Reveal() }`)
	files := []*source{bad, idle, inTest}

	if got := revealing(files, map[string]string{"proxy/idle.go": "none", "proxy/gone.go": "not there yet"}); len(got) != 2 ||
		!strings.HasPrefix(got[0], "proxy/bad.go:8: reveals") || !strings.HasPrefix(got[1], "proxy/idle.go: on the list") {
		t.Errorf("revealing = %q", got)
	}
	if got := revealing(files, map[string]string{"proxy/bad.go": "allowed"}); len(got) != 0 {
		t.Errorf("a listed file was refused: %q", got)
	}
	if got := guessable(files, nil); len(got) != 1 {
		t.Errorf("guessable = %q", got)
	}
	if got := backDoors(files); len(got) != 4 {
		t.Errorf("backDoors = %q", got)
	}
}

func mustParse(t *testing.T, path, text string) *source {
	t.Helper()
	s, err := parseSource(path, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}
