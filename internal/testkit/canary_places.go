package testkit

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Check searches a program's outputs.
func (o *Oracle) Check(r Result) {
	o.Look("stdout", []byte(r.Stdout))
	o.Look("stderr", []byte(r.Stderr))
}

// Tree searches every regular file under dir, their names included, in one
// pass of bounded memory. What vanishes meanwhile is passed over.
func (o *Oracle) Tree(dir string) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		o.Look("the name "+path, []byte(path))
		if !d.Type().IsRegular() {
			return nil
		}
		f, err := os.Open(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			return err
		}
		defer func() { _ = f.Close() }()
		return o.stream(path, f)
	})
}

// stream searches r in pieces that overlap by the longest needle.
func (o *Oracle) stream(where string, r io.Reader) error {
	overlap := 0
	for _, n := range o.needles {
		overlap = max(overlap, len(n.bytes))
	}
	buf := make([]byte, 0, 1<<20+overlap)
	for {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		o.Look(where, buf)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return nil
		}
		if err != nil {
			return err
		}
		buf = append(buf[:0], buf[len(buf)-overlap:]...)
	}
}

// Processes searches the arguments and environment of process pid and of all
// that descend from it, as far as this user may read them, and returns how many
// it read. It needs Linux's /proc.
func (o *Oracle) Processes(pid int) (int, error) {
	tree, err := descendants(pid)
	if err != nil {
		return 0, err
	}
	read := 0
	for _, p := range tree {
		for _, file := range []string{"cmdline", "environ"} {
			path := fmt.Sprintf("/proc/%d/%s", p, file)
			if b, err := os.ReadFile(path); err == nil {
				o.Look(path, b)
				read++
			}
		}
	}
	return read, nil
}

// descendants is pid and every process below it.
func descendants(pid int) ([]int, error) {
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, d := range dirs {
		p, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile(filepath.Join("/proc", d.Name(), "stat"))
		if err != nil {
			continue
		}
		// pid (comm) state ppid …: comm may hold spaces and parentheses.
		rest := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(rest) < 2 {
			continue
		}
		if parent, err := strconv.Atoi(rest[1]); err == nil {
			children[parent] = append(children[parent], p)
		}
	}
	tree := []int{pid}
	for i := 0; i < len(tree); i++ {
		tree = append(tree, children[tree[i]]...)
	}
	return tree, nil
}

// Control is the positive control: it plants the canary, canary by canary, in
// an output, a file, a process and a request, in each encoding where that makes
// sense, and fails the test where the oracle stays silent. It returns how many
// plants it tripped.
func (o *Oracle) Control(t testing.TB, canaries ...string) int {
	t.Helper()
	tripped := 0
	trip := func(what string, search func(*Oracle)) {
		t.Helper()
		f := o.fresh()
		search(f)
		if len(f.Findings()) == 0 {
			t.Errorf("positive control: the oracle does not find %s", what)
			return
		}
		tripped++
	}
	for i, c := range canaries {
		for _, p := range plants(c) {
			trip(fmt.Sprintf("canary %d as %s", i, p.name), func(f *Oracle) { f.Look("control", []byte(p.text)) })
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "leak"), append(make([]byte, 1<<20-3), c...), 0o600); err != nil {
			t.Fatal(err)
		}
		trip("a file across two pieces", func(f *Oracle) {
			if err := f.Tree(dir); err != nil {
				t.Error(err)
			}
		})
		for _, header := range []string{"Bearer " + c, "Basic " + base64.StdEncoding.EncodeToString([]byte("x-access-token:"+c))} {
			trip("a request's header", func(f *Oracle) {
				f.Requests([]Request{{Header: http.Header{"Authorization": {header}}}}, nil)
			})
		}
		if _, err := os.Stat("/proc/self/environ"); err == nil {
			trip("an argument", func(f *Oracle) { f.searchChild(t, nil, c) })
			trip("an environment", func(f *Oracle) { f.searchChild(t, []string{"LEAK=" + c}, "x") })
		}
	}
	return tripped
}

// searchChild searches this process's tree while a child runs with env and arg.
func (o *Oracle) searchChild(t testing.TB, env []string, arg string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", "echo; read x", arg)
	cmd.Env = env
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = stdout.Read(make([]byte, 1)) // it has been exec'ed
	if _, err := o.Processes(cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	_ = stdin.Close()
	_ = cmd.Wait()
}

// plants are texts that leak c, written as a leaking program would write them:
// with other bytes before and behind, and by other code than the search uses.
func plants(c string) []encoding {
	var percent strings.Builder
	for i := range len(c) {
		percent.WriteString("%" + strings.ToUpper(strconv.FormatUint(uint64(c[i])|0x100, 16)[1:]))
	}
	out := []encoding{
		{"text", "before" + c + "after"},
		{"JSON", fmt.Sprintf("{\"a\":%q}", c)},
		{"percent", "q=" + url.QueryEscape(c) + "&r=1"},
		{"every byte percent-escaped", percent.String()},
		{"hex", fmt.Sprintf("%x", "ab"+c+"c")},
		{"upper hex", fmt.Sprintf("%X", "ab"+c+"c")},
	}
	for before := range 3 {
		text := []byte("abc"[:before] + c + "tail")
		out = append(out,
			encoding{fmt.Sprintf("base64 behind %d bytes", before), base64.StdEncoding.EncodeToString(text)},
			encoding{fmt.Sprintf("base64url behind %d bytes", before), base64.URLEncoding.EncodeToString(text)})
	}
	return out
}

// Eventually polls cond, which must be cheap, until it is true; after limit it
// fails the test with what.
func Eventually(t testing.TB, limit time.Duration, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !cond(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", limit, what)
		}
		time.Sleep(5 * time.Millisecond) // between two looks, not instead of one
	}
}
