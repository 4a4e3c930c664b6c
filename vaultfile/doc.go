// Package vaultfile reads and writes the vault: one age-encrypted file that is
// kept with the dotfiles and synced by git. docs/format.md describes it byte
// by byte.
//
// # Reading and changing
//
// [Open] decrypts, checks the signature and the chain of device records, and
// compares the file with the last one that this device accepted ([Memory]).
// [Edit] does the same under a lock, applies a change, and saves atomically;
// unchanged content is not rewritten.
//
// # What it leaves out
//
// It knows nothing of providers, tokens that a device keeps for itself, or who
// may use what. Sync (merging two edited vaults) has its seams here, in the
// stamps and the version vector, and is not in this package yet.
//
// # Errors
//
// Every way in which a file can be wrong has its own error, and none gives
// partial content.
package vaultfile
