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

	"golang.org/x/sys/unix"

	"kb/internal/plain"
	"kb/internal/secret"
)

// ErrCancelled says that the person pressed ctrl+c or ctrl+d.
var ErrCancelled = errors.New("cancelled")

// TTY is the controlling terminal.
type TTY struct {
	f     *os.File
	rest  []byte // typed behind what the last question took
	lines *bufio.Reader
}

// OpenTTY opens the controlling terminal; an error says that there is none.
func OpenTTY() (*TTY, error) {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open terminal: %w", err)
	}
	t := &TTY{f: f}
	t.lines = bufio.NewReader(typed{t})
	return t, nil
}

// typed reads what was typed on a terminal.
type typed struct{ t *TTY }

func (r typed) Read(p []byte) (int, error) {
	if n := copy(p, r.t.rest); n > 0 {
		r.t.rest = r.t.rest[n:]
		return n, nil
	}
	return r.t.f.Read(p)
}

// Close closes it.
func (t *TTY) Close() error { return t.f.Close() }

// Printf writes to the terminal; it cleans nothing.
func (t *TTY) Printf(format string, args ...any) { _, _ = fmt.Fprintf(t.f, format, args...) }

// AskSecret reads one line without echo and erases the question.
func (t *TTY) AskSecret(ctx context.Context, question string) (secret.Value, error) {
	line, err := t.ask(ctx, question, false)
	return secret.New(line), err
}

// AskLine reads one line with echo and erases the question.
func (t *TTY) AskLine(ctx context.Context, question string) (string, error) {
	return t.ask(ctx, question, true)
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

// ask shows a question, reads a line, and leaves the terminal as it was, also
// when ctx ends (a signal) while the read still waits. Echo is off before the
// question shows: whoever answers at once, or pastes, is not seen either.
func (t *TTY) ask(ctx context.Context, question string, echo bool) (string, error) {
	fd := int(t.f.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return "", fmt.Errorf("read terminal state: %w", err)
	}
	during := *before
	during.Lflag |= unix.ICANON | unix.ISIG
	during.Iflag |= unix.ICRNL
	erase := eraseAnswered
	if !echo {
		during.Lflag &^= unix.ECHO
		erase = eraseLine
	}
	if err := unix.IoctlSetTermios(fd, setTermios, &during); err != nil {
		return "", fmt.Errorf("set terminal state: %w", err)
	}
	defer func() { _ = unix.IoctlSetTermios(fd, setTermios, before) }()
	t.Printf("%s", plain.Clean(question))
	type answer struct {
		line string
		err  error
	}
	done := make(chan answer, 1)
	go func() {
		line, err := t.lines.ReadString('\n')
		done <- answer{strings.TrimSpace(line), err}
	}()
	select {
	case a := <-done:
		t.Printf("%s", erase)
		if a.err != nil {
			return "", ErrCancelled
		}
		return a.line, nil
	case <-ctx.Done():
		t.Printf("%s", eraseLine)
		return "", ErrCancelled
	}
}
