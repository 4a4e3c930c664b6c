// Package term asks a person on the controlling terminal.
//
// Questions go to /dev/tty, never to stdout or stderr, so that they reach the
// person even when both are piped, and erase themselves when answered.
package term

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/term"

	"kb/internal/plain"
	"kb/internal/secret"
)

// ErrCancelled says that the person pressed ctrl+c or ctrl+d.
var ErrCancelled = errors.New("cancelled")

// TTY is the controlling terminal.
type TTY struct{ f *os.File }

// OpenTTY opens the controlling terminal; an error says that there is none.
func OpenTTY() (*TTY, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	return &TTY{f}, nil
}

// Close closes it.
func (t *TTY) Close() error { return t.f.Close() }

// Printf writes to the terminal; it cleans nothing.
func (t *TTY) Printf(format string, args ...any) { _, _ = fmt.Fprintf(t.f, format, args...) }

// AskSecret reads one line without echo and erases the question.
func (t *TTY) AskSecret(ctx context.Context, question string) (secret.Value, error) {
	var value secret.Value
	err := t.ask(ctx, question, eraseLine, func() error {
		line, err := term.ReadPassword(int(t.f.Fd()))
		value = secret.New(strings.TrimSpace(string(line)))
		return err
	})
	return value, err
}

// AskLine reads one line with echo and erases the question.
func (t *TTY) AskLine(ctx context.Context, question string) (string, error) {
	var line string
	err := t.ask(ctx, question, eraseAnswered, func() error {
		var err error
		line, err = bufio.NewReader(t.f).ReadString('\n')
		line = strings.TrimSpace(line)
		return err
	})
	return line, err
}

// Confirm asks a yes-or-no question whose default is no.
func (t *TTY) Confirm(ctx context.Context, question string) (bool, error) {
	line, err := t.AskLine(ctx, question+" [y/N] ")
	if err != nil {
		return false, err
	}
	return strings.EqualFold(line, "y") || strings.EqualFold(line, "yes"), nil
}

// What erases a question (ECMA-48): the line the cursor is on, or, when the
// answer's line break was echoed, the one above it.
const (
	eraseLine     = "\r\x1b[K"
	eraseAnswered = "\x1b[1A\r\x1b[K"
)

// ask shows a question, reads, and leaves the terminal as it was, also when
// ctx ends (a signal) while the read still waits.
func (t *TTY) ask(ctx context.Context, question, erase string, read func() error) error {
	fd := int(t.f.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return fmt.Errorf("read terminal state: %w", err)
	}
	t.Printf("%s", plain.Clean(question))
	done := make(chan error, 1)
	go func() { done <- read() }()
	select {
	case err = <-done:
	case <-ctx.Done():
		_ = term.Restore(fd, before)
		t.Printf("%s", eraseLine)
		return ErrCancelled
	}
	t.Printf("%s", erase)
	if err != nil {
		return ErrCancelled
	}
	return nil
}
