package vaultfile

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"

	"kb/internal/atomicfile"
)

// sealed is a vault that is ready to be written.
type sealed struct {
	raw    []byte
	p      *payload
	c      *Contents
	digest [32]byte
	trust  trust
}

// count has the device count this save. A merge that changes nothing itself is
// not counted.
func (tx *Tx) count(used uint64) error {
	n := max(tx.p.clock[tx.id.id], used) + 1
	if n > maxInt {
		return fmt.Errorf("save vault: clock is at its end: %w", ErrInvalid)
	}
	tx.p.clock[tx.id.id] = n
	tx.changed = true
	return nil
}

// mend has this device vouch for devices that a merge left without a chain:
// one side removed the device by which the other had added them. Both sides
// were verified, so each of them was trusted before.
func (tx *Tx) mend(t trust, used uint64) error {
	if _, stranger := signers(tx.p.vaultID, tx.devices(), t.keys, t.gone); stranger == nil {
		return nil
	}
	counted := tx.changed
	tx.vouchForAll()
	if tx.changed && !counted {
		return tx.count(used)
	}
	return nil
}

// seal signs and encrypts the edited vault.
func (tx *Tx) seal(ctx context.Context, t trust) (*sealed, error) {
	p := tx.p
	if tx.now.hlc > maxInt {
		return nil, fmt.Errorf("save vault: clock is at its end: %w", ErrInvalid)
	}
	if len(p.records) > maxRecords {
		return nil, fmt.Errorf("save vault: %w", ErrTooLarge)
	}
	p.signer = tx.id.id
	sortByID(p.records)
	plain := p.encode(func(digest [32]byte) []byte { return tx.id.sign.sign(sigMessage(digest)) })

	// Read it back as everyone else will: what is written is a vault, or
	// nothing is written.
	fresh, digest, err := parsePayload(plain)
	if err != nil {
		return nil, fmt.Errorf("save vault: %w", err)
	}
	c, err := decode(fresh.records)
	if err != nil {
		return nil, fmt.Errorf("save vault: %w", err)
	}
	s := &sealed{p: fresh, c: c, digest: digest()}
	if s.trust.keys, s.trust.gone, err = fresh.verify(c, s.digest, t.keys, t.gone, false); err != nil {
		return nil, fmt.Errorf("save vault: %w", err)
	}
	to, err := recipients(ctx, c.Devices)
	if err != nil {
		return nil, fmt.Errorf("save vault: %w", err)
	}
	if s.raw, err = seal(plain, to...); err != nil {
		return nil, err
	}
	if len(s.raw) > maxFile {
		return nil, fmt.Errorf("save vault: %w", ErrTooLarge)
	}
	return s, nil
}

// save signs and encrypts, has the memory keep the result, and replaces the
// file over, whose SHA-256 it is given: all zeros where there is none.
//
// The memory goes first. Once the file is in its place git may take it from
// there to other devices, and a save that this device did not remember, because
// it was killed, could be followed by another with the same count that knows
// nothing of it. See [accepted.Replacing] for what a kill in between leaves.
func (tx *Tx) save(ctx context.Context, target string, acc *accepted, over [32]byte, mem Memory, was remembered, before func() error) (*File, error) {
	t := trust{acc.Trusted, acc.Removed}
	if tx.changed {
		if err := tx.count(acc.Counter); err != nil {
			return nil, err
		}
	}
	if err := tx.mend(t, acc.Counter); err != nil {
		return nil, err
	}
	s, err := tx.seal(ctx, t)
	if err != nil {
		return nil, err
	}
	next := &accepted{
		VaultID: s.p.vaultID, Clock: s.p.clock.Clone(), Counter: max(acc.Counter, s.p.clock[tx.id.id]),
		File: sha256.Sum256(s.raw), Payload: s.digest, Trusted: s.trust.keys, Removed: s.trust.gone,
		Former: acc.follow(s.trust.keys), Replacing: over,
	}
	told := false
	tell := func() error {
		if err := before(); err != nil {
			return err
		}
		told = true
		if err := mem.Accept(ctx, next.encode(), s.raw); err != nil {
			return fmt.Errorf("remember the vault: %w", err)
		}
		return before()
	}
	// From here on it goes to its end, or back: half is what a kill leaves.
	rest := context.WithoutCancel(ctx)
	err = atomicfile.Write(target, s.raw, atomicfile.Options{Durable: true, BeforeRename: tell, Disk: atomicfile.DiskOf(ctx)})
	if err != nil {
		if told && !inPlace(target, next) {
			if undone := was.restore(rest, mem); undone != nil {
				return nil, fmt.Errorf("save vault: %w, and this device could not forget that it tried: %w", final(err), undone)
			}
		}
		return nil, fmt.Errorf("save vault: %w", err)
	}
	if next.Replacing != [32]byte{} {
		// The save is on the disk and remembered. If this fails, the file that
		// it replaced is taken for an interrupted save should it come back,
		// and the newer one is not lost by that.
		next.Replacing = [32]byte{}
		_ = mem.Accept(rest, next.encode(), nil)
	}
	f := &File{path: target, payload: s.p, acc: next}
	f.contents.Store(s.c)
	if f.stat, err = os.Stat(target); err != nil {
		return nil, err
	}
	return f, nil
}

// final keeps Edit from starting over on an error.
func final(err error) error {
	if errors.Is(err, errMeanwhile) {
		return errors.New(errMeanwhile.Error())
	}
	return err
}

// inPlace reports whether the file is the one that was being saved: a rename
// can be done and reported as failed.
func inPlace(target string, next *accepted) bool {
	_, raw, _, err := readFile(target)
	return err == nil && sha256.Sum256(raw) == next.File
}

// remembered is what Memory held before a save.
type remembered struct {
	acc  *accepted
	file []byte
}

// restore has Memory hold it again. Where there was nothing there is nothing
// to restore: a note on a vault that is not there is replaced by the next
// Create.
func (r remembered) restore(ctx context.Context, mem Memory) error {
	if r.acc == nil {
		return nil
	}
	if r.file == nil {
		r.file = []byte{}
	}
	// The note first, alone: a note on a save whose file is kept no more would
	// promise what is not there.
	if err := mem.Accept(ctx, r.acc.encode(), nil); err != nil {
		return err
	}
	return mem.Accept(ctx, r.acc.encode(), r.file)
}
