package broker

import (
	"context"
	"io/fs"
	"os"
	"time"

	"kb/internal/audit"
	"kb/internal/refresh"
)

// watchEvery is how often a session looks whether the vault, or a file that a
// reference reads, is another one. A change takes effect within a second; two
// stat calls in that time cost nothing that can be measured, and unlike a
// watch on the folder they see through symbolic links and network mounts.
const watchEvery = 300 * time.Millisecond

// watch follows the vault, and the tokens that other processes put into this
// device's state, until the session is closed.
func (s *Session) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	// What was replaced after the session read it, and before it began to watch,
	// is another one.
	seen := s.snapshot.Load().seen
	pruned := false
	for {
		looked := func() {}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case asked := <-s.look:
			looked = func() { close(asked) }
		}
		if !pruned {
			// Here, where nobody waits for it. What fails is tried again by
			// the next session.
			pruned = true
			_, _ = audit.Prune(s.broker.paths.Audit(), s.broker.auditIndex,
				audit.Retention{MaxAge: audit.DefaultMaxAge, MaxBytes: audit.DefaultMaxBytes}, s.broker.now())
		}
		s.adoptTokens()
		for _, line := range s.broker.Notes() {
			s.note(line, "")
		}
		if now := s.stamps(); !sameStamps(seen, now) {
			seen = now
			s.refresh(ctx)
		}
		looked()
	}
}

// lookNow has the watch look at the vault, and waits until it has.
func (s *Session) lookNow(ctx context.Context) {
	asked := make(chan struct{})
	select {
	case s.look <- asked:
	case <-ctx.Done():
		return
	case <-s.life.Done():
		return
	}
	select {
	case <-asked:
	case <-ctx.Done():
	case <-s.life.Done():
	}
}

// adoptTokens takes the tokens that were stored since: by this process's own
// upkeep, or by another one.
func (s *Session) adoptTokens() {
	b := s.broker
	for _, c := range s.snapshot.Load().logins {
		if !c.flows() || c.problem != "" {
			continue
		}
		if mark, err := b.store.TokenMark(b.tokenKey(c.key)); err == nil && mark != c.seen {
			b.bindStored(c)
		}
	}
}

// upkeep keeps the tokens of the session's logins from expiring, and does
// first what has waited for this device.
func (s *Session) upkeep(ctx context.Context) {
	for _, line := range s.broker.Upkeep(ctx) {
		s.note(line, "")
	}
	s.broker.tokens.Keep(ctx, s.keptLogins)
}

// keptLogins are those whose tokens the session keeps fresh: what a person
// granted, of every granted profile, because a refresh token that is not used
// for long ends with some servers; and what was minted, once it was used, since
// a new one can be had at any time.
func (s *Session) keptLogins() []refresh.Login {
	var kept []refresh.Login
	for _, c := range s.snapshot.Load().logins {
		if !c.flows() || c.problem != "" {
			continue
		}
		if c.used.Load() || c.method.Renews() {
			kept = append(kept, s.broker.upkept(c.login))
		}
	}
	return kept
}

// refresh replaces the snapshot by one of the vaults as they are now. A vault
// that cannot be opened, or is not the one this device trusts, changes nothing:
// what the session holds of it stays, and the audit says so.
func (s *Session) refresh(ctx context.Context) {
	changed, err := s.broker.reopen(ctx)
	if err != nil {
		s.note("vault changed and cannot be read; the session goes on with what it knew", err.Error())
	}
	if !changed {
		return
	}
	next := s.broker.newSnapshot(s.granted, s.query, loginsOf(s.snapshot.Load()))
	next.carry(s.snapshot.Load())
	names, addrs := s.broker.authorities(next)
	for _, name := range names {
		if !s.ca.Permits(name) {
			// A login at a new host of the user's own: the authority is issued
			// anew, for what the session starts from now on.
			if err := s.ca.Reissue(names, addrs); err != nil {
				s.note("certificate authority not issued anew", err.Error())
			} else if err := s.replaceCertificates(); err != nil {
				s.note("certificate files not replaced", err.Error())
			}
			break
		}
	}
	s.snapshot.Store(next)
	s.background(func(ctx context.Context) {
		for _, line := range s.broker.Upkeep(ctx) {
			s.note(line, "")
		}
	})
	s.note("vault changed; its logins are in effect", "")
}

func (s *Session) note(reason, detail string) {
	// A failed write is sticky in the log: the next request is refused.
	_ = s.log.Append(audit.Event{Phase: audit.PhaseNote, Profile: s.own, Reason: reason, Detail: detail})
}

// stamps are what tells whether a watched file is another one.
func (s *Session) stamps() []fs.FileInfo {
	var stamps []fs.FileInfo
	for _, v := range s.broker.vaults {
		stamps = append(stamps, stampOf(v.path))
	}
	for _, path := range s.snapshot.Load().refs {
		stamps = append(stamps, stampOf(path))
	}
	return stamps
}

// stampOf is nil for a file that is gone for now.
func stampOf(path string) fs.FileInfo {
	stamp, _ := os.Stat(path)
	return stamp
}

// vaultStamps are those of the files that the vaults hold.
func (b *Broker) vaultStamps() []fs.FileInfo {
	b.mu.RLock()
	defer b.mu.RUnlock()
	stamps := make([]fs.FileInfo, len(b.vaults))
	for i, v := range b.vaults {
		if v.file != nil {
			stamps[i] = v.file.Stat()
		}
	}
	return stamps
}

func sameStamps(a, b []fs.FileInfo) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		switch {
		case a[i] == nil || b[i] == nil:
			if a[i] != nil || b[i] != nil {
				return false
			}
		case !os.SameFile(a[i], b[i]) || !a[i].ModTime().Equal(b[i].ModTime()) || a[i].Size() != b[i].Size():
			return false
		}
	}
	return true
}
