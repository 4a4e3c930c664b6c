package providers

import (
	"fmt"
	"slices"
	"strings"
)

// flowFields are the fields that a person gives for a flow: those it cannot do
// without, then those it understands. The broker knows them by these names.
var flowFields = map[Flow]struct{ needs, takes []string }{
	FlowOAuth:             {},
	FlowClientCredentials: {needs: []string{"client_id", "client_secret"}},
	FlowJWTBearer:         {needs: []string{"key"}, takes: []string{"subject"}},
	FlowGitHubApp:         {needs: []string{"app_id", "installation_id", "private_key"}},
	FlowAgent:             {},
}

// flow holds a method to what its flow needs, and to no more.
func (c *checker) flow(at string, m *Method) {
	if !slices.Contains([]string{"none", "keep", "rotate"}, m.Refresh) {
		c.add(at+".refresh", fmt.Sprintf("refresh %q is not none, keep or rotate", m.Refresh), "")
	}
	if m.Flow == FlowPaste {
		for key, given := range map[string]bool{
			"client": m.Client != "", "public": m.Public, "discover": m.Discover, "scopes": m.Scopes != nil, "server": m.Server != nil,
		} {
			if given {
				c.add(at+"."+key, fmt.Sprintf("%s is given, but method %q has no flow", key, m.Name), `add flow = "oauth"`)
			}
		}
		return
	}
	wants, ok := flowFields[m.Flow]
	if !ok {
		c.add(at+".flow", fmt.Sprintf("flow %q is none of oauth, client-credentials, jwt-bearer, github-app, agent", m.Flow), "")
		return
	}
	c.flowFields(at, m, wants.needs, wants.takes)
	c.client(at, m)
	c.scopes(at, m)
	if m.Server == nil {
		c.add(at, fmt.Sprintf("method %q has a flow and no [login.server]", m.Name), "give the authorization server's endpoints")
		return
	}
	c.server(at+".server", m)
}

func (c *checker) flowFields(at string, m *Method, needs, takes []string) {
	for _, name := range needs {
		if !slices.ContainsFunc(m.Fields, func(f Field) bool { return f.Name == name && !f.Optional }) {
			c.add(at, fmt.Sprintf("flow %q needs a field %q that is not optional", m.Flow, name), "add it as a [[login.field]]")
		}
	}
	for i, f := range m.Fields {
		at := fmt.Sprintf("%s.field[%d]", at, i)
		if slices.Contains(needs, f.Name) || slices.Contains(takes, f.Name) {
			continue
		}
		if m.Flow != FlowClientCredentials {
			c.add(at, fmt.Sprintf("flow %q has no use for field %q", m.Flow, f.Name), "")
			continue
		}
		// What else a vendor wants with the client goes in a parameter.
		if m.Server == nil || !slices.ContainsFunc(sortedKeys(m.Server.TokenParams), func(name string) bool {
			return m.Server.TokenParams[name] == "{"+f.Name+"}"
		}) {
			c.add(at, fmt.Sprintf("no parameter of [login.server] token_params sends field %q", f.Name), "")
		}
	}
}

func (c *checker) client(at string, m *Method) {
	switch {
	case m.Flow == FlowAgent:
		if m.Client != "" {
			c.add(at+".client", "flow \"agent\" has the agent's own client", "")
		}
	case m.Flow != FlowOAuth:
		if m.Client != "" {
			c.add(at+".client", fmt.Sprintf("flow %q has its client in fields", m.Flow), "")
		}
		if m.Discover {
			c.add(at+".discover", "discover is for flow = \"oauth\"", "")
		}
	case m.Client == ClientOwn || m.Client == ClientBuild:
		if m.Page == "" && !m.Discover {
			c.add(at, fmt.Sprintf("method %q says nowhere where one makes the client", m.Name), "give the vendor's page, page = \"https://...\"")
		}
		if m.Client == ClientBuild && !m.SecretOptional() && !slices.Contains(m.Ways(), WayDevice) {
			c.add(at+".client", "a client of a build has no secret, and this server wants one", `write client = "own", or public = true where the vendor's page says so`)
		}
	case m.Client == ClientDynamic:
		if m.Server != nil && m.Server.Registration == "" && m.Server.Issuer == "" && !m.Discover {
			c.add(at+".client", "a dynamic client needs [login.server] registration or issuer, or discover = true", "")
		}
	default:
		c.add(at+".client", fmt.Sprintf("client %q is not own, dynamic or build", m.Client), `write client = "own" where a person makes the client`)
	}
}

// scopes are of RFC 6749 section 3.3: no space in one, and no separator.
func (c *checker) scopes(at string, m *Method) {
	separator := " "
	if m.Server != nil && m.Server.Separator != "" {
		separator = m.Server.Separator
	}
	for i, s := range m.Scopes {
		at := fmt.Sprintf("%s.scopes[%d]", at, i)
		if s == "" || strings.Contains(s, separator) || strings.ContainsFunc(s, func(r rune) bool {
			return r <= ' ' || r >= 0x7f || r == '"' || r == '\\'
		}) {
			c.add(at, fmt.Sprintf("scope %q is none (RFC 6749 section 3.3)", s), "write one scope an element")
		}
		if slices.Contains(m.Scopes[:i], s) {
			c.add(at, fmt.Sprintf("scope %q stands twice", s), "")
		}
	}
}
