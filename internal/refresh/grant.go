package refresh

import (
	"context"
	"fmt"

	"kb/internal/oauth"
	"kb/internal/secret"
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
	// Unproven: it is not known whether Client is the one that the refresh token
	// was given to. Servers refuse a token of another client as one that is no
	// good (RFC 6749 section 5.2), so that a refusal is no verdict on the token.
	Unproven bool

	Assertion oauth.Assertion // of KindJWTBearer
	App       oauth.App       // of KindGitHubApp
}

// minted reports whether new tokens are made of the login's own keys: there is
// no refresh token that could be lost, and a refusal may be about the clock.
func (g *Grant) minted() bool { return g.Kind != KindRefresh }

// Ask gets new tokens by a grant, once and without the engine's care: its caller sees
// to it that nobody else does. refresh is empty for a grant that needs none.
func Ask(ctx context.Context, f *oauth.Flows, g Grant, refresh secret.Value) (oauth.Tokens, error) {
	switch g.Kind {
	case KindRefresh:
		return f.Refresh(ctx, g.Server, g.Client, refresh, g.Scopes)
	case KindClientCredentials:
		return f.ClientCredentials(ctx, g.Server, g.Client, g.Scopes)
	case KindJWTBearer:
		return f.JWTBearer(ctx, g.Server, g.Assertion)
	case KindGitHubApp:
		return f.Installation(ctx, g.App)
	}
	return oauth.Tokens{}, fmt.Errorf("refresh by %q: unknown kind of grant", g.Kind)
}
