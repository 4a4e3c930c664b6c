package broker

import (
	"encoding/base64"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// placeholders are the harmless values that a session's child holds in place
// of secrets. They are made once, at spawn, and stay the same while the logins
// behind them change.
type placeholders struct {
	entries []placeholder
	byValue map[string]loginKey

	pairs     map[loginKey]tokenPair // of logins that a person granted
	byRefresh map[string]loginKey    // the second of a pair
}

// placeholder is one variable of the child.
type placeholder struct {
	key      loginKey
	variable string
	value    string
}

// loginKey names a login: a profile's standing with a provider.
type loginKey struct{ profile, provider, as string }

func keyOf(l vaultfile.Login) loginKey { return loginKey{l.Profile, l.Provider, l.As} }

// newPlaceholders makes the placeholders of the granted profiles' logins. A
// login's variables share one value where they share a template, so that a
// client which compares GH_TOKEN with GITHUB_TOKEN sees them agree.
func newPlaceholders(logins []vaultfile.Login, catalogOf func(profile string) *providers.Catalog, random io.Reader) (*placeholders, error) {
	p := &placeholders{byValue: map[string]loginKey{}, pairs: map[loginKey]tokenPair{}, byRefresh: map[string]loginKey{}}
	for _, l := range logins {
		definition, err := catalogOf(l.Profile).Get(l.Provider)
		if err != nil {
			continue // a definition that is gone: the login is not usable, kb status says so
		}
		byTemplate := map[string]string{}
		templates := definition.EnvFor(l.Method)
		for _, variable := range slices.Sorted(maps.Keys(templates)) {
			template := templates[variable]
			value, ok := byTemplate[template]
			if !ok {
				value, err = providers.Placeholder(template, random)
				if err != nil {
					return nil, err
				}
				byTemplate[template] = value
			}
			p.entries = append(p.entries, placeholder{keyOf(l), variable, value})
			if providers.Recognisable(template) { // a constant (__token__) names no login
				p.byValue[value] = keyOf(l)
			}
		}
		if l.As != "" && !p.names(keyOf(l)) {
			value, err := providers.Placeholder(plainTemplate, random)
			if err != nil {
				return nil, err
			}
			p.entries = append(p.entries, placeholder{keyOf(l), "", value})
			p.byValue[value] = keyOf(l)
		}
		if method, ok := definition.Login.Method(l.Method); ok && method.Flow == providers.FlowOAuth {
			if err := p.pair(keyOf(l), random); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// pair makes what stands for both tokens of a login: the first is the one that
// its variables have, if they have any.
func (p *placeholders) pair(key loginKey, random io.Reader) error {
	var pair tokenPair
	for _, e := range p.entries {
		if _, means := p.byValue[e.value]; means && e.key == key && pair.access == "" {
			pair.access = e.value
		}
	}
	for _, value := range []*string{&pair.access, &pair.refresh} {
		if *value != "" {
			continue
		}
		made, err := providers.Placeholder(plainTemplate, random)
		if err != nil {
			return err
		}
		*value = made
	}
	p.pairs[key], p.byValue[pair.access], p.byRefresh[pair.refresh] = pair, key, key
	return nil
}

// plainTemplate makes the placeholder of a login that is used only by it, where
// the provider's clients read no variable.
const plainTemplate = "kb_{random32}"

// names reports whether some placeholder means that login.
func (p *placeholders) names(key loginKey) bool {
	for _, k := range p.byValue {
		if k == key {
			return true
		}
	}
	return false
}

// forEnvironment gives each placeholder its variable as the child sees it: the
// session's own default logins under the provider's names, logins made with
// --as under KB_PROVIDER_NAME, those of other profiles under
// KB_PROFILE_VARIABLE, as show calls the profile.
func (p *placeholders) forEnvironment(own string, show func(string) string) []placeholder {
	out := make([]placeholder, 0, len(p.entries))
	seen := map[string]bool{}
	for _, e := range p.entries {
		if _, means := p.byValue[e.value]; !means && (e.key.profile != own || e.key.as != "") {
			continue // a constant is of use under its own name only
		}
		switch {
		case e.key.profile != own && e.key.as != "":
			e.variable = variableName(show(e.key.profile), e.key.provider, e.key.as)
		case e.key.profile != own:
			e.variable = variableName(show(e.key.profile), e.variable)
		case e.key.as != "":
			e.variable = variableName(e.key.provider, e.key.as)
		}
		if !seen[e.variable] {
			seen[e.variable] = true
			out = append(out, e)
		}
	}
	return out
}

func variableName(parts ...string) string {
	name := "KB_" + strings.ToUpper(strings.Join(parts, "_"))
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, name)
}

// find returns the logins whose placeholders a request holds: in any header
// value, whole or as a word of it ("Bearer x", "token x"), inside Basic
// credentials, in a cookie or in a query parameter.
func (p *placeholders) find(header proxy.Header, query string) []loginKey {
	if len(p.byValue) == 0 {
		return nil
	}
	var found []loginKey
	look := func(text string) bool {
		key, ok := p.byValue[text]
		if !ok && strings.Count(text, ".") == 2 { // the shape of a JWT, see shaped
			if signature, err := base64.RawURLEncoding.DecodeString(text[strings.LastIndexByte(text, '.')+1:]); err == nil {
				key, ok = p.byValue[string(signature)]
			}
		}
		if ok {
			found = append(found, key)
		}
		return ok
	}
	for name, value := range header.All() {
		if strings.EqualFold(name, "Cookie") {
			for pair := range strings.SplitSeq(value, ";") {
				_, v, _ := strings.Cut(pair, "=")
				look(strings.TrimSpace(v))
			}
			continue
		}
		if look(value) {
			continue
		}
		scheme, rest, ok := strings.Cut(value, " ")
		if !ok {
			continue
		}
		rest = strings.TrimSpace(rest)
		if !strings.EqualFold(scheme, "basic") {
			look(rest)
			continue
		}
		if pair, err := base64.StdEncoding.DecodeString(rest); err == nil {
			user, password, _ := strings.Cut(string(pair), ":")
			look(user)
			look(password)
		}
	}
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		if _, v, ok := strings.Cut(pair, "="); ok {
			if text, err := url.QueryUnescape(v); err == nil {
				look(text)
			}
		}
	}
	return found
}
