// Package golden reads the requests by which provider definitions are checked.
//
// A golden file is written by hand from a vendor's page and says, for one
// provider, what a client sends and exactly which credential fields must arrive
// upstream. It is read by the tests of kb/providers, which render, and by those
// that drive the same requests through a real proxy to a fake upstream. Neither
// side writes it.
//
// # Format
//
// One line, one statement. A line that starts with # is a comment; the vendor's
// page stands in one. First the head:
//
//	provider github
//	env GH_TOKEN ^ghp_[A-Za-z0-9]{36}$         shape that the client accepts
//	identity GET https://api.github.com/user   whom to ask
//	answer {"login":"octocat"} -> octocat      a reply of the vendor's page, and the account in it
//
// then the login; these hold from here to where they are said again:
//
//	login token                                method; clears fields and base
//	field token = kb-golden-token
//	base https://git.acme.example
//
// then exchanges, each from "==" to the next:
//
//	== a title
//	> GET https://api.github.com/repos/acme/api?per_page=1
//	> Authorization: token ghp_placeholder     the client's fields
//	< Authorization: Bearer kb-golden-token    header field that must arrive, once, exactly so
//	<? key=kb-golden-token                     query parameter, likewise, decoded
//	<@ session=kb-golden-token                 cookie, likewise
//	! X-Api-Key                                field of the client that must not arrive
//	!? key                                     query parameter of the client that must not arrive
//	none                                       no credential goes on this request
//	repository github.com/acme/api             what the request is about; "repository -" for none
//	mint                                       the answer holds a credential
//	write                                      changes a repository
//	audit /services/*/*/*                      how the path shows in the audit
//
// Whatever else the client sent arrives as it was. An exchange says what arrives
// or "none", never neither.
package golden

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// File is one golden file.
type File struct {
	Provider  string
	Env       map[string]string // variable -> regular expression of the placeholders that clients accept
	Identity  *Identity
	Exchanges []Exchange
}

// Identity is the endpoint that says whose a credential is, with a reply.
type Identity struct {
	Method, URL  string
	Answer, Name string
}

// Exchange is one request and what of it must arrive.
type Exchange struct {
	Line   int // of its title
	Title  string
	Login  string            // login method; "" is the default one
	Fields map[string]string // the login's values: the secrets
	Base   string            // the login's base URL

	Method string // of the request
	URL    *url.URL
	Header []Pair // the client's

	Want       []Pair // header fields
	WantQuery  []Pair
	WantCookie []Pair
	Absent     []string // header fields
	AbsentArgs []string // query parameters
	None       bool
	Mint       bool
	Write      bool
	Repository string // "" says nothing, "-" none
	Audit      string
}

// Pair is a header field, a query parameter or a cookie.
type Pair struct{ Name, Value string }

// Parse reads a golden file. Errors name the line.
func Parse(r io.Reader) (*File, error) {
	p := parser{file: &File{Env: map[string]string{}}}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		p.line++
		text := strings.TrimRight(lines.Text(), " \t")
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if err := p.statement(text); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if p.file.Provider == "" || len(p.file.Exchanges) == 0 {
		return nil, fmt.Errorf("line %d: no provider or no exchange", p.line)
	}
	return p.file, p.finish()
}

// ReadDir reads every golden file of a folder, NAME.txt for provider NAME, in
// the order of names.
func ReadDir(dir string) ([]*File, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var files []*File
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := Parse(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if f.Provider+".txt" != filepath.Base(path) {
			return nil, fmt.Errorf("%s: it is for provider %q", path, f.Provider)
		}
		files = append(files, f)
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no golden file in %q", dir)
	}
	return files, nil
}

type parser struct {
	file   *File
	line   int
	login  string
	base   string
	fields map[string]string
	now    *Exchange // the one being read
}

