package vaultrepo

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing/format/index"
)

// Stages are the blobs that the index has of the vault, by their hashes: one
// when it is merged, up to three when git left it to be merged. "" is none.
type Stages struct {
	Merged string
	Base   string // stage 1
	Ours   string // stage 2; in a rebase, what is rebased onto
	Theirs string // stage 3
}

// Tracked reports whether the index has the vault at all.
func (s Stages) Tracked() bool { return s != Stages{} }

// Unmerged reports whether git left the vault to be merged.
func (s Stages) Unmerged() bool { return s.Base != "" || s.Ours != "" || s.Theirs != "" }

func (s *Stages) set(stage int, hash string) {
	switch stage {
	case 0:
		s.Merged = hash
	case 1:
		s.Base = hash
	case 2:
		s.Ours = hash
	case 3:
		s.Theirs = hash
	}
}

// maxIndex bounds the index, in bytes. One of a million files has about 100 MB.
const maxIndex = 256 << 20

// Stages reads the index. That of an ordinary dotfiles repository takes some
// 50 µs, so that each open of the vault can afford it.
func (r *Repo) Stages(ctx context.Context) (Stages, error) {
	if s, ok := r.readIndex(); ok {
		return s, nil
	}
	out, err := r.git(ctx, nil, "ls-files", "-s", "-z", "--", r.Path)
	if err != nil {
		return Stages{}, fmt.Errorf("read the index: %w", err)
	}
	var s Stages
	for line := range strings.SplitSeq(string(out), "\x00") {
		// MODE SP HASH SP STAGE TAB PATH
		about, path, ok := strings.Cut(line, "\t")
		f := strings.Fields(about)
		if ok && path == r.Path && len(f) == 3 && len(f[2]) == 1 {
			s.set(int(f[2][0]-'0'), f[1])
		}
	}
	return s, nil
}

// readIndex reads it without git; not ok means that git must be asked.
func (r *Repo) readIndex() (Stages, bool) {
	path := filepath.Join(r.GitDir, "index")
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Stages{}, true
	}
	if err != nil || !fi.Mode().IsRegular() || fi.Size() > maxIndex || r.sha256() {
		return Stages{}, false
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return Stages{}, false
	}
	if s, ok := scanIndex(raw, r.Path); ok {
		return s, true
	}
	var idx index.Index
	if err := index.NewDecoder(bytes.NewReader(raw)).Decode(&idx); err != nil {
		return Stages{}, false
	}
	var s Stages
	for _, e := range idx.Entries {
		if e.Name == r.Path {
			s.set(int(e.Stage), e.Hash.String())
		}
	}
	return s, true
}

// Lengths in an index of version 2 (gitformat-index(5)).
const (
	indexHash  = 20             // SHA-1
	indexFlags = 2              // just before the name
	indexHead  = 40 + indexHash // before the flags: times, device, owner, size; hash
	indexStage = 0x3000
	indexName  = 0x0fff // length of the name
	indexMore  = 0x4000 // extended flags follow: version 3 only
)

// scanIndex finds one name in an index of version 2 without decoding the rest:
// the name stands in it whole, after flags that tell its length. Where
// anything is not as plain as that, it is not ok.
func scanIndex(raw []byte, path string) (s Stages, ok bool) {
	if len(raw) < 12 || string(raw[:4]) != "DIRC" || binary.BigEndian.Uint32(raw[4:]) != 2 ||
		len(path) >= indexName || bytes.Contains(raw, []byte("link\x00")) {
		return s, false
	}
	name := append([]byte(path), 0)
	for at := 12; ; {
		i := bytes.Index(raw[at:], name)
		if i < 0 {
			return s, true
		}
		i += at
		at = i + 1
		if i < 12+indexHead+indexFlags {
			continue
		}
		flags := binary.BigEndian.Uint16(raw[i-indexFlags:])
		if int(flags&indexName) != len(path) {
			continue // the end of a longer name
		}
		if flags&indexMore != 0 {
			return s, false
		}
		s.set(int(flags&indexStage)>>12, hex.EncodeToString(raw[i-indexFlags-indexHash:i-indexFlags]))
	}
}
