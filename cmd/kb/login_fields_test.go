package main

import (
	"strings"
	"testing"

	"kb/providers"
)

// TestReadFields: the ways in which standard input holds a login's values, and
// errors that show none of them.
func TestReadFields(t *testing.T) {
	const key = "-----BEGIN PRIVATE KEY-----\nkbCanary\nkbCanary\n-----END PRIVATE KEY-----"
	one := []providers.Field{{Name: "key", Secret: true}}
	several := []providers.Field{{Name: "app_id"}, {Name: "private_key", Secret: true}, {Name: "note", Optional: true}}
	const account = `{"type": "service_account", "private_key": "kbCanary"}`
	googles := []providers.Field{{Name: "key", Secret: true}, {Name: "subject", Optional: true}}
	for _, c := range []struct {
		name, in string
		fields   []providers.Field
		want     map[string]string // nil: an error
	}{
		{"one line", "kbCanary\n", one, map[string]string{"key": "kbCanary"}},
		{"one key", key + "\n", one, map[string]string{"key": key}},
		{"one JSON file", "{\"type\": \"service_account\"}\n", one, map[string]string{"key": "{\"type\": \"service_account\"}"}},
		{"lines", "app_id: 7\n\nprivate_key: kbCanary\n", several, map[string]string{"app_id": "7", "private_key": "kbCanary"}},
		{"lines with a key", "app_id: 7\nprivate_key: " + key + "\nnote: x\n", several, map[string]string{"app_id": "7", "private_key": key, "note": "x"}},
		{"a value with a colon", "app_id: 7\nprivate_key: kb:Canary\n", several, map[string]string{"app_id": "7", "private_key": "kb:Canary"}},
		{"JSON", `{"app_id": "7", "private_key": "` + strings.ReplaceAll(key, "\n", `\n`) + `"}`, several, map[string]string{"app_id": "7", "private_key": key}},
		{"a service account's file among several", account + "\n", googles, map[string]string{"key": account}},
		{"a service account's file and no key", account, several, nil},
		{"nothing", "\n", one, nil},
		{"a field that is missing", "app_id: 7\n", several, nil},
		{"a field that is not there", "app_id: 7\nprivate_key: kbCanary\nkbCanary: 1\n", several, nil},
		{"a key without an end", "app_id: 7\nprivate_key: -----BEGIN PRIVATE KEY-----\nkbCanary\n", several, nil},
		{"JSON that is cut", `{"app_id": "7", "private_key": "kbCanary`, several, nil},
		{"JSON with another name", `{"app_id": "7", "kbCanary": "x"}`, several, nil},
		{"JSON that is not of strings", `{"app_id": 7, "private_key": "kbCanary"}`, several, nil},
		{"too much", strings.Repeat("kbCanary", maxSecretInput), one, nil},
	} {
		values, err := readFields(strings.NewReader(c.in), c.fields)
		if (err == nil) != (c.want != nil) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if err != nil && strings.Contains(err.Error(), "kbCanary") {
			t.Errorf("%s: the error shows the secret: %v", c.name, err)
		}
		for name, want := range c.want {
			if got := values[name].Reveal(); got != want {
				t.Errorf("%s: %s is %q, want %q", c.name, name, got, want)
			}
		}
		if len(values) != len(c.want) {
			t.Errorf("%s: %d values, want %d", c.name, len(values), len(c.want))
		}
	}
}
