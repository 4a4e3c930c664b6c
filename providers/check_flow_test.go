package providers

import (
	"errors"
	"strings"
	"testing"
)

// granting is a definition whose methods have every flow. Each row of the tables
// below breaks one thing in it.
const granting = `name = "acme"
title = "Acme API"
docs = "https://docs.acme.example/auth"
sources = ["https://docs.acme.example/oauth"]
hosts = ["api.acme.example"]
env = { ACME_TOKEN = "acme_{random36}" }
refresh = "keep"

[[login]]
method = "token"
title = "access token"
[[login.field]]
name = "token"
label = "Access token"
secret = true

[[login]]
method = "oauth"
title = "OAuth app"
flow = "oauth"
client = "own"
page = "https://acme.example/apps"
scopes = ["read", "write:all"]
refresh = "rotate"
env = { ACME_OAUTH = "acmeo_{random36}" }
[login.server]
issuer = "https://auth.acme.example"
authorization = "https://auth.acme.example/oauth/authorize"
token = "https://api.acme.example/oauth/token"
device = "https://auth.acme.example/device"
revocation = "https://auth.acme.example/apps/{client_id}/revoke"
registration = "https://auth.acme.example/register"
refresh_token = "https://auth.acme.example/refresh"
resource = "https://api.acme.example/v1"
iss = true
client_auth = "basic"
json = true
separator = ","
pkce = "none"
authorize = { access_type = "offline" }
token_params = { audience = "api" }
header = { X-Acme = "1" }
at = "data.user"
invalid_grant = ["bad_refresh_token"]
revoke_method = "DELETE"
revoke_what = "grant"
revoke_auth = "bearer"
revoke_param = "access_token"
revoke_json = true
redirect = "http://127.0.0.1:{port}/callback"
lifetime = "1h"
source = "https://docs.acme.example/oauth"

[[login]]
method = "server"
title = "server app"
flow = "client-credentials"
[login.server]
token = "https://auth.acme.example/oauth/token"
token_params = { account_id = "{account_id}", grant_type = "account_credentials" }
source = "https://docs.acme.example/server"
[[login.field]]
name = "account_id"
label = "Account ID"
[[login.field]]
name = "client_id"
label = "Client ID"
[[login.field]]
name = "client_secret"
label = "Client secret"
secret = true

[[inject]]
hosts = ["api.acme.example"]
method = "token"
header = { X-Acme-Key = "{token}" }
source = "https://docs.acme.example/auth"

[[inject]]
hosts = ["api.acme.example"]
header = { Authorization = "Bearer {token}" }
source = "https://docs.acme.example/auth"

[[mints]]
hosts = ["api.acme.example"]
method = "POST"
path = "/oauth/token"
source = "https://docs.acme.example/oauth"
`

func TestParseTakesEveryFlow(t *testing.T) {
	p, err := Parse([]byte(granting))
	if err != nil {
		t.Fatal(err)
	}
	m, ok := p.Login.Method("oauth")
	if !ok || m.Server == nil || m.Server.Lifetime().Hours() != 1 || m.Refresh != "rotate" || !m.Server.RevokeJSON || m.Server.Authorize["access_type"] != "offline" {
		t.Errorf("read %+v", m)
	}
	if first, _ := p.Login.Method(""); first.Name != "token" || first.Refresh != "keep" {
		t.Errorf("the default is %+v", first)
	}
	if findings := Lint([]byte(granting)); len(findings) != 1 { // no [identity]
		t.Errorf("findings: %v", findings)
	}
	c, err := p.Compile("oauth", fieldsOf("token", "kb-canary"))
	if err != nil {
		t.Fatal(err)
	}
	cred, ok := c.Match("api.acme.example", 443, "/")
	if !ok || cred.Header[0].Name != "Authorization" || cred.Header[0].Value.Reveal() != "Bearer kb-canary" {
		t.Errorf("a granted token goes as %v", cred)
	}
	for name, want := range map[string]struct {
		method string
		way    Way
	}{"": {"token", ""}, "oauth": {"oauth", ""}, "code": {"oauth", WayCode}, "device": {"oauth", WayDevice}, "server": {"server", ""}} {
		if m, way, ok := p.Login.Choose(name); !ok || m.Name != want.method || way != want.way {
			t.Errorf("Choose(%q) = %v, %q, %v", name, m, way, ok)
		}
	}
	if _, _, ok := p.Login.Choose("saml"); ok {
		t.Error("took a way that no method has")
	}
}

