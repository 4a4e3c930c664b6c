package vaultrepo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Ways in which what others committed cannot be joined with what is here. In
// each the branch, the index and all files but the vault are as they were.
type (
	// ConflictError names files that both sides changed and that kb does not
	// merge.
	ConflictError struct{ Paths []string }
	// DirtyError says that a file of the work tree is in the way.
	DirtyError struct{ Said string }
	// FilterError names files that git must write through a filter that the
	// repository's own configuration defines, which kb does not run.
	FilterError struct{ Paths []string }
)

func (e *ConflictError) Error() string {
	return "join the remote's changes: other files conflict: " + strings.Join(e.Paths, ", ")
}

func (e *DirtyError) Error() string {
	return "join the remote's changes: " + e.Said
}

func (e *FilterError) Error() string {
	return "join the remote's changes: the repository's own filter would have to run for " + strings.Join(e.Paths, ", ")
}

// ErrUnrelated: the remote's branch has no commit in common with this one.
var ErrUnrelated = errors.New("join the remote's changes: its history has nothing in common with the one here")

// ErrOldGit: git merge-tree --write-tree came with git 2.38.
var ErrOldGit = errors.New("join the remote's changes: this needs git 2.38 or newer")

// Has reports whether the current branch holds the commit already.
func (r *Repo) Has(ctx context.Context, commit string) (bool, error) {
	head, err := r.Head(ctx)
	if err != nil || head == "" {
		return false, err
	}
	base, err := text(r.plumb(ctx, nil, "merge-base", head, commit))
	switch {
	case code(err) == 1:
		return false, nil
	case err != nil:
		return false, fmt.Errorf("compare with the remote: %w", err)
	}
	return base == commit, nil
}

// Join makes the current branch hold theirs too, with the given bytes for the
// vault, which is in the work tree already, and returns the commit that it is
// at then. HEAD's own vault must have been committed.
func (r *Repo) Join(ctx context.Context, theirs string, vault []byte) (string, error) {
	head, err := r.Head(ctx)
	if err != nil {
		return "", err
	}
	if theirs == "" || theirs == head {
		return r.commitHere(ctx, vault)
	}
	if head == "" {
		return r.advance(ctx, "", theirs, vault)
	}
	base, err := text(r.plumb(ctx, nil, "merge-base", head, theirs))
	switch {
	case code(err) == 1:
		return "", ErrUnrelated
	case err != nil:
		return "", fmt.Errorf("join the remote's changes: %w", err)
	}
	switch base {
	case theirs:
		return r.commitHere(ctx, vault)
	case head:
		return r.advance(ctx, head, theirs, vault)
	}
	return r.merge(ctx, base, head, theirs, vault)
}

// commitHere commits the vault on the branch, if it differs there.
func (r *Repo) commitHere(ctx context.Context, vault []byte) (string, error) {
	if _, err := r.Commit(ctx, vault); err != nil {
		return "", err
	}
	return r.Head(ctx)
}

// advance fast-forwards.
func (r *Repo) advance(ctx context.Context, head, theirs string, vault []byte) (string, error) {
	blob, err := r.writeBlob(ctx, vault)
	if err != nil {
		return "", err
	}
	has, err := r.blobIn(ctx, theirs)
	if err != nil {
		return "", err
	}
	to := theirs
	if has != blob {
		tree, err := r.treeWith(ctx, theirs, file{r.Path, blob})
		if err != nil {
			return "", err
		}
		if to, err = r.commitTree(ctx, tree, commitMessage, theirs); err != nil {
			return "", err
		}
	}
	return to, r.move(ctx, head, to, blob)
}

// merge joins two lines of commits. Both are given the merged vault first, so
// that git finds them equal there and merges only the rest.
func (r *Repo) merge(ctx context.Context, base, head, theirs string, vault []byte) (string, error) {
	blob, err := r.writeBlob(ctx, vault)
	if err != nil {
		return "", err
	}
	var sides [2]string
	for i, side := range []string{head, theirs} {
		tree, err := r.treeWith(ctx, side, file{r.Path, blob})
		if err != nil {
			return "", err
		}
		if sides[i], err = r.commitTree(ctx, tree, commitMessage, side); err != nil {
			return "", err
		}
	}
	if err := r.mergeable(ctx, base, sides); err != nil {
		return "", err
	}
	out, err := r.plumb(ctx, nil, "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", sides[0], sides[1])
	parts := strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00")
	switch code(err) {
	case 1:
		slices.Sort(parts[1:])
		return "", &ConflictError{slices.Compact(parts[1:])}
	case 129:
		return "", ErrOldGit
	}
	if err != nil {
		return "", fmt.Errorf("join the remote's changes: %w", err)
	}
	commit, err := r.commitTree(ctx, parts[0], "Merge the kb vault", head, theirs)
	if err != nil {
		return "", err
	}
	return commit, r.move(ctx, head, commit, blob)
}

