package vaultfile

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
)

// Format is the format that this kb writes, and the newest that it reads.
const Format = 1

// Limits of a vault, so that a hostile file costs little. docs/format.md
// lists them.
const (
	maxFile    = 64 << 20 // bytes of the armored file
	maxRecords = 100_000
	maxStamps  = 4096 // per record
	maxID      = 512  // bytes of a record's id
	maxName    = 256  // bytes of the vault's name
	// maxRecipients is how many stanzas age reads of a header (1.3): a file with
	// more can be written, and opened by nobody.
	maxRecipients = 1024
)

// vaultSigPrefix separates the signatures of vaults from those of anything
// else that the same key signs.
const vaultSigPrefix = "kb vault v1\n"

// sigMessage is what a vault's signature is over: the prefix and the SHA-256
// of the payload without its signature. A digest, because Ed25519 goes over
// its message with SHA-512, twice to sign, and a vault may have megabytes.
func sigMessage(digest [32]byte) []byte { return append([]byte(vaultSigPrefix), digest[:]...) }

// payload is a decrypted vault.
type payload struct {
	clock   Clock
	name    string
	records []record // by id
	sig     []byte   // Ed25519, 64 bytes
	signer  string   // device id
	vaultID string

	slab []field           // what the records' fields are cut from
	seen map[string]string // strings that recur, by their bytes
}

// intern returns the string of b, the same for equal b. It is for what a vault
// repeats: field names, devices, types.
func intern(seen map[string]string, b []byte) string {
	if s, ok := seen[string(b)]; ok { // does not allocate
		return s
	}
	s := string(b)
	if len(seen) < 4096 {
		seen[s] = s
	}
	return s
}

// isVaultID and isDeviceID: lower-case hexadecimal of 16 and 8 random bytes.
func isVaultID(s string) bool  { return isHex(s, 32) }
func isDeviceID(s string) bool { return isHex(s, 16) }

func isHex(s string, n int) bool {
	return len(s) == n && strings.IndexFunc(s, func(r rune) bool { return (r < '0' || r > '9') && (r < 'a' || r > 'f') }) < 0
}

// encode writes the payload, signed by sign over the digest that it is given.
func (p *payload) encode(sign func(digest [32]byte) []byte) []byte {
	n := 512 + 64*len(p.clock) + len(p.name)
	for i := range p.records {
		n += 192 + 64*len(p.records[i].stamps)
		for _, f := range p.records[i].fields {
			n += len(f.name) + len(f.raw) + 4
		}
	}
	b := make([]byte, 0, n)
	b = p.clock.appendJSON(append(b, `{"clock":`...))
	b = appendInt(append(b, `,"format":`...), Format)
	if p.name != "" {
		b = appendString(append(b, `,"name":`...), p.name)
	}
	b = append(b, `,"records":[`...)
	for i := range p.records {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.records[i].appendJSON(b)
	}
	b = append(b, ']')
	at := len(b)
	b = appendString(append(b, `,"signer":`...), p.signer)
	b = appendString(append(b, `,"vault_id":`...), p.vaultID)
	b = append(b, '}')
	p.sig = sign(sha256.Sum256(b))
	sig := base64.StdEncoding.AppendEncode([]byte(`,"sig":"`), p.sig)
	return slices.Insert(b, at, append(sig, '"')...)
}

// parsePayload reads a payload. Record values keep b alive. digest computes the
// SHA-256 of the payload without its signature, which also tells whether two
// payloads are equal.
func parsePayload(b []byte) (p *payload, digest func() [32]byte, err error) {
	// A record takes some 300 bytes. A wrong
	// guess costs a copy.
	guess := min(len(b)/300, maxRecords)
	p = &payload{seen: map[string]string{}, records: make([]record, 0, guess), slab: make([]field, 0, 2*guess)}
	s := &scanner{b: b}
	sigAt, sigEnd, ok := p.scan(s)
	if !ok {
		if newer := newerFormat(b); newer != nil {
			return nil, nil, newer
		}
		var feature *NewerVersionError
		if errors.As(s.err.Kind, &feature) {
			return nil, nil, feature
		}
		if !bytes.HasPrefix(b, []byte("{")) {
			s.err.Kind = ErrNotVault
		}
		return nil, nil, s.err
	}
	return p, func() (d [32]byte) {
		h := sha256.New()
		h.Write(b[:sigAt])
		h.Write(b[sigEnd:])
		h.Sum(d[:0])
		return d
	}, nil
}

