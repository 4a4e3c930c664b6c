package state

import (
	"errors"
)

// Scope says who can read a held identity.
type Scope string

// Scopes.
const (
	// ScopeSession: the processes of this login session. A program that runs
	// with a fresh session keyring cannot read it, and cannot get back in.
	ScopeSession Scope = "session"
	// ScopeUser: every process of this user, for there is no login session
	// with a keyring of its own (a container, a service, su). A program that
	// knows how can read it, whatever its session keyring and its user
	// namespace are, unless DenyKeyrings came before it.
	ScopeUser Scope = "user"
)

// Errors of held identities.
var (
	// ErrNoKeyring: the system has no keyring that kb can use.
	ErrNoKeyring = errors.New("no kernel keyring to hold the unlocked identity in")
	// ErrNotHeld: nothing is held for that identity file, or no longer.
	ErrNotHeld = errors.New("identity is locked")
)
