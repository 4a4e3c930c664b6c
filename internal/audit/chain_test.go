package audit_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"kb/internal/audit"
)

// another tool could check a chain by this recipe, and so does this test, with
// nothing of the package.
func TestTheChainIsWhatTheManualSays(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir, "s-7f", nil, audit.Options{})
	add(t, l, request(1, "work", "api.github.com")...)
	text, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	mac := func(parts ...string) []byte {
		h := hmac.New(sha256.New, testKey[:])
		for _, p := range parts {
			h.Write([]byte(p))
		}
		return h.Sum(nil)
	}
	last := mac("kb audit 1 file\x00", "s-7f", "\x00", "1", "\x00", strings.Repeat("\x00", 32))
	for i, line := range bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n")) {
		body, tail, ok := strings.Cut(string(bytes.TrimSuffix(line, []byte("\n"))), `,"mac":"`)
		if !ok {
			t.Fatalf("line %d has no mac: %s", i+1, line)
		}
		last = mac(string(last), body)
		if want := base64.RawURLEncoding.EncodeToString(last) + `"}`; tail != want {
			t.Errorf("line %d ends in %s, want %s", i+1, tail, want)
		}
	}
}

// world is a directory with two finished sessions, one of them in two files,
// and its index.
type world struct {
	dir   string
	idx   *audit.MemoryIndex
	first string // file of 12 lines
	parts [2]string
}

func newWorld(t *testing.T) world {
	t.Helper()
	w := world{dir: t.TempDir(), idx: &audit.MemoryIndex{}}
	a := open(t, w.dir, "s-a", w.idx, audit.Options{})
	w.first = a.Path()
	for n := range uint64(5) {
		add(t, a, request(n+1, "work", "api.github.com")...)
	}
	b := open(t, w.dir, "s-b", w.idx, audit.Options{MaxFile: 1000})
	w.parts[0] = b.Path()
	for n := range uint64(3) {
		add(t, b, request(n+1, "oss", "api.github.com")...)
	}
	w.parts[1] = b.Path()
	for _, l := range []*audit.Log{a, b} {
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if filepath.Base(w.parts[1]) != "20261123T170300Z-s-b.0002.jsonl" {
		t.Fatalf("the second session did not rotate once: %s", w.parts[1])
	}
	if r := verify(t, w.dir, w.idx); !r.OK() || r.Lines != 12+9 || len(r.Files) != 3 {
		t.Fatalf("positive control: an untouched directory: %+v", r)
	}
	return w
}

// linesOf splits a file; the last element is empty.
func linesOf(t *testing.T, path string) [][]byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.SplitAfter(text, []byte("\n"))
}

func writeLines(t *testing.T, path string, lines ...[]byte) {
	t.Helper()
	if err := os.WriteFile(path, bytes.Join(lines, nil), 0o600); err != nil {
		t.Fatal(err)
	}
}

