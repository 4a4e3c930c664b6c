package providers

import (
	"errors"
	"strings"
	"testing"
)

// sound is a definition that passes every check. Each row of the table below
// breaks one thing in it.
const sound = `name = "acme"
title = "Acme API"
docs = "https://docs.acme.example/auth"
sources = ["https://docs.acme.example/cli"]
hosts = ["api.acme.example", "*.git.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }
scrub = ["ACME_ADMIN_TOKEN"]
refresh = "none"
secret_paths = ["/hooks/*"]

[[login]]
method = "token"
title = "access token"
page = "https://acme.example/tokens"
[[login.field]]
name = "user"
label = "User"
[[login.field]]
name = "token"
label = "Access token"
secret = true
pattern = '^acme_\w{36}$'

[[inject]]
hosts = ["eu.git.acme.example"]
paths = ["/*/*/info/refs"]
basic = { username = "{user}", password = "{token}" }
source = "https://docs.acme.example/git"
[[inject.repository]]
path = "/{owner}/{name}/**"
is = "git.acme.example/{owner}/{name}"

[[inject]]
hosts = ["api.acme.example"]
header = { Authorization = "Bearer {token}" }
source = "https://docs.acme.example/auth"

[identity]
url = "https://api.acme.example/me"
name = "data.login"
source = "https://docs.acme.example/me"

[[mints]]
hosts = ["api.acme.example"]
method = "POST"
path = "/v1/tokens"
source = "https://docs.acme.example/tokens"
`

