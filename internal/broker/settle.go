package broker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"kb/internal/atomicfile"
	"kb/internal/vaultrepo"
	"kb/vaultfile"
)

// UnmergedError says that git left the vault to be merged and that kb cannot.
type UnmergedError struct {
	Path  string
	Words []string // after "git", to reach the repository
	Err   error    // why kb cannot
}

func (e *UnmergedError) Error() string {
	return fmt.Sprintf("git left the vault %s unmerged, and it cannot be merged: %v", e.Path, e.Err)
}

func (e *UnmergedError) Unwrap() error { return e.Err }

// OperationError says that git is in the middle of something in the vault's
// repository.
type OperationError struct {
	Root      string
	Words     []string // after "git", to reach the repository
	Operation vaultrepo.Operation
	Err       error // what is wrong meanwhile; nil if nothing else is
}

func (e *OperationError) Error() string {
	s := fmt.Sprintf("a %s is in progress in %s", e.Operation.Name, e.Root)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *OperationError) Unwrap() error { return e.Err }

// errMeanwhile says that the vault was replaced while it was being merged.
var errMeanwhile = errors.New("vault was replaced meanwhile")

// Notes are lines for a person on what happened to the vaults by itself, such
// as a merge. Each is returned once.
func (b *Broker) Notes() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	notes := b.notes
	b.notes = nil
	return notes
}

