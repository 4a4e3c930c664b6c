// Package secretref resolves values that live elsewhere: a vault may hold a
// reference in place of a secret.
//
//	env:NAME                     a variable of kb's own environment
//	file:/path                   a file; its trailing line breaks are dropped
//	cmd:program 'an argument'    what a program prints; no shell reads the line
//	sops:/path#key               a value of a file that SOPS encrypted
//	keyring:SERVICE/ACCOUNT      the system's keyring
//	op://VAULT/ITEM/FIELD        1Password, by its CLI
//	bw://ITEM#FIELD              Bitwarden, by its CLI
//	vault://MOUNT/PATH#FIELD     HashiCorp Vault or OpenBao, KV version 1 or 2
//	awssm://NAME#FIELD           AWS Secrets Manager; a name or an ARN
//	awsps://NAME                 AWS SSM Parameter Store
//	gcpsm://PROJECT/NAME#FIELD   Google Secret Manager
//
// docs/references.md is the page for people.
//
// # What is agreed to
//
// A reference of a synced vault is text that another device wrote. One that
// names a file or a program has a [Source], what it reads or runs here: the
// caller compares that with what a person on this device agreed to, by the
// Allow that it gives to [Resolver.Resolve].
//
// # Programs
//
// A program is found once, by the PATH that kb was started with, and kept as an
// [Anchors] with that PATH: what PATH says later changes nothing. It runs by its absolute
// path, without a terminal, in the root folder, with an environment that has
// neither kb's own variables nor those that make a program load foreign code
// (see [Resolver.run]). One that is in the repository at hand, or that others can
// write, is refused.
//
// # Time
//
// What takes longer than reading a file ([Slow]) is kept in memory for
// [Keep], and asked for once however many want it at a time. [Resolver.Forget]
// is for a value that turned out not to be good any more.
//
// # What it leaves out
//
// It writes to no other manager, and holds no credential for one: keys, tokens
// and sessions are those that the manager's own tools use. Errors name the
// reference, never a value, a response's body or a query.
package secretref

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"kb/internal/plain"
)

const (
	// maxValue bounds a value, in bytes: the largest real one is a service
	// account's JSON of some 3 KiB, and both AWS and Google stop at 64 KiB.
	maxValue = 64 << 10
	// maxReference bounds a reference's text, in bytes: an ARN has under 2 KiB.
	maxReference = 4 << 10
	// Keep is how long a value that is slow to fetch is kept in memory. A key
	// that was rotated is noticed after this time, or at the first 401.
	Keep = 5 * time.Minute
	// keepFailure is how long a failure is: an agent that tries again at once
	// starts no program for each try.
	keepFailure = 5 * time.Second
)

// Errors of a reference.
var (
	ErrSyntax  = errors.New("not a reference that kb knows (kb login --help lists them)")
	ErrMissing = errors.New("nothing is there")
	ErrTooLong = fmt.Errorf("longer than %d bytes", maxValue)
	ErrNotYet  = errors.New("not fetched yet") // of Cached
)

// Source is what a reference reads or runs on this device.
type Source struct {
	Path string // of the file or program, symbolic links resolved; empty: nothing on this device
	Runs bool   // it is a program
	// Sum is the SHA-256 of a program's file in hex; empty where only root can
	// change the file, so that an update of the system is no change.
	Sum string
}

// String is what Source is compared by, and shown as.
func (s Source) String() string {
	switch {
	case s.Path == "":
		return ""
	case !s.Runs:
		return "reads " + s.Path
	case s.Sum == "":
		return "runs " + s.Path
	}
	return "runs " + s.Path + " sha256:" + s.Sum
}

// Check reports whether ref has a form that Resolve knows.
func Check(ref string) error {
	_, err := parse(ref)
	return err
}

// Named reports whether a text begins as a reference does, and is not a value
// itself.
func Named(text string) bool {
	name, rest, ok := strings.Cut(text, ":")
	s := schemes[name]
	return ok && s != nil && strings.HasPrefix(rest, s.mark[1:])
}

// Asks reports whether a person on this device must have agreed to a reference
// that another device wrote: it names a file or a program.
func Asks(ref string) bool {
	p, err := parse(ref)
	return err == nil && p.scheme.local
}

// Slow reports whether a reference may take longer than reading a file.
func Slow(ref string) bool {
	p, err := parse(ref)
	return err == nil && p.scheme.slow
}

// Variable returns the environment variable that a reference reads, "" when it
// reads none.
func Variable(ref string) string {
	name, ok := strings.CutPrefix(ref, "env:")
	if !ok {
		return ""
	}
	return name
}

// File returns the file that a reference reads, "" when it reads none. A file
// may change while a session runs.
func File(ref string) string {
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return ""
	}
	return path
}

// failed names the reference in an error, cleaned: a vault that others write
// may hold anything.
func failed(ref string, err error) error {
	return fmt.Errorf("resolve %s: %w", quote(ref), err)
}

// quote shows a reference: cleaned, and no longer than a line of a screen
// bears.
func quote(ref string) string {
	const most = 200
	if len(ref) > most {
		ref = ref[:most] + "…"
	}
	return `"` + plain.Clean(ref) + `"`
}
