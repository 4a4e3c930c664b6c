package testkit

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
)

// NewCanary makes a secret to be looked for: prefix, then n random letters and
// digits, so that it can have the shape of a provider's key and still be found
// nowhere by accident.
func NewCanary(prefix string, n int) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	_, _ = rand.Read(b)
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return prefix + string(b)
}

// Finding is a place where a canary was found.
type Finding struct {
	Canary   int    // its index among those of the oracle
	Encoding string // "plain", "base64 at 1", "percent", …
	Where    string // "stdout", "/proc/12/environ", …
}

func (f Finding) String() string {
	return fmt.Sprintf("canary %d (%s) in %s", f.Canary, f.Encoding, f.Where)
}

// Oracle looks for canaries, plain and in the encodings in which a proxy or an
// echo could let one out: base64 in its three alignments, base64url, hex,
// percent and JSON escapes. Compressed forms are not looked into.
//
// What it finds it keeps; [Oracle.Findings] returns it. It is safe for use by
// several goroutines.
type Oracle struct {
	needles []needle

	mu       sync.Mutex
	findings []Finding
	looked   int
}

type needle struct {
	canary   int
	encoding string
	bytes    []byte
}

// NewOracle makes an oracle for secrets, each of 12 bytes or more: the pieces
// of a shorter one that base64 leaves whole would be found by accident.
func NewOracle(canaries ...string) *Oracle {
	o := &Oracle{}
	for i, c := range canaries {
		if len(c) < 12 {
			panic("testkit: a canary has 12 bytes at least")
		}
		seen := map[string]bool{}
		for _, e := range encodings(c) {
			if !seen[e.text] {
				seen[e.text] = true
				o.needles = append(o.needles, needle{i, e.name, []byte(e.text)})
			}
		}
	}
	return o
}

type encoding struct{ name, text string }

// encodings lists the texts by which c is recognised.
func encodings(c string) []encoding {
	quoted, _ := json.Marshal(c) // a string always marshals
	var percent, unicode strings.Builder
	for _, b := range []byte(c) {
		fmt.Fprintf(&percent, "%%%02X", b)
		fmt.Fprintf(&unicode, `\u%04x`, b)
	}
	out := []encoding{
		{"plain", c},
		{"JSON", string(quoted[1 : len(quoted)-1])},
		{"JSON, all escaped", unicode.String()},
		{"percent, query", url.QueryEscape(c)},
		{"percent, path", url.PathEscape(c)},
		{"percent, all", percent.String()},
		{"percent, all, lower", strings.ToLower(percent.String())},
		{"hex", hex.EncodeToString([]byte(c))},
		{"hex, upper", strings.ToUpper(hex.EncodeToString([]byte(c)))},
	}
	for shift := range 3 {
		// The characters whose six bits are all the canary's own, when shift
		// bytes of something else stand before it.
		text := append(make([]byte, shift), c...)
		from, to := (8*shift+5)/6, 8*(shift+len(c))/6
		out = append(out,
			encoding{fmt.Sprintf("base64 at %d", shift), base64.RawStdEncoding.EncodeToString(text)[from:to]},
			encoding{fmt.Sprintf("base64url at %d", shift), base64.RawURLEncoding.EncodeToString(text)[from:to]})
	}
	return out
}

// Look searches b, which came from where, and reports whether it holds a canary.
func (o *Oracle) Look(where string, b []byte) bool {
	found := false
	for _, n := range o.needles {
		if bytes.Contains(b, n.bytes) {
			o.found(n, where)
			found = true
		}
	}
	o.mu.Lock()
	o.looked++
	o.mu.Unlock()
	return found
}

func (o *Oracle) found(n needle, where string) {
	f := Finding{n.canary, n.encoding, where}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, old := range o.findings {
		if old == f {
			return
		}
	}
	o.findings = append(o.findings, f)
}

// Requests searches what arrived at origins: paths, queries, headers, trailers
// and the kept part of bodies, Basic pairs decoded. A request for which own returns true is
// the canary's rightful place and is passed over; nil passes over none.
func (o *Oracle) Requests(requests []Request, own func(Request) bool) {
	for _, r := range requests {
		if own != nil && own(r) {
			continue
		}
		where := "request " + r.Method + " " + r.Origin + r.Path
		o.Look(where+": line", []byte(r.Host+" "+r.Path+"?"+r.Query))
		for _, h := range []map[string][]string{r.Header, r.Trailer} {
			for name, values := range h {
				o.Look(where+": "+name, []byte(name+": "+strings.Join(values, "\n")))
			}
		}
		if user, password, ok := r.BasicAuth(); ok {
			o.Look(where+": Basic", []byte(user+":"+password))
		}
		o.Look(where+": body", r.Body)
	}
}

// Findings is all that was found so far.
func (o *Oracle) Findings() []Finding {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Finding(nil), o.findings...)
}

// Looked counts the pieces searched so far: an oracle that looked at nothing
// has proved nothing.
func (o *Oracle) Looked() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.looked
}

// fresh is an oracle for the same canaries that has found nothing yet.
func (o *Oracle) fresh() *Oracle { return &Oracle{needles: o.needles} }
