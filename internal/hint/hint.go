// Package hint carries what a person should do about an error, and the exit
// code that kb ends with.
//
// Libraries return plain typed errors; advice is added once, near the user,
// with [Wrap]. main prints the error, then the advice, then exits with [Code].
package hint

import (
	"errors"
	"strings"
)

// Exit codes of kb. They are part of the command line's contract.
const (
	OK        = 0
	Failure   = 1 // anything not named below
	Usage     = 2 // the command line itself is wrong
	Cancelled = 3 // the user said no, or pressed ctrl+c at a prompt
	Human     = 4 // needs a human: no profile, a tie, locked, changed pin, login needed
	Refused   = 5 // refused by policy or isolation
)

// Error is an error with advice. Fix is what to do about it, a command where
// one exists; it may be empty.
type Error struct {
	Err  error
	Fix  string
	Exit int
}

func (e *Error) Error() string { return e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// Wrap adds advice to err; its exit code stays what err already had. A nil err
// stays nil.
func Wrap(err error, fix string) error {
	if err == nil {
		return nil
	}
	return &Error{Err: err, Fix: fix, Exit: Code(err)}
}

// Exit adds advice and an exit code to err. A nil err stays nil.
func Exit(code int, err error, fix string) error {
	if err == nil {
		return nil
	}
	return &Error{Err: err, Fix: fix, Exit: code}
}

// Code is the exit code for err: that of the outermost Error in its chain,
// OK for nil, Failure for an error without one.
func Code(err error) int {
	if err == nil {
		return OK
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Exit
	}
	return Failure
}

// Fix is the advice for err, or "" when it has none.
func Fix(err error) string {
	for {
		var e *Error
		if !errors.As(err, &e) {
			return ""
		}
		if e.Fix != "" {
			return e.Fix
		}
		err = e.Err
	}
}

// Word is s as one word of a command line, for advice that names it: quoted where a
// shell would take it apart.
func Word(s string) string {
	if s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_./:@#%+=,", r)
	}) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
