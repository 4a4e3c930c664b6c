package vaultfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"kb/internal/secret"
	"kb/internal/testkit"
	"kb/profile"
)

// A crew is devices of one vault that edit copies of their own: only the
// payloads, so that thousands of histories take seconds.
type crew struct {
	ids  []*Identity
	have []*payload
	now  time.Time
}

func newCrew(t testing.TB, n int) *crew {
	t.Helper()
	c := &crew{now: testTime}
	first := &payload{clock: Clock{}, vaultID: "00112233445566778899aabbccddeeff"}
	for range n {
		id, err := NewIdentity("d", nil)
		if err != nil {
			t.Fatal(err)
		}
		c.ids = append(c.ids, id)
	}
	tx := newTx(first, c.ids[0], c.now)
	for _, id := range c.ids {
		if err := tx.PutDevice(Device{ID: id.id, Name: "d", Recipient: id.Recipient(), SignKey: id.SignKey(), Kind: KindDevice}); err != nil {
			t.Fatal(err)
		}
	}
	first = c.commit(t, tx)
	for range n {
		c.have = append(c.have, first)
	}
	return c
}

func (c *crew) commit(t testing.TB, tx *Tx) *payload {
	t.Helper()
	if tx.changed {
		if err := tx.count(0); err != nil {
			t.Fatal(err)
		}
	}
	sortRecords(tx.p)
	return tx.p
}

func (c *crew) edit(t testing.TB, who int, change func(*Tx) error) {
	t.Helper()
	c.now = c.now.Add(time.Second)
	tx := newTx(c.have[who], c.ids[who], c.now)
	if err := change(tx); err != nil && !errors.Is(err, ErrNotFound) {
		t.Fatal(err)
	}
	c.have[who] = c.commit(t, tx)
}

func (c *crew) pull(who, from int) {
	c.have[who], _ = join(c.have[who], c.have[from], maxInt)
}

// content is what two equal vaults have alike: all but the signature.
func content(p *payload) string {
	q := *p
	q.signer = ""
	return string(q.encode(func([32]byte) []byte { return nil }))
}

// step makes a random change of one of the kinds that there are.
func step(r *rand.Rand, values *int) func(*Tx) error {
	*values++
	value := fmt.Sprint("v", *values)
	name := []string{"p0", "p1", "p2"}[r.IntN(3)]
	switch r.IntN(11) {
	case 0:
		return func(tx *Tx) error {
			c, err := tx.Contents()
			p, _ := c.Profile(name)
			p.Name, p.GitEmail = name, value
			return errors.Join(err, tx.PutProfile(p))
		}
	case 1:
		return func(tx *Tx) error {
			c, err := tx.Contents()
			p, _ := c.Profile(name)
			p.Name = name
			if r.IntN(2) == 0 || len(p.Also) == 0 {
				p.Also = append(p.Also, value)
			} else {
				p.Also = p.Also[1:]
			}
			return errors.Join(err, tx.PutProfile(p))
		}
	case 2:
		return func(tx *Tx) error {
			c, err := tx.Contents()
			p, _ := c.Profile(name)
			p.Name, p.Expect = name, map[string]string{"a": value, []string{"b", "c"}[r.IntN(2)]: value}
			return errors.Join(err, tx.PutProfile(p))
		}
	case 3:
		return func(tx *Tx) error { return tx.DeleteProfile(name) }
	case 4:
		return func(tx *Tx) error {
			_, err := tx.PutRule(profile.Rule{ID: "r" + name, Profile: name, Remote: value})
			return err
		}
	case 5:
		return func(tx *Tx) error { return tx.DeleteRule("r" + name) }
	case 6:
		return func(tx *Tx) error {
			return tx.PutLogin(Login{Profile: name, Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New(value)}})
		}
	case 7:
		return func(tx *Tx) error { return tx.DeleteLogin(LoginID(name, "github", "")) }
	case 8:
		return func(tx *Tx) error { return tx.PutProvider(Provider{Name: name, TOML: value}) }
	case 9:
		return func(tx *Tx) error { return tx.DeleteProvider(name) }
	default:
		return func(tx *Tx) error { return tx.PutSetting(Setting{Name: "note", Value: value}) }
	}
}

