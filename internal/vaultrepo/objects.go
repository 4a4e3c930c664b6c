package vaultrepo

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-billy/v5"
	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
)

// objects reads the object store through go-git: its storage only, since its
// repository refuses extensions that change nothing in the store, and brings
// transports and signatures along.
type objects struct{ store *filesystem.Storage }

// errSHA256: go-git is built for the other hash.
var errSHA256 = errors.New("objects are named by SHA-256")

// errObject: an object that is not what it should be.
var errObject = errors.New("not the object that was looked for")

// ErrTooLarge: a version of the vault that is larger than any, or another
// object beyond the limits.
var ErrTooLarge = errors.New("too large")

func (r *Repo) objects() (*objects, error) {
	if r.sha256() {
		return nil, errSHA256
	}
	return &objects{filesystem.NewStorageWithOptions(regular{osfs.New(r.CommonDir)}, cache.NewObjectLRUDefault(),
		filesystem.Options{AlternatesFS: regular{osfs.New("/")}})}, nil
}

// regular opens regular files only: a FIFO in a repository would hold kb up for
// good, for nothing ends an open(2) that waits for a writer.
type regular struct{ billy.Filesystem }

func (r regular) Open(name string) (billy.File, error) { return r.OpenFile(name, os.O_RDONLY, 0) }

func (r regular) OpenFile(name string, flag int, mode os.FileMode) (billy.File, error) {
	fi, err := r.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("open %q: %w", name, errObject)
	}
	return r.Filesystem.OpenFile(name, flag, mode)
}

func (r regular) Chroot(path string) (billy.Filesystem, error) {
	inner, err := r.Filesystem.Chroot(path)
	if err != nil {
		return nil, err
	}
	return regular{inner}, nil
}

// maxObject bounds commits and trees, in bytes. The tree of a directory with
// 100,000 files has some 4 MB.
const maxObject = 16 << 20

func (o *objects) read(hash string, typ plumbing.ObjectType, limit int64) ([]byte, error) {
	// Before it is read: go-git has all of an object in memory, and a server can
	// pack gigabytes of zeros into little.
	size, err := o.store.EncodedObjectSize(plumbing.NewHash(hash))
	switch {
	case errors.Is(err, plumbing.ErrObjectNotFound): // it may be in an alternate, which is not asked for sizes
	case err != nil:
		return nil, fmt.Errorf("read object %s: %w", hash, err)
	case size > limit:
		return nil, fmt.Errorf("read object %s: %w", hash, ErrTooLarge)
	}
	obj, err := o.store.EncodedObject(typ, plumbing.NewHash(hash))
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", hash, err)
	}
	if obj.Size() > limit {
		return nil, fmt.Errorf("read object %s: %w", hash, ErrTooLarge)
	}
	reader, err := obj.Reader()
	if err != nil {
		return nil, fmt.Errorf("read object %s: %w", hash, err)
	}
	raw, err := io.ReadAll(io.LimitReader(reader, limit))
	if closeErr := reader.Close(); err == nil {
		err = closeErr
	}
	return raw, err
}

// commit is what a commit object says (gitformat of git-cat-file(1)).
type commit struct {
	hash, tree      string
	parents         []string
	when            time.Time // of the committer
	author, subject string
}

func (o *objects) commit(hash string) (*commit, error) {
	raw, err := o.read(hash, plumbing.CommitObject, maxObject)
	if err != nil {
		return nil, err
	}
	c := &commit{hash: hash}
	head, message, _ := strings.Cut(string(raw), "\n\n")
	c.subject, _, _ = strings.Cut(message, "\n")
	for line := range strings.SplitSeq(head, "\n") {
		key, value, _ := strings.Cut(line, " ")
		switch key {
		case "tree":
			c.tree = value
		case "parent":
			c.parents = append(c.parents, value)
		case "author":
			c.author, _, _ = strings.Cut(value, " <")
		case "committer":
			f := strings.Fields(value[strings.LastIndexByte(value, '>')+1:])
			if len(f) > 0 {
				seconds, _ := strconv.ParseInt(f[0], 10, 64) // a bad time sorts as the oldest
				c.when = time.Unix(seconds, 0)
			}
		}
	}
	if len(c.tree) != 40 {
		return nil, fmt.Errorf("read object %s: %w", hash, errObject)
	}
	return c, nil
}

// blobAt finds the blob of a file in a tree, "" if there is none.
func (o *objects) blobAt(tree, path string) (string, error) {
	for {
		name, rest, deeper := strings.Cut(path, "/")
		raw, err := o.read(tree, plumbing.TreeObject, maxObject)
		if err != nil {
			return "", err
		}
		mode, hash, err := findInTree(raw, name)
		switch {
		case err != nil:
			return "", fmt.Errorf("read object %s: %w", tree, err)
		case deeper && mode == "40000":
			tree, path = hash, rest
		case !deeper && strings.HasPrefix(mode, "100"):
			return hash, nil
		default:
			return "", nil
		}
	}
}

// findInTree looks for a name among entries: MODE SP NAME NUL HASH.
func findInTree(raw []byte, name string) (mode, hash string, err error) {
	for len(raw) > 0 {
		head, rest, ok := bytes.Cut(raw, []byte{0})
		if !ok || len(rest) < 20 {
			return "", "", errObject
		}
		m, n, ok := strings.Cut(string(head), " ")
		if !ok {
			return "", "", errObject
		}
		if n == name {
			return m, plumbing.Hash(rest[:20]).String(), nil
		}
		raw = rest[20:]
	}
	return "", "", nil
}

// head is the commit that HEAD is at; "" where go-git cannot tell.
func (r *Repo) head(o *objects) string {
	line, err := readSmall(filepath.Join(r.GitDir, "HEAD"))
	if err != nil {
		return ""
	}
	line = strings.TrimSpace(line)
	name, symbolic := strings.CutPrefix(line, "ref: ")
	if !symbolic {
		return line
	}
	for range 5 { // as many as git follows
		ref, err := o.store.Reference(plumbing.ReferenceName(name))
		if err != nil {
			return ""
		}
		if ref.Type() == plumbing.HashReference {
			return ref.Hash().String()
		}
		name = ref.Target().String()
	}
	return ""
}
