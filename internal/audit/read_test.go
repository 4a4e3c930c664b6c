package audit_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
)

// at is epoch and n seconds.
func at(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }

// three writes three sessions that overlap: requests 1 to 6 by time.
func three(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	start := func(session string, n int) *audit.Log {
		return open(t, dir, session, nil, audit.Options{Now: func() time.Time { return at(n) }})
	}
	note := func(l *audit.Log, n int, profile, phase string) {
		add(t, l, audit.Event{Time: at(n), Request: uint64(n), Phase: phase, Profile: profile, Action: "inject"})
	}
	a, b := start("s-a", 0), start("s-b", 0)
	note(a, 1, "work", audit.PhaseIntent)
	note(b, 2, "oss", audit.PhaseIntent)
	c := start("s-c", 2)
	note(a, 3, "work", audit.PhaseRefused)
	note(c, 4, "work", audit.PhaseIntent)
	note(b, 5, "oss", audit.PhaseIntent)
	note(a, 6, "work", audit.PhaseIntent)
	return dir
}

func requests(events []audit.Event) string {
	var out []string
	for _, e := range events {
		if e.Request != 0 {
			out = append(out, fmt.Sprint(e.Request))
		}
	}
	return strings.Join(out, " ")
}

func TestReadMergesByTimeAndFilters(t *testing.T) {
	dir := three(t)
	for _, c := range []struct {
		f    audit.Filter
		want string
	}{
		{audit.Filter{}, "1 2 3 4 5 6"},
		{audit.Filter{Profile: "work"}, "1 3 4 6"},
		{audit.Filter{Session: "s-b"}, "2 5"},
		{audit.Filter{Denied: true}, "3"},
		{audit.Filter{Since: at(4)}, "4 5 6"},
		{audit.Filter{Since: at(4), Profile: "oss"}, "5"},
		{audit.Filter{Profile: "nobody"}, ""},
	} {
		if got := requests(readAll(t, dir, c.f)); got != c.want {
			t.Errorf("Read(%+v) = %q, want %q", c.f, got, c.want)
		}
		tail, err := audit.Tail(dir, 100, c.f)
		if err != nil {
			t.Fatal(err)
		}
		if got := requests(tail); got != c.want {
			t.Errorf("Tail(%+v) = %q, want %q", c.f, got, c.want)
		}
	}
	for n, want := range map[int]string{0: "", 1: "6", 2: "5 6", 4: "3 4 5 6"} {
		tail, err := audit.Tail(dir, n, audit.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		if got := requests(tail); got != want {
			t.Errorf("Tail(%d) = %q, want %q", n, got, want)
		}
	}
	if got := readAll(t, filepath.Join(dir, "none"), audit.Filter{}); got != nil {
		t.Errorf("a directory that is not there has %v", got)
	}
}

// A reader that stops early leaves no file open (goleak does not see files,
// the limit of descriptors does).
func TestReadStopsEarly(t *testing.T) {
	dir := three(t)
	before := openFiles(t)
	for range 50 {
		for range audit.Read(dir, audit.Filter{}) {
			break
		}
	}
	if after := openFiles(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Skipf("skipped: descriptors cannot be counted here: %v", err)
	}
	return len(names)
}

// A line that someone spoiled does not hide the lines after it.
func TestReadGoesOnAfterABadLine(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s", nil, audit.Options{})
	add(t, l, request(1, "work", "h")...)
	lines := linesOf(t, l.Path())
	writeLines(t, l.Path(), lines[0], []byte("{broken\n"), []byte(strings.Repeat("x", 300_000)+"\n"), lines[1], lines[2], []byte(`{"half":`))
	var bad []string
	good := 0
	for e, err := range audit.Read(dir, audit.Filter{}) {
		var le *audit.LineError
		switch {
		case errors.As(err, &le):
			bad = append(bad, fmt.Sprintf("%s:%d", le.File, le.Line))
		case err != nil:
			t.Fatal(err)
		case e.Session == "s":
			good++
		}
	}
	name := filepath.Base(l.Path())
	if want := fmt.Sprintf("[%s:2 %s:3]", name, name); fmt.Sprint(bad) != want || good != 3 {
		t.Errorf("bad lines %v and %d good ones, want %s and 3", bad, good, want)
	}
	if tail, err := audit.Tail(dir, 10, audit.Filter{}); err != nil || len(tail) != 3 {
		t.Errorf("Tail = %v, %v", tail, err)
	}
}

// The last n of a file are found across the borders of the blocks it is read
// in, whatever the lines' lengths.
func TestTailAcrossBlocks(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s", nil, audit.Options{})
	const n = 3000
	for i := range n {
		add(t, l, audit.Event{Request: uint64(i + 1), Phase: audit.PhaseNote, Detail: strings.Repeat("d", i*7%3001)})
	}
	for _, want := range []int{1, 100, n + 1} {
		got, err := audit.Tail(dir, want, audit.Filter{})
		if err != nil || len(got) != want {
			t.Fatalf("Tail(%d) has %d events (%v)", want, len(got), err)
		}
		for i, e := range got {
			if e.Seq != uint64(n+1-want+i+1) {
				t.Fatalf("Tail(%d): event %d has number %d", want, i, e.Seq)
			}
		}
	}
}

func TestFollow(t *testing.T) {
	dir := three(t)
	for _, c := range []struct {
		name  string
		f     audit.Filter
		first string // what was there already
	}{
		{"from now", audit.Filter{}, ""},
		{"since", audit.Filter{Since: at(5)}, "5 6"},
		{"filtered", audit.Filter{Since: at(5), Profile: "work"}, "6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			got := make(chan audit.Event, 100)
			done := make(chan error, 1)
			enough := errors.New("enough")
			go func() {
				done <- audit.Follow(ctx, dir, c.f, func(e audit.Event) error {
					if e.Request == 0 {
						return nil
					}
					got <- e
					if e.Request == 102 {
						return enough
					}
					return nil
				})
			}()
			var before []audit.Event
			for range strings.Fields(c.first) {
				before = append(before, <-got)
			}
			if requests(before) != c.first {
				t.Errorf("first came %s, want %s", requests(before), c.first)
			}
			// A session that begins now, and rotates. Until Follow has its
			// bearings an event counts as there already, so they are repeated.
			session := "f-" + strings.ReplaceAll(c.name, " ", "-")
			l := open(t, dir, session, nil, audit.Options{MaxFile: 500, Now: func() time.Time { return at(60) }})
			var after []audit.Event
			for seen := false; !seen; {
				add(t, l, audit.Event{Request: 100, Phase: audit.PhaseNote, Profile: "work"})
				select {
				case e := <-got:
					after, seen = append(after, e), true
				case <-ctx.Done():
					t.Fatal("nothing came")
				case <-time.After(10 * time.Millisecond): // ask again
				}
			}
			add(t, l,
				audit.Event{Request: 101, Phase: audit.PhaseNote, Profile: "work"},
				audit.Event{Request: 102, Phase: audit.PhaseNote, Profile: "work"})
			if err := <-done; !errors.Is(err, enough) {
				t.Fatalf("Follow = %v", err)
			}
			close(got)
			for e := range got {
				after = append(after, e)
			}
			if s := requests(after); !strings.HasSuffix(s, "100 101 102") {
				t.Errorf("then came %s", s)
			}
			for i := 1; i < len(after); i++ {
				if after[i].Seq <= after[i-1].Seq {
					t.Errorf("line %d came after line %d", after[i].Seq, after[i-1].Seq)
				}
			}
		})
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := audit.Follow(ctx, t.TempDir(), audit.Filter{}, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Follow = %v", err)
	}
}

func BenchmarkTail(b *testing.B) {
	dir := b.TempDir()
	l, err := audit.Create(dir, "s", testKey, audit.Options{Tick: never})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	for n := range uint64(100_000) {
		if err := l.Append(request(n, "work", "api.github.com")[1]); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		if e, err := audit.Tail(dir, 1000, audit.Filter{}); err != nil || len(e) != 1000 {
			b.Fatal(len(e), err)
		}
	}
}
