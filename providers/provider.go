package providers

// Provider is one service.
type Provider struct {
	Name        string
	Title       string
	Docs        string            // vendor page on authentication
	Sources     []string          // vendor pages that the facts come from
	Unverified  bool              // some fact here has no vendor source yet
	Replaces    string            // name of the built-in definition that an own one replaces
	Hosts       []string          // exact or *.suffix; {host} stands for the host of a login's base URL
	Env         map[string]string // variable -> placeholder template, e.g. "ghp_{random36}"
	Inject      []Inject          // first match wins
	Login       Login
	Identity    *Identity
	Mints       []Mint   // requests that return credentials
	SecretPaths []string // path globs whose * segments are secret (webhooks); shown as * in the audit
	Refresh     string   // none, keep or rotate
}

// Inject is how a credential goes on requests that match Hosts, Paths and
// Method.
type Inject struct {
	Hosts      []string          // subset of the provider's
	Paths      []string          // globs on the normalised path; empty means every path
	Method     string            // login method that this rule is for; empty means any
	Header     map[string]string // name -> template, "Bearer {token}"
	Basic      *Basic
	Query      map[string]string // parameter -> template
	Cookie     map[string]string // cookie -> template
	Repository []Repository
}

// Basic is an Authorization header of RFC 7617.
type Basic struct{ Username, Password string }

// Repository is how a request's path names the repository that it is about.
type Repository struct {
	Path string // "/repos/{owner}/{name}/**"; {path%} decodes one segment, {path**} spans several
	Is   string // normal form of the remote, "github.com/{owner}/{name}"
}

// Login says how one gets a credential for the provider.
type Login struct {
	Key *KeyLogin // API key, token or Basic pair, pasted
}

// KeyLogin is a credential that a person pastes.
type KeyLogin struct {
	Fields []Field // in the order of asking
	Page   string  // where the vendor lets one make a key
}

// Field is one value of a pasted credential.
type Field struct {
	Name    string // "token", "username", "api_key"
	Label   string // what the vendor calls it
	Secret  bool   // typed without echo
	Pattern string // shape; a mismatch warns, never refuses
}

// Identity is the endpoint that answers who a credential belongs to.
type Identity struct {
	URL    string
	Method string // GET unless stated
	Body   string // constant body, for GraphQL
	Name   string // path into the JSON answer: "login", "data.viewer.email"
}

// Mint is a request that returns a credential, denied unless policy allows it.
type Mint struct {
	Hosts  []string
	Method string
	Path   string // glob
}
