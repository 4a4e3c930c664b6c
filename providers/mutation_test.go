package providers

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mutant is one small change to a definition, each of which would send a
// credential wrongly, or not at all, or not know what a request is.
type mutant struct {
	name   string
	change func(p *Provider)
}

// Every mutant of every definition is noticed by its golden file: no field of a
// definition is there that no hand-written request holds to account.
func TestGoldenKillsEveryMutant(t *testing.T) {
	run := func(name string, change func(p *Provider)) []error {
		p := shippedProvider(t, name)
		change(p)
		for i := range p.Inject {
			p.Inject[i].hosts = nil
		}
		if err := p.prepare(); err != nil {
			return []error{err}
		}
		return compare(p, readGolden(t, name))
	}
	killed, total := 0, 0
	for _, name := range shipped(t) {
		// Positive control: a mutant that changes nothing is not killed.
		if diffs := run(name, func(*Provider) {}); len(diffs) > 0 {
			t.Errorf("%s: the definition itself differs: %v", name, diffs[0])
			continue
		}
		for _, m := range mutants(shippedProvider(t, name)) {
			total++
			if len(run(name, m.change)) == 0 {
				t.Errorf("%s: nothing notices: %s", name, m.name)
				continue
			}
			killed++
		}
	}
	t.Logf("mutants killed: %d of %d", killed, total)
}

func mutants(p *Provider) []mutant {
	var all []mutant
	add := func(name string, change func(p *Provider)) { all = append(all, mutant{name, change}) }
	for i := range p.Inject {
		at := fmt.Sprintf("inject[%d]", i)
		add(at+" gone", func(p *Provider) { p.Inject = slices.Delete(p.Inject, i, i+1) })
		if p.Inject[i].Method != "" {
			// At the front, because a later rule for one method may never be reached by another.
			add(at+" every method", func(p *Provider) {
				in := p.Inject[i]
				in.Method = ""
				p.Inject = slices.Insert(slices.Delete(p.Inject, i, i+1), 0, in)
			})
		}
		ruleMutants(p, i, func(name string, change func(in *Inject)) {
			add(at+" "+name, func(p *Provider) { change(&p.Inject[i]) })
		})
	}
	for i, m := range p.Mints {
		at := fmt.Sprintf("mints[%d]", i)
		add(at+" gone", func(p *Provider) { p.Mints = slices.Delete(p.Mints, i, i+1) })
		add(at+" path", func(p *Provider) { p.Mints[i].Path = strings.TrimSuffix(m.Path, "/") + "/mutant" })
		if m.Method != "" {
			add(at+" method", func(p *Provider) { p.Mints[i].Method = "PURGE" })
		}
		for j := range m.Hosts {
			add(fmt.Sprintf("%s host %d", at, j), func(p *Provider) { p.Mints[i].Hosts = slices.Delete(slices.Clone(m.Hosts), j, j+1) })
		}
	}
	for i, s := range p.SecretPaths {
		add(fmt.Sprintf("secret_paths[%d]", i), func(p *Provider) { p.SecretPaths[i] = "/mutant" + s })
	}
	for i, l := range p.Login.Methods() {
		if l.Flow != FlowPaste {
			continue // its fields make the token: the golden files of grants hold them
		}
		for j, f := range l.Fields {
			add(fmt.Sprintf("login[%d] field %s", i, f.Name), func(p *Provider) { p.Login.Methods()[i].Fields[j].Name += "x" })
			if f.Optional {
				add(fmt.Sprintf("login[%d] field %s required", i, f.Name), func(p *Provider) { p.Login.Methods()[i].Fields[j].Optional = false })
			}
		}
	}
	envMutants(p, add)
	if p.Identity != nil {
		add("identity url", func(p *Provider) { p.Identity.URL += "x" })
		add("identity method", func(p *Provider) { p.Identity.Method = "PURGE" })
		add("identity name", func(p *Provider) { p.Identity.Name += "x" })
	}
	if p.Base != nil && p.Base.Default != "" {
		add("base default", func(p *Provider) { p.Base.Default = "https://mutant.example" })
	}
	return all
}

func envMutants(p *Provider, add func(string, func(*Provider))) {
	table := func(at string, env map[string]string, of func(p *Provider) map[string]string) {
		for name, template := range env {
			add(at+" "+name+" gone", func(p *Provider) { delete(of(p), name) })
			add(at+" "+name+" prefix", func(p *Provider) { of(p)[name] = "x" + template })
			add(at+" "+name+" length", func(p *Provider) { of(p)[name] = template + "{random1}" })
			if strings.Contains(template, "{") {
				add(at+" "+name+" constant", func(p *Provider) { of(p)[name] = "constant" })
			}
		}
	}
	table("env", p.Env, func(p *Provider) map[string]string { return p.Env })
	for i, m := range p.Login.Methods() {
		table(fmt.Sprintf("login[%d].env", i), m.Env, func(p *Provider) map[string]string { return p.Login.Methods()[i].Env })
	}
}

