package vaultfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxAhead is how far a change may be ahead of the clock and still be merged.
// A day is more than any time zone or daylight saving mistake; a device whose
// clock is years ahead would otherwise win every merge until then.
const maxAhead = 24 * time.Hour

// Report is what a merge did, by name.
type Report struct {
	Changes     []Change      // what our side gained from theirs
	Conflicts   []Conflict    // of the result, still to be settled
	Quarantined []Quarantined // what was left out, and why
}

// Quarantined is a record whose changes a merge left out. They are where they
// were: in the version that was merged, and in git's history.
type Quarantined struct {
	Type   string
	Key    string
	Device string // device id of who made the change
	When   time.Time
	Reason string
}

// horizon is the newest stamp that is believed: a day after the clock, which
// is the wall's or, where that is behind, the newest change that is known.
func horizon(now time.Time, known *payload) int64 {
	at := now.UnixMilli()
	for i := range known.records {
		at = max(at, known.records[i].stamp.hlc>>hlcBits)
	}
	return (at + maxAhead.Milliseconds()) << hlcBits
}

// joinRecords merges two states of one record. It is commutative, associative
// and idempotent, and takes every value from one of them.
//
// A record's life is a sequence of epochs, each begun by making it anew after
// a deletion. An edit made beside a deletion belongs to the epoch that the
// deletion ended, and goes with it.
func joinRecords(a, b *record) record {
	ea, eb := a.epoch(), b.epoch()
	switch {
	case a.same(b):
		return *a
	case ea.less(eb):
		return *b
	case eb.less(ea):
		return *a
	case a.deleted:
		return *b // alive again in the same epoch, or the same tombstone
	case b.deleted:
		return *a
	}
	out := record{id: a.id, typ: a.typ, stamp: later(a.stamp, b.stamp), stamps: map[string]stamp{}}
	if ea != (stamp{}) {
		out.stamps[revived] = ea
	}
	name := guarded(a.typ)
	if name != "" {
		g := a.guard().join(b.guard())
		if len(g.versions) > 0 {
			out.take(name, g.versions[0].raw, g.versions[0].at)
		}
		out.fields = rawField(out.fields, apart, g.extra())
	}
	stampsA, stampsB := a.stampsOfAll(), b.stampsOfAll()
	valuesA, valuesB := a.paths(), b.paths()
	lists := map[string]map[string][]byte{}
	for _, path := range union(stampsA, stampsB) {
		if path == revived || path == name && name != "" {
			continue
		}
		raw, at := newer(valuesA, stampsA, valuesB, stampsB, path)
		field, element, _ := strings.Cut(path, ".")
		if !perElement(a.typ, field) {
			out.take(path, raw, at)
			continue
		}
		if lists[field] == nil {
			lists[field] = map[string][]byte{}
		}
		if raw != nil {
			lists[field][element] = raw
		}
		if raw == nil || at != out.stamp {
			out.stamps[path] = at
		}
	}
	for field, members := range lists {
		var o object
		for _, k := range slices.SortedFunc(maps.Keys(members), keyCompare) {
			o.raw(k, members[k])
		}
		if len(members) > 0 {
			out.fields = rawField(out.fields, field, o.done())
		}
	}
	out.sortFields()
	return out
}

// epoch is the deletion after which the record was made anew, or that it is.
func (r *record) epoch() stamp {
	if r.deleted {
		return r.stamp
	}
	return r.stamps[revived]
}

// take sets a path that is not of an element, in a record that has none.
func (r *record) take(name string, raw []byte, at stamp) {
	r.fields = rawField(r.fields, name, raw)
	if raw == nil || at != r.stamp {
		r.stamps[name] = at
	}
}

