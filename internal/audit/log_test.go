package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"kb/internal/audit"
)

func TestConcurrentAppends(t *testing.T) {
	for _, sync := range []bool{false, true} {
		dir := t.TempDir()
		idx := &audit.MemoryIndex{}
		l := open(t, dir, "s", idx, audit.Options{Sync: sync, MaxFile: 20_000, Now: time.Now})
		concurrently(20, func(g int) {
			for n := range 50 {
				if err := l.Append(audit.Event{Request: uint64(g*50 + n + 1), Phase: audit.PhaseIntent}); err != nil {
					t.Error(err)
				}
				if n%10 == 0 {
					if err := l.Seal(); err != nil {
						t.Error(err)
					}
				}
			}
		})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		seen := map[uint64]bool{}
		var seq uint64
		for _, e := range readAll(t, dir, audit.Filter{}) {
			if seq++; e.Seq != seq {
				t.Fatalf("line %d has number %d", seq, e.Seq)
			}
			seen[e.Request] = true
		}
		if len(seen) != 1001 { // and 0, of the lines that are no request's
			t.Errorf("%d requests, want 1000", len(seen)-1)
		}
		if r := verify(t, dir, idx); !r.OK() || len(r.Files) < 3 {
			t.Errorf("%+v", r)
		}
	}
}

func concurrently(n int, fn func(int)) {
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() { fn(g) })
	}
	wg.Wait()
}