func ruleMutants(p *Provider, i int, add func(string, func(*Inject))) {
	in := p.Inject[i]
	valueMutants("header", in.Header, func(in *Inject) map[string]string { return in.Header }, add)
	valueMutants("query", in.Query, func(in *Inject) map[string]string { return in.Query }, add)
	valueMutants("cookie", in.Cookie, func(in *Inject) map[string]string { return in.Cookie }, add)
	if in.Basic != nil {
		add("basic user", func(in *Inject) { in.Basic.Username += "x" })
		add("basic password", func(in *Inject) { in.Basic.Password += "x" })
		add("basic swapped", func(in *Inject) {
			in.Basic.Username, in.Basic.Password = in.Basic.Password, in.Basic.Username
		})
		add("basic as header", func(in *Inject) {
			in.Header, in.Basic = map[string]string{"Authorization": "Bearer " + in.Basic.Password}, nil
		})
	}
	for j, h := range in.Hosts {
		add("host gone: "+h, func(in *Inject) { in.Hosts = slices.Delete(in.Hosts, j, j+1) })
		add("host renamed: "+h, func(in *Inject) { in.Hosts[j] = renamed(h) })
		add("host on another port: "+h, func(in *Inject) { in.Hosts[j] = h + ":8443" })
		if wide := widened(h); wide != "" {
			add("host widened: "+wide, func(in *Inject) { in.Hosts = append(in.Hosts, wide) })
		}
	}
	for j, s := range in.Paths {
		add("path gone: "+s, func(in *Inject) {
			in.Paths = slices.Delete(in.Paths, j, j+1)
			if len(in.Paths) == 0 {
				in.Paths = []string{"/mutant"}
			}
		})
		add("path longer: "+s, func(in *Inject) { in.Paths[j] = strings.TrimSuffix(s, "/") + "/mutant" })
	}
	if len(in.Paths) > 0 {
		add("every path", func(in *Inject) { in.Paths = nil })
	}
	if in.Method != "" {
		add("another method", func(in *Inject) { in.Method = "mutant" })
	}
	for j, name := range in.Delete {
		add("delete gone: "+name, func(in *Inject) { in.Delete = slices.Delete(in.Delete, j, j+1) })
	}
	for j, name := range in.DeleteQuery {
		add("delete_query gone: "+name, func(in *Inject) { in.DeleteQuery = slices.Delete(in.DeleteQuery, j, j+1) })
	}
	for j, r := range in.Repository {
		add("repository gone: "+r.Path, func(in *Inject) { in.Repository = slices.Delete(in.Repository, j, j+1) })
		add("repository path: "+r.Path, func(in *Inject) { in.Repository[j].Path = "/mutant" + r.Path })
		add("repository remote: "+r.Is, func(in *Inject) { in.Repository[j].Is = "mutant." + r.Is })
	}
}

func valueMutants(kind string, values map[string]string, of func(*Inject) map[string]string, add func(string, func(*Inject))) {
	for name, template := range values {
		add(kind+" renamed: "+name, func(in *Inject) { delete(of(in), name); of(in)[name+"x"] = template })
		add(kind+" prefix: "+template, func(in *Inject) { of(in)[name] = "x" + template })
		add(kind+" suffix: "+template, func(in *Inject) { of(in)[name] = template + "x" })
		if brace := strings.IndexByte(template, '{'); brace > 0 {
			add(kind+" scheme gone: "+template, func(in *Inject) { of(in)[name] = template[brace:] })
		}
		if len(values) > 1 {
			add(kind+" gone: "+name, func(in *Inject) { delete(of(in), name) })
		}
	}
}

func renamed(host string) string {
	if strings.HasPrefix(host, "*.") {
		return "*.mutant." + host[2:]
	}
	return "mutant." + host
}

// widened is the careless pattern that somebody might write in place of a host:
// every name beside it, or below it where there is none beside it.
func widened(host string) string {
	if strings.HasPrefix(host, "*.") || host == hostVar {
		return ""
	}
	if strings.Count(host, ".") < 2 {
		return "*." + host
	}
	_, parent, _ := strings.Cut(host, ".")
	return "*." + parent
}