// newer takes a path from the side that changed it last. Only an identity that
// two machines share gives one stamp to two values: what is absent beats what
// is present, then the greater bytes do.
func newer(va map[string][]byte, sa map[string]stamp, vb map[string][]byte, sb map[string]stamp, path string) ([]byte, stamp) {
	a, b := va[path], vb[path]
	switch x, y := sa[path], sb[path]; {
	case x.less(y):
		return b, y
	case y.less(x):
		return a, x
	case a == nil || b == nil:
		return nil, x
	case bytes.Compare(a, b) < 0:
		return b, x
	default:
		return a, x
	}
}

func union[V any](a, b map[string]V) []string {
	paths := make([]string, 0, len(a)+len(b))
	for p := range a {
		paths = append(paths, p)
	}
	for p := range b {
		if _, both := a[p]; !both {
			paths = append(paths, p)
		}
	}
	return paths
}

// join merges what theirs knows into ours. Changes beyond the horizon are left
// out, and so is the clock of who made them: the result does not claim to know
// them.
func join(ours, theirs *payload, horizon int64) (*payload, []Quarantined) {
	out := &payload{clock: ours.clock.Clone(), name: max(ours.name, theirs.name), vaultID: ours.vaultID}
	var left []Quarantined
	unknown := map[string]bool{} // devices whose changes were left out
	i, k := 0, 0
	for i < len(ours.records) || k < len(theirs.records) {
		var a, b *record
		if i < len(ours.records) {
			a = &ours.records[i]
		}
		if k < len(theirs.records) {
			b = &theirs.records[k]
		}
		switch {
		case b == nil || a != nil && a.id < b.id:
			out.records = append(out.records, *a)
			i++
			continue
		case a == nil || b.id < a.id:
			a = nil
			k++
		default:
			i++
			k++
		}
		if late := b.beyond(horizon); len(late) > 0 && (a == nil || !a.same(b)) {
			for device := range late {
				unknown[device] = true
			}
			left = append(left, Quarantined{
				Type: b.typ, Key: b.key(), Device: b.stamp.device, When: b.stamp.when(),
				Reason: "it is more than a day ahead of this device's clock",
			})
			if a != nil {
				out.records = append(out.records, *a)
			}
			continue
		}
		if a == nil {
			out.records = append(out.records, *b)
			continue
		}
		out.records = append(out.records, joinRecords(a, b))
	}
	for id, n := range theirs.clock {
		if !unknown[id] {
			out.clock[id] = max(out.clock[id], n)
		}
	}
	return out, left
}

// same reports whether two states of a record are equal, stamps and all.
func (r *record) same(b *record) bool {
	return r.id == b.id && r.deleted == b.deleted && r.stamp == b.stamp && maps.Equal(r.stamps, b.stamps) &&
		slices.EqualFunc(r.fields, b.fields, func(f, g field) bool { return f.name == g.name && bytes.Equal(f.raw, g.raw) })
}

// beyond lists the devices that changed the record later than the horizon.
func (r *record) beyond(horizon int64) map[string]bool {
	if r.stamp.hlc <= horizon {
		return nil // no stamp is newer than its record's
	}
	late := map[string]bool{r.stamp.device: true}
	for _, at := range r.stamps {
		if at.hlc > horizon {
			late[at.device] = true
		}
	}
	return late
}

// sameContent reports whether two payloads say the same, whoever signed them.
func (p *payload) sameContent(q *payload) bool {
	return p.vaultID == q.vaultID && p.name == q.name && maps.Equal(p.clock, q.clock) &&
		slices.EqualFunc(p.records, q.records, func(a, b record) bool { return a.same(&b) })
}

// opened is a vault file that was read and not yet judged.
type opened struct {
	raw    []byte
	p      *payload
	c      *Contents
	digest [32]byte // SHA-256 of the payload without its signature
}

// openRaw decrypts, parses and decodes.
func openRaw(raw []byte, id *Identity) (*opened, error) {
	plain, err := unseal(raw, id.age)
	if err != nil {
		return nil, err
	}
	p, digest, err := parsePayload(plain)
	if err != nil {
		return nil, err
	}
	c, err := decode(p.records)
	if err != nil {
		return nil, err
	}
	return &opened{raw, p, c, digest()}, nil
}