func (p *parser) statement(text string) error {
	word, rest, _ := strings.Cut(text, " ")
	rest = strings.TrimSpace(rest)
	switch word {
	case "provider":
		p.file.Provider = rest
	case "env":
		name, shape, ok := strings.Cut(rest, " ")
		if !ok || p.file.Env[name] != "" {
			return fmt.Errorf("env wants a variable, once, and a shape: %q", rest)
		}
		p.file.Env[name] = strings.TrimSpace(shape)
	case "identity":
		method, address, ok := strings.Cut(rest, " ")
		if !ok {
			return fmt.Errorf("identity wants a method and a URL: %q", rest)
		}
		p.file.Identity = &Identity{Method: method, URL: address}
	case "answer":
		arrow := strings.LastIndex(rest, " -> ")
		if arrow < 0 || p.file.Identity == nil {
			return errors.New("answer wants an identity above, a body, an arrow and a name")
		}
		p.file.Identity.Answer, p.file.Identity.Name = rest[:arrow], rest[arrow+len(" -> "):]
	case "login":
		if err := p.finish(); err != nil {
			return err
		}
		p.login, p.base, p.fields = rest, "", map[string]string{}
	case "field":
		name, value, ok := strings.Cut(rest, " = ")
		if !ok || p.fields == nil || p.now != nil {
			return fmt.Errorf("field wants a login above, not an exchange, and name = value: %q", rest)
		}
		p.fields[strings.TrimSpace(name)] = value
	case "base":
		p.base = rest
	case "==":
		if err := p.finish(); err != nil {
			return err
		}
		if p.fields == nil {
			return errors.New("an exchange wants a login above")
		}
		p.now = &Exchange{Line: p.line, Title: rest, Login: p.login, Fields: maps.Clone(p.fields), Base: p.base}
	default:
		if p.now == nil {
			return fmt.Errorf("%q stands in no exchange", text)
		}
		return p.exchange(word, rest)
	}
	return nil
}

func (p *parser) exchange(word, rest string) error {
	e := p.now
	var err error
	switch word {
	case ">":
		if e.URL == nil {
			return p.request(rest)
		}
		err = pair(&e.Header, rest, ": ")
	case "<":
		err = pair(&e.Want, rest, ": ")
	case "<?":
		err = pair(&e.WantQuery, rest, "=")
	case "<@":
		err = pair(&e.WantCookie, rest, "=")
	case "!":
		e.Absent = append(e.Absent, rest)
	case "!?":
		e.AbsentArgs = append(e.AbsentArgs, rest)
	case "none":
		e.None = true
	case "mint":
		e.Mint = true
	case "write":
		e.Write = true
	case "repository":
		e.Repository = rest
	case "audit":
		e.Audit = rest
	default:
		return fmt.Errorf("unknown statement %q", word)
	}
	return err
}

func (p *parser) request(line string) error {
	method, address, ok := strings.Cut(line, " ")
	u, err := url.Parse(address)
	if !ok || err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("a request is a method and an https URL: %q", line)
	}
	p.now.Method, p.now.URL = method, u
	return nil
}

func pair(to *[]Pair, text, separator string) error {
	name, value, ok := strings.Cut(text, separator)
	if !ok {
		return fmt.Errorf("want name%svalue: %q", separator, text)
	}
	*to = append(*to, Pair{name, value})
	return nil
}

// finish closes an exchange and refuses one that would check nothing.
func (p *parser) finish() error {
	e := p.now
	p.now = nil
	if e == nil {
		return nil
	}
	wants := len(e.Want) + len(e.WantQuery) + len(e.WantCookie)
	if e.URL == nil || e.None == (wants > 0) {
		return fmt.Errorf("exchange %q (line %d) wants a request, and what arrives or none", e.Title, e.Line)
	}
	for _, name := range e.Absent {
		if !e.Sends(name) {
			return fmt.Errorf("exchange %q (line %d): the client does not send %q, so its absence says nothing", e.Title, e.Line, name)
		}
	}
	for _, name := range e.AbsentArgs {
		if !e.URL.Query().Has(name) {
			return fmt.Errorf("exchange %q (line %d): the client does not send %q, so its absence says nothing", e.Title, e.Line, name)
		}
	}
	p.file.Exchanges = append(p.file.Exchanges, *e)
	return nil
}

// Sends reports whether the client sends a header field.
func (e *Exchange) Sends(name string) bool {
	for _, h := range e.Header {
		if strings.EqualFold(h.Name, name) {
			return true
		}
	}
	return false
}

// Port is the request's port, 443 unless the URL names one.
func (e *Exchange) Port() string {
	if port := e.URL.Port(); port != "" {
		return port
	}
	return "443"
}
