package vaultfile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"testing"

	"filippo.io/age"
)

// remembering does what an age identity does once for each header: most
// damage leaves the header as it is, and the key exchange is what takes long.
type remembering struct {
	age.Identity
	known map[string]unwrapped
}

type unwrapped struct {
	key []byte
	err error
}

func (r *remembering) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key := fmt.Sprintf("%q", values(stanzas))
	u, ok := r.known[key]
	if !ok {
		u.key, u.err = r.Identity.Unwrap(stanzas)
		r.known[key] = u
	}
	return bytes.Clone(u.key), u.err
}

// raced reports whether the race detector is on.
var raced = sync.OnceValue(func() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
})

func values(stanzas []*age.Stanza) (all []age.Stanza) {
	for _, s := range stanzas {
		all = append(all, *s)
	}
	return all
}

// Every flip of the first, the last and all bits of every byte, and every
// truncation, of every vault of testdata/v1 has exactly one name, and never
// content. TestEveryFlipAndEveryTruncationIsNamed does so through Open, with a
// file for each.
func TestEveryDamageOfTheFixturesIsNamed(t *testing.T) {
	// Each try leaves a buffer of age's behind; collecting them is most of the
	// time that this takes.
	percent := debug.SetGCPercent(2000)
	t.Cleanup(func() { debug.SetGCPercent(percent) })
	text, err := os.ReadFile("testdata/v1/identity.txt")
	if err != nil {
		t.Fatal(err)
	}
	id, err := ParseIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	names := []error{ErrNotVault, ErrMalformed, ErrNonCanonical, ErrTruncated, ErrTampered, ErrTooLarge, ErrWrongKey}
	vaults, err := filepath.Glob("testdata/v1/*.age")
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for _, path := range vaults {
		if filepath.Base(path) == "identity.age" {
			continue // no vault
		}
		tried++
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			with := &remembering{id.age, map[string]unwrapped{}}
			open := func(b []byte) ([]byte, error) { return unseal(b, with) }
			if plain, err := open(whole); err != nil || len(plain) == 0 {
				t.Fatalf("the sound vault: %v", err) // the control
			}
			found := map[string]int{}
			refused := func(what string, at int, b []byte) {
				plain, err := open(b)
				var named []string
				for _, n := range names {
					if errors.Is(err, n) {
						named = append(named, n.Error())
					}
				}
				if plain != nil || len(named) != 1 {
					t.Fatalf("%s at %d: %d bytes of content, and %v, which is named %q", what, at, len(plain), err, named)
				}
				found[named[0]]++
			}
			b := bytes.Clone(whole)
			for i := range whole {
				for n, flip := range []byte{1 << 0, 1 << 7, 0xff} {
					if raced() && n != i%9 {
						continue // a tenth of the speed: one of them in every third byte
					}
					b[i] = whole[i] ^ flip
					refused(fmt.Sprintf("flip of %#02x", flip), i, b)
				}
				b[i] = whole[i]
				if !raced() || i%3 == 0 {
					refused("truncation", i, whole[:i:i])
				}
			}
			if !bytes.Equal(b, whole) {
				t.Fatal("the test damaged its own copy for good")
			}
			t.Logf("%d bytes: %v", len(whole), found)
		})
	}
	if tried < 3 {
		t.Errorf("only %d vaults were found", tried)
	}
}
