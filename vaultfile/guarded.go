package vaultfile

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sort"
	"time"
)

// guarded names the field of a record type that is a list of what is allowed:
// whose identities a profile's sessions may use besides their own, which hosts
// and token endpoints a provider has. Where two devices changed it without
// knowing of each other, neither change may win unseen, and least of all may
// both: what one took away would be back. Such a field is a multi-value
// register (Shapiro et al., 2011, 3.2.2): all versions stay, and count for
// less than each, until someone settles it by a new one.
func guarded(typ string) string {
	switch typ {
	case "profile":
		return "also"
	case "provider":
		return "definition"
	}
	return ""
}

// apart is the field that holds what a guarded one has besides its value: the
// other versions, and which changes the versions are known to follow. It has
// no stamp of its own.
const apart = "apart"

// A version is one value of a guarded field; raw is nil when the field was
// emptied.
type version struct {
	at  stamp
	raw []byte
}

func (v version) compare(w version) int {
	return cmp.Or(cmp.Compare(v.at.hlc, w.at.hlc), cmp.Compare(v.at.device, w.at.device), bytes.Compare(v.raw, w.raw))
}

func (v version) equal(w version) bool { return v.compare(w) == 0 }

// register is a guarded field.
type register struct {
	versions []version        // the newest first; none: the field was never set
	seen     map[string]int64 // device id -> newest change by it that is known here, be it a version or older than one
}

// guard reads the record's guarded field. What is malformed in it was refused
// when the vault was decoded.
func (r *record) guard() register {
	name := guarded(r.typ)
	g := register{seen: map[string]int64{}}
	if at := r.effective(name); at != (stamp{}) {
		g.versions = append(g.versions, version{at, r.field(name)})
	}
	if raw := r.field(apart); raw != nil {
		others, seen, ok := parseApart(raw)
		if ok {
			g.versions = append(g.versions, others...)
			maps.Copy(g.seen, seen)
		}
	}
	for _, v := range g.versions {
		g.seen[v.at.device] = max(g.seen[v.at.device], v.at.hlc)
	}
	return g
}

// join is what both registers know.
func (g register) join(h register) register {
	out := register{seen: maps.Clone(g.seen)}
	for id, hlc := range h.seen {
		out.seen[id] = max(out.seen[id], hlc)
	}
	keep := func(own, other register) {
		for _, v := range own.versions {
			// A version that the other side has seen and does not hold was
			// settled there. The same stamp on another value is no successor:
			// two machines that share one identity made them.
			twin := slices.ContainsFunc(other.versions, func(w version) bool { return w.at == v.at })
			if (twin || other.seen[v.at.device] < v.at.hlc) && !slices.ContainsFunc(out.versions, v.equal) {
				out.versions = append(out.versions, v)
			}
		}
	}
	keep(g, h)
	keep(h, g)
	sort.Slice(out.versions, func(i, j int) bool { return out.versions[j].compare(out.versions[i]) < 0 })
	return out
}

// next is the register after a new version that knows of all there is.
func (g register) next(v version) register {
	out := register{versions: []version{v}, seen: maps.Clone(g.seen)}
	out.seen[v.at.device] = max(out.seen[v.at.device], v.at.hlc)
	return out
}

// extra is the field apart, nil when there is nothing to say.
func (g register) extra() []byte {
	newest := map[string]int64{}
	for _, v := range g.versions {
		newest[v.at.device] = max(newest[v.at.device], v.at.hlc)
	}
	var o, seen object
	if len(g.versions) > 1 {
		b := []byte{'['}
		for i, v := range g.versions[1:] {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendString(append(appendInt(append(b, '['), v.at.hlc), ','), v.at.device)
			if v.raw != nil {
				b = append(append(b, ','), v.raw...)
			}
			b = append(b, ']')
		}
		o.raw("others", append(b, ']'))
	}
	for _, id := range slices.SortedFunc(maps.Keys(g.seen), keyCompare) {
		if hlc := g.seen[id]; hlc > newest[id] {
			seen.integer(id, hlc)
		}
	}
	if len(seen.b) > 0 {
		o.raw("seen", seen.done())
	}
	if len(o.b) == 0 {
		return nil
	}
	return o.done()
}

