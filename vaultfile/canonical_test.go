package vaultfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// The canonical form has one spelling for each value; anything else is named.
func TestScannerAcceptsOnlyCanonicalBytes(t *testing.T) {
	for _, c := range []struct {
		in   string
		kind error // nil means accepted
	}{
		{`{}`, nil},
		{`[]`, nil},
		{`null`, nil},
		{`true`, nil},
		{`false`, nil},
		{`0`, nil},
		{`-1`, nil},
		{`9007199254740991`, nil},
		{`-9007199254740991`, nil},
		{`"é€𝄞"`, nil},
		{"\"\x7f\"", nil},
		{`"\b\t\n\f\r\"\\"`, nil},
		{`"\u0000\u000b\u001f"`, nil},
		{`{"a":1,"b":[1,2,{"c":null}]}`, nil},
		{"{\"\u20ac\":1,\"\U0001d11e\":2,\"\ufb33\":3}", nil}, // in the order of UTF-16: 20AC, D834 DD1E, FB33

		{`9007199254740992`, ErrMalformed},
		{`99999999999999999999`, ErrMalformed},
		{`1.0`, ErrMalformed},
		{`1e3`, ErrMalformed},
		{`01`, ErrMalformed},
		{`-`, ErrMalformed},
		{`-0`, ErrNonCanonical},
		{`+1`, ErrMalformed},
		{` 1`, ErrNonCanonical},
		{`[1, 2]`, ErrNonCanonical},
		{`{"a": 1}`, ErrNonCanonical},
		{"[\n]", ErrNonCanonical},
		{`[1,]`, ErrMalformed},
		{`{"a":1,}`, ErrMalformed},
		{`[1`, ErrMalformed},
		{`{"a"`, ErrMalformed},
		{`"a`, ErrMalformed},
		{`{"b":1,"a":2}`, ErrNonCanonical},
		{`{"a":1,"a":1}`, ErrMalformed},
		{`{"":1}`, ErrMalformed},
		{`{"\n":1}`, ErrMalformed},
		{"{\"\ufb33\":1,\"\U0001d11e\":2}", ErrNonCanonical},
		{`"\/"`, ErrNonCanonical},
		{`"\u0041"`, ErrNonCanonical},
		{`"\u000A"`, ErrNonCanonical},
		{`"\u000a"`, ErrNonCanonical},
		{`"\u001F"`, ErrNonCanonical},
		{`"\ud834\udd1e"`, ErrNonCanonical},
		{`"\x"`, ErrMalformed},
		{`"\u00"`, ErrMalformed},
		{`"\u+0ff"`, ErrMalformed},
		{"\"\n\"", ErrMalformed},
		{"\"\xff\"", ErrMalformed},
		{"\"\xed\xa0\x80\"", ErrMalformed},
		{`nul`, ErrMalformed},
		{`True`, ErrMalformed},
		{``, ErrMalformed},
		{`'a'`, ErrMalformed},
		{strings.Repeat("[", 40) + strings.Repeat("]", 40), ErrMalformed},
	} {
		s := scanner{b: []byte(c.in)}
		raw, ok := s.skip(0)
		switch {
		case c.kind == nil && (!ok || string(raw) != c.in):
			t.Errorf("%s: refused: %v", c.in, s.err)
		case c.kind != nil && ok:
			t.Errorf("%s: accepted", c.in)
		case c.kind != nil && !errors.Is(s.err, c.kind):
			t.Errorf("%s: %v, want %v", c.in, s.err, c.kind)
		}
	}
}

// What the writer writes for a string is what the scanner accepts, and means
// the same to another JSON reader.
func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\/\b\t\n\f\r\x00\x0b\x1f\x7f", "é€𝄞\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, in string) {
		if !utf8.ValidString(in) {
			return
		}
		b := appendString(nil, in)
		s := scanner{b: b}
		out, ok := s.text()
		if !ok || out != in || s.i != len(b) {
			t.Fatalf("%q was written as %s and read as %q: %v", in, b, out, s.err)
		}
		var std string
		if err := json.Unmarshal(b, &std); err != nil || std != in {
			t.Fatalf("%q was written as %s, which encoding/json reads as %q: %v", in, b, std, err)
		}
	})
}