// newerFormat looks only for the number of the format, in whatever else a
// later kb may have written.
func newerFormat(b []byte) error {
	var v struct {
		Format int64 `json:"format"`
	}
	if json.Unmarshal(b, &v) == nil && v.Format > Format {
		return &NewerVersionError{Format: v.Format}
	}
	return nil
}

// scan reads the envelope. The bytes from sigAt to sigEnd are the signature
// with its key and comma.
func (p *payload) scan(s *scanner) (sigAt, sigEnd int, ok bool) {
	if !s.lit(`{"clock":`) || !p.scanClock(s) || !s.lit(`,"format":`) {
		return 0, 0, false
	}
	at := s.i
	switch format, ok := s.integer(); {
	case !ok:
		return 0, 0, false
	case format != Format:
		s.i = at
		return 0, 0, s.fail(ErrMalformed, "format that never was")
	}
	if s.i+1 < len(s.b) && bytes.HasPrefix(s.b[s.i:], []byte(`,"name":`)) {
		s.lit(`,"name":`)
		if p.name, ok = s.text(); !ok {
			return 0, 0, false
		}
		if p.name == "" || len(p.name) > maxName {
			return 0, 0, s.fail(ErrMalformed, "vault name that is empty or too long")
		}
	}
	if !s.lit(`,"records":`) || !s.list(func() bool { return p.scanRecord(s) }) {
		return 0, 0, false
	}
	sigAt = s.i
	if !s.lit(`,"sig":`) {
		return 0, 0, false
	}
	sig, escaped, ok := s.str()
	if !ok {
		return 0, 0, false
	}
	sigEnd = s.i
	var err error
	if p.sig, err = base64.StdEncoding.Strict().DecodeString(string(sig)); err != nil || len(p.sig) != 64 || escaped || len(sig) != 88 {
		s.i = sigAt
		return 0, 0, s.fail(ErrMalformed, "signature that is not 64 bytes of base64")
	}
	if !s.lit(`,"signer":`) {
		return 0, 0, false
	}
	if p.signer, ok = s.text(); !ok {
		return 0, 0, false
	}
	// A device that has only merged is not in the clock.
	if !isDeviceID(p.signer) {
		return 0, 0, s.fail(ErrMalformed, "signer that is not 16 hexadecimal digits")
	}
	if !s.lit(`,"vault_id":`) {
		return 0, 0, false
	}
	if p.vaultID, ok = s.text(); !ok {
		return 0, 0, false
	}
	if !isVaultID(p.vaultID) {
		return 0, 0, s.fail(ErrMalformed, "vault id that is not 32 hexadecimal digits")
	}
	if !s.lit("}") {
		return 0, 0, false
	}
	if s.i != len(s.b) {
		return 0, 0, s.unexpected("something after the vault")
	}
	return sigAt, sigEnd, true
}

func (p *payload) scanClock(s *scanner) bool {
	p.clock = Clock{}
	return s.object(func(key []byte) bool {
		id := string(key)
		n, ok := s.integer()
		if !ok {
			return false
		}
		if !isDeviceID(id) || n < 1 {
			return s.fail(ErrMalformed, "clock entry that is no device and count")
		}
		p.clock[id] = uint64(n)
		return true
	})
}

func (p *payload) scanRecord(s *scanner) bool {
	start := s.i
	if len(p.records) == maxRecords {
		return s.fail(ErrTooLarge, "too many records")
	}
	var r record
	var ok bool
	if !s.lit(`{"deleted":`) {
		return false
	}
	if r.deleted, ok = s.boolean(); !ok || !s.lit(`,"device":`) {
		return false
	}
	if r.stamp.device, ok = p.scanDevice(s); !ok || !s.lit(`,"hlc":`) {
		return false
	}
	if r.stamp.hlc, ok = s.integer(); !ok || !s.lit(`,"id":`) {
		return false
	}
	if r.id, ok = s.text(); !ok {
		return false
	}
	if n := len(p.records); n > 0 && p.records[n-1].id >= r.id {
		return s.fail(ErrNonCanonical, "records out of order")
	}
	if bytes.HasPrefix(s.b[s.i:], []byte(`,"stamps":`)) {
		s.lit(`,"stamps":`)
		if !p.scanStamps(s, &r) {
			return false
		}
	}
	if !s.lit(`,"type":`) {
		return false
	}
	if r.typ, ok = p.scanType(s); !ok || !s.lit(`,"value":`) {
		return false
	}
	if !p.scanFields(s, &r) || !s.lit("}") {
		return false
	}
	if what := r.check(); what != "" {
		s.i = start
		return s.fail(ErrMalformed, what)
	}
	p.records = append(p.records, r)
	return true
}

