// Command testreport reads what go test -json prints and shows what a person
// needs of it: a line a package, why tests skipped, which took longest and, of
// those that failed, the whole of what they printed, within bounds. The last
// lines name each failed test and how it ended, for whoever sees only those.
//
//	go test -json ./... 2>&1 | testreport
//
// It exits 1 when a test or a package failed. Lines that are no events, such as
// the go command's own errors, count as output of the run.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
)

func main() {
	r, err := read(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(2)
	}
	if !r.write(os.Stdout) {
		os.Exit(1)
	}
}

// Bounds of what is printed. A CI log of which only the end is kept still has
// the summary: 8 tests of 6 lines.
const (
	headLines    = 20  // of a failed test
	markedLines  = 60  // from a panic or a data race
	tailLines    = 120 // of a failed test: a script fails at its end
	wholeTests   = 10  // failed tests whose output is printed
	summaryTests = 8
	summaryLines = 6
	lineBytes    = 400
	slowest      = 8
	slowTest     = 2 * time.Second // tests below it are not worth a line
)

// event is one line of test2json (go doc test2json) or of a build (go help
// buildjson).
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// test is a test, or a package where name is empty.
type test struct {
	pkg, name string
	ended     string // pass, fail, skip; empty while it runs
	took      time.Duration
	lines     []string
}

func (t *test) title() string { return strings.TrimSpace(t.pkg + " " + t.name) }

// run is what was read.
type run struct {
	tests []*test
	index map[[2]string]*test
	other test // what no test printed
}

// read takes in the events, and shows the result of each package as it comes.
func read(in io.Reader, progress io.Writer) (*run, error) {
	r := &run{index: map[[2]string]*test{}}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			r.take(line, progress)
		}
		if err == io.EOF {
			return r, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
	}
}

func (r *run) take(line string, progress io.Writer) {
	var e event
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &e) != nil || e.Action == "" {
		r.other.lines = append(r.other.lines, strings.TrimRight(line, "\n"))
		return
	}
	if e.Package == "" { // a build
		if e.Output != "" {
			r.other.lines = append(r.other.lines, strings.TrimRight(e.Output, "\n"))
		}
		return
	}
	t := r.index[[2]string{e.Package, e.Test}]
	if t == nil {
		t = &test{pkg: e.Package, name: e.Test}
		r.index[[2]string{e.Package, e.Test}] = t
		r.tests = append(r.tests, t)
	}
	switch e.Action {
	case "output":
		if e.Test == "" && (strings.HasPrefix(e.Output, "ok  \t") || strings.HasPrefix(e.Output, "FAIL\t")) {
			fmt.Fprint(progress, e.Output)
		}
		if !framing(e.Output) {
			t.lines = append(t.lines, strings.TrimRight(e.Output, "\n"))
		}
	case "pass", "fail", "skip":
		t.ended, t.took = e.Action, time.Duration(e.Elapsed*float64(time.Second))
	}
}

// framing reports whether a line is go test's own.
func framing(line string) bool {
	if strings.TrimSpace(line) == "" {
		return true
	}
	for _, prefix := range []string{"=== ", "--- ", "ok  \t", "FAIL\t"} {
		if strings.HasPrefix(strings.TrimLeft(line, " "), prefix) {
			return true
		}
	}
	return line == "PASS\n" || line == "FAIL\n"
}