// history has five devices edit and pull at random.
func history(t testing.TB, seed uint64, steps int) *crew {
	r := rand.New(rand.NewPCG(seed, 1))
	c := sharedCrew(t)
	values := 0
	for range steps {
		who := r.IntN(len(c.have))
		if r.IntN(3) == 0 {
			c.pull(who, r.IntN(len(c.have)))
		} else {
			c.edit(t, who, step(r, &values))
		}
	}
	return c
}

var crewOfFive *crew

// sharedCrew returns five devices before their first edit; making their keys
// takes longer than a history.
func sharedCrew(t testing.TB) *crew {
	if crewOfFive == nil {
		crewOfFive = newCrew(t, 5)
	}
	c := *crewOfFive
	c.have = slices.Clone(crewOfFive.have)
	return &c
}

// histories is how many random ones the laws hold over.
const histories = 10_000

func joined(a, b *payload) *payload {
	p, _ := join(a, b, maxInt)
	return p
}

// Merging is commutative, associative and idempotent; whatever way five
// devices exchange what they have, they end at equal bytes; and no value comes
// out that no device wrote.
func TestLawsOfMerging(t *testing.T) {
	n := histories
	if testing.Short() || testkit.RaceEnabled {
		n /= 20
	}
	for seed := range uint64(n) {
		c := history(t, seed, 4+int(seed%24))
		lawsOfAPair(t, c.have[0], c.have[1], c.have[2])
		p := lawOfAnyOrder(t, c, rand.New(rand.NewPCG(seed, 2)))
		lawOfValues(t, c, p)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d histories", n)
}

func lawsOfAPair(t *testing.T, a, b, d *payload) {
	t.Helper()
	ab := joined(a, b)
	if content(ab) != content(joined(b, a)) {
		t.Error("a with b is not b with a")
	}
	if content(joined(ab, d)) != content(joined(a, joined(b, d))) {
		t.Error("(a with b) with c is not a with (b with c)")
	}
	if content(joined(a, a)) != content(a) {
		t.Error("a with a is not a")
	}
	if content(joined(ab, a)) != content(ab) || content(joined(b, ab)) != content(ab) {
		t.Error("what was merged before changes the result")
	}
}

// lawOfAnyOrder merges in three orders, and reads the result as everyone will.
func lawOfAnyOrder(t *testing.T, c *crew, r *rand.Rand) *payload {
	t.Helper()
	var first *payload
	for n := range 3 {
		order := r.Perm(len(c.have))
		p := c.have[order[0]]
		for _, i := range order[1:] {
			p = joined(p, c.have[i])
		}
		if n > 0 {
			if content(p) != content(first) {
				t.Error("two orders end at different vaults")
			}
			continue
		}
		first = p
		signed := *p
		signed.signer = c.ids[0].id
		b := signed.encode(func([32]byte) []byte { return make([]byte, 64) })
		back, _, err := parsePayload(b)
		if err != nil {
			t.Fatalf("the merged vault does not parse: %v", err)
		}
		if _, err := decode(back.records); err != nil {
			t.Fatalf("the merged vault does not decode: %v", err)
		}
	}
	return first
}

func lawOfValues(t *testing.T, c *crew, all *payload) {
	t.Helper()
	wrote := map[string]bool{}
	for _, p := range c.have {
		for i := range p.records {
			r := &p.records[i]
			for path, raw := range r.paths() {
				wrote[r.id+" "+path+" "+string(raw)] = true
			}
			for _, v := range r.guard().versions {
				wrote[r.id+" "+guarded(r.typ)+" "+string(v.raw)] = true
			}
		}
	}
	for i := range all.records {
		r := &all.records[i]
		for path, raw := range r.paths() {
			if !wrote[r.id+" "+path+" "+string(raw)] {
				t.Errorf("%s %s is %s, which no device wrote", r.id, path, raw)
			}
		}
	}
}

// What each kind of concurrent change ends at, by name.
func TestConcurrentChanges(t *testing.T) {
	work := func(change func(*profile.Profile)) func(*Tx) error {
		return func(tx *Tx) error {
			c, err := tx.Contents()
			p, _ := c.Profile("work")
			p.Name = "work"
			change(&p)
			return errors.Join(err, tx.PutProfile(p))
		}
	}
	login := func(token string) func(*Tx) error {
		return func(tx *Tx) error {
			return tx.PutLogin(Login{Profile: "work", Provider: "github", Method: "key", Secrets: map[string]secret.Value{"token": secret.New(token)}})
		}
	}
	base := func(tx *Tx) error {
		return errors.Join(work(func(p *profile.Profile) { p.Also = []string{"a", "b", "c"}; p.GitName = "n0" })(tx), login("t0")(tx),
			tx.PutProvider(Provider{Name: "own", TOML: "base"}))
	}
	for name, c := range map[string]struct {
		a, b  []func(*Tx) error
		check func(t *testing.T, c *Contents)
	}{
		"two fields of one record: both": {
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitName = "n1" })},
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitEmail = "e1" })},
			func(t *testing.T, c *Contents) {
				if p := c.Profiles[0]; p.GitName != "n1" || p.GitEmail != "e1" || len(p.Also) != 3 {
					t.Errorf("%+v", p)
				}
			},
		},
		"one field: the last writer": {
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitName = "n1" })},
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitName = "n2" })},
			func(t *testing.T, c *Contents) {
				if p := c.Profiles[0]; p.GitName != "n2" {
					t.Errorf("%+v", p)
				}
			},
		},
		"a deletion beats an edit that is newer": {
			[]func(*Tx) error{func(tx *Tx) error { return tx.DeleteLogin(LoginID("work", "github", "")) }},
			[]func(*Tx) error{login("t1")},
			func(t *testing.T, c *Contents) {
				if len(c.Logins) != 0 {
					t.Error("the login is back")
				}
			},
		},
		"a login made anew after its deletion stays": {
			[]func(*Tx) error{func(tx *Tx) error { return tx.DeleteLogin(LoginID("work", "github", "")) }, login("t2")},
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitName = "x" })},
			func(t *testing.T, c *Contents) {
				if len(c.Logins) != 1 || c.Logins[0].Secrets["token"].Reveal() != "t2" {
					t.Errorf("%v", c.Logins)
				}
			},
		},
		"also changed on both sides: what both kept": {
			[]func(*Tx) error{work(func(p *profile.Profile) { p.Also = []string{"a", "b", "x"} })},
			[]func(*Tx) error{work(func(p *profile.Profile) { p.Also = []string{"b", "c", "y"} })},
			func(t *testing.T, c *Contents) {
				if p := c.Profiles[0]; !slices.Equal(p.Also, []string{"b"}) || len(c.Conflicts) != 1 || len(c.Conflicts[0].Versions) != 2 {
					t.Errorf("%v %v", p.Also, c.Conflicts)
				}
			},
		},
		"also changed on one side: no conflict": {
			[]func(*Tx) error{work(func(p *profile.Profile) { p.Also = []string{"x"} })},
			[]func(*Tx) error{work(func(p *profile.Profile) { p.GitName = "n3" })},
			func(t *testing.T, c *Contents) {
				if p := c.Profiles[0]; !slices.Equal(p.Also, []string{"x"}) || c.Conflicts != nil {
					t.Errorf("%v %v", p.Also, c.Conflicts)
				}
			},
		},
		"a definition changed on both sides: a conflict": {
			[]func(*Tx) error{func(tx *Tx) error { return tx.PutProvider(Provider{Name: "own", TOML: "a"}) }},
			[]func(*Tx) error{func(tx *Tx) error { return tx.PutProvider(Provider{Name: "own", TOML: "b"}) }},
			func(t *testing.T, c *Contents) {
				if len(c.Conflicts) != 1 || c.Conflicts[0].Key != "own" || c.Providers[0].TOML != "b" {
					t.Errorf("%v %v", c.Conflicts, c.Providers)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			crew := sharedCrew(t)
			crew.edit(t, 0, base)
			crew.pull(1, 0)
			for _, change := range c.a {
				crew.edit(t, 0, change)
			}
			for _, change := range c.b {
				crew.edit(t, 1, change)
			}
			for _, p := range []*payload{joined(crew.have[0], crew.have[1]), joined(crew.have[1], crew.have[0])} {
				got, err := decode(p.records)
				if err != nil {
					t.Fatal(err)
				}
				c.check(t, got)
			}
		})
	}
}

