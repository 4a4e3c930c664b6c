package vaultrepo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
)

// Remote is where the branch that HEAD is at comes from and goes to.
type Remote struct {
	Name     string // as the repository calls it
	Branch   string // local branch, without refs/heads/
	Merge    string // the remote's reference, refs/heads/…
	Tracking string // local reference that remembers it; "" if there is none
	url      string
	push     []string // of remote.*.pushurl
}

// Ways in which there is nothing to sync with.
var (
	// ErrDetached: HEAD is at a commit and at no branch.
	ErrDetached = errors.New("no branch is checked out in the vault's repository")
	// ErrNoRemote: the repository has no remote.
	ErrNoRemote = errors.New("the vault's repository has no remote")
	// ErrNoUpstream: there are several remotes and the branch names none.
	ErrNoUpstream = errors.New("the branch does not say which remote it belongs to")
)

// Remote finds the remote of the current branch: the one that it is configured
// for, else the only one there is, or origin.
func (r *Repo) Remote(ctx context.Context) (*Remote, error) {
	head, err := text(r.git(ctx, nil, "symbolic-ref", "--quiet", "HEAD"))
	branch, ok := strings.CutPrefix(head, "refs/heads/")
	switch {
	case code(err) == 1 || err == nil && !ok:
		return nil, ErrDetached
	case err != nil:
		return nil, err
	}
	settings, err := r.config(ctx)
	if err != nil {
		return nil, err
	}
	m := &Remote{Branch: branch, Name: get(settings, "branch."+branch+".remote"), Merge: get(settings, "branch."+branch+".merge")}
	if m.Merge == "" {
		m.Merge = "refs/heads/" + branch
	}
	if m.Name == "" {
		if m.Name, err = onlyRemote(settings); err != nil {
			return nil, err
		}
	}
	m.url, m.push = get(settings, "remote."+m.Name+".url"), getAll(settings, "remote."+m.Name+".pushurl")
	if m.url == "" {
		return nil, ErrNoRemote // "." is this repository, and others are names of nothing
	}
	if !strings.HasPrefix(m.Merge, "refs/heads/") {
		return nil, ErrNoUpstream
	}
	m.Tracking = tracking(getAll(settings, "remote."+m.Name+".fetch"), m.Merge)
	return m, nil
}

func onlyRemote(settings []setting) (string, error) {
	names := map[string]bool{}
	for _, s := range settings {
		if name, ok := strings.CutPrefix(s.key, "remote."); ok {
			if name, ok = strings.CutSuffix(name, ".url"); ok {
				names[name] = true
			}
		}
	}
	switch {
	case len(names) == 0:
		return "", ErrNoRemote
	case names["origin"]:
		return "origin", nil
	case len(names) > 1:
		return "", ErrNoUpstream
	}
	for name := range names {
		return name, nil
	}
	return "", ErrNoRemote
}

// tracking applies fetch refspecs: +refs/heads/*:refs/remotes/origin/*.
func tracking(specs []string, ref string) string {
	for _, spec := range specs {
		from, to, ok := strings.Cut(strings.TrimPrefix(spec, "+"), ":")
		if !ok || !strings.HasPrefix(to, "refs/") {
			continue
		}
		before, after, glob := strings.Cut(from, "*")
		switch {
		case !glob && from == ref:
			return to
		case glob && len(ref) >= len(before)+len(after) && strings.HasPrefix(ref, before) && strings.HasSuffix(ref, after):
			return strings.Replace(to, "*", ref[len(before):len(ref)-len(after)], 1)
		}
	}
	return ""
}

// TransferError says why a fetch or a push did not go through.
type TransferError struct {
	Doing  string   // "fetch" or "push"
	Remote string   // its name
	Said   string   // what git said; the server wrote some of it
	Unused []string // keys of the repository's own configuration that kb does not let git use
	Access bool     // it is about who one is, not about the way there
}

func (e *TransferError) Error() string {
	return fmt.Sprintf("%s vault: remote %q: %s", e.Doing, e.Remote, e.Said)
}

// ErrRace: the remote's branch moved on meanwhile.
var ErrRace = errors.New("push vault: the remote has changed meanwhile")

// Fetch gets the remote's branch and returns its commit, "" if the remote does
// not have the branch yet.
func (r *Repo) Fetch(ctx context.Context, m *Remote) (string, error) {
	settings, err := r.config(ctx)
	if err != nil {
		return "", err
	}
	// What is here already is not sent again: the quarantine has no references
	// of its own to tell the server.
	if err := r.lend(ctx, m); err != nil {
		return "", err
	}
	under := append(forTransfer(settings), setting{key: "remote.kb.url", value: r.place(m.url)})
	args := []string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules"}
	local, err := r.isLocal(ctx, under, false)
	if err != nil {
		return "", err
	}
	if local {
		args = append(args, "--upload-pack="+r.serve("upload-pack"))
	}
	_, err = r.transfer(ctx, under, append(args, "--", "kb", "+"+m.Merge+":refs/kb/fetched")...)
	if err != nil {
		var failed *CommandError
		if errors.As(err, &failed) && strings.Contains(failed.Stderr, "couldn't find remote ref") {
			return "", nil
		}
		return "", transferError("fetch", m, settings, err)
	}
	commit, err := text(r.plumb(ctx, nil, "rev-parse", "--verify", "refs/kb/fetched^{commit}"))
	if err != nil {
		return "", fmt.Errorf("fetch vault: %w", err)
	}
	r.track(ctx, m, commit)
	return commit, nil
}

