package term

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"kb/internal/plain"
	"kb/internal/secret"
)

const (
	// maxPasted bounds what is read, in bytes: a service account's file has
	// 3 KiB, the address of a redirect a few.
	maxPasted = 64 << 10
	// pasteTick is how often a wait looks whether it was cancelled, in tenths of
	// a second (VTIME of termios(3)).
	pasteTick = 2
)

// ErrTooLong says that more was pasted than a secret can have.
var ErrTooLong = fmt.Errorf("more than %d bytes were pasted", maxPasted)

// AskText reads a secret without echo and erases the question, as AskSecret
// does, of any length: the terminal's own line editing ends lines at 4096 bytes,
// macOS's at 1024. A private key (a PEM block) and a JSON object may be pasted
// with their line breaks: they end where they end.
func (t *TTY) AskText(ctx context.Context, question string) (secret.Value, error) {
	line := plain.Clean(question)
	var answer secret.Value
	err := t.gather(ctx, func(time.Time) string { return line }, func(v secret.Value) bool {
		answer = v
		return false
	})
	return answer, err
}

// Wait shows a line that status makes, anew when it changes, until ctx ends;
// then it is erased. pasted is given each line that is typed or pasted
// meanwhile. Such a line is never shown, only counted: the address of a redirect
// has a code in it. The error is ErrCancelled, after ctrl+d too.
func (t *TTY) Wait(ctx context.Context, status func(now time.Time) string, pasted func(secret.Value)) error {
	return t.gather(ctx, status, func(v secret.Value) bool {
		if !v.IsZero() {
			pasted(v)
		}
		return true
	})
}

// Foreground reports whether kb may use the terminal: a job in the background
// that reads from it or sets it up is stopped.
func (t *TTY) Foreground() bool {
	group, err := unix.IoctlGetInt(int(t.f.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}

// Size is the terminal's, in characters; zeros where it does not say.
func (t *TTY) Size() (width, height int) {
	size, err := unix.IoctlGetWinsize(int(t.f.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return 0, 0
	}
	return int(size.Col), int(size.Row)
}

// gather reads bytes as they come, without echo and without the terminal's own
// editing, and draws the line with what was typed counted behind it. take is
// given each whole line, and says whether to go on.
func (t *TTY) gather(ctx context.Context, line func(now time.Time) string, take func(secret.Value) bool) error {
	fd := int(t.f.Fd())
	before, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return fmt.Errorf("read terminal state: %w", err)
	}
	during := *before
	during.Lflag |= unix.ISIG
	during.Lflag &^= unix.ICANON | unix.ECHO
	during.Iflag |= unix.ICRNL
	during.Cc[unix.VMIN], during.Cc[unix.VTIME] = 0, pasteTick
	if err := unix.IoctlSetTermios(fd, setTermios, &during); err != nil {
		return fmt.Errorf("set terminal state: %w", err)
	}
	defer func() {
		t.Printf("%s", eraseLine)
		_ = unix.IoctlSetTermios(fd, setTermios, before)
	}()
	var typed []byte
	defer func() { clear(typed) }()
	shown := ""
	draw := func() {
		now := t.fit(line(time.Now()), len(typed))
		if now != shown {
			shown = now
			t.Printf("%s%s", eraseLine, shown)
		}
	}
	draw()
	for {
		b, err := t.bytes(fd)
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ErrCancelled
		}
		for i, c := range b {
			done, err := edit(&typed, c)
			if err != nil {
				return err
			}
			if !done {
				continue
			}
			value := secret.New(string(bytes.TrimSpace(typed)))
			clear(typed)
			typed = typed[:0]
			if !take(value) {
				t.rest = append(bytes.Clone(b[i+1:]), t.rest...)
				return nil
			}
		}
		draw()
	}
}

// bytes is what has come, or nothing after a tick.
func (t *TTY) bytes(fd int) ([]byte, error) {
	if n := t.lines.Buffered(); n > 0 {
		b := make([]byte, n)
		_, err := t.lines.Read(b)
		return b, err
	}
	if b := t.rest; len(b) > 0 {
		t.rest = nil
		return b, nil
	}
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	switch {
	case errors.Is(err, unix.EINTR), errors.Is(err, unix.EAGAIN):
		return nil, nil
	case err != nil: // the terminal is gone
		return nil, ErrCancelled
	}
	return b[:n], nil
}

// edit adds a byte to what was typed, or takes some away, and says whether it
// is all.
func edit(typed *[]byte, c byte) (done bool, err error) {
	const (
		ctrlD, backspace, ctrlU, del = 4, 8, 21, 127
	)
	switch c {
	case ctrlD:
		if len(*typed) == 0 {
			return false, ErrCancelled
		}
		return true, nil
	case backspace, del:
		_, size := utf8.DecodeLastRune(*typed)
		*typed = (*typed)[:len(*typed)-size]
		return false, nil
	case ctrlU:
		*typed = (*typed)[:0]
		return false, nil
	case '\n':
		if whole(*typed) {
			return true, nil
		}
	}
	if len(*typed) >= maxPasted {
		return false, ErrTooLong
	}
	*typed = append(*typed, c)
	return false, nil
}

// whole reports whether text may end with the line: a PEM block that began has
// ended, a JSON object is one.
func whole(text []byte) bool {
	text = bytes.TrimSpace(text)
	switch {
	case bytes.HasPrefix(text, []byte("-----BEGIN ")):
		last := text[bytes.LastIndexByte(text, '\n')+1:]
		return bytes.HasPrefix(last, []byte("-----END ")) && bytes.HasSuffix(last, []byte("-----"))
	case bytes.HasPrefix(text, []byte("{")):
		return json.Valid(text)
	}
	return true
}

// fit is a line that is no wider than the terminal, so that it can be erased.
func (t *TTY) fit(line string, typed int) string {
	more := ""
	if typed > 0 {
		more = fmt.Sprintf("(%d characters, not shown)", typed)
	}
	width, _ := t.Size()
	if width == 0 {
		width = 80
	}
	if line != "" && more != "" && !strings.HasSuffix(line, " ") {
		line += " "
	}
	if room := width - 1 - len(more); utf8.RuneCountInString(line) > room {
		line = string([]rune(line)[:max(room, 0)])
	}
	return line + more
}
