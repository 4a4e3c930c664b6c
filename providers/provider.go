package providers

// Provider is one service. Values come from [Parse] or [Catalog.Get]; one whose
// hosts hold "{host}" is of use only after [Provider.ForBase].
type Provider struct {
	Name        string
	Title       string
	Docs        string            // vendor page on authentication
	Note        string            // what a person should know before using it; may be empty
	Sources     []string          // vendor pages that the facts come from, those of the blocks included
	Unverified  bool              // the whole, a login method or a rule has no vendor source yet
	Replaces    string            // name of the built-in definition that an own one replaces
	Base        *Base             // nil unless the login gives the service's base URL
	Hosts       []string          // "name", "*.suffix", either with ":port" when it is not 443; {host} stands for the host of a login's base URL
	Env         map[string]string // variable -> placeholder template, e.g. "ghp_{random36}", whatever the login method
	Scrub       []string          // further variables that carry this service's secrets: taken from a child's environment, never set
	Inject      []Inject          // first match wins
	Login       Login
	Identity    *Identity
	Mints       []Mint   // requests that return credentials
	SecretPaths []string // path globs whose * parts are secret (webhooks); shown as * in the audit
	Refresh     string   // none, keep or rotate: what the token endpoint does to a refresh token, where a method does not say

	secret []glob // SecretPaths, prepared
}

// Base says how a login gives the service's base URL.
type Base struct {
	Default string `toml:"default"` // base URL when the login names none; empty means that it must
	Example string `toml:"example"` // shown when asking
}

// Inject is how a credential goes on requests that match Hosts, Paths and
// Method.
type Inject struct {
	Hosts       []string          `toml:"hosts"`        // subset of the provider's
	Paths       []string          `toml:"paths"`        // globs on the normalised path; empty means every path
	Method      string            `toml:"method"`       // login method that this rule is for; empty means any
	Header      map[string]string `toml:"header"`       // name -> template, "Bearer {token}"
	Basic       *Basic            `toml:"basic"`        // Authorization of RFC 7617
	Query       map[string]string `toml:"query"`        // parameter -> template
	Cookie      map[string]string `toml:"cookie"`       // cookie -> template
	Delete      []string          `toml:"delete"`       // header fields of the client to drop, besides those the provider's rules set
	DeleteQuery []string          `toml:"delete_query"` // query parameters of the client to drop
	Repository  []Repository      `toml:"repository"`
	Source      string            `toml:"source"`     // vendor page
	Unverified  bool              `toml:"unverified"` // no vendor page was read for this rule

	hosts []hostPattern
	paths []glob
}

// Basic is an Authorization header of RFC 7617. Both are templates.
type Basic struct {
	Username string `toml:"username"`
	Password string `toml:"password"`
}

// Repository is how a request's path names the repository that it is about.
type Repository struct {
	Path string `toml:"path"` // "/repos/{owner}/{name}/**"; {path%} decodes one segment, {path**} spans several
	Is   string `toml:"is"`   // normal form of the remote, "github.com/{owner}/{name}"

	path glob
}

// Field is one value of a pasted credential.
type Field struct {
	Name     string `toml:"name"`     // "token", "username", "api_key"
	Label    string `toml:"label"`    // what the vendor calls it
	Secret   bool   `toml:"secret"`   // typed without echo
	Optional bool   `toml:"optional"` // may stay empty: what needs it is then not set
	Pattern  string `toml:"pattern"`  // shape, RE2; a mismatch warns, never refuses
}

// Identity is the endpoint that answers who a credential belongs to.
type Identity struct {
	URL        string            `toml:"url"`
	Method     string            `toml:"method"` // GET unless stated
	Body       string            `toml:"body"`   // constant body, for GraphQL
	Header     map[string]string `toml:"header"` // constant fields that the API insists on
	Name       string            `toml:"name"`   // path into the JSON answer: "login", "data.viewer.email", "results.0.name"
	Source     string            `toml:"source"`
	Unverified bool              `toml:"unverified"`
}

// Mint is a request that returns a credential, denied unless policy allows it.
type Mint struct {
	Hosts      []string `toml:"hosts"`
	Method     string   `toml:"method"` // HTTP method; empty means any
	Path       string   `toml:"path"`   // glob
	Source     string   `toml:"source"`
	Unverified bool     `toml:"unverified"`

	hosts []hostPattern
	path  glob
}
