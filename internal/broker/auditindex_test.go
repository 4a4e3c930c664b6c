package broker

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"kb/internal/audit"
)

// TestAuditIndexMissesWhatIsDeleted: a file that is gone together with its
// head, and with its day's list, is still missed; a pruned one is not.
func TestAuditIndexMissesWhatIsDeleted(t *testing.T) {
	f := newFixture(t)
	x := f.broker.auditIndex.(auditIndex)
	var files []string
	for range 2 {
		s := f.start(f.workDir)
		files = append(files, filepath.Base(s.log.Path()))
		s.Close()
	}
	verify := func() (audit.Report, error) { return f.broker.VerifyAudit() }
	if r, err := verify(); err != nil || !r.OK() || len(r.Files) != 2 {
		t.Fatalf("before: %+v, %v", r, err)
	}
	if err := os.Remove(filepath.Join(f.options.Paths.Audit(), files[0])); err != nil {
		t.Fatal(err)
	}
	if err := x.store.Delete(auditHead + files[0]); err != nil {
		t.Fatal(err)
	}
	if r, err := verify(); err != nil || r.OK() {
		t.Errorf("a file deleted with its head is not missed: %+v, %v", r, err)
	}
	if err := x.store.Delete(auditDay + dayOf(files[0])); err != nil {
		t.Fatal(err)
	}
	if _, err := verify(); err == nil {
		t.Error("a day's list that was deleted is not missed")
	}
}

func TestPrunedFilesAreNotMissed(t *testing.T) {
	f := newFixture(t)
	s := f.start(f.workDir)
	s.Close()
	names, err := audit.Prune(f.options.Paths.Audit(), f.broker.auditIndex, audit.Retention{MaxAge: time.Hour}, time.Now().Add(2*time.Hour))
	if err != nil || len(names) != 1 {
		t.Fatalf("pruned %v, %v", names, err)
	}
	r, err := f.broker.VerifyAudit()
	if err != nil || !r.OK() || len(r.Files) != 0 {
		t.Errorf("after pruning: %+v, %v", r, err)
	}
	if heads, err := f.broker.auditIndex.Heads(); err != nil || len(heads) != 0 {
		t.Errorf("heads left: %v, %v", heads, err)
	}
}