// What 4-security calls evidence: each way to tamper is found, and the report
// names the file and the first line that is wrong.
func TestAttackOnTheLog(t *testing.T) {
	for _, c := range []struct {
		name   string
		attack func(t *testing.T, w world)
		file   func(w world) string
		status audit.Status
		line   uint64
	}{
		{"edit a host", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			l[4] = bytes.Replace(l[4], []byte("api.github.com"), []byte("api.gitlab.com"), 1)
			writeLines(t, w.first, l...)
		}, first, audit.Broken, 5},
		{"remove a line", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			writeLines(t, w.first, append(l[:3:3], l[4:]...)...)
		}, first, audit.Broken, 4},
		{"repeat a line", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			writeLines(t, w.first, append(l[:4:4], l[3:]...)...)
		}, first, audit.Broken, 5},
		{"swap two lines", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			l[5], l[6] = l[6], l[5]
			writeLines(t, w.first, l...)
		}, first, audit.Broken, 6},
		{"insert an empty line", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			l[2] = append([]byte("\n"), l[2]...)
			writeLines(t, w.first, l...)
		}, first, audit.Broken, 3},
		{"insert a very long line", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			l[2] = append([]byte(strings.Repeat("x", 1<<20)+"\n"), l[2]...)
			writeLines(t, w.first, l...)
		}, first, audit.Broken, 3},
		{"remove the first line", func(t *testing.T, w world) {
			writeLines(t, w.first, linesOf(t, w.first)[1:]...)
		}, first, audit.Broken, 1},
		{"cut whole lines from the end", func(t *testing.T, w world) {
			writeLines(t, w.first, linesOf(t, w.first)[:9]...)
		}, first, audit.Cut, 10},
		{"cut the last line break", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			l[11] = l[11][:len(l[11])-1]
			writeLines(t, w.first, l...)
		}, first, audit.Broken, 12},
		{"empty the file", func(t *testing.T, w world) { writeLines(t, w.first) }, first, audit.Cut, 1},
		{"remove the file", func(t *testing.T, w world) { remove(t, w.first) }, first, audit.Missing, 1},
		{"write after the end", func(t *testing.T, w world) {
			writeLines(t, w.first, append(linesOf(t, w.first), []byte(`{"seq":13`))...)
		}, first, audit.Broken, 13},
		{"repeat the stop line after the end", func(t *testing.T, w world) {
			l := linesOf(t, w.first)
			writeLines(t, w.first, append(l, l[11])...)
		}, first, audit.Broken, 13},
		{"put another session's file in its place", func(t *testing.T, w world) {
			writeLines(t, w.first, linesOf(t, w.parts[0])...)
		}, first, audit.Broken, 1},
		{"rename a file", func(t *testing.T, w world) {
			if err := os.Rename(w.first, filepath.Join(w.dir, "20261123T170300Z-s-c.jsonl")); err != nil {
				t.Fatal(err)
			}
		}, first, audit.Missing, 1},
		{"add a copy under another name", func(t *testing.T, w world) {
			writeLines(t, filepath.Join(w.dir, "20261123T170300Z-s-c.jsonl"), linesOf(t, w.first)...)
		}, func(w world) string { return filepath.Join(w.dir, "20261123T170300Z-s-c.jsonl") }, audit.Unlisted, 1},
		{"cut the first of two parts", func(t *testing.T, w world) {
			l := linesOf(t, w.parts[0])
			writeLines(t, w.parts[0], l[:len(l)-2]...)
		}, func(w world) string { return w.parts[0] }, audit.Cut, 0},
		{
			"remove the second of two parts", func(t *testing.T, w world) { remove(t, w.parts[1]) },
			func(w world) string { return w.parts[1] }, audit.Missing, 1,
		},
		{"edit the successor's link", func(t *testing.T, w world) {
			l := linesOf(t, w.parts[1])
			l[0] = bytes.Replace(l[0], []byte(`"prev":"`), []byte(`"prev":"A`), 1)
			writeLines(t, w.parts[1], l...)
		}, func(w world) string { return w.parts[1] }, audit.Broken, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.attack(t, w)
			r := verify(t, w.dir, w.idx)
			if r.OK() {
				t.Fatalf("not found: %+v", r)
			}
			name := filepath.Base(c.file(w))
			for _, f := range r.Files {
				if f.File != name {
					continue
				}
				if f.Status != c.status || c.line != 0 && f.Line != c.line || f.Reason == "" {
					t.Errorf("found %+v, want %s at line %d", f, c.status, c.line)
				}
				return
			}
			t.Errorf("no word on %s: %+v", name, r)
		})
	}
}

func first(w world) string { return w.first }

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// Without an index entry a rewritten tail could pass; with another key nothing
// can be said, and Verify must say so instead of crying tampering.
func TestWrongKeyIsNotTampering(t *testing.T) {
	w := newWorld(t)
	r, err := audit.Verify(w.dir, [32]byte{1}, w.idx)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Files {
		if f.Status != audit.WrongKey {
			t.Errorf("%s is %q, want %q", f.File, f.Status, audit.WrongKey)
		}
	}
	if r.OK() || len(r.Files) != 3 {
		t.Errorf("%+v", r)
	}
}

