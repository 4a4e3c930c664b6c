package vaultfile

import (
	"errors"
	"fmt"
)

// Ways in which a vault can be wrong. Each error that Open, Edit, Create and
// Accept return for a bad file wraps exactly one of these, or is a
// *NewerVersionError, or comes from the file system.
var (
	// ErrNotVault: an ordinary file, or an age file that holds something else.
	ErrNotVault = errors.New("not a kb vault")
	// ErrMalformed: an armored age file or a payload that breaks the format.
	ErrMalformed = errors.New("malformed vault")
	// ErrNonCanonical: JSON that means something but is not in canonical form.
	ErrNonCanonical = errors.New("vault is not in canonical form")
	// ErrTruncated: the file ends before the vault does.
	ErrTruncated = errors.New("truncated vault")
	// ErrTampered: the authentication of the age file fails.
	ErrTampered = errors.New("vault was tampered with or damaged")
	// ErrTooLarge: larger than the limits of docs/format.md.
	ErrTooLarge = errors.New("vault is too large")
	// ErrWrongKey: the vault is not encrypted to this device.
	ErrWrongKey = errors.New("vault is not encrypted to this device")
	// ErrForeignVault: another vault than the one this device accepted here.
	ErrForeignVault = errors.New("foreign vault: not the one this device knows here")
	// ErrNoTrust: this device has accepted no vault here yet and trusts no
	// signer of it. See FirstTrust.
	ErrNoTrust = errors.New("no trusted signer is known for this vault")
	// ErrUnknownSigner: signed by a device that no chain leads to.
	ErrUnknownSigner = errors.New("vault is signed by a device that is not trusted")
	// ErrRemovedSigner: signed by a device that was removed. It wraps
	// ErrUnknownSigner.
	ErrRemovedSigner = fmt.Errorf("%w: it was removed", ErrUnknownSigner)
	// ErrBadSignature: the signature is not that of the signer's key.
	ErrBadSignature = errors.New("vault has a bad signature")
	// ErrUntrustedDevice: a device record that no trusted device vouches for.
	ErrUntrustedDevice = errors.New("vault holds a device that no trusted device added")
	// ErrRollback: older than what this device accepted.
	ErrRollback = errors.New("vault is older than the one this device last accepted")
	// ErrForked: edited elsewhere without knowing this device's last accepted
	// one, of which there is no copy to merge it with.
	ErrForked = errors.New("vault and the last accepted one were edited apart, and cannot be merged")
)

// Ways in which a call can be wrong while the vault is sound.
var (
	// ErrExists: Create found a file.
	ErrExists = errors.New("vault exists already")
	// ErrReadOnly: the identity may read but not write (ci, recovery).
	ErrReadOnly = errors.New("this identity may only read the vault")
	// ErrNotFound: Delete of a record that is not there.
	ErrNotFound = errors.New("no such record")
	// ErrInvalid: a value that the format has no place for.
	ErrInvalid = errors.New("invalid value")
	// ErrUnsupportedRecipient: what kb cannot encrypt to, or not for a device
	// of that kind.
	ErrUnsupportedRecipient = errors.New("unsupported age recipient")
	// ErrDeviceRemoved: a device that was removed asks to be let in again with
	// its old keys. It is an ErrInvalid.
	ErrDeviceRemoved error = invalidError("it was removed, and a removed device never comes back under its id")
	// ErrSelf: a device would remove itself. It is an ErrInvalid.
	ErrSelf error = invalidError("a device does not remove itself")
	// ErrBadIdentity: not an identity file of kb.
	ErrBadIdentity = errors.New("not a kb identity")
	// ErrPassphrase: the passphrase does not open the identity.
	ErrPassphrase = errors.New("wrong passphrase")
)

// invalidError is an ErrInvalid that says all in words of its own.
type invalidError string

func (e invalidError) Error() string { return string(e) }

// Is makes it an ErrInvalid.
func (e invalidError) Is(target error) bool { return target == ErrInvalid }

// NewerVersionError says that the vault needs a newer kb. Nothing was written.
type NewerVersionError struct {
	Format  int64  // the file's format, when that is what is newer
	Feature string // else: the record type or field that this kb does not know
}

func (e *NewerVersionError) Error() string {
	if e.Feature != "" {
		return fmt.Sprintf("vault uses %s, which needs a newer kb", e.Feature)
	}
	return fmt.Sprintf("vault has format %d, and this kb knows format %d: it needs a newer kb", e.Format, Format)
}

// A FormatError says where a payload breaks the format. It quotes nothing of
// the content, which may be secret.
type FormatError struct {
	Kind   error // ErrMalformed, ErrNonCanonical, ErrTooLarge or ErrNotVault
	Offset int   // byte offset in the decrypted payload
	What   string
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("%v: %s at byte %d of the payload", e.Kind, e.What, e.Offset)
}

func (e *FormatError) Unwrap() error { return e.Kind }
