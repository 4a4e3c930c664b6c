// Package providers says what services are: their hosts, how a credential goes
// on a request, how one logs in, which placeholder their clients accept, and
// which requests return further credentials.
//
// A [Provider] is one TOML file; docs/providers.md has the format. The catalogue
// that ships is embedded; a user's own definitions pass the same [Parse] and the
// same checks. Every fact in a definition carries the vendor page it comes from,
// or says that it has none.
//
// # From a definition to a request
//
//	catalog, err := providers.NewCatalog(own...)      // parses nothing that ships
//	p, err := catalog.Get("github")                   // parses one definition
//	p, err = p.ForBase(loginURL)                      // fills in {host}
//	compiled, err := p.Compile(method, fields)        // renders every rule once
//	cred, ok := compiled.Match(host, port, path)      // per request; no allocation
//	remote, ok := cred.Inject.Remote(path)            // the repository it is about
//	mint, ok := p.MintFor(host, port, method, path)   // denied unless policy allows
//	shown := p.RedactPath(path)                       // for the audit
//
// Hosts are canonical ([CanonicalHost]) and paths normalised by the caller, once,
// so that what is matched here is what is dialled and forwarded. A host that is
// not canonical matches nothing. A path that no rule fits gets no credential.
//
// # Start-up
//
// A session needs the hosts and variables of the whole catalogue: for the name
// constraints of its certificate authority, and to clean a child's environment.
// [Catalog.Index] has them without parsing, from a file that go generate writes.
//
// # What it leaves out
//
// It holds no credentials and sends nothing. The broker joins a definition with
// a login; the proxy puts the result on a request. OAuth flows are
// internal/oauth's.
package providers
