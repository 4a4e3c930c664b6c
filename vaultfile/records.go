package vaultfile

import (
	"time"

	"kb/internal/secret"
	"kb/profile"
)

// Login is a profile's standing with one provider.
type Login struct {
	ID       string // record id, "login/PROFILE/PROVIDER" or "login/PROFILE/PROVIDER/AS"
	Profile  string
	Provider string
	As       string                  // empty for the profile's default login at this provider
	Method   string                  // "key", "basic", or a method of the provider's definition
	Secrets  map[string]secret.Value // by field name of the definition: token; username, password; api_key, app_key
	Refs     map[string]string       // field -> reference (env:NAME, file:/path) in place of a value
	Base     string                  // base URL where the definition has {host}; else empty
	Account  string                  // name that the provider answered with; empty when not asked
	Expires  time.Time               // when the key ends, if known
	Created  time.Time
}

// Provider is a provider definition of the user's own, kept in the vault.
type Provider struct {
	Name     string
	TOML     string
	Replaces string
}

// Device is a machine that can open the vault. A device record is signed by
// the device that added it.
type Device struct {
	ID        string // short random id, the key of the version vector
	Name      string // what a person calls it
	Recipient string // age recipient
	SignKey   []byte // Ed25519 public key, 32 bytes
	Kind      string // "device", "ci" or "recovery"
	AddedBy   string // device id
	Signature []byte // Ed25519 by AddedBy over (vault_id, id, recipient, signing key)
	Created   time.Time
}

// Setting is a synced setting of the vault, such as the default profile.
type Setting struct {
	Name  string
	Value string
}

// SettingDefaultProfile names the profile that a directory gets when no rule
// matches. Absent or empty: none.
const SettingDefaultProfile = "default_profile"

// Contents is a vault's records, decoded. It is a copy: changing it changes
// nothing until it is passed to a Tx.
type Contents struct {
	Profiles  []profile.Profile // by name
	Rules     []profile.Rule    // by id
	Logins    []Login           // by id
	Providers []Provider        // by name
	Devices   []Device          // by id
	Settings  []Setting         // by name
}
