// Package vaultfile reads and writes the vault: one age-encrypted file that is
// kept with the dotfiles and synced by git. docs/format.md describes it byte
// by byte.
//
// # Reading and changing
//
// [Create] makes a vault, [Open] reads one. Open decrypts, checks the
// signature and the chain of device records, and compares the file with the
// last one that this device accepted ([Memory]). [Edit] does the same under a
// lock, applies a change, and saves atomically; unchanged content is not
// rewritten. [Accept] takes a vault that Open refuses as older, edited apart or
// foreign, and is a person's decision.
//
// A device is an [Identity]: the age key that opens vaults and the key that
// signs them. A device that is new to a vault is told by [FirstTrust] whose
// signature to believe; a CI job gets all that it needs from [AddCI] in one
// file.
//
// # Merging
//
// Two vaults that were edited apart have version vectors of which neither holds
// the other. [Open] merges such a file with the one that this device last
// accepted, in memory; the next Edit writes it ([File.Unsaved]). [Merge] does
// the same for git's merge driver. A merge goes field by field, the last writer
// wins, a deletion beats an edit that did not know of it, and lists of what is
// allowed keep both versions until someone settles them ([Conflict]). It is
// commutative, associative and idempotent: in whatever order devices exchange
// what they have, they end at the same vault. [Diff] names what changed.
//
// # Records
//
// A vault is a set of records, as [Contents] shows them. Each field carries
// when and by which device it was last changed, and what is deleted leaves a
// tombstone, so that two devices' edits can be merged field by field. Fields
// that this kb does not know stay as they are; what it must not overlook makes
// it leave the vault alone ([NewerVersionError]).
//
// # Errors
//
// Every way in which a file can be wrong has its own error, and none gives
// partial content. Nothing is repaired.
//
// # What it leaves out
//
// It knows nothing of providers, tokens that a device keeps for itself, or who
// may use what, and nothing of git.
package vaultfile
