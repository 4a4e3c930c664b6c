package profile

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var twoProfiles = []Profile{{Name: "work"}, {Name: "oss"}}

// at is a query from a repository (or, without remotes, a plain directory) in
// the home directory /home/me.
func at(dir string, remotes ...string) Query {
	q := Query{
		User: "me", Machine: "laptop", Agent: "claude", Home: "/home/me",
		Workspace: Workspace{Dir: dir},
	}
	for i, r := range remotes {
		if i == 0 {
			q.Workspace.Root, q.Workspace.MainRoot, q.Workspace.Primary = dir, dir, "r0"
		}
		name := "r" + string(rune('0'+i))
		q.Workspace.Remotes = append(q.Workspace.Remotes, Remote{Name: name, Normal: r, NormalResolved: r})
	}
	return q
}

func TestResolve(t *testing.T) {
	acme := at("/home/me/src/api", "github.com/acme/api")
	for name, c := range map[string]struct {
		q      Query
		change func(q *Query)
		rules  []Rule
		want   string // profile and deciding rule; "" for ErrNoMatch, "tie" for ambiguity
	}{
		"nothing known":     {q: acme},
		"no rule, default":  {q: acme, change: func(q *Query) { q.Default = "oss" }, want: "oss"},
		"explicit wins":     {q: acme, change: func(q *Query) { q.Explicit = "oss" }, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, want: "oss"},
		"explicit over tie": {q: acme, change: func(q *Query) { q.Explicit = "oss" }, rules: []Rule{{ID: "a", Profile: "work", User: "me"}, {ID: "b", Profile: "oss", Agent: "claude"}}, want: "oss"},
		"rule over default": {q: acme, change: func(q *Query) { q.Default = "oss" }, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, want: "work a"},

		"remote":                  {q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, want: "work a"},
		"another org":             {q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acm/*"}}},
		"an org that starts so":   {q: at("/x", "github.com/acmeevil/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}},
		"a host that starts so":   {q: at("/x", "github.com.evil.example/acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/**"}}},
		"a host that ends so":     {q: at("/x", "evilgithub.com/acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/**"}}},
		"* is no slash":           {q: at("/x", "github.com/acme/a/b"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}},
		"** is any depth":         {q: at("/x", "gitlab.acme.example/a/b/c"), rules: []Rule{{ID: "a", Profile: "work", Remote: "gitlab.acme.example/**"}}, want: "work a"},
		"host wildcard":           {q: at("/x", "git.acme.example/a"), rules: []Rule{{ID: "a", Profile: "work", Remote: "*.acme.example/**"}}, want: "work a"},
		"host wildcard, one part": {q: at("/x", "evil/acme.example/a"), rules: []Rule{{ID: "a", Profile: "work", Remote: "*.acme.example/**"}}},
		"case is one on github":   {q: at("/x", "github.com/Acme/API"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/api"}}, want: "work a"},
		"case in the pattern":     {q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/Acme/A*"}}, want: "work a"},
		"case counts elsewhere":   {q: at("/x", "git.acme.example/Acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "git.acme.example/acme/*"}}},
		"a port is another host":  {q: at("/x", "github.com:8443/acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}},
		"an IPv6 address":         {q: at("/x", "[::1]:2222/acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: `\[::1\]:2222/acme/*`}}, want: "work a"},
		"only the primary decides": {
			q: at("/x", "github.com/me/api", "github.com/acme/api"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}},
		},
		"no primary, no remote rule": {q: acme, change: func(q *Query) { q.Workspace.Primary = "" }, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}},
		"unmatched remote falls to directory": {
			q: at("/home/me/oss/x", "github.com/other/x"), rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "oss", Dir: "~/oss/**"}}, want: "oss b",
		},
		"insteadOf's result matches": {
			q: acme, change: func(q *Query) { q.Workspace.Remotes[0].Normal = "gh/acme/api" }, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}, want: "work a",
		},
		"what insteadOf replaced matches": {
			q: acme, change: func(q *Query) { q.Workspace.Remotes[0].Normal = "github-work/acme/api" }, rules: []Rule{{ID: "a", Profile: "work", Remote: "github-work/**"}}, want: "work a",
		},
		"where it pushes decides": {
			q: acme, change: func(q *Query) { q.Workspace.Remotes[0].Push = "github.com/me/api" },
			rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "oss", Remote: "github.com/me/*"}}, want: "oss b",
		},

		"directory":                   {q: at("/home/me/oss/x/y"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}, want: "oss a"},
		"the directory itself":        {q: at("/home/me/oss"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}, want: "oss a"},
		"a directory that starts so":  {q: at("/home/me/oss2/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}},
		"another's home":              {q: at("/home/you/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}},
		"absolute":                    {q: at("/srv/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "/srv/oss/**"}}, want: "oss a"},
		"the whole home":              {q: at("/home/me/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/**"}}, want: "oss a"},
		"home alone":                  {q: at("/home/me"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~"}}, want: "oss a"},
		"home alone is not below":     {q: at("/home/me/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~"}}},
		"everything":                  {q: at("/srv"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "/**"}}, want: "oss a"},
		"no home":                     {q: at("/oss/x"), change: func(q *Query) { q.Home = "" }, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}},
		"home is the root":            {q: at("/oss/x"), change: func(q *Query) { q.Home = "/" }, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}, want: "oss a"},
		"wildcard inside":             {q: at("/home/me/a/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/*/oss/**"}}, want: "oss a"},
		"** inside":                   {q: at("/home/me/a/b/oss"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/**/oss"}}, want: "oss a"},
		"exact is not below, outside": {q: at("/home/me/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss"}}},
		"exact holds in a repository's subdirectories": {
			q: at("/home/me/oss/x", "github.com/other/x"), change: func(q *Query) { q.Workspace.Dir += "/cmd/y" }, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/x"}}, want: "oss a",
		},
		"* holds in a repository's subdirectories": {
			q: at("/home/me/oss/x", "github.com/other/x"), change: func(q *Query) { q.Workspace.Dir += "/cmd/y" }, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/*"}}, want: "oss a",
		},
		"but not above its root": {
			q: at("/home/me/oss/x", "github.com/other/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss"}},
		},
		"linked worktree by its main one": {
			q: at("/tmp/wt", "github.com/other/x"), change: func(q *Query) { q.Workspace.MainRoot = "/home/me/oss/x" }, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}}, want: "oss a",
		},
		"linked worktree, its own first": {
			q: at("/home/me/work/wt", "github.com/other/x"), change: func(q *Query) { q.Workspace.MainRoot = "/home/me/oss/a/b/c/x" },
			rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/a/b/c/**"}, {ID: "b", Profile: "work", Dir: "~/work/**"}}, want: "work b",
		},

		"user":                     {q: acme, rules: []Rule{{ID: "a", Profile: "work", User: "me"}, {ID: "b", Profile: "oss", User: "you"}}, want: "work a"},
		"machine without a domain": {q: acme, change: func(q *Query) { q.Machine = "Laptop.local" }, rules: []Rule{{ID: "a", Profile: "work", Machine: "laptop"}}, want: "work a"},
		"another machine":          {q: acme, rules: []Rule{{ID: "a", Profile: "work", Machine: "desk"}}},
		"agent":                    {q: acme, rules: []Rule{{ID: "a", Profile: "work", Agent: "claude"}, {ID: "b", Profile: "oss", Agent: "codex"}}, want: "work a"},
		"agent unknown":            {q: acme, change: func(q *Query) { q.Agent = "" }, rules: []Rule{{ID: "a", Profile: "work", Agent: "claude"}}},
		"one condition fails":      {q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*", User: "you"}}},
		"a rule of nothing":        {q: acme, rules: []Rule{{ID: "a", Profile: "work"}}},

		"more conditions beat fewer": {
			q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/api"}, {ID: "b", Profile: "oss", Dir: "~/**", User: "me"}}, want: "oss b",
		},
		"remote beats directory": {
			q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/**"}, {ID: "b", Profile: "oss", Dir: "~/src/api"}}, want: "work a",
		},
		"longer remote": {
			q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "oss", Remote: "github.com/acme/api"}}, want: "oss b",
		},
		"wildcards are no length": {
			q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/*/???"}, {ID: "b", Profile: "oss", Remote: "github.com/acme/*"}}, want: "oss b",
		},
		"* is longer than **": {
			q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/**"}, {ID: "b", Profile: "oss", Remote: "github.com/acme/*"}}, want: "oss b",
		},
		"longer directory": {
			q: at("/home/me/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/**"}, {ID: "b", Profile: "work", Dir: "~/**"}}, want: "oss a",
		},
		"~ is as long as what it means": {
			q: at("/home/me/oss/x"), rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/oss/x"}, {ID: "b", Profile: "work", Dir: "/home/me/**"}}, want: "oss a",
		},
		"directory beats user":   {q: acme, rules: []Rule{{ID: "a", Profile: "oss", Dir: "~/**"}, {ID: "b", Profile: "work", User: "me"}}, want: "oss a"},
		"tie":                    {q: acme, rules: []Rule{{ID: "a", Profile: "oss", Remote: "github.com/acme/*"}, {ID: "b", Profile: "work", Remote: "github.com/acme/*"}}, want: "tie"},
		"tie of other kinds":     {q: acme, rules: []Rule{{ID: "a", Profile: "oss", User: "me"}, {ID: "b", Profile: "work", Agent: "claude"}}, want: "tie"},
		"tie within one profile": {q: acme, rules: []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}, {ID: "b", Profile: "work", Remote: "github.com/acme/*"}}, want: "work a"},
		"tie below the strongest": {
			q: acme, rules: []Rule{{ID: "a", Profile: "oss", User: "me"}, {ID: "b", Profile: "work", Agent: "claude"}, {ID: "c", Profile: "work", Remote: "github.com/**"}}, want: "work c",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, r := range c.rules { // the table holds what users can make
				if err := ValidateRule(r); err != nil && name != "a rule of nothing" {
					t.Fatal(err)
				}
			}
			if c.change != nil {
				c.q.Workspace.Remotes = slices.Clone(c.q.Workspace.Remotes)
				c.change(&c.q)
			}
			m, err := Resolve(c.q, twoProfiles, c.rules)
			got := m.Profile
			if m.Rule != nil {
				got += " " + m.Rule.ID
			}
			var tied *AmbiguousError
			switch {
			case errors.As(err, &tied):
				got = "tie"
				if !slices.Equal(tied.Profiles, []string{"oss", "work"}) || len(tied.Rules) != 2 {
					t.Errorf("tie of %+v", tied)
				}
			case errors.Is(err, ErrNoMatch):
				if got != "" {
					t.Errorf("no match, but profile %q", got)
				}
			case err != nil:
				t.Error(err)
			}
			if got != c.want {
				t.Errorf("got %q, want %q (%s)", got, c.want, m.Reason)
			}
			if m.Reason == "" {
				t.Error("no reason")
			}
		})
	}
}

// The reason is one sentence that a person can check.
func TestResolveReasons(t *testing.T) {
	acme := at("/home/me/src/api", "github.com/acme/api")
	tie := []Rule{{ID: "r1", Profile: "work", Remote: "github.com/acme/*"}, {ID: "r2", Profile: "oss", Remote: "github.com/acme/*"}}
	explicit, def := acme, acme
	explicit.Explicit, def.Default = "work", "work"
	worktree := at("/tmp/wt", "github.com/other/x")
	worktree.Workspace.MainRoot = "/home/me/oss/x"
	for _, c := range []struct {
		q     Query
		rules []Rule
		want  string
	}{
		{acme, []Rule{{ID: "r3", Profile: "work", Remote: "github.com/acme/*"}}, "remote github.com/acme/api matches rule r3 (github.com/acme/*)"},
		{acme, []Rule{{ID: "r3", Profile: "work", Dir: "~/src/**"}}, "directory /home/me/src/api matches rule r3 (~/src/**)"},
		{acme, []Rule{{ID: "r3", Profile: "work", Remote: "github.com/acme/*", User: "me"}}, "remote github.com/acme/api, user me match rule r3 (remote github.com/acme/*, user me)"},
		{acme, []Rule{{ID: "r3", Profile: "work", Agent: "claude"}}, "agent claude matches rule r3 (agent claude)"},
		{worktree, []Rule{{ID: "r3", Profile: "work", Dir: "~/oss/**"}}, "main worktree /home/me/oss/x matches rule r3 (~/oss/**)"},
		{explicit, nil, "profile work was named by the user"},
		{def, nil, "no rule matches remote github.com/acme/api or directory /home/me/src/api; work is the default profile"},
		{acme, nil, "no rule matches remote github.com/acme/api or directory /home/me/src/api, and there is no default profile"},
		{acme, tie, `choose a profile for "github.com/acme/api": rule r2 (remote github.com/acme/*) says oss and rule r1 (remote github.com/acme/*) says work; they are equally strong`},
	} {
		if m, _ := Resolve(c.q, twoProfiles, c.rules); m.Reason != c.want {
			t.Errorf("reason %q\nwant   %q", m.Reason, c.want)
		}
	}
}

// A profile that is gone is an error, never the next best one.
func TestResolveUnknownProfile(t *testing.T) {
	acme := at("/home/me/src/api", "github.com/acme/api")
	rules := []Rule{{ID: "a", Profile: "gone", Remote: "github.com/acme/*"}, {ID: "b", Profile: "work", Dir: "~/**"}}
	var unknown *UnknownProfileError
	if m, err := Resolve(acme, twoProfiles, rules); !errors.As(err, &unknown) || unknown.Name != "gone" || unknown.Rule.ID != "a" {
		t.Errorf("rule: %+v, %v", m, err)
	}
	if got, want := unknown.Error(), `find profile "gone": rule a names it, but there is none`; got != want {
		t.Errorf("error %q, want %q", got, want)
	}
	q := acme
	q.Explicit = "gone"
	if _, err := Resolve(q, twoProfiles, nil); !errors.As(err, &unknown) || unknown.Rule != nil || unknown.Error() != `find profile "gone": there is none` {
		t.Errorf("explicit: %v", err)
	}
	q = acme
	q.Default = "gone"
	if _, err := Resolve(q, twoProfiles, nil); !errors.As(err, &unknown) {
		t.Errorf("default: %v", err)
	}
}

func TestResolveMatched(t *testing.T) {
	m, err := Resolve(at("/home/me/src/api", "github.com/acme/api"), twoProfiles, []Rule{
		{ID: "user", Profile: "oss", User: "me"},
		{ID: "no", Profile: "oss", User: "you"},
		{ID: "dir", Profile: "oss", Dir: "~/**"},
		{ID: "both", Profile: "work", Dir: "~/**", User: "me"},
		{ID: "remote", Profile: "oss", Remote: "github.com/**"},
	})
	var ids []string
	for _, r := range m.Matched {
		ids = append(ids, r.ID)
	}
	if want := []string{"both", "remote", "dir", "user"}; err != nil || !slices.Equal(ids, want) || m.Remote != "" {
		t.Errorf("matched %v, remote %q, %v; want %v", ids, m.Remote, err, want)
	}
}

// Symbolic links in a pattern lead to the real directory, however many
// patterns there are.
func TestResolveThroughLinks(t *testing.T) {
	home, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"data/work/api", "data/wor", "data/oss", "src"} {
		if err := os.MkdirAll(filepath.Join(home, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for link, to := range map[string]string{"work": "data/work", "src/acme": "../data/work", "wor": "data/wor", "dangling": "nowhere", "loop": "loop", "linkhome": "."} {
		if err := os.Symlink(to, filepath.Join(home, link)); err != nil {
			t.Fatal(err)
		}
	}
	var crowd []Rule // enough siblings that the directory is read whole
	for _, parent := range []string{"~/", "~/src/", "/"} {
		for i := range 3 * fewChildren {
			crowd = append(crowd, Rule{ID: "crowd", Profile: "oss", Dir: parent + "other" + strings.Repeat("x", i) + "/**"})
		}
	}
	for _, c := range []struct {
		pattern string
		home    string
		match   bool
	}{
		{"~/work/**", home, true},
		{"~/src/acme/*", home, true},
		{"~/src/acme/api", home, true},
		{"~/data/work/**", home, true},
		{home + "/work/**", "", true},
		{"~/work/**", home + "/linkhome", true},
		{"~/*/work/**", home, true},
		{"~/dangling/**", home, false},
		{"~/loop/**", home, false},
		{"~/src/other/**", home, false},
		{"~/wor/**", home, false},
		{"~/data/oss/**", home, false},
	} {
		for _, others := range [][]Rule{nil, crowd} {
			q := at(filepath.Join(home, "data/work/api"))
			q.Home = c.home
			rules := append(slices.Clone(others), Rule{ID: "a", Profile: "work", Dir: c.pattern})
			m, err := Resolve(q, twoProfiles, rules)
			if got := m.Profile == "work"; got != c.match {
				t.Errorf("%s among %d rules: matches %v, want %v (%v)", c.pattern, len(rules), got, c.match, err)
			}
		}
	}
}

// Match is a copy: a caller that keeps it cannot change the vault's rules.
func TestResolveCopiesRules(t *testing.T) {
	rules := []Rule{{ID: "a", Profile: "work", Remote: "github.com/acme/*"}}
	before := slices.Clone(rules)
	m, err := Resolve(at("/x", "github.com/acme/api"), twoProfiles, rules)
	if err != nil {
		t.Fatal(err)
	}
	m.Rule.Profile, m.Matched[0].Profile = "oss", "oss"
	if !reflect.DeepEqual(rules, before) {
		t.Error("the caller's rules changed")
	}
}
