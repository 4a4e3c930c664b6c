package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// What people do to a vault, as kinds of operation. Each makes its writes for
// the ledger and, where kb has a command for it, that command.

// A step is one save: an operation is one, or two where it removes something
// and makes it anew.
type step struct {
	writes []write
	typed  []string // arguments of kb; none: done through the package
	stdin  string
}

type operation struct {
	kind, record string
	steps        []step
}

type kind struct {
	name, typ string
	// fresh: it makes a record that was not there, under a name that another
	// may give too. Any other kind needs a record that is there.
	fresh bool
	// alone: what it makes has an id that no other side gives.
	alone bool
	// lists: it writes a list of what is allowed.
	lists bool
	// make does it to a record of l, to focus if that will do; ok is false
	// where l has none to do it to.
	make func(g *generator, l ledger, focus string) (op operation, ok bool)
}

var kinds = []kind{
	{name: "profile add", typ: "profile", fresh: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.free(l, focus, "profile/new", "profile/side")
		return operation{record: record, steps: []step{g.newProfile(record)}}, ok
	}},
	{name: "profile rm", typ: "profile", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, nil)
		return operation{record: record, steps: []step{removeProfile(l, record)}}, ok
	}},
	{name: "profile recreate", typ: "profile", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, nil)
		return operation{record: record, steps: []step{removeProfile(l, record), g.newProfile(record)}}, ok
	}},
	{name: "git name set", typ: "profile", make: setText("git_name", "--git-name")},
	{name: "git email set", typ: "profile", make: setText("git_email", "--git-email")},
	{name: "git name clear", typ: "profile", make: clearText("git_name", "--git-name")},
	{name: "git email clear", typ: "profile", make: clearText("git_email", "--git-email")},
	{name: "also add", typ: "profile", lists: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, func(f map[string]string) bool { return len(strings.Fields(f["also"])) < len(others) })
		list := strings.Fields(l[record]["also"])
		spare := slices.DeleteFunc(slices.Clone(others), func(s string) bool { return slices.Contains(list, s) })
		if !ok {
			return operation{}, false
		}
		return setAlso(record, append(list, spare[g.rng.IntN(len(spare))])), true
	}},
	{name: "also remove", typ: "profile", lists: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, has("also"))
		if !ok {
			return operation{}, false
		}
		list := strings.Fields(l[record]["also"])
		i := g.rng.IntN(len(list))
		return setAlso(record, slices.Delete(list, i, i+1)), true
	}},
	{name: "expect set", typ: "profile", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, nil)
		field := "expect." + []string{"linear", "openai", "mistral"}[g.rng.IntN(3)]
		return setExpect(l, write{record: record, field: field, value: g.fresh("account")}), ok
	}},
	{name: "expect clear", typ: "profile", make: func(g *generator, l ledger, focus string) (operation, bool) {
		expects := func(f map[string]string) bool { return len(expectations(f)) > 0 }
		record, ok := g.pick(l, "profile/", focus, expects)
		if !ok {
			return operation{}, false
		}
		fields := expectations(l[record])
		return setExpect(l, write{record: record, field: fields[g.rng.IntN(len(fields))], gone: true}), true
	}},

	{name: "rule add", typ: "rule", fresh: true, alone: true, make: func(g *generator, l ledger, _ string) (operation, bool) {
		of, ok := g.pick(l, "profile/", "", nil)
		record, name, remote := "rule/"+g.fresh("r"), key(of), g.remote()
		return operation{record: record, steps: []step{{
			writes: []write{{record: record, field: "select", value: name + " " + remote}},
			typed:  []string{"rule", "add", name, "--remote", remote},
		}}}, ok
	}},
	{name: "rule change", typ: "rule", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "rule/", focus, nil)
		of, _, _ := strings.Cut(l[record]["select"], " ")
		return one(record, step{writes: []write{{record: record, field: "select", value: of + " " + g.remote()}}}), ok
	}},
	{name: "rule rm", typ: "rule", make: remove("rule/", func(record string) []string { return []string{"rule", "rm", key(record)} })},

	{name: "login add", typ: "login", fresh: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		var names []string
		for _, of := range records(l, "profile/") {
			names = append(names, "login/"+key(of)+"/mistral", "login/"+key(of)+"/linear/side")
		}
		g.rng.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		record, ok := g.free(l, focus, names...)
		return one(record, g.login(record)), ok
	}},
	{name: "login replace", typ: "login", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "login/", focus, nil)
		return one(record, g.login(record, "--replace")), ok
	}},
	{name: "login rm", typ: "login", make: remove("login/", logout)},
	{name: "login recreate", typ: "login", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "login/", focus, nil)
		return operation{record: record, steps: []step{{writes: []write{{record: record, gone: true}}, typed: logout(record)}, g.login(record)}}, ok
	}},

	{name: "provider add", typ: "provider", fresh: true, lists: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.free(l, focus, "provider/build", "provider/chat")
		return one(record, g.definition(record)), ok
	}},
	{name: "provider change", typ: "provider", lists: true, make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "provider/", focus, nil)
		return one(record, step{writes: g.definition(record).writes}), ok
	}},
	{name: "provider rm", typ: "provider", make: remove("provider/", undefine)},
	{name: "provider recreate", typ: "provider", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "provider/", focus, nil)
		return operation{record: record, steps: []step{{writes: []write{{record: record, gone: true}}, typed: undefine(record)}, g.definition(record)}}, ok
	}},

	{name: "default set", typ: "setting", make: func(g *generator, l ledger, _ string) (operation, bool) {
		without := maps.Clone(l)
		delete(without, "profile/"+l[setting]["value"]) // what it is already would change nothing
		of, ok := g.pick(without, "profile/", "", nil)
		return one(setting, setDefault(key(of))), ok
	}},
	{name: "default clear", typ: "setting", make: func(_ *generator, l ledger, _ string) (operation, bool) {
		return one(setting, setDefault("")), l[setting]["value"] != ""
	}},

	{name: "device rename", typ: "device", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "device/", focus, nil)
		return one(record, step{writes: []write{{record: record, field: "name", value: g.fresh("machine")}}}), ok
	}},
	{name: "device rm", typ: "device", make: func(g *generator, l ledger, focus string) (operation, bool) {
		spare := maps.Clone(l) // the two that work go on working
		delete(spare, "device/a")
		delete(spare, "device/b")
		record, ok := g.pick(spare, "device/", focus, nil)
		return one(record, step{writes: []write{{record: record, gone: true}}}), ok
	}},
	{name: "device add", typ: "device", fresh: true, alone: true, make: func(g *generator, _ ledger, _ string) (operation, bool) {
		record := "device/" + g.fresh("d")
		return one(record, step{writes: []write{{record: record, field: "name", value: g.fresh("machine")}}}), true
	}},

	{name: "client set", typ: "client", make: func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "client/", focus, nil)
		return one(record, g.client(record)), ok
	}},
	{name: "client rm", typ: "client", make: remove("client/", nil)},
}

