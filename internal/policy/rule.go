package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Effect is what a line does to the requests that it fits.
type Effect string

// Effects.
const (
	Allow Effect = "allow"
	Ask   Effect = "ask"
	Deny  Effect = "deny"
	Limit Effect = "limit"
)

// strictness orders verdicts; limit is none.
func (e Effect) strictness() int {
	switch e {
	case Allow:
		return 0
	case Ask:
		return 1
	}
	return 2
}

// Kinds of git request, as a line names them.
const (
	GitRead  = "read"
	GitWrite = "write"
)

// Rule is one line. An empty condition is none.
type Rule struct {
	ID         string
	Profile    string // by full name
	Effect     Effect
	PerMinute  int      // for Limit; else 0
	Provider   string   // name of the definition
	Methods    []string // upper case; any of them
	Host       string   // "api.github.com", "*.acme.dev", either with ":port"; without one it is any port
	Path       string   // glob on the normalised path
	Repository string   // pattern on the repository that the request names
	Git        string   // GitRead or GitWrite: git's own requests of that kind
	Mint       bool     // only requests that make a new credential
}

// maxPattern bounds what a condition may say, in bytes; real ones need less
// than a tenth. maxMethods is as many as HTTP and WebDAV have names for.
// maxPerMinute is what one agent cannot reach.
const (
	maxPattern   = 512
	maxMethods   = 32
	maxPerMinute = 100_000
)

// String is the line in words: "ask POST at linear", "deny everything".
func (r *Rule) String() string {
	var b strings.Builder
	b.WriteString(string(r.Effect))
	if r.Effect == Limit {
		b.WriteString(" " + strconv.Itoa(r.PerMinute) + "/min")
	}
	bare := b.Len()
	if len(r.Methods) > 0 {
		b.WriteString(" " + strings.Join(r.Methods, ","))
	}
	for _, c := range [...]struct{ word, value string }{
		{"at", r.Provider}, {"on", r.Host}, {"path", r.Path}, {"repository", r.Repository}, {"git", r.Git},
	} {
		if c.value != "" {
			b.WriteString(" " + c.word + " " + c.value)
		}
	}
	if r.Mint {
		b.WriteString(" mint")
	}
	if b.Len() == bare {
		b.WriteString(" everything")
	}
	return b.String()
}

// conditions is how many the line has.
func (r *Rule) conditions() int {
	n := 0
	for _, has := range [...]bool{
		r.Provider != "", len(r.Methods) > 0, r.Host != "", r.Path != "", r.Repository != "", r.Git != "", r.Mint,
	} {
		if has {
			n++
		}
	}
	return n
}

// InvalidError says why a line cannot be enforced. Such a line is never
// passed over: whoever holds it refuses.
type InvalidError struct {
	ID    string // empty for a line that has yet to get one
	Field string // as the command line calls it
	Value string
	Why   string // "is neither read nor write"
}

func (e *InvalidError) Error() string {
	line := "policy line"
	if e.ID != "" {
		line += " " + e.ID
	}
	if e.Value == "" {
		return fmt.Sprintf("%s: its %s %s", line, e.Field, e.Why)
	}
	return fmt.Sprintf("%s: its %s %q %s", line, e.Field, e.Value, e.Why)
}

// Check returns an *InvalidError for a line that must not be stored or
// enforced.
func (r *Rule) Check(g Grammar) error {
	_, err := compile(r, g)
	return err
}

