package doctor_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/broker"
	"kb/internal/doctor"
)

// TestAttackFilesThatHoldUpTheDoctor: who can write to kb's folders puts something
// there that has no end, or that nobody ever writes into. The doctor comes to an end
// all the same, and has a word on each check.
func TestAttackFilesThatHoldUpTheDoctor(t *testing.T) {
	t.Parallel()
	for what, put := range map[string]func(path string) error{
		"a pipe":   func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder": func(path string) error { return os.Mkdir(path, 0o700) },
		"a device": func(path string) error { return os.Symlink("/dev/zero", path) },
		"a circle": func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"a hole": func(path string) error {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				return err
			}
			return os.Truncate(path, 1<<34)
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			for where, c := range map[string]struct {
				path  func(broker.Paths) string
				check string // that fails; "" for none
			}{
				"config":   {func(p broker.Paths) string { return filepath.Join(p.Config, "config.toml") }, "config"},
				"vault":    {broker.Paths.Vault, "vault"},
				"identity": {broker.Paths.IdentityFile, "vault"},
				"audit":    {func(p broker.Paths) string { return filepath.Join(p.Audit(), "20261126T101112Z-0a1b2c3d.jsonl") }, ""},
				"sessions": {func(p broker.Paths) string { return filepath.Join(p.Control(), "0a1b2c3d-1-1.sock") }, ""},
			} {
				paths, o := place(t)
				o.Config = func([]byte) error { return nil }
				path := c.path(paths)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.RemoveAll(path); err != nil {
					t.Fatal(err)
				}
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				ended := make(chan []doctor.Report, 1)
				go func() { ended <- doctor.Run(t.Context(), o, func(string, *doctor.Result) {}) }()
				var reports []doctor.Report
				select {
				case reports = <-ended:
				case <-time.After(30 * time.Second):
					t.Fatalf("%s: it does not end", where)
				}
				for _, r := range reports {
					if r.Line == "" || strings.Contains(r.Line, "fault of kb") || r.Name == c.check && (r.State != doctor.Failed || r.Why == "") {
						t.Errorf("%s: %s is %+v", where, r.Name, r.Result)
					}
				}
			}
		})
	}
}

// TestAttackManyDeafSessions: an agent fills the folder of sockets with names of a
// process that runs, of which each keeps who asks waiting. They wait together.
func TestAttackManyDeafSessions(t *testing.T) {
	t.Parallel()
	const names = 40 // one after the other is 20 s
	paths, o := place(t)
	if err := os.MkdirAll(paths.Control(), 0o700); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	start := strings.Fields(rest)[19]
	for i := range names {
		name := fmt.Sprintf("%08x-%d-%s.sock", i+1, os.Getpid(), start)
		if err := os.WriteFile(filepath.Join(paths.Control(), name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	begun := time.Now()
	for _, r := range doctor.Run(t.Context(), o, func(string, *doctor.Result) {}) {
		if r.Name != "sessions" {
			continue
		}
		// That they are found is the positive control.
		if r.State != doctor.Warning || !strings.Contains(r.Line, fmt.Sprintf("and %d more", names-1)) || strings.Count(r.Why, "\n") > 25 {
			t.Errorf("%+v", r)
		}
	}
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}
