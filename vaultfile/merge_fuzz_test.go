package vaultfile

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzMerge: any two payloads that can be read merge, whoever wrote them, to
// one that can be read; the order does not matter, and merging again changes
// nothing.
func FuzzMerge(f *testing.F) {
	other := strings.NewReplacer(
		`"hlc":1829000000000000`, `"hlc":1829000000000007`, `"also":["a","oss"]`, `"also":["oss","z"]`,
		`"expect":{"github":"me"}`, `"expect":{"linear":"you"}`, `"deleted":true,`, `"deleted":false,`, `"type":"rule","value":{}`, `"type":"rule","value":{"select":{"dir":"~/a","profile":"work"}}`,
		`"fedcba9876543210":1}`, `"fedcba9876543210":2}`, `{"value":"work"}`, `{"value":"oss"}`,
	).Replace(examplePayload)
	same := strings.NewReplacer(`"me@acme.example"`, `"you@acme.example"`, `["b"]`, `["c"]`, `{"value":"work"}`, `{}`).Replace(examplePayload)
	alone := strings.Replace(examplePayload, `{"also":["a","oss"],"apart":{"others":[[6,"0123456789abcdef",["b"]],[6,"0123456789abcdee"]],"seen":{"1111111111111111":3}},`, `{"also":["x"],`, 1)
	for _, text := range []string{other, same, alone} {
		if _, _, err := parsePayload([]byte(text)); err != nil {
			f.Fatalf("a seed is no payload: %v\n%s", err, text)
		}
		f.Add([]byte(examplePayload), []byte(text))
	}
	f.Add([]byte(other), []byte(alone))
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, _, errA := parsePayload(x)
		b, _, errB := parsePayload(y)
		if errA != nil || errB != nil {
			return
		}
		_, errA = decode(a.records)
		_, errB = decode(b.records)
		b.vaultID = a.vaultID // other vaults are never merged
		ab := joined(a, b)
		if content(ab) != content(joined(b, a)) {
			t.Fatalf("a with b is not b with a:\n%s\n%s", content(ab), content(joined(b, a)))
		}
		for name, again := range map[string]*payload{"a with itself": joined(a, a), "b with itself": joined(b, b)} {
			want := a
			if name[0] == 'b' {
				want = b
			}
			if content(again) != content(want) {
				t.Fatalf("%s is other:\n%s\n%s", name, content(again), content(want))
			}
		}
		for name, again := range map[string]*payload{"itself": joined(ab, ab), "a": joined(ab, a), "b": joined(b, ab)} {
			if content(again) != content(ab) {
				t.Fatalf("the merge changes when it meets %s again:\n%s\n%s", name, content(ab), content(again))
			}
		}
		ab.signer = a.signer
		raw := ab.encode(func([32]byte) []byte { return a.sig })
		back, _, err := parsePayload(raw)
		if err != nil {
			t.Fatalf("the merge cannot be read: %v\n%s", err, raw)
		}
		if again := back.encode(func([32]byte) []byte { return a.sig }); !bytes.Equal(again, raw) {
			t.Fatalf("the merge is written in another form:\n%s\n%s", raw, again)
		}
		if errA == nil && errB == nil {
			if _, err := decode(back.records); err != nil {
				t.Fatalf("the merge means nothing: %v\n%s", err, raw)
			}
		}
	})
}
