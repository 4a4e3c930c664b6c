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
// # First trust
//
// age does not say who wrote a file, so a new device must learn by another way
// whose signature to believe. It shows a [JoinRequest] and its fingerprint of
// five words. A person compares them on a device of the vault, which then
// shows a code of six words ([Approve]); typed on the new device, it names the
// approving device among those in the file ([TrustByCode]).
//
// The attacker to think of holds the git host and the way that the request
// takes. He reads and swaps both, and may know every public key; he does not
// control what the two screens show and what the person types.
//
//   - He swaps the request for one with keys of his own. The approving device
//     shows the fingerprint of what arrived. To make it the same he needs a
//     second preimage of 80 bits of SHA-256, over a request with a random
//     nonce that he first sees when he must answer: some 2^80 hashes.
//   - He swaps the vault for one of his own, encrypted to the new device. The
//     code is over the vault's id, the approver's id and signing key, and the
//     whole request. A signing key of his that gives the same code is a second
//     preimage of 96 bits: some 2^96 hashes and as many keys, and that only if
//     he knows the vault's id, which is encrypted; else he can but guess. One
//     file holds at most 2^17 devices to guess with: 2^-79 a try, and each try
//     is a person typing the code.
//   - He copies the approver's record into a vault of his own. The code names
//     the approver then, and trust begins there: no chain leads from it to his
//     signature or to a recipient of his.
//   - He replays an old code: it is for another nonce.
//   - The person says yes without comparing. The attacker is in the vault; but
//     the code is over his request, so the new device refuses it, and that is
//     when it is noticed.
//
// A birthday does not help him in either, for he chooses neither the new
// device's request nor the approver's key. 16 bits a word come out as
// proquints: no list of words to ship, nothing that differs by language.
//
// A key on paper ([Tx.AddPaper], [OpenPaper]) is a device whose signing key is
// derived from its age key. It vouches for the devices there are when it is
// made, so trust can begin at what one line of paper holds. It cannot tell an
// old vault from the newest: nothing on the paper is younger than the paper.
//
// # Removal
//
// A removed device signs nothing any more and is encrypted to no more. What it
// has read it knows: [File.Checklist] lists it, until each secret is another.
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
