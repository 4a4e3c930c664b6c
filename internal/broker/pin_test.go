package broker

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// TestChangedPinIsAsked: an agent can write .git/config, and so choose the
// identity of the next session.
func TestChangedPinIsAsked(t *testing.T) {
	f := newFixture(t)
	ctx := t.Context()
	spec := DecideSpec{Dir: f.workDir, Environ: f.environ()}
	decide := func(spec DecideSpec) (*Decision, error) { return f.broker.Decide(ctx, spec) }

	d, err := decide(spec)
	if err != nil || d.Match.Profile != "work" || d.PinState() != "none" || len(d.Notes) != 1 {
		t.Fatalf("first use: %+v, %v", d, err)
	}
	if d, err = decide(spec); err != nil || d.PinState() != "same" || len(d.Notes) != 0 {
		t.Fatalf("second use: %+v, %v", d, err)
	}
	f.git("-C", f.workDir, "remote", "set-url", "origin", "https://github.com/libre/tool")
	var changed *PinError
	if _, err = decide(spec); !errors.As(err, &changed) || changed.Change.Old != "work" || changed.Change.New != "oss" {
		t.Fatalf("after set-url: %v, want a PinError work → oss", err)
	}
	asked := spec
	asked.Confirm = func(_ context.Context, c PinChange) (bool, error) { return false, nil }
	if _, err = decide(asked); !errors.Is(err, ErrDeclined) {
		t.Fatalf("declined: %v", err)
	}
	asked.Confirm = func(_ context.Context, c PinChange) (bool, error) { return true, errors.New("no terminal") }
	if _, err = decide(asked); !errors.As(err, &changed) {
		t.Fatalf("no terminal: %v", err)
	}
	explicit := spec
	explicit.Explicit = "work"
	if d, err = decide(explicit); err != nil || d.Match.Profile != "work" {
		t.Fatalf("-p work: %+v, %v", d, err)
	}
	report := spec
	report.ReportOnly = true
	if d, err = decide(report); err != nil || d.PinState() != "changed" {
		t.Fatalf("kb which: %+v, %v", d, err)
	}
	accept := spec
	accept.AcceptPin = true
	if d, err = decide(accept); err != nil || d.Match.Profile != "oss" || len(d.Notes) != 1 {
		t.Fatalf("--accept-pin: %+v, %v", d, err)
	}
	if d, err = decide(spec); err != nil || d.PinState() != "same" {
		t.Fatalf("after it: %+v, %v", d, err)
	}
	where, err := f.broker.RemovePin(ctx, f.workDir)
	if err != nil || where == "" {
		t.Fatal(err)
	}
	if d, err = decide(spec); err != nil || d.PinState() != "none" {
		t.Fatalf("after kb pin rm: %+v, %v", d, err)
	}
}

// TestRemoteAddedUnderTheSameProfile changes nothing that a person must judge.
func TestRemoteAddedUnderTheSameProfile(t *testing.T) {
	f := newFixture(t)
	spec := DecideSpec{Dir: f.workDir, Environ: f.environ()}
	if _, err := f.broker.Decide(t.Context(), spec); err != nil {
		t.Fatal(err)
	}
	f.git("-C", f.workDir, "remote", "add", "fork", "https://github.com/acme/fork")
	d, err := f.broker.Decide(t.Context(), spec)
	if err != nil || len(d.Notes) != 0 {
		t.Fatalf("%+v, %v", d, err)
	}
	pins, err := f.broker.Pins()
	if err != nil || len(pins) != 1 || len(pins[0].Remotes) != 2 {
		t.Errorf("pins: %+v, %v", pins, err)
	}
}

// TestPinHoldsThePlace: an agent can put another repository where its own was,
// around it or inside it.
func TestPinHoldsThePlace(t *testing.T) {
	f := newFixture(t)
	if _, err := f.broker.Decide(t.Context(), DecideSpec{Dir: f.workDir, Environ: f.environ()}); err != nil {
		t.Fatal(err)
	}
	decide := func(dir string) (*Decision, error) {
		return f.broker.Decide(t.Context(), DecideSpec{Dir: dir, Environ: f.environ()})
	}
	var changed *PinError
	inner := filepath.Join(f.workDir, "inner")
	f.git("init", "-q", inner)
	f.git("-C", inner, "remote", "add", "origin", "https://github.com/libre/tool")
	if _, err := decide(inner); !errors.As(err, &changed) || changed.Change.Old != "work" || changed.Change.New != "oss" {
		t.Errorf("a repository inside: %v, want a PinError work → oss", err)
	}
	accepted, err := f.broker.Decide(t.Context(), DecideSpec{Dir: inner, Environ: f.environ(), AcceptPin: true})
	if err != nil || accepted.Match.Profile != "oss" {
		t.Fatalf("accepted: %v", err)
	}
	if d, err := decide(inner); err != nil || d.PinState() != "same" {
		t.Errorf("after it: %v", err)
	}
	if d, err := decide(f.workDir); err != nil || d.PinState() != "same" {
		t.Errorf("the repository around it: %v", err)
	}
	dotGit := filepath.Join(f.workDir, ".git")
	if err := os.Rename(dotGit, filepath.Join(t.TempDir(), "aside")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dotGit, []byte("gitdir: "+filepath.Join(inner, ".git")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := decide(f.workDir); !errors.As(err, &changed) || changed.Change.Directory != dotGit {
		t.Errorf(".git file: %v, want a PinError", err)
	}
}
