package providers

import (
	"maps"
	"slices"
	"strings"
	"testing"
)

// Every method with a flow has a golden file, and no golden file is for a method
// that is not there.
func TestEveryGrantIsGolden(t *testing.T) {
	files := readGrants(t)
	for _, name := range shipped(t) {
		p := shippedProvider(t, name)
		var want, got []string
		for _, m := range p.Login.Methods() {
			if m.Flow != FlowPaste {
				want = append(want, m.Name)
			}
		}
		if f := files[name]; f != nil {
			for _, g := range f.Methods {
				got = append(got, g.Method)
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		if got = slices.Compact(got); !slices.Equal(got, want) {
			t.Errorf("%s: methods with a flow are %v, with a golden file %v", name, want, got)
		}
		delete(files, name)
	}
	for name := range files {
		t.Errorf("%s.golden is for no provider", name)
	}
}

// The catalogue keeps its promise of logins that are granted and not pasted.
func TestTwentyProvidersGrant(t *testing.T) {
	const promised = 20
	granting := map[string]bool{}
	for name, f := range readGrants(t) {
		for _, g := range f.Methods {
			if m, ok := shippedProvider(t, name).Login.Method(g.Method); ok && m.Flow == FlowOAuth {
				granting[name] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(granting))
	t.Logf("%d providers grant tokens to a person: %s", len(names), strings.Join(names, " "))
	if len(names) < promised {
		t.Errorf("%d providers, promised are %d", len(names), promised)
	}
}
