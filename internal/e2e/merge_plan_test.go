package e2e

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// The pairs of edits that a merge is tried on: two sides start from one vault,
// each does one to three operations unaware of the other.

// ways are how the sides come together again.
var ways = []string{"merge", "rebase", "crossed"}

type pair struct {
	n     int
	way   string
	typed bool // by kb's commands, where there are some
	sides [2][]operation
	turns []turn // all steps of both in the order in which they are taken
}

type turn struct {
	side int
	step
}

func (p *pair) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "pair %d (%s)", p.n, p.way)
	for i, t := range p.turns {
		fmt.Fprintf(&b, "\n  %d. side %c:", i, "ab"[t.side])
		for _, w := range t.writes {
			verb := "set"
			if w.gone {
				verb = "remove"
			}
			fmt.Fprintf(&b, " %s %s", verb, strings.TrimSpace(w.record+" "+w.field))
			if w.value != "" && w.field != "definition" {
				fmt.Fprintf(&b, "=%q", w.value)
			}
			b.WriteByte(';')
		}
	}
	return b.String()
}

// deeds are what a side did, for the model.
func (p *pair) deeds(side int) (list []deed) {
	for at, t := range p.turns {
		if t.side == side {
			list = append(list, deed{at, t.writes})
		}
	}
	return list
}

type generator struct {
	rng    *rand.Rand
	base   ledger
	n      int // makes values that were never there before
	counts tally
}

// tally counts how often each two kinds met, one on each side, in any order,
// and how often on one record.
type tally struct{ met, same map[[2]string]int }

func newGenerator(seed uint64, from ledger) *generator {
	return &generator{
		rng: rand.New(rand.NewPCG(seed, 3)), base: from,
		counts: tally{map[[2]string]int{}, map[[2]string]int{}},
	}
}

func (g *generator) maybe() bool { return g.rng.IntN(2) == 0 }

func (g *generator) fresh(what string) string {
	g.n++
	return fmt.Sprintf("%s%d", what, g.n)
}

// free is a name that l has no record of: focus if it is one of names.
func (g *generator) free(l ledger, focus string, names ...string) (string, bool) {
	names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return l[n] != nil })
	if len(names) == 0 {
		return "", false
	}
	if slices.Contains(names, focus) {
		return focus, true
	}
	return names[g.rng.IntN(len(names))], true
}

// pick is a record of a type that fits: focus if it does.
func (g *generator) pick(l ledger, typ, focus string, fits func(map[string]string) bool) (string, bool) {
	list := records(l, typ)
	if fits != nil {
		list = slices.DeleteFunc(list, func(r string) bool { return !fits(l[r]) })
	}
	if len(list) == 0 {
		return "", false
	}
	if slices.Contains(list, focus) {
		return focus, true
	}
	return list[g.rng.IntN(len(list))], true
}

// meet is two kinds in one order.
func meet(a, b string) [2]string {
	if b < a {
		a, b = b, a
	}
	return [2]string{a, b}
}

// oneRecord says whether two kinds can be done to one record of the base by two
// who do not know of each other: not where one makes it and the other needs it.
func oneRecord(a, b kind) bool {
	return a.typ == b.typ && !a.alone && !b.alone && a.fresh == b.fresh
}

// meetings lists each two kinds once.
func meetings() (all [][2]kind) {
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			all = append(all, [2]kind{a, b})
		}
	}
	return all
}

// next makes the next pair: two kinds that met least so far, on one record if
// that is possible, and then a few more of what has not met the other side yet.
func (g *generator) next(n int) *pair {
	all := meetings()
	g.rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	want := slices.MinFunc(all, func(x, y [2]kind) int { return cmp.Compare(g.need(x), g.need(y)) })
	p := &pair{n: n, way: ways[n%len(ways)], typed: n%4 == 0}
	first := g.rng.IntN(2)
	var now [2]ledger
	for tries := 0; ; tries++ {
		if tries == 100 {
			panic(want[0].name + " and " + want[1].name + ": the base has no record for both")
		}
		p.sides, now = [2][]operation{}, [2]ledger{g.base.clone(), g.base.clone()}
		if !g.do(p, now, first, want[0], "") {
			continue
		}
		record := p.sides[first][0].record
		if g.do(p, now, 1-first, want[1], record) && (!oneRecord(want[0], want[1]) || p.sides[1-first][0].record == record) {
			break
		}
	}
	for range g.rng.IntN(5) {
		side := g.rng.IntN(2)
		if len(p.sides[side]) == 3 {
			side = 1 - side
		}
		g.more(p, now, side)
	}
	g.order(p)
	for _, a := range p.sides[0] {
		for _, b := range p.sides[1] {
			g.counts.met[meet(a.kind, b.kind)]++
			if a.record == b.record {
				g.counts.same[meet(a.kind, b.kind)]++
			}
		}
	}
	return p
}