// write prints all but the packages, and reports whether everything passed.
func (r *run) write(w io.Writer) bool {
	var failed []*test
	broken := false
	for _, t := range r.tests {
		switch {
		case t.ended == "fail" && t.name == "":
			broken = true
			if len(t.lines) > 0 || !r.within(t, func(u *test) bool { return u.ended == "fail" || u.ended == "" }) {
				failed = append(failed, t)
			}
		case t.ended == "fail" && len(t.lines) == 0 && r.within(t, func(u *test) bool { return u.ended == "fail" }):
			// It failed for what it is made of, which is shown.
		case t.ended == "fail" || t.ended == "":
			failed = append(failed, t)
		}
	}
	if len(r.tests) == 0 {
		broken = true
	}
	ok := !broken && len(failed) == 0
	if !ok && len(r.other.lines) > 0 {
		r.other.name, r.other.ended = "printed by no test", "none"
		failed = slices.Insert(failed, 0, &r.other)
	}
	if ok {
		r.skips(w)
		r.slow(w)
		return true
	}
	for i, t := range failed {
		if i == wholeTests {
			fmt.Fprintf(w, "\n%d more failed\n", len(failed)-i)
			break
		}
		fmt.Fprintf(w, "\n--- %s\n", verdict(t))
		for _, line := range cut(t.lines) {
			fmt.Fprintln(w, line)
		}
	}
	fmt.Fprintf(w, "\n%d failed:\n", len(failed))
	for i, t := range failed {
		if i == summaryTests {
			fmt.Fprintf(w, "and %d more\n", len(failed)-i)
			break
		}
		fmt.Fprintf(w, "%s\n", verdict(t))
		for _, line := range t.lines[max(0, len(t.lines)-summaryLines):] {
			fmt.Fprintln(w, "    "+strings.TrimSpace(short(line)))
		}
	}
	return false
}

// within reports whether a test inside t, or of the package t, is so.
func (r *run) within(t *test, so func(*test) bool) bool {
	return slices.ContainsFunc(r.tests, func(u *test) bool {
		inside := strings.HasPrefix(u.name, t.name+"/") || t.name == "" && u.name != ""
		return u.pkg == t.pkg && inside && so(u)
	})
}

func verdict(t *test) string {
	switch t.ended {
	case "":
		return "did not end: " + t.title()
	case "fail":
		return fmt.Sprintf("FAIL: %s (%.2fs)", t.title(), t.took.Seconds())
	}
	return t.title()
}

// cut leaves out the middle of a long output, but not where a panic or a data
// race begins.
func cut(lines []string) []string {
	keep := make([]bool, len(lines))
	mark := func(from, to int) {
		for i := max(from, 0); i < min(to, len(lines)); i++ {
			keep[i] = true
		}
	}
	mark(0, headLines)
	mark(len(lines)-tailLines, len(lines))
	for i, line := range lines {
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") || strings.Contains(line, "WARNING: DATA RACE") {
			mark(i, i+markedLines)
			break
		}
	}
	var out []string
	gone := 0
	for i, line := range lines {
		if !keep[i] {
			gone++
			continue
		}
		if gone > 0 {
			out = append(out, fmt.Sprintf("[… %d lines]", gone))
			gone = 0
		}
		out = append(out, short(line))
	}
	return out
}

func short(line string) string {
	if len(line) > lineBytes {
		return strings.ToValidUTF8(line[:lineBytes], "") + "…"
	}
	return line
}

// skips says how many tests skipped, and why.
func (r *run) skips(w io.Writer) {
	var skipped []*test
	for _, t := range r.tests {
		if t.ended == "skip" && t.name != "" {
			skipped = append(skipped, t)
		}
	}
	fmt.Fprintf(w, "%d skipped\n", len(skipped))
	for _, t := range skipped {
		reason := "no reason"
		if n := len(t.lines); n > 0 {
			reason = strings.TrimSpace(t.lines[n-1])
		}
		fmt.Fprintf(w, "    %s: %s\n", t.title(), short(reason))
	}
}

// slow names the tests that took longest; one that only waits for those inside
// it is none.
func (r *run) slow(w io.Writer) {
	var all []*test
	for _, t := range r.tests {
		if t.name != "" && t.took >= slowTest && !r.within(t, func(*test) bool { return true }) {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b *test) int { return int(b.took - a.took) })
	for _, t := range all[:min(len(all), slowest)] {
		fmt.Fprintf(w, "    %6.1fs %s\n", t.took.Seconds(), t.title())
	}
}
