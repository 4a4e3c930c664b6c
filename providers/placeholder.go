package providers

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Alphabets of the generators in a placeholder template.
var alphabets = [...]struct{ name, chars string }{
	{"random", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"},
	{"base64url", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"},
	{"hex", "0123456789abcdef"},
	{"upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"},
	{"lower", "abcdefghijklmnopqrstuvwxyz0123456789"},
	{"digit", "0123456789"},
}

// maxRandom bounds one generator; the longest that a client is known to check is
// 93 characters (Anthropic's keys).
const maxRandom = 256

// Placeholder fills a template with fresh characters: {random36} is 36 letters
// and digits; {base64urlN}, {hexN}, {upperN} (capitals and digits), {lowerN} and
// {digitN} likewise. Rand is crypto/rand.Reader but for tests. The caller keeps
// the value, which is how a placeholder is recognised when it comes back.
func Placeholder(template string, rand io.Reader) (string, error) {
	parts, err := parsePlaceholder(template)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, part := range parts {
		b.WriteString(part.text)
		for range part.length {
			c, err := pick(rand, part.chars)
			if err != nil {
				return "", fmt.Errorf("make placeholder: %w", err)
			}
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

// Recognisable reports whether placeholders of a template differ from each other
// and from anything else a client may send. Those that do not ("__token__") are
// constants that a client needs beside the placeholder: they say nothing about
// the login.
func Recognisable(template string) bool {
	parts, err := parsePlaceholder(template)
	return err == nil && entropy(parts) > 0
}

type placeholderPart struct {
	text   string
	chars  string
	length int
}

func parsePlaceholder(template string) ([]placeholderPart, error) {
	if template == "" {
		return nil, errors.New("read placeholder: empty")
	}
	split, err := splitTemplate(template)
	if err != nil {
		return nil, err
	}
	var parts []placeholderPart
	for _, s := range split {
		if !s.variable {
			for i := range len(s.text) {
				if s.text[i] < 0x20 || s.text[i] >= 0x7f {
					return nil, fmt.Errorf("read placeholder %q: only printable ASCII", template)
				}
			}
			parts = append(parts, placeholderPart{text: s.text})
			continue
		}
		part, ok := generator(s.text)
		if !ok {
			return nil, fmt.Errorf("read placeholder %q: {%s} is none of {randomN}, {base64urlN}, {hexN}, {upperN}, {lowerN}, {digitN} with N from 1 to %d", template, s.text, maxRandom)
		}
		parts = append(parts, part)
	}
	return parts, nil
}

func generator(text string) (placeholderPart, bool) {
	for _, a := range alphabets {
		digits, ok := strings.CutPrefix(text, a.name)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(digits)
		if err == nil && n >= 1 && n <= maxRandom && digits == strconv.Itoa(n) {
			return placeholderPart{chars: a.chars, length: n}, true
		}
	}
	return placeholderPart{}, false
}

// entropy is a lower bound in bits: the alphabet's size rounded down to a power
// of two.
func entropy(parts []placeholderPart) int {
	bits := 0
	for _, part := range parts {
		per := 0
		for n := len(part.chars); n > 1; n /= 2 {
			per++
		}
		bits += per * part.length
	}
	return bits
}

// pick draws one character, each as likely: bytes past the last whole multiple
// of the alphabet are drawn again.
func pick(rand io.Reader, chars string) (byte, error) {
	limit := 256 - 256%len(chars)
	for {
		var b [1]byte
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if int(b[0]) < limit {
			return chars[int(b[0])%len(chars)], nil
		}
	}
}
