// Package desk is what the dashboard works at: the broker, the sessions' control
// sockets and the audit, as the Backend that kb/tui declares.
package desk
