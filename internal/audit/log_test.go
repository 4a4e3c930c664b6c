package audit_test

import (
	"testing"

	"kb/internal/audit"
)

func TestQuick(t *testing.T) {
	var idx audit.MemoryIndex
	dir := t.TempDir()
	l, err := audit.Create(dir, "s-7f", [32]byte{1}, audit.Options{Index: &idx})
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if err := l.Append(audit.Event{Phase: "intent", Host: "api.github.com"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := audit.Verify(dir, [32]byte{1}, &idx)
	if err != nil || !r.OK() || r.Lines != 102 {
		t.Fatalf("%+v %v", r, err)
	}
	es, err := audit.Tail(dir, 5, audit.Filter{})
	t.Log(es, err)
	n := 0
	for e, err := range audit.Read(dir, audit.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if n < 3 {
			t.Log(audit.Line(&e, nil))
		}
	}
	t.Log(n)
}