// Every single byte: another letter, another case, a line break.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t)
	for _, path := range []string{w.first, w.parts[0], w.parts[1]} {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		edited := bytes.Clone(text)
		for i := range text {
			if edited[i] = []byte{text[i] ^ 1, text[i] ^ 0x20, '\n'}[i%3]; edited[i] == text[i] {
				edited[i] = ' '
			}
			if err := os.WriteFile(path, edited, 0o600); err != nil {
				t.Fatal(err)
			}
			if r := verify(t, w.dir, w.idx); r.OK() {
				t.Fatalf("%s: byte %d: %q -> %q was not found", filepath.Base(path), i, text[i], edited[i])
			}
			edited[i] = text[i]
		}
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if r := verify(t, w.dir, w.idx); !r.OK() {
		t.Fatalf("the restored files do not verify: %+v", r)
	}
}

// A session that was killed leaves its file as the kernel had it. Up to the
// last sealed line every cut is found; after it, a cut is what a crash can
// look like, and must not be called tampering.
func TestKilledSessionIsNotTampering(t *testing.T) {
	dir := t.TempDir()
	idx := &audit.MemoryIndex{}
	l := open(t, dir, "s", idx, audit.Options{})
	add(t, l, request(1, "work", "h")...)
	if err := l.Seal(); err != nil {
		t.Fatal(err)
	}
	heads, err := idx.Heads()
	if err != nil {
		t.Fatal(err)
	}
	sealed := heads[0]
	add(t, l, request(2, "work", "h")...)
	text, err := os.ReadFile(l.Path())
	if err != nil {
		t.Fatal(err)
	}
	if sealed.Count != 3 || sealed.Size >= int64(len(text)) || sealed.Closed {
		t.Fatalf("sealed %+v", sealed)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	// What the index holds of a session that was killed after its second request.
	killed := fixedHeads{sealed}
	counts := map[audit.Status]int{}
	for n := range len(text) + 1 {
		if err := os.WriteFile(l.Path(), text[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		f := verify(t, dir, killed).Files[0]
		counts[f.Status]++
		if int64(n) < sealed.Size == f.OK() {
			t.Fatalf("%d of %d bytes, %d of them sealed: %+v", n, len(text), sealed.Size, f)
		}
		if whole := text[n-min(n, 1) : n]; f.OK() && (f.Status == audit.Torn) == bytes.Equal(whole, []byte("\n")) {
			t.Fatalf("%d of %d bytes end in %q: %+v", n, len(text), whole, f)
		}
	}
	if len(counts) != 4 { // ok, torn, cut, broken
		t.Errorf("statuses seen: %v", counts)
	}
}

type fixedHeads []audit.Head

func (f fixedHeads) Heads() ([]audit.Head, error) { return f, nil }

// FuzzVerify: no edit of a finished file passes, whatever it is.
func FuzzVerify(f *testing.F) {
	f.Add(0, 0, []byte("x"))
	f.Add(10, 3, []byte(""))
	f.Add(400, 0, []byte("\n"))
	f.Add(1<<20, 1, []byte("{}\n"))
	dir := f.TempDir()
	idx := &audit.MemoryIndex{}
	l, err := audit.Create(dir, "s", testKey, audit.Options{Index: idx, Tick: never, Now: (&clock{epoch}).now})
	if err != nil {
		f.Fatal(err)
	}
	for n := range uint64(4) {
		for _, e := range request(n, "work", "api.github.com") {
			if err := l.Append(e); err != nil {
				f.Fatal(err)
			}
		}
	}
	path := l.Path()
	if err := l.Close(); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, at, drop int, put []byte) {
		at = max(0, min(at, len(text)))
		drop = max(0, min(drop, len(text)-at))
		edited := fmt.Appendf(nil, "%s%s%s", text[:at], put, text[at+drop:])
		if err := os.WriteFile(path, edited, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := audit.Verify(dir, testKey, idx)
		if err != nil {
			t.Fatal(err)
		}
		if same := bytes.Equal(edited, text); r.OK() != same {
			t.Fatalf("at %d -%d +%q: %+v", at, drop, put, r)
		}
		// Reading a hostile file neither fails nor hangs.
		for _, err := range audit.Read(dir, audit.Filter{}) {
			_ = err
		}
		if _, err := audit.Tail(dir, 3, audit.Filter{}); err != nil {
			t.Fatal(err)
		}
	})
}
