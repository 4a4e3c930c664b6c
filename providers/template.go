package providers

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"

	"kb/internal/secret"
)

// Errors of rendering. They name the rule's field, never the value.
var (
	// ErrNoField says that a rule needs a field that the login does not have.
	ErrNoField = errors.New("login lacks a field")
	// ErrBadField says that a field cannot travel where the rule puts it.
	ErrBadField = errors.New("login field cannot be sent")
)

// Pair is one header field, query parameter or cookie that carries a
// credential.
type Pair struct {
	Name  string // canonical MIME form for header fields
	Value secret.Value
}

// Credential is what a rule puts on requests, ready to be sent. It is shared by
// all requests of a login and must not be changed.
type Credential struct {
	Inject      *Inject
	Header      []Pair   // replace every client copy
	Query       []Pair   // replace every parameter of that name; values are not yet percent-encoded
	Cookie      []Pair   // replace every cookie of that name
	Delete      []string // header fields of the client to drop, canonical, none of Header
	DeleteQuery []string // query parameters of the client to drop, none of Query
}

// Render fills the rule's templates with a login's fields. An error wraps
// [ErrNoField] or [ErrBadField].
func (p *Provider) Render(in *Inject, fields map[string]secret.Value) (*Credential, error) {
	method, ok := p.Login.Method(in.Method)
	if in.Method == "" {
		method, ok = nil, true
	}
	if !ok {
		return nil, fmt.Errorf("render %q: %w: no login method %q", p.Name, ErrNoField, in.Method)
	}
	optional := func(name string) bool {
		for _, m := range p.Login.Methods() {
			if method != nil && m != method {
				continue
			}
			for _, f := range m.Values() {
				if f.Name == name && !f.Optional {
					return false
				}
			}
		}
		return true
	}
	r := renderer{fields: fields, optional: optional}
	c := &Credential{Inject: in}
	for _, name := range sortedKeys(in.Header) {
		r.add(&c.Header, textproto.CanonicalMIMEHeaderKey(name), in.Header[name])
	}
	if in.Basic != nil {
		r.addBasic(&c.Header, in.Basic)
	}
	for _, name := range sortedKeys(in.Query) {
		r.add(&c.Query, name, in.Query[name])
	}
	for _, name := range sortedKeys(in.Cookie) {
		r.add(&c.Cookie, name, in.Cookie[name])
	}
	for _, pair := range c.Cookie {
		if r.err == nil && strings.ContainsAny(pair.Value.Reveal(), "; ,\"\\\t") {
			r.err = fmt.Errorf("%w: cookie %q would end early", ErrBadField, pair.Name)
		}
	}
	if r.err == nil && len(c.Header)+len(c.Query)+len(c.Cookie) == 0 {
		r.err = fmt.Errorf("%w: nothing is left to send", ErrNoField)
	}
	if r.err != nil {
		return nil, fmt.Errorf("render %q: %w", p.Name, r.err)
	}
	c.Delete, c.DeleteQuery = p.deletes(in, c)
	return c, nil
}

// deletes is what of the client's must not travel beside the credential: the
// fields by which any rule of the provider carries one, so that a placeholder
// sent the other way does not contradict it, and those the rule names.
func (p *Provider) deletes(in *Inject, c *Credential) (header, query []string) {
	set := func(pairs []Pair, name string) bool {
		return slices.ContainsFunc(pairs, func(q Pair) bool { return q.Name == name })
	}
	for i := range p.Inject {
		other := &p.Inject[i]
		for name := range other.Header {
			header = append(header, textproto.CanonicalMIMEHeaderKey(name))
		}
		if other.Basic != nil {
			header = append(header, "Authorization")
		}
		for name := range other.Query {
			query = append(query, name)
		}
	}
	for _, name := range in.Delete {
		header = append(header, textproto.CanonicalMIMEHeaderKey(name))
	}
	query = append(query, in.DeleteQuery...)
	tidy := func(names []string, pairs []Pair) []string {
		slices.Sort(names)
		names = slices.Compact(names)
		return slices.DeleteFunc(names, func(n string) bool { return set(pairs, n) })
	}
	return tidy(header, c.Header), tidy(query, c.Query)
}

type renderer struct {
	fields   map[string]secret.Value
	optional func(name string) bool
	err      error
}

func (r *renderer) add(to *[]Pair, name, template string) {
	value, ok := r.expand(template)
	if ok {
		*to = append(*to, Pair{Name: name, Value: secret.New(value)})
	}
}

// addBasic is RFC 7617 §2: the user-id holds no colon, neither holds a control
// character.
func (r *renderer) addBasic(to *[]Pair, b *Basic) {
	user, ok := r.expand(b.Username)
	pass, ok2 := r.expand(b.Password)
	if !ok || !ok2 {
		return
	}
	if strings.Contains(user, ":") {
		r.err = fmt.Errorf("%w: a Basic user name holds a colon", ErrBadField)
		return
	}
	*to = append(*to, Pair{
		Name:  "Authorization",
		Value: secret.New("Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))),
	})
}

// expand fills one template. ok is false when the line is not to be sent:
// because of an error, or because an optional field is empty.
func (r *renderer) expand(template string) (s string, ok bool) {
	if r.err != nil {
		return "", false
	}
	parts, err := splitTemplate(template)
	if err != nil {
		r.err = err
		return "", false
	}
	var b strings.Builder
	for _, part := range parts {
		if !part.variable {
			b.WriteString(part.text)
			continue
		}
		value := r.fields[part.text]
		if value.IsZero() {
			if !r.optional(part.text) {
				r.err = fmt.Errorf("%w: %q", ErrNoField, part.text)
			}
			return "", false
		}
		if !sendable(value.Reveal()) {
			r.err = fmt.Errorf("%w: %q holds a control character or a space at an end", ErrBadField, part.text)
			return "", false
		}
		b.WriteString(value.Reveal())
	}
	return b.String(), true
}

// sendable refuses what could write header lines of its own, and what a server
// would trim or read as something else (RFC 9110 §5.5).
func sendable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return false
		}
	}
	return strings.TrimSpace(s) == s
}

// templatePart is literal text or the name of a variable.
type templatePart struct {
	text     string
	variable bool
}

// splitTemplate reads "Bearer {token}". Braces stand for variables only.
func splitTemplate(template string) ([]templatePart, error) {
	var parts []templatePart
	for rest := template; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			return append(parts, templatePart{text: rest}), nil
		}
		if open > 0 {
			parts = append(parts, templatePart{text: rest[:open]})
		}
		length := strings.IndexByte(rest[open:], '}')
		if rest[open] == '}' || length < 2 || !isFieldName(rest[open+1:open+length]) {
			return nil, fmt.Errorf("read template %q: a variable is written {name}", template)
		}
		parts = append(parts, templatePart{text: rest[open+1 : open+length], variable: true})
		rest = rest[open+length+1:]
	}
	return parts, nil
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// With returns the server with a login's fields in the parameters of token requests
// that name them.
func (s *Server) With(fields map[string]secret.Value) (*Server, error) {
	own := s.clone()
	for name, value := range own.TokenParams {
		field, ok := strings.CutPrefix(value, "{")
		if !ok {
			continue
		}
		given := fields[strings.TrimSuffix(field, "}")]
		if given.IsZero() {
			return nil, fmt.Errorf("%w: %q", ErrNoField, strings.TrimSuffix(field, "}"))
		}
		own.TokenParams[name] = given.Reveal()
	}
	return own, nil
}
