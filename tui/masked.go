package tui

import (
	"bytes"
	"unicode/utf8"

	tea "github.com/charmbracelet/bubbletea"

	"kb/internal/secret"
)

// maxMasked bounds a typed or pasted secret, in bytes: what kb login --stdin reads
// too.
const maxMasked = 64 << 10

// masked is a field for a secret. Its bytes are in one buffer that is wiped when
// they are handed over and when the field is left; what is drawn tells nothing of
// them but that there are some. It can only be appended to and taken from at the
// end: a cursor in the middle of what is not shown helps nobody.
type masked struct{ buf []byte }

// key takes a key and wipes it: bubbletea's message shares its runes.
func (m *masked) key(msg tea.KeyMsg) bool {
	switch msg.Type {
	case tea.KeyRunes, tea.KeySpace:
		for i, r := range msg.Runes {
			if !msg.Alt {
				m.add(r)
			}
			msg.Runes[i] = 0
		}
	case tea.KeyBackspace:
		_, n := utf8.DecodeLastRune(m.buf)
		clear(m.buf[len(m.buf)-n:])
		m.buf = m.buf[:len(m.buf)-n]
	case tea.KeyCtrlU, tea.KeyCtrlW:
		m.wipe()
	default:
		return false
	}
	return true
}

// add appends a rune. A buffer that has become too small is wiped.
func (m *masked) add(r rune) {
	n := utf8.RuneLen(r)
	if n < 0 || len(m.buf)+n > maxMasked {
		return
	}
	if len(m.buf)+n > cap(m.buf) {
		larger := make([]byte, len(m.buf), 2*cap(m.buf)+256)
		copy(larger, m.buf)
		clear(m.buf[:cap(m.buf)])
		m.buf = larger
	}
	m.buf = utf8.AppendRune(m.buf, r)
}

// take hands the secret over and forgets it. Terminals paste line breaks as CR;
// those at the end come with the copying and are no part of a secret.
func (m *masked) take() secret.Value {
	text := bytes.ReplaceAll(m.buf, []byte("\r\n"), []byte("\n"))
	for i, c := range text {
		if c == '\r' {
			text[i] = '\n'
		}
	}
	v := secret.New(string(bytes.TrimRight(text, "\n")))
	clear(text)
	m.wipe()
	return v
}

func (m *masked) wipe() {
	clear(m.buf[:cap(m.buf)])
	m.buf = m.buf[:0]
}

func (m *masked) empty() bool { return len(m.buf) == 0 }

// mask is what is drawn: always as long, whatever the secret's length.
const mask = "********"

func (m *masked) view() string {
	if m.empty() {
		return ""
	}
	return mask
}
