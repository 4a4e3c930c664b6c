package audit

import (
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sort"
)

// Status is what Verify found of a file.
type Status string

// What can be found of a file. The first three are no sign of tampering.
const (
	Intact   Status = "ok"
	Torn     Status = "torn"      // ends in half a line, after the last sealed one: the session was killed
	Unborn   Status = "unborn"    // in the index, but not there and never sealed: killed as it began
	Broken   Status = "broken"    // a line is not what was written there
	Cut      Status = "cut"       // lines that were sealed are gone from the end
	Missing  Status = "missing"   // the whole file is gone
	Unlisted Status = "unlisted"  // a file that the index does not know, or whose head it lost
	WrongKey Status = "wrong key" // written with another audit key
)

// FileReport is what Verify found of one file.
type FileReport struct {
	File    string `json:"file"` // base name
	Session string `json:"session"`
	Lines   uint64 `json:"lines"` // good lines from the beginning
	Status  Status `json:"status"`
	Line    uint64 `json:"line,omitempty"`   // first line that is wrong or gone, from 1
	Reason  string `json:"reason,omitempty"` // one sentence
}

// OK reports whether there is no sign of tampering.
func (f *FileReport) OK() bool {
	return f.Status == Intact || f.Status == Torn || f.Status == Unborn
}

// Report is what Verify found.
type Report struct {
	Files []FileReport `json:"files"` // by start
	Lines uint64       `json:"lines"` // good lines in all files
}

// OK reports whether no file shows a sign of tampering.
func (r *Report) OK() bool {
	for i := range r.Files {
		if !r.Files[i].OK() {
			return false
		}
	}
	return true
}

// Verify checks every file in dir against its chain and the sealed index.
// Sessions may be running. The error is of reading, not of what was found.
func Verify(dir string, key [32]byte, index HeadReader) (Report, error) {
	// Listed before the heads are read: every listed file is in the index by
	// then. Read after: no file is shorter than its head says.
	files, err := listFiles(dir)
	if err != nil {
		return Report{}, err
	}
	heads, err := headsByFile(index)
	if err != nil {
		return Report{}, err
	}
	v := verifier{dir: dir, key: key, keyID: KeyID(key), heads: heads}
	seen := make(map[string]bool, len(files))
	var report Report
	for _, f := range files {
		r, err := v.file(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // pruned or removed since: judged below
		}
		if err != nil {
			return Report{}, err
		}
		seen[f.name] = true
		report.Files = append(report.Files, r)
	}
	known := slices.Collect(maps.Values(heads))
	sortHeads(known)
	for _, h := range known {
		if seen[h.File] || h.Pruned {
			continue
		}
		r, err := v.absent(h)
		if err != nil {
			return Report{}, err
		}
		report.Files = append(report.Files, r)
	}
	if err := v.lookAgain(&report, index); err != nil {
		return Report{}, err
	}
	for _, r := range report.Files {
		report.Lines += r.Lines
	}
	sort.SliceStable(report.Files, func(i, j int) bool { return report.Files[i].File < report.Files[j].File })
	return report, nil
}

// verifier is one run of Verify.
type verifier struct {
	dir   string
	key   [32]byte
	keyID string
	heads map[string]Head

	// before is the last file looked at: what a successor is chained to.
	before struct {
		file logFile
		last MAC
		ok   bool // whole
		seen bool
	}
}

// lookAgain judges anew, with the index as it is now, what looked strange or
// missing: another kb may have sealed or pruned it while this one read.
func (v *verifier) lookAgain(report *Report, index HeadReader) error {
	odd := func(r FileReport) bool { return r.Status == Missing || r.Status == Unlisted }
	if !slices.ContainsFunc(report.Files, odd) {
		return nil
	}
	var err error
	if v.heads, err = headsByFile(index); err != nil {
		return err
	}
	v.before.seen = false
	for i, r := range report.Files {
		if !odd(r) {
			continue
		}
		f, ok := parseName(r.File)
		if !ok {
			continue
		}
		again, err := v.file(f)
		switch {
		case err == nil:
			report.Files[i] = again
		case errors.Is(err, fs.ErrNotExist):
			report.Files[i].Status = Missing
		default:
			return err
		}
	}
	// A file is marked in the index before it is pruned: what is marked or
	// forgotten after it was not found was pruned.
	if v.heads, err = headsByFile(index); err != nil {
		return err
	}
	report.Files = slices.DeleteFunc(report.Files, func(r FileReport) bool {
		head, listed := v.heads[r.File]
		return r.Status == Missing && (!listed || head.Pruned)
	})
	return nil
}

// headsByFile reads the index.
func headsByFile(index HeadReader) (map[string]Head, error) {
	heads, err := index.Heads()
	if err != nil {
		return nil, fmt.Errorf("verify audit: %w", err)
	}
	byFile := make(map[string]Head, len(heads))
	for _, h := range heads {
		byFile[h.File] = h
	}
	return byFile, nil
}

// absent judges a file of the index that was not listed.
func (v *verifier) absent(h Head) (FileReport, error) {
	if f, ok := parseName(h.File); ok {
		// A session that began after the directory was listed.
		if r, err := v.file(f); !errors.Is(err, fs.ErrNotExist) {
			return r, err
		}
	}
	r := FileReport{File: h.File, Session: h.Session, Status: Missing, Line: 1}
	r.Reason = fmt.Sprintf("the file is gone; %d lines were sealed", h.Count)
	if h.Count == 0 {
		r.Status, r.Line = Unborn, 0
		r.Reason = "the session ended before its first line was sealed"
	}
	return r, nil
}

