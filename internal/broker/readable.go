package broker

import (
	"os"
	"path/filepath"
	"strings"
)

// credentialFiles are where programs keep credentials in the clear, under the
// home directory. Only the names of those that exist are ever looked at.
var credentialFiles = []string{
	".ssh/id_ed25519", ".ssh/id_rsa", ".ssh/id_ecdsa",
	".aws/credentials", ".azure/msal_token_cache.json", ".config/gcloud/credentials.db",
	".config/gcloud/application_default_credentials.json", ".kube/config", ".docker/config.json",
	".config/gh/hosts.yml", ".config/glab-cli/config.yml", ".git-credentials", ".config/git/credentials",
	".netrc", ".npmrc", ".pypirc", ".cargo/credentials.toml", ".gem/credentials",
	".claude/.credentials.json", ".codex/auth.json", ".gemini/oauth_creds.json", ".config/stripe/config.toml",
}

// readableCredentials names the files that an agent of the same user can read:
// kb's own identity, unless a passphrase wraps it, and other programs' stores.
func (b *Broker) readableCredentials() []string {
	var found []string
	if _, err := os.Stat(b.paths.IdentityFile()); err == nil {
		found = append(found, tilde(b.paths.IdentityFile(), b.paths.Home)+" (kb's key; kb init --passphrase wraps it)")
	}
	for _, name := range credentialFiles {
		path := filepath.Join(b.paths.Home, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			found = append(found, tilde(path, b.paths.Home))
		}
	}
	return found
}

// tilde shortens a path under the home directory.
func tilde(path, home string) string {
	if rest, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok {
		return "~/" + rest
	}
	return path
}