func (p *payload) scanDevice(s *scanner) (string, bool) {
	raw, escaped, ok := s.str()
	if !ok {
		return "", false
	}
	id := intern(p.seen, raw)
	if escaped || !isDeviceID(id) {
		return "", s.fail(ErrMalformed, "device id that is not 16 hexadecimal digits")
	}
	return id, true
}

func (p *payload) scanType(s *scanner) (string, bool) {
	raw, escaped, ok := s.str()
	if !ok {
		return "", false
	}
	typ := intern(p.seen, raw)
	switch {
	case escaped || !isWord(typ):
		return "", s.fail(ErrMalformed, "record type that is no word")
	case !knownType(typ):
		return "", s.fail(&NewerVersionError{Feature: "record type " + typ}, "unknown record type")
	}
	return typ, true
}

func (p *payload) scanStamps(s *scanner, r *record) bool {
	r.stamps = map[string]stamp{}
	if !s.object(func(key []byte) bool {
		path := string(key)
		if len(r.stamps) == maxStamps {
			return s.fail(ErrTooLarge, "too many stamps")
		}
		var st stamp
		var ok bool
		if !s.lit("[") {
			return false
		}
		if st.hlc, ok = s.integer(); !ok || !s.lit(",") {
			return false
		}
		if st.device, ok = p.scanDevice(s); !ok || !s.lit("]") {
			return false
		}
		if st.hlc < 0 {
			return s.fail(ErrMalformed, "stamp before 1970")
		}
		r.stamps[path] = st
		return true
	}) {
		return false
	}
	if len(r.stamps) == 0 {
		return s.fail(ErrNonCanonical, "empty stamps")
	}
	return true
}

func (p *payload) scanFields(s *scanner, r *record) bool {
	start := len(p.slab)
	ok := s.object(func(key []byte) bool {
		name := intern(p.seen, key)
		at := s.i
		raw, ok := s.skip(0)
		if !ok {
			return false
		}
		if !isFieldName(name) {
			s.i = at
			return s.fail(ErrMalformed, "field name that is no word")
		}
		if name[0] < 'a' {
			s.i = at
			return s.fail(&NewerVersionError{Feature: "field " + name + " of a " + r.typ}, "unknown field that must be understood")
		}
		p.slab = append(p.slab, field{name, raw})
		return true
	})
	r.fields = slices.Clip(p.slab[start:])
	return ok
}

// check returns what is wrong with a record as a whole, or "".
func (r *record) check() string {
	switch {
	case len(r.id) > maxID || !strings.HasPrefix(r.id, r.typ+"/"):
		return "record id that does not begin with its type"
	case r.stamp.hlc < 0:
		return "stamp before 1970"
	case r.deleted && (len(r.fields) > 0 || len(r.stamps) > 0):
		return "tombstone with content"
	}
	if !r.validGuard() {
		return "versions of a guarded field that break their form"
	}
	members := map[string]map[string][]byte{} // by field: they are many, and so are stamps
	for path, st := range r.stamps {
		if r.stamp.less(st) {
			return "stamp newer than its record"
		}
		if path == revived {
			continue
		}
		if path == apart && guarded(r.typ) != "" {
			return "stamp of what has none"
		}
		name, elem, dotted := strings.Cut(path, ".")
		if !isFieldName(name) || dotted != perElement(r.typ, name) || dotted && elem == "" {
			return "stamp of what has none"
		}
		if st != r.stamp {
			continue
		}
		// What is present and as new as the record has no stamp of its own:
		// this one must be the tombstone of a field.
		raw := r.field(name)
		if !dotted && raw != nil {
			return "stamp that repeats its record's"
		}
		if dotted && raw != nil {
			if members[name] == nil {
				members[name] = elements(raw)
			}
			if _, present := members[name][elem]; present {
				return "stamp that repeats its record's"
			}
		}
	}
	return ""
}

// isWord reports whether s is a name of the format's own: lower-case letters,
// digits and underscores.
func isWord(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < 'a' || c > 'z') && c != '_' && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s[0] != '_'
}

// isFieldName is isWord, or the same with a capital first: a field that a
// reader must understand or leave the vault alone.
func isFieldName(s string) bool {
	if s != "" && s[0] >= 'A' && s[0] <= 'Z' {
		return isWord(string(s[0]+'a'-'A') + s[1:])
	}
	return isWord(s)
}

func newHex(random []byte) string { return hex.EncodeToString(random) }
