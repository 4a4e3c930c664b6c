package providers

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// minEntropy is how far placeholders of one template lie apart, in bits: a
// client's own text never equals one by chance.
const minEntropy = 64

// checker collects what is wrong with a definition.
type checker struct {
	p        *Provider
	problems []Problem
}

func (c *checker) add(at, message, fix string) {
	c.problems = append(c.problems, Problem{At: at, Message: message, Fix: fix})
}

// check returns every rule that the definition breaks.
func (p *Provider) check() []Problem {
	c := &checker{p: p}
	c.heading()
	c.hosts()
	c.login()
	c.environment()
	for i := range p.Inject {
		c.inject(i)
	}
	c.reachable()
	c.used()
	c.identity()
	for i := range p.Mints {
		c.mint(i)
	}
	for i, s := range p.SecretPaths {
		at := fmt.Sprintf("secret_paths[%d]", i)
		if g, err := parseGlob(s, false); err != nil {
			c.add(at, err.Error(), "")
		} else if !slices.ContainsFunc(g, func(s segment) bool { return s.kind == segWild }) {
			c.add(at, fmt.Sprintf("path %q has no * and so hides nothing", s), "write * for each secret segment")
		}
	}
	return c.problems
}

func (c *checker) heading() {
	p := c.p
	if !isProviderName(p.Name) {
		c.add("name", fmt.Sprintf("name %q is not lower-case letters, digits and hyphens, a letter first", p.Name), `write it like name = "acme-api"`)
	}
	if p.Title == "" {
		c.add("title", "title is missing", `write the service's own name, title = "Acme API"`)
	}
	c.printable("title", p.Title)
	c.printable("note", p.Note)
	if p.Docs == "" {
		c.add("docs", "docs is missing", "give the vendor's page on authentication")
	} else {
		c.webPage("docs", p.Docs)
	}
	for i, s := range p.Sources {
		c.webPage(fmt.Sprintf("sources[%d]", i), s)
	}
	if len(p.Sources) == 0 && !p.Unverified {
		c.add("sources", "no vendor page is given", "add sources = [...] or unverified = true")
	}
	if p.Replaces != "" && !isProviderName(p.Replaces) {
		c.add("replaces", fmt.Sprintf("replaces %q is no provider's name", p.Replaces), "")
	}
	if !slices.Contains([]string{"none", "keep", "rotate"}, p.Refresh) {
		c.add("refresh", fmt.Sprintf("refresh %q is not none, keep or rotate", p.Refresh), "")
	}
}

func isProviderName(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (i == 0 || (c < '0' || c > '9') && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= 40 && !strings.HasSuffix(s, "-")
}

// printable keeps control, format and bidirectional characters from a screen.
func (c *checker) printable(at, s string) {
	if i := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }); i >= 0 {
		c.add(at, fmt.Sprintf("character %+q cannot be shown", []rune(s[i:])[0]), "remove it")
	}
}

func (c *checker) webPage(at, s string) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		c.add(at, fmt.Sprintf("%q is no https address", s), "")
	}
	c.printable(at, s)
}

// sourced holds a block to naming its vendor page.
func (c *checker) sourced(at, source string, unverified bool) {
	if source != "" {
		c.webPage(at+".source", source)
	} else if !unverified && !c.p.Unverified {
		c.add(at, "no vendor page is given for it", `add source = "https://..." or unverified = true`)
	}
}

func (c *checker) hosts() {
	p := c.p
	if len(p.Hosts) == 0 {
		c.add("hosts", "no host is given", "")
	}
	for i, h := range p.Hosts {
		at := fmt.Sprintf("hosts[%d]", i)
		if slices.Contains(p.Hosts[:i], h) {
			c.add(at, fmt.Sprintf("host %q stands twice", h), "")
		}
		if message := hostProblem(h); message != "" {
			c.add(at, message, "write an exact name, or *.name on a label boundary")
		}
	}
	needs := p.NeedsBase()
	switch {
	case needs && p.Base == nil:
		c.add("base", "hosts hold {host}, but base is missing", `add base = { example = "https://acme.example" }`)
	case !needs && p.Base != nil:
		c.add("base", "base is given, but no host holds {host}", "")
	}
	if p.Base == nil {
		return
	}
	if p.Base.Example == "" {
		c.add("base", "base.example is missing", `add base = { example = "https://acme.example" }`)
	} else if _, err := parseBase(p.Base.Example); err != nil {
		c.add("base.example", err.Error(), "")
	}
	if p.Base.Default != "" {
		if _, err := parseBase(p.Base.Default); err != nil {
			c.add("base.default", err.Error(), "")
		}
	}
}

