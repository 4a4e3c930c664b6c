package providers

import (
	"fmt"
	"net/textproto"
	"net/url"
	"slices"
	"strings"
)

// Header fields that frame, route or belong to a hop. A credential in one would
// change what the request is.
var guardedHeaders = []string{
	"Host", "Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection", "Keep-Alive",
	"Te", "Trailer", "Upgrade", "Expect", "Date", "Forwarded", "Via", "Cookie", "Range",
}

func (c *checker) headerName(at, name string) {
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	switch {
	case !isToken(name):
		c.add(at, fmt.Sprintf("%q is no header field's name", name), "")
	case slices.Contains(guardedHeaders, canonical), strings.HasPrefix(canonical, "Proxy-"), strings.HasPrefix(canonical, "Kb-"):
		c.add(at, fmt.Sprintf("header field %q is not a definition's to touch", name), "")
	}
}

// isToken is RFC 9110 §5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

func (c *checker) inject(i int) {
	in := &c.p.Inject[i]
	at := fmt.Sprintf("inject[%d]", i)
	c.sourced(at, in.Source, in.Unverified)
	c.subset(at, in.Hosts)
	for j, s := range in.Paths {
		if _, err := parseGlob(s, false); err != nil {
			c.add(fmt.Sprintf("%s.paths[%d]", at, j), err.Error(), "")
		}
	}
	if in.Method != "" {
		if _, ok := c.p.Login.Method(in.Method); !ok {
			c.add(at+".method", fmt.Sprintf("no login has method %q", in.Method), "")
		}
	}
	c.carries(at, in)
	for j, name := range in.Delete {
		c.headerName(fmt.Sprintf("%s.delete[%d]", at, j), name)
	}
	for j := range in.Repository {
		c.repository(fmt.Sprintf("%s.repository[%d]", at, j), &in.Repository[j], in)
	}
}

// carries holds the rule's fields to the login's.
func (c *checker) carries(at string, in *Inject) {
	variables := 0
	fill := func(at, template string) {
		n, message := c.template(template, in.Method)
		variables += n
		if message != "" {
			c.add(at, message, "")
		}
	}
	seen := map[string]bool{}
	for _, name := range sortedKeys(in.Header) {
		at := at + ".header." + name
		c.headerName(at, name)
		if key := textproto.CanonicalMIMEHeaderKey(name); seen[key] {
			c.add(at, fmt.Sprintf("header field %q stands twice", name), "")
		} else {
			seen[key] = true
		}
		fill(at, in.Header[name])
	}
	if in.Basic != nil {
		if seen["Authorization"] {
			c.add(at+".basic", "basic and a header field Authorization are one place", "keep one of them")
		}
		fill(at+".basic.username", in.Basic.Username)
		fill(at+".basic.password", in.Basic.Password)
		if strings.Contains(in.Basic.Username, ":") {
			c.add(at+".basic.username", "a Basic user name holds no colon (RFC 7617)", "")
		}
	}
	for _, name := range sortedKeys(in.Query) {
		if !isToken(name) {
			c.add(at+".query."+name, fmt.Sprintf("%q is no query parameter's name", name), "")
		}
		fill(at+".query."+name, in.Query[name])
	}
	for _, name := range sortedKeys(in.Cookie) {
		if !isToken(name) {
			c.add(at+".cookie."+name, fmt.Sprintf("%q is no cookie's name", name), "")
		}
		fill(at+".cookie."+name, in.Cookie[name])
	}
	if variables == 0 {
		c.add(at, "the rule puts no field of the login on a request", "give header, basic, query or cookie with a {field}")
	}
}

// template returns how many variables a template holds, and what is wrong.
func (c *checker) template(template, method string) (variables int, message string) {
	parts, err := splitTemplate(template)
	if err != nil {
		return 1, err.Error()
	}
	for i := range len(template) {
		if template[i] < 0x20 || template[i] >= 0x7f {
			return 1, fmt.Sprintf("template %q: only printable ASCII", template)
		}
	}
	if strings.TrimSpace(template) != template {
		return 1, fmt.Sprintf("template %q: a space at an end is lost on the way", template)
	}
	for _, part := range parts {
		if !part.variable {
			continue
		}
		variables++
		for _, m := range c.p.Login.Methods() {
			if method != "" && m.Name != method {
				continue
			}
			if !slices.ContainsFunc(m.Values(), func(f Field) bool { return f.Name == part.text }) {
				return variables, fmt.Sprintf("template %q: login method %q has no field %q", template, m.Name, part.text)
			}
		}
	}
	return variables, ""
}

func (c *checker) repository(at string, r *Repository, in *Inject) {
	g, err := parseGlob(r.Path, true)
	if err != nil {
		c.add(at+".path", err.Error(), "")
		return
	}
	parts, err := splitTemplate(r.Is)
	if err != nil {
		c.add(at+".is", err.Error(), "")
		return
	}
	used := map[string]bool{}
	for _, part := range parts {
		if part.variable {
			used[part.text] = true
		}
	}
	for _, seg := range g {
		if seg.kind >= segName && !used[seg.text] {
			c.add(at+".path", fmt.Sprintf("capture {%s} is not used in %q", seg.text, r.Is), "write * for a segment that names nothing")
		}
		delete(used, seg.text)
	}
	host, path, _ := strings.Cut(r.Is, "/")
	if host == hostVar {
		delete(used, "host")
		if !usesBase(in.Hosts) {
			c.add(at+".is", "{host} stands for a base URL, and this rule has none", "write the host")
		}
	} else if parsed, err := parseHost(host); err != nil || parsed.suffix {
		c.add(at+".is", fmt.Sprintf("remote %q does not start with a host", r.Is), `write it like is = "git.acme.example/{owner}/{name}"`)
	}
	if path == "" || !strings.Contains(path, "{") {
		c.add(at+".is", fmt.Sprintf("remote %q names no repository", r.Is), `write it like is = "git.acme.example/{owner}/{name}"`)
	}
	for _, name := range slices.Sorted(keysOf(used)) {
		c.add(at+".is", fmt.Sprintf("{%s} is no capture of path %q", name, r.Path), "")
	}
}

