package broker

import (
	"context"
	"errors"
	"time"

	"kb/vaultfile"
)

// Sync says whether the refresh token of a login goes into the vault, for all
// devices, or stays on the device that made the login.
type Sync int

// The zero Sync follows the provider's definition: a refresh token that its
// server keeps is synced, one that it rotates never is.
const (
	SyncDefault Sync = iota
	SyncYes
	SyncNo
)

// OAuthLogin is a login that a person grants at the provider.
type OAuthLogin struct {
	Login  vaultfile.Login   // of a profile by its full name; Scopes are those to ask for, nil means the definition's
	Flow   string            // FlowCode, FlowDevice, or "" for the one that serves here
	Client *vaultfile.Client // typed just now; nil: the vault's, the build's, or one by dynamic registration
	Sync   Sync
	Verify bool // ask the provider whose it is
	NoWait bool // show what a person has to do and return; the same call later goes on with it
	Screen Screen
}

// Flows that a person grants a login by.
const (
	FlowCode   = "code"   // a browser on this machine, or the address that it ended at
	FlowDevice = "device" // a code, typed in any browser
)

// Screen is where a person is told what to do.
type Screen interface {
	// Visit shows where to go. It may be called again, and returns at once.
	Visit(Visit)
	// Redirected returns the address that the person's browser ended at, where
	// that is pasted. It blocks until there is one, or ctx is done; an error
	// means that nobody will paste one.
	Redirected(ctx context.Context) (string, error)
}

// Visit is what a person has to open, and to type there.
type Visit struct {
	URL       string
	Code      string    // to type at URL; "" if there is none to type
	Complete  string    // URL with the code in it, for a QR code; "" where the server has none
	Expires   time.Time // zero when nobody says
	Redirect  string    // where the browser ends in the end, for FlowCode
	PasteOnly bool      // nothing listens at Redirect: its address has to be pasted
	Problem   string    // why this is shown again; "" the first time
}

// Errors of a login that a person grants.
var (
	// ErrNoFlow says that the login's method has no such flow.
	ErrNoFlow = errors.New("login method has no such flow")
	// ErrRotates says that a login cannot be synced: two devices that refresh
	// with one rotating token lose the login for both.
	ErrRotates = errors.New("its refresh tokens change at each use, so that each device needs a login of its own")
	// ErrNoWait says that a flow cannot be left and gone on with later.
	ErrNoWait = errors.New("this flow needs kb to wait for the browser")
)

// LoginOAuth has a person grant a login, and keeps it. One that answers as
// somebody else than the profile expects is revoked and not kept.
func (b *Broker) LoginOAuth(context.Context, OAuthLogin) (LoginResult, error) {
	return LoginResult{}, ErrNoFlow
}
