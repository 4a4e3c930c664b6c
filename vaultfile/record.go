package vaultfile

import (
	"bytes"
	"maps"
	"slices"
	"sort"
	"strings"
)

// record is one record as it stands in the payload. Field values are canonical
// JSON, kept as bytes: what this kb does not know is carried along as it came.
type record struct {
	id      string
	typ     string
	fields  []field // in the order of their names
	stamp   stamp   // of the newest change to any of it
	deleted bool
	stamps  map[string]stamp // of what is older or gone; see effective
}

type field struct {
	name string
	raw  []byte
}

// revived is the path under which stamps keep the deletion that a record was
// created anew after. A merge can thereby tell an edit that knew of a deletion
// from one made beside it, over which the deletion wins.
const revived = "-"

// types that format 1 knows.
func knownType(t string) bool {
	switch t {
	case "profile", "rule", "login", "provider", "client", "policy", "device", "setting":
		return true
	}
	return false
}

// perElement says which fields are merged element by element: their paths are
// "field.element". All others are one value, merged whole.
func perElement(typ, name string) bool {
	return typ == "profile" && name == "expect" || typ == "device" && name == "vouched"
}

// key is the record's id without its type.
func (r *record) key() string { return r.id[len(r.typ)+1:] }

func (r *record) field(name string) []byte {
	i, ok := slices.BinarySearchFunc(r.fields, name, func(f field, n string) int { return strings.Compare(f.name, n) })
	if !ok {
		return nil
	}
	return r.fields[i].raw
}

// elements returns the raw elements of a field that is merged per element, by
// name: the members of an object, or the strings of an array.
func elements(raw []byte) map[string][]byte {
	out := map[string][]byte{}
	s := scanner{b: raw}
	switch s.peek() {
	case '{':
		s.object(func(k []byte) bool {
			name := string(k)
			v, ok := s.skip(0)
			out[name] = v
			return ok
		})
	case '[':
		s.list(func() bool {
			name, ok := s.text()
			out[name] = nil
			return ok
		})
	}
	return out
}

// paths returns every path of the record's value with its bytes.
func (r *record) paths() map[string][]byte {
	out := make(map[string][]byte, len(r.fields))
	for _, f := range r.fields {
		if f.name == apart && guarded(r.typ) != "" {
			continue
		}
		if !perElement(r.typ, f.name) {
			out[f.name] = f.raw
			continue
		}
		for name, raw := range elements(f.raw) {
			out[f.name+"."+name] = raw
		}
	}
	return out
}

// effective is the stamp of a path that is not of an element; zero if it never
// was in the record.
func (r *record) effective(path string) stamp {
	if at, ok := r.stamps[path]; ok {
		return at
	}
	if r.field(path) != nil {
		return r.stamp
	}
	return stamp{}
}

// stampsOfAll returns the stamp of every path of the record, be it in the
// value, removed, or the deletion that the record was made anew after.
func (r *record) stampsOfAll() map[string]stamp {
	out := make(map[string]stamp, len(r.fields)+len(r.stamps))
	for path := range r.paths() {
		out[path] = r.stamp
	}
	maps.Copy(out, r.stamps)
	return out
}

func sortByID(records []record) {
	sort.Slice(records, func(i, j int) bool { return records[i].id < records[j].id })
}

func (r *record) sortFields() {
	sort.Slice(r.fields, func(i, j int) bool { return r.fields[i].name < r.fields[j].name })
}

// set replaces the record's value, keeping the fields that keep names, and
// stamps what changed with now. It reports whether anything did.
func (r *record) set(fields []field, now stamp, keep func(name string) bool) bool {
	next := record{id: r.id, typ: r.typ, stamp: now, stamps: map[string]stamp{}}
	for _, f := range r.fields {
		if keep(f.name) {
			next.fields = append(next.fields, f)
		}
	}
	next.fields = append(next.fields, fields...)
	next.sortFields()
	if name := guarded(r.typ); name != "" && !r.deleted {
		// Whoever changes a guarded field has seen all of its versions.
		g := r.guard()
		if raw := next.field(name); !bytes.Equal(raw, r.field(name)) {
			g = g.next(version{now, raw})
		}
		next.fields = rawField(next.fields, apart, g.extra())
		next.sortFields()
	}
	if r.deleted {
		next.stamps[revived] = r.stamp
		*r = next
		return true
	}
	if slices.EqualFunc(r.fields, next.fields, func(a, b field) bool { return a.name == b.name && bytes.Equal(a.raw, b.raw) }) {
		return false
	}
	old, cur := r.paths(), next.paths()
	maps.Copy(next.stamps, r.stamps)
	for path, raw := range old {
		now, still := cur[path]
		if still && bytes.Equal(raw, now) {
			// The second change within one save finds the stamp of the first.
			if _, stamped := r.stamps[path]; !stamped && r.stamp != next.stamp {
				next.stamps[path] = r.stamp
			}
		}
		if !still {
			next.stamps[path] = next.stamp
		}
	}
	for path, raw := range cur {
		was, before := old[path]
		if !before || !bytes.Equal(was, raw) {
			delete(next.stamps, path)
		}
	}
	*r = next
	return true
}

// remove makes the record a tombstone.
func (r *record) remove(now stamp) {
	*r = record{id: r.id, typ: r.typ, stamp: now, deleted: true}
}

func (r *record) appendJSON(b []byte) []byte {
	b = append(b, `{"deleted":`...)
	if r.deleted {
		b = append(b, "true"...)
	} else {
		b = append(b, "false"...)
	}
	b = appendString(append(b, `,"device":`...), r.stamp.device)
	b = appendInt(append(b, `,"hlc":`...), r.stamp.hlc)
	b = appendString(append(b, `,"id":`...), r.id)
	if len(r.stamps) > 0 {
		b = append(b, `,"stamps":{`...)
		for i, path := range slices.SortedFunc(maps.Keys(r.stamps), keyCompare) {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(appendString(b, path), ':', '[')
			b = append(appendInt(b, r.stamps[path].hlc), ',')
			b = append(appendString(b, r.stamps[path].device), ']')
		}
		b = append(b, '}')
	}
	b = appendString(append(b, `,"type":`...), r.typ)
	b = append(b, `,"value":{`...)
	for i, f := range r.fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, f.name), ':')
		b = append(b, f.raw...)
	}
	return append(b, "}}"...)
}

func keyCompare(a, b string) int {
	switch {
	case keyLess(a, b):
		return -1
	case keyLess(b, a):
		return 1
	}
	return 0
}
