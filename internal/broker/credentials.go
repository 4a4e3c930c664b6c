package broker

import (
	"errors"
	"maps"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"kb/internal/secret"
	"kb/internal/secretref"
	"kb/internal/state"
	"kb/providers"
	"kb/proxy"
	"kb/vaultfile"
)

// credentials are a login joined with its definition. They are one login's of
// one snapshot; what goes on its requests is the only thing that changes.
type credentials struct {
	login      vaultfile.Login
	key        loginKey
	definition *providers.Provider
	method     *providers.Method
	rules      *providers.Compiled // which requests are meant for it, whatever it holds
	endpoints  []endpoint          // where its tokens are asked for
	base       authority           // of the login's own base URL; zero when it has none
	what       string              // its tokens are for, see Broker.grantedFor
	problem    string              // why it cannot be used; empty when it can
	unresolved bool                // the problem is a reference, and may go away

	bound    atomic.Pointer[bound] // what goes on its requests; nil: nothing has been got yet
	used     atomic.Bool           // some request wanted it
	seen     state.TokenMark       // of the stored token that bound comes from; the watch's own
	renewing sync.Mutex            // of a reference whose value was refused
}

// bound is a login's rules with one value of its secrets.
type bound struct {
	compiled   *providers.Compiled
	injections map[*providers.Credential]proxy.Injection
	token      secret.Value // the access token; empty for what was pasted
	expires    time.Time    // of the token; zero: nobody knows, or never
	due        time.Time    // from here on the engine is asked with each use; zero as expires

	fruitless atomic.Bool // it was refused, and the login's references stand for nothing else
}

// pretended stands for secrets that are not there, so that the rules still say
// which requests were meant for the login.
const pretended = "none"

// problemRemoved is the problem of a login that is gone.
const problemRemoved = "the login was removed"

// removed is a login that the vault no longer holds: its rules without its
// secrets.
func (b *Broker) removed(l vaultfile.Login) *credentials {
	empty := make(map[string]secret.Value, len(l.Secrets)+len(l.Refs))
	for name := range l.Secrets {
		empty[name] = secret.New(pretended)
	}
	for name := range l.Refs {
		empty[name] = secret.New(pretended)
	}
	l.Secrets, l.Refs = empty, nil
	c := b.join(l, nil)
	c.problem = problemRemoved
	return c
}

// join makes a login ready for requests. What is wrong with it is kept in
// problem: its requests are refused, all others go on.
func join(l vaultfile.Login, catalog *providers.Catalog, resolve func(field, ref string) (secret.Value, error)) *credentials {
	c := &credentials{login: l, key: keyOf(l)}
	definition, err := catalog.Get(l.Provider)
	if err == nil {
		definition, err = definition.ForBase(l.Base)
	}
	if err != nil {
		c.problem = err.Error()
		return c
	}
	c.definition = definition
	c.method, _ = definition.Login.Method(l.Method)
	if base, err := url.Parse(l.Base); err == nil && l.Base != "" {
		if host, port, err := authorityOf(base); err == nil {
			c.base = authority{host, port}
		}
	}
	if c.flows() {
		c.rules, err = definition.Compile(l.Method, map[string]secret.Value{providers.TokenField: secret.New(pretended)})
		if err != nil {
			c.problem = err.Error()
		}
		return c
	}
	fields, err := fieldsOf(l, resolve)
	later := errors.Is(err, secretref.ErrNotYet) // it is resolved at its first use
	if err != nil && !later {
		c.problem, c.unresolved = err.Error(), true
	}
	compiled, err := definition.Compile(l.Method, fields)
	if err != nil {
		c.problem, c.unresolved = err.Error(), false
		return c
	}
	c.rules = compiled
	if !c.unresolved && !later {
		c.bound.Store(c.bind(compiled))
	}
	return c
}

// flows reports whether the login's method yields tokens that end.
func (c *credentials) flows() bool { return c.method != nil && c.method.Flow != providers.FlowPaste }

// fieldsOf are the values that were pasted, or that references stand for. One
// that cannot be resolved is pretended, and the error says why.
func fieldsOf(l vaultfile.Login, resolve func(field, ref string) (secret.Value, error)) (fields map[string]secret.Value, failed error) {
	fields = maps.Clone(l.Secrets)
	if fields == nil {
		fields = map[string]secret.Value{}
	}
	for name, ref := range l.Refs {
		value, err := resolve(name, ref)
		if err != nil {
			value, failed = secret.New(pretended), err
		}
		fields[name] = value
	}
	return fields, failed
}

// bind makes injections of rules that were filled in.
func (c *credentials) bind(compiled *providers.Compiled) *bound {
	now := &bound{compiled: compiled, injections: map[*providers.Credential]proxy.Injection{}}
	for _, cred := range compiled.Credentials() {
		now.injections[cred] = proxy.Injection{
			Pool: c.login.Profile, Delete: cred.Delete, DeleteQuery: cred.DeleteQuery,
			Header: injected(cred.Header), Query: injected(cred.Query), Cookie: injected(cred.Cookie),
		}
	}
	return now
}

func injected(pairs []providers.Pair) []proxy.Field {
	fields := make([]proxy.Field, len(pairs))
	for i, p := range pairs {
		fields[i] = proxy.Field{Name: p.Name, Value: p.Value}
	}
	return fields
}
