package audit_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
)

// TestBeforeGivesPages walks back through three sessions, whose events share
// moments, page by page: each event comes once, in the order of Tail.
func TestBeforeGivesPages(t *testing.T) {
	dir := t.TempDir()
	now := at(0)
	clock := func() time.Time { return now }
	var logs []*audit.Log
	for _, session := range []string{"b", "a", "c"} {
		logs = append(logs, open(t, dir, session, nil, audit.Options{Now: clock}))
	}
	for i := range 900 { // some 400 KiB: several blocks, so that the search has something to leave out
		if i%4 == 0 {
			now = now.Add(time.Millisecond)
		}
		e := audit.Event{Request: uint64(i), Phase: audit.PhaseNote, Profile: []string{"work", "oss"}[i%2], Detail: strings.Repeat("d", 1200)}
		add(t, logs[i%3], e)
	}
	name := func(e audit.Event) string { return e.Time.String() + e.Session + string(rune(e.Seq)) }
	for _, f := range []audit.Filter{{}, {Profile: "oss"}, {Session: "a"}} {
		all, err := audit.Tail(dir, 10000, f)
		if err != nil || len(all) < 300 {
			t.Fatalf("Tail has %d events (%v)", len(all), err)
		}
		var want, got []string
		for _, e := range all {
			want = append(want, name(e))
		}
		const page = 37
		for oldest := all[len(all)-1]; ; {
			events, err := audit.Before(dir, oldest, page, f)
			if err != nil {
				t.Fatal(err)
			}
			if len(events) == 0 {
				break
			}
			if len(events) < page && len(got)+len(events) != len(want)-1 {
				t.Errorf("%+v: a page of %d in the middle", f, len(events))
			}
			var names []string
			for _, e := range events {
				names = append(names, name(e))
			}
			got, oldest = append(names, got...), events[0]
		}
		if !slices.Equal(got, want[:len(want)-1]) {
			t.Errorf("%+v: pages have %d events, all before the last are %d", f, len(got), len(want)-1)
		}
	}
}
