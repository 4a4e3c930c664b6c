package broker

import (
	"context"
	"errors"
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
