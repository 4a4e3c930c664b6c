package providers

import (
	"embed"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
)

//go:generate go run ./gen

//go:embed catalog/*.toml
var embedded embed.FS

// Errors of a catalogue.
var (
	// ErrUnknown says that no provider has the name.
	ErrUnknown = errors.New("no such provider")
	// ErrConflict says that a definition of the user's claims what another one
	// has.
	ErrConflict = errors.New("provider is defined already")
)

// IndexEntry is what kb must know of every provider before any is asked for:
// the session CA's name constraints and the variables that a child must not
// inherit cover the whole catalogue.
type IndexEntry struct {
	Name  string
	Title string
	Hosts []string // as Provider.Hosts, without those that need a base URL unless it has a default
	Env   []string // every variable that carries its credential, Scrub included
}

// Catalog is the definitions that ship and the user's own. It parses a
// definition when it is first asked for, and is safe for concurrent use.
type Catalog struct {
	own      map[string]*Provider
	replaced map[string]string // built-in -> the own definition in its place

	mu     sync.Mutex
	parsed map[string]*Provider
}

// NewCatalog returns the shipped definitions and the user's. An own definition
// takes a built-in one's place only if it says replaces = "name"; one that
// claims a name, or a host and path, that another has is refused with an error
// that wraps [ErrConflict]. Without own definitions the error is nil.
func NewCatalog(own ...*Provider) (*Catalog, error) {
	c := &Catalog{own: map[string]*Provider{}, replaced: map[string]string{}, parsed: map[string]*Provider{}}
	for _, p := range own {
		if err := c.add(p); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *Catalog) add(p *Provider) error {
	if _, ok := c.own[p.Name]; ok {
		return fmt.Errorf("add provider %q: %w: two definitions of your own have this name", p.Name, ErrConflict)
	}
	if p.Replaces != "" {
		if !builtin(p.Replaces) {
			return fmt.Errorf("add provider %q: it replaces %q: %w", p.Name, p.Replaces, ErrUnknown)
		}
		if by, ok := c.replaced[p.Replaces]; ok {
			return fmt.Errorf("add provider %q: %w: %q replaces %q too", p.Name, ErrConflict, by, p.Replaces)
		}
	}
	if p.Name != p.Replaces && builtin(p.Name) {
		return fmt.Errorf("add provider %q: %w: kb has one; to take its place, write replaces = %q", p.Name, ErrConflict, p.Name)
	}
	for _, e := range index {
		if _, gone := c.replaced[e.Name]; gone || e.Name == p.Replaces || !hostsOverlap(p.Hosts, e.Hosts) {
			continue
		}
		other, err := c.Get(e.Name)
		if err != nil {
			return err
		}
		if at, both := Overlap(p, other); both {
			return fmt.Errorf("add provider %q: %w: kb's %q has %s; to take its place, write replaces = %q", p.Name, ErrConflict, e.Name, at, e.Name)
		}
	}
	for _, other := range c.own {
		if at, both := Overlap(p, other); both {
			return fmt.Errorf("add provider %q: %w: your %q has %s", p.Name, ErrConflict, other.Name, at)
		}
	}
	c.own[p.Name] = p
	if p.Replaces != "" {
		c.replaced[p.Replaces] = p.Name
	}
	return nil
}

func hostsOverlap(a, b []string) bool {
	for _, x := range a {
		px, err := parseHost(x)
		if err != nil {
			continue
		}
		for _, y := range b {
			if py, err := parseHost(y); err == nil && px.overlaps(py) {
				return true
			}
		}
	}
	return false
}

func builtin(name string) bool {
	_, ok := indexOf(name)
	return ok
}

func indexOf(name string) (int, bool) {
	return slices.BinarySearchFunc(index, name, func(e IndexEntry, n string) int { return strings.Compare(e.Name, n) })
}

// Get returns a provider by name, or an error that wraps [ErrUnknown]. The value
// is shared and must not be changed.
func (c *Catalog) Get(name string) (*Provider, error) {
	if p, ok := c.own[name]; ok {
		return p, nil
	}
	if _, gone := c.replaced[name]; gone || !builtin(name) {
		return nil, fmt.Errorf("find provider %q: %w", name, ErrUnknown)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p, ok := c.parsed[name]; ok {
		return p, nil
	}
	text, err := embedded.ReadFile("catalog/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("find provider %q: %w", name, err)
	}
	// Without the checks, which take most of the time: a test holds what
	// ships to them.
	doc, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("read provider %q: %w", name, err)
	}
	p := doc.provider()
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("read provider %q: %w", name, err)
	}
	c.parsed[name] = p
	return p, nil
}

// Own reports whether a name is a definition of the user's.
func (c *Catalog) Own(name string) bool { _, ok := c.own[name]; return ok }

// Names returns the providers' names in order. It parses nothing.
func (c *Catalog) Names() []string {
	names := make([]string, 0, len(index)+len(c.own))
	for _, e := range c.Index() {
		names = append(names, e.Name)
	}
	return names
}

// All parses and returns every provider, by name. It is for lists; a session
// asks for what it uses.
func (c *Catalog) All() ([]*Provider, error) {
	var all []*Provider
	for _, name := range c.Names() {
		p, err := c.Get(name)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

// Index returns hosts and variables of every provider, by name. It parses
// nothing. Definitions that an own one replaces keep their entry's variables
// under the own one's name, so that they are still taken from a child.
func (c *Catalog) Index() []IndexEntry {
	if len(c.own) == 0 {
		return index[:len(index):len(index)]
	}
	entries := make([]IndexEntry, 0, len(index)+len(c.own))
	for _, e := range index {
		if _, gone := c.replaced[e.Name]; !gone {
			entries = append(entries, e)
		}
	}
	for _, p := range c.own {
		e := p.IndexEntry()
		if i, ok := indexOf(p.Replaces); ok {
			e.Env = append(e.Env, index[i].Env...)
			slices.Sort(e.Env)
			e.Env = slices.Compact(e.Env)
		}
		entries = append(entries, e)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].Name < entries[j].Name })
	return entries
}

// IndexEntry is what an index holds for the definition.
func (p *Provider) IndexEntry() IndexEntry {
	e := IndexEntry{Name: p.Name, Title: p.Title}
	q := p
	if based, err := p.ForBase(""); err == nil {
		q = based
	}
	for _, h := range q.Hosts {
		if _, err := parseHost(h); err == nil {
			e.Hosts = append(e.Hosts, h)
		}
	}
	for name := range p.Env {
		e.Env = append(e.Env, name)
	}
	for _, m := range p.Login.Methods() {
		for name := range m.Env {
			e.Env = append(e.Env, name)
		}
	}
	e.Env = append(e.Env, p.Scrub...)
	slices.Sort(e.Env)
	e.Env = slices.Compact(e.Env)
	return e
}

// EnvFor returns the variables that a login by a method sets in a child, with
// their placeholder templates.
func (p *Provider) EnvFor(method string) map[string]string {
	env := make(map[string]string, len(p.Env))
	for name, template := range p.Env {
		env[name] = template
	}
	if m, ok := p.Login.Method(method); ok {
		for name, template := range m.Env {
			env[name] = template
		}
	}
	return env
}
