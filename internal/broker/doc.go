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
// # The request path
//
// [Session.Route] and [Session.Authorize] read one immutable snapshot behind an
// atomic pointer: no file, no lock and no lookup chain.
package broker
