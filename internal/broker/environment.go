package broker

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"kb/internal/secretref"
)

// proxyVariables name the session's proxy to every client known; both cases,
// because curl reads http_proxy in lower case only and others the reverse.
var proxyVariables = []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"}

// bundleVariables name a file that replaces the system's certificates.
// The clients that read each are listed in docs/clients.md.
var bundleVariables = []string{
	"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "AWS_CA_BUNDLE", "PIP_CERT",
	"CARGO_HTTP_CAINFO", "NPM_CONFIG_CAFILE", "NIX_SSL_CERT_FILE", "HTTPLIB2_CA_CERTS",
	"GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", "CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", "HEX_CACERTS_PATH",
	"BUNDLE_SSL_CA_CERT", "CODEX_CA_CERTIFICATE",
}

// addedVariables name a file that is read besides the client's own roots.
var addedVariables = []string{"NODE_EXTRA_CA_CERTS", "DENO_CERT"}

// ambient are variables outside the catalogue that hand a child an identity,
// or a way round the proxy, which its profile did not grant.
var ambient = []string{
	"SSH_AUTH_SOCK", "GPG_AGENT_INFO",
	"AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_BEARER_TOKEN_BEDROCK",
	"GOOGLE_APPLICATION_CREDENTIALS", "CLOUDSDK_AUTH_ACCESS_TOKEN", "AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PATH",
	"GIT_ASKPASS", "SSH_ASKPASS", "GIT_SSH", "GIT_SSH_COMMAND", "GIT_PROXY_COMMAND",
	"SSLKEYLOGFILE", "SSL_CERT_DIR",
	"OP_SERVICE_ACCOUNT_TOKEN", "OP_CONNECT_TOKEN", "BW_SESSION", "BW_PASSWORD", "BW_CLIENTSECRET", "VAULT_TOKEN", "BAO_TOKEN", "SOPS_AGE_KEY",
	"KB_IDENTITY", "KB_IDENTITY_FILE", "KB_PASSPHRASE",
}

// environment builds a child's variables: set replaces, drop removes.
type environment struct {
	values map[string]string
	order  []string
}

func newEnvironment(environ []string) *environment {
	e := &environment{values: make(map[string]string, len(environ)+48)}
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok && name != "" {
			e.set(name, value)
		}
	}
	return e
}

func (e *environment) set(name, value string) {
	if _, ok := e.values[name]; !ok {
		e.order = append(e.order, name)
	}
	e.values[name] = value
}

func (e *environment) get(name string) string { return e.values[name] }

// drop removes a variable and reports whether it held anything.
func (e *environment) drop(name string) bool {
	value, ok := e.values[name]
	delete(e.values, name)
	return ok && value != ""
}

func (e *environment) list() []string {
	out := make([]string, 0, len(e.values))
	for _, name := range e.order {
		if value, ok := e.values[name]; ok {
			out = append(out, name+"="+value)
		}
	}
	return slices.Compact(out)
}

// sessionFiles are the paths of what the child may see of its session.
type sessionFiles struct {
	dir, bundle, ca, preload, php, gh string
}

// childEnvironment is the whole environment of the session's child, and the
// names of the variables that were taken from the parent's.
func (s *Session) childEnvironment(parent []string) (env []string, removed []string) {
	e := newEnvironment(parent)
	for _, catalog := range s.broker.catalogs() {
		for _, entry := range catalog.Index() {
			for _, name := range entry.Env {
				if e.drop(name) {
					removed = append(removed, name)
				}
			}
		}
	}
	for _, name := range ambient {
		if e.drop(name) {
			removed = append(removed, name)
		}
	}
	// What a reference reads is a secret under a name of the user's choice.
	for _, l := range s.broker.All().Logins {
		for field, ref := range l.Refs {
			if name := secretref.Variable(ref); name != "" && s.broker.wantedHere(l, field, ref) && e.drop(name) {
				removed = append(removed, name)
			}
		}
	}
	sort.Strings(removed)
	removed = slices.Compact(removed)

	proxyURL := fmt.Sprintf("http://kb:%s@%s", s.token.Reveal(), s.address)
	for _, name := range proxyVariables {
		e.set(name, proxyURL)
	}
	e.set("NO_PROXY", "localhost,127.0.0.1,::1")
	e.set("no_proxy", "localhost,127.0.0.1,::1")
	for _, name := range bundleVariables {
		e.set(name, s.files.bundle)
	}
	for _, name := range addedVariables {
		e.set(name, s.files.ca)
	}
	e.set("NODE_USE_ENV_PROXY", "1")
	require := "--require=" + nodeQuote(s.files.preload)
	if old := e.get("NODE_OPTIONS"); old != "" {
		require = old + " " + require
	}
	e.set("NODE_OPTIONS", require)
	// An empty entry stands for PHP's own folder, which stays the first.
	e.set("PHP_INI_SCAN_DIR", e.get("PHP_INI_SCAN_DIR")+":"+s.files.php)
	e.set("KB_SESSION", s.ID)
	e.set("KB_PROFILE", s.show(s.own))
	for _, p := range s.placeholders.forEnvironment(s.own, s.show) {
		e.set(p.variable, p.value)
	}
	if s.files.gh != "" {
		e.set("GH_CONFIG_DIR", s.files.gh)
	}
	s.gitEnvironment(e)
	return e.list(), removed
}

// nodeQuote quotes a path for NODE_OPTIONS, which splits at spaces and knows
// double quotes and backslashes (nodejs.org/api/cli.html#node_optionsoptions).
func nodeQuote(path string) string {
	if !strings.ContainsAny(path, " \"\\") {
		return path
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(path) + `"`
}
