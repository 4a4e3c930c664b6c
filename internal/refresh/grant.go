package refresh

import (
	"kb/internal/oauth"
)

// Kinds of a [Grant].
const (
	KindRefresh           = "refresh"            // a refresh token (RFC 6749 section 6)
	KindClientCredentials = "client-credentials" // the client's own secret (section 4.4)
	KindJWTBearer         = "jwt-bearer"         // a signed assertion (RFC 7523)
	KindGitHubApp         = "github-app"         // an app's private key
)

// Grant is how a login gets new tokens. It holds secrets: it is in memory, and
// on the pipe to a worker.
type Grant struct {
	Kind   string
	Server oauth.Server
	Client oauth.Client
	Scopes []string
}

// minted reports whether new tokens are made of the login's own keys: there is
// no refresh token that could be lost, and a refusal may be about the clock.
func (g *Grant) minted() bool { return g.Kind != KindRefresh }