// parseApart reads the field apart.
func parseApart(raw []byte) (others []version, seen map[string]int64, ok bool) {
	s := scanner{b: raw}
	ok = s.object(func(k []byte) bool {
		switch string(k) {
		case "others":
			return s.list(func() bool {
				var v version
				if !s.lit("[") {
					return false
				}
				var ok bool
				if v.at.hlc, ok = s.integer(); !ok || !s.lit(",") {
					return false
				}
				if v.at.device, ok = s.text(); !ok || !isDeviceID(v.at.device) || v.at.hlc < 0 {
					return false
				}
				if s.peek() == ',' {
					s.i++
					if v.raw, ok = s.skip(0); !ok {
						return false
					}
				}
				others = append(others, v)
				return s.lit("]")
			}) && len(others) > 0
		case "seen":
			seen = map[string]int64{}
			return s.object(func(k []byte) bool {
				id := string(k)
				n, ok := s.integer()
				seen[id] = n
				return ok && n > 0 && isDeviceID(id)
			}) && len(seen) > 0
		}
		return false
	})
	return others, seen, ok && s.i == len(raw)
}

// validGuard says whether the field apart is what extra would write, so that
// equal registers are equal bytes.
func (r *record) validGuard() bool {
	raw := r.field(apart)
	if raw == nil || guarded(r.typ) == "" {
		return true
	}
	if _, _, ok := parseApart(raw); !ok {
		return false
	}
	g := r.guard()
	if len(g.versions) > maxStamps || len(g.seen) > maxStamps {
		return false // a merge compares each with each
	}
	for _, hlc := range g.seen {
		// Else it would claim to follow what nobody has written yet.
		if hlc > r.stamp.hlc {
			return false
		}
	}
	for i, v := range g.versions {
		if i > 0 && g.versions[i-1].compare(v) <= 0 || r.stamp.less(v.at) {
			return false
		}
	}
	return bytes.Equal(g.extra(), raw)
}

// Conflict is a list of what is allowed that several devices changed without
// knowing of each other. Until it is settled, a profile's Also is what all
// versions have in common, and a provider must not be used.
type Conflict struct {
	Type     string // "profile" or "provider"
	Key      string // its name
	Field    string // "also" or "definition"
	Versions []Version
}

// Version says who made one side of a Conflict, and when. The newest is first.
type Version struct {
	Device string // device id
	When   time.Time
}

// conflict returns the record's conflict, if it has one.
func (r *record) conflict() (Conflict, bool) {
	if r.deleted || r.field(apart) == nil {
		return Conflict{}, false
	}
	g := r.guard()
	if len(g.versions) < 2 {
		return Conflict{}, false
	}
	c := Conflict{Type: r.typ, Key: r.key(), Field: guarded(r.typ)}
	for _, v := range g.versions {
		c.Versions = append(c.Versions, Version{v.at.device, v.at.when()})
	}
	return c, true
}

// common is what the versions of a list of strings have in common.
func (g register) common() []string {
	var out []string
	for i, v := range g.versions {
		has := elements(v.raw)
		if i == 0 {
			out = slices.Sorted(maps.Keys(has))
			continue
		}
		out = slices.DeleteFunc(out, func(name string) bool { _, ok := has[name]; return !ok })
	}
	return out
}

// keepConflict returns the fields of a profile that is put with Also as a
// conflict shows it, with the newest version in its place: nothing is settled.
func (r *record) keepConflict(fields []field) []field {
	name := guarded(r.typ)
	if _, ok := r.conflict(); !ok {
		return fields
	}
	g := r.guard()
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	var put []byte
	if i >= 0 {
		put = fields[i].raw
	}
	if !bytes.Equal(put, strList(g.common())) {
		return fields
	}
	if i >= 0 {
		fields = slices.Delete(fields, i, i+1)
	}
	return rawField(fields, name, g.versions[0].raw)
}

// Settle ends a record's conflict: a list becomes what all versions have in
// common, a definition its newest version. It does nothing without one.
func (tx *Tx) Settle(typ, key string) {
	i, ok := tx.index[typ+"/"+key]
	if !ok {
		return
	}
	r := &tx.p.records[i]
	if _, ok := r.conflict(); !ok {
		return
	}
	g := r.guard()
	raw := g.versions[0].raw
	if typ == "profile" {
		raw = strList(g.common())
	}
	r.settle(raw, tx.now)
	tx.changed = true
}

// settle gives the guarded field a new version that knows of all others.
func (r *record) settle(raw []byte, now stamp) {
	name := guarded(r.typ)
	g := r.guard().next(version{now, raw})
	old := *r
	*r = record{id: old.id, typ: old.typ, stamp: now, stamps: map[string]stamp{}}
	for _, f := range old.fields {
		if f.name != name && f.name != apart {
			r.fields = append(r.fields, f)
		}
	}
	r.fields = rawField(rawField(r.fields, name, raw), apart, g.extra())
	r.sortFields()
	for path, at := range old.stampsOfAll() {
		if path != name {
			r.stamps[path] = at
		}
	}
	if raw == nil {
		r.stamps[name] = now
	}
}

// disputed reports whether the record has a conflict.
func (r *record) disputed() bool {
	_, ok := r.conflict()
	return ok
}
