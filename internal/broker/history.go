package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"kb/internal/vaultrepo"
	"kb/vaultfile"
)

// Past is one version in the vault's history.
type Past struct {
	Commit  string
	When    time.Time
	Author  string             // as git has it; others wrote it
	Device  string             // id of the device that saved it; "" if it cannot be read
	Merge   bool               // it joins several
	Removed bool               // the commit removed the vault
	Changes []vaultfile.Change // to what came before, in each of the versions that it joins
	Err     error              // why it cannot be read
}

// History lists the versions of the selected vault in git, newest first, at
// most limit (0 means all).
func (b *Broker) History(ctx context.Context, limit int) ([]Past, error) {
	repo, err := b.repository(b.selected)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	versions, err := repo.History(ctx, limit)
	if err != nil {
		return nil, err
	}
	read := b.revisions(ctx, repo)
	out := make([]Past, 0, len(versions))
	for _, v := range versions {
		p := Past{Commit: v.Commit, When: v.When, Author: v.Author, Merge: v.Merge(), Removed: v.Blob == ""}
		if !p.Removed {
			var file *vaultfile.File
			if file, p.Err = read(v.Blob); p.Err == nil {
				p.Device = file.Signer()
				p.Changes = changesIn(file, v.Before, read)
			}
		}
		out = append(out, p)
	}
	return out, ctx.Err()
}

// revisions reads versions by their blobs, each once.
func (b *Broker) revisions(ctx context.Context, repo *vaultrepo.Repo) func(blob string) (*vaultfile.File, error) {
	type result struct {
		file *vaultfile.File
		err  error
	}
	seen := map[string]result{}
	return func(blob string) (*vaultfile.File, error) {
		r, ok := seen[blob]
		if !ok {
			var raw []byte
			if raw, r.err = repo.Blob(ctx, blob); r.err == nil {
				r.file, r.err = vaultfile.ReadRevision(ctx, raw, b.identity, b.selected.memory)
			}
			seen[blob] = r
		}
		return r.file, r.err
	}
}

// changesIn are the changes to every one of the versions before: what a merge
// only took from a side is that side's. Versions before that cannot be read
// count as if they were not there.
func changesIn(file *vaultfile.File, before []string, read func(string) (*vaultfile.File, error)) []vaultfile.Change {
	var all []vaultfile.Change
	compared := false
	for _, blob := range before {
		var old *vaultfile.File
		if blob != "" {
			var err error
			if old, err = read(blob); err != nil {
				continue
			}
		}
		changes := vaultfile.Diff(old, file)
		if !compared {
			all, compared = changes, true
			continue
		}
		all = slices.DeleteFunc(all, func(c vaultfile.Change) bool {
			return !slices.ContainsFunc(changes, func(d vaultfile.Change) bool { return c.Type == d.Type && c.Key == d.Key })
		})
	}
	if !compared {
		return vaultfile.Diff(nil, file)
	}
	return all
}

// Revision is a version of the vault that can be restored from.
type Revision struct {
	Commit string
	File   *vaultfile.File
}

// NoVaultInError says that a revision has no vault.
type NoVaultInError struct{ Commit string }

func (e *NoVaultInError) Error() string {
	return fmt.Sprintf("read revision %.12s: there is no vault in it", e.Commit)
}

// ReadRevisionError says that a version of the vault cannot be read.
type ReadRevisionError struct {
	Commit string
	Err    error
}

func (e *ReadRevisionError) Error() string {
	return fmt.Sprintf("read revision %.12s: %s", e.Commit, strings.TrimPrefix(e.Err.Error(), "read revision: "))
}

func (e *ReadRevisionError) Unwrap() error { return e.Err }

// Revision reads the selected vault as a commit has it.
func (b *Broker) Revision(ctx context.Context, rev string) (*Revision, error) {
	repo, err := b.repository(b.selected)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	commit, blob, err := repo.Resolve(ctx, rev)
	if err != nil {
		return nil, err
	}
	if blob == "" {
		return nil, &NoVaultInError{commit}
	}
	file, err := b.revisions(ctx, repo)(blob)
	if err != nil {
		return nil, &ReadRevisionError{commit, err}
	}
	return &Revision{commit, file}, nil
}

// Lacks lists what a revision has and the vault has not. Devices are left out:
// they are added anew, not restored.
func (b *Broker) Lacks(r *Revision) []vaultfile.Change {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return slices.DeleteFunc(vaultfile.Diff(b.selected.file, r.File), func(c vaultfile.Change) bool {
		return c.Op != vaultfile.Added || c.Type == "device"
	})
}

// Errors of what is to be restored.
var (
	// ErrRecordName: it is named TYPE/NAME.
	ErrRecordName = errors.New("not a name that kb vault history prints")
	// ErrNotInRevision: the revision has no such record.
	ErrNotInRevision = errors.New("the revision has no such record")
	// ErrNotRestored: the record is a device.
	ErrNotRestored = errors.New("a device is added anew, not restored")
)

// Restore puts records, named TYPE/KEY, as they are in a revision.
func (b *Broker) Restore(ctx context.Context, r *Revision, names ...string) error {
	return b.Edit(ctx, func(tx *vaultfile.Tx) error {
		for _, name := range names {
			typ, key, ok := strings.Cut(name, "/")
			if !ok || key == "" {
				return fmt.Errorf("restore %q: %w", name, ErrRecordName)
			}
			if typ == "device" {
				return fmt.Errorf("restore %q: %w", name, ErrNotRestored)
			}
			err := tx.Restore(r.File, typ, key)
			if errors.Is(err, vaultfile.ErrNotFound) {
				err = fmt.Errorf("restore %q: %w", name, ErrNotInRevision)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}
