package vaultrepo

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// State is how the repository stands to the vault.
type State struct {
	Branch    string // "" when HEAD is at none
	Tracked   bool   // the index has the vault
	Modified  bool   // the file is not as HEAD has it
	Unmerged  bool   // git left the vault to be merged
	Upstream  string // "origin main"; "" if there is none
	Known     bool   // a fetch or push has been made, so that Ahead and Behind mean something
	Ahead     int    // commits that the remote had not when it was last asked
	Behind    int    // commits of the remote's that are not here
	Operation Operation
	SetUp     bool // git merges the vault with kb
}

// State reads it. vault is the vault's bytes, nil if there are none.
func (r *Repo) State(ctx context.Context, vault []byte) (State, error) {
	s := State{Operation: r.Operation()}
	stages, err := r.Stages(ctx)
	if err != nil {
		return s, err
	}
	s.Tracked, s.Unmerged = stages.Tracked(), stages.Unmerged()
	head, err := r.Head(ctx)
	if err != nil {
		return s, err
	}
	has := ""
	if head != "" {
		if has, err = r.blobIn(ctx, head); err != nil {
			return s, err
		}
	}
	blob, err := text(r.plumb(ctx, vault, "hash-object", "-t", "blob", "--stdin"))
	if err != nil {
		return s, err
	}
	s.Modified = vault != nil && blob != has
	out, err := r.git(ctx, nil, "check-attr", "-z", "merge", "--", r.Path)
	if err != nil {
		return s, err
	}
	f := strings.Split(string(out), "\x00")
	settings, err := r.config(ctx)
	if err != nil {
		return s, err
	}
	s.SetUp = len(f) >= 3 && f[2] == DriverName && get(settings, "merge."+DriverName+".driver") != ""
	m, err := r.Remote(ctx)
	if err != nil {
		return s, nil //nolint:nilerr // no remote is a state too
	}
	s.Branch, s.Upstream = m.Branch, m.Name+" "+strings.TrimPrefix(m.Merge, "refs/heads/")
	if m.Tracking == "" || head == "" {
		return s, nil
	}
	theirs, err := text(r.git(ctx, nil, "rev-parse", "--verify", "--quiet", m.Tracking+"^{commit}"))
	if err != nil {
		return s, nil //nolint:nilerr // never fetched
	}
	counts, err := text(r.plumb(ctx, nil, "rev-list", "--left-right", "--count", head+"..."+theirs))
	if err != nil {
		return s, err
	}
	ahead, behind, _ := strings.Cut(counts, "\t")
	if s.Ahead, err = strconv.Atoi(ahead); err == nil {
		s.Behind, err = strconv.Atoi(behind)
	}
	if err != nil {
		return s, fmt.Errorf("count commits: %w", err)
	}
	s.Known = true
	return s, nil
}