func keysOf(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// reachable finds rules that an earlier one without paths hides.
func (c *checker) reachable() {
	for j := range c.p.Inject {
		later := &c.p.Inject[j]
		for i := range c.p.Inject[:j] {
			earlier := &c.p.Inject[i]
			if len(earlier.Paths) > 0 || earlier.Method != "" && earlier.Method != later.Method {
				continue
			}
			for k, h := range later.Hosts {
				if slices.Contains(earlier.Hosts, h) {
					c.add(fmt.Sprintf("inject[%d].hosts[%d]", j, k), fmt.Sprintf("inject[%d] takes every path of %q first", i, h), "put the rule with paths above it")
				}
			}
		}
	}
}

// used finds what a person would be asked for in vain, and hosts that would be
// intercepted for nothing.
func (c *checker) used() {
	for i, m := range c.p.Login.Methods() {
		rules := slices.Clone(c.p.Inject)
		rules = slices.DeleteFunc(rules, func(in Inject) bool { return in.Method != "" && in.Method != m.Name })
		if len(rules) == 0 {
			c.add(fmt.Sprintf("login[%d]", i), fmt.Sprintf("no rule sends a login of method %q", m.Name), "add [[inject]]")
			continue
		}
		for j, f := range m.Values() {
			if !slices.ContainsFunc(rules, func(in Inject) bool { return in.uses(f.Name) }) {
				c.add(fmt.Sprintf("login[%d].field[%d]", i, j), fmt.Sprintf("no rule sends field %q", f.Name), "")
			}
		}
	}
	if len(c.p.SecretPaths) > 0 || len(c.p.Mints) > 0 {
		return
	}
	for i, h := range c.p.Hosts {
		outer, err := parseHost(h)
		if !slices.ContainsFunc(c.p.Inject, func(in Inject) bool {
			return slices.ContainsFunc(in.Hosts, func(own string) bool {
				inner, err2 := parseHost(own)
				return own == h || err == nil && err2 == nil && outer.overlaps(inner)
			})
		}) {
			c.add(fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("no rule is for host %q", h), "")
		}
	}
}

// uses reports whether some template of the rule holds the field.
func (in *Inject) uses(field string) bool {
	variable := "{" + field + "}"
	for _, m := range []map[string]string{in.Header, in.Query, in.Cookie} {
		for _, template := range m {
			if strings.Contains(template, variable) {
				return true
			}
		}
	}
	return in.Basic != nil && strings.Contains(in.Basic.Username+in.Basic.Password, variable)
}

func (c *checker) identity() {
	id := c.p.Identity
	if id == nil {
		return
	}
	c.sourced("identity", id.Source, id.Unverified)
	u, err := url.Parse(strings.Replace(id.URL, hostVar, anyBase, 1))
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "":
		c.add("identity.url", fmt.Sprintf("%q is no https address", id.URL), "")
	case !c.sends(u):
		c.add("identity.url", fmt.Sprintf("no rule sends a credential to %q", id.URL), "ask at a host and path that a rule is for")
	}
	if id.Method != "GET" && id.Method != "POST" {
		c.add("identity.method", fmt.Sprintf("method %q is not GET or POST", id.Method), "")
	}
	if id.Body != "" && id.Method != "POST" {
		c.add("identity.body", "a body goes with POST only", `add method = "POST"`)
	}
	for _, name := range sortedKeys(id.Header) {
		if value := id.Header[name]; !isToken(name) || !sendable(value) || strings.ContainsAny(value, "{}") {
			c.add("identity.header."+name, fmt.Sprintf("header field %q is not a constant line", name), "")
		}
	}
	for part := range strings.SplitSeq(id.Name, ".") {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return r > 0x7e || (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r != '_' && r != '-'
		}) {
			c.add("identity.name", fmt.Sprintf("%q is no path into a JSON answer", id.Name), `write it like name = "data.viewer.email"`)
			return
		}
	}
}

// anyBase is a server that {host} may stand for.
const anyBase = "host.invalid"

// sends reports whether the default method's rules reach a URL.
func (c *checker) sends(u *url.URL) bool {
	for _, in := range c.p.Inject {
		if !c.p.appliesTo(&in, "") {
			continue
		}
		host := slices.ContainsFunc(in.Hosts, func(h string) bool {
			return MatchHost(strings.Replace(h, hostVar, anyBase, 1), u.Hostname(), httpsPort)
		})
		if !host {
			continue
		}
		if len(in.Paths) == 0 || slices.ContainsFunc(in.Paths, func(s string) bool {
			g, err := parseGlob(s, false)
			return err == nil && g.match(u.EscapedPath())
		}) {
			return true
		}
	}
	return false
}

func (c *checker) mint(i int) {
	m := &c.p.Mints[i]
	at := fmt.Sprintf("mints[%d]", i)
	c.sourced(at, m.Source, m.Unverified)
	c.subset(at, m.Hosts)
	if m.Method != "" && (!isToken(m.Method) || strings.ToUpper(m.Method) != m.Method) {
		c.add(at+".method", fmt.Sprintf("%q is no HTTP method in capitals", m.Method), "")
	}
	if _, err := parseGlob(m.Path, false); err != nil {
		c.add(at+".path", err.Error(), "")
	}
}
