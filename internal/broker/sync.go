package broker

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"kb/internal/vaultrepo"
	"kb/vaultfile"
)

// maxRaces bounds how often a sync starts over because somebody else pushed
// meanwhile. Each is a whole round trip, so that five in a row are no accident.
const maxRaces = 5

// SyncResult is what a sync did.
type SyncResult struct {
	Repository  string // work tree
	Remote      string // its name
	Branch      string // at the remote
	Commit      string // that both are at now
	Committed   bool   // the vault had changes that were not committed
	Pushed      bool
	Received    []vaultfile.Change // what came from the remote
	Sent        []vaultfile.Change // what the remote's vault had not
	Conflicts   []vaultfile.Conflict
	Quarantined []vaultfile.Quarantined
}

// SyncError says that a sync ended early; what was committed and merged until
// then stays, and no harm is done by another try.
type SyncError struct {
	Words          []string // after "git", to reach the repository
	Remote, Branch string   // "" if they were not found
	Committed      bool
	Err            error
}

func (e *SyncError) Error() string { return e.Err.Error() }

func (e *SyncError) Unwrap() error { return e.Err }

// ErrBusyRemote says that the remote changed each time that it was pushed to.
var ErrBusyRemote = errors.New("push vault: others keep pushing to the remote")

// Sync commits the selected vault, merges it with the remote's, and pushes.
func (b *Broker) Sync(ctx context.Context) (*SyncResult, error) {
	if b.ci {
		return nil, vaultfile.ErrReadOnly
	}
	repo, err := b.repository(b.selected)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	if op := repo.Operation(); op.Name != "" {
		return nil, &OperationError{Root: repo.Root, Words: repo.Words(), Operation: op}
	}
	s := &SyncResult{Repository: repo.Root}
	if err := b.sync(ctx, repo, s); err != nil {
		return s, &SyncError{repo.Words(), s.Remote, s.Branch, s.Committed, err}
	}
	return s, nil
}

func (b *Broker) sync(ctx context.Context, repo *vaultrepo.Repo, s *SyncResult) error {
	remote, err := repo.Remote(ctx)
	if err != nil {
		return err
	}
	s.Remote, s.Branch = remote.Name, strings.TrimPrefix(remote.Merge, "refs/heads/")
	ours, err := b.current(ctx, repo)
	if err != nil {
		return err
	}
	if s.Committed, err = repo.Commit(ctx, ours); err != nil {
		return err
	}
	for range maxRaces {
		theirs, err := repo.Fetch(ctx, remote)
		if err != nil {
			return err
		}
		if ours, err = b.receive(ctx, repo, theirs, ours, s); err != nil {
			return err
		}
		if s.Commit, err = repo.Join(ctx, theirs, ours); err != nil {
			return err
		}
		if s.Commit == theirs {
			return nil
		}
		err = repo.Push(ctx, remote, s.Commit)
		if !errors.Is(err, vaultrepo.ErrRace) {
			s.Pushed = err == nil
			return err
		}
	}
	return ErrBusyRemote
}

// current is the vault's file, which this device accepts: nothing else is
// committed.
func (b *Broker) current(ctx context.Context, repo *vaultrepo.Repo) ([]byte, error) {
	raw, err := readFile(repo.File())
	if err != nil {
		return nil, err
	}
	if err := b.read(ctx, b.selected); err != nil {
		return nil, err
	}
	// The one that was read may have come between.
	if merged, _, err := vaultfile.Merge(ctx, raw, raw, b.identity, b.selected.memory); err != nil {
		return nil, err
	} else if b.unsaved(b.selected) {
		return nil, &OperationError{Root: repo.Root, Words: repo.Words(), Operation: repo.Operation()}
	} else {
		return merged, nil
	}
}

// unsaved reports whether what a vault holds is a merge that is not on the disk.
func (b *Broker) unsaved(v *vault) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return v.file.Unsaved()
}

// receive merges the vault of the remote's commit into ours.
func (b *Broker) receive(ctx context.Context, repo *vaultrepo.Repo, theirs string, ours []byte, s *SyncResult) ([]byte, error) {
	s.Sent = nil
	if theirs == "" {
		return ours, b.sent(ctx, nil, ours, s)
	}
	raw, err := repo.VaultIn(ctx, theirs)
	if errors.Is(err, vaultrepo.ErrTooLarge) {
		return nil, &RemoteVaultError{s.Remote, vaultfile.ErrTooLarge}
	}
	if err != nil {
		return nil, err
	}
	if raw == nil {
		return ours, b.sent(ctx, nil, ours, s)
	}
	merged, report, err := vaultfile.Merge(ctx, ours, raw, b.identity, b.selected.memory)
	if errors.Is(err, vaultfile.ErrWrongKey) {
		// The remote is where it was when this device was let in by the paper
		// key: what the file there held is in ours.
		if has, err := repo.Has(ctx, theirs); err != nil {
			return nil, err
		} else if has {
			return ours, b.sent(ctx, raw, ours, s)
		}
	}
	if err != nil {
		return nil, &RemoteVaultError{s.Remote, err}
	}
	if err := b.replace(ctx, b.selected, repo.File(), ours, merged); err != nil {
		return nil, err
	}
	if err := b.read(ctx, b.selected); err != nil {
		return nil, err
	}
	s.Received = append(s.Received, report.Changes...)
	s.Conflicts, s.Quarantined = report.Conflicts, report.Quarantined
	return merged, b.sent(ctx, raw, merged, s)
}

// sent notes what the remote's vault has not.
func (b *Broker) sent(ctx context.Context, theirs, ours []byte, s *SyncResult) error {
	after, err := vaultfile.ReadRevision(ctx, ours, b.identity, b.selected.memory)
	if err != nil {
		return err
	}
	var before *vaultfile.File
	if theirs != nil {
		if before, err = vaultfile.ReadRevision(ctx, theirs, b.identity, b.selected.memory); err != nil {
			return nil //nolint:nilerr // a version that was left out whole: there is nothing to compare with
		}
	}
	s.Sent = vaultfile.Diff(before, after)
	return nil
}

// RemoteVaultError says that the vault at the remote cannot be merged. Nothing
// there was changed.
type RemoteVaultError struct {
	Remote string
	Err    error
}

func (e *RemoteVaultError) Error() string {
	return fmt.Sprintf("merge the vault of remote %q: %v", e.Remote, e.Err)
}

func (e *RemoteVaultError) Unwrap() error { return e.Err }
