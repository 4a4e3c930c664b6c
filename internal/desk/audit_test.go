package desk_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
	"kb/tui"
)

// TestAPanicBesideEndsWatch: a panic in a goroutine of the desk's own does not end the
// process, whose terminal would stay as the dashboard has it; Watch returns it.
func TestAPanicBesideEndsWatch(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	watched := make(chan error, 1)
	go func() { watched <- p.desk.Watch(t.Context(), func(tui.Change) {}) }()
	if err := p.desk.AuditFollow(t.Context(), func([]audit.Event) { panic("kbCanary") }); err != nil {
		t.Errorf("AuditFollow: %v", err)
	}
	err := <-watched
	if err == nil || !strings.Contains(err.Error(), "a panic with a string") || !strings.Contains(err.Error(), "(audit_test.go:") || strings.Contains(err.Error(), "kbCanary") {
		t.Errorf("Watch returned %v", err)
	}
}

// TestAuditComesInBatches: a burst is handed over whole, in order, in a few pieces.
func TestAuditComesInBatches(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	log, err := audit.Create(p.paths.Audit(), "0011aabb", [32]byte{1}, audit.Options{Index: &audit.MemoryIndex{}})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	ctx, cancel := context.WithCancel(t.Context())
	batches := make(chan []audit.Event, 1000)
	ended := make(chan error, 1)
	go func() { ended <- p.desk.AuditFollow(ctx, func(events []audit.Event) { batches <- events }) }()
	write := func(n int) {
		for range n {
			if err := log.Append(audit.Event{Request: 1, Phase: audit.PhaseNote, Profile: "work"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	// The first that comes says that somebody follows.
	patience := time.After(20 * time.Second)
	var got []audit.Event
	for len(got) == 0 {
		write(1)
		select {
		case got = <-batches:
		case <-time.After(20 * time.Millisecond):
		case <-patience:
			t.Fatal("nothing comes")
		}
	}
	const burst = 2000
	began := time.Now()
	write(burst)
	n := 0
	for got[len(got)-1].Seq < got[0].Seq+burst {
		select {
		case more := <-batches:
			got = append(got, more...)
			n++
		case <-patience:
			t.Fatalf("%d events came", len(got))
		}
	}
	for i := range got[1:] {
		if got[i+1].Seq != got[i].Seq+1 {
			t.Fatalf("event %d comes after %d", got[i+1].Seq, got[i].Seq)
		}
	}
	// Events are gathered for 50 ms at least, however long it takes to write them.
	if most := int(time.Since(began)/(50*time.Millisecond)) + 2; n > most {
		t.Errorf("%d events came in %d pieces, want %d at most", burst, n, most)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("AuditFollow: %v", err)
	}

	path, err := p.desk.AuditExport(t.Context(), audit.Filter{Profile: "work"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if lines := bytes.Count(data, []byte("\n")); lines < burst || info.Mode().Perm() != 0o600 {
		t.Errorf("%d lines of %d are in the export, whose mode is %v", lines, len(got), info.Mode())
	}
}