func (r *Rule) check() error {
	bad := func(field, value, why string) error { return &InvalidError{r.ID, field, value, why} }
	switch r.Effect {
	case Allow, Ask, Deny:
		if r.PerMinute != 0 {
			return bad("limit", strconv.Itoa(r.PerMinute), "belongs to lines of effect limit")
		}
	case Limit:
		if r.PerMinute < 1 || r.PerMinute > maxPerMinute {
			return bad("limit", strconv.Itoa(r.PerMinute), fmt.Sprintf("is no number from 1 to %d", maxPerMinute))
		}
	default:
		return bad("effect", string(r.Effect), "is neither allow, deny, ask nor limit")
	}
	if r.Profile == "" {
		return bad("profile", "", "is missing")
	}
	for _, f := range [...][2]string{{"provider", r.Provider}, {"host", r.Host}, {"path", r.Path}, {"repository", r.Repository}} {
		if len(f[1]) > maxPattern {
			return bad(f[0], "", fmt.Sprintf("is longer than %d bytes", maxPattern))
		}
	}
	if strings.ContainsFunc(r.Provider, func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' }) {
		return bad("provider", r.Provider, "is no provider's name: a-z, 0-9 and -")
	}
	if len(r.Methods) > maxMethods {
		return bad("method", "", fmt.Sprintf("names more than %d methods", maxMethods))
	}
	for i, m := range r.Methods {
		if m == "" || strings.ContainsFunc(m, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' && c != '_' }) {
			return bad("method", m, "is no HTTP method: GET, POST, …, in upper case")
		}
		if slices.Contains(r.Methods[:i], m) {
			return bad("method", m, "stands twice")
		}
	}
	if r.Git != "" && r.Git != GitRead && r.Git != GitWrite {
		return bad("git", r.Git, "is neither read nor write")
	}
	return nil
}

// hostPattern is a parsed Host.
type hostPattern struct {
	name   string // for a suffix pattern with its leading dot
	suffix bool
	port   uint16 // 0 is any
}

// match reports whether a canonical host and a port fit.
func (p hostPattern) match(host string, port uint16) bool {
	if p.port != 0 && port != p.port {
		return false
	}
	if !p.suffix {
		return host == p.name
	}
	return len(host) > len(p.name) && strings.HasSuffix(host, p.name)
}

// parseHost reads a pattern; why says what is wrong with it.
func parseHost(s string) (p hostPattern, why string) {
	name := s
	if inner, ok := strings.CutPrefix(s, "["); ok { // an IPv6 address, perhaps with a port
		i := strings.IndexByte(inner, ']')
		if i < 0 {
			return p, "has no closing bracket"
		}
		name = inner[:i]
		if rest := inner[i+1:]; rest != "" {
			port, ok := strings.CutPrefix(rest, ":")
			if !ok {
				return p, "has text behind its bracket"
			}
			if p.port, why = parsePort(port); why != "" {
				return p, why
			}
		}
	} else if i := strings.LastIndexByte(s, ':'); i >= 0 && strings.IndexByte(s, ':') == i {
		name = s[:i]
		if p.port, why = parsePort(s[i+1:]); why != "" {
			return p, why
		}
	}
	p.name = name
	if suffix, ok := strings.CutPrefix(name, "*"); ok {
		p.suffix, p.name, name = true, suffix, strings.TrimPrefix(suffix, ".")
		if !strings.HasPrefix(suffix, ".") {
			return p, "has its * elsewhere than in *.name"
		}
	}
	switch {
	case name == "":
		return p, "has no name"
	case strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".") || strings.Contains(name, ".."):
		return p, "has an empty label"
	case strings.ContainsFunc(name, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' && c != ':'
	}):
		return p, "is no host in lower case: name, *.name, either with :port"
	}
	return p, unlikeAddress(name)
}

// unlikeAddress says why a name can never fit though it reads as if: hosts of
// requests are canonical, addresses among them, and a line that denies one by
// another spelling would deny nothing.
func unlikeAddress(name string) string {
	addr, err := netip.ParseAddr(name)
	last := name[strings.LastIndexByte(name, '.')+1:]
	switch {
	case err == nil && addr.Unmap().String() != name:
		return "is an address that requests are known by as " + addr.Unmap().String()
	case err == nil:
		return ""
	case strings.Contains(name, ":") || !strings.ContainsFunc(last, func(c rune) bool { return c < '0' || c > '9' }) || strings.HasPrefix(last, "0x"):
		return "is no address: four numbers, or an IPv6 address in brackets"
	}
	return ""
}

func parsePort(s string) (uint16, string) {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n == 0 || s[0] == '0' || s[0] == '+' {
		return 0, "has a port that is no number from 1 to 65535"
	}
	return uint16(n), ""
}
