package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"kb/internal/audit"
)

// TestAttackWhatStandsUnderAnAuditName: any process of this user can put things into
// the folder. None of them holds up who reads the audit, and none hides a line.
func TestAttackWhatStandsUnderAnAuditName(t *testing.T) {
	t.Parallel()
	for name, put := range map[string]func(path string) error{
		"nothing":   func(string) error { return nil }, // the positive control
		"a pipe":    func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"a folder":  func(path string) error { return os.Mkdir(path, 0o700) },
		"a device":  func(path string) error { return os.Symlink("/dev/zero", path) },
		"a circle":  func(path string) error { return os.Symlink(filepath.Base(path), path) },
		"a socket":  listen,
		"a link":    func(path string) error { return os.Symlink("/etc/passwd", path) },
		"a hole":    func(path string) error { return hole(path, "", 8<<40) },
		"a line":    func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("x", 4<<20)+"\n"), 0o600) },
		"half of a": func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("x", 4<<20)), 0o600) },
		"depths":    func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("[", 100_000)+"\n"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := three(t)
			// Before, among and after those that sessions write.
			for _, file := range []string{"20000101T000000Z-x.jsonl", epoch.UTC().Format("20060102T150405Z") + "-s-d.jsonl", "29990101T000000Z-x.jsonl", "29990101T000000Z-x.0002.jsonl"} {
				if err := put(filepath.Join(dir, file)); err != nil {
					t.Fatal(err)
				}
			}
			within(t, "read", func() {
				var got []audit.Event
				for e, err := range audit.Read(dir, audit.Filter{}) {
					var line *audit.LineError
					if err != nil && !errors.As(err, &line) {
						t.Errorf("read: %v", err)
					} else if err == nil {
						got = append(got, e)
					}
				}
				if r := requests(got); r != "1 2 3 4 5 6" {
					t.Errorf("read gives %q", r)
				}
			})
			within(t, "the end", func() {
				if got, err := audit.Tail(dir, 3, audit.Filter{}); err != nil || requests(got) != "4 5 6" {
					t.Errorf("the end is %q: %v", requests(got), err)
				}
			})
			within(t, "what is before", func() {
				if got, err := audit.Before(dir, audit.Event{Time: at(3), Session: "s-a"}, 5, audit.Filter{}); err != nil || requests(got) != "1 2" {
					t.Errorf("before is %q: %v", requests(got), err)
				}
			})
			within(t, "verify", func() {
				if _, err := audit.Verify(dir, testKey, fixedHeads(nil)); err != nil {
					t.Errorf("verify: %v", err)
				}
			})
			within(t, "export", func() {
				lines, _, err := audit.Export(t.Context(), dir, audit.Filter{}, filepath.Join(t.TempDir(), "out"), true, time.UTC)
				if err != nil || lines != 9 {
					t.Errorf("%d lines are exported: %v", lines, err)
				}
			})
			within(t, "follow", func() {
				ctx, stop := context.WithCancel(t.Context())
				defer stop()
				l := open(t, dir, "s-new", nil, audit.Options{})
				err := audit.FollowFrom(ctx, dir, audit.Filter{}, func() { add(t, l, audit.Event{Request: 7, Phase: audit.PhaseIntent}) }, func(e audit.Event) error {
					if e.Request == 7 {
						stop()
					}
					return nil
				})
				if !errors.Is(err, context.Canceled) {
					t.Errorf("follow: %v", err)
				}
			})
		})
	}
}

// TestAttackHoleInASessionsFile: a file that a session wrote is made larger by a hole
// that costs nothing. What it wrote is read.
func TestAttackHoleInASessionsFile(t *testing.T) {
	t.Parallel()
	dir := three(t)
	files, err := filepath.Glob(filepath.Join(dir, "*-s-b.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatalf("%q: %v", files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := hole(files[0], string(text), 8<<40); err != nil {
		t.Fatal(err)
	}
	within(t, "read", func() {
		if got := requests(readAll(t, dir, audit.Filter{})); got != "1 2 3 4 5 6" {
			t.Errorf("read gives %q", got)
		}
	})
	within(t, "the end", func() {
		if got, err := audit.Tail(dir, 2, audit.Filter{Session: "s-a"}); err != nil || requests(got) != "3 6" {
			t.Errorf("the end is %q: %v", requests(got), err)
		}
		if _, err := audit.Tail(dir, 2, audit.Filter{}); err != nil {
			t.Error(err)
		}
	})
}

// TestAttackPrunedFileIsAPipe: a session that starts prunes the audit, and waits for
// nobody there.
func TestAttackPrunedFileIsAPipe(t *testing.T) {
	t.Parallel()
	idx := &audit.MemoryIndex{}
	dir := month(t, idx)
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) < 2 {
		t.Fatalf("%q: %v", files, err)
	}
	if err := os.Remove(files[0]); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(files[0], 0o600); err != nil {
		t.Fatal(err)
	}
	within(t, "prune", func() {
		gone, err := audit.Prune(dir, idx, audit.Retention{MaxBytes: 1}, day(400))
		if err != nil || len(gone) == 0 { // the others go, which is the positive control
			t.Errorf("%q: %v", gone, err)
		}
	})
}

// within ends the test if f does not.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Fatalf("%s does not end", what)
	}
}

// listen makes a socket of a short name and moves it: a socket's path is bounded.
func listen(path string) error {
	short, err := os.MkdirTemp("", "kb")
	if err != nil {
		return err
	}
	defer os.RemoveAll(short)
	l, err := net.Listen("unix", filepath.Join(short, "s"))
	if err != nil {
		return err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	defer l.Close()
	return os.Rename(filepath.Join(short, "s"), path)
}

// hole makes a file of a text and then nothing; a file system that takes none so
// large gets a smaller one.
func hole(path, text string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteString(text); err != nil {
		return err
	}
	for err = f.Truncate(size); errors.Is(err, syscall.EFBIG) || errors.Is(err, syscall.EINVAL); err = f.Truncate(size) {
		if size /= 2; size < 1<<30 {
			return err
		}
	}
	return err
}

// TestAttackTextOfATamperedLine: what stands in a file that kb did not write cannot
// make a terminal do anything, in neither form, and JSON says what the file says.
func TestAttackTextOfATamperedLine(t *testing.T) {
	t.Parallel()
	const hostile = "=cmd|' /C calc'!A0\x7f\u009b31m\u202e\u2066\U000e0041\u200b"
	e := audit.Event{Time: at(1), Session: hostile, Profile: hostile, Method: hostile, Host: hostile, Path: hostile, Reason: hostile, Detail: "täst 👩‍💻"}
	line, err := audit.JSON(&e)
	if err != nil {
		t.Fatal(err)
	}
	var back audit.Event
	if err := json.Unmarshal(line, &back); err != nil || back != e {
		t.Errorf("it comes back as %+v: %v", back, err)
	}
	if !strings.Contains(string(line), "täst 👩‍💻") { // the positive control: what is harmless stays legible
		t.Errorf("%s", line)
	}
	for _, text := range []string{string(line), audit.Line(&e, nil)} {
		if strings.ContainsAny(strings.TrimSuffix(text, "\n"), "\n\x1b\x7f\u009b\u202e\u2066\u200b\U000e0041") {
			t.Errorf("%q", text)
		}
		if text[0] == '=' || text[0] == '+' || text[0] == '-' || text[0] == '@' {
			t.Errorf("a table program takes %.20q for a formula", text)
		}
	}
}