func TestParseTakesTheSound(t *testing.T) {
	p, err := Parse([]byte(sound))
	if err != nil {
		t.Fatal(err)
	}
	if p.Unverified || p.Login.Default.Fields[1].Name != "token" || p.Identity.Method != "GET" || p.Refresh != "none" {
		t.Errorf("read %+v", p)
	}
	// The pages of the blocks are sources too.
	for _, page := range []string{"cli", "git", "auth", "me", "tokens"} {
		if !strings.Contains(strings.Join(p.Sources, " "), "https://docs.acme.example/"+page) {
			t.Errorf("sources lack %q: %v", page, p.Sources)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for name, row := range map[string]struct{ old, new, want string }{
		"no name":                       {`name = "acme"`, ``, `name "" is not`},
		"name in capitals":              {`name = "acme"`, `name = "Acme"`, `name "Acme" is not`},
		"no title":                      {`title = "Acme API"`, ``, `title is missing`},
		"bidi title":                    {`title = "Acme API"`, `title = "Acme\u202eIPA"`, `cannot be shown`},
		"no docs":                       {`docs = "https://docs.acme.example/auth"`, ``, `docs is missing`},
		"docs by http":                  {`docs = "https://docs`, `docs = "http://docs`, `no https address`},
		"bad refresh":                   {`refresh = "none"`, `refresh = "often"`, `not none, keep or rotate`},
		"bad replaces":                  {`refresh = "none"`, `replaces = "A b"`, `no provider's name`},
		"unknown key":                   {`refresh = "none"`, `refrehs = "none"`, `unknown key "refrehs"`},
		"unknown key in a rule":         {`paths = ["/*/*/info/refs"]`, `path = ["/*/*/info/refs"]`, `unknown key "inject.path"`},
		"no TOML":                       {`refresh = "none"`, `refresh = none`, ``},
		"no hosts":                      {`hosts = ["api.acme.example", "*.git.acme.example"]`, ``, `no host is given`},
		"host twice":                    {`"*.git.acme.example"]`, `"*.git.acme.example", "api.acme.example"]`, `stands twice`},
		"host in capitals":              {`hosts = ["api.acme.example", "*`, `hosts = ["API.acme.example", "*`, `write it as "api.acme.example"`},
		"host with a dot at the end":    {`hosts = ["api.acme.example", "*`, `hosts = ["api.acme.example.", "*`, `write it as "api.acme.example"`},
		"host with a star in it":        {`"*.git.acme.example"]`, `"api*.acme.example"]`, `a star may only stand`},
		"regular expression":            {`"*.git.acme.example"]`, `".*git.acme.example"]`, `a star may only`},
		"star alone":                    {`"*.git.acme.example"]`, `"*"]`, `a star may only`},
		"top-level suffix":              {`"*.git.acme.example"]`, `"*.com"]`, `one label only`},
		"public suffix":                 {`"*.git.acme.example"]`, `"*.co.uk"]`, `public suffix`},
		"private suffix":                {`"*.git.acme.example"]`, `"*.github.io"]`, `public suffix`},
		"tenants' suffix":               {`"*.git.acme.example"]`, `"*.supabase.co"]`, `public suffix`},
		"one label":                     {`"*.git.acme.example"]`, `"localhost"]`, `one label only`},
		"address":                       {`"*.git.acme.example"]`, `"127.0.0.1"]`, `an address belongs`},
		"IDN not in A-labels":           {`"*.git.acme.example"]`, `"bücher.example"]`, `write it as "xn--bcher-kva.example"`},
		"rule without hosts":            {`hosts = ["api.acme.example"]` + "\nheader", "header", `hosts is missing`},
		"rule's host is not listed":     {`hosts = ["api.acme.example"]` + "\nheader", `hosts = ["www.acme.example"]` + "\nheader", `not among the provider's hosts`},
		"rule's host above a suffix":    {`hosts = ["eu.git.acme.example"]`, `hosts = ["git.acme.example"]`, `not among the provider's hosts`},
		"host on another port":          {`hosts = ["api.acme.example"]` + "\nheader", `hosts = ["api.acme.example:8443"]` + "\nheader", `not among the provider's hosts`},
		"host without a rule":           {"[[mints]]\nhosts = [\"api.acme.example\"]\nmethod = \"POST\"\npath = \"/v1/tokens\"\nsource = \"https://docs.acme.example/tokens\"\n", "", ``},
		"bad glob":                      {`paths = ["/*/*/info/refs"]`, `paths = ["info/refs"]`, `start with a slash`},
		"capture in a rule's path":      {`paths = ["/*/*/info/refs"]`, `paths = ["/{owner}/x"]`, `stands only in a repository's path`},
		"undeclared field":              {`Bearer {token}`, `Bearer {key}`, `has no field "key"`},
		"rule without a field":          {`"Bearer {token}"`, `"Bearer x"`, `puts no field of the login`},
		"template with a line break":    {`"Bearer {token}"`, `"Bearer {token}\r\nX: y"`, `only printable ASCII`},
		"template with a brace":         {`"Bearer {token}"`, `"Bearer {token"`, `written {name}`},
		"template with a space behind":  {`"Bearer {token}"`, `"{token} "`, `a space at an end`},
		"Host header":                   {`Authorization = "Bearer`, `Host = "Bearer`, `not a definition's to touch`},
		"Content-Length header":         {`Authorization = "Bearer`, `content-length = "Bearer`, `not a definition's to touch`},
		"Proxy-Authorization":           {`Authorization = "Bearer`, `Proxy-Authorization = "Bearer`, `not a definition's to touch`},
		"header with a colon":           {`Authorization = "Bearer`, `"A:b" = "Bearer`, `no header field's name`},
		"one header twice":              {`{ Authorization = "Bearer {token}" }`, `{ X-A = "{token}", x-a = "{token}" }`, `stands twice`},
		"basic beside Authorization":    {`basic = { username`, `header = { Authorization = "{token}" }` + "\nbasic = { username", `are one place`},
		"colon in a Basic user":         {`username = "{user}"`, `username = "a:{user}"`, `no colon`},
		"unknown method":                {"[[inject]]\nhosts = [\"api", "[[inject]]\nmethod = \"oauth\"\nhosts = [\"api", `no login has method "oauth"`},
		"rule without a source":         {"header = { Authorization = \"Bearer {token}\" }\nsource = \"https://docs.acme.example/auth\"", `header = { Authorization = "Bearer {token}" }`, `no vendor page is given for it`},
		"identity without a source":     {"name = \"data.login\"\nsource = \"https://docs.acme.example/me\"", `name = "data.login"`, `no vendor page is given for it`},
		"identity elsewhere":            {`url = "https://api.acme.example/me"`, `url = "https://www.acme.example/me"`, `no rule sends a credential`},
		"identity by http":              {`url = "https://api.acme.example/me"`, `url = "http://api.acme.example/me"`, `no https address`},
		"identity without a name":       {`name = "data.login"`, ``, `no path into a JSON answer`},
		"identity with a body by GET":   {`name = "data.login"`, "name = \"data.login\"\nbody = \"{}\"", `a body goes with POST only`},
		"identity by DELETE":            {`name = "data.login"`, "name = \"data.login\"\nmethod = \"DELETE\"", `not GET or POST`},
		"mint at another host":          {"[[mints]]\nhosts = [\"api.acme.example\"]", "[[mints]]\nhosts = [\"www.acme.example\"]", `not among the provider's hosts`},
		"mint by a lower-case method":   {`method = "POST"`, `method = "post"`, `no HTTP method in capitals`},
		"no login":                      {`[[login]]`, `[[xlogin]]`, `unknown key`},
		"no secret field":               {`secret = true`, ``, `no required field with secret = true`},
		"field without a label":         {`label = "User"`, ``, `has no label`},
		"field twice":                   {`name = "user"`, `name = "token"`, `stands twice`},
		"field that nothing sends":      {`username = "{user}"`, `username = "git"`, `no rule sends field "user"`},
		"bad pattern":                   {`'^acme_\w{36}$'`, `'^acme_(\w{36}$'`, `missing closing )`},
		"pattern not anchored":          {`'^acme_\w{36}$'`, `'acme_'`, `not anchored`},
		"placeholder too short":         {`"acme_{random36}"`, `"acme_{random4}"`, `too easily hit`},
		"placeholder that cannot be":    {`"acme_{random36}"`, `"acme_{words36}"`, `is none of`},
		"placeholder constant":          {`"acme_{random36}"`, `"acme"`, `can be told from others`},
		"variable PATH":                 {`{ ACME_TOKEN =`, `{ PATH = "x", ACME_TOKEN =`, `not a provider's to set`},
		"variable LD_PRELOAD":           {`{ ACME_TOKEN =`, `{ LD_PRELOAD = "x", ACME_TOKEN =`, `not a provider's to set`},
		"variable HTTPS_PROXY":          {`{ ACME_TOKEN =`, `{ HTTPS_PROXY = "x", ACME_TOKEN =`, `not a provider's to set`},
		"variable GIT_SSH_COMMAND":      {`scrub = ["ACME_ADMIN_TOKEN"]`, `scrub = ["GIT_SSH_COMMAND"]`, `not a provider's to set`},
		"variable in lower case":        {`{ ACME_TOKEN =`, `{ acme = "x", ACME_TOKEN =`, `a variable is capitals`},
		"scrub what is set":             {`scrub = ["ACME_ADMIN_TOKEN"]`, `scrub = ["ACME_TOKEN"]`, `stands twice`},
		"secret path hiding nothing":    {`secret_paths = ["/hooks/*"]`, `secret_paths = ["/hooks/x"]`, `hides nothing`},
		"remote without a host":         {`is = "git.acme.example/{owner}/{name}"`, `is = "{owner}/{name}"`, `does not start with a host`},
		"remote without a repository":   {`is = "git.acme.example/{owner}/{name}"`, `is = "git.acme.example/x"`, `names no repository`},
		"remote with a foreign capture": {`is = "git.acme.example/{owner}/{name}"`, `is = "git.acme.example/{owner}/{name}/{sub}"`, `{sub} is no capture`},
		"capture unused":                {`is = "git.acme.example/{owner}/{name}"`, `is = "git.acme.example/{owner}"`, `capture {name} is not used`},
		"remote of no base":             {`is = "git.acme.example/{owner}/{name}"`, `is = "{host}/{owner}/{name}"`, `this rule has none`},
		"{host} without a base":         {`hosts = ["api.acme.example", "*`, `hosts = ["{host}", "*`, `base is missing`},
		"base without {host}":           {`refresh = "none"`, `base = { example = "https://a.example" }`, `no host holds {host}`},
		"{host} before a name":          {`"*.git.acme.example"]`, `"{host}.acme.example"]`, `stands alone or after labels`},
		"suffix of {host}":              {`"*.git.acme.example"]`, `"*.{host}"]`, `stands alone or after labels`},
		"rule that is never reached":    {"[[inject]]\nhosts = [\"api.acme.example\"]", "[[inject]]\nhosts = [\"api.acme.example\"]\nheader = { X-A = \"{token}\" }\nunverified = true\n[[inject]]\nhosts = [\"api.acme.example\"]", `takes every path`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(sound, row.old) {
				t.Fatalf("the sound definition has no %q", row.old)
			}
			text := strings.Replace(sound, row.old, row.new, 1)
			if name == "host without a rule" {
				text = strings.Replace(text, `secret_paths = ["/hooks/*"]`, "", 1)
				text = strings.Replace(text, `"*.git.acme.example"]`, `"*.git.acme.example", "www.acme.example"]`, 1)
				row.want = `no rule is for host "www.acme.example"`
			}
			_, err := Parse([]byte(text))
			var refused *DefinitionError
			if !errors.As(err, &refused) {
				t.Fatalf("took it: %v", err)
			}
			said := ""
			for _, p := range refused.Problems {
				said += p.At + ": " + p.Message + "\n"
			}
			if !strings.Contains(said, row.want) {
				t.Errorf("said\n%swant %q", said, row.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("error of more than one line: %v", err)
			}
		})
	}
}

// A definition without sources is taken when it says so, and shows so.
func TestUnverified(t *testing.T) {
	text := sound
	for _, line := range strings.Split(sound, "\n") {
		if strings.HasPrefix(line, "source") {
			text = strings.Replace(text, line+"\n", "", 1)
		}
	}
	if _, err := Parse([]byte(text)); err == nil {
		t.Error("took a definition without any source")
	}
	p, err := Parse([]byte("unverified = true\n" + text))
	if err != nil || !p.Unverified {
		t.Errorf("%v, %v", p, err)
	}
}

func TestParseRefusesTooMuch(t *testing.T) {
	if _, err := Parse([]byte(sound + strings.Repeat("# \n", maxDefinition))); err == nil {
		t.Error("took a definition of any length")
	}
}

func TestMismatchOfAPatternOnlyWarns(t *testing.T) {
	p := shippedProvider(t, "github")
	f := p.Login.Default.Fields[0]
	if f.Fits(secretOf("not-a-token")) || !f.Fits(secretOf("ghp_0123456789abcdefghijABCDEFGHIJ012345")) {
		t.Error("the pattern says nothing")
	}
	if _, err := p.Compile("", fieldsOf("token", "not-a-token")); err != nil {
		t.Errorf("a mismatch refuses: %v", err)
	}
}
