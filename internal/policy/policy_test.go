package policy_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"kb/internal/policy"
	"kb/profile"
	"kb/providers"
)

var grammar = policy.Grammar{
	Path:            func(p string) (policy.PathPattern, error) { return providers.ParsePath(p) },
	CheckRepository: profile.CheckRemotePattern,
	MatchRepository: profile.MatchRemote,
}

func compile(t testing.TB, rules ...policy.Rule) *policy.Set {
	t.Helper()
	for i := range rules {
		if rules[i].Profile == "" {
			rules[i].Profile = "work"
		}
		if rules[i].ID == "" {
			rules[i].ID = "p" + string(rune('1'+i))
		}
	}
	s, err := policy.Compile(rules, grammar)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// request is POST https://api.linear.app/graphql of profile work.
func request(change ...func(*policy.Request)) *policy.Request {
	r := &policy.Request{
		Profile: "work", Provider: "linear", Methods: []string{"POST"}, Host: "api.linear.app", Port: 443,
		Readings: []policy.Reading{{Path: "/graphql"}},
	}
	for _, f := range change {
		f(r)
	}
	return r
}

func at(path string) func(*policy.Request) {
	return func(r *policy.Request) {
		r.Readings = []policy.Reading{{Path: path}}
		if decoded := providers.DecodedPath(path); decoded != path {
			r.Readings = append(r.Readings, policy.Reading{Path: decoded, Decoded: true})
		}
	}
}

func by(methods ...string) func(*policy.Request) {
	return func(r *policy.Request) { r.Methods = methods }
}

func on(host string, port uint16) func(*policy.Request) {
	return func(r *policy.Request) { r.Host, r.Port = host, port }
}

func in(repository string, git policy.Kinds) func(*policy.Request) {
	return func(r *policy.Request) {
		for i := range r.Readings {
			r.Readings[i].Repository, r.Readings[i].Git = repository, git
		}
	}
}

func minting(r *policy.Request) { r.Mint = true }

const (
	allow, ask, deny, limit = policy.Allow, policy.Ask, policy.Deny, policy.Limit
)

func TestDecide(t *testing.T) {
	type rules = []policy.Rule
	for name, c := range map[string]struct {
		rules rules
		ask   *policy.Request
		want  policy.Effect
		by    string // id of the line that decides
	}{
		"no line":                 {nil, request(), allow, ""},
		"another profile's":       {rules{{Profile: "oss", Effect: deny}}, request(), allow, ""},
		"everything":              {rules{{Effect: deny}}, request(), deny, "p1"},
		"more conditions":         {rules{{Effect: deny}, {Effect: allow, Provider: "linear"}}, request(), allow, "p2"},
		"more, not later":         {rules{{Effect: allow, Provider: "linear", Methods: []string{"POST"}}, {Effect: deny, Provider: "linear"}}, request(), allow, "p1"},
		"longer path":             {rules{{Effect: deny, Path: "/repos/**"}, {Effect: allow, Path: "/repos/acme/**"}}, request(at("/repos/acme/x")), allow, "p2"},
		"literal path":            {rules{{Effect: deny, Path: "/repos/*"}, {Effect: allow, Path: "/repos/a"}}, request(at("/repos/a")), allow, "p2"},
		"exact host over suffix":  {rules{{Effect: deny, Host: "*.linear.app"}, {Effect: allow, Host: "api.linear.app"}}, request(), allow, "p2"},
		"path before host":        {rules{{Effect: deny, Path: "/graphql"}, {Effect: allow, Host: "api.linear.app"}}, request(), deny, "p1"},
		"tie: deny":               {rules{{Effect: allow, Provider: "linear"}, {Effect: deny, Provider: "linear"}}, request(), deny, "p2"},
		"tie: ask before allow":   {rules{{Effect: allow, Provider: "linear"}, {Effect: ask, Provider: "linear"}}, request(), ask, "p2"},
		"tie of unlike lines":     {rules{{Effect: allow, Methods: []string{"POST"}}, {Effect: deny, Git: "write"}}, request(in("", policy.Writes)), deny, "p2"},
		"longer repository":       {rules{{Effect: deny, Repository: "github.com/acme/*"}, {Effect: allow, Repository: "github.com/acme/api"}}, request(in("github.com/acme/api", 0)), allow, "p2"},
		"two that ask for a mint": {rules{{Effect: ask, Methods: []string{"POST"}}, {Effect: ask, Mint: true}}, request(minting), ask, "p2"},
		"limit decides nothing":   {rules{{Effect: limit, PerMinute: 1, Provider: "linear"}, {Effect: deny}}, request(), deny, "p2"},
		"another method":          {rules{{Effect: deny, Methods: []string{"DELETE"}}}, request(), allow, ""},
		"any method named":        {rules{{Effect: deny, Methods: []string{"DELETE"}}}, request(by("POST", "DELETE")), deny, "p1"},
		"named in lower case":     {rules{{Effect: deny, Methods: []string{"DELETE"}}}, request(by("POST", "delete")), deny, "p1"},
		"allowed by one only":     {rules{{Effect: deny}, {Effect: allow, Methods: []string{"POST"}}}, request(by("POST", "DELETE")), deny, "p1"},
		"lower case is not POST":  {rules{{Effect: deny}, {Effect: allow, Methods: []string{"POST"}}}, request(by("post")), deny, "p1"},
		"another provider":        {rules{{Effect: deny, Provider: "github"}}, request(), allow, ""},
		"suffix needs a label":    {rules{{Effect: deny, Host: "*.linear.app"}}, request(on("linear.app", 443)), allow, ""},
		"suffix at a boundary":    {rules{{Effect: deny, Host: "*.linear.app"}}, request(on("evillinear.app", 443)), allow, ""},
		"suffix, deeper":          {rules{{Effect: deny, Host: "*.linear.app"}}, request(on("a.b.linear.app", 443)), deny, "p1"},
		"any port":                {rules{{Effect: deny, Host: "api.linear.app"}}, request(on("api.linear.app", 8443)), deny, "p1"},
		"that port":               {rules{{Effect: deny, Host: "api.linear.app:8443"}}, request(), allow, ""},
		"an IPv6 address":         {rules{{Effect: deny, Host: "[2001:db8::1]:8443"}}, request(on("2001:db8::1", 8443)), deny, "p1"},
		"repository":              {rules{{Effect: deny, Repository: "github.com/acme/*"}}, request(in("github.com/ACME/api", 0)), deny, "p1"},
		"no repository":           {rules{{Effect: deny, Repository: "github.com/acme/*"}}, request(), allow, ""},
		"git write":               {rules{{Effect: deny, Git: "write"}}, request(in("", policy.Writes)), deny, "p1"},
		"git read passes":         {rules{{Effect: deny, Git: "write"}}, request(in("", policy.Reads)), allow, ""},
		"git, no one knows which": {rules{{Effect: deny, Git: "write"}}, request(in("", policy.Reads|policy.Writes)), deny, "p1"},
		"and not allowed by half": {rules{{Effect: deny}, {Effect: allow, Git: "read"}}, request(in("", policy.Reads|policy.Writes)), deny, "p1"},
		"not git":                 {rules{{Effect: deny, Git: "read"}}, request(), allow, ""},

		"mint":                          {nil, request(minting), deny, ""},
		"mint, no line with --mint":     {rules{{Effect: allow, Provider: "linear"}}, request(minting), deny, "p1"},
		"mint allowed":                  {rules{{Effect: allow, Mint: true}}, request(minting), allow, "p1"},
		"mint asked":                    {rules{{Effect: ask, Mint: true}}, request(minting), ask, "p1"},
		"mint denied by more":           {rules{{Effect: allow, Mint: true}, {Effect: deny, Provider: "linear", Path: "/graphql"}}, request(minting), deny, "p2"},
		"mint under an ask without it":  {rules{{Effect: allow, Mint: true}, {Effect: ask, Provider: "linear", Path: "/graphql"}}, request(minting), deny, "p2"},
		"a line with --mint, no mint":   {rules{{Effect: deny, Mint: true}}, request(), allow, ""},
		"%2F is a slash to some":        {rules{{Effect: deny, Path: "/admin/*"}}, request(at("/admin%2Fusers")), deny, "p1"},
		"and allows only in both":       {rules{{Effect: deny}, {Effect: allow, Path: "/a/*"}}, request(at("/a/b%2Fc")), deny, "p1"},
		"both fit":                      {rules{{Effect: deny}, {Effect: allow, Path: "/a/**"}}, request(at("/a/b%2Fc")), allow, "p2"},
		"the pattern is encoded too":    {rules{{Effect: deny}, {Effect: allow, Path: "/projects/acme%2Fapi/issues"}}, request(at("/projects/acme%2Fapi/issues")), allow, "p2"},
		"parameters are dropped":        {rules{{Effect: deny, Path: "/admin/users"}}, request(at("/admin;x=y/users")), deny, "p1"},
		"an encoded colon":              {rules{{Effect: deny, Path: "/v1/p:setIamPolicy"}}, request(at("/v1/p%3AsetIamPolicy")), deny, "p1"},
		"case, denied":                  {rules{{Effect: deny, Path: "/Admin/users"}}, request(at("/aDMIN/users")), deny, "p1"},
		"case, not allowed":             {rules{{Effect: deny}, {Effect: allow, Path: "/ok"}}, request(at("/OK")), deny, "p1"},
		"case under a broader deny":     {rules{{Effect: deny, Path: "/repos/**"}, {Effect: allow, Path: "/repos/acme/**"}}, request(at("/REPOS/acme/x")), deny, "p1"},
		"a slash at the end":            {rules{{Effect: deny, Path: "/admin"}}, request(at("/admin/")), deny, "p1"},
		"the pattern's slash":           {rules{{Effect: deny, Path: "/admin/"}}, request(at("/admin")), deny, "p1"},
		".json at the end":              {rules{{Effect: deny, Path: "/admin"}}, request(at("/admin.json")), deny, "p1"},
		"a pattern that ends in .json":  {rules{{Effect: deny, Path: "/a/*.json"}}, request(at("/a/x.json")), deny, "p1"},
		"one segment":                   {rules{{Effect: deny, Path: "/repos/*"}}, request(at("/repos/a/b")), allow, ""},
		"a repository in some readings": {rules{{Effect: deny, Repository: "github.com/acme/api"}}, request(at("/repos/acme%2Fapi"), func(r *policy.Request) { r.Readings[1].Repository = "github.com/acme/api" }), deny, "p1"},
	} {
		t.Run(name, func(t *testing.T) {
			for range 2 { // and in the other order
				v := compile(t, slices.Clone(c.rules)...).Decide(c.ask)
				id := ""
				if v.Rule != nil {
					id = v.Rule.ID
				}
				if v.Effect != c.want || id != c.by || v.Reason == "" {
					t.Errorf("got %s by %q (%s), want %s by %q", v.Effect, id, v.Reason, c.want, c.by)
				}
				for i := range c.rules {
					if c.rules[i].ID == "" {
						c.rules[i].ID = "p" + string(rune('1'+i))
					}
				}
				slices.Reverse(c.rules)
			}
		})
	}
}

func TestLimitsCount(t *testing.T) {
	s := compile(t,
		policy.Rule{ID: "all", Effect: limit, PerMinute: 100}, policy.Rule{ID: "posts", Effect: limit, PerMinute: 5, Methods: []string{"POST"}},
		policy.Rule{ID: "gets", Effect: limit, PerMinute: 5, Methods: []string{"GET"}}, policy.Rule{ID: "ok", Effect: allow, Provider: "linear"})
	v := s.Decide(request())
	var ids []string
	for _, l := range v.Limits {
		ids = append(ids, l.ID)
	}
	if v.Effect != allow || v.Rule.ID != "ok" || !slices.Equal(ids, []string{"posts", "all"}) {
		t.Errorf("%s by %v, limits %q", v.Effect, v.Rule, ids)
	}
	if got := s.Fitting(request()); len(got) != 3 {
		t.Errorf("%d lines fit, want 3", len(got))
	}
}

func TestConnect(t *testing.T) {
	s := compile(t,
		policy.Rule{ID: "host", Effect: deny, Host: "*.paste.example"}, policy.Rule{ID: "one", Effect: allow, Host: "good.paste.example"},
		policy.Rule{ID: "more", Effect: deny, Host: "registry.example", Methods: []string{"PUT"}}, policy.Rule{ID: "bare", Effect: deny})
	for host, want := range map[string]policy.Effect{
		"evil.paste.example": deny, "good.paste.example": allow, "paste.example": allow, "registry.example": allow, "x.example": allow,
	} {
		if v := s.Connect("work", host, 443); v.Effect != want || v.Reason == "" {
			t.Errorf("%s: %s (%s), want %s", host, v.Effect, v.Reason, want)
		}
	}
	if v := s.Connect("oss", "evil.paste.example", 443); v.Effect != allow {
		t.Errorf("another profile's line: %s", v.Effect)
	}
}

func TestWords(t *testing.T) {
	for want, r := range map[string]policy.Rule{
		"ask POST at linear": {Effect: ask, Methods: []string{"POST"}, Provider: "linear"},
		"deny everything":    {Effect: deny},
		"limit 30/min GET,POST at github on api.github.com path /repos/**": {
			Effect: limit, PerMinute: 30, Methods: []string{"GET", "POST"}, Provider: "github", Host: "api.github.com", Path: "/repos/**",
		},
		"deny repository github.com/acme/* git write": {Effect: deny, Repository: "github.com/acme/*", Git: "write"},
		"allow mint": {Effect: allow, Mint: true},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A line that cannot be enforced as it is meant is refused.
func TestCheck(t *testing.T) {
	good := policy.Rule{Profile: "work", Effect: deny}
	if err := good.Check(grammar); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*policy.Rule)
		field  string
	}{
		"effect":                   {func(r *policy.Rule) { r.Effect = "throttle" }, "effect"},
		"no effect":                {func(r *policy.Rule) { r.Effect = "" }, "effect"},
		"limit without a number":   {func(r *policy.Rule) { r.Effect = limit }, "limit"},
		"too large a number":       {func(r *policy.Rule) { r.Effect, r.PerMinute = limit, 100_001 }, "limit"},
		"a number without a limit": {func(r *policy.Rule) { r.PerMinute = 3 }, "limit"},
		"no profile":               {func(r *policy.Rule) { r.Profile = "" }, "profile"},
		"provider":                 {func(r *policy.Rule) { r.Provider = "Linear!" }, "provider"},
		"method in lower case":     {func(r *policy.Rule) { r.Methods = []string{"post"} }, "method"},
		"empty method":             {func(r *policy.Rule) { r.Methods = []string{""} }, "method"},
		"method twice":             {func(r *policy.Rule) { r.Methods = []string{"GET", "GET"} }, "method"},
		"git":                      {func(r *policy.Rule) { r.Git = "push" }, "git"},
		"path without a slash":     {func(r *policy.Rule) { r.Path = "repos" }, "path"},
		"path with dots":           {func(r *policy.Rule) { r.Path = "/a/../b" }, "path"},
		"path with a capture":      {func(r *policy.Rule) { r.Path = "/repos/{owner}" }, "path"},
		"path too long":            {func(r *policy.Rule) { r.Path = "/" + strings.Repeat("a", 600) }, "path"},
		"repository is a URL":      {func(r *policy.Rule) { r.Repository = "https://github.com/acme/api" }, "repository"},
		"host in upper case":       {func(r *policy.Rule) { r.Host = "API.linear.app" }, "host"},
		"host is a star":           {func(r *policy.Rule) { r.Host = "*" }, "host"},
		"star without a dot":       {func(r *policy.Rule) { r.Host = "*linear.app" }, "host"},
		"star inside":              {func(r *policy.Rule) { r.Host = "api.*.app" }, "host"},
		"a dot at the end":         {func(r *policy.Rule) { r.Host = "linear.app." }, "host"},
		"a URL for a host":         {func(r *policy.Rule) { r.Host = "https://linear.app" }, "host"},
		"port":                     {func(r *policy.Rule) { r.Host = "linear.app:0" }, "host"},
		"a look-alike":             {func(r *policy.Rule) { r.Host = "lіnear.app" }, "host"},
	} {
		t.Run(name, func(t *testing.T) {
			r := good
			c.change(&r)
			err := r.Check(grammar)
			var invalid *policy.InvalidError
			if !errors.As(err, &invalid) || invalid.Field != c.field {
				t.Errorf("%v, want a bad %s", err, c.field)
			}
			if _, err := policy.Compile([]policy.Rule{r}, grammar); err == nil {
				t.Error("compiled")
			}
		})
	}
}

func TestClosedDeniesEverything(t *testing.T) {
	s := policy.Closed(errors.New("broken"))
	if v := s.Decide(request()); v.Effect != deny || v.Reason != "broken" {
		t.Errorf("%+v", v)
	}
	if v := s.Connect("work", "x.example", 443); v.Effect != deny {
		t.Errorf("%+v", v)
	}
}

// Laws that hold whatever the lines are.
func TestLaws(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 7))
	one := func(list ...string) string { return list[rnd.IntN(len(list))] }
	random := func() policy.Rule {
		r := policy.Rule{
			Profile: "work", Effect: policy.Effect(one("allow", "ask", "deny")), Provider: one("", "", "linear", "github"),
			Host: one("", "", "api.linear.app", "*.linear.app", "api.github.com"), Path: one("", "", "/**", "/graphql", "/*", "/repos/**"),
			Repository: one("", "", "", "github.com/acme/*"), Git: one("", "", "", "read", "write"), Mint: rnd.IntN(8) == 0,
		}
		if m := one("", "", "POST", "GET"); m != "" {
			r.Methods = []string{m}
		}
		return r
	}
	for range 3000 {
		var rules []policy.Rule
		for i := range rnd.IntN(5) {
			r := random()
			r.ID = "p" + string(rune('a'+i))
			rules = append(rules, r)
		}
		r := request(at(one("/graphql", "/repos/x", "/Graphql", "/repos%2Fx")), by(one("POST", "GET", "get")), in(one("", "github.com/acme/api"), policy.Kinds(rnd.IntN(4))))
		r.Mint = rnd.IntN(6) == 0
		s := compile(t, slices.Clone(rules)...)
		before := s.Decide(r)
		// A further deny without conditions never allows more, and denies where
		// no line fitted or the weakest decided.
		after := compile(t, append(slices.Clone(rules), policy.Rule{ID: "pz", Profile: "work", Effect: deny})...).Decide(r)
		if strict(after) < strict(before) {
			t.Fatalf("%v: %v, and with a deny more %v", rules, before, after)
		}
		if after.Effect != deny && (after.Rule == nil || after.Rule.String() == string(after.Effect)+" everything") {
			t.Fatalf("%v: a deny without conditions lost to %v", rules, after)
		}
		// A line of another profile changes nothing.
		other := random()
		other.Profile, other.ID = "oss", "px"
		if got := compile(t, append(slices.Clone(rules), other)...).Decide(r); got.Effect != before.Effect || got.Reason != before.Reason {
			t.Fatalf("%v: another profile's %v made %v of %v", rules, other, got, before)
		}
		// A mint goes only by a line that says so.
		if r.Mint && before.Effect != deny && !before.Rule.Mint {
			t.Fatalf("%v: a mint passes by %v", rules, before.Rule)
		}
		// A further reading or method never allows more.
		wider := *r
		wider.Methods = append(slices.Clone(r.Methods), "DELETE")
		if strict(s.Decide(&wider)) < strict(before) {
			t.Fatalf("%v: a second method made it laxer", rules)
		}
	}
}

