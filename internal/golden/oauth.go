package golden

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Grants is one golden file of how tokens are got: providers/testdata/oauth,
// NAME.golden for provider NAME. It is written by hand from the vendor's page and
// holds, for each login method that has a flow, the requests that must arrive at
// the vendor, byte for parameter, and what the vendor's page says it answers.
//
//	# https://acme.example/docs/oauth            the vendor's page, in a comment
//	provider acme
//
// A method; what follows is its own up to the next:
//
//	method oauth
//	base https://git.acme.example                login's base URL
//	client acme-client acme-secret               id, and the secret where the client has one
//	field key = {"type":"service_account"}       what a person gave, for flows without one
//	scopes read write                            asked for; without the line, the definition's
//	held r0                                      refresh token of a login that was not kb's to begin with
//
// then the exchanges, each a title from the list below, the request, and the
// answer. Parameters are compared as a set: one too many is a difference.
//
//	== token
//	POST https://acme.example/oauth/token
//	> Authorization: Basic YWNtZQ==              header field that must arrive so; Authorization
//	                                             must not arrive where no line says so
//	> Content-Type: application/json             JSON in place of a form
//	grant_type = authorization_code
//	code_verifier = {verifier}
//	answer {"access_token":"a1","expires_in":3600,"scope":"read write"}
//	access a1                                    what kb must have understood
//	refresh r1                                   "-": there is none
//	expires 3600                                 seconds from now; "-": nobody knows
//	scopes read write                            "-": the answer does not say
//
// An answer whose status is not 200 has it in front: "answer 400 {"error":"x"}".
//
// The titles:
//
//	register   of the client (RFC 7591); its answer's client_id is used from there on
//	authorize  the address that the browser opens: GET, no answer
//	token      redeems the code; or, for flows without a person, the only request
//	device     asks for a device code; understood: code, visit, whole, expires, interval
//	poll       asks whether the device was granted
//	refresh    asks for new tokens
//	refused    the same, with an answer that says no: error invalid_grant
//	revoke     gives the tokens back
//	fetch      a document of discovery, in any order, as often as it is asked for
//
// Values that differ each time stand in braces: {state}, {challenge}, {verifier}
// (checked to belong together), {port} in a redirect, {code} for what the browser
// brought, {device} for the device code that was answered, {assertion} for a
// signed JWT, whose claims are "claim iss = me@acme.example" lines. "<" lines of
// a fetch are header fields of the answer.
type Grants struct {
	Provider string
	Methods  []Grant
}

// Grant is how tokens of one login method are got.
type Grant struct {
	Line   int
	Method string
	Base   string
	ID     string // of the client
	Secret string
	Fields map[string]string
	Scopes []string // nil: the definition's own
	Held   string   // refresh token before the first step

	Steps []Step
}

// Step is one request to an authorization server, its answer, and what is to be
// understood from it.
type Step struct {
	Line  int
	Title string

	HTTPMethod string
	URL        string
	Header     []Pair
	Params     []Pair
	Claims     []Pair

	Status       int
	Answer       string
	AnswerHeader []Pair
	Understood   []Pair // access, refresh, expires, scopes, code, visit, whole, interval, error; the issuer of an authorize step
}

var (
	stepTitles = []string{"register", "authorize", "token", "device", "poll", "refresh", "refused", "revoke", "fetch"}
	understood = []string{"access", "refresh", "expires", "scopes", "code", "visit", "whole", "interval", "error", "iss"}
)

// ParseGrants reads a golden file of grants. Errors name the line.
func ParseGrants(r io.Reader) (*Grants, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	p := grantParser{file: &Grants{}}
	for line := range strings.Lines(string(text)) {
		p.line++
		line = strings.TrimRight(line, " \t\r\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := p.statement(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", p.line, err)
		}
	}
	if err := p.finish(); err != nil {
		return nil, fmt.Errorf("line %d: %w", p.line, err)
	}
	if p.file.Provider == "" || len(p.file.Methods) == 0 {
		return nil, errors.New("no provider or no method")
	}
	return p.file, nil
}