func TestParseRefusesFlows(t *testing.T) {
	const tokenLine = `token = "https://api.acme.example/oauth/token"`
	const redirectLine = `redirect = "http://127.0.0.1:{port}/callback"`
	for name, row := range map[string]struct{ old, new, want string }{
		"unknown flow":                  {`flow = "oauth"`, `flow = "implicit"`, `none of oauth`},
		"unknown key":                   {`pkce = "none"`, `pkse = "none"`, `unknown key "login.server.pkse"`},
		"server without a flow":         {"flow = \"oauth\"\n", "", `has no flow`},
		"flow without a server":         {"[login.server]\ntoken = \"https://auth.acme.example/oauth/token\"\ntoken_params = { account_id = \"{account_id}\", grant_type = \"account_credentials\" }\nsource = \"https://docs.acme.example/server\"\n", "", `no [login.server]`},
		"unknown client":                {`client = "own"`, `client = "borrowed"`, `not own, dynamic or build`},
		"no client":                     {"client = \"own\"\n", "", `not own, dynamic or build`},
		"own client made nowhere":       {"page = \"https://acme.example/apps\"\n", "", `says nowhere where`},
		"client of a flow with fields":  {`flow = "client-credentials"`, "flow = \"client-credentials\"\nclient = \"own\"", `has its client in fields`},
		"build with a secret":           {"client = \"own\"", "client = \"build\"", ``},
		"bad refresh of a method":       {`refresh = "rotate"`, `refresh = "often"`, `not none, keep or rotate`},
		"field of a granted method":     {"[login.server]\nissuer", "[[login.field]]\nname = \"x\"\nlabel = \"X\"\nsecret = true\n[login.server]\nissuer", `no use for field "x"`},
		"flow without its field":        {`name = "client_id"`, `name = "id"`, `needs a field "client_id"`},
		"field that goes nowhere":       {`account_id = "{account_id}", `, ``, `sends field "account_id"`},
		"secret field as a parameter":   {"label = \"Account ID\"", "label = \"Account ID\"\nsecret = true", `asked for and not secret`},
		"server without a source":       {"lifetime = \"1h\"\nsource = \"https://docs.acme.example/oauth\"", `lifetime = "1h"`, `no vendor page is given`},
		"source by http":                {"lifetime = \"1h\"\nsource = \"https:", "lifetime = \"1h\"\nsource = \"http:", `no https address`},
		"no token endpoint":             {"issuer = \"https://auth.acme.example\"\n", "", ``},
		"authorization by http":         {`authorization = "https:`, `authorization = "http:`, `is not https`},
		"authorization with a query":    {`/oauth/authorize"`, `/oauth/authorize?prompt=none"`, `holds a query`},
		"authorization with a fragment": {`/oauth/authorize"`, `/oauth/authorize#x"`, `holds a fragment`},
		"authorization with a user":     {`"https://auth.acme.example/oauth/authorize`, `"https://good@auth.acme.example/oauth/authorize`, `holds a user name`},
		"host in capitals":              {`"https://auth.acme.example/device"`, `"https://Auth.acme.example/device"`, `canonical form`},
		"host with a dot at the end":    {`"https://auth.acme.example/device"`, `"https://auth.acme.example./device"`, `canonical form`},
		"host not in A-labels":          {`"https://auth.acme.example/device"`, `"https://bücher.example/device"`, `character that no address has`},
		"address as a host":             {`"https://auth.acme.example/device"`, `"https://192.0.2.1/device"`, `host of somebody's own`},
		"one label":                     {`"https://auth.acme.example/device"`, `"https://localhost/device"`, `host of somebody's own`},
		"public suffix":                 {`"https://auth.acme.example/device"`, `"https://github.io/device"`, `public suffix`},
		"the usual port":                {`"https://auth.acme.example/device"`, `"https://auth.acme.example:443/device"`, `goes without saying`},
		"path with dots":                {`"https://auth.acme.example/device"`, `"https://auth.acme.example/a/../device"`, `normal form`},
		"path that is encoded":          {`"https://auth.acme.example/device"`, `"https://auth.acme.example/%64evice"`, `normal form`},
		"backslash":                     {`"https://auth.acme.example/device"`, `'https://auth.acme.example\@evil.example/device'`, `character that no address has`},
		"line break":                    {`"https://auth.acme.example/device"`, `"https://auth.acme.example/\r\ndevice"`, `character that no address has`},
		"{host} without a base":         {`"https://auth.acme.example/device"`, `"https://{host}/device"`, `hosts of its own`},
		"other braces":                  {`"https://auth.acme.example/device"`, `"https://auth.acme.example/{client_id}/device"`, `character that no address has`},
		"{client_id} as a host":         {`"https://auth.acme.example/apps/{client_id}/revoke"`, `"https://x{client_id}.acme.example/revoke"`, `character that no address has`},
		"token endpoint not a mint":     {"path = \"/oauth/token\"", "path = \"/oauth/other\"", `no [[mints]] says so`},
		"refresh endpoint not a mint":   {`refresh_token = "https://auth.`, `refresh_token = "https://api.`, `no [[mints]] says so`},
		"registration not a mint":       {`registration = "https://auth.`, `registration = "https://api.`, `no [[mints]] says so`},
		"mint by another method only":   {"method = \"POST\"\npath", "method = \"GET\"\npath", `no [[mints]] says so`},
		"issuer by http":                {`issuer = "https:`, `issuer = "http:`, `is not https`},
		"resource with a query":         {`acme.example/v1"`, `acme.example/v1?x=1"`, `holds a query`},
		"iss without an issuer":         {"issuer = \"https://auth.acme.example\"\n", "", `without an issuer`},
		"unknown client_auth":           {`client_auth = "basic"`, `client_auth = "jwt"`, `none of post, basic, none`},
		"no client_auth for a secret":   {"[login.server]\ntoken = \"https://auth", "[login.server]\nclient_auth = \"none\"\ntoken = \"https://auth", `has a secret to show`},
		"unknown separator":             {`separator = ","`, `separator = "ab"`, `none of`},
		"plain PKCE":                    {`pkce = "none"`, `pkce = "plain"`, `none of none`},
		"scope with a space":            {`"write:all"`, `"write all"`, `RFC 6749`},
		"scope with the separator":      {`"write:all"`, `"write,all"`, `RFC 6749`},
		"scope twice":                   {`"write:all"`, `"read"`, `stands twice`},
		"empty scope":                   {`"write:all"`, `""`, `RFC 6749`},
		"state set":                     {`access_type = "offline"`, `state = "x"`, `is the flow's to set`},
		"state set in capitals":         {`access_type = "offline"`, `State = "x"`, `is the flow's to set`},
		"challenge set":                 {`access_type = "offline"`, `code_challenge = "x"`, `is the flow's to set`},
		"challenge method set":          {`access_type = "offline"`, `code_challenge_method = "plain"`, `is the flow's to set`},
		"redirect set":                  {`access_type = "offline"`, `redirect_uri = "https://evil.example"`, `is the flow's to set`},
		"client set":                    {`access_type = "offline"`, `client_id = "x"`, `is the flow's to set`},
		"response type set":             {`access_type = "offline"`, `response_type = "token"`, `is the flow's to set`},
		"scope set":                     {`access_type = "offline"`, `scope = "admin"`, `is the flow's to set`},
		"request set":                   {`access_type = "offline"`, `request_uri = "https://evil.example"`, `is the flow's to set`},
		"verifier set":                  {`audience = "api"`, `code_verifier = "x"`, `is the flow's to set`},
		"grant type set":                {`audience = "api"`, `grant_type = "password"`, `is the flow's to set`},
		"parameter with a line break":   {`audience = "api"`, `audience = "a\r\nb"`, `not constant`},
		"parameter with a brace":        {`audience = "api"`, `audience = "{token}"`, `not constant`},
		"parameter without a name":      {`audience = "api"`, `"a b" = "api"`, `no parameter's name`},
		"Authorization set":             {`X-Acme = "1"`, `authorization = "Bearer x"`, `is client_auth's`},
		"Host set":                      {`X-Acme = "1"`, `Host = "evil.example"`, `not a definition's to touch`},
		"header with a line break":      {`X-Acme = "1"`, `X-Acme = "1\r\nX: 2"`, `not a constant line`},
		"bad at":                        {`at = "data.user"`, `at = "data..user"`, `no path into a JSON answer`},
		"error code twice":              {`["bad_refresh_token"]`, `["invalid_grant"]`, `no further error code`},
		"unknown revoke_what":           {`revoke_what = "grant"`, `revoke_what = "all"`, `none of`},
		"unknown revoke_method":         {`revoke_method = "DELETE"`, `revoke_method = "delete"`, `none of`},
		"unknown revoke_auth":           {`revoke_auth = "bearer"`, `revoke_auth = "jwt"`, `none of`},
		"revoked nowhere":               {"revocation = \"https://auth.acme.example/apps/{client_id}/revoke\"\n", "", `but not where`},
		"lifetime without a unit":       {`lifetime = "1h"`, `lifetime = "3600"`, `no time between`},
		"lifetime of no length":         {`lifetime = "1h"`, `lifetime = "0s"`, `no time between`},
		"redirect to another host":      {redirectLine, `redirect = "http://evil.example:{port}/callback"`, `does not go to a port`},
		"redirect on every interface":   {redirectLine, `redirect = "http://0.0.0.0:{port}/callback"`, `does not go to a port`},
		"redirect without a port":       {redirectLine, `redirect = "http://127.0.0.1/callback"`, `does not go to a port`},
		"redirect without a path":       {redirectLine, `redirect = "http://127.0.0.1:{port}"`, `no plain address`},
		"redirect on a root's port":     {redirectLine, `redirect = "http://127.0.0.1:80/callback"`, `only root may listen`},
		"redirect with a query":         {redirectLine, `redirect = "http://127.0.0.1:{port}/callback?x=1"`, `no plain address`},
		"redirect with a user":          {redirectLine, `redirect = "http://a@127.0.0.1:{port}/callback"`, `no plain address`},
		"redirect to the agent's":       {redirectLine, `redirect = "https://evil.example/callback"`, `not the vendor's`},
		"redirect by a scheme of its":   {redirectLine, `redirect = "acme://callback"`, `neither http nor https`},
		"redirect with another brace":   {redirectLine, `redirect = "http://127.0.0.1:{port}/{path}"`, `no plain address`},
		"redirect, https with a port":   {redirectLine, `redirect = "https://localhost:{port}/callback"`, `listens by http only`},
		"flow that takes no redirect":   {"source = \"https://docs.acme.example/server\"", "redirect = \"http://127.0.0.1:{port}/callback\"\nsource = \"https://docs.acme.example/server\"", `no use for redirect`},
		"variable twice":                {`ACME_OAUTH =`, `ACME_TOKEN =`, `is the provider's already`},
		"no mint and no token":          {tokenLine + "\n", "", ``},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(granting, row.old) {
				t.Fatalf("the definition has no %q", row.old)
			}
			text := strings.Replace(granting, row.old, row.new, 1)
			switch name {
			case "no token endpoint":
				text = strings.Replace(text, tokenLine+"\n", "", 1)
				row.want = `token is missing`
			case "no mint and no token": // the issuer's metadata say where it is
				if _, err := Parse([]byte(text)); err != nil {
					t.Errorf("refused an issuer without endpoints: %v", err)
				}
				return
			case "build with a secret":
				text = strings.Replace(text, "device = \"https://auth.acme.example/device\"\n", "", 1)
				row.want = `has no secret, and this server wants one`
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
		})
	}
}