func strict(v policy.Verdict) int { return slices.Index([]policy.Effect{allow, ask, deny}, v.Effect) }

func TestMeter(t *testing.T) {
	start := time.Date(2026, 11, 26, 12, 0, 0, 900_000_000, time.UTC)
	rnd := rand.New(rand.NewPCG(1, 2))
	var m policy.Meter
	var taken []time.Time
	now, most := start, 0
	for range 5000 {
		now = now.Add(time.Duration(rnd.IntN(1500)) * time.Millisecond)
		if wait := m.Full(now, 20); wait == 0 {
			m.Count(now)
			taken = append(taken, now)
		} else if wait > 61*time.Second {
			t.Fatalf("a wait of %s", wait)
		} else if m.Full(now.Add(wait), 20) != 0 {
			t.Fatalf("no room after the %s that it said", wait)
		} else {
			now = now.Add(wait)
		}
		inMinute := 0
		for _, at := range taken[max(0, len(taken)-25):] {
			if now.Sub(at) < time.Minute {
				inMinute++
			}
		}
		most = max(most, inMinute)
	}
	if most != 20 {
		t.Errorf("%d in one minute, want the limit of 20 to be reached and kept", most)
	}
	if back := now.Add(-time.Hour); m.Full(now, 1) != 0 && m.Full(back, 1) == 0 {
		t.Error("a clock that is set back makes room")
	}
}