// trust is what verifying a vault leaves behind.
type trust struct {
	keys map[string][]byte // device id -> Ed25519 public key
	gone map[string]bool   // removed devices
}

func (t trust) with(u trust) trust {
	out := trust{maps.Clone(t.keys), maps.Clone(t.gone)}
	if out.keys == nil {
		out.keys = map[string][]byte{}
	}
	if out.gone == nil {
		out.gone = map[string]bool{}
	}
	maps.Copy(out.keys, u.keys)
	maps.Copy(out.gone, u.gone)
	for id := range out.gone {
		delete(out.keys, id)
	}
	return out
}

func (o *opened) verify(t trust) (trust, error) {
	keys, gone, err := o.p.verify(o.c, o.digest, t.keys, t.gone, false)
	return trust{keys, gone}, err
}

func (o *opened) verifyFork(t trust) (trust, error) {
	keys, gone, err := o.p.verify(o.c, o.digest, t.keys, t.gone, true)
	return trust{keys, gone}, err
}

// verifyBoth judges two versions of a vault, of which either may know of
// devices that the other brings. The errors are for ours and theirs.
func verifyBoth(ours, theirs *opened, base trust) (ta, tb trust, errA, errB error) {
	ta, errA = ours.verifyFork(base)
	tb, errB = theirs.verifyFork(base)
	switch {
	case errA == nil && errB != nil:
		tb, errB = theirs.verifyFork(base.with(ta))
	case errA != nil && errB == nil:
		ta, errA = ours.verifyFork(base.with(tb))
	}
	return ta, tb, errA, errB
}

// leftOut is the report on a version that is not merged because a removed
// device signed it: all that is newer in it, whoever wrote that first.
func leftOut(ours, theirs *opened) *Report {
	r := &Report{Conflicts: ours.c.Conflicts}
	have := make(map[string]stamp, len(ours.p.records))
	for i := range ours.p.records {
		have[ours.p.records[i].id] = ours.p.records[i].stamp
	}
	newer := map[string]bool{}
	for i := range theirs.p.records {
		if b := &theirs.p.records[i]; have[b.id].less(b.stamp) {
			newer[b.id] = true
		}
	}
	for _, c := range diff(ours.p.records, theirs.p.records) {
		if newer[c.Type+"/"+c.Key] {
			r.Quarantined = append(r.Quarantined, Quarantined{Type: c.Type, Key: c.Key, Device: c.Device, When: c.When, Reason: "its device was removed"})
		}
	}
	return r
}

// joinOpened merges two versions that were edited apart. If one was signed by a
// device that the other removed, and this device had not accepted it before,
// the other is the result.
func joinOpened(ours, theirs *opened, acc *accepted, now time.Time) (*payload, trust, *Report, error) {
	ta, tb, errA, errB := verifyBoth(ours, theirs, trust{acc.Trusted, acc.Removed})
	switch {
	case errA != nil && errors.Is(errA, ErrRemovedSigner) && errB == nil:
		return theirs.p, tb, leftOut(theirs, ours), nil
	case errB != nil && errors.Is(errB, ErrRemovedSigner) && errA == nil:
		return ours.p, ta, leftOut(ours, theirs), nil
	case errA != nil:
		return nil, trust{}, nil, errA
	case errB != nil:
		return nil, trust{}, nil, errB
	case ta.gone[theirs.p.signer] && theirs.digest != acc.Payload:
		return ours.p, ta, leftOut(ours, theirs), nil
	case tb.gone[ours.p.signer] && ours.digest != acc.Payload:
		return theirs.p, tb, leftOut(theirs, ours), nil
	}
	p, left := join(ours.p, theirs.p, horizon(now, ours.p))
	r := &Report{Changes: diff(ours.p.records, p.records), Quarantined: left}
	for i := range p.records {
		if c, ok := p.records[i].conflict(); ok {
			r.Conflicts = append(r.Conflicts, c)
		}
	}
	return p, ta.with(tb), r, nil
}

