package state

import (
	"time"

	"kb/internal/secret"
)

// LoginKey names a login on this device: the vault as the device calls it, and
// profile, provider and --as name as that vault has them.
type LoginKey struct{ Vault, Profile, Provider, As string }

// Token is what this device holds of a login whose tokens expire.
type Token struct {
	Access   secret.Value
	Refresh  secret.Value // empty where new tokens come from the login's own keys, or not at all
	Type     string
	Obtained time.Time // when the tokens came
	Expires  time.Time // of the access token; zero when nobody knows
	Scopes   []string

	// Made is the time of the login that the tokens come from, so that those of
	// an earlier login do not serve a later one.
	Made time.Time
	// Shared is the hash of the refresh token that the vault held when these
	// tokens were made from it; empty for a login of this device only.
	Shared string

	// Server and Client are JSON of what the tokens were got with, where the
	// definition does not say (dynamic registration); else empty.
	Server []byte
	Client string // name of the client record

	State    string    // as the broker's states; set by whoever refreshed last
	Since    time.Time // of State
	Reason   string
	Failures int       // refreshes in a row that failed without a verdict
	Retry    time.Time // not before
}