// The redirects of which each is somebody's: loopback by address and by name, on
// a port of the vendor's, and pasted.
func TestParseTakesRedirects(t *testing.T) {
	for _, to := range []string{
		"http://127.0.0.1:{port}/callback", "http://localhost:{port}/oauth/callback", "http://127.0.0.1:27490/callback",
		"http://localhost:27490/", "https://localhost/callback", "https://auth.acme.example/oauth/done",
	} {
		text := strings.Replace(granting, "http://127.0.0.1:{port}/callback", to, 1)
		if _, err := Parse([]byte(text)); err != nil {
			t.Errorf("%s: %v", to, err)
		}
	}
}

// A finding about a server names the line that is to be changed.
func TestLintNamesTheLineOfAServer(t *testing.T) {
	for name, row := range map[string]struct{ old, new, line string }{
		"endpoint":         {`device = "https:`, `device = "http:`, `device = "http:`},
		"inline parameter": {`{ access_type = "offline" }`, `{ state = "x" }`, `authorize = { state = "x" }`},
		"server's own":     {"lifetime = \"1h\"\nsource = \"https://docs.acme.example/oauth\"", `lifetime = "1h"`, "[login.server]\nissuer"},
		"second server":    {`{ account_id = "{account_id}", grant_type`, `{ code = "x", account_id = "{account_id}", grant_type`, `token_params = { code`},
		"scope":            {`"write:all"]`, "\n  \"write all\"]", `  "write all"]`},
		"method's own":     {`name = "client_id"`, `name = "id"`, "[[login]]\nmethod = \"server\""},
	} {
		text := strings.Replace(granting, row.old, row.new, 1)
		want := 1 + strings.Count(text[:strings.Index(text, row.line)], "\n")
		found := false
		findings := Lint([]byte(text))
		for _, f := range findings {
			found = found || f.Severity == Error && f.Line == want
		}
		if !found {
			t.Errorf("%s: want an error on line %d, got %v", name, want, findings)
		}
	}
}

