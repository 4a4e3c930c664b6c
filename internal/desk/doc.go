// Package desk is what the dashboard works at: the broker, the sessions' control
// sockets and the audit, as the Backend that kb/tui declares.
//
// # How methods are written
//
// [Desk.open] gives the broker, and opens it where it is not open yet: the first
// frame is drawn before that. Errors leave through [Desk.advise], which adds the
// command that mends them, so that the dashboard says what the command line says.
// Methods are called from several goroutines at once, as is the broker. What runs in
// a goroutine of its own begins with [Desk.beside], or defers [Desk.caught].
//
// # What it leaves out
//
// It draws nothing and asks nobody: what needs the terminal itself is run by
// [Desk.Command], with the screen given back meanwhile.
package desk
