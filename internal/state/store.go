package state

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/chacha20poly1305"

	"kb/internal/atomicfile"
)

// Errors of a store.
var (
	// ErrTampered: a blob is not what this store wrote under that name.
	ErrTampered = errors.New("device state was tampered with or damaged")
	// ErrForeignStore: the directory is the store of another identity.
	ErrForeignStore = errors.New("device state belongs to another identity")
	// ErrBadName: not CLASS/TEXT.
	ErrBadName = errors.New("bad name of device state")
	// ErrTooLarge: more than a blob may hold.
	ErrTooLarge = errors.New("too large for device state")
	// ErrInvalid: a value that has no place in the state.
	ErrInvalid = errors.New("invalid value")
	// ErrNotFound: removal of what is not there.
	ErrNotFound = errors.New("not found")
)

// InsecureDirError says that others could plant files in the state directory.
type InsecureDirError struct {
	Dir  string
	What string // "writable by others", "owned by another user"
}

func (e *InsecureDirError) Error() string {
	return fmt.Sprintf("state directory %q is %s", e.Dir, e.What)
}

// Limits. A vault's copy is the largest blob.
const (
	maxBlob = 64<<20 + 4096 // bytes of data
	maxName = 4096          // bytes; a path can be that long (PATH_MAX)
)

// magic begins every blob: kb state, format 1.
const magic = "kbs1"

// Store is an open state directory. It is safe for concurrent use, also by
// several processes: a reader sees a blob's old data or its new, never a part.
type Store struct {
	dir     string
	key     [32]byte // for Handover
	aead    cipher.AEAD
	nameKey []byte
	locks   sync.Map // name -> chan struct{} that its holder in this process fills
}

// Open opens the store in dir, making both if need be. It refuses a directory
// that others can write, and one that was made with another key.
func Open(dir string, key [32]byte) (*Store, error) {
	if err := secureDir(dir, nil); err != nil {
		return nil, err
	}
	derive := func(label string) []byte {
		k, err := hkdf.Key(sha256.New, key[:], nil, "kb state v1: "+label, 32)
		if err != nil {
			panic(err) // 32 bytes are never too many
		}
		return k
	}
	aead, err := chacha20poly1305.NewX(derive("blobs"))
	if err != nil {
		return nil, err
	}
	s := &Store{dir: dir, key: key, aead: aead, nameKey: derive("names")}
	return s, s.checkKey(derive("key check"))
}

// Dir is the directory of the store.
func (s *Store) Dir() string { return s.dir }

// Format shows the directory and no key.
func (s *Store) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "state in %s", s.dir) }

// checkKey compares the store's own mark, and leaves it in a new store.
func (s *Store) checkKey(mark []byte) error {
	path := filepath.Join(s.dir, "store")
	want := []byte("kb state 1\n" + hex.EncodeToString(mark) + "\n")
	got, err := readBounded(path, 4096)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return atomicfile.Write(path, want, atomicfile.Options{Durable: true})
	case err != nil:
		return err
	case !hmac.Equal(got, want):
		return fmt.Errorf("open state %q: %w", s.dir, ErrForeignStore)
	}
	return nil
}

// secureDir makes dir, or checks that it is a directory of the user's own
// that nobody else can write; what others can read is closed to them.
func secureDir(dir string, disk atomicfile.Disk) error {
	if err := atomicfile.MkdirAll(dir, disk); err != nil {
		return err
	}
	fi, err := os.Stat(dir)
	if err != nil {
		return err
	}
	switch {
	case !fi.IsDir():
		return &InsecureDirError{dir, "not a directory"}
	case !ownedByUs(fi):
		return &InsecureDirError{dir, "owned by another user"}
	case fi.Mode().Perm()&0o022 != 0:
		return &InsecureDirError{dir, "writable by others"}
	case fi.Mode().Perm()&0o077 != 0:
		return os.Chmod(dir, 0o700)
	}
	return nil
}

func readBounded(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > limit {
		return nil, fmt.Errorf("read %q: %w", path, ErrTampered)
	}
	b := make([]byte, fi.Size())
	if _, err := io.ReadFull(f, b); err != nil {
		return nil, err
	}
	return b, nil
}

// class splits a name and checks it.
func class(name string) (string, error) {
	c, rest, ok := strings.Cut(name, "/")
	if !ok || c == "" || rest == "" || len(name) > maxName || c == "locks" || strings.ContainsFunc(c, func(r rune) bool { return r < 'a' || r > 'z' }) {
		return "", fmt.Errorf("name %q: %w", name, ErrBadName)
	}
	return c, nil
}

var nameEncoding = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// opaque is what a name looks like on the disk: 26 letters and digits.
func (s *Store) opaque(name string) string {
	m := hmac.New(sha256.New, s.nameKey)
	m.Write([]byte(name))
	return nameEncoding.EncodeToString(m.Sum(nil)[:16])
}

