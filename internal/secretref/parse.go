package secretref

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
)

// reference is a parsed reference.
type reference struct {
	text   string
	scheme *scheme
	name   string            // what follows "scheme:" or "scheme://", without query and field
	query  map[string]string // ?version=…
	field  string            // #…, which picks one field of a value that is JSON
}

// scheme is one kind of reference.
type scheme struct {
	mark   string   // what follows its name: ":" or "://"
	whole  bool     // the rest is one name, where "?" and "#" mean nothing
	query  []string // parameters that it knows
	local  bool     // it names a file or a program on this device
	slow   bool
	check  func(p *reference) error
	source func(ctx context.Context, r *Resolver, p *reference) (Source, error)
	fetch  func(ctx context.Context, r *Resolver, p *reference, s Source) ([]byte, error)
}

// schemes by name. It is filled by init, for the functions in it use it.
var schemes map[string]*scheme

func init() {
	schemes = map[string]*scheme{
		"env":  {mark: ":", whole: true, check: checkEnv, fetch: fetchEnv},
		"file": {mark: ":", whole: true, local: true, check: checkPath, source: sourceFile, fetch: fetchFile},
		"cmd":  {mark: ":", whole: true, local: true, slow: true, check: checkCommand, source: sourceCommand, fetch: fetchCommand},
		"sops": {mark: ":", local: true, slow: true, check: checkSOPS, source: sourceFile, fetch: fetchSOPS},

		"keyring": {mark: ":", whole: true, slow: true, check: checkKeyring, fetch: fetchKeyring},
		"op":      {mark: "://", whole: true, slow: true, check: checkOnePassword, fetch: fetchOnePassword},
		"bw":      {mark: "://", slow: true, check: checkBitwarden, fetch: fetchBitwarden},
		"vault":   {mark: "://", query: []string{"version", "namespace", "kv"}, slow: true, check: checkVault, fetch: fetchVault},
		"gcpsm":   {mark: "://", query: []string{"version", "location"}, slow: true, check: checkGoogle, fetch: fetchGoogle},
		"awssm":   {mark: "://", query: []string{"version", "stage", "region", "profile"}, slow: true, check: checkAWS("secretsmanager"), fetch: fetchSecretsManager},
		"awsps":   {mark: "://", query: []string{"version", "label", "region", "profile"}, slow: true, check: checkAWS("ssm"), fetch: fetchParameter},
	}
}

// parse reads a reference. Its error is complete.
func parse(text string) (*reference, error) {
	p, err := split(text)
	if err == nil && p.scheme.check != nil {
		err = p.scheme.check(p)
	}
	switch {
	case err != nil && !Named(text): // it may be the secret itself
		return nil, fmt.Errorf("use reference: %w", err)
	case err != nil:
		return nil, fmt.Errorf("use reference %s: %w", quote(text), err)
	}
	return p, nil
}

func split(text string) (*reference, error) {
	if len(text) > maxReference {
		return nil, fmt.Errorf("longer than %d bytes", maxReference)
	}
	name, rest, _ := strings.Cut(text, ":")
	s := schemes[name]
	if s == nil {
		return nil, ErrSyntax
	}
	rest, ok := strings.CutPrefix(rest, s.mark[1:])
	if !ok {
		return nil, fmt.Errorf("it begins with %s%s", name, s.mark)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
		return nil, errors.New("it holds a control character")
	}
	p := &reference{text: text, scheme: s, name: rest}
	if rest == "" {
		return nil, errors.New("it names nothing")
	}
	if s.whole {
		return p, nil
	}
	var err error
	before, field, fielded := strings.Cut(rest, "#")
	if p.field, err = url.PathUnescape(field); err != nil || fielded && field == "" {
		return nil, errors.New("what follows # is no field")
	}
	before, query, _ := strings.Cut(before, "?")
	if p.name, err = url.PathUnescape(before); err != nil || p.name == "" {
		return nil, errors.New("it names nothing")
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("what follows ? is no parameter")
	}
	p.query = map[string]string{}
	for key, v := range values {
		if !slices.Contains(s.query, key) || len(v) != 1 || v[0] == "" {
			return nil, fmt.Errorf("parameters are %s, each once", strings.Join(s.query, ", "))
		}
		p.query[key] = v[0]
	}
	return p, nil
}

func checkEnv(p *reference) error {
	if strings.Contains(p.name, "=") {
		return ErrSyntax
	}
	return nil
}

func checkPath(p *reference) error {
	if !filepath.IsAbs(p.name) {
		return errors.New("the path must be absolute")
	}
	return nil
}
