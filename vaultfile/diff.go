package vaultfile

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"time"
)

// Change is a record that one version of a vault has otherwise than another.
// It names and never shows a value.
type Change struct {
	Type   string    // record type: profile, rule, login, ...
	Key    string    // record id without its type: "work/github"
	Op     Op        // what became of it
	Fields []string  // names of the fields that changed, for Changed
	Device string    // device id of the newest change
	When   time.Time // of the newest change
}

// Op is what became of a record.
type Op int

// Operations.
const (
	Added Op = iota
	Changed
	Removed
)

// String is the mark of the operation: "+", "~" or "-".
func (o Op) String() string { return [...]string{"+", "~", "-"}[o] }

// MarshalText is the operation as a word: added, changed or removed.
func (o Op) MarshalText() ([]byte, error) {
	return []byte([...]string{"added", "changed", "removed"}[o]), nil
}

// Diff says what b has otherwise than a, by record id. Everything is added
// where a is nil.
func Diff(a, b *File) []Change {
	var before []record
	if a != nil {
		before = a.payload.records
	}
	return diff(before, b.payload.records)
}

func diff(before, after []record) []Change {
	had := make(map[string]*record, len(before))
	for i := range before {
		had[before[i].id] = &before[i]
	}
	var out []Change
	for i := range after {
		r := &after[i]
		if r.typ == "setting" && strings.HasPrefix(r.key(), removedPrefix) {
			continue // it goes with the removal of a device, which is told
		}
		old := had[r.id]
		change := Change{Type: r.typ, Key: r.key(), Device: r.stamp.device, When: r.stamp.when()}
		switch was := old != nil && !old.deleted; {
		case r.deleted && was:
			change.Op = Removed
		case r.deleted:
			continue
		case !was:
			change.Op = Added
		default:
			if change.Fields = changedFields(old, r); len(change.Fields) == 0 {
				continue
			}
			change.Op = Changed
		}
		out = append(out, change)
	}
	// What another version lacks without a tombstone: it is older, or another
	// vault.
	have := make(map[string]bool, len(after))
	for i := range after {
		have[after[i].id] = true
	}
	for i := range before {
		if r := &before[i]; !have[r.id] && !r.deleted {
			out = append(out, Change{Type: r.typ, Key: r.key(), Op: Removed, Device: r.stamp.device, When: r.stamp.when()})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Type+"/"+out[i].Key < out[j].Type+"/"+out[j].Key })
	return out
}

// changedFields names the fields that differ; by whom devices are vouched for
// is nobody's news.
func changedFields(a, b *record) []string {
	names := map[string]bool{}
	for _, r := range []*record{a, b} {
		for _, f := range r.fields {
			names[f.name] = true
		}
	}
	if a.typ == "device" {
		delete(names, "vouched")
	}
	maps.DeleteFunc(names, func(name string, _ bool) bool { return bytes.Equal(a.field(name), b.field(name)) })
	if own := guarded(a.typ); own != "" && names[apart] {
		// To a person the versions are the field itself.
		delete(names, apart)
		if a.disputed() || b.disputed() {
			names[own] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// ReadRevision reads a version of the vault out of its history: whole, of this
// vault, and signed by a device that is trusted, or was before it was removed
// (see [File.SignerRemoved]). It can be shown, compared and restored from; it
// is accepted by nothing, and its clock is not looked at.
func ReadRevision(ctx context.Context, raw []byte, id *Identity, mem Memory) (*File, error) {
	acc, err := load(ctx, mem)
	if err != nil {
		return nil, err
	}
	if acc == nil {
		return nil, fmt.Errorf("read revision: %w", ErrNoTrust)
	}
	o, err := openRaw(raw, id)
	if err != nil {
		return nil, fmt.Errorf("read revision: %w", err)
	}
	if o.p.vaultID != acc.VaultID {
		return nil, fmt.Errorf("read revision: %w", ErrForeignVault)
	}
	// Without the list of removed devices: what they signed in their time is
	// history.
	keys := maps.Clone(acc.Former)
	if keys == nil {
		keys = map[string][]byte{}
	}
	maps.Copy(keys, acc.Trusted)
	t, err := o.verify(trust{keys: keys})
	if err != nil {
		return nil, fmt.Errorf("read revision: %w", err)
	}
	f := o.file(id, acc, t, raw)
	f.acc.Removed = acc.Removed
	// A removed device can vouch for one that it makes up, and sign by that.
	now, _ := signers(o.p.vaultID, o.c.Devices, acc.Trusted, acc.Removed)
	f.former = now[o.p.signer] == nil
	return f, nil
}

// Restore puts a record as it is in another version of the vault. A device
// cannot be restored: it is added anew.
func (tx *Tx) Restore(from *File, typ, key string) error {
	id := typ + "/" + key
	i, ok := slices.BinarySearchFunc(from.payload.records, id, func(r record, id string) int { return strings.Compare(r.id, id) })
	if !ok || from.payload.records[i].deleted {
		return fmt.Errorf("restore %q: %w", id, ErrNotFound)
	}
	if typ == "device" {
		return invalid(typ, key, "a device is added anew, not restored")
	}
	old := from.payload.records[i]
	fields := slices.DeleteFunc(slices.Clone(old.fields), func(f field) bool { return f.name == apart && guarded(typ) != "" })
	if raw := old.field(apart); raw != nil && typ == "profile" {
		fields = slices.DeleteFunc(fields, func(f field) bool { return f.name == "also" })
		fields = rawField(fields, "also", strList(old.guard().common()))
	}
	have, known := tx.index[id]
	if !known {
		tx.put(typ, key, fields)
		return nil
	}
	if tx.p.records[have].set(fields, tx.now, func(string) bool { return false }) {
		tx.changed = true
	}
	tx.Settle(typ, key)
	return nil
}