// A conflict outlives changes that do not speak of it, and ends with a new
// version that knows of both.
func TestConflictIsSettled(t *testing.T) {
	c := sharedCrew(t)
	also := func(names ...string) func(*Tx) error {
		return func(tx *Tx) error {
			return errors.Join(tx.PutProfile(profile.Profile{Name: "work", Also: names}), tx.PutProvider(Provider{Name: "own", TOML: names[0]}))
		}
	}
	c.edit(t, 0, also("a", "b"))
	c.pull(1, 0)
	c.edit(t, 0, also("x", "a"))
	c.edit(t, 1, also("b", "a", "y"))
	c.pull(0, 1)
	conflicts := func() int {
		t.Helper()
		got, err := decode(c.have[0].records)
		if err != nil {
			t.Fatal(err)
		}
		return len(got.Conflicts)
	}
	if conflicts() != 2 {
		t.Fatalf("%d conflicts, want one of each", conflicts())
	}
	c.edit(t, 0, func(tx *Tx) error {
		got, err := tx.Contents()
		p, _ := got.Profile("work")
		p.GitName = "other"
		return errors.Join(err, tx.PutProfile(p))
	})
	if conflicts() != 2 {
		t.Error("another change of the profile settled its conflict")
	}
	c.edit(t, 0, func(tx *Tx) error {
		tx.Settle("profile", "work")
		return tx.PutProvider(Provider{Name: "own", TOML: "c"})
	})
	if conflicts() != 0 {
		t.Errorf("%d conflicts after both were settled", conflicts())
	}
	// The side that has not heard of it brings nothing back.
	c.pull(0, 1)
	if got, _ := decode(c.have[0].records); len(got.Conflicts) != 0 || got.Providers[0].TOML != "c" || !slices.Equal(got.Profiles[0].Also, []string{"a"}) {
		t.Errorf("an older version is back: %+v %+v %+v", got.Conflicts, got.Providers, got.Profiles)
	}
}

