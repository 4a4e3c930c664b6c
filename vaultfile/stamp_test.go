package vaultfile

import (
	"context"
	"maps"
	"path/filepath"
	"testing"
	"time"

	"kb/profile"
)

// The clock fits below 2^53 for two centuries, never runs back, and never
// gives one reading twice.
func TestTick(t *testing.T) {
	at := func(ms int64) time.Time { return time.UnixMilli(ms) }
	for _, c := range []struct{ wall, seen, want int64 }{
		{1000, 0, 1000 << 10},
		{1000, 1000 << 10, 1000<<10 + 1},
		{1000, 1000<<10 + 1023, 1001 << 10}, // the counter runs over into the next millisecond
		{1000, 5000 << 10, 5000<<10 + 1},    // the wall clock was set back
	} {
		if got := tick(at(c.wall), c.seen); got != c.want {
			t.Errorf("tick(%d, %d) = %d, want %d", c.wall, c.seen, got, c.want)
		}
	}
	if got := tick(time.Date(2248, 1, 1, 0, 0, 0, 0, time.UTC), 0); got > maxInt {
		t.Errorf("in 2248 the clock reads %d, above 2^53", got)
	}
}

func TestStampOrder(t *testing.T) {
	a, b, c := stamp{1, "b"}, stamp{2, "a"}, stamp{2, "b"}
	if !a.less(b) || !b.less(c) || c.less(b) || b.less(a) || a.less(a) {
		t.Error("stamps are not ordered by clock, then device")
	}
}

func TestClockCompare(t *testing.T) {
	for _, c := range []struct {
		a, b Clock
		want Order
	}{
		{Clock{}, Clock{}, Equal},
		{Clock{"x": 1}, Clock{"x": 1}, Equal},
		{Clock{"x": 0}, Clock{}, Equal},
		{Clock{"x": 1}, Clock{"x": 2}, Before},
		{Clock{"x": 1}, Clock{"x": 1, "y": 1}, Before},
		{Clock{}, Clock{"x": 1}, Before},
		{Clock{"x": 2, "y": 1}, Clock{"x": 1, "y": 1}, After},
		{Clock{"x": 1}, Clock{}, After},
		{Clock{"x": 1}, Clock{"y": 1}, Apart},
		{Clock{"x": 2, "y": 1}, Clock{"x": 1, "y": 2}, Apart},
	} {
		if got := c.a.Compare(c.b); got != c.want {
			t.Errorf("%v against %v is %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

// Each field, and each element of a list that is merged by element, keeps the
// stamp of its own last change; what was taken away leaves a tombstone.
func TestStampsOfFields(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "vault.age")
	id, err := NewIdentity("a", nil)
	if err != nil {
		t.Fatal(err)
	}
	mem := NewMemory()
	if _, err := Create(ctx, path, id, mem, Options{}); err != nil {
		t.Fatal(err)
	}
	// An hour ahead of Create's own clock, so that each edit's stamp is known.
	base := time.Now().Add(time.Hour).Truncate(time.Millisecond)
	at := func(n int) stamp { return stamp{base.Add(time.Duration(n)*time.Second).UnixMilli() << hlcBits, id.id} }
	edit1 := func(n int, change func(*Tx) error) *record {
		t.Helper()
		f, err := edit(ctx, path, id, mem, change, func() time.Time { return base.Add(time.Duration(n) * time.Second) })
		if err != nil {
			t.Fatal(err)
		}
		for i := range f.payload.records {
			if r := &f.payload.records[i]; r.id == "profile/work" {
				return r
			}
		}
		t.Fatal("no record")
		return nil
	}
	put := func(n int, p profile.Profile) *record {
		t.Helper()
		p.Name = "work"
		return edit1(n, func(tx *Tx) error { return tx.PutProfile(p) })
	}
	expect := func(r *record, newest int, stamps map[string]int) {
		t.Helper()
		want := map[string]stamp{}
		for path, n := range stamps {
			want[path] = at(n)
		}
		if r.stamp != at(newest) || !maps.Equal(r.stamps, want) {
			t.Errorf("record has %v %v, want %v %v", r.stamp, r.stamps, at(newest), want)
		}
	}
	expect(put(1, profile.Profile{GitName: "Me", GitEmail: "a@acme.example", Also: []string{"x", "y"}}), 1, map[string]int{})
	expect(put(2, profile.Profile{GitName: "Me", GitEmail: "b@acme.example", Also: []string{"x", "y"}}), 2,
		map[string]int{"git_name": 1, "also": 1})
	expect(put(3, profile.Profile{GitName: "Me", GitEmail: "b@acme.example", Also: []string{"y", "z"}}), 3,
		map[string]int{"git_name": 1, "git_email": 2})
	expect(put(4, profile.Profile{GitEmail: "b@acme.example", Also: []string{"y", "z"}, Expect: map[string]string{"github": "me"}}), 4,
		map[string]int{"git_name": 4, "git_email": 2, "also": 3}) // the name is gone
	expect(put(5, profile.Profile{GitName: "Me", GitEmail: "b@acme.example", Also: []string{"x", "y", "z"}, Expect: map[string]string{"github": "me"}}), 5,
		map[string]int{"git_email": 2, "expect.github": 4}) // and back
	if r := edit1(6, func(tx *Tx) error { return tx.DeleteProfile("work") }); !r.deleted || r.stamp != at(6) || r.stamps != nil || len(r.fields) != 0 {
		t.Errorf("the tombstone is %v %v %v", r.stamp, r.stamps, r.fields)
	}
	// Made anew, the record remembers the deletion that it knew of.
	expect(put(7, profile.Profile{GitName: "Me"}), 7, map[string]int{revived: 6})
	expect(put(8, profile.Profile{GitName: "Me", GitEmail: "c"}), 8, map[string]int{revived: 6, "git_name": 7})
}

// What a newer kb wrote into a record stays when this one changes the rest.
func TestUnknownFieldsAreCarriedAlong(t *testing.T) {
	r := record{
		id: "profile/work", typ: "profile", stamp: stamp{5, "0123456789abcdef"},
		fields: []field{{"git_name", []byte(`"Me"`)}, {"later", []byte(`{"x":1}`)}},
	}
	p := profile.Profile{Name: "work", GitName: "You"}
	if !r.set(encodeProfile(&p), stamp{9, "0123456789abcdef"}, carried("profile")) {
		t.Fatal("nothing changed")
	}
	if string(r.field("later")) != `{"x":1}` || string(r.field("git_name")) != `"You"` || r.stamps["later"].hlc != 5 {
		t.Errorf("record is %s", r.appendJSON(nil))
	}
}