// FuzzPayload: what is accepted is written again byte for byte, and decoding
// it never panics.
func FuzzPayload(f *testing.F) {
	f.Add([]byte(examplePayload))
	f.Add([]byte(strings.Replace(examplePayload, `"name":"t",`, "", 1)))
	f.Add([]byte(`{"format":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, _, err := parsePayload(b)
		if err != nil {
			return
		}
		sig := p.sig
		if again := p.encode(func([32]byte) []byte { return sig }); !bytes.Equal(again, b) {
			t.Fatalf("accepted and written differently:\n%s\n%s", b, again)
		}
		_, _ = decode(p.records)
	})
}

// examplePayload holds each thing that the envelope and a record can hold. It
// was written by hand from docs/format.md.
const examplePayload = `{"clock":{"0123456789abcdef":3,"fedcba9876543210":1},"format":1,"name":"t","records":[` +
	`{"deleted":false,"device":"0123456789abcdef","hlc":1829000000000000,"id":"profile/work","stamps":{"-":[5,"0123456789abcdef"],"also":[7,"fedcba9876543210"],"egress":[1829000000000000,"0123456789abcdef"],"git_email":[6,"0123456789abcdef"]},"type":"profile","value":{"also":["a","oss"],"apart":{"others":[[6,"0123456789abcdef",["b"]],[6,"0123456789abcdee"]],"seen":{"1111111111111111":3}},"expect":{"github":"me"},"git_email":"me@acme.example","later":{"x":[1,null,true]}}},` +
	`{"deleted":true,"device":"fedcba9876543210","hlc":9,"id":"rule/r1","type":"rule","value":{}},` +
	`{"deleted":false,"device":"fedcba9876543210","hlc":8,"id":"setting/default_profile","type":"setting","value":{"value":"work"}}` +
	`],"sig":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==","signer":"0123456789abcdef","vault_id":"00112233445566778899aabbccddeeff"}`

func TestPayloadEnvelopeIsClosed(t *testing.T) {
	if _, _, err := parsePayload([]byte(examplePayload)); err != nil {
		t.Fatalf("the example itself: %v", err)
	}
	swap := func(old, new string) string {
		if !strings.Contains(examplePayload, old) {
			t.Fatalf("the example has no %q", old)
		}
		return strings.Replace(examplePayload, old, new, 1)
	}
	for name, c := range map[string]struct {
		in   string
		kind error
	}{
		"unknown key in the envelope":    {swap(`"format":1,`, `"format":1,"extra":0,`), ErrMalformed},
		"unknown key in a record":        {swap(`"deleted":true,`, `"deleted":true,"by":1,`), ErrMalformed},
		"duplicate key":                  {swap(`"signer":"0123456789abcdef",`, `"signer":"0123456789abcdef","signer":"0123456789abcdef",`), ErrMalformed},
		"white space":                    {swap(`"format":1`, `"format": 1`), ErrNonCanonical},
		"keys out of order":              {swap(`"format":1,"name":"t"`, `"name":"t","format":1`), ErrMalformed},
		"records out of order":           {swap(`"id":"setting/default_profile","type":"setting","value":{"value":"work"}`, `"id":"rule/a","type":"rule","value":{}`), ErrNonCanonical},
		"same record twice":              {swap(`"id":"setting/default_profile","type":"setting","value":{"value":"work"}`, `"id":"rule/r1","type":"rule","value":{}`), ErrNonCanonical},
		"something after it":             {examplePayload + "x", ErrMalformed},
		"a newline after it":             {examplePayload + "\n", ErrNonCanonical},
		"tombstone with content":         {swap(`"type":"rule","value":{}`, `"type":"rule","value":{"a":1}`), ErrMalformed},
		"id of another type":             {swap(`"id":"rule/r1"`, `"id":"profile/x"`), ErrMalformed},
		"stamp newer than its record":    {swap(`"git_email":[6,`, `"git_email":[1829000000000001,`), ErrMalformed},
		"stamp that repeats":             {swap(`"git_email":[6,`, `"git_email":[1829000000000000,`), ErrMalformed},
		"element stamp that repeats":     {swap(`"egress":[1829000000000000,`, `"expect.github":[1829000000000000,`), ErrMalformed},
		"stamp of a list as a whole":     {swap(`"egress":[`, `"expect":[`), ErrMalformed},
		"stamp of an element of a whole": {swap(`"also":[7,`, `"also.oss":[7,`), ErrMalformed},
		"versions out of order":          {swap(`[6,"0123456789abcdef",["b"]],[6,"0123456789abcdee"]`, `[6,"0123456789abcdee"],[6,"0123456789abcdef",["b"]]`), ErrMalformed},
		"version newer than the value":   {swap(`[6,"0123456789abcdef",["b"]]`, `[8,"0123456789abcdef",["b"]]`), ErrMalformed},
		"version twice":                  {swap(`[6,"0123456789abcdee"]`, `[6,"0123456789abcdef",["b"]]`), ErrMalformed},
		"seen that a version says":       {swap(`"1111111111111111":3`, `"0123456789abcdef":6`), ErrMalformed},
		"that name on another type":      {swap(`"value":{"value":"work"}`, `"value":{"apart":{"seen":{"1111111111111111":3}},"value":"work"}`), nil},
		"empty stamps":                   {swap(`"id":"rule/r1",`, `"id":"rule/r1","stamps":{},`), ErrNonCanonical},
		"empty name":                     {swap(`"name":"t",`, `"name":"",`), ErrMalformed},
		"signer that is no device":       {swap(`"signer":"0123456789abcdef"`, `"signer":"desk"`), ErrMalformed},
		"count of zero":                  {swap(`"fedcba9876543210":1}`, `"fedcba9876543210":0}`), ErrMalformed},
		"signature that is too short":    {swap(`"AAAA`, `"`), ErrMalformed},
		"signature, other spelling":      {swap(`A=="`, `B=="`), ErrMalformed},
		"vault id in capitals":           {swap(`00112233445566778899aabbccddeeff`, `00112233445566778899AABBCCDDEEFF`), ErrMalformed},
		"field name in odd letters":      {swap(`"later"`, `"läter"`), ErrMalformed},
		"other JSON":                     {`{"hello":"world"}`, ErrMalformed},
		"no JSON":                        {"hello", ErrNotVault},
		"nothing":                        {"", ErrNotVault},
		"a format that never was":        {swap(`"format":1`, `"format":0`), ErrMalformed},
		"number in place of a boolean":   {swap(`"deleted":true`, `"deleted":1`), ErrMalformed},
		"escape in a device id":          {swap(`"signer":"0123`, `"signer":"\u00300123`), ErrNonCanonical},
		"half a payload":                 {examplePayload[:len(examplePayload)/2], ErrMalformed},
		"record without its id":          {swap(`"id":"rule/r1",`, ``), ErrMalformed},
		"negative time":                  {swap(`"hlc":9,`, `"hlc":-9,`), ErrMalformed},
		"field twice in a value":         {swap(`"value":{"value":"work"}`, `"value":{"value":"work","value":"work"}`), ErrMalformed},
		"number of 2^53 in a value":      {swap(`[1,null,true]`, `[9007199254740992]`), ErrMalformed},
		"fraction in a value":            {swap(`[1,null,true]`, `[0.5]`), ErrMalformed},
		"value that is no object":        {swap(`"value":{"value":"work"}`, `"value":[]`), ErrMalformed},
		"stamps with a number for name":  {swap(`"-":[5,"0123456789abcdef"]`, `"-":[5,5]`), ErrMalformed},
	} {
		_, _, err := parsePayload([]byte(c.in))
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
}

// A newer format, and what a newer writer marks as critical, are named as
// such; what it adds otherwise is carried along.
func TestNewerWriters(t *testing.T) {
	for name, in := range map[string]string{
		"a newer format":               strings.Replace(examplePayload, `"format":1`, `"format":2`, 1),
		"a newer format of other form": `{"format":7,"records":{"a":1.5}}`,
		"an unknown record type":       strings.Replace(examplePayload, `"id":"rule/r1","type":"rule"`, `"id":"quota/r1","type":"quota"`, 1),
		"a critical field":             strings.Replace(examplePayload, `"value":{"value":"work"}`, `"value":{"Sealed":1,"value":"work"}`, 1),
	} {
		var newer *NewerVersionError
		if _, _, err := parsePayload([]byte(in)); !errors.As(err, &newer) {
			t.Errorf("%s: %v, want a NewerVersionError", name, err)
		}
	}
	p, _, err := parsePayload([]byte(strings.Replace(examplePayload, `"deleted":true,"device":"fedcba9876543210","hlc":9,"id":"rule/r1","type":"rule","value":{}`,
		`"deleted":false,"device":"fedcba9876543210","hlc":9,"id":"rule/r1","type":"rule","value":{"select":{"hour":"9","profile":"work"}}`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	var newer *NewerVersionError
	if _, err := decode(p.records); !errors.As(err, &newer) {
		t.Errorf("a condition that this kb does not know: %v", err)
	}
	if p, _, err = parsePayload([]byte(examplePayload)); err != nil {
		t.Fatal(err)
	}
	c, err := decode(p.records)
	if err != nil || len(c.Profiles) != 1 || c.Profiles[0].GitEmail != "me@acme.example" {
		t.Errorf("a field that this kb does not know spoiled the rest: %+v, %v", c, err)
	}
}

// Every payload that is one edit away from the example is refused with a named
// error, or written again byte for byte: no second spelling slips through.
func TestEveryEditOfThePayload(t *testing.T) {
	const alphabet = "\"\\{}[]:,-+.0159aeEfzZnrtu/_ \t\n\x00\x1f\x7f\xc3\xa9\xff"
	accepted, refused := 0, 0
	try := func(b []byte) {
		p, _, err := parsePayload(b)
		var newer *NewerVersionError
		switch {
		case err == nil:
			accepted++
			sig := p.sig
			if again := p.encode(func([32]byte) []byte { return sig }); !bytes.Equal(again, b) {
				t.Fatalf("accepted and written differently:\n%s\n%s", b, again)
			}
			if _, err := decode(p.records); err != nil && !errors.Is(err, ErrMalformed) && !errors.As(err, &newer) {
				t.Fatalf("decoding: %v", err)
			}
		case errors.Is(err, ErrMalformed), errors.Is(err, ErrNonCanonical), errors.Is(err, ErrNotVault), errors.As(err, &newer):
			refused++
		default:
			t.Fatalf("%s: %v", b, err)
		}
	}
	src := []byte(examplePayload)
	for i := range src {
		try(append(bytes.Clone(src[:i]), src[i+1:]...))
		for j := range len(alphabet) {
			b := bytes.Clone(src)
			b[i] = alphabet[j]
			try(b)
			try(append(append(bytes.Clone(src[:i]), alphabet[j]), src[i:]...))
		}
	}
	if accepted == 0 || refused == 0 {
		t.Errorf("accepted %d, refused %d", accepted, refused)
	}
	t.Logf("accepted %d, refused %d", accepted, refused)
}
