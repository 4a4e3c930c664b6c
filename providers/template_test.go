package providers

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"kb/internal/secret"
)

func secretOf(s string) secret.Value { return secret.New(s) }

func fieldsOf(pairs ...string) map[string]secret.Value {
	fields := map[string]secret.Value{}
	for i := 0; i < len(pairs); i += 2 {
		fields[pairs[i]] = secret.New(pairs[i+1])
	}
	return fields
}

// A stored secret cannot write header lines of its own, end a cookie or move a
// Basic password into the user name.
func TestAttackSecretThatBreaksOut(t *testing.T) {
	const canary = "kb-canary-81c2"
	p := &Provider{
		Name:  "acme",
		Hosts: []string{"api.acme.example"},
		Login: Login{Default: &Method{Name: "token", Fields: []Field{{Name: "user"}, {Name: "token", Secret: true}}}},
		Inject: []Inject{
			{Hosts: []string{"api.acme.example"}, Paths: []string{"/h"}, Header: map[string]string{"X-Key": "{token}"}},
			{Hosts: []string{"api.acme.example"}, Paths: []string{"/b"}, Basic: &Basic{"{user}", "{token}"}},
			{Hosts: []string{"api.acme.example"}, Paths: []string{"/c"}, Cookie: map[string]string{"s": "{token}"}},
			{Hosts: []string{"api.acme.example"}, Paths: []string{"/q"}, Query: map[string]string{"key": "{token}"}},
		},
	}
	for _, bad := range []string{"\r\nX-Evil: 1", "\n", "\r", "\x00", "\x7f", "\x1b[2J", " ", "\t"} {
		for i := range p.Inject {
			_, err := p.Render(&p.Inject[i], fieldsOf("user", "u", "token", canary+bad))
			if !errors.Is(err, ErrBadField) {
				t.Errorf("rule %d sends %q: %v", i, bad, err)
			}
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the secret: %v", err)
			}
		}
	}
	if _, err := p.Render(&p.Inject[1], fieldsOf("user", "a:b", "token", canary)); !errors.Is(err, ErrBadField) {
		t.Errorf("a colon moves the border of Basic: %v", err)
	}
	for _, bad := range []string{"a;b", "a,b", `a"b`, `a\b`, "a b"} {
		if _, err := p.Render(&p.Inject[2], fieldsOf("user", "u", "token", bad)); !errors.Is(err, ErrBadField) {
			t.Errorf("cookie sends %q: %v", bad, err)
		}
	}
	// Positive control: the same rules send a plain secret, to be seen by who may.
	for i, want := range []string{canary, "Basic dTprYi1jYW5hcnktODFjMg==", canary, canary} {
		cred, err := p.Render(&p.Inject[i], fieldsOf("user", "u", "token", canary))
		if err != nil {
			t.Fatal(err)
		}
		all := append(append(append([]Pair{}, cred.Header...), cred.Query...), cred.Cookie...)
		if len(all) != 1 || all[0].Value.Reveal() != want {
			t.Errorf("rule %d sends %d values", i, len(all))
		}
		if strings.Contains(fmt.Sprintf("%+v %#v", cred, cred), canary) {
			t.Error("a credential prints its secret")
		}
	}
}

func TestRenderNeedsItsFields(t *testing.T) {
	p := shippedProvider(t, "jira")
	if _, err := p.Render(&p.Inject[0], fieldsOf("token", "t")); !errors.Is(err, ErrNoField) {
		t.Errorf("without an email: %v", err)
	}
	if _, err := p.Compile("oauth", fieldsOf("token", "t")); !errors.Is(err, ErrNoField) {
		t.Errorf("an unknown method: %v", err)
	}
	if _, err := p.Compile("", fieldsOf("email", "e", "token", "t")); !errors.Is(err, ErrNeedsBase) {
		t.Errorf("without a base URL: %v", err)
	}
}

// The request path compares and returns what was made ready before.
func TestMatchDoesNotAllocate(t *testing.T) {
	p := shippedProvider(t, "github")
	c, err := p.Compile("", fieldsOf("token", "t"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/acme/api.git/info/refs", "/acme/api/pulls", "/a/b/c/d/e/f/g"} {
		if n := testing.AllocsPerRun(100, func() { c.Match("github.com", 443, path) }); n != 0 {
			t.Errorf("%s: %v allocations", path, n)
		}
	}
}

func TestIntercepts(t *testing.T) {
	p := shippedProvider(t, "slack")
	c, err := p.Compile("", fieldsOf("token", "t"))
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{"slack.com": true, "files.slack.com": true, "hooks.slack.com": false, "evil.example": false} {
		if c.Intercepts(host, 443) != want {
			t.Errorf("Intercepts(%q) = %v", host, !want)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	p := shippedProvider(b, "github")
	c, err := p.Compile("", fieldsOf("token", "t"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		c.Match("github.com", 443, "/acme/api.git/git-receive-pack")
	}
}
