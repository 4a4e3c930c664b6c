package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// stream is what go test -json printed: "PACKAGE TEST ACTION OUTPUT" a line.
func stream(events ...event) string {
	var b strings.Builder
	for _, e := range events {
		line, _ := json.Marshal(e)
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func out(pkg, test, text string) event {
	return event{Action: "output", Package: pkg, Test: test, Output: text + "\n"}
}

func end(pkg, test, action string, seconds float64) event {
	return event{Action: action, Package: pkg, Test: test, Elapsed: seconds}
}

func report(t *testing.T, in string) (printed string, ok bool) {
	t.Helper()
	var b strings.Builder
	r, err := read(strings.NewReader(in), &b)
	if err != nil {
		t.Fatal(err)
	}
	ok = r.write(&b)
	return b.String(), ok
}

func TestReport(t *testing.T) {
	const pkg = "kb/room"
	for _, c := range []struct {
		name string
		in   string
		ok   bool
		want string
	}{
		{
			name: "what passed is a line a package, with skips and slow tests",
			in: stream(
				out(pkg, "TestA", "=== RUN   TestA"), out(pkg, "TestA", "noise"), end(pkg, "TestA", "pass", 3),
				out(pkg, "TestB", "    b_test.go:7: skipped: no tmux"), out(pkg, "TestB", "--- SKIP: TestB (0.00s)"), end(pkg, "TestB", "skip", 0),
				out(pkg, "", "PASS"), out(pkg, "", "ok  \tkb/room\t3.1s"), end(pkg, "", "pass", 3.1)),
			ok:   true,
			want: "ok  \tkb/room\t3.1s\n1 skipped\n    kb/room TestB: b_test.go:7: skipped: no tmux\n       3.0s kb/room TestA\n",
		},
		{
			name: "of what failed, all that it printed and nothing of the others",
			in: stream(
				out(pkg, "TestA", "=== RUN   TestA"), out(pkg, "TestB/x", "one"), out(pkg, "TestA", "noise"),
				out(pkg, "TestB/x", "two"), out(pkg, "TestB/x", "    --- FAIL: TestB/x (0.50s)"), end(pkg, "TestB/x", "fail", .5),
				out(pkg, "TestB", "--- FAIL: TestB (0.50s)"), end(pkg, "TestB", "fail", .5), end(pkg, "TestA", "pass", 1),
				out(pkg, "", "FAIL"), out(pkg, "", "FAIL\tkb/room\t1.1s"), end(pkg, "", "fail", 1.1)),
			want: "FAIL\tkb/room\t1.1s\n\n--- FAIL: kb/room TestB/x (0.50s)\none\ntwo\n\n1 failed:\nFAIL: kb/room TestB/x (0.50s)\n    one\n    two\n",
		},
		{
			name: "a test that never ended, and what its package printed",
			in: stream(
				out(pkg, "TestA", "=== RUN   TestA"), out(pkg, "TestA", "panic: test timed out"),
				out(pkg, "", "exit status 2"), out(pkg, "", "FAIL\tkb/room\t9s"), end(pkg, "", "fail", 9)),
			want: "FAIL\tkb/room\t9s\n\n--- did not end: kb/room TestA\npanic: test timed out\n\n--- FAIL: kb/room (9.00s)\nexit status 2\n\n" +
				"2 failed:\ndid not end: kb/room TestA\n    panic: test timed out\nFAIL: kb/room (9.00s)\n    exit status 2\n",
		},
		{
			name: "a build that failed",
			in: stream(event{Action: "build-output", ImportPath: pkg, Output: "./a.go:3:1: undefined: x\n"}, event{Action: "build-fail", ImportPath: pkg},
				out(pkg, "", "FAIL\tkb/room [build failed]"), end(pkg, "", "fail", 0)),
			want: "FAIL\tkb/room [build failed]\n\n--- printed by no test\n./a.go:3:1: undefined: x\n\n--- FAIL: kb/room (0.00s)\n\n" +
				"2 failed:\nprinted by no test\n    ./a.go:3:1: undefined: x\nFAIL: kb/room (0.00s)\n",
		},
		{name: "no events at all", in: "go: no such package\n", want: "\n--- printed by no test\ngo: no such package\n\n1 failed:\nprinted by no test\n    go: no such package\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, ok := report(t, c.in)
			if got != c.want || ok != c.ok {
				t.Errorf("passed %v, printed:\n%s\nwant %v:\n%s", ok, got, c.ok, c.want)
			}
		})
	}
}

// TestLongOutputIsCut: the beginning, the end, and where a panic begins are
// there; lines are cut too.
func TestLongOutputIsCut(t *testing.T) {
	var lines []string
	for i := range 1000 {
		lines = append(lines, fmt.Sprintf("line %d", i))
	}
	lines[500] = "panic: " + strings.Repeat("é", 1000)
	got := cut(lines)
	text := strings.Join(got, "\n")
	for _, want := range []string{"line 0\n", "line 19\n[… 480 lines]\npanic: é", "line 559\n[… 320 lines]\nline 880\n", "line 999"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in what is left", want)
		}
	}
	if n := headLines + markedLines + tailLines + 2; len(got) != n {
		t.Errorf("%d lines are left, want %d", len(got), n)
	}
	if len(got[headLines+1]) > lineBytes+len("…") || !strings.HasSuffix(got[headLines+1], "é…") {
		t.Errorf("a long line is %d bytes", len(got[headLines+1]))
	}
}
