// Package broker is the one room that turns (session, request) into a
// credential.
//
// # What it joins
//
// The vault (who the profiles are, which logins they have), the catalogue (how
// a credential goes on a request), the device's state (pins, what the vault
// last was), the audit, and the proxy, whose [proxy.Policy] a [Session]
// implements.
//
// # What a session may use
//
// It is fixed at spawn: the profile that the directory resolved to, and those
// that the user named besides. Which of them a request gets is in choose.go,
// and every answer carries its reason. What the logins hold is live: a key
// replaced or a login removed takes effect in a running session (watch.go).
//
// # Logins that expire
//
// How a login gets its tokens is in the definition; the broker knows which
// client and which server it was made with (client.go, authserver.go), has a
// person grant it (oauthlogin.go) or mints it from the login's own keys
// (grant.go), and keeps what came of it (keeplogin.go): tokens in this device's
// state, a refresh token that does not rotate in the vault too. internal/refresh
// keeps them fresh; what goes on a request changes under the session's feet
// (token.go). A login that ends is revoked, here (logout.go) or when this device
// learns of it (upkeep.go).
//
// # Policy
//
// When the login is chosen, and before a token is got for it, internal/policy
// says whether the request goes on (judge.go). One that it asks about waits for
// a person (approval.go), bounded in number and time, and is then decided anew
// by what the vault says by now.
//
// # The request path
//
// [Session.Route] and [Session.Authorize] read one immutable snapshot behind an
// atomic pointer, and a login's token behind another: no file, no lock and no
// lookup chain. Only who needs a token that is over, or a person's answer, waits.
package broker
