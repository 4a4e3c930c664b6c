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
	Client   string                  // name of the OAuth client record that it was made with; else empty
	Scopes   []string                // OAuth scopes that were granted, as the server lists them
	Account  string                  // name that the provider answered with; empty when not asked
	Expires  time.Time               // when the key ends, if known
	Created  time.Time
	// DeviceOnly says that the tokens are not in the vault: each device makes
	// this login for itself, for their refresh tokens rotate.
	DeviceOnly bool
	// After lists the removed devices that never could read the secrets: they
	// were gone when these were written. PutLogin fills it.
	After []string
}

// Provider is a provider definition of the user's own, kept in the vault.
type Provider struct {
	Name     string
	TOML     string
	Replaces string
}

// Device is a machine that can open the vault. A device record is signed by
// the device that added it, and by others that know it.
type Device struct {
	ID        string // short random id, the key of the version vector
	Name      string // what a person calls it
	Recipient string // age recipient; of a recovery record also an ssh-ed25519 key or a plugin's
	SignKey   []byte // Ed25519 public key, 32 bytes; empty for ci and for recovery that only reads
	Kind      string // KindDevice, KindCI or KindRecovery
	AddedBy   string // device id
	// Vouched holds, by device id, Ed25519 signatures over (vault_id, id,
	// recipient, signing key). A device that adds or removes one vouches for
	// all, so that a chain leads from it to each, and not only to those that
	// it added itself.
	Vouched map[string][]byte
	Created time.Time
}

// Policy is one line of a profile's policy: what its sessions may ask of a
// provider. An empty condition is none.
type Policy struct {
	ID         string // "p" and eight hex digits; empty in PutPolicy makes a new one
	Profile    string
	Effect     string // "allow", "deny", "ask" or "limit"
	PerMinute  int    // requests a minute, for "limit"; else 0
	Provider   string
	Methods    []string
	Host       string
	Path       string // pattern on the normalised path
	Repository string // pattern on the repository that a request names, as in rules
	Git        string // "read" or "write": git's own requests of that kind
	Mint       bool   // requests that make a new credential
}

// Client is an OAuth client of the user's own, or one that a server gave by
// dynamic registration (RFC 7591).
type Client struct {
	Name              string // key of the record: the provider's name, or PROVIDER@HOST with the host of a base URL or an issuer
	Issuer            string // RFC 8414 issuer, "" when the definition names the endpoints
	ClientID          string
	ClientSecret      secret.Value // empty for a public client
	SecretRef         string       // reference in place of ClientSecret
	RegistrationToken secret.Value // RFC 7592, empty when there is none
	RegistrationURI   string       // RFC 7592
	Redirect          string       // redirect URI that was registered
	Expires           time.Time    // client_secret_expires_at; zero means never
	After             []string     // as Login.After
}

// Kinds of device.
const (
	KindDevice   = "device"   // reads and writes
	KindCI       = "ci"       // reads; its identity is in a file that kb device add-ci wrote
	KindRecovery = "recovery" // a key on paper, which can add a device; or a recipient that the user added, which reads
)

// Setting is a synced setting of the vault, such as the default profile.
type Setting struct {
	Name  string
	Value string
}

// LoginID is the record id of a login; as is empty for the profile's default
// login at the provider.
func LoginID(profileName, provider, as string) string {
	id := "login/" + profileName + "/" + provider
	if as != "" {
		id += "/" + as
	}
	return id
}

// SettingDefaultProfile names the profile that a directory gets when no rule
// matches. Absent or empty: none.
const SettingDefaultProfile = "default_profile"

// Contents is a vault's records, decoded. It is a copy: changing it changes
// nothing until it is passed to a Tx.
type Contents struct {
	Profiles  []profile.Profile // by name; Also is sorted, and in a conflict what all versions have in common
	Rules     []profile.Rule    // by id
	Logins    []Login           // by id
	Providers []Provider        // by name
	Clients   []Client          // by name
	Policies  []Policy          // by id
	Devices   []Device          // by id
	Settings  []Setting         // by name
	Conflicts []Conflict        // by record id; none: nil
}
