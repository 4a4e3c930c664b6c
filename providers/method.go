package providers

import "slices"

// Login says how one gets a credential for the provider.
type Login struct {
	Default *Method  // the method a person gets who names none
	Other   []Method // further methods, by name
}

// Method is one way to get a credential: what a person pastes, or tokens that
// an authorization server gives.
type Method struct {
	Name       string            `toml:"method"`     // "token"
	Title      string            `toml:"title"`      // what the vendor calls it
	Flow       Flow              `toml:"flow"`       // how tokens are got
	Client     ClientKind        `toml:"client"`     // whose client asks; of FlowOAuth only
	Public     bool              `toml:"public"`     // a client without a secret will do (RFC 8252 section 8.4)
	Discover   bool              `toml:"discover"`   // the endpoints are found at the login (RFC 9728, 8414), from Server.Resource
	Fields     []Field           `toml:"field"`      // what a person gives, in the order of asking
	Page       string            `toml:"page"`       // where the vendor lets one make the key, or the client
	Scopes     []string          `toml:"scopes"`     // asked for unless a person names others
	Refresh    string            `toml:"refresh"`    // as the provider's, for this method; never empty after Parse
	Env        map[string]string `toml:"env"`        // variables of this method alone, besides the provider's
	Server     *Server           `toml:"server"`     // nil where nothing is asked for
	Unverified bool              `toml:"unverified"` // no vendor page was read for this method
}

// Flow is how a method comes to what it puts on requests.
type Flow string

// The flows. All but the first yield tokens that end; templates call the
// token {token}.
const (
	FlowPaste             Flow = ""                   // the fields themselves
	FlowOAuth             Flow = "oauth"              // a person grants it, by code or device
	FlowClientCredentials Flow = "client-credentials" // from client_id and client_secret (RFC 6749 section 4.4)
	FlowJWTBearer         Flow = "jwt-bearer"         // from a service account's key (RFC 7523)
	FlowGitHubApp         Flow = "github-app"         // from an app's private key: installation tokens
	FlowAgent             Flow = "agent"              // from an agent's own login, which kb import takes over
)

// ClientKind is whose OAuth client asks.
type ClientKind string

// Kinds of clients. No vendor's client is among them: kb ships none and
// borrows none.
const (
	ClientOwn     ClientKind = "own"     // the user's, made at Method.Page
	ClientDynamic ClientKind = "dynamic" // registered at the login (RFC 7591)
	ClientBuild   ClientKind = "build"   // given when kb was built ([BuildClient]); without, as ClientOwn
)

// Way is how a person grants a [FlowOAuth] method.
type Way string

// The ways.
const (
	WayCode   Way = "code"   // authorization code, in a browser on this machine or by pasting
	WayDevice Way = "device" // a code typed on any machine (RFC 8628)
)

// TokenField is the name by which templates call a token that a flow yields.
const TokenField = "token"

// Values are the fields that a rule can put on a request: what was pasted, or
// the token that the flow yields.
func (m *Method) Values() []Field {
	if m.Flow == FlowPaste {
		return m.Fields
	}
	return []Field{{Name: TokenField, Label: "Access token", Secret: true}}
}

// SecretOptional reports whether a client may have no secret. The device flow
// never needs one.
func (m *Method) SecretOptional() bool {
	return m.Public || m.Client == ClientDynamic || m.Server != nil && m.Server.ClientAuth == "none"
}

// Ways returns how a person can grant the method, the usual way first; nil
// where nobody is asked. What a server that is discovered has is known only
// then: it is asked by code.
func (m *Method) Ways() []Way {
	if m.Flow != FlowOAuth {
		return nil
	}
	var ways []Way
	if m.Discover || m.Server != nil && m.Server.Authorization != "" {
		ways = append(ways, WayCode)
	}
	if m.Server != nil && m.Server.Device != "" {
		ways = append(ways, WayDevice)
	}
	return ways
}

// Renews reports whether a refresh token gets the method's tokens: a person
// granted them, to kb or to an agent.
func (m *Method) Renews() bool { return m.Flow == FlowOAuth || m.Flow == FlowAgent }

// Choose reads what a person names as a login's method: a method's name, "" for
// the default one, or "code" or "device", which are ways of the first method
// that has them. Way is empty where the name leaves it open.
func (l Login) Choose(name string) (m *Method, way Way, ok bool) {
	if m, ok := l.Method(name); ok {
		return m, "", true
	}
	for _, m := range l.Methods() {
		if slices.Contains(m.Ways(), Way(name)) {
			return m, Way(name), true
		}
	}
	return nil, "", false
}

// Method returns the login method of that name; "" means the default one.
func (l Login) Method(name string) (*Method, bool) {
	if l.Default != nil && (name == "" || name == l.Default.Name) {
		return l.Default, true
	}
	for i := range l.Other {
		if l.Other[i].Name == name && name != "" {
			return &l.Other[i], true
		}
	}
	return nil, false
}

// Methods returns every login method, the default first.
func (l Login) Methods() []*Method {
	var all []*Method
	if l.Default != nil {
		all = append(all, l.Default)
	}
	for i := range l.Other {
		all = append(all, &l.Other[i])
	}
	return all
}
