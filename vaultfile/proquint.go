package vaultfile

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
)

// Proquints (arXiv:0901.4016) are words to read aloud and type: five letters,
// consonants and vowels in turn, for 16 bits each.
const (
	consonants = "bdfghjklmnprstvz" // 4 bits
	vowels     = "aiou"             // 2 bits
)

// proquint writes bytes, an even number of them, as words joined by hyphens.
func proquint(b []byte) string {
	out := make([]byte, 0, 3*len(b))
	for i := 0; i+1 < len(b); i += 2 {
		if i > 0 {
			out = append(out, '-')
		}
		v := uint(b[i])<<8 | uint(b[i+1])
		out = append(out, consonants[v>>12&15], vowels[v>>10&3], consonants[v>>6&15], vowels[v>>4&3], consonants[v&15])
	}
	return string(out)
}

// wordsOf is the beginning of a digest, as n words.
func wordsOf(message []byte, n int) string {
	sum := sha256.Sum256(message)
	return proquint(sum[:2*n])
}

// sameWords compares what a person typed with words of kb's own: case, white
// space and hyphens do not count.
func sameWords(typed, words string) bool {
	plain := func(s string) []byte {
		return []byte(strings.Map(func(r rune) rune {
			if strings.ContainsRune(" \t\r\n-", r) {
				return -1
			}
			return r
		}, strings.ToLower(s)))
	}
	return words != "" && subtle.ConstantTimeCompare(plain(typed), plain(words)) == 1
}
