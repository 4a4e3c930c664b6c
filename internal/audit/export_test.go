package audit_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kb/internal/audit"
)

func TestExport(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	l := open(t, dir, "s-7f", nil, audit.Options{Start: audit.Event{Profile: "work"}})
	add(t, l, request(1, "work", "api.github.com")...)
	add(t, l, audit.Event{Request: 2, Phase: audit.PhaseRefused, Action: audit.ActionDeny, Method: "GET", Host: "evil.example", Path: "/<a>\x1b[2J"})
	want := readAll(t, dir, audit.Filter{})

	path := filepath.Join(out, "all.jsonl")
	lines, unread, err := audit.Export(t.Context(), dir, audit.Filter{}, path, true, nil)
	if err != nil || lines != len(want) || unread != 0 {
		t.Fatalf("Export = %d, %d, %v, want %d lines", lines, unread, err, len(want))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode is %v (%v), want 0600", info.Mode(), err)
	}
	dec := json.NewDecoder(strings.NewReader(string(text)))
	for i := range want {
		var e audit.Event
		if err := dec.Decode(&e); err != nil || e != want[i] {
			t.Errorf("line %d is %+v (%v), want %+v", i+1, e, err, want[i])
		}
	}

	path = filepath.Join(out, "denied.txt")
	if _, _, err := audit.Export(t.Context(), dir, audit.Filter{Denied: true}, path, false, time.UTC); err != nil {
		t.Fatal(err)
	}
	text, err = os.ReadFile(path)
	if line := audit.Line(&want[3], time.UTC) + "\n"; err != nil || string(text) != line {
		t.Errorf("the file has %q (%v), want %q", text, err, line)
	}

	// What is there is not written over; what was not written whole is gone.
	if _, _, err := audit.Export(t.Context(), dir, audit.Filter{}, path, true, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a file that is there: %v", err)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(text) {
		t.Errorf("the file that was there is %q now (%v)", again, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	path = filepath.Join(out, "stopped.jsonl")
	if _, _, err := audit.Export(ctx, dir, audit.Filter{}, path, true, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Export that was stopped: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a part of a file is left: %v", err)
	}

	// Lines that are none are counted, and left out.
	if err := os.WriteFile(l.Path(), []byte("not json\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if lines, unread, err := audit.Export(t.Context(), dir, audit.Filter{}, filepath.Join(out, "bad.jsonl"), true, nil); lines != 0 || unread != 1 || err != nil {
		t.Errorf("Export of a spoilt file = %d, %d, %v, want 0, 1", lines, unread, err)
	}
}

// What is written after begun was called is given, what was before is not.
func TestFollowSaysWhenItBegins(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s-7f", nil, audit.Options{})
	add(t, l, request(1, "work", "before.example")...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var hosts []string
	err := audit.FollowFrom(ctx, dir, audit.Filter{}, func() {
		add(t, l, request(2, "work", "after.example")...)
	}, func(e audit.Event) error {
		if hosts = append(hosts, e.Host); len(hosts) == 2 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || strings.Join(hosts, " ") != "after.example after.example" {
		t.Errorf("followed %q (%v)", hosts, err)
	}
}
