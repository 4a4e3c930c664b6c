package providers

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxDefinition bounds a definition's text. The longest that ships is a tenth
// of it.
const maxDefinition = 64 << 10

// document is a definition as TOML has it.
type document struct {
	Name        string            `toml:"name"`
	Title       string            `toml:"title"`
	Docs        string            `toml:"docs"`
	Note        string            `toml:"note"`
	Sources     []string          `toml:"sources"`
	Unverified  bool              `toml:"unverified"`
	Replaces    string            `toml:"replaces"`
	Base        *Base             `toml:"base"`
	Hosts       []string          `toml:"hosts"`
	Env         map[string]string `toml:"env"`
	Scrub       []string          `toml:"scrub"`
	Refresh     string            `toml:"refresh"`
	SecretPaths []string          `toml:"secret_paths"`
	Login       []Method          `toml:"login"`
	Inject      []Inject          `toml:"inject"`
	Identity    *Identity         `toml:"identity"`
	Mints       []Mint            `toml:"mints"`
}

// Problem is one thing that is wrong with a definition.
type Problem struct {
	At      string // where: "inject[1].hosts[0]"; "" for the whole definition
	Message string
	Fix     string // what to write instead; may be empty
}

// DefinitionError is every problem of a definition that was refused.
type DefinitionError struct {
	Name     string // as the definition gives it; may be empty
	Problems []Problem
}

func (e *DefinitionError) Error() string {
	name := e.Name
	if name == "" {
		name = "?"
	}
	first := e.Problems[0]
	at := ""
	if first.At != "" {
		at = first.At + ": "
	}
	more := ""
	if n := len(e.Problems) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Sprintf("read provider %q: %s%s%s", name, at, first.Message, more)
}

// Parse reads a definition and holds it to every rule of docs/providers.md. A
// refused one is a *[DefinitionError]; [Lint] gives its line numbers.
func Parse(text []byte) (*Provider, error) {
	doc, err := decode(text)
	if err != nil {
		return nil, &DefinitionError{Problems: []Problem{{Message: firstLine(err)}}}
	}
	p := doc.provider()
	if problems := p.check(); len(problems) > 0 {
		return nil, &DefinitionError{Name: doc.Name, Problems: problems}
	}
	if err := p.prepare(); err != nil {
		return nil, &DefinitionError{Name: doc.Name, Problems: []Problem{{Message: err.Error()}}}
	}
	return p, nil
}

// decode is strict: a key that the format does not have is an error, because a
// misspelt "paths" would send a credential everywhere.
func decode(text []byte) (*document, error) {
	if len(text) > maxDefinition {
		return nil, fmt.Errorf("longer than %d bytes", maxDefinition)
	}
	doc := &document{}
	d := toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields()
	if err := d.Decode(doc); err != nil {
		return nil, err
	}
	return doc, nil
}

func firstLine(err error) string {
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		return fmt.Sprintf("unknown key %q", strings.Join(unknown.Errors[0].Key(), "."))
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func (d *document) provider() *Provider {
	p := &Provider{
		Name: d.Name, Title: d.Title, Docs: d.Docs, Note: d.Note,
		Sources: slices.Clone(d.Sources), Unverified: d.Unverified, Replaces: d.Replaces,
		Base: d.Base, Hosts: d.Hosts, Env: d.Env, Scrub: d.Scrub, Inject: d.Inject,
		Identity: d.Identity, Mints: d.Mints, SecretPaths: d.SecretPaths, Refresh: d.Refresh,
	}
	if p.Refresh == "" {
		p.Refresh = "none"
	}
	if len(d.Login) > 0 {
		p.Login = Login{Default: &d.Login[0], Other: d.Login[1:]}
	}
	if p.Identity != nil && p.Identity.Method == "" {
		p.Identity.Method = "GET"
	}
	cite := func(source string) {
		if source != "" && !slices.Contains(p.Sources, source) {
			p.Sources = append(p.Sources, source)
		}
	}
	for _, in := range p.Inject {
		cite(in.Source)
		p.Unverified = p.Unverified || in.Unverified
	}
	for i := range d.Login {
		l := &d.Login[i]
		p.Unverified = p.Unverified || l.Unverified
		if l.Server != nil {
			cite(l.Server.Source)
			p.Unverified = p.Unverified || l.Server.Unverified
		}
		if l.Refresh == "" {
			l.Refresh = p.Refresh
		}
	}
	for _, m := range p.Mints {
		cite(m.Source)
	}
	if p.Identity != nil {
		cite(p.Identity.Source)
	}
	return p
}

// prepare parses every pattern once, so that the request path does not.
func (p *Provider) prepare() error {
	for i := range p.Inject {
		if err := p.Inject[i].prepare(); err != nil {
			return err
		}
	}
	for i := range p.Mints {
		if err := p.Mints[i].prepare(); err != nil {
			return err
		}
	}
	return p.prepareSecret()
}

func (p *Provider) prepareSecret() error {
	p.secret = make([]glob, 0, len(p.SecretPaths))
	for _, s := range p.SecretPaths {
		g, err := parseGlob(s, false)
		if err != nil {
			return err
		}
		if g[len(g)-1].kind != segAny {
			g = append(g, segment{kind: segAny})
		}
		p.secret = append(p.secret, g)
	}
	return nil
}
