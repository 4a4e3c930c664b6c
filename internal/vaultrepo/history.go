package vaultrepo

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing"
)

// Version is a commit that made the vault what none of its parents had.
type Version struct {
	Commit  string
	Blob    string   // the vault's blob; "" where the commit removed it
	Before  []string // the blob in each parent; "" where it had none
	When    time.Time
	Author  string // others wrote it
	Subject string // others wrote it
}

// Merge reports whether the commit joined several.
func (v Version) Merge() bool { return len(v.Before) > 1 }

// maxVersions bounds how far back the history is walked for one question.
const maxVersions = 100_000

// maxBlob bounds a version of the vault, in bytes: the format's own limit.
const maxBlob = 64 << 20

// History lists the versions of the vault that HEAD descends from, newest
// first, at most limit (0 means all). A repository without a commit has none.
func (r *Repo) History(ctx context.Context, limit int) ([]Version, error) {
	if limit <= 0 || limit > maxVersions {
		limit = maxVersions
	}
	o, err := r.objects()
	if err == nil {
		var versions []Version
		if versions, err = r.walk(ctx, o, limit); err == nil || ctx.Err() != nil {
			return versions, err
		}
	}
	if r.o.Git == "" {
		return nil, fmt.Errorf("read the vault's history: %w", err)
	}
	return r.askHistory(ctx, limit)
}

// errNoHead: there is no commit yet, or HEAD is kept in a way that only git
// knows.
var errNoHead = errors.New("no commit at HEAD")

