package atomicfile_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"kb/internal/atomicfile"
	"kb/internal/faultdisk"
)

// after writes "new content" over "old content" in a fresh directory with that
// fault, and then loses the power if cut is not negative. It returns what is
// found, how many cuts there were, and what Write said.
func after(t *testing.T, fault *faultdisk.Fault, cut int, opt atomicfile.Options) (content string, d *faultdisk.Disk, err error) {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	if err := os.WriteFile(path, []byte("old content"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err = faultdisk.New(dir, fault)
	if err != nil {
		t.Fatal(err)
	}
	opt.Disk = d
	err = atomicfile.Write(path, []byte("new content"), opt)
	if cut >= 0 {
		if cutErr := d.Cut(cut); cutErr != nil {
			t.Fatal(cutErr)
		}
	} else if left := entries(t, dir); len(left) != 1 && !d.Dead() {
		t.Errorf("%v: left behind: %q", fault, left)
	}
	b, readErr := os.ReadFile(path)
	if readErr != nil {
		return "nothing: " + readErr.Error(), d, err
	}
	return string(b), d, err
}

// Whatever fails and whenever the power goes, there is the old content or the
// new, and the new if Write said so. After an error that is not
// ErrUnconfirmed it is the old.
func TestEveryFaultLeavesOldOrNew(t *testing.T) {
	durable := atomicfile.Options{Durable: true}
	got, d, err := after(t, nil, -1, durable)
	if err != nil || got != "new content" {
		t.Fatalf("without a fault: %q, %v", got, err)
	}
	steps := d.Steps()
	if want := "[create .f.kb-tmp- write .f.kb-tmp- sync .f.kb-tmp- rename f syncdir .]"; fmtSteps(steps) != want {
		t.Errorf("steps are %s", fmtSteps(steps))
	}
	faults := faultdisk.Faults(steps)
	cuts := d.Cuts()
	for n := range cuts {
		if got, _, _ := after(t, nil, n, durable); got != "new content" {
			t.Errorf("saved, then the power: %q", got)
		}
	}
	for _, fault := range faults {
		got, d, err := after(t, &fault, -1, durable)
		want := []string{"old content"}
		switch {
		case err == nil:
			want = []string{"new content"}
		case errors.Is(err, atomicfile.ErrUnconfirmed):
			want = []string{"new content"}
			if op := steps[fault.Step].Op; op != "syncdir" {
				t.Errorf("%v at %v: unconfirmed", fault, steps[fault.Step])
			}
		case errors.Is(err, faultdisk.ErrKilled), fault.Done: // either
			want = append(want, "new content")
		}
		if !slices.Contains(want, got) {
			t.Errorf("%v at %v: %q after %v", fault, steps[fault.Step], got, err)
		}
		for n := range d.Cuts() {
			cuts++
			got, _, err := after(t, &fault, n, durable)
			if err == nil && got != "new content" || got != "old content" && got != "new content" {
				t.Errorf("%v at %v, then the power: %q after %v", fault, steps[fault.Step], got, err)
			}
		}
	}
	t.Logf("%d steps, %d faults, %d power cuts", len(steps), len(faults), cuts)
	// Control: what does not wait for the disk is found torn, and lost.
	found := map[string]bool{}
	_, d, _ = after(t, nil, -1, atomicfile.Options{})
	for n := range d.Cuts() {
		got, _, _ := after(t, nil, n, atomicfile.Options{})
		found[got] = true
	}
	for _, want := range []string{"old content", "new content", "", "new co\x00\x00\x00\x00\x00"} {
		if !found[want] {
			t.Errorf("without waiting, no cut leaves %q: %v", want, found)
		}
	}
}

func fmtSteps(steps []faultdisk.Step) string {
	var words []string
	for _, s := range steps {
		words = append(words, s.String())
	}
	return "[" + strings.Join(words, " ") + "]"
}

// A directory that was made for a file is not lost with the power.
func TestDirectoriesAreDurable(t *testing.T) {
	root := t.TempDir()
	d, err := faultdisk.New(root, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(root, "a", "b")
	if err := atomicfile.MkdirAll(dir, d); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "f")
	if err := atomicfile.Write(path, []byte("kept"), atomicfile.Options{Durable: true, Disk: d}); err != nil {
		t.Fatal(err)
	}
	// Control: one that is only made can be.
	if err := d.Mkdir(filepath.Join(root, "c")); err != nil {
		t.Fatal(err)
	}
	if n := d.Cuts(); n != 2 {
		t.Fatalf("%d cuts", n)
	}
	if err := d.Cut(0); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path); err != nil || string(b) != "kept" {
		t.Errorf("after the cut: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(root, "c")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the control was not lost: %v", err)
	}
}