// Verify runs beside sessions that begin, write and rotate, and beside a kb
// that prunes them, and must not cry.
func TestVerifyBesideRunningSessions(t *testing.T) {
	dir := t.TempDir()
	idx := &audit.MemoryIndex{}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for g := range 2 {
		wg.Go(func() {
			for s := 0; ctx.Err() == nil; s++ {
				l, err := audit.Create(dir, fmt.Sprintf("s-%d-%d", g, s), testKey, audit.Options{Index: idx, Tick: never, MaxFile: 3000})
				if err != nil {
					t.Error(err)
					return
				}
				for n := range uint64(60) {
					if err := l.Append(audit.Event{Request: n, Phase: audit.PhaseNote}); err != nil {
						t.Error(err)
					}
				}
				if err := l.Close(); err != nil {
					t.Error(err)
				}
				if _, err := audit.Prune(dir, idx, audit.Retention{MaxBytes: 100_000}, time.Now()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	// Rounds that had something to verify; the writers end only afterwards.
	for rounds := 0; rounds < 100 && !t.Failed(); {
		r := verify(t, dir, idx)
		if r.Lines > 0 {
			rounds++
		}
		for _, f := range r.Files {
			if !f.OK() {
				t.Errorf("%+v", f)
			}
		}
	}
	stop()
	wg.Wait()
}

// A line is sealed at the next tick at the latest, and nothing is sealed twice.
func TestTickSeals(t *testing.T) {
	idx := &countingIndex{}
	tick := make(chan time.Time)
	l := open(t, t.TempDir(), "s", idx, audit.Options{Tick: tick})
	add(t, l, request(1, "work", "h")...)
	tick <- epoch
	tick <- epoch // taken only when the first is done
	tick <- epoch
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	var counts []uint64
	for _, h := range idx.sealed {
		counts = append(counts, h.Count)
	}
	if want := []uint64{0, 3, 4}; fmt.Sprint(counts) != fmt.Sprint(want) {
		t.Errorf("sealed counts %v, want %v: the name, the first tick, the stop", counts, want)
	}
	if last := idx.sealed[len(idx.sealed)-1]; !last.Closed || last.Size == 0 || last.At.IsZero() {
		t.Errorf("last head %+v", last)
	}
}

// countingIndex keeps every head it was given, and fails while told to.
type countingIndex struct {
	audit.MemoryIndex
	sealed []audit.Head
	err    error
}

func (c *countingIndex) Seal(heads ...audit.Head) error {
	if c.err != nil {
		return c.err
	}
	c.sealed = append(c.sealed, heads...)
	return c.MemoryIndex.Seal(heads...)
}

func TestClosedLog(t *testing.T) {
	l := open(t, t.TempDir(), "s", nil, audit.Options{})
	if err := l.Stop("exit 3"); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("a second Close: %v", err)
	}
	if err := l.Append(audit.Event{}); !errors.Is(err, audit.ErrClosed) {
		t.Errorf("Append after Close = %v, want ErrClosed", err)
	}
}

// Without an index that takes the session there is no session: fail closed.
func TestCreateFailsWithoutIndex(t *testing.T) {
	dir := t.TempDir()
	broken := errors.New("state is read-only")
	_, err := audit.Create(dir, "s", testKey, audit.Options{Index: &countingIndex{err: broken}})
	if !errors.Is(err, broken) {
		t.Errorf("Create = %v, want %v", err, broken)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("it left %v", names)
	}
}

// A state that is busy for a moment is waited for; one that is gone ends the log.
func TestSealFailureEndsTheLogAfterAWhile(t *testing.T) {
	now := epoch
	idx := &countingIndex{}
	l := open(t, t.TempDir(), "s", idx, audit.Options{Now: func() time.Time { return now }})
	broken := errors.New("state is busy")
	idx.err = broken
	for range 3 {
		now = now.Add(4 * time.Second)
		if err := l.Append(audit.Event{Phase: audit.PhaseNote}); err != nil {
			t.Fatalf("Append at %v: %v", now.Sub(epoch), err)
		}
		if err := l.Seal(); !errors.Is(err, broken) {
			t.Fatalf("Seal = %v", err)
		}
		if now.Sub(epoch) == 8*time.Second { // a success in between starts the count again
			idx.err = nil
			if err := l.Seal(); err != nil {
				t.Fatal(err)
			}
			idx.err = broken
		}
	}
	if l.Err() != nil {
		t.Fatalf("given up after less than 10 s: %v", l.Err())
	}
	now = now.Add(11 * time.Second)
	_ = l.Seal()
	if err := l.Append(audit.Event{Phase: audit.PhaseNote}); !errors.Is(err, audit.ErrFailed) || !errors.Is(err, broken) {
		t.Errorf("Append after 11 s without a seal = %v", err)
	}
}

// A session whose record is taken away stops using credentials.
func TestFileTakenAwayEndsTheLog(t *testing.T) {
	for name, attack := range map[string]func(path string) error{
		"removed": os.Remove,
		"renamed": func(path string) error { return os.Rename(path, path+".old") },
		"replaced": func(path string) error {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return errors.Join(os.Remove(path), os.WriteFile(path, text, 0o600))
		},
		"cut": func(path string) error { return os.Truncate(path, 10) },
	} {
		t.Run(name, func(t *testing.T) {
			l := open(t, t.TempDir(), "s", &audit.MemoryIndex{}, audit.Options{})
			add(t, l, request(1, "work", "h")...)
			if err := l.Seal(); err != nil {
				t.Fatalf("positive control: %v", err)
			}
			if err := attack(l.Path()); err != nil {
				t.Fatal(err)
			}
			if err := l.Seal(); !errors.Is(err, audit.ErrFailed) {
				t.Errorf("Seal = %v, want ErrFailed", err)
			}
			if err := l.Append(audit.Event{}); !errors.Is(err, audit.ErrFailed) {
				t.Errorf("Append = %v, want ErrFailed", err)
			}
		})
	}
}

// childRole makes the test binary play a session of its own.
const childRole = "KB_AUDIT_TEST_CHILD"

// child is what the other process does: it appends until something stops it,
// and says on stdout after which line.
func child() int {
	dir := os.Getenv(childRole)
	limit := uint64(0)
	if s := os.Getenv(childRole + "_FSIZE"); s != "" {
		if _, err := fmt.Sscan(s, &limit); err != nil {
			return 2
		}
		// The kernel sends SIGXFSZ besides failing the write.
		signal.Ignore(syscall.SIGXFSZ)
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: limit, Max: limit}); err != nil {
			fmt.Println("setrlimit:", err)
			return 2
		}
	}
	l, err := audit.Create(dir, "s-child", testKey, audit.Options{})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	out := bufio.NewWriterSize(os.Stdout, 16)
	for n := uint64(1); ; n++ {
		if err := l.Append(audit.Event{Request: n, Phase: audit.PhaseIntent, Host: "api.github.com"}); err != nil {
			again := l.Append(audit.Event{Request: n + 1, Phase: audit.PhaseIntent})
			fmt.Fprintf(out, "failed %v %v\n", errors.Is(err, audit.ErrFailed) && errors.Is(err, syscall.EFBIG), errors.Is(again, audit.ErrFailed))
			_ = out.Flush()
			_ = l.Close()
			return 0
		}
		fmt.Fprintf(out, "%d\n", n)
		_ = out.Flush()
	}
}

// role starts the test binary as a session that writes into dir.
func role(t *testing.T, dir string, env ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(append(os.Environ(), childRole+"="+dir), env...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// kill -9 loses no line whose Append had returned.
func TestKillLosesNoCommittedLine(t *testing.T) {
	for round := range 20 {
		dir := t.TempDir()
		cmd, lines := role(t, dir)
		want := uint64(0)
		for lines.Scan() {
			if _, err := fmt.Sscan(lines.Text(), &want); err != nil {
				t.Fatal(err)
			}
			if want == uint64(10+round*7) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the session was not killed")
		}
		events := readAll(t, dir, audit.Filter{})
		if got := events[len(events)-1].Request; got < want {
			t.Fatalf("the session had line %d, the file ends at %d", want, got)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 1 {
			t.Fatal(files, err)
		}
		heads := fixedHeads{{File: files[0].Name(), Session: "s-child", Part: 1, KeyID: audit.KeyID(testKey)}}
		if r := verify(t, dir, heads); !r.OK() || r.Lines < want+1 {
			t.Fatalf("%+v", r)
		}
	}
}

// The disk is full in the middle of a line: that line is refused and leaves no
// half behind, and so is each later one.
func TestFullDiskRefuses(t *testing.T) {
	dir := t.TempDir()
	cmd, lines := role(t, dir, childRole+"_FSIZE=5000")
	var last string
	committed := 0
	for lines.Scan() {
		if last = lines.Text(); !strings.HasPrefix(last, "failed") {
			committed++
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, last)
	}
	if last != "failed true true" {
		t.Errorf("the session ended with %q, want both refusals", last)
	}
	events := readAll(t, dir, audit.Filter{})
	if len(events) != committed+1 || committed < 10 {
		t.Errorf("%d lines in the file, want the start and %d", len(events), committed)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !bytes.HasSuffix(text, []byte("\"}\n")) || len(text) >= 5000 {
		t.Errorf("the file ends in %q (%v)", text[max(0, len(text)-20):], err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, sealed := range []bool{false, true} {
		b.Run(fmt.Sprintf("sealing=%v", sealed), func(b *testing.B) {
			o := audit.Options{Index: &audit.MemoryIndex{}}
			if !sealed {
				o.Tick = never
			}
			l, err := audit.Create(b.TempDir(), "s", testKey, o)
			if err != nil {
				b.Fatal(err)
			}
			defer l.Close()
			e := request(1, "work", "api.github.com")[1]
			e.Path = "/repos/acme/api/pulls/123/comments"
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Append(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := b.TempDir()
	idx := &audit.MemoryIndex{}
	l, err := audit.Create(dir, "s", testKey, audit.Options{Index: idx, Tick: never})
	if err != nil {
		b.Fatal(err)
	}
	const lines = 100_000
	for n := range uint64(lines / 2) {
		for _, e := range request(n, "work", "api.github.com") {
			if err := l.Append(e); err != nil {
				b.Fatal(err)
			}
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if r, err := audit.Verify(dir, testKey, idx); err != nil || !r.OK() {
			b.Fatal(r, err)
		}
	}
	b.ReportMetric(b.Elapsed().Seconds()/float64(b.N)/lines*1e6, "s/Mlines")
}