// A change that is more than a day ahead of the clock is left out, and the
// result does not claim to know it, so that it comes when its time has come.
func TestFarFutureIsQuarantined(t *testing.T) {
	c := sharedCrew(t)
	now := c.now
	c.edit(t, 0, note1("ours"))
	c.now = now.Add(49 * time.Hour)
	c.edit(t, 1, note1("from the future"))
	limit := horizon(now.Add(time.Hour), c.have[0])
	p, left := join(c.have[0], c.have[1], limit)
	if len(left) != 1 || left[0].Key != "note" || left[0].Device != c.ids[1].id {
		t.Fatalf("left out: %+v", left)
	}
	if got, _ := decode(p.records); got.Setting("note") != "ours" {
		t.Errorf("the note is %q", got.Setting("note"))
	}
	if p.clock[c.ids[1].id] != 0 {
		t.Error("the result claims to know what it left out")
	}
	p, left = join(p, c.have[1], horizon(now.Add(26*time.Hour), c.have[0]))
	if got, _ := decode(p.records); len(left) != 0 || got.Setting("note") != "from the future" {
		t.Errorf("a day later: %q, left out %v", got.Setting("note"), left)
	}
	// A machine whose own clock is behind believes what it believed before.
	if _, left = join(c.have[1], c.have[1], horizon(now.Add(-1000*time.Hour), c.have[1])); len(left) != 0 {
		t.Errorf("left out of what is known: %v", left)
	}
}
