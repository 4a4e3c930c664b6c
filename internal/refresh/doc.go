// Package refresh keeps logins from expiring: it decides when a token is too
// old, sees to it that one process asks for a new one, and that what was asked
// for is not lost.
//
// # The order
//
// In-process single flight; the file lock of the login; the store is read
// again, and a newer token that another process put there is adopted; a journal
// entry with the hash of the old refresh token, on the disk; the request; the
// new tokens, on the disk; the journal entry is cleared; the lock is let go.
// Each arrow of that is a place to be killed, and is tested as one.
//
// The request itself is made by a small process of its own (a [Worker]), which
// holds the lock and lives on if the session that started it is killed: between
// the server's change of a rotating refresh token and its saving, nobody but
// the worker can lose it.
//
// # When
//
// A token is due when a fifth of its life is left, at most five minutes, less a
// random part of that; a session's background loop sees to it ([Manager.Keep]),
// and so does whoever uses a token that is due. While an old token lives, its
// users do not wait.
package refresh