// Every request asks; with no lines that must cost nothing.
func TestDecideAllocatesNothingWithoutLines(t *testing.T) {
	var none *policy.Set
	other := compile(t, policy.Rule{Profile: "oss", Effect: deny})
	r := request()
	if n := testing.AllocsPerRun(100, func() { none.Decide(r); other.Decide(r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	r := request(at("/repos/acme/api"))
	var rules []policy.Rule
	for i := range 200 {
		rules = append(rules, policy.Rule{
			ID: "p" + string(rune('0'+i%10)) + string(rune('0'+i/10)), Effect: allow, Provider: "github", Host: "api.github.com", Path: "/repos/acme/*",
		})
	}
	near := slices.Clone(rules)
	for i := range near {
		near[i].Provider = "linear"
	}
	rules = append(rules, policy.Rule{ID: "mine", Effect: ask, Provider: "linear", Methods: []string{"DELETE"}})
	for _, c := range []struct {
		name string
		set  *policy.Set
	}{{"none", nil}, {"200 lines", compile(b, rules...)}, {"200 lines at the provider", compile(b, near...)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if v := c.set.Decide(r); v.Effect != allow {
					b.Fatal(v)
				}
			}
		})
	}
}

// FuzzDecide: nothing that a client sends, nor a line, makes a decision panic;
// and a deny without conditions holds against all of it.
func FuzzDecide(f *testing.F) {
	f.Add("/admin%2Fusers", "DELETE", "a.example", "/admin/*", "*.example", "github.com/acme/*")
	f.Add("/a;b/%3Bc", "get", "[::1]", "/**/x*y", "[::1]:443", "*")
	f.Fuzz(func(t *testing.T, path, method, host, pathPattern, hostPattern, repository string) {
		r := request(at(path), by(method, "GET"), on(host, 443), in(repository, policy.Reads))
		line := policy.Rule{ID: "p1", Profile: "work", Effect: deny, Path: pathPattern, Host: hostPattern, Repository: repository}
		bare := policy.Rule{ID: "p2", Profile: "work", Effect: deny}
		s, err := policy.Compile([]policy.Rule{line, bare}, grammar)
		if err != nil {
			s = compile(t, bare)
		}
		if v := s.Decide(r); v.Effect != deny || len(s.Fitting(r)) == 0 {
			t.Errorf("%+v", v)
		}
		s.Connect("work", host, 443)
	})
}

// TestAttackHostThatNeverFits: a line that denies a host by another spelling than
// requests are known by would deny nothing. It is refused where it is written.
func TestAttackHostThatNeverFits(t *testing.T) {
	t.Parallel()
	for host, fits := range map[string]string{ // the positive control: each fits the host that it names
		"10.0.0.1": "10.0.0.1", "10.0.0.1:8443": "10.0.0.1", "[2001:db8::1]": "2001:db8::1", "[2001:db8::1]:8443": "2001:db8::1",
		"a1.example": "a1.example", "*.1.example": "x.1.example", "4.example": "4.example", "x0": "x0",
	} {
		s, err := policy.Compile([]policy.Rule{{ID: "p1", Profile: "work", Effect: deny, Host: host}}, grammar)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if v := s.Connect("work", fits, 8443); v.Effect != deny {
			t.Errorf("%s does not deny %s", host, fits)
		}
	}
	for _, host := range []string{
		"[2001:0db8::1]", "[2001:db8:0:0:0:0:0:1]", "[2001:db8::0001]:443", "[::ffff:10.0.0.1]", "[::ffff:a00:1]", "2001:0db8::1",
		"010.0.0.1", "10.0.1", "167772161", "0x0a000001", "10.0.0.0x1", "10.0.0.256", "[10.0.0.1", "[nothing:here]", "a.1", "*.10",
	} {
		if _, err := policy.Compile([]policy.Rule{{ID: "p1", Profile: "work", Effect: deny, Host: host}}, grammar); err == nil {
			t.Errorf("%s is taken", host)
		}
	}
}
