// Package state is what a device keeps for itself, encrypted: pins, the device
// settings that carry trust, tokens, the heads of the audit chains, and the
// last vault that it accepted.
//
// # Store
//
// A [Store] is a directory of small sealed files, one for each name, opened
// with a key that is derived from the device's identity. A name is a class, a
// slash and any text ("pin/" and a directory); on the disk only the class can
// be read. Each blob is XChaCha20-Poly1305 with its file's name as associated
// data, so that a blob moved, swapped or edited is [ErrTampered], never other
// content and never silently nothing.
//
//	state/            0700
//	  store           which key the store was made with
//	  locks/          one empty file for each lock
//	  CLASS/          0700
//	    NAME          0600: "kbs1", 24 bytes of nonce, sealed name and data
//
// What a store cannot notice is a blob that was deleted, or put back from an
// earlier copy of the same blob. Where that matters, the content says so: a
// vault has its clock, the audit its sealed index.
//
// # Locks
//
// [Store.Lock] is an advisory lock of the system (flock) between processes
// and goroutines alike; it is gone with the process that held it.
// [Store.LockToken] is one that a child can be given as well.
//
// # Unlocked identities
//
// [HoldIdentity] leaves an unwrapped identity with the kernel for a while, so
// that a passphrase is typed once a day. See there for who can read it.
package state