// sealed is the file of a blob: magic, nonce, and, sealed with the file's name
// as associated data, the length of the name in 2 bytes, the name, the data.
func (s *Store) sealed(file, name string, data []byte) ([]byte, error) {
	out := make([]byte, len(magic)+chacha20poly1305.NonceSizeX, len(magic)+chacha20poly1305.NonceSizeX+2+len(name)+len(data)+chacha20poly1305.Overhead)
	copy(out, magic)
	nonce := out[len(magic):]
	if _, err := rand.Read(nonce); err != nil {
		return nil, err
	}
	plain := make([]byte, 2, 2+len(name)+len(data))
	binary.BigEndian.PutUint16(plain, uint16(len(name))) // maxName is below 2^16
	plain = append(append(plain, name...), data...)
	return s.aead.Seal(out, nonce, plain, associated(file)), nil
}

func associated(file string) []byte { return []byte("kb state v1\x00" + file) }

// unsealed opens a blob and returns the name that is inside.
func (s *Store) unsealed(file string, b []byte) (name string, data []byte, err error) {
	if len(b) < len(magic)+chacha20poly1305.NonceSizeX || !bytes.HasPrefix(b, []byte(magic)) {
		return "", nil, ErrTampered
	}
	nonce := b[len(magic) : len(magic)+chacha20poly1305.NonceSizeX]
	plain, err := s.aead.Open(nil, nonce, b[len(magic)+chacha20poly1305.NonceSizeX:], associated(file))
	if err != nil || len(plain) < 2 {
		return "", nil, ErrTampered
	}
	n := int(binary.BigEndian.Uint16(plain))
	if len(plain) < 2+n {
		return "", nil, ErrTampered
	}
	return string(plain[2 : 2+n]), plain[2+n:], nil
}

// file returns the class directory and the file of a name.
func (s *Store) file(name string) (dir, base string, err error) {
	c, err := class(name)
	if err != nil {
		return "", "", err
	}
	return filepath.Join(s.dir, c), s.opaque(name), nil
}

// Get returns the blob of that name and whether there is one.
func (s *Store) Get(name string) ([]byte, bool, error) {
	dir, base, err := s.file(name)
	if err != nil {
		return nil, false, err
	}
	b, err := readBounded(filepath.Join(dir, base), maxBlob+maxName+1024)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	inside, data, err := s.unsealed(associatedName(dir, base), b)
	if err != nil || inside != name {
		return nil, false, fmt.Errorf("read %q: %w", name, ErrTampered)
	}
	return data, true, nil
}

// associatedName is the associated name of a file: its class and its base.
func associatedName(dir, base string) string { return filepath.Base(dir) + "/" + base }

// Put keeps a blob under a name. A durable one is on the disk when Put
// returns; another one may be lost with the power, but not with the process.
func (s *Store) Put(name string, data []byte, durable bool) error {
	return s.put(name, data, atomicfile.Options{Durable: durable})
}

func (s *Store) put(name string, data []byte, opt atomicfile.Options) error {
	dir, base, err := s.file(name)
	if err != nil {
		return err
	}
	if len(data) > maxBlob {
		return fmt.Errorf("keep %q: %w", name, ErrTooLarge)
	}
	b, err := s.sealed(associatedName(dir, base), name, data)
	if err != nil {
		return err
	}
	err = atomicfile.Write(filepath.Join(dir, base), b, opt)
	if errors.Is(err, fs.ErrNotExist) {
		if err = secureDir(dir, opt.Disk); err != nil {
			return err
		}
		err = atomicfile.Write(filepath.Join(dir, base), b, opt)
	}
	return err
}

// Delete removes a blob. One that is not there is no error.
func (s *Store) Delete(name string) error {
	dir, base, err := s.file(name)
	if err != nil {
		return err
	}
	err = os.Remove(filepath.Join(dir, base))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return atomicfile.SyncDir(dir)
}

// List returns the names that begin with prefix, which names a class
// ("pin/..."), in order. It reads every blob of the class.
func (s *Store) List(prefix string) ([]string, error) {
	var names []string
	err := s.each(prefix, func(name string, _ []byte) error {
		names = append(names, name)
		return nil
	})
	slices.Sort(names)
	return names, err
}

// each calls f with every blob whose name begins with prefix, in no order.
func (s *Store) each(prefix string, f func(name string, data []byte) error) error {
	c, err := class(prefix + "x")
	if err != nil {
		return err
	}
	dir := filepath.Join(s.dir, c)
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue // being written
		}
		b, err := readBounded(filepath.Join(dir, e.Name()), maxBlob+maxName+1024)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return err
		}
		name, data, err := s.unsealed(associatedName(dir, e.Name()), b)
		if err != nil || !strings.HasPrefix(name, c+"/") || s.opaque(name) != e.Name() {
			return fmt.Errorf("read %q: %w", filepath.Join(dir, e.Name()), ErrTampered)
		}
		if strings.HasPrefix(name, prefix) {
			if err := f(name, data); err != nil {
				return err
			}
		}
	}
	return nil
}