const setting = "setting/default_profile"

// others are the names that an also takes. No profile has them, so that no
// list names its own.
var others = []string{"bot", "ci", "infra", "lab", "shop"}

func key(record string) string {
	_, k, _ := strings.Cut(record, "/")
	return k
}

func records(l ledger, typ string) []string {
	var list []string
	for record := range l {
		if strings.HasPrefix(record, typ) {
			list = append(list, record)
		}
	}
	slices.Sort(list)
	return list
}

func has(field string) func(map[string]string) bool {
	return func(f map[string]string) bool { return f[field] != "" }
}

func expectations(fields map[string]string) []string {
	var list []string
	for field := range fields {
		if strings.HasPrefix(field, "expect.") {
			list = append(list, field)
		}
	}
	slices.Sort(list)
	return list
}

func one(record string, s step) operation { return operation{record: record, steps: []step{s}} }

func setText(field, flag string) func(*generator, ledger, string) (operation, bool) {
	return func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, nil)
		value := g.fresh("n")
		return one(record, step{
			writes: []write{{record: record, field: field, value: value}},
			typed:  []string{"profile", "set", key(record), flag, value},
		}), ok
	}
}

func clearText(field, flag string) func(*generator, ledger, string) (operation, bool) {
	return func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, "profile/", focus, has(field))
		return one(record, step{
			writes: []write{{record: record, field: field, gone: true}},
			typed:  []string{"profile", "set", key(record), flag, ""},
		}), ok
	}
}

func setAlso(record string, list []string) operation {
	slices.Sort(list)
	value := strings.Join(list, " ")
	return one(record, step{
		writes: []write{{record: record, field: "also", value: value, gone: value == ""}},
		typed:  []string{"profile", "set", key(record), "--also", strings.Join(list, ",")},
	})
}

// setExpect changes one expectation: kb takes all of them at once.
func setExpect(l ledger, w write) operation {
	after := maps.Clone(l[w.record])
	if after == nil {
		after = map[string]string{}
	}
	if after[w.field] = w.value; w.gone {
		delete(after, w.field)
	}
	typed := []string{"profile", "set", key(w.record), "--expect", ""}
	if fields := expectations(after); len(fields) > 0 {
		typed = typed[:3]
		for _, field := range fields {
			typed = append(typed, "--expect", strings.TrimPrefix(field, "expect.")+"="+after[field])
		}
	}
	return one(w.record, step{writes: []write{w}, typed: typed})
}

