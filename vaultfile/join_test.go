package vaultfile

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A joiner is a new device on its way into a lab's vault.
type joiner struct {
	id  *Identity
	mem Memory
	req *JoinRequest
}

func newJoiner(t testing.TB, name string) *joiner {
	t.Helper()
	id, err := NewIdentity(name, nil)
	if err != nil {
		t.Fatal(err)
	}
	req, err := NewJoinRequest(id, name, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &joiner{id, NewMemory(), req}
}

// approve has who let the request in, and returns the code.
func (l *lab) approve(who string, r *JoinRequest) string {
	l.t.Helper()
	_, code, err := Approve(context.Background(), l.path, l.ids[who], l.mems[who], r)
	if err != nil {
		l.t.Fatalf("%s approves: %v", who, err)
	}
	return code
}

// enter has the joiner type a code and open the vault.
func (l *lab) enter(j *joiner, code string) (*File, error) {
	if err := TrustByCode(context.Background(), l.path, j.id, j.mem, j.req, code); err != nil {
		return nil, err
	}
	return Open(context.Background(), l.path, j.id, j.mem)
}

func (j *joiner) knowsNothing(t *testing.T) {
	t.Helper()
	if note, err := j.mem.Accepted(context.Background()); err != nil || note != nil {
		t.Errorf("something is remembered: %q, %v", note, err)
	}
}

func TestJoinRequestSurvivesMail(t *testing.T) {
	for _, name := range []string{"desk", "Läptop 2", `a "quoted" \ name`} {
		id, err := NewIdentity(name, nil)
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewJoinRequest(id, name, bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
		if err != nil {
			t.Fatal(err)
		}
		line := r.String()
		if strings.ContainsFunc(line, func(c rune) bool { return c <= ' ' || c > '~' }) {
			t.Errorf("not one word of ASCII: %q", line)
		}
		var folded strings.Builder
		for i := 0; i < len(line); i += 70 {
			folded.WriteString("  " + line[i:min(i+70, len(line))] + "\r\n")
		}
		for _, text := range []string{line, " " + line + "\n", folded.String()} {
			got, err := ParseJoinRequest(text)
			if err != nil || got.String() != line || got.Name != name || got.Device != id.ID() || got.Fingerprint() != r.Fingerprint() {
				t.Errorf("%q: %+v, %v", text, got, err)
			}
		}
		if words := strings.Split(r.Fingerprint(), "-"); len(words) != 5 || !r.HasFingerprint(strings.ToUpper(strings.Join(words, " "))) {
			t.Errorf("fingerprint %q", r.Fingerprint())
		}
	}
}

func TestDamagedJoinRequests(t *testing.T) {
	j := newJoiner(t, "desk")
	line := j.req.String()
	for i := range line {
		for _, c := range []byte{'A', 'b', '.', '-', line[i] ^ 1} {
			if c == line[i] {
				continue
			}
			if _, err := ParseJoinRequest(line[:i] + string(c) + line[i+1:]); !errors.Is(err, ErrBadRequest) {
				t.Fatalf("byte %d as %q: %v", i, c, err)
			}
		}
		if _, err := ParseJoinRequest(line[:i]); !errors.Is(err, ErrBadRequest) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
	whole := *j.req
	for name, alter := range map[string]func(*JoinRequest){
		"name with a control character": func(r *JoinRequest) { r.Name = "a\x1b[31m" },
		"no name":                       func(r *JoinRequest) { r.Name = "" },
		"ssh recipient":                 func(r *JoinRequest) { r.Recipient = sshTest },
		"short key":                     func(r *JoinRequest) { r.SignKey = r.SignKey[:31] },
		"bad id":                        func(r *JoinRequest) { r.Device = "x" },
	} {
		r := whole
		alter(&r)
		if _, err := ParseJoinRequest(r.String()); !errors.Is(err, ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := ParseJoinRequest(strings.Repeat("x", 1<<20)); !errors.Is(err, ErrBadRequest) {
		t.Errorf("huge: %v", err)
	}
}

// FuzzJoinRequest: what is taken is one request, written in one way.
func FuzzJoinRequest(f *testing.F) {
	id, err := NewIdentity("desk", nil)
	if err != nil {
		f.Fatal(err)
	}
	r, err := NewJoinRequest(id, "desk", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(r.String())
	f.Add("kb-join-1:e30.44136fa3")
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseJoinRequest(s)
		if err != nil {
			return
		}
		if want := strings.Join(strings.Fields(s), ""); r.String() != want {
			t.Errorf("%q was read as %q", want, r.String())
		}
	})
}

func TestJoin(t *testing.T) {
	l := newLab(t)
	j := newJoiner(t, "desk")
	if ok, err := Readable(l.path, j.id); ok || err != nil {
		t.Errorf("readable before it is approved: %v, %v", ok, err)
	}
	code := l.approve("b", j.req)
	if again := l.approve("b", j.req); again != code {
		t.Errorf("approving again gives %q, before %q", again, code)
	}
	if ok, err := Readable(l.path, j.id); !ok || err != nil {
		t.Errorf("readable once approved: %v, %v", ok, err)
	}
	if len(strings.Split(code, "-")) != 6 {
		t.Errorf("code %q", code)
	}
	l.edit("c", note1("saved by another since"))
	f, err := l.enter(j, strings.ToUpper(strings.ReplaceAll(code, "-", " ")))
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Trusted()) != 4 || f.Signer() != l.ids["c"].ID() {
		t.Errorf("trusts %v, signed by %s", f.Trusted(), f.Signer())
	}
	if _, err := Edit(context.Background(), l.path, j.id, j.mem, note1("by the new one")); err != nil {
		t.Fatal(err)
	}
	c := l.open("a").Contents()
	if c.Setting("note") != "by the new one" {
		t.Errorf("a sees %q", c.Setting("note"))
	}

	// Two devices may approve the same request: each one's code is good.
	k := newJoiner(t, "box")
	l.approve("a", k.req)
	l.open("b")
	if _, err := l.enter(k, l.approve("b", k.req)); err != nil {
		t.Errorf("with the second approver's code: %v", err)
	}
}

// A device that kept its identity and lost its state joins again with it.
func TestJoinAgainWithTheSameKeys(t *testing.T) {
	l := newLab(t)
	req, err := NewJoinRequest(l.ids["b"], "b", nil)
	if err != nil {
		t.Fatal(err)
	}
	j := &joiner{l.ids["b"], NewMemory(), req}
	if _, err := l.enter(j, l.approve("a", req)); err != nil {
		t.Fatal(err)
	}
}

func TestIsPostQuantum(t *testing.T) {
	for _, pq := range []bool{false, true} {
		id, err := newIdentity("x", nil, pq)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "vault.age")
		if _, err := Create(context.Background(), path, id, NewMemory(), Options{}); err != nil {
			t.Fatal(err)
		}
		if got, err := IsPostQuantum(path); got != pq || err != nil {
			t.Errorf("IsPostQuantum = %v, %v, want %v", got, err, pq)
		}
		if err := os.WriteFile(path, []byte("no vault"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := IsPostQuantum(path); !errors.Is(err, ErrNotVault) {
			t.Errorf("of something else: %v", err)
		}
	}
}