// mergeable refuses files that both sides changed and whose attributes want
// another merge than git's usual one: in the quarantine there are none.
func (r *Repo) mergeable(ctx context.Context, base string, sides [2]string) error {
	ours, err := r.changed(ctx, base, sides[0])
	if err != nil {
		return err
	}
	theirs, err := r.changed(ctx, base, sides[1])
	if err != nil {
		return err
	}
	both := slices.DeleteFunc(ours, func(p string) bool { return p == r.Path || !slices.Contains(theirs, p) })
	special, err := r.attribute(ctx, nil, "merge", both, func(v string) bool {
		return v != "unspecified" && v != "set" && v != "text"
	})
	if err == nil && len(special) > 0 {
		err = &ConflictError{special}
	}
	return err
}

// changed lists the paths that differ between two commits; a from of "" is the
// empty tree.
func (r *Repo) changed(ctx context.Context, from, to string) ([]string, error) {
	args := []string{"diff-tree", "-r", "-z", "--name-only", "--no-renames", "--no-ext-diff", "--ignore-submodules=none", from, to}
	if from == "" {
		args = []string{"ls-tree", "-r", "-z", "--name-only", to}
	}
	out, err := r.plumb(ctx, nil, args...)
	if err != nil {
		return nil, fmt.Errorf("compare commits: %w", err)
	}
	var paths []string
	for p := range strings.SplitSeq(string(out), "\x00") {
		if p != "" {
			paths = append(paths, p)
		}
	}
	return paths, nil
}

// attribute lists those of the paths whose attribute is one that want says yes
// to. With env, the attributes are those in the index that it names.
func (r *Repo) attribute(ctx context.Context, env []string, name string, paths []string, want func(string) bool) ([]string, error) {
	if len(paths) == 0 {
		return nil, nil
	}
	args := []string{"check-attr", "-z", "--stdin", name}
	if env != nil {
		args = []string{"check-attr", "--cached", "-z", "--stdin", name}
	}
	out, err := r.gitWith(ctx, env, []byte(strings.Join(paths, "\x00")+"\x00"), args...)
	if err != nil {
		return nil, fmt.Errorf("read attributes: %w", err)
	}
	var found []string
	for f := strings.Split(string(out), "\x00"); len(f) >= 3; f = f[3:] { // PATH NUL ATTRIBUTE NUL VALUE NUL
		if want(f[2]) {
			found = append(found, f[0])
		}
	}
	return found, nil
}

// move has the work tree, the index and the branch go from one commit to
// another. The vault is in the work tree already.
func (r *Repo) move(ctx context.Context, from, to, blob string) error {
	others, err := r.changed(ctx, from, to)
	if err != nil {
		return err
	}
	others = slices.DeleteFunc(others, func(p string) bool { return p == r.Path })
	settings, err := r.config(ctx)
	if err != nil {
		return err
	}
	filters := ownFilters(settings)
	if err := r.unfiltered(ctx, to, others, filters); err != nil {
		return err
	}
	was, err := r.Stages(ctx)
	if err != nil {
		return err
	}
	if err := r.stage(ctx, r.Path, blob); err != nil {
		return err
	}
	if len(others) > 0 {
		args := []string{"read-tree", "-m", "-u", "--no-recurse-submodules"}
		if from != "" {
			args = append(args, from)
		}
		if _, err := r.gitWith(ctx, nil, nil, append(args, to)...); err != nil {
			if was.Merged != "" {
				_ = r.stage(ctx, r.Path, was.Merged) // else the vault is shown as staged: the next sync settles it
			}
			var failed *CommandError
			if errors.As(err, &failed) && failed.Code > 0 {
				return &DirtyError{strings.Join(strings.Fields(strings.TrimPrefix(failed.Stderr, "error: ")), " ")}
			}
			return fmt.Errorf("write the remote's files: %w", err)
		}
	}
	return r.moveHead(ctx, to, from)
}

// unfiltered refuses files that one of the repository's own filters is for,
// by the attributes that the commit brings.
func (r *Repo) unfiltered(ctx context.Context, commit string, paths, filters []string) error {
	if len(paths) == 0 || len(filters) == 0 {
		return nil
	}
	env, err := r.scratchIndex(ctx)
	if err != nil {
		return err
	}
	if _, err := r.plumbWith(ctx, env, nil, "read-tree", commit); err != nil {
		return fmt.Errorf("read the tree of %s: %w", commit, err)
	}
	filtered, err := r.attribute(ctx, env, "filter", paths, func(v string) bool { return slices.Contains(filters, v) })
	if err == nil && len(filtered) > 0 {
		err = &FilterError{filtered}
	}
	return err
}