// ReadGrants reads every golden file of grants of a folder, by provider.
func ReadGrants(dir string) ([]*Grants, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.golden"))
	if err != nil {
		return nil, err
	}
	var files []*Grants
	for _, path := range slices.Sorted(slices.Values(paths)) {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		f, err := ParseGrants(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if f.Provider+".golden" != filepath.Base(path) {
			return nil, fmt.Errorf("%s: it is for provider %q", path, f.Provider)
		}
		files = append(files, f)
	}
	return files, nil
}

type grantParser struct {
	file *Grants
	line int
	step *Step // the one being read
}

func (p *grantParser) statement(line string) error {
	word, rest, _ := strings.Cut(line, " ")
	rest = strings.TrimSpace(rest)
	switch {
	case word == "provider":
		p.file.Provider = rest
		return nil
	case word == "method":
		if err := p.finish(); err != nil {
			return err
		}
		p.file.Methods = append(p.file.Methods, Grant{Line: p.line, Method: rest, Fields: map[string]string{}})
		return nil
	case len(p.file.Methods) == 0:
		return fmt.Errorf("%q stands in no method", line)
	case word == "==":
		if err := p.finish(); err != nil {
			return err
		}
		if !slices.Contains(stepTitles, rest) {
			return fmt.Errorf("%q is none of %s", rest, strings.Join(stepTitles, ", "))
		}
		p.step = &Step{Line: p.line, Title: rest, Status: http.StatusOK}
		return nil
	case p.step == nil:
		return p.head(word, rest)
	case p.step.URL == "":
		u, err := url.Parse(rest)
		if err != nil || u.Scheme != "https" || u.Host == "" || strings.ToUpper(word) != word {
			return fmt.Errorf("a request is a method and an https URL: %q", line)
		}
		p.step.HTTPMethod, p.step.URL = word, rest
		return nil
	}
	return p.inStep(word, rest, line)
}

func (p *grantParser) head(word, rest string) error {
	g := &p.file.Methods[len(p.file.Methods)-1]
	switch word {
	case "base":
		g.Base = rest
	case "client":
		g.ID, g.Secret, _ = strings.Cut(rest, " ")
	case "held":
		g.Held = rest
	case "scopes":
		g.Scopes = strings.Fields(rest)
	case "field":
		name, value, ok := strings.Cut(rest, " = ")
		if !ok {
			return fmt.Errorf("field wants name = value: %q", rest)
		}
		g.Fields[name] = value
	default:
		return fmt.Errorf("unknown statement %q", word)
	}
	return nil
}

func (p *grantParser) inStep(word, rest, line string) error {
	s := p.step
	switch {
	case word == ">":
		return pair(&s.Header, rest, ": ")
	case word == "<":
		return pair(&s.AnswerHeader, rest, ": ")
	case word == "claim":
		return pair(&s.Claims, rest, " = ")
	case word == "answer":
		if status, body, ok := strings.Cut(rest, " "); ok && len(status) == 3 && strings.Trim(status, "0123456789") == "" {
			if _, err := fmt.Sscanf(status, "%d", &s.Status); err != nil {
				return err
			}
			rest = body
		} else if len(rest) == 3 && strings.Trim(rest, "0123456789") == "" {
			_, err := fmt.Sscanf(rest, "%d", &s.Status)
			return err
		}
		if !json.Valid([]byte(rest)) {
			return fmt.Errorf("answer is no JSON: %q", rest)
		}
		s.Answer = rest
		return nil
	case slices.Contains(understood, word) && !strings.Contains(line, " = "):
		s.Understood = append(s.Understood, Pair{word, rest})
		return nil
	}
	return pair(&s.Params, line, " = ")
}

// finish closes an exchange and refuses one that would check nothing.
func (p *grantParser) finish() error {
	s := p.step
	p.step = nil
	if s == nil {
		return nil
	}
	if s.URL == "" {
		return fmt.Errorf("exchange %q (line %d) has no request", s.Title, s.Line)
	}
	says := map[string]bool{}
	for _, u := range s.Understood {
		says[u.Name] = true
	}
	for title, wants := range map[string][]string{
		"token": {"access", "refresh", "expires", "scopes"}, "poll": {"access", "refresh", "expires", "scopes"},
		"refresh": {"access", "refresh", "expires"}, "refused": {"error"},
		"device": {"code", "visit", "expires", "interval"},
	} {
		for _, name := range wants {
			if s.Title == title && !says[name] {
				return fmt.Errorf("exchange %q (line %d) does not say what %s is", s.Title, s.Line, name)
			}
		}
	}
	g := &p.file.Methods[len(p.file.Methods)-1]
	g.Steps = append(g.Steps, *s)
	return nil
}

// Says returns what a step says is understood of a name; ok is false when it
// does not say.
func (s *Step) Says(name string) (value string, ok bool) {
	for _, u := range s.Understood {
		if u.Name == name {
			return u.Value, true
		}
	}
	return "", false
}

// Values are the step's parameters by name.
func (s *Step) Values() map[string]string {
	all := map[string]string{}
	for _, p := range s.Params {
		all[p.Name] = p.Value
	}
	return all
}

// Step returns the method's first exchange of a title.
func (g *Grant) Step(title string) (*Step, bool) {
	for i := range g.Steps {
		if g.Steps[i].Title == title {
			return &g.Steps[i], true
		}
	}
	return nil, false
}
