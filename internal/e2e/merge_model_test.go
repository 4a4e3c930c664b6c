package e2e

import (
	"maps"
	"slices"
	"strings"
)

// The model of a merge. It is written from what a person expects (the design's
// "Sync and merge", docs/format.md's "Merging") and shares nothing with the
// format: it knows who did what, in which order, and that neither side saw what
// the other did. It has no stamps, no clocks and no tombstones.

// A ledger is a vault as one would write it down: record -> field -> value. A
// login's secret and its account are one value, for they only mean something
// together, and so are a rule's profile and conditions.
type ledger map[string]map[string]string

// A write is one thing that somebody did: a field was given a value, or lost
// it; a record was made (no field), or removed (no field, gone).
type write struct {
	record, field, value string
	gone                 bool
}

// A deed is what one save did, and when: its place in the order of all saves
// of both sides.
type deed struct {
	at     int
	writes []write
}

func (l ledger) clone() ledger {
	c := make(ledger, len(l))
	for record, fields := range l {
		c[record] = maps.Clone(fields)
	}
	return c
}

func (l ledger) apply(writes ...write) {
	for _, w := range writes {
		switch {
		case w.field == "" && w.gone:
			delete(l, w.record)
		case w.gone:
			delete(l[w.record], w.field)
		default:
			if l[w.record] == nil {
				l[w.record] = map[string]string{}
			}
			if w.field != "" {
				l[w.record][w.field] = w.value
			}
		}
	}
}

// disputed stands for a definition that two sides wrote: nobody may use it.
const disputed = "(in dispute)"

// merge says what becomes of base when a and b were done to it by two who did
// not know of each other, and which lists are in conflict then ("profile/work
// also").
func merge(base ledger, a, b []deed) (result ledger, conflicts []string) {
	sides := [2][]deed{a, b}
	after := [2]ledger{base.clone(), base.clone()}
	for i, deeds := range sides {
		for _, d := range deeds {
			after[i].apply(d.writes...)
		}
	}
	result = ledger{}
	for record := range union(base, after[0], after[1]) {
		removed := [2]int{last(a, removal(record)), last(b, removal(record))}
		if removed[0] != removed[1] {
			// Removing something wins over whatever the other side did to it
			// unaware. Where both removed it, the later removal is the one
			// that counts. What its side made of it afterwards stays.
			winner := 0
			if removed[1] > removed[0] {
				winner = 1
			}
			if fields, ok := after[winner][record]; ok {
				result[record] = maps.Clone(fields)
			}
			continue
		}
		if after[0][record] == nil && after[1][record] == nil {
			continue // was removed in the base or never there
		}
		fields := map[string]string{}
		for field := range union(base[record], after[0][record], after[1][record]) {
			wrote := [2]int{last(a, touch(record, field)), last(b, touch(record, field))}
			winner := 0 // if neither wrote, both have the base's
			if wrote[1] > wrote[0] {
				winner = 1
			}
			value, ok := after[winner][record][field]
			if wrote[0] > never && wrote[1] > never && guarded(field) {
				conflicts = append(conflicts, record+" "+field)
				if field == "definition" {
					value = disputed
				} else {
					value = common(after[0][record][field], after[1][record][field])
					ok = value != ""
				}
			}
			if ok {
				fields[field] = value
			}
		}
		result[record] = fields
	}
	slices.Sort(conflicts)
	return result, conflicts
}

// guarded are the lists of what is allowed: which other profiles a session may
// use, and which hosts get a provider's credential.
func guarded(field string) bool { return field == "also" || field == "definition" }

const never = -1

// last is when one of deeds last did something like that.
func last(deeds []deed, like func(write) bool) int {
	at := never
	for _, d := range deeds {
		if slices.ContainsFunc(d.writes, like) {
			at = max(at, d.at)
		}
	}
	return at
}

func removal(record string) func(write) bool {
	return func(w write) bool { return w.record == record && w.field == "" && w.gone }
}

func touch(record, field string) func(write) bool {
	return func(w write) bool { return w.record == record && w.field == field }
}

// common is what two lists of names have in common.
func common(a, b string) string {
	other := strings.Fields(b)
	return strings.Join(slices.DeleteFunc(strings.Fields(a), func(s string) bool { return !slices.Contains(other, s) }), " ")
}

func union[V any](ms ...map[string]V) map[string]bool {
	keys := map[string]bool{}
	for _, m := range ms {
		for k := range m {
			keys[k] = true
		}
	}
	return keys
}

// exposed is what a removed device could read and nobody has replaced since
// knowing of its removal: "device/tablet login/work/linear".
func exposed(base, result ledger, a, b []deed) (list []string) {
	devices := union(base)
	for _, d := range slices.Concat(a, b) {
		for _, w := range d.writes {
			devices[w.record] = true // one that was added and removed again has read the vault too
		}
	}
	for device := range devices {
		if !strings.HasPrefix(device, "device/") || result[device] != nil {
			continue
		}
		for record, fields := range result {
			for _, secret := range []string{"credential", "registration"} {
				if _, ok := fields[secret]; !ok {
					continue
				}
				writer, wrote := a, last(a, touch(record, secret))
				if at := last(b, touch(record, secret)); at > wrote {
					writer, wrote = b, at
				}
				if known := last(writer, removal(device)); known == never || known > wrote {
					list = append(list, device+" "+record)
				}
			}
		}
	}
	slices.Sort(list)
	return list
}
