package tui

import "os"

// maxPaste bounds what is taken of one paste, in bytes: as much as the largest
// field takes. With each 256 bytes that come bubbletea looks at the whole paste
// anew; one of some megabytes would hold the dashboard for minutes, and no key gets
// past it, not even ctrl+c.
const maxPaste = maxMasked

// What a terminal puts around a paste (xterm, "bracketed paste mode").
const pasteStart, pasteEnd = "\x1b[200~", "\x1b[201~"

// bounded is a terminal's input with its pastes cut at maxPaste.
type bounded struct {
	*os.File
	taken   []byte // what was read, while it is looked through
	matched int    // bytes of the mark that would come next
	pasting bool
	over    bool // the paste was longer: what is left of it is dropped
	n       int  // bytes of the paste
}

// Read reads what the terminal has, once: the caller waits for more by itself.
func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.File.Read(p)
	return b.cut(p, n), err
}

// cut looks through the first n bytes of p, and returns how many are left.
func (b *bounded) cut(p []byte, n int) int {
	b.taken = append(b.taken[:0], p[:n]...)
	out := 0
	for _, c := range b.taken {
		if !b.over {
			p[out] = c
			out++
		}
		switch {
		case b.over:
			if b.mark(c, pasteEnd) {
				b.over, b.pasting = false, false
			}
		case b.pasting:
			b.n++
			switch {
			case b.mark(c, pasteEnd):
				b.pasting = false
			case b.n >= maxPaste && b.matched <= 1 && len(p)-out+b.matched >= len(pasteEnd):
				// An ESC that may begin the end is dropped with what follows. As all of
				// the end is, there is room for what comes behind it.
				out -= b.matched
				out += copy(p[out:], pasteEnd)
				b.over = true
			}
		case b.mark(c, pasteStart):
			b.pasting, b.n = true, 0
		}
	}
	clear(b.taken) // it may be a secret
	return out
}

// mark takes the next byte and reports whether a mark is whole. No mark has its
// first byte elsewhere in it.
func (b *bounded) mark(c byte, mark string) bool {
	switch {
	case c == mark[b.matched]:
		b.matched++
	case c == mark[0]:
		b.matched = 1
	default:
		b.matched = 0
	}
	if b.matched < len(mark) {
		return false
	}
	b.matched = 0
	return true
}
