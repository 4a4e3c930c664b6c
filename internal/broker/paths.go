package broker

import (
	"errors"
	"path/filepath"
)

// Paths are the folders of kb on this device.
type Paths struct {
	Config  string // config.toml, vault.age
	State   string // identity, sealed state, audit
	Runtime string // one folder per session, and their control sockets
	Home    string // what ~ means
}

// ErrNoHome says that there is no folder to keep anything in.
var ErrNoHome = errors.New("find home directory: HOME is not set")

// FindPaths reads the XDG variables (XDG Base Directory Specification 0.8)
// through getenv; relative values are ignored, as it says. macOS uses the same
// folders, so that dotfiles are the same on both.
func FindPaths(getenv func(string) string) (Paths, error) {
	home := getenv("HOME")
	if !filepath.IsAbs(home) {
		return Paths{}, ErrNoHome
	}
	folder := func(name, otherwise string) string {
		if dir := getenv(name); filepath.IsAbs(dir) {
			return filepath.Join(dir, "kb")
		}
		return otherwise
	}
	p := Paths{Home: home}
	p.Config = folder("XDG_CONFIG_HOME", filepath.Join(home, ".config", "kb"))
	p.State = folder("XDG_STATE_HOME", filepath.Join(home, ".local", "state", "kb"))
	p.Runtime = folder("XDG_RUNTIME_DIR", filepath.Join(p.State, "run"))
	return p, nil
}

// IdentityFile is where the device's identity is kept in the clear.
func (p Paths) IdentityFile() string { return filepath.Join(p.State, "identity.txt") }

// WrappedIdentityFile is where it is kept wrapped by a passphrase.
func (p Paths) WrappedIdentityFile() string { return filepath.Join(p.State, "identity.age") }

// Vault is where the vault is unless the device's state says otherwise.
func (p Paths) Vault() string { return filepath.Join(p.Config, "vault.age") }

// Audit is the folder of audit files.
func (p Paths) Audit() string { return filepath.Join(p.State, "audit") }

// Control is the folder of the sessions' control sockets.
func (p Paths) Control() string { return filepath.Join(p.Runtime, "ctl") }