func TestForBaseFillsServers(t *testing.T) {
	p, err := shippedProvider(t, "gitlab").ForBase("https://git.acme.example:8443/gitlab/")
	if err != nil {
		t.Fatal(err)
	}
	m, _ := p.Login.Method("oauth")
	if m.Server.Token != "https://git.acme.example:8443/gitlab/oauth/token" || m.Page != "https://git.acme.example:8443/gitlab/-/user_settings/applications" {
		t.Errorf("filled as %+v", m.Server)
	}
	// The shared definition is as it was.
	again, _ := shippedProvider(t, "gitlab").Login.Method("oauth")
	if !strings.Contains(again.Server.Token, hostVar) {
		t.Errorf("the definition itself has %s", again.Server.Token)
	}
	if _, ok := p.MintFor("git.acme.example", 8443, "POST", "/gitlab/oauth/token"); !ok {
		t.Error("the token endpoint of a server of one's own is no mint")
	}
}

func TestServerWithFields(t *testing.T) {
	p, err := Parse([]byte(granting))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := p.Login.Method("server")
	s, err := m.Server.With(fieldsOf("account_id", "42", "client_id", "a", "client_secret", "b"))
	if err != nil || s.TokenParams["account_id"] != "42" || m.Server.TokenParams["account_id"] != "{account_id}" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := m.Server.With(nil); !errors.Is(err, ErrNoField) {
		t.Errorf("without the field: %v", err)
	}
}

func TestBuildClient(t *testing.T) {
	was := buildClients
	t.Cleanup(func() { buildClients = was })
	if id, ok := BuildClient("github"); ok {
		t.Errorf("this build has a client of its own: %q", id)
	}
	buildClients = "github=Iv1.abc,linear=,gitlab=x=y"
	for name, want := range map[string]string{"github": "Iv1.abc", "linear": "", "gitlab": "x=y", "git": "", "": ""} {
		if id, ok := BuildClient(name); id != want || ok != (want != "") {
			t.Errorf("BuildClient(%q) = %q, %v", name, id, ok)
		}
	}
}
