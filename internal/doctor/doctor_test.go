package doctor_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/broker"
	"kb/internal/doctor"
)

// place is a home with a vault, and what the doctor is told of it.
func place(t *testing.T) (broker.Paths, doctor.Options) {
	t.Helper()
	home := t.TempDir()
	getenv := func(name string) string {
		return map[string]string{"HOME": home, "XDG_RUNTIME_DIR": filepath.Join(home, "run")}[name]
	}
	paths, err := broker.FindPaths(getenv)
	if err != nil {
		t.Fatal(err)
	}
	o := broker.Options{Paths: paths, Getenv: getenv}
	if _, err := broker.Init(t.Context(), broker.InitOptions{Options: o, Device: "desk"}); err != nil {
		t.Fatal(err)
	}
	return paths, doctor.Options{
		Paths: paths, Getenv: getenv, Traced: func() bool { return false },
		Open: func(ctx context.Context) (*broker.Broker, error) { return broker.Open(ctx, o) },
	}
}

// TestWhatIsWrongIsFound breaks one thing at a time: the check that is about it
// says so, with what mends it, and no other one's state changes.
func TestWhatIsWrongIsFound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		check string
		state doctor.State
		line  string // in it
		fix   string // in it; "" for none
		wrong func(*testing.T, broker.Paths, *doctor.Options)
	}{
		{"files", doctor.Failed, "mode 0755", "chmod 700", func(t *testing.T, p broker.Paths, _ *doctor.Options) {
			chmod(t, p.State, 0o755)
		}},
		{"files", doctor.Failed, "mode 0644", "chmod 600", func(t *testing.T, p broker.Paths, _ *doctor.Options) {
			chmod(t, p.IdentityFile(), 0o644)
		}},
		{"vault", doctor.Warning, "sync-conflict", "kb vault merge", func(t *testing.T, p broker.Paths, _ *doctor.Options) {
			write(t, strings.TrimSuffix(p.Vault(), ".age")+".sync-conflict-20261126-101112-ABCDEFG.age", "")
		}},
		{"clock", doctor.Failed, "behind", "set the clock", func(_ *testing.T, _ broker.Paths, o *doctor.Options) {
			o.Now = func() time.Time { return time.Now().Add(-time.Hour) }
		}},
		{"trace", doctor.Failed, "traces", "TracerPid", func(_ *testing.T, _ broker.Paths, o *doctor.Options) {
			o.Traced = func() bool { return true }
		}},
		{"runtime", doctor.Failed, "not this user's alone", "chmod 700", func(t *testing.T, p broker.Paths, _ *doctor.Options) {
			if err := os.MkdirAll(p.Runtime, 0o700); err != nil {
				t.Fatal(err)
			}
			chmod(t, p.Runtime, 0o777)
		}},
		{"command", doctor.Failed, "not found", "PATH", func(_ *testing.T, _ broker.Paths, o *doctor.Options) {
			o.Command = "no-such-agent"
		}},
	} {
		t.Run(c.check+" "+c.line, func(t *testing.T) {
			t.Parallel()
			paths, o := place(t)
			before := map[string]doctor.State{}
			for _, r := range doctor.Run(t.Context(), o, func(string, *doctor.Result) {}) {
				before[r.Name] = r.State
			}
			if s := before[c.check]; s == doctor.Failed || s == c.state {
				t.Fatalf("%s is %s while nothing is wrong", c.check, s)
			}
			c.wrong(t, paths, &o)
			for _, r := range doctor.Run(t.Context(), o, func(string, *doctor.Result) {}) {
				if r.Name != c.check {
					if r.State != before[r.Name] {
						t.Errorf("%s was %s and is %s: %s", r.Name, before[r.Name], r.State, r.Line)
					}
					continue
				}
				if r.State != c.state || !strings.Contains(r.Line, c.line) || !strings.Contains(r.Fix, c.fix) || r.Why == "" {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// TestEachCheckBeginsAndEnds: a screen shows all at once, and each as it ends.
func TestEachCheckBeginsAndEnds(t *testing.T) {
	t.Parallel()
	_, o := place(t)
	begun, ended := map[string]bool{}, map[string]bool{}
	reports := doctor.Run(t.Context(), o, func(name string, r *doctor.Result) {
		if r == nil {
			begun[name] = true
			return
		}
		ended[name] = true
		if r.State == "" || r.Line == "" || !begun[name] || len(begun) != len(doctor.Checks)-1 {
			t.Errorf("%s ended as %+v after %d began", name, r, len(begun))
		}
	})
	if len(ended) != len(doctor.Checks)-1 || len(reports) != len(ended) { // without "command"
		t.Errorf("%d of %d checks ended", len(ended), len(doctor.Checks))
	}
}

func chmod(t *testing.T, path string, mode os.FileMode) {
	t.Helper()
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