func setDefault(name string) step {
	typed := []string{"profile", "default", name}
	if name == "" {
		typed[2] = "none"
	}
	return step{writes: []write{{record: setting, field: "value", value: name}}, typed: typed}
}

func remove(typ string, typed func(record string) []string) func(*generator, ledger, string) (operation, bool) {
	return func(g *generator, l ledger, focus string) (operation, bool) {
		record, ok := g.pick(l, typ, focus, nil)
		s := step{writes: []write{{record: record, gone: true}}}
		if typed != nil {
			s.typed = typed(record)
		}
		return one(record, s), ok
	}
}

// removeProfile is what kb profile rm does: its rules and logins go too, and
// it is the default no more.
func removeProfile(l ledger, record string) step {
	name := key(record)
	s := step{typed: []string{"profile", "rm", name}}
	for _, r := range records(l, "rule/") {
		if strings.HasPrefix(l[r]["select"], name+" ") {
			s.writes = append(s.writes, write{record: r, gone: true})
		}
	}
	for _, r := range records(l, "login/"+name+"/") {
		s.writes = append(s.writes, write{record: r, gone: true})
	}
	if l[setting]["value"] == name {
		s.writes = append(s.writes, write{record: setting, field: "value"})
	}
	s.writes = append(s.writes, write{record: record, gone: true})
	return s
}

func undefine(record string) []string { return []string{"provider", "rm", key(record)} }

func logout(record string) []string {
	parts := strings.Split(record, "/")
	typed := []string{"logout", parts[2], "-p", parts[1]}
	if len(parts) == 4 {
		typed = append(typed, "--as", parts[3])
	}
	return typed
}

func (g *generator) newProfile(record string) step {
	s := step{writes: []write{{record: record}}, typed: []string{"profile", "add", key(record)}}
	add := func(field, value, flag, argument string) {
		s.writes = append(s.writes, write{record: record, field: field, value: value})
		s.typed = append(s.typed, flag, argument)
	}
	if g.maybe() {
		name := g.fresh("n")
		add("git_name", name, "--git-name", name)
	}
	if g.maybe() {
		address := g.fresh("me") + "@example.com"
		add("git_email", address, "--git-email", address)
	}
	if g.maybe() {
		list := slices.Sorted(slices.Values([]string{others[g.rng.IntN(2)], others[2+g.rng.IntN(3)]}))
		add("also", strings.Join(list, " "), "--also", strings.Join(list, ","))
	}
	if g.maybe() {
		account := g.fresh("account")
		add("expect.linear", account, "--expect", "linear="+account)
	}
	return s
}

func (g *generator) login(record string, flags ...string) step {
	parts := strings.Split(record, "/")
	value := g.fresh("key")
	s := step{writes: []write{
		{record: record, field: "credential", value: value},
		{record: record, field: "created", value: fmt.Sprint(1_800_000_000 + g.n)},
	}, stdin: value + "\n"}
	if len(parts) > 2 {
		s.typed = append([]string{"login", parts[2], "-p", parts[1], "--stdin", "--no-verify"}, flags...)
	}
	if len(parts) == 4 {
		s.typed = append(s.typed, "--as", parts[3])
	}
	return s
}

func (g *generator) client(record string) step {
	return step{writes: []write{{record: record, field: "registration", value: g.fresh("id") + " " + g.fresh("secret")}}}
}

func (g *generator) remote() string { return "git.example.com/" + g.fresh("team") + "/*" }

// definition is one that kb provider add takes: fileArgument is where the text
// goes.
func (g *generator) definition(record string) step {
	name := key(record)
	text := fmt.Sprintf(`name = %[1]q
title = %[2]q
docs = "https://%[1]s.example/docs"
sources = ["https://%[1]s.example/docs"]
hosts = ["%[1]s.example"]
env = { %[3]s_KEY = "{random32}" }

[[login]]
method = "key"
title = "API key"
page = "https://%[1]s.example/keys"
[[login.field]]
name = "api_key"
label = "API key"
secret = true

[[inject]]
hosts = ["%[1]s.example"]
header = { Authorization = "Bearer {api_key}" }
source = "https://%[1]s.example/docs"
`, name, g.fresh("Title"), strings.ToUpper(name))
	return step{
		writes: []write{{record: record, field: "definition", value: text}},
		typed:  []string{"provider", "add", fileArgument}, stdin: text,
	}
}

// fileArgument stands for a file with the step's stdin in it.
const fileArgument = "FILE"