func (b *Broker) say(v *vault, format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	if b.several() {
		line = "vault " + v.name + ": " + line
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notes = append(b.notes, line)
}

// openVault settles what git and synchronisers left to be merged, then reads
// the vault.
func (b *Broker) openVault(ctx context.Context, v *vault) error {
	unsettled, operation := b.settle(ctx, v)
	err := b.read(ctx, v)
	switch {
	case err == nil && unsettled != nil:
		b.say(v, "%v", unsettled)
	case err != nil && unsettled != nil:
		err = unsettled
	case errors.Is(err, vaultfile.ErrRollback) && operation != nil:
		operation.Err = err
		err = operation
	default:
		return err
	}
	if err != nil {
		b.mu.Lock()
		v.err = err
		b.mu.Unlock()
	}
	return err
}

// settle merges, in memory and then at the vault's place, what git left in the
// index and what synchronisers left beside the vault. While git is in the
// middle of something else, the files are git's, and nothing is written.
func (b *Broker) settle(ctx context.Context, v *vault) (unmerged *UnmergedError, operation *OperationError) {
	if b.ci {
		return nil, nil // it only reads
	}
	repo, err := b.repository(v)
	if err == nil {
		defer repo.Close()
		op := repo.Operation()
		if op.Name != "" {
			operation = &OperationError{Root: repo.Root, Words: repo.Words(), Operation: op}
		}
		stages, err := repo.Stages(ctx)
		switch {
		case err != nil:
			return nil, operation // kb status says so
		case stages.Unmerged():
			if err := b.mergeStages(ctx, v, repo, stages); err != nil {
				return &UnmergedError{repo.File(), repo.Words(), err}, operation
			}
		case op.Name != "":
			return nil, operation
		}
	}
	b.mergeCopies(ctx, v)
	return nil, operation
}

// mergeStages merges both sides of an unmerged index, the file in the work
// tree, which may have been edited since, and what this device accepted last.
func (b *Broker) mergeStages(ctx context.Context, v *vault, repo *vaultrepo.Repo, stages vaultrepo.Stages) error {
	var versions [][]byte
	for _, hash := range []string{stages.Ours, stages.Theirs} {
		if hash == "" {
			continue // that side removed it: the other stays
		}
		raw, err := repo.Blob(ctx, hash)
		if err != nil {
			return err
		}
		versions = append(versions, raw)
	}
	if len(versions) == 0 {
		return nil // both removed it
	}
	file := repo.File()
	now, err := readFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if now != nil && !bytes.Contains(now, []byte("\n<<<<<<< ")) && !bytes.HasPrefix(now, []byte("<<<<<<< ")) {
		versions = append(versions, now)
	}
	kept, err := v.memory.Kept(ctx)
	if err != nil {
		return err
	}
	if kept != nil {
		versions = append(versions, kept)
	}
	merged, reports, err := b.mergeAll(ctx, v, versions)
	if err != nil {
		return err
	}
	if err := b.replace(ctx, v, file, now, merged); err != nil {
		return err
	}
	if err := repo.Settle(ctx, merged); err != nil {
		return fmt.Errorf("it is merged in the file, but not in git's index: %w", err)
	}
	next := ""
	if op := repo.Operation(); op.Name != "" {
		next = "; to go on with the " + op.Name + ": " + op.Continue
	}
	b.say(v, "git left the vault unmerged; kb merged both sides%s%s", Summary(reports), next)
	return nil
}

// mergeAll merges versions, of which the first is ours.
func (b *Broker) mergeAll(ctx context.Context, v *vault, versions [][]byte) (merged []byte, reports []*vaultfile.Report, err error) {
	merged = versions[0]
	others := versions[1:]
	if len(others) == 0 {
		others = versions // alone, it is merged with itself: that is how it is judged
	}
	for _, other := range others {
		var report *vaultfile.Report
		if merged, report, err = vaultfile.Merge(ctx, merged, other, b.identity, v.memory); err != nil {
			return nil, nil, err
		}
		reports = append(reports, report)
	}
	return merged, reports, nil
}

// mergeCopies merges the conflicted copies beside the vault, and removes those
// that it took all of. Copies that cannot be merged stay; kb status names them.
func (b *Broker) mergeCopies(ctx context.Context, v *vault) {
	file, err := atomicfile.Target(v.path)
	if err != nil {
		return // opening it says so
	}
	for _, copied := range vaultrepo.Copies(file) {
		if err := b.mergeCopy(ctx, v, file, copied); err != nil {
			b.say(v, "conflicted copy %s is not merged: %v", filepath.Base(copied), err)
		}
	}
}

func (b *Broker) mergeCopy(ctx context.Context, v *vault, file, copied string) error {
	ours, err := readFile(file)
	if err != nil {
		return err
	}
	theirs, err := readFile(copied)
	if err != nil {
		return err
	}
	merged, report, err := vaultfile.Merge(ctx, ours, theirs, b.identity, v.memory)
	if err != nil {
		return err
	}
	if len(report.Quarantined) > 0 {
		// What is left out would be lost with the copy.
		return &QuarantineError{report.Quarantined}
	}
	if err := b.replace(ctx, v, file, ours, merged); err != nil {
		return err
	}
	again, err := readFile(copied)
	if err != nil || !bytes.Equal(again, theirs) {
		return err // it was replaced meanwhile: the next open takes it
	}
	if err := os.Remove(copied); err != nil {
		return fmt.Errorf("remove it: %w", err)
	}
	b.say(v, "conflicted copy %s is merged into the vault and removed%s", filepath.Base(copied), Summary([]*vaultfile.Report{report}))
	return nil
}

// QuarantineError says that a version holds what kb does not take.
type QuarantineError struct{ Quarantined []vaultfile.Quarantined }

func (e *QuarantineError) Error() string {
	q := e.Quarantined[0]
	s := fmt.Sprintf("%s %s: %s", q.Type, q.Key, q.Reason)
	if more := len(e.Quarantined) - 1; more > 0 {
		s += fmt.Sprintf(" (and %d more)", more)
	}
	return s
}

// replace writes a merged vault in place of what was merged, under the lock
// that edits take, unless somebody wrote there meanwhile.
func (b *Broker) replace(ctx context.Context, v *vault, file string, was, merged []byte) error {
	if bytes.Equal(was, merged) {
		return nil
	}
	unlock, err := v.memory.Lock(ctx)
	if err != nil {
		return fmt.Errorf("lock vault: %w", err)
	}
	defer func() { _ = unlock() }()
	still := func() error {
		now, err := readFile(file)
		if errors.Is(err, fs.ErrNotExist) && was == nil {
			return nil
		}
		if err == nil && !bytes.Equal(now, was) {
			err = errMeanwhile
		}
		return err
	}
	if err := atomicfile.Write(file, merged, atomicfile.Options{Durable: true, BeforeRename: still}); err != nil {
		return fmt.Errorf("save the merged vault: %w", err)
	}
	return nil
}

// keepMerge saves a vault that Open merged in memory, so that git and the other
// devices see it.
func (b *Broker) keepMerge(ctx context.Context, v *vault, file *vaultfile.File) {
	if !file.Unsaved() || b.ci {
		return
	}
	if repo, err := b.repository(v); err == nil {
		defer repo.Close()
		stages, err := repo.Stages(ctx)
		if err != nil || repo.Operation().Name != "" && !stages.Unmerged() {
			return // the files are git's for now
		}
	}
	report := file.Report()
	if err := b.edit(ctx, v, func(*vaultfile.Tx) error { return nil }); err != nil {
		b.say(v, "the vault was edited apart; kb merged it in memory and cannot save it: %v", err)
		return
	}
	b.say(v, "the vault was edited apart; kb merged it%s", Summary([]*vaultfile.Report{report}))
}

// maxNamed is how many changes a line names.
const maxNamed = 4

// Summary is what merges did, for the end of a line: names, never a value.
func Summary(reports []*vaultfile.Report) string {
	var names []string
	conflicts, quarantined := 0, 0
	seen := map[string]bool{}
	for _, r := range reports {
		if r == nil {
			continue
		}
		for _, c := range r.Changes {
			name := c.Op.String() + " " + c.Type + " " + c.Key
			if !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
		conflicts, quarantined = max(conflicts, len(r.Conflicts)), quarantined+len(r.Quarantined)
	}
	if more := len(names) - maxNamed; more > 0 {
		names = append(names[:maxNamed], fmt.Sprintf("and %d more", more))
	}
	s := ""
	if len(names) > 0 {
		s = ": " + strings.Join(names, ", ")
	}
	if conflicts > 0 {
		s += fmt.Sprintf("; conflicts to settle: %d (kb status)", conflicts)
	}
	if quarantined > 0 {
		s += fmt.Sprintf("; left out: %d", quarantined)
	}
	return s
}

// maxVault bounds a vault file, in bytes, as the format does.
const maxVault = 64 << 20

// readFile reads a regular file that may be a vault.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	fi, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !fi.Mode().IsRegular():
		return nil, fmt.Errorf("read %q: not a regular file: %w", path, vaultfile.ErrNotVault)
	case fi.Size() > maxVault:
		return nil, fmt.Errorf("read %q: %w", path, vaultfile.ErrTooLarge)
	}
	return io.ReadAll(io.LimitReader(f, maxVault+1))
}

// ReadVaultFile reads a file that git gives the merge driver or the textconv.
func ReadVaultFile(path string) ([]byte, error) { return readFile(path) }