// hostProblem says what is wrong with a host of a definition; "" means nothing.
func hostProblem(h string) string {
	if before, after, ok := strings.Cut(h, hostVar); ok {
		if after != "" || before != "" && (!strings.HasSuffix(before, ".") || checkName(strings.TrimSuffix(before, ".")) != nil) {
			return fmt.Sprintf("host %q: {host} stands alone or after labels, as in \"api.{host}\"", h)
		}
		return ""
	}
	parsed, err := parseHost(h)
	if err != nil {
		return err.Error()
	}
	name := strings.TrimPrefix(parsed.name, ".")
	if _, err := netip.ParseAddr(name); err == nil {
		return fmt.Sprintf("host %q: an address belongs in a login's base URL", h)
	}
	if !strings.Contains(name, ".") {
		return fmt.Sprintf("host %q has one label only", h)
	}
	if err := checkOwned(name); err != nil {
		return err.Error()
	}
	return ""
}

// covered reports whether each authority that fits the pattern fits the
// provider's hosts too.
func (c *checker) covered(pattern string) bool {
	if slices.Contains(c.p.Hosts, pattern) {
		return true
	}
	inner, err := parseHost(pattern)
	if err != nil {
		return false
	}
	return slices.ContainsFunc(c.p.Hosts, func(h string) bool {
		outer, err := parseHost(h)
		if err != nil || !outer.suffix || outer.port != inner.port {
			return false
		}
		return strings.HasSuffix(inner.name, outer.name) && (inner.suffix || outer.match(inner.name, inner.port))
	})
}

func (c *checker) subset(at string, hosts []string) {
	if len(hosts) == 0 {
		c.add(at, "hosts is missing", "name the hosts that this is for")
	}
	for i, h := range hosts {
		at := fmt.Sprintf("%s.hosts[%d]", at, i)
		if slices.Contains(hosts[:i], h) {
			c.add(at, fmt.Sprintf("host %q stands twice", h), "")
		}
		if !c.covered(h) {
			c.add(at, fmt.Sprintf("host %q is not among the provider's hosts", h), "add it to hosts at the top")
		}
		if strings.Contains(h, hostVar) != strings.Contains(hosts[0], hostVar) {
			c.add(at, fmt.Sprintf("host %q: hosts with {host} and hosts without have different paths below a base URL", h), "split the rule")
		}
	}
}

func (c *checker) environment() {
	c.variables("env", c.p.Env)
	for i, m := range c.p.Login.Methods() {
		c.variables(fmt.Sprintf("login[%d].env", i), m.Env)
		for _, name := range sortedKeys(m.Env) {
			if _, ok := c.p.Env[name]; ok {
				c.add(fmt.Sprintf("login[%d].env.%s", i, name), fmt.Sprintf("variable %q is the provider's already", name), "")
			}
		}
		if env := c.p.EnvFor(m.Name); len(env) > 0 && !anyRecognisable(env) {
			c.add(fmt.Sprintf("login[%d]", i), fmt.Sprintf("no variable of method %q holds a placeholder that can be told from others", m.Name), "use {random36} or the like in one")
		}
	}
	for i, name := range c.p.Scrub {
		at := fmt.Sprintf("scrub[%d]", i)
		c.variable(at, name)
		if _, ok := c.p.Env[name]; ok || slices.Contains(c.p.Scrub[:i], name) {
			c.add(at, fmt.Sprintf("variable %q stands twice", name), "env is scrubbed anyway")
		}
	}
}

func anyRecognisable(env map[string]string) bool {
	for _, template := range env {
		if Recognisable(template) {
			return true
		}
	}
	return false
}

func (c *checker) variables(at string, env map[string]string) {
	for _, name := range sortedKeys(env) {
		at := at + "." + name
		c.variable(at, name)
		parts, err := parsePlaceholder(env[name])
		if err != nil {
			c.add(at, err.Error(), "")
			continue
		}
		if bits := entropy(parts); bits > 0 && bits < minEntropy {
			c.add(at, fmt.Sprintf("placeholder %q is too easily hit by chance", env[name]), "use {random12} or longer")
		}
	}
}

// Variables that decide what runs, where traffic goes or whom it trusts. A
// definition has no business with them.
var (
	guardedNames    = []string{"PATH", "HOME", "SHELL", "USER", "LOGNAME", "IFS", "ENV", "BASH_ENV", "PWD", "TMPDIR", "EDITOR", "VISUAL", "PAGER", "TERM", "ZDOTDIR", "GODEBUG", "GOTRACEBACK", "SSLKEYLOGFILE", "JAVA_TOOL_OPTIONS", "PERL5OPT", "RUBYOPT"}
	guardedPrefixes = []string{"LD_", "DYLD_", "GIT_", "NODE_", "PYTHON", "SSL_CERT_", "XDG_", "KB_", "SSH_", "LC_", "DBUS_"}
)

func (c *checker) variable(at, name string) {
	for i := range len(name) {
		b := name[i]
		if (b < 'A' || b > 'Z') && b != '_' && (i == 0 || b < '0' || b > '9') {
			name = ""
			break
		}
	}
	if name == "" {
		c.add(at, "a variable is capitals, digits and underscores", "")
		return
	}
	guarded := slices.Contains(guardedNames, name) || strings.HasSuffix(name, "_PROXY") ||
		slices.ContainsFunc(guardedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	if guarded {
		c.add(at, fmt.Sprintf("variable %q is not a provider's to set", name), "")
	}
}