// need is small for two kinds that should meet soon.
func (g *generator) need(m [2]kind) int {
	met := meet(m[0].name, m[1].name)
	if oneRecord(m[0], m[1]) {
		n := g.counts.same[met] * 1000
		if m[0].lists && m[1].lists {
			n /= 4 // where conflicts come from
		}
		return n - 1
	}
	return g.counts.met[met] * 1000
}

// do has a side do something, and reports whether it could.
func (g *generator) do(p *pair, now [2]ledger, side int, k kind, focus string) bool {
	op, ok := k.make(g, now[side], focus)
	if !ok {
		return false
	}
	op.kind = k.name
	p.sides[side] = append(p.sides[side], op)
	for _, s := range op.steps {
		now[side].apply(s.writes...)
	}
	return true
}

// more has a side do one thing more: what the other side's operations have met
// least, on a record of theirs where that is possible.
func (g *generator) more(p *pair, now [2]ledger, side int) {
	fresh := func(k kind) (n int) {
		for _, op := range p.sides[1-side] {
			if g.counts.met[meet(k.name, op.kind)] == 0 {
				n++
			}
		}
		return n
	}
	order := slices.Clone(kinds)
	g.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	slices.SortStableFunc(order, func(x, y kind) int { return cmp.Compare(fresh(y), fresh(x)) })
	for _, k := range order {
		focus := ""
		for _, op := range p.sides[1-side] {
			if strings.HasPrefix(op.record, k.typ+"/") && g.maybe() {
				focus = op.record
			}
		}
		if g.do(p, now, side, k, focus) {
			return
		}
	}
}

// order puts the steps of both sides into one order.
func (g *generator) order(p *pair) {
	var left [2][]step
	for side, ops := range p.sides {
		for _, op := range ops {
			left[side] = append(left[side], op.steps...)
		}
	}
	for len(left[0])+len(left[1]) > 0 {
		side := 0
		if g.rng.IntN(len(left[0])+len(left[1])) >= len(left[0]) {
			side = 1
		}
		p.turns = append(p.turns, turn{side, left[side][0]})
		left[side] = left[side][1:]
	}
}

// print shows how often each two kinds met, and how often on one record. It
// returns the pairs of kinds that never did.
func (c tally) print(t *testing.T) (missing []string) {
	t.Helper()
	var b strings.Builder
	least, total := -1, 0
	for _, m := range meetings() {
		met := meet(m[0].name, m[1].name)
		n, same := c.met[met], "-"
		if oneRecord(m[0], m[1]) {
			if same = fmt.Sprint(c.same[met]); c.same[met] == 0 {
				missing = append(missing, m[0].name+" and "+m[1].name+" on one record")
			}
		}
		if n == 0 {
			missing = append(missing, m[0].name+" and "+m[1].name)
		}
		if total += n; least < 0 || n < least {
			least = n
		}
		fmt.Fprintf(&b, "%-18s %-18s %4d %4s\n", m[0].name, m[1].name, n, same)
	}
	t.Logf("how often two kinds of operation met, and how often on one record (-: they cannot):\n%s"+
		"%d kinds, %d pairs of kinds, %d meetings, the rarest %d times, on one record %d", b.String(), len(kinds), len(meetings()), total, least,
		sum(c.same))
	return missing
}

func sum(m map[[2]string]int) (n int) {
	for v := range maps.Values(m) {
		n += v
	}
	return n
}
