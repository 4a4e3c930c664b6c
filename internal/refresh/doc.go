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
// The request itself is made by a small process of its own ([WorkerMain]), which
// holds the lock too, and lives on if the session that started it is killed:
// between the server's change of a rotating refresh token and its saving, nobody
// but the worker can lose it. It is started by whoever holds the lock and finds
// the token still old, is given its job over a socket once its memory is closed
// to others, and has no other way in. Where none can be started the session does
// the request itself.
//
// # What is lost all the same
//
// Who kills the worker within the request loses a rotating login, and so does a
// network that loses the answer. The journal then has the old refresh token's
// hash: it is sent again, because nothing better is known, and if that is refused
// the reason says that an answer was lost. A disk that takes no journal entry has
// nothing asked, and the entry is larger than the tokens, whose room it keeps; one
// that fails between that and saving leaves new tokens in memory, which is said,
// and the lock held.
//
// # When
//
// A token is due when a fifth of its life is left, at most five minutes, less a
// random part of that; a session's background loop sees to it ([Manager.Keep]),
// and so does whoever uses a token that is due. While an old token lives, its
// users do not wait, but for its last seconds: a request may arrive after them.
//
// Two clocks are asked: the wall's, which is set by people, and one that only
// runs. Where they do not agree whether a token lives, a new one is waited for,
// and the old one is used if none comes.
//
// # Who writes tokens
//
// Whoever else replaces or deletes a login's tokens (a login, a logout) holds
// [kb/internal/state.Store.LockToken] for it. A refresh that finds a newer login
// or none when its answer comes does not undo it.
package refresh
