package adopt

import (
	"path/filepath"

	"go.yaml.in/yaml/v3"

	"kb/internal/secret"
)

// gh keeps a token for each host, in the system's keyring or, where there is
// none, in its file. The token does not expire, and its copies do not disturb
// each other, so that gh's own stays.
var gh = Source{
	Name: "gh", Title: "GitHub CLI", Provider: "github", Method: "token",
	path: func(p Places) string {
		config := filepath.Join(p.Home, ".config")
		if p.Getenv != nil && filepath.IsAbs(p.Getenv("XDG_CONFIG_HOME")) {
			config = p.Getenv("XDG_CONFIG_HOME")
		}
		return under(Places{Home: config, Getenv: p.Getenv}, "GH_CONFIG_DIR", "gh", "hosts.yml")
	},
	read: func(p Places, f *Found, raw []byte) error {
		var hosts map[string]struct {
			User  string `yaml:"user"`
			Token string `yaml:"oauth_token"`
		}
		// The library's error would quote the file.
		if yaml.Unmarshal(raw, &hosts) != nil {
			return ErrUnreadable
		}
		host, ok := hosts["github.com"]
		if !ok {
			return ErrNone
		}
		f.Account = host.User
		f.Access = secret.New(host.Token)
		if f.Access.IsZero() && p.Keyring != nil {
			if found, err := p.Keyring("gh:github.com", host.User); err == nil {
				f.Access, f.Path = found, ""
			}
		}
		if f.Access.IsZero() {
			return ErrNone
		}
		return nil
	},
}