// lend gives the quarantine references to what the repository has.
func (r *Repo) lend(ctx context.Context, m *Remote) error {
	for _, name := range []string{"HEAD", m.Tracking} {
		if name == "" {
			continue
		}
		commit, err := text(r.git(ctx, nil, "rev-parse", "--verify", "--quiet", name+"^{commit}"))
		if err != nil {
			continue // it does not exist yet
		}
		if _, err := r.plumb(ctx, nil, "update-ref", "refs/kb/"+strings.ReplaceAll(name, "/", "-"), commit); err != nil {
			return fmt.Errorf("prepare a transfer: %w", err)
		}
	}
	return nil
}

// track remembers where the remote is. It is for other commands' eyes: that it
// fails changes nothing here.
func (r *Repo) track(ctx context.Context, m *Remote, commit string) {
	if m.Tracking != "" {
		_, _ = r.git(ctx, nil, "update-ref", "-m", "kb sync", m.Tracking, commit)
	}
}

// Push gives the remote a commit. It never forces: ErrRace says that the
// remote has what the commit has not.
func (r *Repo) Push(ctx context.Context, m *Remote, commit string) error {
	settings, err := r.config(ctx)
	if err != nil {
		return err
	}
	urls, key := m.push, "remote.kb.pushurl"
	if len(urls) == 0 {
		urls, key = []string{m.url}, "remote.kb.url"
	}
	for _, url := range urls {
		under := append(forTransfer(settings), setting{key: key, value: r.place(url)})
		args := []string{"push", "--porcelain", "--no-verify"}
		local, err := r.isLocal(ctx, under, true)
		if err != nil {
			return err
		}
		if local {
			args = append(args, "--receive-pack="+r.serve("receive-pack"))
		}
		out, err := r.transfer(ctx, under, append(args, "--", "kb", commit+":"+m.Merge)...)
		if err != nil {
			if raced(string(out)) {
				return ErrRace
			}
			return transferError("push", m, settings, err)
		}
	}
	r.track(ctx, m, commit)
	return nil
}

// raced reads the lines of git push --porcelain: FLAG TAB FROM:TO TAB SUMMARY.
func raced(out string) bool {
	for line := range strings.SplitSeq(out, "\n") {
		if !strings.HasPrefix(line, "!\t") {
			continue
		}
		for _, reason := range []string{"(fetch first)", "(non-fast-forward)", "cannot lock ref", "failed to update ref", "incorrect old value", "(stale info)"} {
			if strings.Contains(line, reason) {
				return true
			}
		}
	}
	return false
}

// place makes the path of a repository on this machine absolute: git means it
// from the work tree.
func (r *Repo) place(url string) string {
	if localURL(url) && !strings.HasPrefix(url, "file:") && !filepath.IsAbs(url) && !strings.HasPrefix(url, "~") {
		return filepath.Join(r.Root, url)
	}
	return url
}

// isLocal reports whether the URL of the remote called kb, as git rewrites it,
// is one on this machine.
func (r *Repo) isLocal(ctx context.Context, under []setting, push bool) (bool, error) {
	if push {
		// Only fetch URLs can be asked for without a repository that has the
		// remote: pushInsteadOf and pushurl are looked at as if for fetching.
		again := make([]setting, 0, len(under))
		for _, s := range under {
			if base, ok := strings.CutSuffix(s.key, ".pushinsteadof"); ok {
				s.key = base + ".insteadof"
			}
			if s.key == "remote.kb.pushurl" {
				s.key = "remote.kb.url"
			}
			again = append(again, s)
		}
		under = again
	}
	url, err := text(r.transfer(ctx, under, "ls-remote", "--get-url", "kb"))
	if err != nil {
		return false, fmt.Errorf("read the remote's URL: %w", err)
	}
	return localURL(url), nil
}

// localURL: a file URL, or a path, which has no colon before its first slash.
func localURL(url string) bool {
	if strings.Contains(url, "::") && !strings.HasPrefix(url, "/") {
		return false
	}
	if scheme, _, ok := strings.Cut(url, "://"); ok && !strings.Contains(scheme, "/") {
		return strings.EqualFold(scheme, "file")
	}
	colon, slash := strings.IndexByte(url, ':'), strings.IndexByte(url, '/')
	return colon < 0 || slash >= 0 && slash < colon
}

// serve is how git is to start its other end on this machine: the repository
// there may be an agent's, with hooks that would run as the user.
func (r *Repo) serve(command string) string {
	words := []string{shellQuote(r.o.Git)}
	for _, flag := range append(hardening[1:], "-c", "receive.autogc=false", "-c", "receive.denyCurrentBranch=refuse") {
		words = append(words, shellQuote(flag))
	}
	return strings.Join(append(words, command), " ")
}

func transferError(doing string, m *Remote, settings []setting, err error) error {
	var failed *CommandError
	if !errors.As(err, &failed) {
		return fmt.Errorf("%s vault: %w", doing, err)
	}
	e := &TransferError{Doing: doing, Remote: m.Name, Unused: executes(settings)}
	for line := range strings.SplitSeq(failed.Stderr, "\n") {
		line = strings.TrimSpace(line)
		for _, sign := range []string{
			"Authentication failed", "could not read Username", "could not read Password", "terminal prompts disabled",
			"Permission denied", "Host key verification failed", "Repository not found", "error: 401", "error: 403",
		} {
			e.Access = e.Access || strings.Contains(line, sign)
		}
		if e.Said == "" && line != "" && !strings.HasPrefix(line, "hint:") {
			e.Said = line
		}
	}
	if e.Said == "" {
		e.Said = failed.Error()
	}
	return e
}
