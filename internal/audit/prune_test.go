package audit_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
)

// day is epoch and n days.
func day(n int) time.Time { return epoch.AddDate(0, 0, n) }

// month writes a session a day, days 0 to 9, and leaves that of day 4 running.
func month(t *testing.T, idx audit.Sealer) string {
	t.Helper()
	dir := t.TempDir()
	for n := range 10 {
		l := open(t, dir, fmt.Sprintf("d%d", n), idx, audit.Options{Now: func() time.Time { return day(n) }})
		add(t, l, request(1, "work", "h")...)
		if n == 4 {
			if err := l.Seal(); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// days names the sessions whose files are in dir.
func days(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		_, session, _ := strings.Cut(strings.TrimSuffix(e.Name(), ".jsonl"), "-")
		out = append(out, session)
	}
	return strings.Join(out, " ")
}

func TestPruneStaysVerifiable(t *testing.T) {
	for _, c := range []struct {
		name string
		r    audit.Retention
		left string
	}{
		{"nothing", audit.Retention{}, "d0 d1 d2 d3 d4 d5 d6 d7 d8 d9"},
		{"by age, but not the running session", audit.Retention{MaxAge: 48 * time.Hour}, "d4 d8 d9"},
		{"by size, oldest first", audit.Retention{MaxBytes: 4200}, "d4 d6 d7 d8 d9"},
		{"all that can go", audit.Retention{MaxBytes: 1}, "d4"},
	} {
		t.Run(c.name, func(t *testing.T) {
			idx := &audit.MemoryIndex{}
			dir := month(t, idx)
			gone, err := audit.Prune(dir, idx, c.r, day(10))
			if err != nil {
				t.Fatal(err)
			}
			if got := days(t, dir); got != c.left {
				t.Errorf("left %s, want %s", got, c.left)
			}
			left := len(strings.Fields(c.left))
			if len(gone) != 10-left {
				t.Errorf("%d names told, %d are gone", len(gone), 10-left)
			}
			heads, err := idx.Heads()
			if err != nil || len(heads) != left {
				t.Errorf("%d heads are left (%v), want %d", len(heads), err, left)
			}
			if r := verify(t, dir, idx); !r.OK() || len(r.Files) != left {
				t.Errorf("%+v", r)
			}
			// Positive control: a file that goes without Prune is missed.
			remove(t, filepath.Join(dir, heads[len(heads)-1].File))
			if r := verify(t, dir, idx); r.OK() {
				t.Error("a removed file was taken for a pruned one")
			}
		})
	}
}

// The directory's times and sizes are the agent's to change; the sealed ones
// are not.
func TestPruneCannotBeHurried(t *testing.T) {
	idx := &audit.MemoryIndex{}
	dir := month(t, idx)
	files, err := filepath.Glob(filepath.Join(dir, "*-d9.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if err := os.Chtimes(files[0], day(-1000), day(-1000)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "20260101T000000Z-x.jsonl"), make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	gone, err := audit.Prune(dir, idx, audit.Retention{MaxAge: 30 * 24 * time.Hour, MaxBytes: 100_000}, day(10))
	if err != nil || len(gone) != 0 {
		t.Errorf("pruned %v (%v)", gone, err)
	}
}

// Killed after each step, prune neither loses a head that matters nor makes
// Verify cry, and the next prune ends the work.
func TestPruneKilledHalfWay(t *testing.T) {
	killed := errors.New("killed")
	for _, c := range []struct {
		name  string
		index func(*audit.MemoryIndex) audit.Index
	}{
		{"before the seal", func(m *audit.MemoryIndex) audit.Index { return failing{Index: m, seal: killed} }},
		{"before the index forgets", func(m *audit.MemoryIndex) audit.Index { return failing{Index: m, forget: killed} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &audit.MemoryIndex{}
			dir := month(t, m)
			keep := audit.Retention{MaxAge: 48 * time.Hour}
			if _, err := audit.Prune(dir, c.index(m), keep, day(10)); !errors.Is(err, killed) {
				t.Fatalf("Prune = %v", err)
			}
			if r := verify(t, dir, m); !r.OK() {
				t.Errorf("%+v", r)
			}
			if _, err := audit.Prune(dir, m, keep, day(10)); err != nil {
				t.Fatal(err)
			}
			if got := days(t, dir); got != "d4 d8 d9" {
				t.Errorf("left %s", got)
			}
			if heads, err := m.Heads(); err != nil || len(heads) != 3 {
				t.Errorf("%d heads (%v)", len(heads), err)
			}
		})
	}
	// Sealed as pruned, and killed before the files went.
	m := &audit.MemoryIndex{}
	dir := month(t, m)
	heads, err := m.Heads()
	if err != nil {
		t.Fatal(err)
	}
	heads[0].Pruned = true
	if err := m.Seal(heads[0]); err != nil {
		t.Fatal(err)
	}
	if r := verify(t, dir, m); !r.OK() {
		t.Errorf("%+v", r)
	}
	if gone, err := audit.Prune(dir, m, audit.Retention{}, day(10)); err != nil || len(gone) != 1 {
		t.Errorf("pruned %v (%v)", gone, err)
	}
}

// failing is an index that fails where it is told to.
type failing struct {
	audit.Index
	seal, forget error
}

func (f failing) Seal(heads ...audit.Head) error {
	if f.seal != nil {
		return f.seal
	}
	return f.Index.Seal(heads...)
}

func (f failing) Forget(files ...string) error {
	if f.forget != nil {
		return f.forget
	}
	return f.Index.Forget(files...)
}

// A count that falls would make a cut tail look right.
func TestIndexRefusesToGoBack(t *testing.T) {
	var m audit.MemoryIndex
	h := audit.Head{File: "f", Count: 5, Last: audit.MAC{1}}
	if err := m.Seal(h); err != nil {
		t.Fatal(err)
	}
	for name, next := range map[string]audit.Head{
		"fewer lines":  {File: "f", Count: 4, Last: audit.MAC{1}},
		"another line": {File: "f", Count: 5, Last: audit.MAC{2}},
	} {
		if err := m.Seal(next); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	closed := audit.Head{File: "f", Count: 6, Last: audit.MAC{3}, Closed: true}
	if err := m.Seal(closed); err != nil {
		t.Fatal(err)
	}
	if err := m.Seal(audit.Head{File: "f", Count: 7}); err == nil {
		t.Error("a closed file got a line")
	}
	closed.Pruned = true
	if err := m.Seal(closed); err != nil {
		t.Errorf("a closed file cannot be pruned: %v", err)
	}
}
