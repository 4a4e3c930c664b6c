package providers

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kb/internal/golden"
	"kb/internal/secret"
)

func readGolden(t testing.TB, name string) *golden.File {
	t.Helper()
	r, err := os.Open("testdata/golden/" + name + ".txt")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	f, err := golden.Parse(r)
	if err != nil {
		t.Fatalf("%s: %v", r.Name(), err)
	}
	return f
}

// Every definition that ships puts the credential where the vendor's page wants
// it, and nowhere else.
func TestGolden(t *testing.T) {
	for _, name := range shipped(t) {
		t.Run(name, func(t *testing.T) {
			f := readGolden(t, name)
			if f.Provider != name {
				t.Errorf("golden file is for %q", f.Provider)
			}
			for _, err := range compare(shippedProvider(t, name), f) {
				t.Error(err)
			}
			if !slices.ContainsFunc(f.Exchanges, func(e golden.Exchange) bool { return e.None }) {
				t.Error("no exchange shows a look-alike host going without")
			}
		})
	}
}

// compare returns every difference between a definition and a golden file.
func compare(p *Provider, f *golden.File) (diffs []error) {
	for _, e := range f.Exchanges {
		if err := compareExchange(p, &e); err != nil {
			diffs = append(diffs, fmt.Errorf("line %d, %s: %w", e.Line, e.Title, err))
		}
	}
	diffs = append(diffs, compareEnv(p, f)...)
	switch id := p.Identity; {
	case id == nil && f.Identity == nil:
	case id == nil || f.Identity == nil:
		diffs = append(diffs, fmt.Errorf("identity: one of the two has none"))
	case id.Method != f.Identity.Method || id.URL != f.Identity.URL:
		diffs = append(diffs, fmt.Errorf("identity asks %s %s", id.Method, id.URL))
	default:
		if name, err := id.Account([]byte(f.Identity.Answer)); err != nil || name != f.Identity.Name {
			diffs = append(diffs, fmt.Errorf("identity reads %q, %v, from the answer", name, err))
		}
	}
	return diffs
}

// compareEnv holds the placeholders of all methods to the shapes that clients
// accept.
func compareEnv(p *Provider, f *golden.File) (diffs []error) {
	all := map[string]string{}
	for _, m := range p.Login.Methods() {
		for name, template := range p.EnvFor(m.Name) {
			all[name] = template
		}
	}
	for name := range f.Env {
		if _, ok := all[name]; !ok {
			diffs = append(diffs, fmt.Errorf("env %s is not set", name))
		}
	}
	for name, template := range all {
		value, err := Placeholder(template, zeros{})
		if err != nil {
			diffs = append(diffs, err)
			continue
		}
		shape, ok := f.Env[name]
		if !ok {
			diffs = append(diffs, fmt.Errorf("env %s is not in the golden file", name))
		} else if matched, err := regexp.MatchString(shape, value); err != nil || !matched || !strings.HasPrefix(shape, "^") || !strings.HasSuffix(shape, "$") {
			diffs = append(diffs, fmt.Errorf("env %s: placeholder %q is not of shape %s (%v)", name, value, shape, err))
		}
	}
	return diffs
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// compareExchange joins definition and login, applies the result to the
// client's request as the proxy does, and compares all of what arrives.
func compareExchange(p *Provider, e *golden.Exchange) error {
	based, err := p.ForBase(e.Base)
	if err != nil {
		return err
	}
	method, ok := based.Login.Method(e.Login)
	if !ok {
		return fmt.Errorf("no login method %q", e.Login)
	}
	fields := map[string]secret.Value{}
	for name, value := range e.Fields {
		if !slices.ContainsFunc(method.Values(), func(f Field) bool { return f.Name == name }) {
			return fmt.Errorf("login has no field %q", name)
		}
		fields[name] = secret.New(value)
	}
	compiled, err := based.Compile(e.Login, fields)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(e.Port(), 10, 16)
	if err != nil {
		return err
	}
	host, path := e.URL.Hostname(), e.URL.EscapedPath()
	cred, ok := compiled.Match(host, uint16(port), path)
	in, sameOK := based.InjectFor(host, uint16(port), e.Login, path)
	if ok != sameOK || ok && cred.Inject != in {
		return fmt.Errorf("Compiled and InjectFor choose different rules")
	}
	if _, mint := based.MintFor(host, uint16(port), e.Method, path); mint != e.Mint {
		return fmt.Errorf("mint is %v", mint)
	}
	if write := GitService(path, e.URL.RawQuery) == "git-receive-pack"; write != e.Write {
		return fmt.Errorf("git write is %v", write)
	}
	if e.Audit != "" && based.RedactPath(path) != e.Audit {
		return fmt.Errorf("audit shows %s", based.RedactPath(path))
	}
	if ok == e.None {
		return fmt.Errorf("credential goes: %v", ok)
	}
	if !ok {
		return nil
	}
	remote, _ := cred.Inject.Remote(path)
	if e.Repository == "-" && remote != "" || e.Repository != "" && e.Repository != "-" && remote != e.Repository {
		return fmt.Errorf("repository is %q", remote)
	}
	return compareArrival(cred, e)
}

func compareArrival(cred *Credential, e *golden.Exchange) error {
	got, want := http.Header{}, http.Header{}
	query := e.URL.Query()
	wantQuery := e.URL.Query()
	for _, h := range e.Header {
		got.Add(h.Name, h.Value)
		want.Add(h.Name, h.Value)
	}
	for _, name := range cred.Delete {
		got.Del(name)
	}
	for _, h := range cred.Header {
		got.Set(h.Name, h.Value.Reveal())
	}
	for _, name := range cred.DeleteQuery {
		query.Del(name)
	}
	for _, q := range cred.Query {
		query.Set(q.Name, q.Value.Reveal())
	}
	for _, name := range e.Absent {
		want.Del(name)
	}
	for _, h := range e.Want {
		want.Set(h.Name, h.Value)
	}
	for _, name := range e.AbsentArgs {
		wantQuery.Del(name)
	}
	for _, q := range e.WantQuery {
		wantQuery.Set(q.Name, q.Value)
	}
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		return fmt.Errorf("header arrives as %s, want %s", g, w)
	}
	if g, w := query.Encode(), wantQuery.Encode(); g != w {
		return fmt.Errorf("query arrives as %s, want %s", g, w)
	}
	var gotCookies, wantCookies url.Values = url.Values{}, url.Values{}
	for _, c := range cred.Cookie {
		gotCookies.Add(c.Name, c.Value.Reveal())
	}
	for _, c := range e.WantCookie {
		wantCookies.Add(c.Name, c.Value)
	}
	if g, w := gotCookies.Encode(), wantCookies.Encode(); g != w {
		return fmt.Errorf("cookies arrive as %s, want %s", g, w)
	}
	return nil
}

func shipped(t testing.TB) []string {
	t.Helper()
	entries, err := embedded.ReadDir("catalog")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".toml"))
	}
	return names
}

func shippedText(t testing.TB, name string) []byte {
	t.Helper()
	text, err := embedded.ReadFile("catalog/" + name + ".toml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func shippedProvider(t testing.TB, name string) *Provider {
	t.Helper()
	p, err := Parse(shippedText(t, name))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}
