package providers

import (
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"kb/internal/golden"
	"kb/internal/oauth"
	"kb/internal/testkit"
)

const grantsDir = "testdata/oauth"

// readGrants reads every golden file of grants, by provider.
func readGrants(t testing.TB) map[string]*golden.Grants {
	t.Helper()
	files, err := golden.ReadGrants(grantsDir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*golden.Grants{}
	for _, f := range files {
		all[f.Provider] = f
	}
	return all
}

// Every login method with a flow asks its authorization server as the vendor's
// page says, over TLS, at the vendor's own names, and understands the answers.
func TestGoldenGrants(t *testing.T) {
	for name, f := range readGrants(t) {
		t.Run(name, func(t *testing.T) {
			p := shippedProvider(t, name)
			for i := range f.Methods {
				g := &f.Methods[i]
				v := &vendor{}
				for _, err := range runGrant(p, g, v, worldOf(t, v, g)) {
					t.Error(err)
				}
			}
		})
	}
}

// worldOf is the vendor's hosts with TLS, and the way there.
func worldOf(t *testing.T, v *vendor, g *golden.Grant) http.RoundTripper {
	t.Helper()
	world := testkit.New(t)
	ports := map[string][]uint16{}
	for _, s := range g.Steps {
		host, port, _ := strings.Cut(strings.SplitN(s.URL, "/", 4)[2], ":")
		number := uint64(httpsPort)
		if port != "" {
			var err error
			if number, err = strconv.ParseUint(port, 10, 16); err != nil {
				t.Fatal(err)
			}
		}
		if !slices.Contains(ports[host], uint16(number)) {
			ports[host] = append(ports[host], uint16(number))
		}
	}
	for host, list := range ports {
		world.Serve(host, testkit.OriginConfig{Handler: v, Ports: list})
	}
	return world.Client().Transport
}

// Every mutant of a definition's authorization server is noticed by its golden
// file: no field is there that no hand-written request holds to account.
func TestGoldenGrantsKillEveryMutant(t *testing.T) {
	killed, total := 0, 0
	for name, f := range readGrants(t) {
		run := func(method string, change func(*Method)) (diffs []error) {
			p := shippedProvider(t, name)
			m, ok := p.Login.Method(method)
			if !ok {
				t.Fatalf("%s: no method %q", name, method)
			}
			change(m)
			for i := range f.Methods {
				if f.Methods[i].Method == method {
					diffs = append(diffs, runGrant(p, &f.Methods[i], &vendor{}, nil)...)
				}
			}
			return diffs
		}
		for _, m := range shippedProvider(t, name).Login.Methods() {
			if m.Flow == FlowPaste {
				continue
			}
			// Positive control: a mutant that changes nothing is not killed.
			if diffs := run(m.Name, func(*Method) {}); len(diffs) > 0 {
				t.Errorf("%s %s: the definition itself differs: %v", name, m.Name, diffs[0])
				continue
			}
			for _, mutant := range grantMutants(m) {
				total++
				if len(run(m.Name, mutant.change)) == 0 {
					t.Errorf("%s %s: nothing notices: %s", name, m.Name, mutant.name)
					continue
				}
				killed++
			}
		}
	}
	t.Logf("mutants killed: %d of %d", killed, total)
}

type grantMutant struct {
	name   string
	change func(*Method)
}

// unobserved are the fields that say where a fact comes from.
var unobserved = []string{"Source", "Unverified"}

// grantMutants changes each thing that the method says, once by taking it away
// and once by another value.
func grantMutants(m *Method) (all []grantMutant) {
	add := func(name string, change func(*Method)) { all = append(all, grantMutant{name, change}) }
	server := reflect.ValueOf(*m.Server)
	for i := range server.NumField() {
		name, value := server.Type().Field(i).Name, server.Field(i)
		if value.IsZero() || slices.Contains(unobserved, name) {
			continue
		}
		field := func(m *Method) reflect.Value { return reflect.ValueOf(m.Server).Elem().Field(i) }
		add(name+" gone", func(m *Method) { field(m).SetZero() })
		switch value.Kind() {
		case reflect.String:
			add(name+" other", func(m *Method) { field(m).SetString(other(name, value.String())) })
		case reflect.Map:
			for key := range value.Interface().(map[string]string) {
				add(name+" "+key+" gone", func(m *Method) { delete(field(m).Interface().(map[string]string), key) })
				add(name+" "+key+" other", func(m *Method) { field(m).Interface().(map[string]string)[key] += "x" })
			}
		case reflect.Slice:
			for j := range value.Len() {
				add(fmt.Sprintf("%s %d gone", name, j), func(m *Method) {
					field(m).Set(reflect.ValueOf(slices.Delete(slices.Clone(field(m).Interface().([]string)), j, j+1)))
				})
			}
		case reflect.Bool:
		default:
			panic("no mutant for a field of kind " + value.Kind().String())
		}
	}
	for i := range m.Scopes {
		add("scope gone: "+m.Scopes[i], func(m *Method) { m.Scopes = slices.Delete(m.Scopes, i, i+1) })
	}
	for i := range m.Fields {
		add("field "+m.Fields[i].Name, func(m *Method) { m.Fields[i].Name += "x" })
	}
	return all
}

// other is another value of a field, one that it may have.
func other(field, value string) string {
	switch field {
	case "ClientAuth", "RevokeAuth":
		if value == "basic" {
			return "none"
		}
		return "basic"
	case "RevokeWhat":
		if value == "refresh" || value == "both" {
			return "access"
		}
		return "refresh"
	case "RevokeMethod":
		return http.MethodPut
	case "AccessLifetime":
		return "1h1m1s"
	case "RedirectTo":
		return strings.Replace(value, "/callback", "/elsewhere", 1) + "/x"
	case "PKCE":
		return "plain"
	}
	if rest, ok := strings.CutPrefix(value, "https://"); ok {
		return "https://mutant." + rest
	}
	return value + "x"
}

// What a definition says of a server is all that internal/oauth's server has:
// nothing is left behind between the two.
func TestServerHasEveryHabit(t *testing.T) {
	// Found by discovery only.
	found := []string{"PAR"}
	mine := reflect.TypeFor[Server]()
	for _, field := range reflect.VisibleFields(reflect.TypeFor[oauth.Server]()) {
		if _, ok := mine.FieldByName(field.Name); !ok && !slices.Contains(found, field.Name) {
			t.Errorf("a definition cannot say %s", field.Name)
		}
	}
	full := Server{}
	value := reflect.ValueOf(&full).Elem()
	for i := range value.NumField() {
		switch f := value.Field(i); f.Kind() {
		case reflect.String:
			f.SetString("1h")
		case reflect.Bool:
			f.SetBool(true)
		case reflect.Map:
			f.Set(reflect.ValueOf(map[string]string{"a": "b"}))
		case reflect.Slice:
			f.Set(reflect.ValueOf([]string{"a"}))
		}
	}
	made := reflect.ValueOf(oauthServer(&full))
	for i := range made.NumField() {
		if name := made.Type().Field(i).Name; made.Field(i).IsZero() && !slices.Contains(found, name) {
			t.Errorf("%s does not reach internal/oauth", name)
		}
	}
}