// Merge joins two versions of one vault, given as whole files: it is git's
// merge driver. It needs no common ancestor, for the stamps say what came
// after what. Where the result equals one side it is that side's bytes, and
// where both say the same, the bytes with the smaller SHA-256, so that two
// devices that merge the same pair end at the same file.
//
// Neither version is accepted by it: mem is only read. Both must be signed by
// devices that this one trusts. A version signed by a device that the other
// removed is left out whole, and reported.
func Merge(ctx context.Context, ours, theirs []byte, id *Identity, mem Memory) ([]byte, *Report, error) {
	return merge(ctx, ours, theirs, id, mem, time.Now())
}

func merge(ctx context.Context, ours, theirs []byte, id *Identity, mem Memory, now time.Time) ([]byte, *Report, error) {
	acc, err := load(ctx, mem)
	if err != nil {
		return nil, nil, err
	}
	if acc == nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", ErrNoTrust)
	}
	a, err := openRaw(ours, id)
	if err != nil {
		return nil, nil, fmt.Errorf("merge our version: %w", err)
	}
	b, err := openRaw(theirs, id)
	if err != nil {
		return nil, nil, fmt.Errorf("merge their version: %w", err)
	}
	if a.p.vaultID != acc.VaultID || b.p.vaultID != acc.VaultID {
		return nil, nil, fmt.Errorf("merge vaults: %w", ErrForeignVault)
	}
	if a.p.clock.leaps(acc.Clock) || b.p.clock.leaps(acc.Clock) {
		return nil, nil, fmt.Errorf("merge vaults: %w: a count in a clock that no device can have reached", ErrMalformed)
	}
	p, t, report, err := joinOpened(a, b, acc, now)
	if err != nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", err)
	}
	if p, err = p.removeAgain(ctx, id, acc, mem); err != nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", err)
	}
	sameA, sameB := p.sameContent(a.p), p.sameContent(b.p)
	x, y := sha256.Sum256(ours), sha256.Sum256(theirs)
	switch {
	case sameA && (!sameB || bytes.Compare(x[:], y[:]) <= 0):
		return ours, report, nil
	case sameB:
		return theirs, report, nil
	}
	if id.sign == nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", ErrReadOnly)
	}
	tx := newTx(p, id, now)
	if err := tx.mend(t, acc.Counter); err != nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", err)
	}
	s, err := tx.seal(ctx, t)
	if err != nil {
		return nil, nil, fmt.Errorf("merge vaults: %w", err)
	}
	return s.raw, report, nil
}

// removeAgain takes devices out of a merged vault whose removal this device
// knows of and neither side does: git replays the commits of a rebase one by
// one, and those before the removal too. Nothing is encrypted to such a device
// again.
func (p *payload) removeAgain(ctx context.Context, id *Identity, acc *accepted, mem Memory) (*payload, error) {
	back := slices.ContainsFunc(p.records, func(r record) bool { return r.typ == "device" && !r.deleted && acc.Removed[r.key()] })
	if !back {
		return p, nil
	}
	raw, err := mem.Kept(ctx)
	if err != nil || raw == nil {
		return p, err // sealing refuses it
	}
	kept, err := openRaw(raw, id)
	if err != nil {
		return nil, fmt.Errorf("read the vault that this device kept: %w", err)
	}
	out := *p // either side's own stays as it is
	out.records = slices.Clone(p.records)
	for i := range out.records {
		r := &out.records[i]
		if r.typ != "device" || r.deleted || !acc.Removed[r.key()] {
			continue
		}
		k, ok := slices.BinarySearchFunc(kept.p.records, r.id, func(r record, id string) int { return strings.Compare(r.id, id) })
		if ok && kept.p.records[k].deleted {
			*r = kept.p.records[k]
		}
	}
	return &out, nil
}
