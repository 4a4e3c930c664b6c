package providers

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
)

func own(t *testing.T, changes ...string) *Provider {
	t.Helper()
	p, err := Parse([]byte(strings.NewReplacer(changes...).Replace(sound)))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// The catalogue and its generated index speak of the same definitions.
func TestIndexIsWhatTheDefinitionsSay(t *testing.T) {
	c, err := NewCatalog()
	if err != nil {
		t.Fatal(err)
	}
	if names := c.Names(); !slices.Equal(names, slices.Sorted(slices.Values(shipped(t)))) {
		t.Errorf("names are %v", names)
	}
	all, err := c.All()
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range c.Index() {
		want := all[i].IndexEntry()
		if e.Name != want.Name || e.Title != want.Title || !slices.Equal(e.Hosts, want.Hosts) || !slices.Equal(e.Env, want.Env) {
			t.Errorf("index has %+v, want %+v", e, want)
		}
	}
}

// Two definitions live at once must not both have something to say about a
// request, nor about a variable.
func TestCatalogHasNoTwoOfAKind(t *testing.T) {
	variables := map[string]string{}
	var all []*Provider
	for _, name := range shipped(t) {
		p := shippedProvider(t, name)
		for _, v := range p.IndexEntry().Env {
			if other, ok := variables[v]; ok {
				t.Errorf("%s and %s both have variable %s", other, name, v)
			}
			variables[v] = name
		}
		if p.NeedsBase() && p.Base.Default != "" {
			based, err := p.ForBase("")
			if err != nil {
				t.Fatal(err)
			}
			p = based
		}
		all = append(all, p)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			if at, both := Overlap(a, b); both {
				t.Errorf("%s and %s both have %s", a.Name, b.Name, at)
			}
		}
	}
}

// No file of the catalogue is for the registry that is left to a user's own.
func TestCatalogLeavesOneRegistryOut(t *testing.T) {
	for _, name := range shipped(t) {
		if strings.HasPrefix(name, "npm") {
			t.Errorf("%s ships", name)
		}
	}
}

func TestOwnDefinitions(t *testing.T) {
	c, err := NewCatalog(own(t))
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.Get("acme"); err != nil || p.Name != "acme" || !c.Own("acme") || c.Own("github") {
		t.Errorf("%v, %v", p, err)
	}
	if !slices.Contains(c.Names(), "acme") || !slices.IsSorted(c.Names()) {
		t.Errorf("names are %v", c.Names())
	}
	if _, err := c.Get("nobody"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
	if _, err := c.Get("../catalog/github"); !errors.Is(err, ErrUnknown) {
		t.Errorf("%v", err)
	}
}

// An own definition takes the place of a shipped one only by saying so.
func TestAttackOwnDefinitionInDisguise(t *testing.T) {
	const replaces = `refresh = "none"`
	toGitHub := []string{`"api.acme.example"`, `"api.github.com"`, "https://api.acme.example", "https://api.github.com"}
	for name, p := range map[string]*Provider{
		"same name":                   own(t, `name = "acme"`, `name = "github"`),
		"same host and path":          own(t, toGitHub...),
		"a suffix over its host":      own(t, `"*.git.acme.example"`, `"*.github.com"`, `"eu.git.acme.example"`, `"*.github.com"`, `paths = ["/*/*/info/refs"]`, `paths = ["/**"]`),
		"replaces another":            own(t, append([]string{replaces, `replaces = "gitlab"`}, toGitHub...)...),
		"name of one, replaces other": own(t, `name = "acme"`, `name = "github"`, replaces, `replaces = "gitlab"`),
	} {
		if _, err := NewCatalog(p); !errors.Is(err, ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := NewCatalog(own(t, replaces, `replaces = "nobody"`)); !errors.Is(err, ErrUnknown) {
		t.Errorf("replacing nobody: %v", err)
	}
	if _, err := NewCatalog(own(t), own(t)); !errors.Is(err, ErrConflict) {
		t.Errorf("twice: %v", err)
	}
	if _, err := NewCatalog(own(t), own(t, `name = "acme"`, `name = "acme-two"`)); !errors.Is(err, ErrConflict) {
		t.Errorf("two of one host: %v", err)
	}
	two := own(t, `name = "acme"`, `name = "mine"`, replaces, `replaces = "github"`)
	three := own(t, `name = "acme"`, `name = "yours"`, replaces, `replaces = "github"`, "acme.example", "other.example")
	if _, err := NewCatalog(two, three); !errors.Is(err, ErrConflict) {
		t.Errorf("two in place of one: %v", err)
	}

	// Positive control: with replaces it works, and the shipped one is gone, but
	// its variables are still taken from a child.
	c, err := NewCatalog(own(t, append([]string{replaces, `replaces = "github"`}, toGitHub...)...))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Get("github"); !errors.Is(err, ErrUnknown) {
		t.Errorf("the replaced definition is still there: %v", err)
	}
	for _, e := range c.Index() {
		if e.Name == "github" || e.Name == "acme" && (!slices.Contains(e.Env, "GH_TOKEN") || !slices.Contains(e.Env, "ACME_TOKEN")) {
			t.Errorf("index has %+v", e)
		}
	}
}

func TestCatalogIsSafeForConcurrentUse(t *testing.T) {
	c, err := NewCatalog(own(t))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for _, name := range c.Names() {
				if p, err := c.Get(name); err != nil || p.Name != name {
					t.Errorf("%v, %v", p, err)
				}
			}
			c.Index()
		})
	}
	wg.Wait()
}

// What a session does at its start: the index, and one definition.
func BenchmarkStart(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		c, err := NewCatalog()
		if err != nil {
			b.Fatal(err)
		}
		if len(c.Index()) == 0 {
			b.Fatal("no index")
		}
		if _, err := c.Get("github"); err != nil {
			b.Fatal(err)
		}
	}
}