// file checks one file.
func (v *verifier) file(f logFile) (FileReport, error) {
	r := FileReport{File: f.name, Session: f.session, Status: Intact}
	in, _, err := openFile(filepath.Join(v.dir, f.name))
	if err != nil {
		return r, fmt.Errorf("verify audit: %w", err)
	}
	defer in.Close()

	head, listed := v.heads[f.name]
	before := v.before
	v.before.seen = false
	if listed && head.KeyID == "" {
		r.Status, r.Line, r.Reason = Unlisted, 1, "the index names this file, but its sealed head is gone"
		return r, nil
	}
	if listed && head.KeyID != v.keyID {
		r.Status, r.Line = WrongKey, 1
		r.Reason = fmt.Sprintf("written with audit key %s, this is %s", head.KeyID, v.keyID)
		return r, nil
	}
	chained := before.seen && before.file.session == f.session &&
		before.file.started.Equal(f.started) && before.file.part == f.part-1
	// A successor that was not sealed yet is known by its link, which nobody
	// can make without the key.
	if !listed && !(chained && before.ok) {
		r.Status, r.Line, r.Reason = Unlisted, 1, "the index does not know this file"
		return r, nil
	}
	s := scan{lines: newLineReader(in), head: head, report: &r}
	defer s.lines.close()
	if err := s.run(v.key, f, func(prev MAC) bool { return !chained || prev == before.last }); err != nil {
		return r, err
	}
	v.before.file, v.before.seen = f, true
	v.before.ok = r.Status == Intact
	if s.chain != nil {
		v.before.last = s.chain.last
	}
	return r, nil
}

// scan reads one file along its chain.
type scan struct {
	lines  *lineReader
	head   Head // zero for a file that was not sealed yet
	chain  *chain
	report *FileReport
}

// broken records the first wrong line.
func (s *scan) broken(line uint64, reason string) {
	s.report.Status, s.report.Line, s.report.Reason = Broken, line, reason
}

func (s *scan) run(key [32]byte, f logFile, follows func(prev MAC) bool) error {
	for {
		line, err := s.lines.next()
		n := s.report.Lines + 1
		switch {
		case errors.Is(err, io.EOF):
			s.end()
			return nil
		case errors.Is(err, errLong):
			s.broken(n, errLong.Error())
			return nil
		case err != nil:
			return fmt.Errorf("verify audit: %w", err)
		}
		if s.chain == nil {
			prev, reason := firstLine(line, f)
			if reason == "" && !follows(prev) {
				reason = "does not continue the file before it"
			}
			if reason != "" {
				s.broken(n, reason)
				return nil
			}
			s.chain = newChain(key, f.session, f.part, prev)
		}
		if reason := s.check(line); reason != "" {
			s.broken(n, reason)
			return nil
		}
		s.report.Lines = n
		if n == s.head.Count && s.chain.last != s.head.Last {
			s.broken(n, "not the line that was sealed")
			return nil
		}
		if s.head.Closed && n > s.head.Count {
			s.broken(n, "stands after the end of the closed file")
			return nil
		}
	}
}

// check advances the chain over line and says what is wrong with it.
func (s *scan) check(line []byte) string {
	at := len(line) - macTail
	if at < 0 || string(line[at:at+len(macMember)]) != macMember || string(line[len(line)-len(lineEnd):]) != lineEnd {
		return "does not end in its MAC"
	}
	want := s.chain.next(line[:at])
	if !hmac.Equal(want, line[at+len(macMember):at+len(macMember)+macLen]) {
		return "the MAC does not fit: this line or one before it was changed, removed, added or moved"
	}
	return ""
}

// end judges what stands after the last complete line, and what is not there.
func (s *scan) end() {
	n, head := s.report.Lines, s.head
	switch {
	case n < head.Count && len(s.lines.rest) > 0:
		s.broken(n+1, "only a part of this sealed line is left")
	case n < head.Count:
		s.report.Status, s.report.Line = Cut, n+1
		s.report.Reason = fmt.Sprintf("%d lines were sealed, %d are left", head.Count, n)
	case len(s.lines.rest) > 0 && head.Closed:
		s.broken(n+1, "stands after the end of the closed file")
	case len(s.lines.rest) > 0:
		s.report.Status, s.report.Line = Torn, n+1
		s.report.Reason = "half a line: the session was killed while it wrote, after the last seal"
	}
}

// firstLine reads what a file's first line says of the file itself.
func firstLine(line []byte, f logFile) (prev MAC, reason string) {
	var h struct {
		Format int    `json:"format"`
		Part   int    `json:"part"`
		Prev   MAC    `json:"prev"`
		Sess   string `json:"session"`
	}
	if err := json.Unmarshal(line, &h); err != nil {
		return prev, "is not an audit line"
	}
	switch {
	case h.Format > format:
		return prev, fmt.Sprintf("has format %d, this kb reads %d", h.Format, format)
	case h.Format < 1:
		return prev, "is not the first line of a file"
	case h.Part != f.part && !(f.part == 1 && h.Part == 0), h.Sess != f.session:
		return prev, "belongs to another file"
	}
	return h.Prev, ""
}
