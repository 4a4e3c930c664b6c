package vaultfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"filippo.io/age"
)

// costs runs a thing that a hostile file must not make slow. The limit is far
// above what it takes, for slow machines, and far below what it took. It is of
// processor time: what else runs on the machine does not count.
func costs(t *testing.T, what string, run func()) {
	t.Helper()
	const (
		limit   = 8 * time.Second
		forever = 2 * time.Minute
	)
	done := make(chan time.Duration, 1)
	go func() {
		start := processor(t)
		run()
		done <- processor(t) - start
	}()
	select {
	case took := <-done:
		t.Logf("%s: %v", what, took.Round(time.Millisecond))
		if took > limit {
			t.Errorf("%s took %v", what, took)
		}
	case <-time.After(forever):
		t.Fatalf("%s is not done after %v", what, forever)
	}
}

// processor is the time that this process has used of processors.
func processor(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Error(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// Whoever hosts the repository knows no key, and can still write a header of a
// million stanzas. That age reads no more than 1,024 of them is its own limit,
// and kb writes none that it could not read again.
func TestAttackHeaderOfAMillionStanzas(t *testing.T) {
	l := newLab(t)
	bin, err := dearmor(l.read())
	if err != nil {
		t.Fatal(err)
	}
	other, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	foreign, err := seal([]byte("x"), other.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	strange, err := dearmor(foreign)
	if err != nil {
		t.Fatal(err)
	}
	const intro = "age-encryption.org/v1\n"
	stanza := strange[len(intro) : bytes.Index(strange, []byte("\n---"))+1]
	with := func(n int) []byte {
		return enarmor(slices.Concat([]byte(intro), bytes.Repeat(stanza, n), bin[len(intro):]))
	}
	l.put(with(maxFile / len(stanza) * 7 / 10))
	costs(t, "a header of stanzas", func() {
		if _, err := l.tryOpen("a"); !errors.Is(err, ErrMalformed) {
			t.Errorf("a opens: %v", err)
		}
	})
	// Control: with two of them the header is read, and its MAC is not right.
	l.put(with(2))
	l.refused("a", ErrTampered)
}

// Whoever knows a recipient, such as a removed device, can encrypt to it what
// is costly to read, before any signature is looked at.
func TestAttackRecordThatIsCostlyToRead(t *testing.T) {
	l := newLab(t)
	id := l.ids["mallory"]
	record := func(value, stamps string) []byte {
		return []byte(fmt.Sprintf(`{"clock":{},"format":1,"records":[{"deleted":false,"device":"%s","hlc":9,"id":"profile/x","stamps":{%s},"type":"profile","value":{%s}}],"sig":"%s","signer":"%s","vault_id":"%s"}`,
			id.id, stamps, value, strings.Repeat("A", 86)+"==", id.id, l.vault))
	}
	var expect, stamps strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&expect, `"a%07d":"x",`, i)
	}
	for i := range maxStamps {
		fmt.Fprintf(&stamps, `"expect.b%06d":[9,"%s"],`, i, id.id)
	}
	cut := func(b strings.Builder) string { return strings.TrimSuffix(b.String(), ",") }
	for what, plain := range map[string][]byte{
		"tombstones of elements": record(`"expect":{`+cut(expect)+`}`, cut(stamps)),
	} {
		l.write(plain)
		costs(t, what, func() {
			if _, err := Open(context.Background(), l.path, l.ids["a"], l.mems["a"]); err == nil {
				t.Errorf("%s: opened", what)
			} else {
				t.Logf("%s (%d MB): %.100v", what, len(plain)>>20, err)
			}
		})
	}
}

// A member of a shared vault fills it with devices up to what age reads. One
// more, added by somebody else, must not make a file that nobody can open.
func TestAttackMoreRecipientsThanAgeReads(t *testing.T) {
	l := newLab(t)
	fill := func(name string, n int) (*File, error) {
		return Edit(context.Background(), l.path, l.ids["a"], l.mems["a"], func(tx *Tx) error {
			for i := range n {
				d := l.device("mallory")
				d.ID = fmt.Sprintf("%016x", i+1)
				d.Name = name
				d.AddedBy = l.ids["a"].id
				l.ids["a"].vouch(tx.p.vaultID, &d)
				tx.put("device", d.ID, encodeDevice(&d))
			}
			return nil
		})
	}
	if _, err := fill("full", maxRecipients-3); err != nil { // control: a, b and c are there
		t.Fatal(err)
	}
	before := l.read()
	if _, err := fill("one too many", maxRecipients-2); !errors.Is(err, ErrTooLarge) {
		t.Errorf("one more than age reads: %v", err)
	}
	if !bytes.Equal(l.read(), before) {
		t.Error("the file was replaced")
	}
	l.open("a")
	l.open("b")
}

// A merge compares each version of a guarded field with each: there is a bound
// to how many one record has.
func TestAttackGuardedFieldOfAMillionVersions(t *testing.T) {
	id := newTestIdentity(t)
	many := func(n int) *record {
		r := &record{id: "profile/x", typ: "profile", stamp: stamp{int64(n), id.id}, stamps: map[string]stamp{}}
		var g register
		for i := range n {
			g.versions = append(g.versions, version{stamp{int64(n - i), id.id}, []byte(`["a"]`)})
		}
		r.fields = []field{{"also", []byte(`["a"]`)}, {apart, g.extra()}}
		r.sortFields()
		return r
	}
	if what := many(maxStamps).check(); what != "" { // control
		t.Error(what)
	}
	if many(maxStamps+1).check() == "" {
		t.Error("more versions than stamps are taken")
	}
}

func newTestIdentity(t *testing.T) *Identity {
	t.Helper()
	id, err := NewIdentity("laptop", nil)
	if err != nil {
		t.Fatal(err)
	}
	return id
}