// walk goes through all commits, those of both sides of a merge, by time.
func (r *Repo) walk(ctx context.Context, o *objects, limit int) ([]Version, error) {
	head := r.head(o)
	if head == "" {
		return nil, errNoHead
	}
	commits := map[string]*commit{}
	blobs := map[string]string{}
	load := func(hash string) (*commit, error) {
		if c, ok := commits[hash]; ok {
			return c, nil
		}
		c, err := o.commit(hash)
		if err == nil {
			blobs[hash], err = o.blobAt(c.tree, r.Path)
		}
		if err != nil {
			return nil, err
		}
		commits[hash] = c
		return c, nil
	}
	edge := r.shallow()
	c, err := load(head)
	if err != nil {
		return nil, err
	}
	queue, seen := byTime{c}, map[string]bool{head: true}
	var versions []Version
	for len(queue) > 0 && len(versions) < limit {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		c := heap.Pop(&queue).(*commit)
		v := Version{Commit: c.hash, Blob: blobs[c.hash], When: c.when, Author: c.author, Subject: c.subject}
		if edge[c.hash] {
			c.parents = nil
		}
		for _, hash := range c.parents {
			parent, err := load(hash)
			if err != nil {
				return nil, err
			}
			v.Before = append(v.Before, blobs[hash])
			if !seen[hash] {
				seen[hash] = true
				heap.Push(&queue, parent)
			}
		}
		if v.isNews() {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

// isNews reports whether no parent had the vault as the commit has it.
func (v Version) isNews() bool {
	if len(v.Before) == 0 {
		return v.Blob != ""
	}
	return !slices.Contains(v.Before, v.Blob)
}

// byTime is a heap of commits, the newest first.
type byTime []*commit

func (q byTime) Len() int           { return len(q) }
func (q byTime) Less(i, j int) bool { return q[i].when.After(q[j].when) }
func (q byTime) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *byTime) Push(x any)        { *q = append(*q, x.(*commit)) }
func (q *byTime) Pop() any {
	old := *q
	last := old[len(old)-1]
	*q = old[:len(old)-1]
	return last
}

// shallow are the commits at which a shallow clone's history ends.
func (r *Repo) shallow() map[string]bool {
	text, err := readSmall(filepath.Join(r.CommonDir, "shallow"))
	if err != nil {
		return nil
	}
	edge := map[string]bool{}
	for hash := range strings.FieldsSeq(text) {
		edge[hash] = true
	}
	return edge
}

// askHistory has git answer the same.
func (r *Repo) askHistory(ctx context.Context, limit int) ([]Version, error) {
	head, err := r.Head(ctx)
	if err != nil || head == "" {
		return nil, err
	}
	out, err := r.plumb(ctx, nil, "log", "-z", "--full-history", "--date-order", "--max-count="+strconv.Itoa(limit),
		"--format=%H%x00%P%x00%ct%x00%an%x00%s", head, "--", r.Path)
	if err != nil {
		return nil, fmt.Errorf("read the vault's history: %w", err)
	}
	fields := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	var versions []Version
	for ; len(fields) >= 5; fields = fields[5:] {
		seconds, err := strconv.ParseInt(fields[2], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("read the vault's history: git gave %q for a time", fields[2])
		}
		v := Version{Commit: fields[0], When: time.Unix(seconds, 0), Author: fields[3], Subject: fields[4]}
		if v.Blob, err = r.blobIn(ctx, v.Commit); err != nil {
			return nil, err
		}
		for parent := range strings.FieldsSeq(fields[1]) {
			before, err := r.blobIn(ctx, parent)
			if err != nil {
				return nil, err
			}
			v.Before = append(v.Before, before)
		}
		if v.isNews() {
			versions = append(versions, v)
		}
	}
	return versions, nil
}

// Resolve finds the commit that a person means by rev, and the vault's blob in
// it, "" if it has none.
func (r *Repo) Resolve(ctx context.Context, rev string) (commit, blob string, err error) {
	commit, err = text(r.git(ctx, nil, "rev-parse", "--verify", "--quiet", "--end-of-options", rev+"^{commit}"))
	if err != nil {
		if code(err) > 0 {
			return "", "", &RevisionError{rev}
		}
		return "", "", err
	}
	blob, err = r.blobIn(ctx, commit)
	return commit, blob, err
}

// RevisionError names a revision that the repository does not have.
type RevisionError struct{ Revision string }

func (e *RevisionError) Error() string {
	return fmt.Sprintf("find revision %q: the vault's repository has none of that name", e.Revision)
}

// Head is the commit that HEAD is at, "" before the first one.
func (r *Repo) Head(ctx context.Context) (string, error) {
	commit, err := text(r.git(ctx, nil, "rev-parse", "--verify", "--quiet", "HEAD^{commit}"))
	if code(err) == 1 {
		return "", nil
	}
	return commit, err
}

// blobIn is the vault's blob in a commit or tree, "" if it has none or something
// else by its name.
func (r *Repo) blobIn(ctx context.Context, commit string) (string, error) {
	return r.entry(ctx, commit, r.Path)
}

func (r *Repo) entry(ctx context.Context, commit, path string) (string, error) {
	out, err := r.plumb(ctx, nil, "ls-tree", "-z", commit, "--", path)
	if err != nil {
		return "", fmt.Errorf("look for %q in %s: %w", path, commit, err)
	}
	// MODE SP TYPE SP HASH TAB PATH NUL
	about, _, _ := strings.Cut(string(out), "\t")
	if f := strings.Fields(about); len(f) == 3 && f[1] == "blob" && f[0] != "120000" {
		return f[2], nil
	}
	return "", nil
}

// VaultIn is the vault as a commit has it, nil if it has none.
func (r *Repo) VaultIn(ctx context.Context, commit string) ([]byte, error) {
	blob, err := r.blobIn(ctx, commit)
	if err != nil || blob == "" {
		return nil, err
	}
	return r.Blob(ctx, blob)
}

// Blob reads a blob by its hash.
func (r *Repo) Blob(ctx context.Context, hash string) ([]byte, error) {
	if o, err := r.objects(); err == nil {
		raw, err := o.read(hash, plumbing.BlobObject, maxBlob)
		if err == nil || errors.Is(err, ErrTooLarge) {
			return raw, err
		}
	}
	raw, err := r.plumb(ctx, nil, "cat-file", "blob", hash)
	if err != nil {
		return nil, fmt.Errorf("read a version of the vault: %w", err)
	}
	return raw, nil
}
